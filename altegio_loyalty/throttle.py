"""One budget of requests for all processes of the site, since Altegio counts per IP address.

It lives in the database that every site has. The requests of the last minute are kept, each with what it was for, and a
request is booked by a conditional update, so any number of processes share it without a lock. An operation at the desk may
use all of it; the backlog and the readings of pages leave the desk a share, and each other one too, whatever people reload.
While nobody is at the desk, the backlog may use what is left. Hosts whose clocks differ share the database's clock.
Altegio's limits: 5 a second and 200 a minute (developer.alteg.io, "Rate limits"), and YCLIENTS'.
"""

import contextlib
import datetime
import logging
import math
import threading
import time
import zlib
from typing import TypeAlias

from django.db import DatabaseError, InterfaceError, router
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now
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
SECOND_MS, MINUTE_MS = 1_100, 60_500
#: Over so many seconds the shares are kept: enough for the requests of one page at once, and within PATIENCE.
_SPELL = 4
#: What a request was for, as it stands behind its moment; a reading bears its person's mark behind that.
_DESK, _OTHERS, _BACKLOG, _READING, _BOOKS = "", "o", "ob", "or", "ok"
#: In place of a person: the books, which ask nothing while a half of it is used, by whomever.
FOR_BOOKS = "\0books"
#: The backlog's while nobody is at the desk: of no share, and so in nobody's way who comes then.
_SPARE = "s"
#: So long after an operation at the desk, or a reading for a person, somebody is taken to be there.
_PRESENCE_MS = 15_000
#: Spare requests come evenly, in bursts of so many: who comes to the desk waits for one of these and not for a minute's end.
_BURST = 4
#: With fewer a minute, what comes free does so slower than a person waits: such a budget has nothing to spare.
_SPARING = 60
#: In eighths of the limits: what may be filled up to by the desk, by others and by the books.
_ALL, _BESIDE_THE_DESK, _BESIDE_ALL = 8, 6, 4
#: And what each may have of its own.
_OF_BACKLOG, _OF_READINGS, _OF_ONE_PERSON, _OF_BOOKS = 4, 3, 2, 2
_BOOKING_TRIES = 50
_YIELDING = 0.02
#: A sweep's threads wait one behind the other: among many that wait for the same moment, some would never be first.
_line = threading.Lock()
#: How long, in seconds, a sweep is taken to be at work that says nothing more: it may have been killed.
_LEAD = datetime.timedelta(seconds=30)
#: The row as this process wrote it last, and the milliseconds that the database's clock is ahead of the steady one here:
#: while nobody else has changed the row, a booking needs not read it.
_last: dict[str, tuple[RequestBudget, int]] = {}

_SITES = "The requests that this site may send for this are used up for {} seconds."
_PERSONS = "You have read from Altegio as often as one person may; again in {} seconds."
_ALTEGIOS = "Altegio said that its limit is used up: nothing is sent for another {} seconds."

#: The beginnings of the marks of those requests that are counted together.
Whose: TypeAlias = str | tuple[str, ...]
#: A window in milliseconds, how many requests there may be in it, and of whose.
Bound: TypeAlias = tuple[int, int, Whose]


def take_turn(
    *, count: int = 1, for_person: bool = False, reads_for: str | None = None, patience: float = PATIENCE
) -> None:
    """Book `count` requests, waiting up to `patience` seconds for them. With 0 only what forbids a call is looked at.

    `for_person` says that an operation is waited for at the desk; `reads_for` that it is a reading, for the person with
    that key, or with an empty one for nobody in particular. Raises `exceptions.TransactionOpen` inside a transaction or
    with autocommit off, and `exceptions.Throttled`, with the wait in seconds, where they are further away. Where the budget
    itself fails, the request goes ahead: Altegio's own limit still stands, and its 429 is handled.
    """
    # The budget's row must not stay locked over a call, which it would until the end of a transaction of the caller's.
    database.refuse_transaction(router.db_for_write(RequestBudget))
    if not count:
        return
    mark = _DESK if for_person else _BACKLOG
    if reads_for == FOR_BOOKS:
        mark = _BOOKS
    elif reads_for is not None:
        mark = _READING + (f"{zlib.crc32(reads_for.encode()):08x}" if reads_for else "")
    try:
        with _line if mark == _BACKLOG else contextlib.nullcontext():
            _wait_and_book(count, mark, time.monotonic() + patience)
    except (DatabaseError, InterfaceError):
        logger.warning("The shared budget of requests could not be used; going on without it.", exc_info=True)


def _wait_and_book(count: int, mark: str, deadline: float) -> None:
    while (missing := _book(api_host(), count, mark))[0] > 0:
        wait, text = missing
        if time.monotonic() + wait > deadline:
            raise exceptions.Throttled(text.format(math.ceil(wait)), retry_after=wait)
        # The backlog has time: a person who waits for the same moment comes first.
        time.sleep(wait + (_YIELDING if mark == _BACKLOG else 0))


