"""Does everything run: what waits, the last sweep, whether Altegio answers. What goes wrong is told once, and its end too.

Whoever looks tells what has begun or ended since. All of it is best effort: nothing here can stop a result from being
recorded.
"""

import contextlib
import datetime
import logging
import os
import socket
import sys
import threading
from collections.abc import Mapping
from typing import Any, TypeAlias

from django.conf import settings as django_settings
from django.core.mail import send_mail
from django.db import DatabaseError, InterfaceError
from django.db.models import Count, Exists, F, Min, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone, translation
from django.utils.formats import date_format

from altegio_loyalty import database, exceptions, policy, signals, throttle
from altegio_loyalty.conf import ALERTS, get_settings
from altegio_loyalty.models import BooksItem, Location, LoyaltyOperation, RequestBudget, WatchEntry
from altegio_loyalty.moments import as_local, today
from altegio_loyalty.querysets import HELD_UP, OperationQuerySet
from altegio_loyalty.states import Status
from altegio_loyalty.texts import gettext_lazy as _

logger = logging.getLogger(__name__)

#: So many calls in a row, of all processes, without an answer of Altegio's own: one that is slow is no outage.
AWAY_AFTER = 3
#: What is due longer than this, while no sweep is heard of, has nobody who runs it.
STALLED_AFTER = datetime.timedelta(minutes=5)
#: Between two mails, in which what happens is collected; seconds that a mail server may take; lines in one mail.
MAIL_PAUSE, MAIL_PATIENCE, MAIL_LINES = datetime.timedelta(minutes=15), 10.0, 50
#: So many of the last entries are kept, and those that have not ended.
KEPT = 5_000
#: The index is the exit code of the status command.
WELL, NEEDS_PERSON, STANDS_STILL = STATUSES = ("well", "needs_person", "stands_still")
#: Since when each trouble lasts, by its code and, where it is one location's, that location's id.
Lasting: TypeAlias = dict[tuple[str, int | None], datetime.datetime]

SWEEP, HELD = "sweep", "held"
#: A column for whatever is read before it is sent: whether everything is held.
IS_HELD = Exists(WatchEntry.objects.filter(open_key=HELD))
#: Of a visit: whether the books have an open item of it.
HAS_ITEMS = Exists(BooksItem.objects.filter(visit_id=OuterRef("pk"), closed_at=None))
AWAY, STALLED, PAUSED = ALERTS
#: What begins is a log record's code and a signal's name; so is its end.
_ENDS = {AWAY: "altegio_back", STALLED: "queue_moving", PAUSED: "location_resumed"}
_SENTENCES = {
    AWAY: _("No call to Altegio has worked since %(since)s."),
    "altegio_back": _("Altegio answers again; no call had worked since %(since)s."),
    HELD: _(
        "Everything is held since %(since)s (%(said)s): nothing is sent until the books were compared and it is released."
    ),
    STALLED: _("No worker was heard of since %(since)s: what is due waits until one runs."),
    "queue_moving": _("Nothing waits for a worker any more; it had since %(since)s."),
    PAUSED: _(
        "Location %(location)s is paused since %(since)s: its tokens do not work, its operations wait."
    ),
    "location_resumed": _("Location %(location)s is no longer paused; it was since %(since)s."),
}


def look(*, mails: bool = True) -> dict[str, Any]:
    """How the work stands: counts and moments, nothing personal; "status" is one of STATUSES. Tells, as `tell` does.

    Where the database is away, that is all there is, under "database".
    """
    try:
        return _figures(tell(mails=mails), database.operations())
    except (DatabaseError, InterfaceError):
        return {"status": STANDS_STILL, "database": "away"}


def _figures(lasting: Lasting, operations: OperationQuerySet) -> dict[str, Any]:
    sweep = WatchEntry.objects.filter(code=SWEEP).order_by("-pk").first()
    figures: dict[str, Any] = operations.open().aggregate(
        open=Count("pk"),
        in_doubt=Count("pk", filter=Q(status=Status.UNCONFIRMED)),
        oldest_asked_at=Min("created_at"),
    )
    figures |= operations.due(timezone.now()).aggregate(due=Count("pk"), due_since=Min("next_attempt_at"))
    figures |= {
        "needs_person": operations.needing_attention().count(),
        "unknown_to_the_log": BooksItem.objects.filter(closed_at=None, operation=None).count(),
        "paused_locations": sum(code == PAUSED for code, _location_id in lasting),
        "altegio_away_since": lasting.get((AWAY, None)),
        "queue_stalled_since": lasting.get((STALLED, None)),
        "held_since": lasting.get((HELD, None)),
        "last_sweep_at": sweep and sweep.ended_at,
        "last_sweep": sweep and sweep.said,
    }
    is_stuck = figures["queue_stalled_since"] or figures["held_since"]
    is_stuck = is_stuck or (figures["altegio_away_since"] and figures["open"])
    is_told = figures["needs_person"] or figures["unknown_to_the_log"] or figures["paused_locations"]
    return {"status": STANDS_STILL if is_stuck else NEEDS_PERSON if is_told else WELL, **figures}


