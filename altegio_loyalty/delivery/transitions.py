"""The state machine on one page: every change of an operation's state has a name, and says which columns it writes.

Nothing is written here: `database.change` does that, on the condition that the row is as it was read. A claim, a recovery
and a decision raise the fencing number, so that whoever worked on the row before can no longer write to it.
"""

import datetime
from decimal import Decimal
from typing import Any

from altegio_loyalty import exceptions, policy, reasons
from altegio_loyalty.conf import get_settings
from altegio_loyalty.gateway import retry_rules
from altegio_loyalty.models import LoyaltyOperation
from altegio_loyalty.reasons import Reason
from altegio_loyalty.states import Ending, Status

Columns = dict[str, Any]
Moment = datetime.datetime

WORKER_STOPPED = Reason(reasons.WORKER_STOPPED).stored()
NOT_IN_TIME = Reason(reasons.NOT_IN_TIME).stored()
NOT_SHOWN_YET = Reason(reasons.NOT_SHOWN_YET).stored()


def _after(moment: Moment, seconds: float) -> Moment:
    return moment + datetime.timedelta(seconds=seconds)


def _finished(status: Status, now: Moment, **columns: Any) -> Columns:
    """No longer due, its visit and card are free again, and nobody has looked into that end yet."""
    free = {"next_attempt_at": None, "open_key": None, "closed_at": None}
    return {"status": status, "finished_at": now, **free, **columns}


def asked(operation: LoyaltyOperation, first: Moment) -> Columns:
    """Due at that moment, with all attempts and time from then on; visit and card are taken."""
    settings = get_settings()
    return {
        "open_key": operation.make_open_key(),
        "attempt_limit": operation.attempt_count + settings.MAX_ATTEMPTS if settings.MAX_ATTEMPTS else None,
        "expires_at": _after(first, settings.RETRY_WINDOW) if settings.RETRY_WINDOW else None,
        "next_attempt_at": first,
    }


# Claims: pending → sending, and a look-up of what is unconfirmed


def claimed_to_send(operation: LoyaltyOperation, now: Moment) -> Columns:
    """A row being sent; a new operation can be inserted so, which saves the update."""
    return {
        "status": Status.SENDING,
        "fence": operation.fence + 1,
        "attempt_count": operation.attempt_count + 1,
        "next_attempt_at": _after(now, get_settings().LEASE_SECONDS),
        "sent_at": None,
    }


def claimed_to_look(operation: LoyaltyOperation, now: Moment) -> Columns:
    """It stays in doubt while somebody looks, so that the doubt outlives a crash."""
    ends_at = _after(now, get_settings().LEASE_SECONDS)
    return {
        "fence": operation.fence + 1,
        "lookup_count": operation.lookup_count + 1,
        "next_attempt_at": ends_at,
        "look_ends_at": ends_at,
    }


def marked(now: Moment, seen_before: Decimal) -> Columns:
    """The POST leaves now; `seen_before` is what the look showed, by which a doubt will be judged."""
    return {"sent_at": now, "seen_before": seen_before}


# The end of a call: sending → succeeded, rejected, unconfirmed, pending, failed, abandoned


def succeeded(now: Moment, shown: Columns) -> Columns:
    return _finished(Status.SUCCEEDED, now, last_error="", **shown)


def found(now: Moment, shown: Columns) -> Columns:
    """A look shows the effect of a call that stayed without an answer."""
    return _finished(Status.SUCCEEDED, now, ending=Ending.FOUND, last_error="", **shown)


def nothing_to_cancel(now: Moment, discrepancy: str) -> Columns:
    shown = {"discrepancy": discrepancy}
    return _finished(Status.SUCCEEDED, now, ending=Ending.NOTHING_TO_CANCEL, last_error="", **shown)


def may_not_show_yet(done_at: Moment, began: Moment) -> bool:
    """Whether a look begun then may still lag behind what was done at that moment."""
    return began < _after(done_at, get_settings().SETTLE_SECONDS)


