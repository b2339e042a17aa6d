"""Whatever Altegio answers, each page comes up, and says what it says in words for people."""

from __future__ import annotations

import datetime
import html
import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from hypothesis import given, strategies as st

from altegio_loyalty.models import LoyaltyOperation, Visit
from tests.delivery.salon import KINDS, WITHDRAWAL, Salon
from tests.shapes import contract
from tests.shapes.changes import Spoiling, spoilings
from tests.shapes.searching import TIMEOUT, examples, innards
from tests.shapes.test_delivery_shapes import new_client, spoilt

# What an answer means is the same whatever database keeps it.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(TIMEOUT), pytest.mark.sqlite]

#: The operations of the API that pages read, and the operation of the contract that says what they answer with.
READ = {
    "visit_details": "visit_details",
    "client_cards": "client_cards",
    "visit": "visit",
    "records": "records",
    "location": "location",
    "permissions": "permissions",
    "clients_search": "clients_search",
    WITHDRAWAL: "visit_details",
}


class Desk:
    """A person at the desk, and the pages that each answer reaches."""

    def __init__(self, salon: Salon, browser: Client) -> None:
        self.salon, self.browser = salon, browser
        there = salon.visit()
        salon.ledger.withdraw(there, salon.card, 30)
        salon.ledger.apply_program(there, salon.card, salon.program)
        salon.ledger.pay(there, "10.50")
        self.visit = self._known(there)

    def _known(self, there: Any) -> Visit:
        here = {"location": self.salon.location, "record_id": there.record_ids[0]}
        who = {"client_id": self.salon.client.id, "starts_at": timezone.now()}
        return Visit.objects.create(id=there.id, **here, **who)

    def see(self, response: Any) -> None:
        """A page is no error, and shows nothing of Python."""
        assert response.status_code == 200
        text = re.sub(
            r"<script.*?</script>|<style.*?</style>|<[^>]*>", " ", response.content.decode(), flags=re.DOTALL
        )
        # What Altegio answered is shown as it is, in the page of an operation.
        assert not innards(html.unescape(text)), innards(html.unescape(text))

    def get(self, name: str, *arguments: Any, **query: Any) -> None:
        self.see(
            self.browser.get(reverse(f"admin:altegio_loyalty_{name}", args=arguments), query, follow=True)
        )

    def post(self, name: str, *arguments: Any, **fields: Any) -> None:
        url = reverse(f"admin:altegio_loyalty_{name}", args=arguments)
        self.see(self.browser.post(url, fields, follow=True))

    def open_visit(self) -> None:
        self.get("visit_change", self.visit.pk, read=1)

    def open_forms(self) -> None:
        for kind in KINDS:
            self.get("visit_operate", kind, visit=self.visit.pk, read=1)

    def open_visit_of_somebody(self) -> None:
        """The client is asked for with the visit's page."""
        Visit.objects.filter(pk=self.visit.pk).update(client_id=None)
        self.open_visit()

    def fetch(self) -> None:
        self._forget()
        self.post("visit_find", q=self.visit.pk, location=self.salon.location.pk)

    def _forget(self) -> None:
        """The visit is known to Altegio alone, and not among today's."""
        Visit.objects.filter(pk=self.visit.pk).delete()
        self.salon.ledger.visit(self.visit.pk).starts_at -= datetime.timedelta(days=9)

    def look_for_jane(self) -> None:
        self._forget()
        self.post("visit_find", q="Jane", location=self.salon.location.pk)

    def read_the_day(self) -> None:
        day = timezone.localdate().isoformat()
        self.post("visit_refresh", day=day, location=self.salon.location.pk)
        self.get("visit_changelist", day="all")

    def test_connection(self) -> None:
        self.post("location_test_connection", self.salon.location.pk)
        self.get("location_changelist")

    def withdraw(self) -> None:
        visit = self._known(self.salon.visit())
        fields = {f"visit{visit.pk}-choice": self.salon.card.id, f"visit{visit.pk}-amount": "20"}
        self.post("visit_operate", WITHDRAWAL, visit=visit.pk, token=uuid.uuid4().hex, **fields)
        self.get("loyaltyoperation_changelist")
        for operation in LoyaltyOperation.objects.filter(visit=visit):
            self.get("loyaltyoperation_change", operation.pk)


PAGES: dict[str, tuple[Callable[[Desk], None], ...]] = {
    "visit_details": (Desk.open_visit, Desk.open_forms, Desk.withdraw),
    "client_cards": (Desk.open_visit, Desk.open_forms),
    "visit": (Desk.open_visit_of_somebody, Desk.fetch),
    "records": (Desk.read_the_day, Desk.look_for_jane),
    "clients_search": (Desk.look_for_jane,),
    "location": (Desk.test_connection,),
    "permissions": (Desk.test_connection,),
    WITHDRAWAL: (Desk.withdraw,),
}


def drawn(operation: str) -> st.SearchStrategy[tuple[str, Any, Spoiling]]:
    names = contract.names(READ[operation])
    return st.tuples(st.just(operation), st.sampled_from(PAGES[operation]), spoilings(names))


@pytest.fixture
def browser(sign_in: Callable[..., Client]) -> Client:
    return sign_in("*", username="boss")


@examples(2)
@given(st.sampled_from(sorted(PAGES)).flatmap(drawn))
def test_any_shape__has_a_page_in_words_for_people(
    salon: Salon, browser: Client, case: tuple[str, Callable[[Desk], None], Spoiling]
) -> None:
    """No page answers 500, and none shows what Python calls things."""
    operation, look, spoiling = case
    with spoilt(salon) as wire:
        desk = Desk(salon, browser)
        wire.always[operation] = spoiling
        look(desk)


@pytest.mark.parametrize("operation", PAGES)
def test_the_pages__are_those_that_the_answer_reaches(salon: Salon, browser: Client, operation: str) -> None:
    """Otherwise nothing above would prove anything."""
    for look in PAGES[operation]:
        new_client(salon)
        before = len(salon.sandbox.requests)
        look(Desk(salon, browser))
        assert operation in {request.operation for request in salon.sandbox.requests[before:]}, look
