"""Look, then send, then write down what became of it. Works under a claim and touches no other row."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.db import DatabaseError, InterfaceError
from django.utils import timezone

from altegio_loyalty import exceptions, policy, throttle
from altegio_loyalty.bills import keep_figures
from altegio_loyalty.client import AltegioClient, Outcome
from altegio_loyalty.conf import get_settings
from altegio_loyalty.delivery.claims import Claim
from altegio_loyalty.delivery.explained import beyond_the_log, explained_amount, is_anothers
from altegio_loyalty.gateway import client_for, note_failure, note_success, retry_rules
from altegio_loyalty.kinds import Effect
from altegio_loyalty.models import LoyaltyOperation, finished
from altegio_loyalty.policy import Meaning
from altegio_loyalty.redaction import clean
from altegio_loyalty.states import Ending, Kind, Purpose, Status
from altegio_loyalty.wording import points

logger = logging.getLogger(__name__)


def send(claim: Claim, *, for_person: bool) -> exceptions.ApiError | None:
    """Do what the operation asks for, once, and record the result.

    Returns the failure that the call ended in, if any; no failure of the API raises. A database that fails does raise:
    what had been sent by then is found in doubt when the lease ends, and looked up.
    """
    operation = claim.operation
    try:
        client = client_for(operation.location)
        looks = get_settings().LOOK_BEFORE_SEND
        throttle.take_turn(count=2 if looks else 1, for_person=for_person)
        seen = _look(claim, client) if looks else None
    except exceptions.ApiError as error:
        note_failure(operation.location, error)
        _record_failure(claim, error, policy.meaning_of_look(error))
        return error
    if seen is not None and policy.is_done(operation.target, seen):
        note_success(operation.location)
        claim.record(**_already_as_wanted(operation, seen))
        return None
    if not claim.mark_sent(seen.amount if seen else None):
        logger.warning("Operation %s was taken over before it was sent; nothing was sent.", operation.pk)
        operation.refresh_from_db()
        return None
    return _post(claim, client)


def _look(claim: Claim, client: AltegioClient) -> Effect:
    operation = claim.operation
    outcome = claim.log.call(
        Purpose.LOOK,
        lambda: client.visit_details(operation.location_id, operation.record_id, operation.visit_id),
    )
    assert outcome.visit is not None
    return operation.target.effect_on(outcome.visit)


def _already_as_wanted(operation: LoyaltyOperation, seen: Effect) -> dict[str, Any]:
    now = timezone.now()
    if operation.unanswered_at is not None and not is_anothers(operation, seen.amount):
        # A call of this operation stayed without an answer, and no other one explains what is there: its late effect.
        return finished(
            Status.SUCCEEDED, now, ending=Ending.FOUND, last_error="", **effect_columns(operation, seen)
        )
    if not operation.target.is_apply:
        return finished(Status.SUCCEEDED, now, ending=Ending.NOTHING_TO_CANCEL, last_error="")
    return finished(
        Status.REJECTED,
        now,
        ending=Ending.ALREADY_THERE,
        seen_before=seen.amount,
        last_error="",
        discrepancy=beyond_the_log(seen.amount, explained_amount(operation)),
    )


def _post(claim: Claim, client: AltegioClient) -> exceptions.ApiError | None:
    operation = claim.operation
    try:
        outcome = claim.log.call(Purpose.SEND, _request_for(operation, client, claim.seconds_left()))
    except exceptions.ApiError as error:
        note_failure(operation.location, error)
        _record_failure(claim, error, policy.meaning_of_send(error))
        return error
    note_success(operation.location)
    if not claim.record(**success_columns(operation, outcome)):
        logger.warning(
            "Operation %s was done, but its lease had ended; a look-up will find it.", operation.pk
        )
    if outcome.visit is not None:
        try:
            keep_figures(operation.visit_id, outcome.visit)
        except (DatabaseError, InterfaceError):
            # The result is recorded; what the list of visits shows may be old.
            logger.warning("The figures of visit %s could not be kept.", operation.visit_id, exc_info=True)
    return None


def _request_for(
    operation: LoyaltyOperation, client: AltegioClient, send_within: float
) -> Callable[[], Outcome]:
    kinds = Kind
    where = {"record_id": operation.record_id, "visit_id": operation.visit_id}
    location_id, card_id = operation.location_id, operation.card_id
    if operation.kind == kinds.APPLY_CARD_WITHDRAWAL:
        amount = operation.amount or Decimal(0)
        return lambda: client.apply_card_withdrawal(
            location_id, card_id, **where, amount=amount, send_within=send_within
        )
    if operation.kind == kinds.CANCEL_CARD_WITHDRAWAL:
        return lambda: client.cancel_card_withdrawal(location_id, card_id, **where, send_within=send_within)
    program_id = operation.program_id or 0
    by_program = (
        client.apply_discount_program
        if operation.kind == kinds.APPLY_DISCOUNT_PROGRAM
        else client.cancel_discount_program
    )
    return lambda: by_program(location_id, card_id, program_id, **where, send_within=send_within)


def success_columns(operation: LoyaltyOperation, outcome: Outcome) -> dict[str, Any]:
    """A success stays a success; the figures are empty where the answer does not show them."""
    effect = operation.target.effect_on(outcome.visit) if outcome.visit else None
    return finished(Status.SUCCEEDED, timezone.now(), last_error="", **effect_columns(operation, effect))


def effect_columns(operation: LoyaltyOperation, effect: Effect | None) -> dict[str, Any]:
    """What the visit shows of the operation's effect, and what about it a person must look at."""
    if effect is None:
        return {}
    if not operation.target.is_apply:
        return _cancel_columns(operation, effect)
    before = operation.seen_before if operation.seen_before is not None else explained_amount(operation)
    if effect.amount < before:
        return {}  # changed behind the log's back: what of it is this operation's, nobody can say
    applied = effect.amount - before
    columns: dict[str, Any] = {"applied_amount": applied}
    if operation.amount is not None and applied > operation.amount:
        columns["discrepancy"] = beyond_the_log(effect.amount, before + operation.amount)
    return columns