def looked_at_again(operation: LoyaltyOperation, now: Moment, since: Moment | None) -> Columns | None:
    """A look begun at `now` may not show yet what was done at `since`; None where it must. Uses up no attempt."""
    if since is None or not may_not_show_yet(since, now):
        return None
    # Below 0 where the clock was put back meanwhile: then until it has caught up.
    passed = (now - since).total_seconds()
    wait = min(max(abs(passed), 2), get_settings().SETTLE_SECONDS - passed)
    return did_not_happen(operation, now, reason=NOT_SHOWN_YET, uses_attempt=False, wait=wait)


def already_there(now: Moment, seen: Decimal, discrepancy: str) -> Columns:
    """The visit showed it before anything was sent, and it is not this operation's."""
    shown = {"seen_before": seen, "discrepancy": discrepancy}
    return _finished(Status.REJECTED, now, ending=Ending.ALREADY_THERE, last_error="", **shown)


def nothing_left(now: Moment) -> Columns:
    """The look showed a bill on which nothing is left to pay: nothing was sent, and nothing taken."""
    return succeeded(now, {"applied_amount": Decimal(0)})


def refused(now: Moment, reason: str) -> Columns:
    return _finished(Status.REJECTED, now, last_error=reason)


def put_in_doubt(now: Moment, reason: str) -> Columns:
    """A POST left, and nobody knows what became of it: a look-up at once, while the client is still at the desk."""
    unanswered = {"unanswered_at": now, "next_attempt_at": now, "lookup_count": 0}
    return {"status": Status.UNCONFIRMED, "last_error": reason, **unanswered}


def recovered(operation: LoyaltyOperation, now: Moment) -> Columns:
    """The worker did not report before its lease ended; without the mark nothing of its claim left.

    Its call may still be open for the longest that a call can be, from now on and not from the end of the lease: if the
    clock was put forward, the request may still be on its way.
    """
    columns = {**put_in_doubt(now, WORKER_STOPPED), "fence": operation.fence + 1}
    columns["unanswered_at"] = _after(now, get_settings().TOTAL_TIMEOUT)
    if operation.sent_at is None:
        del columns["unanswered_at"]
    return columns


def waits_for_tokens(operation: LoyaltyOperation, now: Moment, reason: str) -> Columns:
    """Altegio refused the tokens: no attempt is used up, and it is due as soon as its location goes on."""
    return did_not_happen(operation, now, reason=reason, uses_attempt=False, wait=0)


def did_not_happen(
    operation: LoyaltyOperation,
    now: Moment,
    *,
    reason: str | None = None,
    error: exceptions.ApiError | None = None,
    uses_attempt: bool = True,
    wait: float | None = None,
) -> Columns:
    """Known not to have happened: another try after `wait` seconds, by default the backoff, or the end of trying."""
    attempt_count = operation.attempt_count - (not uses_attempt)
    columns: Columns = {"attempt_count": attempt_count}
    if reason is not None:
        columns["last_error"] = reason
    if operation.is_stopping:
        return _finished(Status.ABANDONED, now, **columns)
    if wait is None:
        wait = policy.backoff(attempt_count, retry_rules(), error)
    next_at = _after(now, wait)
    goes_on = policy.may_try_again(
        attempt_count=attempt_count,
        attempt_limit=operation.attempt_limit,
        next_at=next_at.timestamp(),
        expires_at=operation.expires_at.timestamp() if operation.expires_at else None,
    )
    if not goes_on:
        return _finished(Status.FAILED, now, **columns)
    return {"status": Status.PENDING, "next_attempt_at": next_at, **columns}


def waits_for_location(now: Moment) -> Columns:
    """Its location is paused or switched off: no time is used up, and some is left when it goes on."""
    window = get_settings().RETRY_WINDOW
    return {"expires_at": _after(now, window) if window else None}


def out_of_time(operation: LoyaltyOperation, now: Moment) -> Columns:
    """Nobody tried it in time."""
    reason = operation.last_error or NOT_IN_TIME
    columns = _finished(Status.FAILED, now, fence=operation.fence + 1, last_error=reason)
    return _still_holding(operation, now, columns)


# Doubt: unconfirmed → unconfirmed


