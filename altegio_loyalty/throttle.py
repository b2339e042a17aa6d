"""One budget of requests for all processes of the site, since Altegio counts per IP address.

It lives in the database that every site has. The requests of the last minute are kept, and a request is booked by a
conditional update, so any number of processes share it without a lock. People at the desk may use all of it, the backlog
leaves them a share. Altegio's limits: 5 a second and 200 a minute (developer.alteg.io, "Rate limits").
"""

from __future__ import annotations

import datetime
import logging
import math
import time
from bisect import bisect_right

from django.db import DatabaseError, InterfaceError, router
from django.db.models import F, Q
from django.utils import timezone

from altegio_loyalty import database, exceptions
from altegio_loyalty.conf import get_settings
from altegio_loyalty.models import RequestBudget

logger = logging.getLogger(__name__)

#: The longest wait for a turn, in seconds: a person is looking at the page.
PATIENCE = 5.0
#: A little more than the windows, since requests do not arrive at the pace at which they leave.
SECOND_MS, MINUTE_MS = 1_100, 61_000
_BOOKING_TRIES = 50
#: The row as this process wrote it last: while nobody else has changed it, a booking needs not read it.
_last: dict[str, RequestBudget] = {}


def take_turn(*, count: int = 1, for_person: bool = False, patience: float = PATIENCE) -> None:
    """Book `count` requests, waiting up to `patience` seconds for them. With 0 only what forbids a call is looked at.

    Raises `exceptions.TransactionOpen` inside a transaction or with autocommit off, and `exceptions.Throttled`, with the
    wait in seconds, where they are further away than that. Where the budget itself fails, the request goes ahead:
    Altegio's own limit still stands, and its 429 is handled.
    """
    # The budget's row must not stay locked over a call, which it would until the end of a transaction of the caller's.
    database.refuse_transaction(router.db_for_write(RequestBudget))
    if not count:
        return
    settings = get_settings()
    limits = [
        (SECOND_MS, _share(settings.REQUESTS_PER_SECOND, count, for_person)),
        (MINUTE_MS, _share(settings.REQUESTS_PER_MINUTE, count, for_person)),
    ]
    limits = [(window, limit) for window, limit in limits if limit]
    deadline = time.monotonic() + patience
    try:
        while (wait := _book(_host(), count, limits)) > 0:
            if time.monotonic() + wait > deadline:
                text = f"This site has used up its requests to Altegio for {math.ceil(wait)} seconds."
                raise exceptions.Throttled(text, retry_after=wait)
            time.sleep(wait)
    except (DatabaseError, InterfaceError):
        logger.warning("The shared budget of requests could not be used; going on without it.", exc_info=True)


def _share(limit: int, count: int, for_person: bool) -> int:
    """The part of a limit that may be used: all of it at the desk, three quarters for the backlog; 0 is no limit."""
    if not limit or for_person:
        return max(limit, count) if limit else 0
    return max(limit - -(-limit // 4), count)


def _host() -> str:
    """Whose requests are counted together: Altegio counts by IP address, whichever version of its API is called."""
    return get_settings().API_URL.partition("://")[2].partition("/")[0][:200] or "?"


def _book(host: str, count: int, limits: list[tuple[int, int]]) -> float:
    """Book the requests, or say how many seconds are missing."""
    for _ in range(_BOOKING_TRIES):
        remembered = _last.pop(host, None) if limits else None
        budget = remembered or RequestBudget.objects.get_or_create(host=host)[0]
        now_ms = time.time_ns() // 1_000_000
        moments = _recent(budget.moments(), now_ms)
        wait = _blocked_seconds(budget) or _missing_ms(moments, now_ms, count, limits) / 1000
        if wait > 0 and remembered is None:
            return wait
        if wait > 0:
            continue
        if not limits:
            return 0
        booked = ",".join(map(str, [*moments, *[now_ms] * count]))
        unchanged = RequestBudget.objects.filter(pk=budget.pk, version=budget.version)
        if unchanged.update(version=budget.version + 1, sent_ms=booked):
            budget.version, budget.sent_ms = budget.version + 1, booked
            _last[host] = budget
            return 0
    return 0.05  # so much company that no booking went through: a short wait, then again


def _blocked_seconds(budget: RequestBudget) -> float:
    """How long every request is held back; a block longer than anybody sets comes from a clock that was put back."""
    if budget.blocked_until is None:
        return 0
    seconds = (budget.blocked_until - timezone.now()).total_seconds()
    return seconds if 0 < seconds <= 2 * 3600 else 0


def _recent(moments: list[int], now_ms: int) -> list[int]:
    """The moments that still count, in order; those in the future come from a clock that was put back."""
    return sorted(moment for moment in moments if now_ms - MINUTE_MS < moment <= now_ms + 1_000)


def _missing_ms(moments: list[int], now_ms: int, count: int, limits: list[tuple[int, int]]) -> int:
    """Milliseconds until `count` more requests fit into every window."""
    wait = 0
    for window, limit in limits:
        inside = moments[bisect_right(moments, now_ms - window) :]
        surplus = len(inside) + count - limit
        if surplus > 0:
            wait = max(wait, inside[surplus - 1] + window - now_ms)
    return wait


def block_for(seconds: float) -> None:
    """Hold every request back for so long: Altegio said that its limit, which counts per IP address, is used up."""
    if seconds <= 0:
        return
    until = timezone.now() + datetime.timedelta(seconds=seconds)
    try:
        budget = RequestBudget.objects.get_or_create(host=_host())[0]
        sooner = Q(blocked_until__isnull=True) | Q(blocked_until__lt=until)
        # A new version, so that no process goes on with the row as it remembers it.
        blocked = {"blocked_until": until, "version": F("version") + 1}
        RequestBudget.objects.filter(sooner, pk=budget.pk).update(**blocked)
    except (DatabaseError, InterfaceError):
        logger.warning(
            "The shared budget of requests could not be blocked; going on without it.", exc_info=True
        )
