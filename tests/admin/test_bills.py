"""What Altegio showed of a visit seconds ago is shown again, and never once it may be out of date."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse

from altegio_loyalty import bills
from altegio_loyalty.models import LoyaltyOperation, Visit
from altegio_loyalty.services.reading import read_for_screen
from tests.chaos.clock import Clock
from tests.delivery.salon import CANCEL, Salon

pytestmark = pytest.mark.django_db

EVERYTHING = ("view_visit", "apply_card_withdrawal", "cancel_card_withdrawal")


@pytest.fixture
def visit(salon: Salon) -> Visit:
    there = salon.visit()
    location = salon.location
    visit = Visit(id=there.id, location=location, record_id=there.record_ids[0], client_id=salon.client.id)
    visit.save()
    return visit


@pytest.fixture
def desk(sign_in: Callable[..., Client]) -> Client:
    return sign_in(*EVERYTHING)


def page(visit: Visit) -> str:
    """Read anew, as its script asks for it."""
    return reverse("admin:altegio_loyalty_visit_change", args=[visit.pk]) + "?read=1"


def form(visit: Visit, kind: str = "apply_card_withdrawal") -> str:
    return f"{reverse('admin:altegio_loyalty_visit_operate', args=[kind])}?visit={visit.pk}&read=1"


def reads(salon: Salon) -> int:
    return sum(request.method == "GET" for request in salon.sandbox.requests)


def fetched(visit: Visit) -> Visit:
    """As each request of a screen fetches it."""
    return bills.noting(Visit.objects.select_related("location")).get(pk=visit.pk)


@pytest.mark.usefixtures("time_stands_still")
def test_reload_within_seconds__reads_nothing(salon: Salon, visit: Visit, desk: Client) -> None:
    """Neither of the page nor of the form, whoever it is, whichever process answers."""
    first = desk.get(page(visit)).content.decode()
    before = reads(salon)
    for url in (page(visit), form(visit), form(visit, "cancel_card_withdrawal")):
        assert desk.get(url).status_code == 200
    assert reads(salon) == before == 2
    again = desk.get(page(visit)).content.decode()
    part = slice(first.index('aria-labelledby="bill"'), first.index('aria-labelledby="operations"'))
    assert first[part] == again[part]  # the moment of the reading as well


def test_reload_after_some_seconds__reads_anew(salon: Salon, visit: Visit, desk: Client) -> None:
    clock = Clock()
    with clock.running():
        desk.get(page(visit))
        clock.passed += bills.READING_IS_FRESH.total_seconds() + 0.1
        desk.get(page(visit))
    assert reads(salon) == 4


def test_reload_with_a_clock_put_back__reads_anew(salon: Salon, visit: Visit, desk: Client) -> None:
    clock = Clock()
    with clock.running():
        desk.get(page(visit))
        clock.set_by -= 3600
        desk.get(page(visit))
    assert reads(salon) == 5  # its client is asked for as well


def balances(visit: Visit) -> list[Decimal | None]:
    shown = bills.last_shown(fetched(visit))
    assert shown is not None
    return [card.balance for card in shown.cards.cards]


def test_card_that_paid_for_another_visit_since__has_no_known_balance(salon: Salon, visit: Visit) -> None:
    """A withdrawal here and one there: what this visit's answer leaves on the card, nobody can tell from it."""
    read_for_screen(fetched(visit))
    salon.withdraw(salon.visit(), amount=300)
    here = salon.ledger.books.visits[visit.pk]
    salon.withdraw(here, amount=200)
    assert balances(visit) == [None]
    salon.ask(CANCEL, here)
    assert balances(visit) == [None]


def test_balance_that_follows_from_an_answer__is_not_said_to_be_read(
    salon: Salon, visit: Visit, desk: Client
) -> None:
    desk.get(page(visit))
    salon.withdraw(salon.ledger.books.visits[visit.pk], amount=100)
    assert balances(visit) == [400]
    without_reading = page(visit).removesuffix("?read=1")
    assert "Read from Altegio at" not in desk.get(without_reading).content.decode()


def test_answer_long_after_the_reading__leaves_no_balance_of_any_card(salon: Salon, visit: Visit) -> None:
    salon.ledger.add_card(salon.client, title="Gold", balance=700)
    clock = Clock()
    with clock.running():
        read_for_screen(fetched(visit))
        clock.passed += 7200
        salon.withdraw(salon.ledger.books.visits[visit.pk], amount=100)
        assert balances(visit) == [None, None]


@pytest.mark.parametrize("on", ["the same visit", "another visit, with the same card"])
def test_after_a_withdrawal__what_was_kept_is_not_shown(
    salon: Salon, visit: Visit, desk: Client, on: str
) -> None:
    desk.get(page(visit))
    there = salon.ledger.books.visits[visit.pk] if on == "the same visit" else salon.visit()
    salon.withdraw(there, amount=100)
    assert "400" in desk.get(page(visit)).content.decode()


def test_while_a_call_is_in_doubt__what_was_kept_is_not_shown(
    salon: Salon, visit: Visit, desk: Client
) -> None:
    """It may take effect at any moment."""
    salon.configure(SETTLE_SECONDS=3600)
    salon.fail("cut_before", path="POST", times=1)
    salon.withdraw(salon.ledger.books.visits[visit.pk])
    for count in (2, 4):
        before = reads(salon)
        desk.get(page(visit))
        assert reads(salon) == before + 2, count


