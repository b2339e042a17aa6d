"""Whoever may not see phones learns nothing of one but what the page shows: its last four digits."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connections
from django.db.models import F
from django.test import Client
from django.urls import reverse

from altegio_loyalty.access import MOST_PHONES_MISSED, PhoneSearch
from altegio_loyalty.admin.desk.day_panel import DayPanel
from altegio_loyalty.models import LoyaltyOperation, Visit
from tests.delivery.salon import Salon

pytestmark = pytest.mark.django_db(transaction=True)

SignIn = Callable[..., Client]
APP = "admin:altegio_loyalty_"
LIST = f"{APP}visit_changelist"
#: Two phones of which the page shows the same. The sandbox's client has the first one as well.
PHONE, OTHER = "+13155550175", "+14988260175"
PARTS = sorted({PHONE[:end] for end in range(1, 12)} | {PHONE[begin:] for begin in range(2, 12)})
LOOKUPS = ("exact", "startswith", "endswith", "contains", "regex", "gt", "lt", "in", "range", "isnull")
PATHS = ("client_phone", "visit__client_phone", "visits__client_phone", "operations__visit__client_phone")
#: What differs from one request to the next whatever a phone is.
_CHANGING = re.compile(r'csrfmiddlewaretoken" value="\w+|[0-9a-f-]{32,36}|\d\d:\d\d(:\d\d)?|\d+ ms')


class Attack:
    """Somebody with every permission of the app but one, in front of a visit whose phone they want."""

    def __init__(self, salon: Salon) -> None:
        self.visit = Visit.objects.create(
            id=(there := salon.visit()).id,
            location=salon.location,
            record_id=there.record_ids[0],
            client_id=salon.client.id,
            client_name="Jane",
            client_phone=PHONE,
        )
        # Phones that stand between, before and after the two, for whoever sorts or compares.
        for number, phone in enumerate(("+13999990000", "+10000000000", "+19999999999"), start=1):
            Visit.objects.create(
                id=number,
                location=salon.location,
                record_id=number,
                client_name=f"P{number}",
                client_phone=phone,
            )
        person = get_user_model().objects.create_user("attacker", is_staff=True)
        person.user_permissions.set(
            Permission.objects.filter(content_type__app_label="altegio_loyalty").exclude(
                codename="view_client_phone"
            )
        )
        self.browser = Client()
        self.browser.force_login(person)

    def sees(self, url: str, query: Any = None) -> str:
        response = self.browser.get(url, query, follow=True)
        body = b"".join(response.streaming_content) if response.streaming else response.content  # type: ignore[attr-defined]
        return f"{response.status_code} {_CHANGING.sub('', body.decode())}"

    def learns(self, url: str, query: Any = None) -> bool:
        """Whether the answer shows any of the digits that are hidden, or is another one for another phone."""
        answers = []
        for phone in (PHONE, OTHER):
            Visit.objects.filter(pk=self.visit.pk).update(client_phone=phone)
            answers.append(self.sees(url, query))
        typed = str((query or {}).get("q", "")).lstrip("+")
        told = any(
            phone[1:8] in answer.replace(typed or "\0", "") for answer in answers for phone in (PHONE, OTHER)
        )
        return told or answers[0] != answers[1]


@pytest.fixture
def attack(salon: Salon) -> Attack:
    return Attack(salon)


def test_no_page_tells_more_of_a_phone_than_another_persons(attack: Attack, salon: Salon) -> None:
    operation = salon.withdraw(salon.visit())
    LoyaltyOperation.objects.filter(pk=operation.pk).update(visit=attack.visit)
    pages = [
        reverse("admin:index"),
        reverse("admin:app_list", args=["altegio_loyalty"]),
        *(reverse(f"{APP}{model}_changelist") for model in ("visit", "loyaltyoperation", "location")),
        reverse(LIST) + "?day=all",
        *(
            reverse(f"{APP}visit_{page}", args=[attack.visit.pk])
            for page in ("change", "history", "delete", "state")
        ),
        *(
            reverse(f"{APP}loyaltyoperation_{page}", args=[operation.pk])
            for page in ("change", "history", "delete")
        ),
        reverse(f"{APP}visit_operate", args=["apply_card_withdrawal"]) + f"?visit={attack.visit.pk}",
        reverse(f"{APP}visit_operate", args=["apply_card_withdrawal"]) + f"?visit={attack.visit.pk}&typed=1",
        reverse(f"{APP}visit_batches"),
        reverse(f"{APP}loyaltyoperation_overview"),
        reverse(f"{APP}loyaltyoperation_export"),
        reverse(f"{APP}loyaltyoperation_export") + f"?q={attack.visit.pk}",
    ]
    assert "•••0175" in attack.sees(pages[6])
    assert [page for page in pages if attack.learns(page)] == []


@pytest.mark.parametrize("model", ["visit", "loyaltyoperation", "location"])
def test_no_part_of_a_phone_finds_anything(attack: Attack, model: str) -> None:
    url = reverse(f"{APP}{model}_changelist")
    assert [part for part in PARTS if attack.learns(url, {"q": part, "day": "all"})] == []


def test_not_even_the_whole_phone_is_found_through_autocomplete(attack: Attack) -> None:
    url = reverse("admin:autocomplete")
    field = {"app_label": "altegio_loyalty", "model_name": "loyaltyoperation", "field_name": "visit"}
    assert "Jane" in attack.sees(url, {**field, "term": "Jane"})
    assert [part for part in [*PARTS, PHONE, PHONE[1:]] if attack.learns(url, {**field, "term": part})] == []


@pytest.mark.parametrize("model", ["visit", "loyaltyoperation", "location"])
def test_no_lookup_in_an_address_finds_a_phone(attack: Attack, model: str) -> None:
    url = reverse(f"{APP}{model}_changelist")
    queries = [{f"{path}__{lookup}": PHONE[:4]} for path in PATHS for lookup in LOOKUPS]
    assert [query for query in queries if attack.learns(url, {"q": "", **query})] == []


@pytest.mark.parametrize("model", ["visit", "loyaltyoperation", "location"])
def test_no_order_of_a_list_sorts_by_phones(attack: Attack, model: str) -> None:
    url = reverse(f"{APP}{model}_changelist")
    orders = [f"{sign}{column}" for column in range(12) for sign in ("", "-")]
    orders += ["client_phone", "-client_phone", "1.client_phone"]
    assert [order for order in orders if attack.learns(url, {"o": order, "day": "all"})] == []


def test_a_phone_too_short_to_hide_enough_of_is_hidden_whole(attack: Attack) -> None:
    Visit.objects.filter(pk=attack.visit.pk).update(client_phone="5550175")
    assert "0175" not in attack.sees(reverse(f"{APP}visit_change", args=[attack.visit.pk]))


# The whole phone


def found(browser: Client, term: str) -> list[str]:
    response = browser.get(reverse(LIST), {"q": term})
    return [visit.client_name for visit in response.context["cl"].result_list]


@pytest.mark.parametrize("term", [PHONE, PHONE[1:], "1 (315) 555-01-75", "+1.315.555.0175"])
def test_the_whole_phone_as_it_is_stored_finds_its_client(attack: Attack, term: str) -> None:
    """Whoever is told it by the client."""
    assert found(attack.browser, term) == ["Jane"]


@pytest.mark.parametrize("term", ["8 (315) 555-01-75", "315.555.0175", "+23155550175", "+131555501750"])
def test_a_phone_that_is_stored_otherwise_finds_nobody(attack: Attack, term: str) -> None:
    assert found(attack.browser, term) == []


@pytest.mark.parametrize("term", [PHONE, "8 (315) 555-01-75", "315.555.0175", "0175", "5550"])
def test_who_may_see_phones_finds_them_by_any_part(attack: Attack, sign_in: SignIn, term: str) -> None:
    assert found(sign_in("view_visit", "view_client_phone"), term) == ["Jane"]


def miss(browser: Client, count: int) -> None:
    for number in range(count):
        assert found(browser, f"+1315550{number:04}") == []


def test_after_so_many_phones_that_nobody_has_none_is_looked_up(attack: Attack) -> None:
    miss(attack.browser, MOST_PHONES_MISSED)
    response = attack.browser.get(reverse(LIST), {"q": PHONE})
    assert list(response.context["cl"].result_list) == []
    assert "Phones are not searched" in response.content.decode()
    assert found(attack.browser, "Jane") == ["Jane"]
    assert found(attack.browser, str(attack.visit.pk)) == ["Jane"]


def test_one_persons_misses_are_not_anothers(attack: Attack, sign_in: SignIn) -> None:
    miss(attack.browser, MOST_PHONES_MISSED)
    assert found(sign_in("view_visit"), PHONE) == ["Jane"]
    assert found(sign_in("view_visit", "view_client_phone"), PHONE) == ["Jane"]


def test_a_new_session_searches_no_more_phones(attack: Attack) -> None:
    miss(attack.browser, MOST_PHONES_MISSED)
    again = Client()
    again.force_login(get_user_model().objects.get(username="attacker"))
    assert found(again, PHONE) == []


def test_phones_that_are_found_count_nothing(attack: Attack) -> None:
    for _ in range(MOST_PHONES_MISSED + 1):
        assert found(attack.browser, PHONE) == ["Jane"]
    assert not PhoneSearch.objects.exists()


def test_misses_of_yesterday_count_no_more_and_are_forgotten(attack: Attack) -> None:
    miss(attack.browser, MOST_PHONES_MISSED)
    PhoneSearch.objects.update(made_at=F("made_at") - datetime.timedelta(days=1))
    assert found(attack.browser, PHONE) == ["Jane"]
    assert not PhoneSearch.objects.exists()


def test_a_miss_counts_also_where_the_request_fails_after_it(
    attack: Attack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction of the host site around each request would take it back."""
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)
    monkeypatch.setattr(DayPanel, "context", lambda *_, **__: 1 / 0)
    attack.browser.raise_request_exception = False
    assert attack.browser.get(reverse(LIST), {"q": "+13155550176"}).status_code == 500
    assert PhoneSearch.objects.count() == 1
