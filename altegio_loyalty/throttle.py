"""One budget of requests for all processes of the site, since Altegio counts per IP address.

It lives in the database that every site has. The requests of the last minute are kept, each with what it was for, and a
request is booked by a conditional update, so any number of processes share it without a lock. An operation at the desk may
use all of it; the backlog and the readings of pages leave the desk a share, and each other one too, whatever people reload.
Altegio's limits: 5 a second and 200 a minute (developer.alteg.io, "Rate limits"), and YCLIENTS'.
"""

from __future__ import annotations

import datetime
import logging
import math
import time
import zlib
from typing import TypeAlias

from django.db import DatabaseError, InterfaceError, router
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from altegio_loyalty import database, exceptions
from altegio_loyalty.conf import get_settings
from altegio_loyalty.models import RequestBudget

logger = logging.getLogger(__name__)

#: The longest wait for a turn, in seconds: a person is looking at the page.
PATIENCE = 5.0
#: A block is no longer than this, in seconds: then one request asks Altegio again, and its answer may block once more.
LONGEST_BLOCK = 900.0
#: A little more than the windows, since requests do not arrive at the pace at which they leave.
SECOND_MS, MINUTE_MS = 1_100, 61_000
#: Over so many seconds the shares are kept: long enough for the requests of one page to come at once, and shorter than
#: PATIENCE, so that who waits for what others leave does get it.
_SPELL = 4
#: What a request was for, as it stands behind its moment; a reading bears its person's mark behind that.
_DESK, _OTHERS, _BACKLOG, _READING = "", "o", "ob", "or"
#: In eighths of the limits: what all but the desk may fill up to, and what each may have of its own.
_ALL, _BESIDE_THE_DESK, _OF_BACKLOG, _OF_READINGS, _OF_ONE_PERSON = 8, 6, 4, 3, 2
_BOOKING_TRIES = 50
_YIELDING = 0.05
#: The row as this process wrote it last: while nobody else has changed it, a booking needs not read it.
_last: dict[str, RequestBudget] = {}

_SITES = "The requests that this site may send for this are used up for {} seconds."
_PERSONS = "You have read from Altegio as often as one person may; again in {} seconds."
_ALTEGIOS = "Altegio said that its limit is used up: nothing is sent for another {} seconds."

#: A window in milliseconds, how many requests there may be in it, and of those with which beginning of their mark.
Bound: TypeAlias = tuple[int, int, str]


def take_turn(
    *,
    count: int = 1,
    for_person: bool = False,
    reads_for: str | None = None,
    patience: float = PATIENCE,
) -> None:
    """Book `count` requests, waiting up to `patience` seconds for them. With 0 only what forbids a call is looked at.

    `for_person` says that an operation is waited for at the desk; `reads_for` that it is no operation but a reading, for
    the person with that key, or with an empty one for nobody in particular.

    Raises `exceptions.TransactionOpen` inside a transaction or with autocommit off, and `exceptions.Throttled`, with the
    wait in seconds, where they are further away than that. Where the budget itself fails, the request goes ahead:
    Altegio's own limit still stands, and its 429 is handled.
    """
    # The budget's row must not stay locked over a call, which it would until the end of a transaction of the caller's.
    database.refuse_transaction(router.db_for_write(RequestBudget))
    if not count:
        return
    mark = _DESK if for_person else _BACKLOG
    if reads_for is not None:
        mark = _READING + (f"{zlib.crc32(reads_for.encode()):08x}" if reads_for else "")
    bounds = _bounds(mark, count)
    deadline = time.monotonic() + patience
    try:
        while (missing := _book(_host(), count, mark, bounds))[0] > 0:
            wait, text = missing
            if time.monotonic() + wait > deadline:
                raise exceptions.Throttled(text.format(math.ceil(wait)), retry_after=wait)
            # The backlog has time: a person who waits for the same moment comes first.
            time.sleep(wait + (_YIELDING if mark == _BACKLOG else 0))
    except (DatabaseError, InterfaceError):
        logger.warning("The shared budget of requests could not be used; going on without it.", exc_info=True)


