"""Log and visit drift apart: what was undone, taken or lost behind the log's back shows at the next reading."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.utils import timezone

from altegio_loyalty import services
from altegio_loyalty.delivery import explained
from altegio_loyalty.delivery.drift import end_applies
from altegio_loyalty.exceptions import OperationInProgress
from altegio_loyalty.models import LoyaltyOperation
from altegio_loyalty.states import CallOutcome, Ending, Purpose
from altegio_loyalty.wording import reason
from tests.delivery.salon import CANCEL, PROMOTION, Salon, Status, points
from tests.delivery.test_surplus import look

pytestmark = pytest.mark.django_db


def anew(operation: LoyaltyOperation) -> LoyaltyOperation:
    operation.refresh_from_db()
    return operation


def undo_in_altegio(salon: Salon, visit: Any) -> None:
    salon.ledger.cancel_withdrawal(visit, salon.card)


def long_ago(operation: LoyaltyOperation) -> None:
    finished_at = timezone.now() - datetime.timedelta(hours=1)
    LoyaltyOperation.objects.filter(pk=operation.pk).update(finished_at=finished_at)


def test_apply_that_is_gone_from_the_visit__counts_no_more_and_says_since_when(salon: Salon) -> None:
    """What was undone in Altegio's own screen is not in force here either."""
    visit = salon.visit()
    operation = salon.withdraw(visit)
    undo_in_altegio(salon, visit)
    look(salon, visit)
    assert anew(operation).undone_at is not None
    assert not operation.is_in_force
    assert operation.sentence.startswith("Done: 100 points taken. It is no longer on the visit since")
    assert operation.discrepancy == ""


def test_apply_that_took_nothing__is_not_told_to_be_gone(salon: Salon) -> None:
    """Nor does it hold up the next one."""
    salon.ledger.set_balance(salon.card, 0)
    salon.configure(SETTLE_SECONDS=60)
    visit = salon.visit()
    operation = salon.withdraw(visit)
    assert operation.applied_amount == 0
    long_ago(operation)
    look(salon, visit)
    assert anew(operation).undone_at is None
    assert salon.withdraw(visit).status == Status.SUCCEEDED


def test_price_that_was_lowered_meanwhile__limits_what_is_sent(salon: Salon) -> None:
    """Altegio may cap what it takes at the balance alone: no more is asked for than the look shows to be left."""
    visit = salon.visit(lines=[("Haircut", "60")])
    operation = salon.withdraw(visit, amount=100)
    sent = [request for request in salon.sandbox.requests if request.method == "POST"]
    assert [request.body["amount"] for request in sent] == [60]
    assert (operation.amount, operation.applied_amount) == (points(100), points(60))
    assert operation.sentence == "Less than asked: 60 of 100 points taken."


def test_bill_on_which_nothing_is_left__takes_nothing_and_sends_nothing(salon: Salon) -> None:
    other = salon.ledger.add_card(salon.client, balance=300)
    visit = salon.visit(lines=[("Haircut", "60")])
    salon.ledger.withdraw(visit, other, 60)
    operation = salon.withdraw(visit, amount=100)
    assert (operation.status, operation.applied_amount, salon.posts()) == (Status.SUCCEEDED, points(0), 0)
    assert "nothing is left to pay" in operation.sentence


def test_promotion_that_is_gone_from_the_visit__counts_no_more(salon: Salon) -> None:
    visit = salon.visit()
    operation = salon.ask(PROMOTION, visit)
    look(salon, visit)
    assert anew(operation).is_in_force
    salon.ledger.cancel_program(visit, salon.card, salon.program)
    look(salon, visit)
    assert not anew(operation).is_in_force


def test_what_a_reading_does_not_show_yet__is_not_gone(salon: Salon) -> None:
    """Altegio may show it a little later; only after SETTLE_SECONDS an absence says something."""
    salon.configure(SETTLE_SECONDS=60)
    visit = salon.visit()
    operation = salon.withdraw(visit)
    undo_in_altegio(salon, visit)
    look(salon, visit)
    assert anew(operation).is_in_force
    long_ago(operation)
    look(salon, visit)
    assert not anew(operation).is_in_force


