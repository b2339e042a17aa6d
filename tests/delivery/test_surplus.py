"""More points on a visit than the log explains: whoever opens the visit brings it to light."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import timezone

from altegio_loyalty import services, signals
from altegio_loyalty.models import LoyaltyOperation
from altegio_loyalty.wording import reason
from tests.delivery.salon import CANCEL, Salon, Status

pytestmark = pytest.mark.django_db


@pytest.fixture
def told() -> Iterator[list[int]]:
    """The operations that a person was asked to look at."""
    numbers: list[int] = []

    def receive(operation: LoyaltyOperation, **kwargs: Any) -> None:
        numbers.append(operation.pk)

    signals.operation_needs_attention.connect(receive)
    yield numbers
    signals.operation_needs_attention.disconnect(receive)


def newest(visit: Any) -> list[LoyaltyOperation]:
    return list(LoyaltyOperation.objects.filter(visit_id=visit.id).order_by("-pk"))


def look(salon: Salon, visit: Any) -> None:
    """What the page of the visit does."""
    known, read_at = newest(visit), timezone.now()
    reading = services.read_visit(salon.location, visit_id=visit.id, record_id=visit.record_ids[0])
    assert reading.details is not None
    services.judge_reading(visit.id, reading.details, known, read_at)


def test_points_beyond_the_log__are_flagged_once(salon: Salon, told: list[int]) -> None:
    """The last withdrawal of the card bears the mark, and a second look adds nothing."""
    visit = salon.visit()
    operation = salon.withdraw(visit)
    salon.ledger.withdraw(visit, salon.card, 70)
    look(salon, visit)
    look(salon, visit)
    operation.refresh_from_db()
    assert reason(operation.discrepancy) == "The visit shows 170 from this card, the log explains 100."
    assert operation.status == Status.SUCCEEDED
    assert told == [operation.pk]
    assert list(LoyaltyOperation.objects.needing_attention()) == [operation]


def test_effect_that_came_after_the_doubt_was_settled__is_flagged(salon: Salon, told: list[int]) -> None:
    """The one thing that no client of this API can rule out is at least seen."""
    salon.configure(MAX_ATTEMPTS=1)
    salon.fail("cut_before", path="apply_card_withdrawal", times=1)
    visit = salon.visit()
    operation = salon.withdraw(visit)
    salon.run_to_the_end(operation)
    assert operation.status == Status.FAILED
    told.clear()
    salon.ledger.withdraw(visit, salon.card, 100)
    look(salon, visit)
    operation.refresh_from_db()
    assert reason(operation.discrepancy) == "The visit shows 100 from this card, the log explains 0."
    assert told == [operation.pk]


def test_what_the_log_explains__is_not_flagged(salon: Salon, told: list[int]) -> None:
    """Two withdrawals, the first given back: the second explains what is there."""
    visit = salon.visit()
    salon.withdraw(visit, amount=60)
    salon.ask(CANCEL, visit)
    salon.withdraw(visit, amount=100)
    look(salon, visit)
    assert told == []


def test_what_only_altegio_knows_of__is_not_flagged(salon: Salon, told: list[int]) -> None:
    """Staff who work in Altegio's own screen are not reported for it, neither before nor after a cancel of ours."""
    visit = salon.visit()
    salon.ledger.withdraw(visit, salon.card, 70)
    look(salon, visit)
    salon.ask(CANCEL, visit)
    salon.ledger.withdraw(visit, salon.card, 70)
    look(salon, visit)
    assert told == []


def test_while_an_operation_is_open__nothing_is_flagged(salon: Salon, told: list[int]) -> None:
    """What is there more may be its effect."""
    salon.configure(SETTLE_SECONDS=60)
    visit = salon.visit()
    salon.withdraw(visit)
    salon.later(visit, CANCEL)
    salon.ledger.withdraw(visit, salon.card, 70)
    look(salon, visit)
    assert told == []


def test_what_changed_since_the_visit_was_read__is_left_to_the_next_reading(
    salon: Salon, told: list[int]
) -> None:
    """An old reading says nothing about a withdrawal that came after it."""
    visit = salon.visit()
    salon.withdraw(visit)
    salon.ledger.withdraw(visit, salon.card, 70)
    known, read_at = newest(visit), timezone.now()
    reading = services.read_visit(salon.location, visit_id=visit.id, record_id=visit.record_ids[0])
    assert reading.details is not None
    salon.ask(CANCEL, visit)
    later = salon.withdraw(visit, amount=50)
    told.clear()
    services.judge_reading(visit.id, reading.details, known, read_at)
    assert told == []
    later.refresh_from_db()
    assert later.discrepancy == ""


def test_points_of_another_card__are_flagged_on_that_cards_operation(salon: Salon, told: list[int]) -> None:
    """Two cards paid on one visit: each withdrawal answers for its own card alone."""
    other = salon.ledger.add_card(salon.client, balance=300)
    visit = salon.visit()
    first = salon.withdraw(visit, 100, card_id=other.id)
    second = salon.withdraw(visit, 50)
    look(salon, visit)
    assert told == []
    salon.ledger.withdraw(visit, other, 70)
    look(salon, visit)
    assert told == [first.pk]
    second.refresh_from_db()
    assert second.discrepancy == ""