def _bounds(mark: str, count: int) -> list[Bound]:
    """What holds for a request of this mark. A limit of 0 is none, and one below `count` lets it through in the end."""
    settings = get_settings()
    second, minute = settings.REQUESTS_PER_SECOND, settings.REQUESTS_PER_MINUTE
    total = {"": _ALL} | ({} if mark == _DESK else {_OTHERS: _BESIDE_THE_DESK})
    of_work: dict[str, dict[str, int]] = {_DESK: {}, _BACKLOG: {_BACKLOG: _OF_BACKLOG}}
    own = of_work.get(mark, {mark: _OF_ONE_PERSON, _READING: _OF_READINGS})
    windows = [
        (SECOND_MS, second, total),
        (_SPELL * SECOND_MS, _SPELL * second, own),
        (MINUTE_MS, minute, total | own),
    ]
    return [
        (window, max(limit * eighths // 8, count), whose)
        for window, limit, shares in windows
        if limit
        for whose, eighths in shares.items()
    ]


def _host() -> str:
    """Whose requests are counted together: Altegio counts by IP address, whichever version of its API is called."""
    return get_settings().API_URL.partition("://")[2].partition("/")[0][:200] or "?"


def _book(host: str, count: int, mark: str, bounds: list[Bound]) -> tuple[float, str]:
    """Book the requests, or say how many seconds are missing, and for what."""
    for _ in range(_BOOKING_TRIES):
        remembered = _last.pop(host, None) if bounds else None
        budget = remembered or RequestBudget.objects.get_or_create(host=host)[0]
        now_ms = time.time_ns() // 1_000_000
        booked = _recent(budget.bookings(), now_ms)
        blocked = _blocked_seconds(budget)
        wait, text = (blocked, _ALTEGIOS) if blocked else _missing(booked, now_ms, count, bounds)
        if wait > 0 and remembered is None:
            return wait, text
        if wait > 0:
            continue
        if not bounds:
            return 0, ""
        sent_ms = ",".join(f"{moment}{of}" for moment, of in [*booked, *[(now_ms, mark)] * count])
        unchanged = RequestBudget.objects.filter(pk=budget.pk, version=budget.version)
        if unchanged.update(version=budget.version + 1, sent_ms=sent_ms):
            budget.version, budget.sent_ms = budget.version + 1, sent_ms
            _last[host] = budget
            return 0, ""
    return 0.05, _SITES  # so much company that no booking went through: a short wait, then again


def _blocked_seconds(budget: RequestBudget) -> float:
    """How long every request is held back; a block longer than anybody sets comes from a clock that was put back."""
    if budget.blocked_until is None:
        return 0
    seconds = (budget.blocked_until - timezone.now()).total_seconds()
    return seconds if 0 < seconds <= 2 * LONGEST_BLOCK else 0


def _recent(bookings: list[tuple[int, str]], now_ms: int) -> list[tuple[int, str]]:
    """Those that still count, in order; those in the future come from a clock that was put back."""
    return sorted(booking for booking in bookings if now_ms - MINUTE_MS < booking[0] <= now_ms + 1_000)


def _missing(
    booked: list[tuple[int, str]], now_ms: int, count: int, bounds: list[Bound]
) -> tuple[float, str]:
    """Seconds until `count` more requests are within all bounds, and what the furthest of these bounds says."""
    found = (0, "")
    for window, limit, whose in bounds:
        inside = [moment for moment, mark in booked if moment > now_ms - window and mark.startswith(whose)]
        if (surplus := len(inside) + count - limit) > 0:
            text = _PERSONS if whose.startswith(_READING) and whose != _READING else _SITES
            found = max(found, (inside[surplus - 1] + window - now_ms, text))
    return found[0] / 1000, found[1]


def block_for(seconds: float) -> None:
    """Hold every request back for so long: Altegio said that its limit, which counts per IP address, is used up."""
    if seconds <= 0:
        return
    now = timezone.now()
    until = now + datetime.timedelta(seconds=min(seconds, LONGEST_BLOCK))
    try:
        budget = RequestBudget.objects.get_or_create(host=_host())[0]
        sooner = Q(blocked_until__isnull=True) | Q(blocked_until__lt=until)
        since = budget.blocked_at if _blocked_seconds(budget) else now
        # A new version, so that no process goes on with the row as it remembers it.
        blocked = {"blocked_at": since, "blocked_until": until, "version": F("version") + 1}
        RequestBudget.objects.filter(sooner, pk=budget.pk).update(**blocked)
    except (DatabaseError, InterfaceError):
        logger.warning(
            "The shared budget of requests could not be blocked; going on without it.", exc_info=True
        )


def find_blocks() -> QuerySet[RequestBudget]:
    """What holds every request back since Altegio said that its limit is used up: one row, or none.

    `blocked_at` and `blocked_until` say since when, and until when.
    """
    now = timezone.now()
    longest = now + datetime.timedelta(seconds=2 * LONGEST_BLOCK)
    return RequestBudget.objects.filter(host=_host(), blocked_until__gt=now, blocked_until__lte=longest)


def lift_block() -> bool:
    """End the block; whether there was one."""
    return bool(find_blocks().update(blocked_until=None, version=F("version") + 1))