def test_points_taken_in_altegio_after_ours_were_undone_there__are_not_ours(salon: Salon) -> None:
    """Taken here, undone there, taken here again: the log explains what the last one took, and nothing more."""
    visit = salon.visit()
    salon.withdraw(visit)
    undo_in_altegio(salon, visit)
    second = salon.withdraw(visit)
    assert second.applied_amount == points(100)
    salon.ledger.withdraw(visit, salon.card, 50)
    look(salon, visit)
    assert reason(anew(second).discrepancy) == "The visit shows 150 from this card, the log explains 100."


def test_late_effect__is_found_though_an_earlier_operation_took_as_much(salon: Salon) -> None:
    """The look before the first call showed that nothing of the earlier one was left."""
    salon.configure(MAX_ATTEMPTS=1)
    visit = salon.visit()
    salon.withdraw(visit)
    undo_in_altegio(salon, visit)
    salon.fail("cut_before", path="apply_card_withdrawal", times=1)
    operation = salon.withdraw(visit)
    salon.run_to_the_end(operation)
    assert operation.status == Status.FAILED
    salon.ledger.withdraw(visit, salon.card, 100)  # the effect of the call that was cut
    services.retry_operation(operation)
    salon.run_to_the_end(operation)
    assert (operation.status, operation.ending) == (Status.SUCCEEDED, Ending.FOUND)
    assert operation.applied_amount == points(100)
    assert salon.posts() == 2


def test_fewer_points_than_the_log_says__are_flagged_until_both_agree(salon: Salon) -> None:
    """A line that was paid is deleted in Altegio, and its points with it."""
    visit = salon.visit()
    operation = salon.withdraw(visit)
    undo_in_altegio(salon, visit)
    salon.ledger.withdraw(visit, salon.card, 40)
    look(salon, visit)
    assert reason(anew(operation).discrepancy).startswith(
        "The visit shows only 40 from this card, the log says 100."
    )
    salon.ledger.withdraw(visit, salon.card, 60)
    look(salon, visit)
    assert anew(operation).discrepancy == ""


def test_surplus_that_was_corrected_in_altegio__is_flagged_no_more(salon: Salon) -> None:
    visit = salon.visit()
    operation = salon.withdraw(visit)
    salon.ledger.withdraw(visit, salon.card, 70)
    look(salon, visit)
    assert anew(operation).discrepancy
    undo_in_altegio(salon, visit)
    salon.ledger.withdraw(visit, salon.card, 100)
    look(salon, visit)
    assert anew(operation).discrepancy == ""


def test_surplus_of_which_all_was_undone_in_altegio__is_flagged_no_more_by_the_first_reading(
    salon: Salon,
) -> None:
    visit = salon.visit()
    salon.withdraw(visit, 100)
    salon.ledger.withdraw(visit, salon.card, 60)
    refused = salon.withdraw(visit)
    assert refused.discrepancy
    undo_in_altegio(salon, visit)
    look(salon, visit)
    assert not anew(refused).discrepancy


def test_cancel_that_gives_back_fewer_points_than_the_log_says__is_flagged(salon: Salon) -> None:
    visit = salon.visit()
    salon.withdraw(visit)
    undo_in_altegio(salon, visit)
    salon.ledger.withdraw(visit, salon.card, 40)
    cancel = salon.ask(CANCEL, visit)
    assert cancel.returned_amount == points(40)
    assert reason(cancel.discrepancy).startswith("The visit shows only 40 from this card, the log says 100.")


def test_cancel__ends_what_it_undoes(salon: Salon) -> None:
    """The same key asked for once more gets an answer that is true now."""
    visit = salon.visit()
    operation = salon.withdraw(visit, idempotency_key="order-1")
    salon.ask(CANCEL, visit)
    again = salon.withdraw(visit, idempotency_key="order-1")
    assert again.pk == operation.pk
    assert not again.is_in_force
    assert again.applied_amount == points(100)
    assert "It is no longer on the visit since" in again.sentence


