"""What is in force goes by the order in which the log was written, never by a clock; what never left has no effect."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.utils import timezone

from altegio_loyalty import services
from altegio_loyalty.client import Reply
from altegio_loyalty.delivery import claims
from altegio_loyalty.delivery.claims import Claim, claim_to_send
from altegio_loyalty.exceptions import NoAnswer, OperationNotAllowed
from altegio_loyalty.models import LoyaltyOperation
from altegio_loyalty.states import CallOutcome, Purpose
from altegio_loyalty.wording import reason
from tests.chaos.clock import Clock
from tests.delivery.salon import (
    CANCEL,
    KINDS,
    PROMOTION,
    PROMOTION_BACK,
    WITHDRAWAL,
    Ending,
    Salon,
    Status,
    points,
)

pytestmark = pytest.mark.django_db


def put_back(operation: LoyaltyOperation, seconds: float) -> None:
    """As if the clock of the worker that ended it had been that much behind."""
    earlier = timezone.now() - datetime.timedelta(seconds=seconds)
    LoyaltyOperation.objects.filter(pk=operation.pk).update(finished_at=earlier)


def test_clock_put_back_between_apply_and_cancel__changes_nothing(salon: Salon) -> None:
    """The cancel came second, whatever the times say: a retry does not claim the points of the next one."""
    visit = salon.visit()
    salon.fail("cut_before", path="apply_card_withdrawal", times=1)
    in_doubt = services.settle_operation(salon.withdraw(visit), happened=False, reason="Not there.")
    salon.withdraw(visit)
    put_back(salon.ask(CANCEL, visit), 3600)
    salon.withdraw(visit)
    services.retry_operation(in_doubt)
    salon.run_to_the_end(in_doubt)
    assert (in_doubt.status, in_doubt.ending) == (Status.REJECTED, Ending.ALREADY_THERE)
    assert salon.ledger.withdrawn(visit, salon.card) == points(100)


def test_cancel_that_the_clock_says_came_first__leaves_nothing_to_cancel(salon: Salon) -> None:
    """The next cancel points at no withdrawal that was given back already."""
    visit = salon.visit()
    salon.withdraw(visit)
    put_back(salon.ask(CANCEL, visit), 3600)
    assert salon.ask(CANCEL, visit).cancels is None


def test_retry_after_another_was_given_back__is_in_force(salon: Salon) -> None:
    """The older row took effect last: what a cancel of the newer one gave back is not its points."""
    visit = salon.visit()
    salon.configure(MAX_ATTEMPTS=1)
    salon.fail("rate_limited", path="apply_card_withdrawal", times=1)
    first = salon.withdraw(visit, 70)
    assert first.status == Status.FAILED
    salon.withdraw(visit, 100)
    salon.ask(CANCEL, visit)
    services.retry_operation(first)
    salon.run_to_the_end(first)
    assert salon.ask(CANCEL, visit).cancels == first


@pytest.mark.parametrize("kind", KINDS)
def test_what_never_left__claims_nothing_that_somebody_else_did(salon: Salon, kind: str) -> None:
    """Its worker died before the mark, a person said that it did not happen; then somebody did it in Altegio's screen."""
    visit = salon.prepared(kind)
    operation = salon.later(visit, kind)
    assert claim_to_send(operation) is not None
    salon.age(operation, 61)
    salon.fail("status_500", path="visit_details", times=1)
    salon.sweep(operation)
    assert operation.status == Status.UNCONFIRMED
    assert "stopped before anything was sent" in operation.sentence
    services.settle_operation(operation, happened=False, reason="Not there.")
    act: dict[str, Any] = {
        "apply_card_withdrawal": lambda: salon.ledger.withdraw(visit, salon.card, 70),
        "cancel_card_withdrawal": lambda: salon.ledger.cancel_withdrawal(visit, salon.card),
        "apply_discount_program": lambda: salon.ledger.apply_program(visit, salon.card, salon.program),
        "cancel_discount_program": lambda: salon.ledger.cancel_program(visit, salon.card, salon.program),
    }
    act[kind]()
    services.retry_operation(operation)
    salon.run_to_the_end(operation)
    assert operation.ending in (Ending.ALREADY_THERE, Ending.NOTHING_TO_CANCEL)
    assert operation.applied_amount is None
    assert salon.posts() == 0


def test_look_that_failed__is_not_told_as_a_doubt(salon: Salon) -> None:
    """Nothing was sent, so nothing is unknown but what the visit holds."""
    salon.fail("hang", path="visit_details", times=1)
    operation = salon.withdraw()
    assert operation.status == Status.PENDING
    assert [row.get_outcome_display() for row in operation.attempts.all()] == ["could not be read"]


@pytest.mark.parametrize(
    ("decide", "outcome"), [(services.retry_operation, "retried"), (services.stop_operation, "stopped")]
)
def test_each_decision__is_a_row_with_who_and_when(
    salon: Salon, admin_user: Any, decide: Any, outcome: str
) -> None:
    """Also those that ask for no reason."""
    operation = salon.later()
    decide(operation, by=admin_user)
    row = operation.attempts.get()
    assert (row.purpose, row.outcome, row.made_by) == ("decision", outcome, admin_user)
    assert row.started_at is not None


def test_decision_that_came_too_late__leaves_no_row(salon: Salon) -> None:
    """Who decided nothing is not told to have decided."""
    operation = salon.later()
    stale = LoyaltyOperation.objects.get(pk=operation.pk)
    salon.sweep(operation)
    with pytest.raises(OperationNotAllowed):
        services.stop_operation(stale)
    assert not operation.attempts.filter(purpose="decision").exists()


