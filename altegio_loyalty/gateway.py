"""A location's line to Altegio: its tokens, its share of the budget, and what each reply says of the tokens' health."""

import datetime
import logging
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import quote

from django.db import DatabaseError, InterfaceError
from django.db.models.functions import Coalesce
from django.utils import timezone

from altegio_loyalty import exceptions, policy, throttle, watch
from altegio_loyalty.client import AltegioClient, Hidden, Limits, client_of, shared_transport
from altegio_loyalty.client.hidden import hides_frames
from altegio_loyalty.conf import LoyaltySettings, get_settings
from altegio_loyalty.models import Location
from altegio_loyalty.querysets import update_if_free

logger = logging.getLogger(__name__)

HEALTH_IS_FRESH = datetime.timedelta(minutes=1)
Result = TypeVar("Result")


def retry_rules() -> policy.RetryRules:
    settings = get_settings()
    minute_window = policy.MINUTE if settings.REQUESTS_PER_MINUTE else 0.0
    return policy.RetryRules(settings.RETRY_DELAY, settings.RETRY_DELAY_MAX, minute_window)


@hides_frames
def client_for(location: Location, *, needs_user: bool = True) -> AltegioClient:
    """A client with the location's tokens, over this thread's kept connections.

    Raises `exceptions.Unauthorized` where the tokens are missing or cannot be read: no call with them can succeed; and
    `exceptions.NotSent` where `LOOPBACK_ONLY` is set and the API, or the proxy, is on another machine.
    """
    try:
        credentials = location.credentials()
    except exceptions.UndecryptableToken as error:
        raise exceptions.Unauthorized(str(error)) from None
    if not credentials.partner_token or (needs_user and not credentials.user_token):
        raise exceptions.Unauthorized("A token of this location is missing.")
    # Not before: a frame that can fail holds no settings, which know the keys and the proxy's password.
    settings = get_settings()
    if settings.LOOPBACK_ONLY and not settings.stays_here:
        raise exceptions.NotSent("LOOPBACK_ONLY is set, and API_URL or PROXY_URL is not on this machine.")
    times = settings.CONNECT_TIMEOUT, settings.READ_TIMEOUT, settings.TOTAL_TIMEOUT
    limits = Limits(*times, settings.MAX_ANSWER_BYTES)
    transport = shared_transport(
        settings.API_URL,
        proxy_url=_proxy(settings),
        ca_bundle=settings.CA_BUNDLE,
        limits=limits,
        media_type=settings.media_type,
    )
    return client_of(transport, credentials)


def _proxy(settings: LoyaltySettings) -> Hidden:
    before, at, host = settings.PROXY_URL.rpartition("@")
    password = settings.PROXY_PASSWORD and ":" + quote(settings.PROXY_PASSWORD, safe="")
    return Hidden(f"{before}{password}{at}{host}")


class Line:
    """One location's line. `turn` says whose share of the budget it uses, and how patiently: see `throttle.take_turn`."""

    def __init__(self, location: Location, *, needs_user: bool = True, **turn: Any) -> None:
        self.location, self.needs_user, self.turn = location, needs_user, turn

    def open(self, *, turns: int = 1) -> AltegioClient:
        """A client for the location, and so many requests booked for it.

        Raises what `client_for` and `throttle.take_turn` raise.
        """
        client = client_for(self.location, needs_user=self.needs_user)
        throttle.take_turn(count=turns, **self.turn)
        return client

    def ask(
        self, question: Callable[[AltegioClient], Result], *, turns: int = 1, proves: bool = True
    ) -> Result:
        """One read: `open`, the question, and `note`. `turns` is more than 1 where others follow at once, with 0.

        `proves` is False where neither a 401 nor a success says anything of the tokens as a whole.
        Raises a subclass of `exceptions.ApiError`.
        """
        try:
            result = question(self.open(turns=turns))
        except exceptions.ApiError as error:
            self.note(error, proves=proves)
            raise
        self.note(proves=proves)
        return result

    def note(self, error: exceptions.ApiError | None = None, *, proves: bool = True) -> None:
        """Keep what the end of a call says: a 401 pauses the location, a limit everybody; a success ends a pause.

        What was done is recorded before, since this is best effort: a database that fails here is only logged.
        """
        try:
            watch.heard(error)
            if isinstance(error, exceptions.Unauthorized):
                if proves:
                    self._pause(error)
            elif isinstance(error, exceptions.RateLimited) and not isinstance(error, exceptions.Throttled):
                throttle.block_for(error.retry_after or retry_rules().minute_window)
            elif error is not None and error.http_status == 503:
                throttle.block_for(error.retry_after or 0)  # a limit as well, but what was sent may be done
            elif error is None and proves:
                self._note_success()
        except (DatabaseError, InterfaceError):
            text = "What a call for location %s says of its tokens, or of the limit, could not be kept."
            logger.warning(text, self.location.pk, exc_info=True)

    def _pause(self, error: exceptions.Unauthorized) -> None:
        location, was_paused = self.location, self.location.is_paused
        now, location.refused_reason = timezone.now(), policy.reason_of(error).stored(300)
        location.refused_at = location.refused_at or now
        self._write(refused_at=Coalesce("refused_at", now), refused_reason=location.refused_reason)
        text = "The tokens of location %s do not work; its operations wait: %s"
        about = {"code": "tokens_refused", "location": location.pk}
        logger.warning(text, location.pk, error, extra=about)
        if not was_paused:
            watch.tell()

    def _note_success(self) -> None:
        """Written at most once a minute, or where it ends a pause."""
        location, now, was_paused = self.location, timezone.now(), self.location.is_paused
        last = location.credentials_worked_at
        if was_paused or last is None or now - last > HEALTH_IS_FRESH or last > now:
            location.credentials_worked_at, location.refused_at, location.refused_reason = now, None, ""
            self._write(credentials_worked_at=now, refused_at=None, refused_reason="")
        if was_paused:
            watch.tell()

    def _write(self, **columns: Any) -> None:
        """Only while the tokens are the ones that were used: new ones may have been saved during the call."""
        location = self.location
        used = {"pk": location.pk, "credentials_version": location.credentials_version}
        update_if_free(Location.objects.filter(**used), **columns)