def test_cancel_of_nothing__keeps_the_suspicion_of_a_late_effect(salon: Salon) -> None:
    """Given up, cancelled to be safe, then the effect comes after all."""
    salon.configure(MAX_ATTEMPTS=1)
    visit = salon.visit()
    salon.fail("cut_before", path="apply_card_withdrawal", times=1)
    operation = salon.withdraw(visit)
    salon.run_to_the_end(operation)
    assert operation.status == Status.FAILED
    assert salon.ask(CANCEL, visit).ending == Ending.NOTHING_TO_CANCEL
    salon.ledger.withdraw(visit, salon.card, 100)
    look(salon, visit)
    assert reason(anew(operation).discrepancy) == "The visit shows 100 from this card, the log explains 0."


def test_cancel_of_what_altegio_does_not_show_yet__looks_again_and_then_tells(salon: Salon) -> None:
    """A read that lags right after an apply proves nothing; no attempt is used up meanwhile."""
    salon.configure(SETTLE_SECONDS=60)
    visit = salon.visit()
    operation = salon.withdraw(visit)
    undo_in_altegio(salon, visit)
    cancel = salon.ask(CANCEL, visit)
    assert (cancel.status, cancel.attempt_count) == (Status.PENDING, 0)
    assert "does not show yet" in cancel.sentence
    salon.age(cancel, 3)
    salon.sweep(cancel)
    assert cancel.status == Status.PENDING
    long_ago(operation)
    salon.age(cancel, 60)
    salon.run_to_the_end(cancel)
    assert cancel.ending == Ending.NOTHING_TO_CANCEL
    assert reason(cancel.discrepancy).startswith("The visit shows only 0 from this card, the log says 100.")
    assert not anew(operation).is_in_force
    assert salon.posts() == 1


def test_apply_right_after_another__waits_until_a_read_must_show_that_one(salon: Salon) -> None:
    """Sent on a look that lags, and without an answer, it would find the other one's points and call them its own."""
    salon.configure(SETTLE_SECONDS=60)
    visit = salon.visit()
    first = salon.withdraw(visit)
    undo_in_altegio(salon, visit)  # what a read that lags does not show
    second = salon.withdraw(visit)
    assert (second.status, second.attempt_count, salon.posts()) == (Status.PENDING, 0, 1)
    assert "does not show yet" in second.sentence
    salon.ledger.withdraw(visit, salon.card, 100)  # and now it does
    salon.age(second, 60)
    salon.run_to_the_end(second)
    assert (second.status, second.ending) == (Status.REJECTED, Ending.ALREADY_THERE)
    assert anew(first).is_in_force


def test_apply_right_after_another__is_not_looked_at_every_two_seconds_on_a_clock_put_back(
    salon: Salon,
) -> None:
    salon.configure(SETTLE_SECONDS=60)
    visit = salon.visit()
    first = salon.withdraw(visit)
    undo_in_altegio(salon, visit)
    ahead = timezone.now() + datetime.timedelta(minutes=5)
    LoyaltyOperation.objects.filter(pk=first.pk).update(finished_at=ahead)
    second = salon.withdraw(visit)
    assert second.status == Status.PENDING
    assert second.next_attempt_at is not None
    assert second.next_attempt_at > ahead - datetime.timedelta(minutes=1)


def test_apply_after_a_cancel__is_sent_at_once(salon: Salon) -> None:
    """Given back and taken anew at the desk: nothing is in force that a read could lag behind."""
    salon.configure(SETTLE_SECONDS=60)
    visit = salon.visit()
    salon.withdraw(visit)
    salon.ask(CANCEL, visit)
    assert salon.withdraw(visit, amount=50).status == Status.SUCCEEDED