def facts() -> dict[str, Subquery]:
    """What `notices` goes by, as columns for a query of locations that a page makes anyway."""
    then, operations = timezone.now() - STALLED_AFTER, LoyaltyOperation.objects.all()
    overdue = (operations.due(then) | operations.lease_ran_out(then)).order_by("next_attempt_at")
    budget = RequestBudget.objects.filter(host=throttle.api_host())
    hold_now = WatchEntry.objects.filter(open_key=HELD)
    return {
        "away_since": Subquery(budget.filter(unanswered_count__gte=AWAY_AFTER).values("unanswered_since")),
        "overdue_since": Subquery(overdue.values("next_attempt_at")[:1]),
        # A sweep under way; further ahead only a clock that was wrong can have written.
        "led_until": Subquery(budget.filter(led_until__lte=then + 2 * STALLED_AFTER).values("led_until")),
        "swept_at": Subquery(WatchEntry.objects.filter(code=SWEEP).order_by("-pk").values("ended_at")[:1]),
        "held_since": Subquery(hold_now.values("began_at")),
        "held_said": Subquery(hold_now.values("said")),
    }


def notices(zone: datetime.tzinfo | None = None, known: Mapping[str, Any] | None = None) -> list[str]:
    """What a screen says above what waits, in the reader's language: Altegio away, nothing that runs the sweep; or nothing.

    `zone` is that of the moments, the reader's where it is None. One query, or none where the `facts` are `known`.
    """
    known = known or _known()
    said = known["held_said"]
    return [
        _SENTENCES[code] % {"since": _when(since, zone), "said": said}
        for code, since in _outages(known).items()
    ]


def hold() -> WatchEntry | None:
    """That of all operations, while it lasts."""
    return WatchEntry.objects.filter(open_key=HELD).first()


def stalled() -> list[str]:
    """For an operator: that nothing runs the sweep although something is due."""
    since = _outages(_known()).get(STALLED)
    return [_SENTENCES[STALLED] % {"since": _when(since, None)}] if since else []


def held() -> list[str]:
    """For an operator: how many operations wait in each location for which nothing is sent, and why."""
    columns = ("location__title", "location_id", "location__is_active")
    rows = database.operations().open().filter(HELD_UP).order_by("location_id").values_list(*columns)
    of_all = [f"Everything is held, {entry.said}."] if (entry := hold()) else []
    return of_all + [
        f"{count} wait in {title} ({pk}): {'its tokens are refused' if is_active else 'it is switched off'}."
        for title, pk, is_active, count in rows.annotate(count=Count("pk"))
    ]


def _known() -> dict[str, Any]:
    columns = facts()
    rows = Location.objects.using(database.alias()).order_by().annotate(**columns)
    return rows.values(*columns).first() or dict.fromkeys(columns)


def _outages(known: Mapping[str, Any]) -> dict[str, datetime.datetime]:
    found, due_at = {HELD: known["held_since"], AWAY: known["away_since"]}, known["overdue_since"]
    last_at = max(filter(None, (known["swept_at"], known["led_until"])), default=None)
    if due_at and (last_at is None or timezone.now() - last_at > STALLED_AFTER):
        found[STALLED] = last_at or due_at
    return {code: since for code, since in found.items() if since}


def _when(moment: datetime.datetime, zone: datetime.tzinfo | None) -> str:
    local = as_local(moment, zone)
    return date_format(local, "H:i" if local.date() == today(zone) else "SHORT_DATETIME_FORMAT")


def heard(error: exceptions.ApiError | None) -> None:
    """Count the calls in a row, of all processes, that got no answer of Altegio's own. Raises what the database raises."""
    row, version = RequestBudget.objects.filter(host=throttle.api_host()), F("version") + 1
    is_answer, is_news = error is None or error.http_status is not None, False
    if error and policy.is_unanswered(error):
        # A new version, so that no process goes on with the row as it remembers it.
        since = Coalesce("unanswered_since", timezone.now())
        row.update(unanswered_count=F("unanswered_count") + 1, unanswered_since=since, version=version)
        is_news = row.filter(unanswered_count=AWAY_AFTER).exists()
    elif is_answer and throttle.may_have_failed():
        failed = row.filter(unanswered_count__gt=0)
        is_news = failed.update(unanswered_count=0, unanswered_since=None, version=version) > 0
    if is_news:
        tell()


