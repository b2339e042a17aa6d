"""Rule 3: nothing in doubt is sent again; and what a look-up proves, when, and what it can't."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from altegio_loyalty import services
from altegio_loyalty.delivery.claims import claim_to_look
from altegio_loyalty.delivery.doubt import look_up
from altegio_loyalty.models import LoyaltyOperation, OperationAttempt
from altegio_loyalty.wording import reason
from tests.delivery.rawserver import EMPTY_VISIT, RawServer, answer_of
from tests.delivery.salon import (
    CANCEL,
    KINDS,
    PROMOTION,
    WITHDRAWAL,
    Ending,
    Salon,
    Status,
    is_in_seconds,
    points,
    seconds_from_now,
)

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("kind", KINDS)
def test_before_settle_seconds__nothing_is_sent_again(salon: Salon, kind: str) -> None:
    """A look-up that does not find the effect proves nothing until SETTLE_SECONDS after the unanswered call."""
    salon.configure(SETTLE_SECONDS=60)
    visit = salon.prepared(kind)
    salon.fail("cut_before", path=f"loyalty/{kind}", times=1)
    operation = salon.ask(kind, visit)
    for _ in range(5):
        salon.sweep(operation)
        assert operation.status == Status.UNCONFIRMED
    assert salon.posts(visit) == 1

    salon.age(operation, 61)
    salon.run_to_the_end(operation)
    assert operation.status == Status.SUCCEEDED
    assert salon.posts(visit) == 2
    assert len(salon.effects(kind, visit)) == 1


def test_look_up_that_finds_the_effect__settles_at_once(salon: Salon) -> None:
    """A person is waiting: what is there needs no SETTLE_SECONDS."""
    salon.configure(SETTLE_SECONDS=3600)
    salon.fail("cut_after", path="apply_card_withdrawal", times=1)
    operation = salon.withdraw()
    assert seconds_from_now(operation.next_attempt_at) <= 0
    salon.sweep(operation)
    assert operation.status == Status.SUCCEEDED
    assert operation.ending == Ending.FOUND
    assert operation.applied_amount == points(100)
    assert operation.last_error == ""


def test_late_effect_within_the_settle_time__is_found_and_not_repeated(salon: Salon) -> None:
    """An effect that arrives after the connection broke is found by a later look-up."""
    salon.configure(SETTLE_SECONDS=30)
    visit = salon.visit()
    salon.fail("late_effect", path="apply_card_withdrawal", times=1, seconds=3600)
    operation = salon.withdraw(visit)
    salon.sweep(operation)
    assert operation.status == Status.UNCONFIRMED
    salon.sandbox.advance(3600)
    salon.sweep(operation)
    assert operation.status == Status.SUCCEEDED
    assert salon.posts() == 1
    assert len(salon.effects(WITHDRAWAL, visit)) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_effect_later_than_the_settle_time__is_never_denied(salon: Salon, kind: str) -> None:
    """What no client can close is not made worse: the effect of our own unanswered call is not taken for another's."""
    visit = salon.prepared(kind)
    salon.fail("late_effect", path=f"loyalty/{kind}", times=1, seconds=3600)
    salon.configure(RETRY_DELAY=60)
    operation = salon.ask(kind, visit)
    while operation.status == Status.UNCONFIRMED:
        salon.sweep(operation)  # with SETTLE_SECONDS 0 this proves, too early, that it did not happen
    if operation.status == Status.PENDING:
        salon.sandbox.advance(3600)
        salon.age(operation, 61)
        salon.run_to_the_end(operation)
    assert len(salon.effects(kind, visit)) == 1
    assert operation.status == Status.SUCCEEDED
    assert operation.ending != Ending.NOTHING_TO_CANCEL
    if kind == WITHDRAWAL:
        assert operation.applied_amount == points(100)


def test_while_look_ups_fail__it_stays_in_doubt_however_long(salon: Salon) -> None:
    """Neither MAX_ATTEMPTS nor RETRY_WINDOW ends a doubt: only a look or a person does."""
    salon.configure(MAX_ATTEMPTS=1, RETRY_WINDOW=10)
    salon.fail("cut_before", path="apply_card_withdrawal", times=1)
    operation = salon.withdraw()
    salon.fail("status_500", path="visit_details")
    for _ in range(4):
        salon.age(operation, 3600)
        salon.sweep(operation)
        assert operation.status == Status.UNCONFIRMED
    salon.sandbox.heal()
    salon.sweep(operation)
    assert operation.status == Status.FAILED
    assert salon.posts() == 1