def test_apply_right_after_a_cancel_that_a_read_does_not_show_yet__looks_again(salon: Salon) -> None:
    """What is still shown then is not "already there, perhaps from Altegio's own screen"."""
    salon.configure(SETTLE_SECONDS=60)
    visit = salon.visit()
    salon.withdraw(visit)
    salon.ask(CANCEL, visit)
    salon.ledger.withdraw(visit, salon.card, 100)  # what a read that lags still shows
    second = salon.withdraw(visit)
    assert second.status == Status.PENDING
    undo_in_altegio(salon, visit)
    salon.age(second, 60)
    salon.run_to_the_end(second)
    assert second.status == Status.SUCCEEDED


def test_cancel_in_doubt_right_after_an_apply__is_not_settled_by_a_read_that_may_lag_behind_it(
    salon: Salon,
) -> None:
    """A visit without the points may be the one of before they were taken."""
    salon.configure(SETTLE_SECONDS=60)
    visit = salon.visit()
    operation = salon.withdraw(visit)
    salon.fail("cut_before", path="cancel_card_withdrawal", times=1)
    cancel = salon.ask(CANCEL, visit)
    undo_in_altegio(salon, visit)  # what a read that lags shows
    salon.sweep(cancel)
    assert cancel.status == Status.UNCONFIRMED
    salon.ledger.withdraw(visit, salon.card, 100)  # and what one that does not
    long_ago(operation)
    salon.age(cancel, 61)
    salon.run_to_the_end(cancel)
    assert (cancel.status, cancel.returned_amount) == (Status.SUCCEEDED, points(100))
    assert salon.posts() == 3


def test_cancel_in_doubt_long_after_an_apply__is_settled_by_the_first_look(salon: Salon) -> None:
    salon.configure(SETTLE_SECONDS=60)
    visit = salon.visit()
    long_ago(salon.withdraw(visit))
    salon.fail("cut_after", path="cancel_card_withdrawal", times=1)
    cancel = salon.ask(CANCEL, visit)
    salon.run_to_the_end(cancel)
    assert (cancel.status, cancel.ending) == (Status.SUCCEEDED, Ending.FOUND)


def test_early_word_that_it_did_not_happen__keeps_the_card_taken_until_nothing_can_arrive(
    salon: Salon,
) -> None:
    """A new operation beside the late effect would take twice."""
    salon.configure(SETTLE_SECONDS=60)
    salon.fail("cut_before", path="apply_card_withdrawal", times=1)
    visit = salon.visit()
    operation = services.settle_operation(salon.withdraw(visit), happened=False, reason="Not there.")
    assert operation.status == Status.FAILED
    assert "until" in operation.sentence
    for deliver in ("now", "on_commit"):
        with pytest.raises(OperationInProgress) as refused:
            salon.withdraw(visit, deliver=deliver)
        assert refused.value.operation == operation
    salon.age(operation, 61)
    assert operation.sentence == "Not done: a person confirmed that it did not happen."
    assert salon.withdraw(visit).status == Status.SUCCEEDED
    assert anew(operation).open_key is None


def test_card_that_an_early_word_held__is_free_for_a_retry_as_well(salon: Salon) -> None:
    salon.configure(SETTLE_SECONDS=60, MAX_ATTEMPTS=1)
    visit = salon.visit()
    salon.fail("status_500", path="visit/details", times=1)
    given_up = salon.withdraw(visit)
    assert given_up.status == Status.FAILED
    salon.fail("cut_before", path="apply_card_withdrawal", times=1)
    decided = services.settle_operation(salon.withdraw(visit), happened=False, reason="Not there.")
    with pytest.raises(OperationInProgress):
        services.retry_operation(given_up)
    salon.age(decided, 61)
    assert services.retry_operation(anew(given_up)).status == Status.PENDING


def test_dead_workers_attempt__says_that_it_stayed_without_an_answer(salon: Salon) -> None:
    """What began just before the end of a lease can be open for the longest that a call can be."""
    operation, ended = salon.later(), timezone.now()
    LoyaltyOperation.objects.filter(pk=operation.pk).update(
        status=Status.SENDING, sent_at=ended, next_attempt_at=ended, seen_before=0
    )
    salon.sweep(operation)
    assert operation.status == Status.UNCONFIRMED
    assert operation.settles_at > ended + datetime.timedelta(seconds=20)
    stopped = operation.attempts.get(purpose=Purpose.SEND)
    assert stopped.outcome == CallOutcome.UNKNOWN


