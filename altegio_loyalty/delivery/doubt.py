"""Operations whose outcome nobody knows: look at the visit until the doubt is settled; never send meanwhile."""

from __future__ import annotations

import datetime
import logging
from decimal import Decimal
from typing import Any

from django.utils import timezone

from altegio_loyalty import exceptions, policy, throttle
from altegio_loyalty.conf import get_settings
from altegio_loyalty.delivery.claims import Claim, announce, committed, database
from altegio_loyalty.delivery.explained import explained_amount
from altegio_loyalty.delivery.sending import after_no_effect, effect_columns
from altegio_loyalty.gateway import client_for, note_failure, note_success, retry_rules
from altegio_loyalty.kinds import Effect
from altegio_loyalty.models import LoyaltyOperation, OperationAttempt, finished
from altegio_loyalty.policy import Truth
from altegio_loyalty.redaction import clean
from altegio_loyalty.states import CallOutcome, Ending, Purpose, Status
from altegio_loyalty.wording import points

logger = logging.getLogger(__name__)


def recover(operation: LoyaltyOperation) -> bool:
    """Put in doubt an operation whose worker did not report before its lease ended; False where it just did."""
    now = timezone.now()
    columns: dict[str, Any] = {
        "status": Status.UNCONFIRMED,
        "fence": operation.fence + 1,
        "lookup_count": 0,
        # Not the end of the lease: if the clock was put forward, the worker's request may still be on its way.
        "unanswered_at": now,
        "next_attempt_at": now,
        "last_error": "The worker stopped before it could report.",
    }
    with committed():
        # The mark as it was read: one that was set since then must not be overlooked.
        lost = LoyaltyOperation.objects.using(database()).held_by(operation)
        lost = lost.filter(next_attempt_at__lte=now, sent_at=operation.sent_at)
        if not lost.update(**columns):
            return False
        OperationAttempt.objects.using(database()).create(
            operation=operation,
            purpose=Purpose.SEND if operation.sent_at else Purpose.LOOK,
            started_at=operation.sent_at or now,
            outcome=CallOutcome.UNKNOWN,
            error="The worker stopped before it could report.",
        )
    for name, value in columns.items():
        setattr(operation, name, value)
    announce(operation)
    return True


def look_up(claim: Claim, *, for_person: bool) -> exceptions.ApiError | None:
    """Read the visit and settle the doubt if it can be settled. Returns the failure of the read, if it failed."""
    operation = claim.operation
    began = timezone.now()
    try:
        client = client_for(operation.location)
        throttle.take_turn(for_person=for_person)
        outcome = claim.log.call(
            Purpose.LOOK_UP,
            lambda: client.visit_details(operation.location_id, operation.record_id, operation.visit_id),
        )
    except exceptions.ApiError as error:
        note_failure(operation.location, error)
        claim.record(
            last_error=clean(policy.reason_of(error), 500), next_attempt_at=_next_look(operation, error)
        )
        return error
    note_success(operation.location)
    assert outcome.visit is not None
    effect = operation.target.effect_on(outcome.visit)
    never_left = _never_left(operation)
    truth = Truth.DID_NOT_HAPPEN if never_left else _truth(operation, effect, began)
    claim.log.rows[-1].outcome = _ATTEMPT_OUTCOMES[truth]
    columns = _columns(operation, truth, effect)
    if never_left:
        columns["unanswered_at"] = None  # what the visit shows later is somebody else's
    claim.record(**columns)
    return None


def _never_left(operation: LoyaltyOperation) -> bool:
    """Whether no call of this operation is without an answer: the mark is committed before the first byte leaves.

    The mark is of the last claim; an earlier one may have sent, and its effect may come late.
    """
    unanswered = {"purpose": Purpose.SEND, "outcome": CallOutcome.UNKNOWN}
    return (
        operation.sent_at is None
        and not OperationAttempt.objects.using(database()).filter(operation=operation, **unanswered).exists()
    )


def _truth(operation: LoyaltyOperation, effect: Effect, began: datetime.datetime) -> Truth:
    before = operation.seen_before
    explained = Decimal(0) if before is not None else explained_amount(operation)
    return policy.truth_of_lookup(
        operation.target, effect, explained=explained, is_settled=began >= _settled_at(operation)
    )


def _settled_at(operation: LoyaltyOperation) -> datetime.datetime:
    since = operation.unanswered_at or operation.sent_at or operation.created_at
    return since + datetime.timedelta(seconds=get_settings().SETTLE_SECONDS)


def _next_look(operation: LoyaltyOperation, error: exceptions.ApiError | None = None) -> datetime.datetime:
    """After the backoff, but no later than the moment from which an absence proves something."""
    now = timezone.now()
    if isinstance(error, exceptions.Unauthorized):
        return now  # the location is paused; due as soon as it goes on
    regular = now + datetime.timedelta(seconds=policy.backoff(operation.lookup_count, retry_rules(), error))
    settled_at = _settled_at(operation)
    must_wait = error is not None and (error.retry_after or isinstance(error, exceptions.RateLimited))
    return min(regular, settled_at) if settled_at > now and not must_wait else regular


def _columns(operation: LoyaltyOperation, truth: Truth, effect: Effect) -> dict[str, Any]:
    now = timezone.now()
    if truth is Truth.HAPPENED:
        ending = Ending.FOUND
        columns = effect_columns(operation, effect)
        taken, asked = columns.get("applied_amount"), operation.amount
        if operation.seen_before is None and taken is not None and asked is not None and taken < asked:
            columns["discrepancy"] = (
                f"{points(taken)} of {points(asked)} were found, but nobody had looked at the visit before: "
                "they may have been there already."
            )
        return finished(Status.SUCCEEDED, now, ending=ending, last_error="", **columns)
    if truth is Truth.DID_NOT_HAPPEN:
        return after_no_effect(operation, now, None)
    return {"next_attempt_at": _next_look(operation)}


_ATTEMPT_OUTCOMES = {
    Truth.HAPPENED: CallOutcome.HAPPENED,
    Truth.DID_NOT_HAPPEN: CallOutcome.DID_NOT_HAPPEN,
    Truth.STILL_OPEN: CallOutcome.STILL_OPEN,
}