def test_look_ups_are_due_when_absence_begins_to_prove_something(salon: Salon) -> None:
    """However long the backoff has grown, a look-up comes when SETTLE_SECONDS are over."""
    salon.configure(SETTLE_SECONDS=20, RETRY_DELAY=100_000, RETRY_DELAY_MAX=100_000)
    salon.fail("cut_before", path="apply_card_withdrawal", times=1)
    operation = salon.withdraw()
    salon.sweep(operation)
    assert operation.status == Status.UNCONFIRMED
    assert seconds_from_now(operation.next_attempt_at) <= 20


def test_somebody_elses_withdrawal_in_doubt__is_flagged(salon: Salon) -> None:
    """More on the visit than was asked is a success that a person must look at."""
    visit = salon.visit()
    salon.fail("cut_after", path="apply_card_withdrawal", times=1)
    operation = salon.withdraw(visit)
    salon.ledger.withdraw(visit, salon.card, 70)
    salon.sweep(operation)
    assert operation.status == Status.SUCCEEDED
    assert operation.applied_amount == points(170)
    assert "170" in operation.discrepancy
    assert operation in LoyaltyOperation.objects.needing_attention()


def test_more_than_asked_in_the_answer__is_flagged(salon: Salon) -> None:
    """A click in Altegio's own screen between our look and our call shows in the answer; the success stays one."""
    rows = [{"id": 1, "type_id": 3, "card_id": salon.card.id, "amount": 170.0000000001}]

    def answer(method: str, path: str, connection: object) -> bytes:
        return answer_of({**EMPTY_VISIT, "loyalty_transactions": rows if method == "POST" else []})

    with RawServer(answer) as server:
        salon.configure(API_URL=server.url)
        operation = salon.withdraw()
    assert operation.status == Status.SUCCEEDED
    assert operation.applied_amount == points(170)
    assert "170" in operation.discrepancy


def test_attempts_tell_the_story(salon: Salon) -> None:
    """Each HTTP call is a row, with what it was for and what became of it."""
    salon.configure(SETTLE_SECONDS=60)
    salon.fail("status_500", path="apply_card_withdrawal", times=1)
    operation = salon.withdraw()
    salon.sweep(operation)
    salon.age(operation, 61)
    salon.run_to_the_end(operation)
    told = list(operation.attempts.values_list("purpose", "outcome", "http_status"))
    assert told == [
        ("look", "ok", 200),
        ("send", "unknown", 500),
        ("look_up", "still_open", 200),
        ("look_up", "did_not_happen", 200),
        ("look", "ok", 200),
        ("send", "ok", 200),
    ]


# A person decides


def test_stop_in_doubt__that_did_not_happen__is_abandoned(salon: Salon) -> None:
    """It is still looked up, and never sent again."""
    salon.configure(SETTLE_SECONDS=60)
    visit = salon.visit()
    salon.fail("cut_before", path="apply_card_withdrawal", times=1)
    operation = salon.withdraw(visit)
    services.stop_operation(operation)
    assert operation.status == Status.UNCONFIRMED
    salon.sweep(operation)
    assert operation.status == Status.UNCONFIRMED
    salon.age(operation, 61)
    salon.sweep(operation)
    assert operation.status == Status.ABANDONED
    assert operation.open_key is None
    assert salon.posts() == 1
    assert salon.effects(WITHDRAWAL, visit) == []


def test_stop_in_doubt__during_a_look_up__is_looked_up_again_at_once(salon: Salon) -> None:
    """The look-up under way may decide nothing any more; nobody should wait for the end of its lease."""
    salon.configure(SETTLE_SECONDS=60)
    salon.fail("cut_after", path="apply_card_withdrawal", times=1)
    operation = salon.withdraw()
    assert claim_to_look(operation) is not None
    services.stop_operation(operation)
    salon.sweep(operation)
    assert operation.status == Status.SUCCEEDED


def test_stop_in_doubt__that_happened__is_succeeded(salon: Salon) -> None:
    """Who stops too late is told so."""
    visit = salon.visit()
    salon.fail("cut_after", path="apply_card_withdrawal", times=1)
    operation = services.stop_operation(salon.withdraw(visit))
    salon.sweep(operation)
    assert operation.status == Status.SUCCEEDED
    assert len(salon.effects(WITHDRAWAL, visit)) == 1


