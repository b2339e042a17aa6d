"""What the visit's page says of the bill and of the cards, whatever of them Altegio does not tell."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from altegio_loyalty.models import LoyaltyOperation, Visit
from altegio_loyalty.sandbox import answers
from tests.delivery.rewritten import Rewritten
from tests.delivery.salon import CANCEL, PROMOTION_BACK, WITHDRAWAL, Salon

pytestmark = pytest.mark.django_db(transaction=True)

KINDS = [kind.value for kind in LoyaltyOperation.Kind]
OFF = {"type_id": 1, "program_id": 5, "card_id": 0, "amount": 100, "is_discount": True}


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Rewritten:
    return Rewritten(monkeypatch)


@pytest.fixture
def desk(sign_in: Callable[..., Client]) -> Client:
    return sign_in("view_visit", "view_loyaltyoperation", *KINDS)


def kept(salon: Salon, visit: Any) -> Visit:
    return Visit.objects.create(
        id=visit.id, location=salon.location, record_id=visit.record_id, client_id=salon.client.id
    )


def text_of(response: Any) -> str:
    """What a person reads of the page."""
    assert response.status_code == 200
    words = re.sub(r"<(script|style).*?</\1>|<[^>]+>", " ", response.content.decode(), flags=re.DOTALL)
    return " ".join(html.unescape(words).split())


def page(desk: Client, visit: Visit) -> str:
    return text_of(desk.get(reverse("admin:altegio_loyalty_visit_change", args=[visit.pk]), {"read": 1}))


def form(desk: Client, visit: Visit, kind: str = WITHDRAWAL) -> str:
    address = reverse("admin:altegio_loyalty_visit_operate", args=[kind])
    return text_of(desk.get(address, {"visit": visit.pk, "read": 1}))


def test_price_that_altegio_does_not_give__is_named_and_nothing_is_said_to_be_paid(
    salon: Salon, desk: Client, shown: Rewritten
) -> None:
    shown.visit = {"items": [{"item_title": "Haircut", "cost": None}, {"item_title": "Wax", "cost": 20}]}
    visit = kept(salon, salon.visit())
    text = page(desk, visit)
    assert "Not known: Altegio gives no price for Haircut." in text
    assert "Left to pay not known" in text
    assert "nothing is left to pay" not in text.lower()
    assert "Withdraw up to 500" in text
    visit.refresh_from_db()
    assert visit.due_amount is None
    assert "Not known: Altegio gives no price for Haircut." in form(desk, visit)


def test_bill_that_is_covered_beyond_its_price__says_by_how_much_and_the_way_out(
    salon: Salon, desk: Client, shown: Rewritten
) -> None:
    there = salon.visit()
    salon.ledger.set_balance(salon.card, 3000)
    salon.ledger.withdraw(there, salon.card, 3000)
    shown.visit = {"items": [{"item_title": "Haircut", "cost": 1000, "first_cost": 1000}]}
    visit = kept(salon, there)
    for text in (page(desk, visit), form(desk, visit)):
        assert "come to 2000 more than the bill. Cancel what is too much" in text
        assert "paid in full" not in text


@pytest.mark.parametrize("row", [{"type_id": 8, "amount": 100, "is_loyalty_withdraw": True}, OFF])
def test_row_without_a_card__is_told_as_applied(
    salon: Salon, desk: Client, shown: Rewritten, row: dict[str, Any]
) -> None:
    shown.more = [row]
    text = page(desk, kept(salon, salon.visit()))
    assert "No points and no promotion." not in text
    assert ("Gift card 100 off" in text) == (row["type_id"] == 8)
    assert ("Promotion that only Altegio can take back 100 off" in text) == (row is OFF)
    assert "Left to pay 2,920" in text.replace("2920", "2,920")


def test_price_that_may_hold_the_promotion_already__is_told_as_about(
    salon: Salon, desk: Client, shown: Rewritten
) -> None:
    """The button asks for no more than either reading allows."""
    salon.ledger.set_balance(salon.card, 3000)
    shown.more = [OFF]
    shown.visit = {"items": [{"item_title": "Haircut", "cost": 900, "first_cost": 1000}]}
    visit = kept(salon, salon.visit())
    text = page(desk, visit)
    assert "Left to pay 800 to 900" in text
    assert "So 800 to 900 is left to pay." in text
    assert "Withdraw up to 800" in text
    visit.refresh_from_db()
    assert visit.due_amount is None


def test_bill_that_one_reading_calls_paid__is_not_told_as_paid(
    salon: Salon, desk: Client, shown: Rewritten
) -> None:
    shown.more = [OFF]
    shown.visit = {"items": [{"item_title": "Haircut", "cost": 100, "first_cost": 200}]}
    text = page(desk, kept(salon, salon.visit()))
    assert "Left to pay 0 to 100" in text
    assert "paid in full" not in text
    assert "Withdraw up to 100" in text


def test_status_that_nobody_knows__is_shown_as_not_known_and_nothing_is_offered_on_its_account(
    salon: Salon, desk: Client, shown: Rewritten
) -> None:
    there = salon.visit(lines=[("Haircut", "1000")])
    salon.ledger.withdraw(there, salon.card, 100)
    shown.cells = {"status_id": 7}
    visit = kept(salon, there)
    text = page(desk, visit)
    assert "? points taken" in text
    assert "Not known; look in Altegio." in text
    assert "status_id: nobody knows what the status 7 means" in text
    assert "Left to pay not known" in text
    assert "No points and no promotion." not in text
    assert "Not known whether points of this card are taken already; look in Altegio" in text
    assert "Withdraw up to" not in form(desk, visit)
    assert "nothing to cancel" not in form(desk, visit, CANCEL)
    assert "? points taken" in form(desk, visit, CANCEL)
    shown.visit = {"loyalty_transactions": [{}]}
    Visit.objects.update(shown="")  # as if seconds had passed
    for kind in (CANCEL, PROMOTION_BACK):
        assert "Not known; look in Altegio." in form(desk, visit, kind)
    assert not salon.posts()


def cards_as(monkeypatch: pytest.MonkeyPatch, change: Callable[[dict[str, Any]], Any]) -> None:
    real = answers.card
    monkeypatch.setattr(answers, "card", lambda *arguments: change(real(*arguments)))


def test_card_without_a_balance__stays_usable_beside_the_others(
    salon: Salon, desk: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = salon.ledger.add_card(salon.client, balance="70", title="Silver")
    program = {"id": 9, "title": "Odd", "value": None}
    cards_as(
        monkeypatch,
        lambda card: card if card["id"] == other.id else {**card, "balance": None, "programs": [program]},
    )
    visit = kept(salon, salon.visit())
    text = page(desk, visit)
    assert "balance unknown Withdraw up to 3020" in text
    assert "70 points Withdraw up to 70" in text
    assert "Odd" in text
    assert "Afterwards 0 is left to pay." in form(desk, visit)


def test_card_that_cannot_be_read__is_said_to_be_left_out(
    salon: Salon, desk: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards_as(monkeypatch, lambda card: {**card, "id": None})
    text = page(desk, kept(salon, salon.visit()))
    assert "1 card or promotion could not be read, and is left out here." in text
    assert "no loyalty card" not in text
