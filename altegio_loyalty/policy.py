"""What an answer or a failure means, and whether and when to try again. Pure: no database, network, clock or Django."""

import enum
import random
from collections.abc import Callable
from dataclasses import dataclass

from altegio_loyalty import exceptions, kinds
from altegio_loyalty.client import Order
from altegio_loyalty.kinds import Effect
from altegio_loyalty.reasons import Reason

MINUTE = 60.0


class Meaning(enum.Enum):
    """What a failed call says about the points."""

    NOT_DONE = "certainly not done; worth another try"
    REFUSED = "certainly not done; another try will be refused as well"
    TOKENS_REFUSED = "certainly not done; the location's tokens must be renewed"
    UNKNOWN = "perhaps done"


def meaning_of_send(error: exceptions.ApiError) -> Meaning:
    """What the failure of a POST means."""
    if isinstance(error, (exceptions.NotSent, exceptions.RateLimited)):
        return Meaning.NOT_DONE
    if isinstance(error, exceptions.Unauthorized):
        return Meaning.TOKENS_REFUSED
    if isinstance(error, exceptions.Refused):
        return Meaning.REFUSED
    return Meaning.UNKNOWN


def meaning_of_look(error: exceptions.ApiError) -> Meaning:
    """Of the read before a POST: another try costs nothing, and is of no use only where Altegio knows no such visit."""
    meaning = meaning_of_send(error)
    is_about_the_visit = meaning is Meaning.REFUSED and error.http_status in (404, 410)
    return meaning if is_about_the_visit or meaning is Meaning.TOKENS_REFUSED else Meaning.NOT_DONE


def is_outage(error: exceptions.ApiError) -> bool:
    """Whether the failure is about Altegio as a whole, so that the next operation would most likely meet it as well."""
    of_one = (exceptions.Refused, exceptions.Unauthorized, exceptions.RowNotKnown)
    return not isinstance(error, of_one)


def is_unanswered(error: exceptions.ApiError) -> bool:
    """Whether no answer of Altegio's own came, or one of a server that does not work."""
    return is_outage(error) and not isinstance(error, (exceptions.RateLimited, exceptions.NotShown))


def is_done(order: Order, effect: Effect) -> bool:
    """Whether the visit is as the operation wants it."""
    return effect.is_there == kinds.TABLE[order.kind].is_apply


class Truth(enum.Enum):
    """What a look-up of an operation in doubt proves."""

    HAPPENED = "the effect is there"
    DID_NOT_HAPPEN = "it is not there, and can no longer arrive"
    STILL_OPEN = "it is not there, but may still arrive"


def truth_of_lookup(order: Order, effect: Effect, *, was_seen: bool, is_settled: bool) -> Truth:
    """What a look-up, begun SETTLE_SECONDS after it where `is_settled`, proves of a call that stayed without an answer.

    `was_seen` says that a look before the call showed the visit not to be as wanted: without it, nobody can tell whether it
    was the call that made it so, though an absence is what a cancel wants once nothing can arrive any more.
    """
    if is_done(order, effect):
        is_certain = was_seen or (is_settled and not kinds.TABLE[order.kind].is_apply)
        return Truth.HAPPENED if is_certain else Truth.STILL_OPEN
    return Truth.DID_NOT_HAPPEN if is_settled else Truth.STILL_OPEN


@dataclass(frozen=True)
class RetryRules:
    """Seconds: the first delay, the longest, and how long a full minute window of requests has to be waited out."""

    delay: float
    delay_max: float
    minute_window: float = MINUTE


def backoff(
    count: int,
    rules: RetryRules,
    error: exceptions.ApiError | None = None,
    *,
    draw: Callable[[float, float], float] = random.uniform,
) -> float:
    """Seconds until the next try after the `count`-th one failed: exponential with full jitter.

    Retry-After is honoured. A 429 without a usable one may mean that the minute is used up, so it is waited out.
    """
    ceiling = min(rules.delay * 2 ** min(max(count - 1, 0), 30), rules.delay_max)
    wait = draw(0.0, ceiling) if ceiling > 0 else 0.0
    if error is not None and error.retry_after is not None:
        return max(wait, error.retry_after)
    if isinstance(error, exceptions.RateLimited):
        return max(wait, rules.minute_window)
    return wait


def may_try_again(
    *, attempt_count: int, attempt_limit: int | None, next_at: float, expires_at: float | None
) -> bool:
    """Whether another attempt fits into the limits. Both moments are seconds on the same clock."""
    has_attempts = attempt_limit is None or attempt_count < attempt_limit
    return has_attempts and (expires_at is None or next_at < expires_at)


_CODES = {
    exceptions.NotSent: "not_sent",
    exceptions.NoAnswer: "no_answer",
    exceptions.NotShown: "not_shown",
    exceptions.UnreadableAnswer: "unreadable_answer",
    exceptions.RowNotKnown: "row_not_known",
    exceptions.ServerError: "server_error",
    exceptions.RateLimited: "rate_limited",
    exceptions.Throttled: "throttled",
    exceptions.Unauthorized: "unauthorized",
    exceptions.Refused: "refused",
}


def reason_of(error: exceptions.ApiError) -> Reason:
    """The failure as the log keeps it."""
    code = next((_CODES[each] for each in type(error).__mro__ if each in _CODES), "no_answer")
    figures = {"http": str(error.http_status)} if error.http_status else {}
    return Reason(code, figures, said=str(error), detail=error.detail)