@pytest.mark.parametrize("happened", [True, False])
def test_settle__is_a_row_of_its_own(salon: Salon, admin_user: Any, happened: bool) -> None:
    """A verdict keeps who, when and why, ends the doubt, and nothing is sent or looked up after it."""
    salon.configure(SETTLE_SECONDS=60)
    salon.fail("cut_before", path="apply_card_withdrawal", times=1)
    operation = salon.withdraw()
    request_count = len(salon.sandbox.requests)
    services.settle_operation(operation, happened=happened, reason="Seen in the journal.", by=admin_user)
    operation.refresh_from_db()
    assert operation.status == (Status.SUCCEEDED if happened else Status.FAILED)
    assert operation.next_attempt_at is None
    verdict = operation.attempts.get(purpose=OperationAttempt.Purpose.DECISION)
    assert (verdict.made_by, verdict.error) == (admin_user, "Seen in the journal.")
    salon.age(operation, 600)
    salon.sweep(operation)
    assert len(salon.sandbox.requests) == request_count


def test_retry_of_one_settled_as_not_happened__waits_for_the_settle_time(salon: Salon) -> None:
    """A person may err: what was never answered is not sent again before SETTLE_SECONDS after that call."""
    salon.configure(SETTLE_SECONDS=60)
    salon.fail("late_effect", path="apply_card_withdrawal", times=1, seconds=3600)
    visit = salon.visit()
    began = timezone.now()
    operation = services.settle_operation(salon.withdraw(visit), happened=False, reason="Not there.")
    services.retry_operation(operation)
    salon.sweep(operation)
    assert operation.status == Status.PENDING
    assert salon.posts() == 1
    assert is_in_seconds(60, operation.next_attempt_at, began)
    salon.sandbox.advance(3600)
    salon.age(operation, 61)
    salon.run_to_the_end(operation)
    assert salon.posts() == 1
    assert len(salon.effects(WITHDRAWAL, visit)) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_retry_of_one_given_up__does_not_claim_what_another_did_since(salon: Salon, kind: str) -> None:
    """Asked for anew and done; then the old one, in doubt once, is tried again: the effect has one owner."""
    visit = salon.prepared(kind)
    salon.fail("cut_before", path=f"loyalty/{kind}", times=1)
    given_up = services.settle_operation(salon.ask(kind, visit), happened=False, reason="Not there.")
    assert salon.ask(kind, visit).status == Status.SUCCEEDED
    services.retry_operation(given_up)
    salon.run_to_the_end(given_up)
    assert given_up.ending in (Ending.ALREADY_THERE, Ending.NOTHING_TO_CANCEL)
    assert given_up.applied_amount is None
    assert not given_up.discrepancy
    assert len(salon.effects(kind, visit)) == 1


def test_retry_of_one_given_up__claims_no_promotion_of_another_that_takes_more_off_since(
    salon: Salon,
) -> None:
    """The bill grew, and with it what the promotion takes off: that is no second promotion."""
    visit = salon.visit()
    salon.fail("cut_before", path="apply_discount_program", times=1)
    given_up = services.settle_operation(salon.ask(PROMOTION, visit), happened=False, reason="Not there.")
    salon.ask(PROMOTION, visit)
    visit.rows[0].amount += 5
    services.retry_operation(given_up)
    salon.run_to_the_end(given_up)
    assert (given_up.status, given_up.ending) == (Status.REJECTED, Ending.ALREADY_THERE)


def test_retry_of_one_given_up__claims_what_came_late_beyond_another(salon: Salon) -> None:
    """The second one's points are the second one's; what stands there besides is the late effect of the first."""
    visit = salon.visit()
    salon.fail("cut_before", path="apply_card_withdrawal", times=1)
    given_up = services.settle_operation(salon.withdraw(visit, 70), happened=False, reason="Not there.")
    salon.withdraw(visit, 100)
    salon.ledger.withdraw(visit, salon.card, 70, by="api")
    services.retry_operation(given_up)
    salon.run_to_the_end(given_up)
    assert (given_up.status, given_up.applied_amount) == (Status.SUCCEEDED, points(70))
    assert salon.posts(visit) == 2