def _cancel_columns(operation: LoyaltyOperation, effect: Effect) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    if operation.seen_before is not None:
        columns["returned_amount"] = max(operation.seen_before - effect.amount, Decimal(0))
        # Where the log explains none of it, somebody else took all, and the person saw that and undid it.
        if operation.kind == Kind.CANCEL_CARD_WITHDRAWAL and (explained := explained_amount(operation)):
            columns["discrepancy"] = beyond_the_log(operation.seen_before, explained)
    if effect.is_there:
        columns["discrepancy"] = (
            f"Altegio answered with success, but the visit still shows {points(effect.amount)}."
        )
    return columns


def _record_failure(claim: Claim, error: exceptions.ApiError, meaning: Meaning) -> None:
    operation = claim.operation
    now = timezone.now()
    last_error = clean(policy.reason_of(error), 500)
    if meaning is Meaning.UNKNOWN:
        # Due at once: a look-up that finds the effect ends the doubt while the client is still at the desk.
        columns: dict[str, Any] = {"status": Status.UNCONFIRMED, "unanswered_at": now, "next_attempt_at": now}
        columns["lookup_count"] = 0
    elif meaning is Meaning.REFUSED:
        columns = finished(Status.REJECTED, now)
    elif meaning is Meaning.TOKENS_REFUSED:
        columns = after_no_effect(operation, now, error, uses_attempt=False, wait=0)
    else:
        columns = after_no_effect(
            operation, now, error, uses_attempt=not isinstance(error, exceptions.Throttled)
        )
    claim.record(**{"last_error": last_error, **columns})


def after_no_effect(
    operation: LoyaltyOperation,
    now: datetime.datetime,
    error: exceptions.ApiError | None,
    *,
    uses_attempt: bool = True,
    wait: float | None = None,
) -> dict[str, Any]:
    """The columns of an operation known not to have happened: another try, or the end of trying."""
    attempt_count = operation.attempt_count - (not uses_attempt)
    if operation.is_stopping:
        return finished(Status.ABANDONED, now, attempt_count=attempt_count)
    if wait is None:
        wait = policy.backoff(attempt_count, retry_rules(), error)
    next_at = now + datetime.timedelta(seconds=wait)
    goes_on = policy.may_try_again(
        attempt_count=attempt_count,
        attempt_limit=operation.attempt_limit,
        next_at=next_at.timestamp(),
        expires_at=operation.expires_at.timestamp() if operation.expires_at else None,
    )
    if not goes_on:
        return finished(Status.FAILED, now, attempt_count=attempt_count)
    return {"status": Status.PENDING, "attempt_count": attempt_count, "next_attempt_at": next_at}
