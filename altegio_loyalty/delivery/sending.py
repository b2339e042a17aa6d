"""Look, then send, then write down what became of it. Works under a claim; other rows are touched after that."""

import dataclasses
import datetime
import logging
import sys
from decimal import Decimal

from django.db import DatabaseError, InterfaceError
from django.utils import timezone

from altegio_loyalty import bills, database, exceptions, kinds, policy
from altegio_loyalty.client import Order, Reply, Vendor, VisitDetails
from altegio_loyalty.delivery import explained, transitions
from altegio_loyalty.delivery.claims import Claim
from altegio_loyalty.gateway import Line
from altegio_loyalty.models import LoyaltyOperation
from altegio_loyalty.states import Purpose

logger = logging.getLogger(__name__)


def send(claim: Claim, *, for_person: bool) -> exceptions.ApiError | None:
    """Do what the operation asks for, once, and record the result.

    Returns the failure that the call ended in, if any; no failure of the API raises. A database that fails does raise:
    what had been sent by then is found in doubt when the lease ends, and looked up.
    """
    operation, began = claim.operation, timezone.now()
    line = Line(operation.location, for_person=for_person)
    try:
        client = line.open(turns=2)
        seen = look(claim, client, Purpose.LOOK)
    except exceptions.ApiError as error:
        _record_failure(claim, error, policy.meaning_of_look(error))
        line.note(error)
        return error
    if policy.is_done(operation.order, seen):
        claim.record(**_already_as_wanted(claim, seen, began))
        line.note()
        return None
    order = _within_the_bill(operation.order, claim.shown)
    if (columns := _looked_at_again(operation, began, order)) or order is None:
        claim.record(**columns or transitions.nothing_left(timezone.now()))
        line.note()
        return None
    if not claim.mark_sent(seen.amount):
        text = "Operation %s was taken over before it was sent; nothing was sent."
        logger.warning(text, operation.pk, extra=operation.log_fields)
        operation.refresh_from_db(using=database.alias())
        return None
    failure = _post(claim, client, order)
    line.note(failure)
    return failure


def look(claim: Claim, client: Vendor, purpose: Purpose) -> kinds.Effect:
    """What the visit shows now of the operation's effect. Raises a subclass of `exceptions.ApiError`."""
    order, undone = claim.operation.order, _known_as_undone(claim.operation)
    address = client.address(order, sends=False)
    reply = claim.call(purpose, lambda: _judged(client.look(order), order, undone), address)
    claim.shown = reply.visit
    return kinds.effect_on(reply.visit, order)


def _known_as_undone(operation: LoyaltyOperation) -> int | None:
    """For `kinds.effect_on`: rows that stay as undone are no riddle where a cancel of the log undid something."""
    if operation.unanswered_at is None or not operation.traits.is_apply:
        return None
    return sys.maxsize if explained.last_done_at(operation, is_apply=False) else 0


def _judged(reply: Reply, order: Order, undone_before: int | None) -> Reply:
    """The reply, once its rows say what the order is after. Raises `exceptions.RowNotKnown`, with the answer, where not."""
    try:
        kinds.effect_on(reply.visit, order, undone_before=undone_before)
    except exceptions.RowNotKnown as error:
        error.http_status, error.body = reply.answer.http_status, reply.answer.text
        raise
    return reply