def note_sweep(began_at: datetime.datetime, report: Any) -> None:
    """Keep which process swept since then, what it did, and why it stopped; also while a failure passes. Never raises."""
    stopped = report.stopped if (failure := sys.exception()) is None else type(failure).__name__
    said = f"{socket.gethostname()}:{os.getpid()}: {report.did or 'nothing was due'}. {stopped}".strip()
    try:
        swept = {"code": SWEEP, "began_at": began_at, "ended_at": timezone.now(), "said": said[:300]}
        entry = WatchEntry.objects.create(**swept)
        WatchEntry.objects.filter(pk__lte=entry.pk - KEPT).exclude(ended_at=None).delete()
        tell(mails=True)
    except (DatabaseError, InterfaceError):
        logger.warning("That a sweep ran could not be kept.", exc_info=True, extra={"code": "watch_failed"})


def tell(*, mails: bool = False) -> Lasting:
    """Tell what has begun or ended since somebody looked, except inside a transaction; of several processes one does."""
    now = timezone.now()
    paused = Location.objects.filter(is_active=True).exclude(refused_at=None).values_list("pk", "refused_at")
    lasting: Lasting = {(PAUSED, pk): since for pk, since in paused if since}
    lasting |= {(code, None): since for code, since in _outages(_known()).items()}
    with contextlib.suppress(exceptions.TransactionOpen):
        database.refuse_transaction(database.alias())
        rows = WatchEntry.objects.filter(open_key__isnull=False, code__in=ALERTS).select_related("location")
        known = {(entry.code, entry.location_id): entry for entry in rows}
        for code, location_id in lasting.keys() - known.keys() - {(HELD, None)}:
            begun = {"code": code, "location_id": location_id, "began_at": lasting[code, location_id]}
            entry, is_new = WatchEntry.objects.get_or_create(open_key=f"{code}:{location_id}", defaults=begun)
            if is_new:
                _announce(entry)
        for key in known.keys() - lasting.keys():
            entry, known[key].ended_at = known[key], now
            row = WatchEntry.objects.filter(pk=entry.pk, ended_at=None)
            if entry.location and entry.location.is_paused:
                row.delete()  # switched off meanwhile: nothing goes on, so nothing is told
            elif row.update(ended_at=now, open_key=None):
                _announce(entry)
        if mails and get_settings().ALERT_EMAILS:
            _mail(now)
    return lasting


def _announce(entry: WatchEntry) -> None:
    code, level = (_ENDS[entry.code], logging.INFO) if entry.ended_at else (entry.code, logging.WARNING)
    with translation.override(None):
        logger.log(level, _sentence(entry), extra={"code": code, "location": entry.location_id})
    if signal := getattr(signals, code, None):
        of_location = {"location": entry.location} if entry.location_id else {}
        signal.send_robust(WatchEntry, since=entry.began_at, **of_location)


def _sentence(entry: WatchEntry) -> str:
    text = _SENTENCES[_ENDS[entry.code] if entry.ended_at else entry.code]
    since = _when(entry.began_at, timezone.get_default_timezone())
    return text % {"since": since, "location": entry.location}


def _mail(now: datetime.datetime) -> None:
    """One mail of all that no mail has told yet, at most one in MAIL_PAUSE, whatever comes of it."""
    entries = WatchEntry.objects.filter(code__in=get_settings().ALERTS)
    news = Q(mailed_at=None) | Q(ended_at__gt=F("mailed_at"))
    # Later than that only a clock that was wrong tried it.
    if entries.filter(mail_tried_at__range=(now - MAIL_PAUSE, now + MAIL_PAUSE)).exists():
        return
    with translation.override(django_settings.LANGUAGE_CODE):
        lines = {
            row.pk: _sentence(row)
            for row in entries.filter(news).select_related("location").order_by("pk")[:MAIL_LINES]
            if entries.filter(pk=row.pk, mail_tried_at=row.mail_tried_at).update(mail_tried_at=now)
        }
    if lines and _is_sent(list(lines.values())):
        entries.filter(pk__in=lines).update(mailed_at=now)


def _is_sent(lines: list[str]) -> bool:
    """In a thread, since nobody waits longer than MAIL_PATIENCE for a mail server."""
    subject, sent = " ".join(f"{django_settings.EMAIL_SUBJECT_PREFIX}{lines[0]}".split()), threading.Event()

    def send() -> None:
        try:
            send_mail(subject, "\n".join(lines), None, list(get_settings().ALERT_EMAILS))
            sent.set()
        except Exception:
            logger.warning("A mail could not be sent.", exc_info=True, extra={"code": "mail_failed"})

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    thread.join(MAIL_PATIENCE)
    return sent.is_set()