def test_while_a_call_is_on_its_way__what_was_kept_is_not_shown(
    salon: Salon, visit: Visit, desk: Client
) -> None:
    operation = salon.later(salon.ledger.books.visits[visit.pk])
    desk.get(page(visit))
    LoyaltyOperation.objects.filter(pk=operation.pk).update(status="sending")
    before = reads(salon)
    desk.get(page(visit))
    assert reads(salon) == before + 2


def test_delivery__decides_by_nothing_that_was_kept(salon: Salon, visit: Visit, desk: Client) -> None:
    """Somebody took the points in Altegio's own screen after the page was read."""
    there = salon.ledger.books.visits[visit.pk]
    desk.get(page(visit))
    salon.ledger.withdraw(there, salon.card, 100)
    assert salon.withdraw(there, amount=100).ending == "already_there"
    assert salon.posts(there) == 0


def test_other_client__sees_no_cards_of_the_one_before(salon: Salon, visit: Visit) -> None:
    read_for_screen(fetched(visit))
    other = salon.ledger.add_client(name="John")
    Visit.objects.update(client_id=other.id)
    assert read_for_screen(fetched(visit))[1].cards == ()


@pytest.mark.usefixtures("time_stands_still")
def test_visit_of_nobody__is_read_once_too(salon: Salon, visit: Visit, desk: Client) -> None:
    there = salon.ledger.add_visit(salon.location.pk, None)
    nobodys = Visit.objects.create(id=there.id, location=salon.location, record_id=there.record_ids[0])
    desk.get(page(nobodys))
    before = reads(salon)
    desk.get(page(nobodys))
    assert reads(salon) == before


@pytest.mark.usefixtures("time_stands_still")
def test_what_was_shown__comes_back_as_it_was(salon: Salon, visit: Visit) -> None:
    salon.ledger.withdraw(salon.ledger.books.visits[visit.pk], salon.card, 70)
    first, again = (read_for_screen(fetched(visit)) for _ in range(2))
    assert reads(salon) == 2
    assert (first[0].details, first[1]) == (again[0].details, again[1])
    assert again[0].details is not None
    assert again[0].details.withdrawn(salon.card.id) == 70


@pytest.mark.parametrize("spoil", ["", "[]", "{", '{"details": 1}', "more", "fewer"])
def test_what_another_release_kept__is_read_anew(salon: Salon, visit: Visit, spoil: str) -> None:
    read_for_screen(fetched(visit))
    kept = json.loads(Visit.objects.get(pk=visit.pk).shown)
    if spoil == "fewer":
        del kept["details"]["lines"]
    elif spoil == "more":
        kept["cards"] = [{"id": 1}]
    Visit.objects.update(shown=json.dumps(kept) if spoil in ("more", "fewer") else spoil)
    assert read_for_screen(fetched(visit))[0].details is not None
    assert reads(salon) == 4


def test_what_is_too_large__is_not_kept(salon: Salon, visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bills, "_LARGEST", 10)
    read_for_screen(fetched(visit))
    assert Visit.objects.get(pk=visit.pk).shown == ""


def test_what_was_shown_last__stays_when_altegio_is_away(salon: Salon, visit: Visit) -> None:
    details = read_for_screen(fetched(visit))[0]
    salon.sandbox.stop()
    clock = Clock()
    with clock.running():
        clock.passed += 3600
        assert read_for_screen(fetched(visit))[0].error
        shown = bills.last_shown(fetched(visit))
    assert shown is not None
    assert shown.details == details.details
    assert timedelta(0) <= details.read_at - shown.read_at < timedelta(milliseconds=1)


def test_lists__leave_out_what_was_shown(salon: Salon, visit: Visit, desk: Client) -> None:
    read_for_screen(fetched(visit))
    rows = (
        desk.get(reverse("admin:altegio_loyalty_visit_changelist"), {"day": "all"}).context["cl"].result_list
    )
    assert [row.get_deferred_fields() for row in rows] == [{"shown"}]


# The person's bound


def test_who_reloads_too_often__is_told_so_on_the_page(salon: Salon, visit: Visit, desk: Client) -> None:
    salon.configure(REQUESTS_PER_MINUTE=16)
    clock = Clock()
    with clock.running():
        for _ in range(3):
            answer = desk.get(page(visit)).content.decode()
            clock.set_by += 6  # on the wall alone: the budget has the database's own
    assert "You have read from Altegio as often as one person may; again in" in answer
    assert reads(salon) == 4


def test_who_reloads_too_often__keeps_nobody_from_a_withdrawal(
    salon: Salon, visit: Visit, desk: Client
) -> None:
    salon.configure(REQUESTS_PER_MINUTE=16)
    clock = Clock()
    with clock.running():
        for _ in range(10):
            desk.get(page(visit))
            clock.passed += 0.1
            Visit.objects.update(shown="")
        assert salon.withdraw().status == "succeeded"
        operation = salon.later()
        salon.sweep(operation)
    assert operation.status == "succeeded"


def test_row_of_several__says_when_it_is_read_by_itself(salon: Salon, visit: Visit, desk: Client) -> None:
    salon.configure(REQUESTS_PER_MINUTE=8)
    desk.get(page(visit))
    Visit.objects.update(shown="")
    url = reverse("admin:altegio_loyalty_visit_batch_row", args=["apply_card_withdrawal"])
    row = desk.get(url, {"visit": visit.pk}).content.decode()
    assert 'data-wait="' in row
    assert " data-unread>" in row
