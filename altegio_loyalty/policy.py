"""What an answer or a failure means, and whether and when to try again. Pure: no database, network, clock or Django."""

from __future__ import annotations

import enum
import random
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from altegio_loyalty import exceptions
from altegio_loyalty.kinds import Effect, Target

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
    """What the failure of the read before a POST means: whatever it was, nothing has been sent."""
    meaning = meaning_of_send(error)
    return Meaning.NOT_DONE if meaning is Meaning.UNKNOWN else meaning


def is_outage(error: exceptions.ApiError) -> bool:
    """Whether the failure is about Altegio as a whole, so that the next operation would most likely meet it as well."""
    return not isinstance(error, (exceptions.Refused, exceptions.Unauthorized))


def is_done(target: Target, effect: Effect) -> bool:
    """Whether the visit is as the operation wants it."""
    return effect.is_there == target.is_apply


class Truth(enum.Enum):
    """What a look-up of an operation in doubt proves."""

    HAPPENED = "the effect is there"
    DID_NOT_HAPPEN = "it is not there, and can no longer arrive"
    STILL_OPEN = "it is not there, but may still arrive"


def truth_of_lookup(target: Target, effect: Effect, *, explained: Decimal, is_settled: bool) -> Truth:
    """What a look-up proves.

    `explained` is how much of the effect other operations of the log account for; `is_settled` says that the look began
    SETTLE_SECONDS after the unanswered call or later. A visit that shows something, but less than the log explains, was
    changed behind the log's back: then what is missing proves nothing either.
    """
    if target.is_apply:
        happened = effect.is_there and (effect.amount > explained or explained == 0)
        is_at_odds = effect.is_there and effect.amount < explained
    else:
        happened, is_at_odds = not effect.is_there, False
    if happened:
        return Truth.HAPPENED
    return Truth.DID_NOT_HAPPEN if is_settled and not is_at_odds else Truth.STILL_OPEN


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

    Retry-After is honoured. A 429 without a usable one may mean that the minute's requests are used up, so that minute
    is waited out.
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


_HINTS = {
    401: "Altegio does not accept the tokens of this location.",
    402: "The location's Altegio licence does not cover this.",
    403: "The user of the token may not use loyalty in this location.",
    404: "Altegio does not know this visit, card or promotion in this location.",
}


def reason_of(error: exceptions.ApiError) -> str:
    """The failure in a sentence, with what is missing where the status tells."""
    message = str(error)
    if isinstance(error, exceptions.ServerError):
        said = "" if message == f"HTTP {error.http_status}" else f": {message}"
        return f"Altegio had an error of its own. (HTTP {error.http_status}{said})"
    if isinstance(error, exceptions.RateLimited) and not isinstance(error, exceptions.Throttled):
        return str(exceptions.RateLimited())  # the number of seconds that Altegio names is of no use
    hint = ""
    if isinstance(error, (exceptions.Refused, exceptions.Unauthorized)):
        hint = _HINTS.get(error.http_status or 0, "")
    return f"{hint} ({message})" if hint and message else hint or message