def test_stop_of_one_that_waits_after_a_call_without_an_answer__is_looked_up_first(salon: Salon) -> None:
    """A person's early word, a retry, then "Stop": the call may still arrive, so nothing is denied and nothing is free."""
    salon.configure(SETTLE_SECONDS=60)
    salon.fail("cut_before", path="apply_card_withdrawal", times=1)
    visit = salon.visit()
    operation = services.settle_operation(salon.withdraw(visit), happened=False, reason="Not there.")
    services.retry_operation(operation)
    services.stop_operation(operation)
    assert operation.status == Status.UNCONFIRMED
    salon.sweep(operation)
    assert operation.status == Status.UNCONFIRMED
    with pytest.raises(OperationInProgress):
        salon.withdraw(visit)
    salon.ledger.withdraw(visit, salon.card, 100)  # it arrives
    salon.age(operation, 61)
    salon.run_to_the_end(operation)
    assert (operation.status, operation.ending) == (Status.SUCCEEDED, Ending.FOUND)
    assert salon.posts() == 1


def test_late_effect__is_not_seen_in_what_a_cancel_took_back_moments_ago(salon: Salon) -> None:
    salon.configure(SETTLE_SECONDS=60, MAX_ATTEMPTS=1)
    visit = salon.visit()
    salon.fail("cut_before", path="apply_card_withdrawal", times=1)
    given_up = salon.withdraw(visit)
    salon.age(given_up, 61)
    salon.run_to_the_end(given_up)
    assert given_up.status == Status.FAILED
    salon.withdraw(visit)
    salon.ask(CANCEL, visit)
    salon.ledger.withdraw(visit, salon.card, 100)  # what a read that lags still shows
    services.retry_operation(given_up)
    salon.sweep(given_up)
    assert given_up.status == Status.PENDING
    undo_in_altegio(salon, visit)


def test_cancel__ends_no_apply_that_came_after_it(salon: Salon) -> None:
    """Its worker may have been held up between recording the cancel and marking what it ended."""
    visit = salon.visit()
    first = salon.withdraw(visit)
    cancel = salon.ask(CANCEL, visit)
    second = salon.withdraw(visit)
    end_applies(cancel)
    assert not anew(first).is_in_force
    assert anew(second).is_in_force


def test_call_told_after_another_worker_took_over__does_not_change_the_order(salon: Salon) -> None:
    visit = salon.visit()
    first = salon.withdraw(visit)
    salon.ask(CANCEL, visit)
    second = salon.withdraw(visit)
    first.attempts.create(purpose=Purpose.SEND, outcome=CallOutcome.UNKNOWN, is_late=True)
    assert explained.in_force(anew(first)) == [second]
    assert explained.explained_since_its_call(anew(first)) == 100


def test_bill_that_may_not_show_a_cancel_of_moments_ago__limits_nothing(salon: Salon) -> None:
    """With another card as well."""
    salon.configure(SETTLE_SECONDS=60)
    other = salon.ledger.add_card(salon.client, balance=300)
    visit = salon.visit(lines=[("Haircut", "60")])
    salon.withdraw(visit, amount=60, card_id=other.id)
    salon.ask(CANCEL, visit, card_id=other.id)
    salon.ledger.withdraw(visit, other, 60)  # what a read that lags still shows
    operation = salon.withdraw(visit, amount=60)
    assert (operation.status, operation.attempt_count) == (Status.PENDING, 0)


def test_doubt__is_settled_beside_rows_that_a_cancel_of_the_log_undid(salon: Salon) -> None:
    salon.ledger.rules.undone_rows = "stay"
    visit = salon.visit()
    salon.withdraw(visit)
    salon.ask(CANCEL, visit)
    salon.fail("cut_before", path="apply_card_withdrawal", times=1)
    operation = salon.withdraw(visit)
    salon.run_to_the_end(operation)
    assert (operation.status, operation.applied_amount) == (Status.SUCCEEDED, points(100))
