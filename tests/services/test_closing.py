"""What was given up or is at odds with the visit can be closed, with a reason, and opens again where it comes back."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.utils import timezone

from altegio_loyalty import database, services
from altegio_loyalty.delivery import transitions
from altegio_loyalty.exceptions import OperationNotAllowed
from altegio_loyalty.models import LoyaltyOperation
from altegio_loyalty.states import CallOutcome, Purpose
from tests.delivery.conftest import salon
from tests.delivery.salon import Salon, Status
from tests.delivery.test_surplus import look

__all__ = ["salon"]

pytestmark = pytest.mark.django_db
REASON = "Put right in Altegio."


def needing() -> list[LoyaltyOperation]:
    return list(LoyaltyOperation.objects.needing_attention())


def anew(operation: LoyaltyOperation) -> LoyaltyOperation:
    return LoyaltyOperation.objects.get(pk=operation.pk)


def close(operation: LoyaltyOperation, **more: Any) -> LoyaltyOperation:
    return services.close_operation(anew(operation), **{"reason": REASON, **more})


def given_up(salon: Salon) -> LoyaltyOperation:
    salon.configure(MAX_ATTEMPTS=1)
    salon.sandbox.stop()
    operation = salon.withdraw()
    assert operation.status == Status.FAILED
    return operation


def flagged(salon: Salon) -> tuple[Any, LoyaltyOperation]:
    """A withdrawal, and more on the visit than the log explains."""
    visit = salon.visit()
    operation = salon.withdraw(visit)
    salon.ledger.withdraw(visit, salon.card, 30)
    look(salon, visit)
    assert needing() == [operation]
    return visit, operation


def test_what_was_given_up_and_is_closed__needs_nobody(salon: Salon) -> None:
    operation = given_up(salon)
    assert needing() == [operation]
    close(operation)
    assert needing() == []
    assert anew(operation).status == Status.FAILED


def test_closing_stands_among_the_attempts_with_who_when_and_why(salon: Salon) -> None:
    jane = get_user_model().objects.create_user("jane")
    operation = given_up(salon)
    close(operation, by=jane)
    decision = operation.attempts.last()
    assert decision is not None
    assert (decision.purpose, decision.outcome) == (Purpose.DECISION, CallOutcome.CLOSED)
    assert (decision.error, decision.made_by, decision.made_by_login) == (REASON, jane, "jane")
    assert decision.started_at is not None


@pytest.mark.parametrize("reason", ["", "  \n"])
def test_closing_needs_a_reason(salon: Salon, reason: str) -> None:
    operation = given_up(salon)
    with pytest.raises(ValidationError):
        close(operation, reason=reason)
    assert needing() == [operation]


def test_what_needs_nobody_cannot_be_closed(salon: Salon) -> None:
    """Nor can what was closed already; and no decision is written."""
    done, closed = salon.withdraw(), close(given_up(salon))
    for operation in (done, closed):
        before = operation.attempts.count()
        with pytest.raises(OperationNotAllowed):
            close(operation)
        assert operation.attempts.count() == before


def test_a_doubt_cannot_be_closed(salon: Salon) -> None:
    """It is settled by a look-up, or by a person's word of what happened."""
    salon.fail("cut_after", path="apply_card_withdrawal", times=1)
    operation = salon.withdraw()
    with pytest.raises(OperationNotAllowed):
        close(operation)


def test_what_was_flagged_anew_since_it_was_read_is_not_closed(salon: Salon) -> None:
    """The person has not seen that."""
    visit, operation = flagged(salon)
    as_seen = anew(operation)
    salon.ledger.withdraw(visit, salon.card, 20)
    look(salon, visit)
    with pytest.raises(OperationNotAllowed):
        services.close_operation(as_seen, reason=REASON)
    assert needing() == [operation]


def test_a_closed_flag_stays_closed_while_the_visit_shows_the_same(salon: Salon) -> None:
    visit, operation = flagged(salon)
    close(operation)
    look(salon, visit)
    assert needing() == []
    assert not anew(operation).is_flagged


def test_a_closed_flag_opens_again_where_the_visit_shows_something_else(salon: Salon) -> None:
    visit, operation = flagged(salon)
    close(operation)
    salon.ledger.withdraw(visit, salon.card, 20)
    look(salon, visit)
    assert needing() == [operation]


def test_a_closed_flag_opens_again_where_it_was_put_right_and_came_back(salon: Salon) -> None:
    visit, operation = flagged(salon)
    close(operation)
    salon.ledger.cancel_withdrawal(visit, salon.card)
    salon.ledger.withdraw(visit, salon.card, 100)
    look(salon, visit)
    assert anew(operation).discrepancy == ""
    salon.ledger.withdraw(visit, salon.card, 30)
    look(salon, visit)
    assert needing() == [operation]


def test_a_flag_goes_by_itself_as_soon_as_the_visit_agrees(salon: Salon) -> None:
    visit, _operation = flagged(salon)
    salon.ledger.cancel_withdrawal(visit, salon.card)
    salon.ledger.withdraw(visit, salon.card, 100)
    look(salon, visit)
    assert needing() == []


def test_what_was_closed_and_is_given_up_again__needs_a_person_again(salon: Salon) -> None:
    operation = services.retry_operation(close(given_up(salon)))
    assert needing() == []
    salon.sweep(operation)
    assert anew(operation).status == Status.FAILED
    assert needing() == [operation]


def given_up_and_flagged(salon: Salon) -> tuple[Any, LoyaltyOperation]:
    """A withdrawal whose call stayed without an answer, judged too early: its points came all the same."""
    salon.configure(MAX_ATTEMPTS=1)
    salon.fail("cut_before", path="apply_card_withdrawal", times=1)
    visit = salon.visit()
    operation = salon.withdraw(visit)
    salon.run_to_the_end(operation)
    salon.ledger.withdraw(visit, salon.card, 100)
    look(salon, visit)
    assert (anew(operation).status, anew(operation).is_flagged) == (Status.FAILED, True)
    return visit, anew(operation)


def test_what_is_tried_again_is_not_closed_until_it_has_ended(salon: Salon) -> None:
    """Nobody can have looked into what has yet to come."""
    _visit, operation = given_up_and_flagged(salon)
    services.retry_operation(operation)
    with pytest.raises(OperationNotAllowed):
        close(operation)


def test_what_is_tried_again_and_found_is_at_odds_with_nothing(salon: Salon) -> None:
    """Its mark said that the log explained none of its own points."""
    visit, operation = given_up_and_flagged(salon)
    services.retry_operation(operation)
    salon.run_to_the_end(operation)
    assert (operation.status, operation.discrepancy) == (Status.SUCCEEDED, "")
    look(salon, visit)
    assert needing() == []


@pytest.mark.parametrize(
    "end",
    [
        lambda operation, now: transitions.out_of_time(operation, now),
        lambda _operation, now: transitions.succeeded(now, {"applied_amount": 150, "discrepancy": "odd"}),
    ],
    ids=["given up", "took too much"],
)
def test_an_end_is_seen_although_the_row_was_closed_before(salon: Salon, end: Any) -> None:
    operation = salon.later()
    LoyaltyOperation.objects.filter(pk=operation.pk).update(closed_at=timezone.now())
    assert database.change(anew(operation), end(anew(operation), timezone.now()))
    assert needing() == [operation]


def test_closing_changes_no_figure(salon: Salon) -> None:
    _visit, operation = flagged(salon)
    close(operation)
    closed = anew(operation)
    assert (closed.status, closed.applied_amount) == (Status.SUCCEEDED, Decimal(100))