def still_in_doubt(
    operation: LoyaltyOperation, now: Moment, error: exceptions.ApiError | None = None
) -> Columns:
    """Looked up again after the backoff, but no later than the moment from which an absence proves something.

    `last_error` says why there is a doubt, which a look-up that failed does not change; its attempt tells why it failed.
    """
    columns: Columns = {}
    if isinstance(error, exceptions.RowNotKnown):  # until somebody can judge it, that is the doubt
        columns = {"last_error": policy.reason_of(error).stored()}
    if isinstance(error, exceptions.Unauthorized):
        return {**columns, "next_attempt_at": now}  # the location is paused; due as soon as it goes on
    regular = _after(now, policy.backoff(operation.lookup_count, retry_rules(), error))
    columns["unanswered_at"], settles = _unanswered(operation, now)
    must_wait = error is not None and (error.retry_after or isinstance(error, exceptions.RateLimited))
    is_sooner = settles > now and not must_wait
    return {**columns, "next_attempt_at": min(regular, settles) if is_sooner else regular}


def _unanswered(operation: LoyaltyOperation, now: Moment) -> tuple[Moment | None, Moment]:
    """Since when it is without an answer, and when it settles; from now on where a clock that was wrong wrote the end."""
    since, latest = operation.unanswered_at, _after(now, get_settings().TOTAL_TIMEOUT)
    if since is None or since <= latest:
        return since, operation.settles_at
    return latest, _after(latest, get_settings().SETTLE_SECONDS)


def is_settled(operation: LoyaltyOperation, now: Moment) -> bool:
    """Whether nothing of it can arrive any more."""
    return operation.unanswered_at is None or now >= operation.settles_at


# Decisions of a person


def brought_forward(operation: LoyaltyOperation, now: Moment) -> Columns:
    """Waiting or in doubt: done now instead of later, but never before a late effect is ruled out."""
    return {"fence": operation.fence + 1, "next_attempt_at": _first_possible(operation, now)}


def retried(operation: LoyaltyOperation, now: Moment) -> Columns:
    """Given up: new attempts and new time; visit and card are taken again."""
    anew = {"ending": "", "discrepancy": "", "closed_at": None, "finished_at": None, "is_stopping": False}
    asked_again = asked(operation, _first_possible(operation, now))
    return {"status": Status.PENDING, "fence": operation.fence + 1, **anew, **asked_again}


def _first_possible(operation: LoyaltyOperation, now: Moment) -> Moment:
    if operation.status == Status.UNCONFIRMED or operation.unanswered_at is None:
        return now
    return max(now, _unanswered(operation, now)[1])


def stopped(operation: LoyaltyOperation, now: Moment) -> Columns:
    """It waited, so it never took effect."""
    return _finished(Status.ABANDONED, now, fence=operation.fence + 1)


def _still_holding(operation: LoyaltyOperation, now: Moment, columns: Columns) -> Columns:
    """With visit and card taken until a late effect is ruled out."""
    if is_settled(operation, now):
        return columns
    return {**columns, "open_key": operation.open_key, "unanswered_at": _unanswered(operation, now)[0]}


def stopping(operation: LoyaltyOperation, now: Moment) -> Columns:
    """In doubt, or waiting after an unanswered call: never sent again, and looked up at once, since somebody waits."""
    columns = {"fence": operation.fence + 1, "is_stopping": True, "next_attempt_at": now}
    if operation.status == Status.UNCONFIRMED:
        return columns
    # Of the mark's look nothing follows any more: others may have acted on the visit since.
    return {**columns, "status": Status.UNCONFIRMED, "sent_at": None}


def closed(now: Moment) -> Columns:
    """A person has looked into what was given up, or is at odds with the visit; its state stays as it is."""
    return {"closed_at": now}


def decided(operation: LoyaltyOperation, now: Moment, *, happened: bool) -> Columns:
    """A person knows what became of it. Not done, said early, keeps visit and card taken until no effect can arrive."""
    status = Status.SUCCEEDED if happened else Status.FAILED
    ending = Ending.DECIDED_HAPPENED if happened else Ending.DECIDED_DID_NOT_HAPPEN
    columns = _finished(status, now, ending=ending, fence=operation.fence + 1)
    return columns if happened else _still_holding(operation, now, columns)