def test_withdrawals_of_two_cards_on_one_visit__are_each_its_own(salon: Salon) -> None:
    """What one card paid explains nothing of the other."""
    other = salon.ledger.add_card(salon.client, balance=300)
    visit = salon.visit()
    salon.withdraw(visit, 100)
    second = salon.withdraw(visit, 50, card_id=other.id)
    assert (second.status, second.applied_amount) == (Status.SUCCEEDED, points(50))
    cancel = salon.ask(CANCEL, visit, card_id=other.id)
    assert (cancel.returned_amount, cancel.cancels) == (points(50), second)
    assert salon.ledger.withdrawn(visit, salon.card) == points(100)
    assert [effect.amount for effect in salon.effects(WITHDRAWAL, visit)] == [100, 50]


def test_cancel_for_the_card_that_paid_first__speaks_of_that_card_alone(salon: Salon) -> None:
    """The other card paid later: its withdrawal is not the one undone, and explains no surplus of this one."""
    other = salon.ledger.add_card(salon.client, balance=300)
    visit = salon.visit()
    first = salon.withdraw(visit, 100)
    salon.withdraw(visit, 50, card_id=other.id)
    salon.ledger.withdraw(visit, salon.card, 30)
    cancel = salon.ask(CANCEL, visit)
    assert (cancel.returned_amount, cancel.cancels) == (points(130), first)
    assert reason(cancel.discrepancy) == "The visit shows 130 from this card, the log explains 100."
    assert salon.ledger.withdrawn(visit, other) == points(50)


def test_promotions_of_one_card__are_each_its_own(salon: Salon) -> None:
    """What one promotion took off explains nothing of the other, and a cancel undoes the one that it names."""
    other = salon.ledger.add_program(title="Spring", percent=5)
    salon.ledger.card(salon.card.id).program_ids.append(other.id)
    visit = salon.visit()
    first = salon.ask(PROMOTION, visit)
    second = salon.ask(PROMOTION, visit, program_id=other.id)
    assert (first.applied_amount, second.applied_amount) == (points(302), points(151))
    cancel = salon.ask(PROMOTION_BACK, visit)
    assert (cancel.returned_amount, cancel.cancels) == (points(302), first)
    assert salon.ledger.discounted(visit, other) == points(151)


def cancel_settled_too_early(salon: Salon, visit: Any) -> LoyaltyOperation:
    """A cancel without an answer, of which a person wrongly said that it did not happen."""
    salon.fail("cut_before", path="cancel_card_withdrawal", times=1)
    return services.settle_operation(salon.ask(CANCEL, visit), happened=False, reason="Still there.")


def test_cancel_before_the_unanswered_one__explains_none_of_its_late_effect(salon: Salon) -> None:
    """Only what came after the lost call can have done its work."""
    visit = salon.visit()
    salon.withdraw(visit)
    salon.ask(CANCEL, visit)
    salon.withdraw(visit)
    in_doubt = cancel_settled_too_early(salon, visit)
    salon.ledger.cancel_withdrawal(visit, salon.card, by="api")
    services.retry_operation(in_doubt)
    salon.run_to_the_end(in_doubt)
    assert (in_doubt.status, in_doubt.ending) == (Status.SUCCEEDED, Ending.FOUND)


def test_cancel_that_found_nothing__explains_no_late_effect_of_another(salon: Salon) -> None:
    """It gave nothing back: the effect of the lost call was there before it."""
    visit = salon.visit()
    salon.withdraw(visit)
    in_doubt = cancel_settled_too_early(salon, visit)
    salon.ledger.cancel_withdrawal(visit, salon.card, by="api")
    assert salon.ask(CANCEL, visit).ending == Ending.NOTHING_TO_CANCEL
    services.retry_operation(in_doubt)
    salon.run_to_the_end(in_doubt)
    assert (in_doubt.status, in_doubt.ending) == (Status.SUCCEEDED, Ending.FOUND)


def test_withdrawal_after_the_unanswered_cancel__explains_none_of_its_late_effect(salon: Salon) -> None:
    """What took points gave none back."""
    visit = salon.visit()
    salon.withdraw(visit)
    in_doubt = cancel_settled_too_early(salon, visit)
    salon.ledger.cancel_withdrawal(visit, salon.card)
    salon.withdraw(visit)
    salon.ledger.cancel_withdrawal(visit, salon.card, by="api")
    services.retry_operation(in_doubt)
    salon.run_to_the_end(in_doubt)
    assert (in_doubt.status, in_doubt.ending) == (Status.SUCCEEDED, Ending.FOUND)


def test_call__is_kept_with_how_long_it_took() -> None:
    """In milliseconds, also where it failed."""
    clock, claim = Clock(), Claim(LoyaltyOperation(pk=1))

    def ask() -> Reply:
        clock.passed += 1000
        raise NoAnswer("Altegio did not answer.")

    with clock.running(), pytest.raises(NoAnswer):
        claim.call("look", ask)
    assert 1_000_000 <= (claim.calls[0].duration_ms or 0) < 1_001_000


def test_what_became_of_a_send_that_nobody_can_name__is_unknown() -> None:
    assert claims._outcome_of(Purpose.SEND, "of a newer release") == CallOutcome.UNKNOWN  # type: ignore[arg-type]