def _already_as_wanted(claim: Claim, seen: kinds.Effect, began: datetime.datetime) -> transitions.Columns:
    operation, now = claim.operation, timezone.now()
    is_apply = operation.traits.is_apply
    if operation.unanswered_at is not None and not explained.is_anothers(operation, seen.amount):
        done_at = explained.last_done_at(operation, is_apply=not is_apply)
        if columns := transitions.looked_at_again(operation, began, done_at):
            return columns
        # A call of this operation stayed without an answer, and no other one explains what is there: its late effect.
        return transitions.found(now, explained.late_effect(operation, seen))
    applies = explained.in_force(operation)
    # A read may lag behind what the log says was applied, or taken back, moments ago.
    if seen.is_there != bool(applies):
        done_at = explained.last_done_at(operation, is_apply=not seen.is_there)
        if columns := transitions.looked_at_again(operation, began, done_at):
            return columns
    # What a promotion takes off may change with the bill; that it was not applied from here is what counts.
    may_compare = operation.traits.moves_points or not applies
    odd = explained.odds(seen.amount, explained.taken_by(applies)) if may_compare else ""
    if operation.traits.is_apply:
        return transitions.already_there(now, seen.amount, odd)
    return transitions.nothing_to_cancel(now, odd)


def _looked_at_again(
    operation: LoyaltyOperation, began: datetime.datetime, order: Order | None
) -> transitions.Columns | None:
    """What to write where the look, begun then, may not show yet what was done on the visit moments before."""
    columns = None
    if operation.traits.is_apply:
        # A doubt of this call could take what was applied moments ago for its own.
        since = explained.last_done_at(operation, is_apply=True)
        columns = transitions.looked_at_again(operation, began, since)
    if columns is None and order != operation.order:
        # Nor may the bill show what was taken back, with whichever card.
        columns = transitions.looked_at_again(operation, began, explained.last_cancel_on_visit(operation))
    return columns


def _within_the_bill(order: Order, visit: VisitDetails | None) -> Order | None:
    """The order for no more points than the look shows to be left to pay; None where that is nothing.

    Altegio may cap what it takes at the balance alone. Where two readings of the bill differ, the higher one counts here.
    """
    if order.amount is None or visit is None or visit.rest is None or not visit.lines:
        return order
    left = max(visit.rest)
    return dataclasses.replace(order, amount=min(order.amount, left)) if left > 0 else None


def _post(claim: Claim, client: Vendor, order: Order) -> exceptions.ApiError | None:
    operation = claim.operation
    # Now: nothing but the result is to be asked of the database once the call is made.
    by_log = Decimal(0) if operation.traits.is_apply else explained.taken_by(explained.in_force(operation))
    undone = kinds.undone_count(claim.shown, order) if claim.shown else 0
    try:
        reply = claim.call(
            Purpose.SEND,
            lambda: _judged(client.send(order, send_within=claim.seconds_left()), order, undone),
            client.address(order, sends=True),
        )
    except exceptions.ApiError as error:
        _record_failure(claim, error, policy.meaning_of_send(error))
        return error
    claim.shown, effect = reply.visit, kinds.effect_on(reply.visit, order)
    columns = transitions.succeeded(timezone.now(), explained.own_effect(operation, effect, by_log))
    if not claim.record(**columns):
        text = "Operation %s was done, but its lease had ended; a look-up will find it."
        logger.warning(text, operation.pk, extra=operation.log_fields)
    try:
        bills.keep_answer(operation, reply.visit, claim.calls[-1])
    except (DatabaseError, InterfaceError):
        # The result is recorded; what the list of visits shows may be old.
        text = "The figures of visit %s could not be kept."
        logger.warning(text, operation.visit_id, exc_info=True, extra=operation.log_fields)
    return None


def _record_failure(claim: Claim, error: exceptions.ApiError, meaning: policy.Meaning) -> None:
    operation, now = claim.operation, timezone.now()
    reason = policy.reason_of(error).stored()
    if meaning is policy.Meaning.UNKNOWN:
        columns = transitions.put_in_doubt(now, reason)
    elif meaning is policy.Meaning.REFUSED:
        columns = transitions.refused(now, reason)
    elif meaning is policy.Meaning.TOKENS_REFUSED:
        columns = transitions.waits_for_tokens(operation, now, reason)
    else:
        uses_attempt = not isinstance(error, exceptions.Throttled)
        columns = transitions.did_not_happen(
            operation, now, reason=reason, error=error, uses_attempt=uses_attempt
        )
    claim.record(**columns)
