"""Calls to Altegio for a location: the right tokens, within the budget, and what the answers say of the tokens."""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Callable
from typing import TypeVar

from django.utils import timezone

from altegio_loyalty import exceptions, policy, throttle
from altegio_loyalty.client import AltegioClient, Hidden, Limits, Outcome, shared_transport
from altegio_loyalty.client.hidden import hides_frames
from altegio_loyalty.conf import get_settings
from altegio_loyalty.models import Location, OperationAttempt
from altegio_loyalty.redaction import clean

logger = logging.getLogger(__name__)

HEALTH_IS_FRESH = datetime.timedelta(minutes=1)
Result = TypeVar("Result")


def retry_rules() -> policy.RetryRules:
    settings = get_settings()
    minute_window = policy.MINUTE if settings.REQUESTS_PER_MINUTE else 0.0
    return policy.RetryRules(settings.RETRY_DELAY, settings.RETRY_DELAY_MAX, minute_window)


@hides_frames
def client_for(location: Location) -> AltegioClient:
    """A client with the location's tokens, over this thread's kept connections.

    Raises `exceptions.Unauthorized` where the tokens are missing or cannot be read: no call with them can succeed.
    """
    try:
        credentials = location.credentials()
    except exceptions.UndecryptableToken as error:
        raise exceptions.Unauthorized(str(error)) from None
    if not credentials.partner_token or not credentials.user_token:
        raise exceptions.Unauthorized("A token of this location is missing.")
    # Not before: a frame that can fail holds no settings, which know the keys and the proxy's password.
    settings = get_settings()
    limits = Limits(
        settings.CONNECT_TIMEOUT, settings.READ_TIMEOUT, settings.TOTAL_TIMEOUT, settings.MAX_ANSWER_BYTES
    )
    return AltegioClient(
        shared_transport(settings.API_URL, proxy_url=Hidden(settings.PROXY_URL), limits=limits),
        credentials,
    )


def call(location: Location, ask: Callable[[AltegioClient], Result], *, turns: int = 1) -> Result:
    """One read for a location and a person, within the budget; notes what the answer says of the tokens.

    `turns` is how many requests are booked for it: more where others follow at once, which then book none.
    Raises a subclass of `exceptions.ApiError`.
    """
    try:
        client = client_for(location)
        throttle.take_turn(count=turns, for_person=True)
        result = ask(client)
    except exceptions.ApiError as error:
        note_failure(location, error)
        raise
    note_success(location)
    return result


def note_failure(location: Location, error: exceptions.ApiError) -> None:
    """A 401 pauses the location, a 429 everybody; a refusal still proves that the tokens work."""
    if isinstance(error, exceptions.Unauthorized):
        location.refused_at, location.refused_reason = timezone.now(), clean(str(error), 300)
        # Only while the tokens are the ones that were refused: new ones may have been saved during the call.
        Location.objects.filter(pk=location.pk, credentials_version=location.credentials_version).update(
            refused_at=location.refused_at, refused_reason=location.refused_reason
        )
        logger.warning("Altegio does not accept the tokens of location %s; its operations wait.", location.pk)
    elif isinstance(error, exceptions.RateLimited) and not isinstance(error, exceptions.Throttled):
        throttle.block_for(error.retry_after or retry_rules().minute_window)


def note_success(location: Location) -> None:
    """The tokens worked. Written at most once a minute."""
    now = timezone.now()
    last = location.credentials_worked_at
    if last is None or now - last > HEALTH_IS_FRESH or last > now:
        location.credentials_worked_at = now
        Location.objects.filter(pk=location.pk, credentials_version=location.credentials_version).update(
            credentials_worked_at=now
        )


class AttemptLog:
    """The calls made for an operation, kept in memory until they are written together with its result."""

    def __init__(self, operation_id: int) -> None:
        self._operation_id = operation_id
        self.rows: list[OperationAttempt] = []

    def call(self, purpose: str, ask: Callable[[], Outcome]) -> Outcome:
        """Make the call and keep a row of it, whatever comes. Raises what `ask` raises."""
        row = OperationAttempt(operation_id=self._operation_id, purpose=purpose, started_at=timezone.now())
        began = time.monotonic()
        try:
            outcome = ask()
        except exceptions.ApiError as error:
            meaning = policy.meaning_of_send(error)
            row.outcome = _OUTCOMES.get(meaning, OperationAttempt.Outcome.UNKNOWN)
            row.http_status, row.answer = error.http_status, error.body
            row.error = clean(f"{error} {error.detail}".strip(), 500)
            raise
        else:
            row.outcome, row.http_status, row.answer = (
                OperationAttempt.Outcome.OK,
                outcome.answer.http_status,
                outcome.answer.text,
            )
            return outcome
        finally:
            row.duration_ms = int((time.monotonic() - began) * 1000)
            self.rows.append(row)


_OUTCOMES = {
    policy.Meaning.NOT_DONE: OperationAttempt.Outcome.NOT_DONE,
    policy.Meaning.REFUSED: OperationAttempt.Outcome.REFUSED,
    policy.Meaning.TOKENS_REFUSED: OperationAttempt.Outcome.REFUSED,
    policy.Meaning.UNKNOWN: OperationAttempt.Outcome.UNKNOWN,
}