def _bounds(mark: str, count: int) -> list[Bound]:
    """What holds for a request of this mark. A limit of 0 is none, and one below `count` lets it through in the end."""
    settings = get_settings()
    second, minute = settings.REQUESTS_PER_SECOND, settings.REQUESTS_PER_MINUTE
    total: dict[Whose, int] = {"": _ALL}
    own: dict[Whose, int] = {}
    if mark == _BACKLOG:
        total[_OTHERS, _SPARE], own[_BACKLOG, _SPARE] = _BESIDE_THE_DESK, _OF_BACKLOG
    elif mark == _BOOKS:
        total, own = {"": _BESIDE_ALL}, {_BOOKS: _OF_BOOKS}
    elif mark.startswith(_READING):
        total[_OTHERS] = _BESIDE_THE_DESK
        own = {mark: _OF_ONE_PERSON, _READING: _OF_READINGS}
    windows = [
        (SECOND_MS, second, total),
        (_SPELL * SECOND_MS, _SPELL * second, own),
        (MINUTE_MS, minute, total | own),
    ]
    bounds: list[Bound] = [
        (window, max(limit * eighths // 8, count), whose)
        for window, limit, shares in windows
        if limit
        for whose, eighths in shares.items()
    ]
    if mark == _SPARE and minute:
        # A little faster than the minute allows, so that what a wait is too long is caught up with.
        bounds.append((MINUTE_MS * _BURST * 15 // 16 // minute, max(_BURST, count), _SPARE))
    return bounds


def api_host() -> str:
    """Whose requests are counted together: Altegio counts by IP address, whichever version of its API is called."""
    return get_settings().API_URL.partition("://")[2].partition("/")[0][:200] or "?"


def _book(host: str, count: int, mark: str) -> tuple[float, str]:
    """Book the requests, or say how many seconds are missing, and for what."""
    for _ in range(_BOOKING_TRIES):
        remembered = _last.pop(host, None) if _bounds(mark, count) else None
        budget, ahead_ms = remembered or _read(host)
        now_ms = ahead_ms + int(time.monotonic() * 1000)
        booked = _recent(budget.bookings(), now_ms)
        shown = _SPARE if mark == _BACKLOG and _has_spare(booked, now_ms) else mark
        bounds = _bounds(shown, count)
        blocked = _blocked_seconds(budget)
        wait, text = (blocked, _ALTEGIOS) if blocked else _missing(booked, now_ms, count, bounds)
        if wait > 0 and remembered is None:
            return wait, text
        if wait > 0:
            continue
        if not bounds:
            return 0, ""
        sent_ms = ",".join(f"{moment}{of}" for moment, of in [*booked, *[(now_ms, shown)] * count])
        unchanged = RequestBudget.objects.filter(pk=budget.pk, version=budget.version)
        if unchanged.update(version=budget.version + 1, sent_ms=sent_ms):
            budget.version, budget.sent_ms = budget.version + 1, sent_ms
            _last[host] = budget, ahead_ms
            return 0, ""
    return 0.05, _SITES  # so much company that no booking went through: a short wait, then again


def _read(host: str) -> tuple[RequestBudget, int]:
    """The row, and how far the database's clock is ahead, which is one for all hosts, of the steady one of this process."""
    rows = RequestBudget.objects.using(router.db_for_write(RequestBudget)).annotate(read_at=Now())
    budget, is_new = rows.get_or_create(host=host)
    if is_new:
        budget = rows.get(host=host)
    return budget, int((budget.read_at.timestamp() - time.monotonic()) * 1000)


def _has_spare(booked: list[tuple[int, str]], now_ms: int) -> bool:
    """Whether nobody is at the desk, for whom a share of the budget would be kept."""
    if 0 < get_settings().REQUESTS_PER_MINUTE < _SPARING:
        return False
    recent = (mark for moment, mark in booked if moment > now_ms - _PRESENCE_MS)
    return not any(mark == _DESK or (mark.startswith(_READING) and mark != _READING) for mark in recent)


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
            text = _PERSONS if whose[:2] == _READING and whose != _READING else _SITES
            found = max(found, (inside[surplus - 1] + window - now_ms, text))
    return found[0] / 1000, found[1]


def may_have_failed() -> bool:
    """Whether calls before the last booking may have got no answer, as far as this process knows without asking."""
    known = _last.get(api_host())
    return known is None or known[0].unanswered_count > 0


def block_for(seconds: float) -> None:
    """Hold every request back for so long: Altegio said that its limit, which counts per IP address, is used up."""
    if seconds <= 0:
        return
    now = timezone.now()
    until = now + datetime.timedelta(seconds=min(seconds, LONGEST_BLOCK))
    budget = RequestBudget.objects.get_or_create(host=api_host())[0]
    sooner = Q(blocked_until__isnull=True) | Q(blocked_until__lt=until)
    since = budget.blocked_at if _blocked_seconds(budget) else now
    # A new version, so that no process goes on with the row as it remembers it.
    blocked = {"blocked_at": since, "blocked_until": until, "version": F("version") + 1}
    RequestBudget.objects.filter(sooner, pk=budget.pk).update(**blocked)


def find_blocks() -> QuerySet[RequestBudget]:
    """What holds requests back from `blocked_at` to `blocked_until`, since Altegio's limit is used up: one row, or none."""
    now = timezone.now()
    longest = now + datetime.timedelta(seconds=2 * LONGEST_BLOCK)
    return RequestBudget.objects.filter(host=api_host(), blocked_until__gt=now, blocked_until__lte=longest)


def lift_block() -> bool:
    """End the block; whether there was one."""
    return bool(find_blocks().update(blocked_until=None, version=F("version") + 1))


def take_lead(held: datetime.datetime | None) -> datetime.datetime | None:
    """Be the one sweep that waits for turns, and until when; None where another one is. Who may send is for the claims."""
    now = timezone.now()
    budget = RequestBudget.objects.get_or_create(host=api_host())[0]
    is_over = Q(led_until__isnull=True) | Q(led_until__lte=now) | Q(led_until__gt=now + 2 * _LEAD)
    free = RequestBudget.objects.filter(is_over | Q(led_until=held), pk=budget.pk)
    return now + _LEAD if free.update(led_until=now + _LEAD) else None


def give_up_lead(held: datetime.datetime) -> None:
    """Another sweep can go on at once. Where the database fails, when the lead ends by itself."""
    with contextlib.suppress(DatabaseError, InterfaceError):
        RequestBudget.objects.filter(led_until=held).update(led_until=None)