def test_points_beyond_the_log__after_a_withdrawal_of_nothing__are_flagged(salon: Salon) -> None:
    """An apply that took 0 points explains nothing of what somebody took in Altegio's own screen."""
    salon.ledger.set_balance(salon.card, 0)
    visit = salon.visit()
    assert salon.withdraw(visit, 100).applied_amount == 0
    salon.ledger.set_balance(salon.card, 500)
    salon.ledger.withdraw(visit, salon.card, 60)
    second = salon.withdraw(visit, 100)
    assert second.status == Status.REJECTED
    assert "60" in second.discrepancy


def test_cancel_in_doubt__is_settled_by_the_rows_being_gone(salon: Salon) -> None:
    """For a cancel the effect is an absence; the points given back are those that the look before it showed."""
    visit = salon.prepared(CANCEL)
    salon.fail("cut_after", path="cancel_card_withdrawal", times=1)
    operation = salon.ask(CANCEL, visit)
    salon.sweep(operation)
    assert operation.status == Status.SUCCEEDED
    assert operation.returned_amount == points(100)
    assert salon.ledger.balance(salon.card) == points(500)


def test_promotion_in_doubt_of_another_card__proves_nothing(salon: Salon) -> None:
    """A promotion applied through another card of the client is not ours."""
    other = salon.ledger.add_card(salon.client, balance=0, programs=[salon.program])
    visit = salon.visit()
    salon.fail("cut_before", path="apply_discount_program", times=1)
    operation = salon.ask(PROMOTION, visit)
    salon.ledger.apply_program(visit, other, salon.program)
    salon.run_to_the_end(operation)
    assert len(salon.effects(PROMOTION, visit)) == 1


@pytest.mark.parametrize("fault", ["", "cut_after"])
def test_withdrawal_after_a_cancel_behind_the_logs_back__took_what_the_look_did_not_show(
    salon: Salon, fault: str
) -> None:
    """The log still counts the first one as in force; what the visit showed right before the call is what counts."""
    visit = salon.visit()
    salon.withdraw(visit, 100)
    salon.ledger.cancel_withdrawal(visit, salon.card)
    if fault:
        salon.fail(fault, path="apply_card_withdrawal", times=1)
    operation = salon.withdraw(visit, 70)
    salon.run_to_the_end(operation)
    assert (operation.status, operation.applied_amount) == (Status.SUCCEEDED, points(70))
    assert not operation.discrepancy


def test_stop_in_doubt__during_a_look_up__keeps_that_look_up_from_sending_it_again(salon: Salon) -> None:
    """The look-up under way proves that it did not happen, but it may not put the operation back in the queue."""
    salon.fail("cut_before", path="apply_card_withdrawal", times=1)
    operation = salon.withdraw()
    under_way = claim_to_look(LoyaltyOperation.objects.select_related("location").get(pk=operation.pk))
    assert under_way is not None
    operation.refresh_from_db()
    services.stop_operation(operation)
    look_up(under_way, for_person=False)
    operation.refresh_from_db()
    assert operation.status == Status.UNCONFIRMED
    salon.run_to_the_end(operation)
    assert operation.status == Status.ABANDONED
    assert salon.posts() == 1


def test_retry_after_a_stop__is_tried_as_often_as_any_other(salon: Salon) -> None:
    """Who tries again takes the stop back: the first failure does not end it."""
    salon.fail("cut_before", path="apply_card_withdrawal", times=1)
    operation = services.stop_operation(salon.withdraw())
    services.settle_operation(operation, happened=False, reason="Not there.")
    services.retry_operation(operation)
    salon.fail("status_503", path="visit_details", times=1)
    salon.sweep(operation)
    assert (operation.status, operation.is_stopping) == (Status.PENDING, False)
    salon.run_to_the_end(operation)
    assert operation.status == Status.SUCCEEDED


def test_more_than_asked__is_told_with_what_was_asked(salon: Salon) -> None:
    """The person who looks needs both figures."""
    visit = salon.visit()
    salon.fail("cut_before", path="apply_card_withdrawal", times=1)
    operation = salon.withdraw(visit, 100)
    salon.ledger.withdraw(visit, salon.card, 170)
    salon.sweep(operation)
    assert reason(operation.discrepancy) == "The visit shows 170 from this card, the log explains 100."
