"""The report of a month by mail: points by location beside the month before, and what became of what was asked for."""

import datetime
import logging
from collections.abc import Iterator, Sequence
from typing import Any

from django.conf import settings as django_settings
from django.core.mail import EmailMessage
from django.db.models import Q
from django.template.loader import render_to_string
from django.utils import timezone, translation
from django.utils.formats import date_format, get_format

from altegio_loyalty import database, watch
from altegio_loyalty.admin import files
from altegio_loyalty.admin.overview.tables import Shown, amounts_of
from altegio_loyalty.conf import get_settings
from altegio_loyalty.models import Location, WatchEntry
from altegio_loyalty.moments import today
from altegio_loyalty.querysets import by_zone
from altegio_loyalty.states import Purpose
from altegio_loyalty.statistics import Period, Points
from altegio_loyalty.texts import gettext as _

logger = logging.getLogger(__name__)

CODE = "monthly_report"


def send_due() -> Iterator[tuple[str, bool]]:
    """Mail the month that is over everywhere, once, and what could not be mailed before; yields each month, and if it was.

    Of several processes one sends. What was tried within `watch.MAIL_PAUSE` is left alone; all is without REPORT_EMAILS.
    """
    if not get_settings().REPORT_EMAILS:
        return
    locations = {row.pk: row for row in Location.objects.only("title", "time_zone", "currency")}
    month = _first_days(min(today(zone) for zone in by_zone(locations.values())))[1]
    rows, key = WatchEntry.objects.using(database.alias()), f"{CODE}:{month}"
    begun = {"code": CODE, "said": month.isoformat(), "began_at": timezone.now()}
    rows.get_or_create(open_key=key, defaults=begun)
    for entry in rows.filter(code=CODE, mailed_at=None).order_by("pk"):
        now, row = timezone.now(), rows.filter(pk=entry.pk, mailed_at=None)
        is_free = Q(mail_tried_at=None) | Q(mail_tried_at__lt=now - watch.MAIL_PAUSE)
        if not row.filter(is_free).update(mail_tried_at=now):
            continue
        month = datetime.date.fromisoformat(entry.said)
        with translation.override(django_settings.LANGUAGE_CODE):
            message = _message(month, locations)
        try:
            message.send()
        except Exception:
            # Whatever the mail server or its library raises; the next run tries again.
            logger.warning(
                "A monthly report could not be sent.", exc_info=True, extra={"code": "mail_failed"}
            )
            yield entry.said[:7], False
        else:
            row.update(mailed_at=timezone.now())
            yield entry.said[:7], True


def _first_days(day: datetime.date) -> tuple[datetime.date, datetime.date]:
    """Of the day's month and of the one before."""
    first = day.replace(day=1)
    return first, (first - datetime.timedelta(days=1)).replace(day=1)


def _message(month: datetime.date, locations: dict[int, Location]) -> EmailMessage:
    """The mail, in the current language, with the points by day and location as a file."""
    after, (month, before) = _first_days(month + datetime.timedelta(days=31))[0], _first_days(month)
    shown, shown_before = (
        Shown(Q(), Period(first, until - datetime.timedelta(days=1), [*locations.values()]), locations)
        for first, until in ((month, after), (before, month))
    )
    statuses = {**shown_before.statuses, **shown.statuses}
    counts, counts_before = shown.outcomes.by_status, shown_before.outcomes.by_status
    decided = shown.period.narrow(database.operations()).filter(attempts__purpose=Purpose.DECISION)
    context = {
        "month": date_format(month, "YEAR_MONTH_FORMAT"),
        "before": date_format(before, "YEAR_MONTH_FORMAT"),
        "now": timezone.now(),
        "sums": _sums(shown, shown_before),
        "unknown_count": shown.points.total.unknown_count,
        "outcomes": [(title, counts[name], counts_before[name]) for name, title in statuses.items()],
        "decided": decided.distinct().count(),
        "needing": database.operations().needing_attention().count(),
    }
    subject, _line, body = render_to_string("altegio_loyalty/monthly_report.txt", context).partition("\n")
    subject = f"{django_settings.EMAIL_SUBJECT_PREFIX}{subject}"
    message = EmailMessage(subject, body, to=list(get_settings().REPORT_EMAILS))
    message.attach(*_file(f"loyalty-days-{month:%Y-%m}", *shown.days_csv()))
    return message


def _sums(shown: Shown, before: Shown) -> Iterator[tuple[str, list[Any]]]:
    """Of each currency the points of the locations, the most first, then of all; each beside those of the month before."""
    found = shown.by_currency(), before.by_currency()
    for currency in sorted({*found[0], *found[1]}):
        these, those = (points.get(currency, Points(shown.period, {})) for points in found)
        ids = dict.fromkeys(
            pk for points in (these, those) for pk, _moved in shown.locations_by_points(points)
        )
        rows = [(shown.title_of(pk), these.by_location[pk], those.by_location[pk]) for pk in ids]
        rows.append((_("All locations"), these.total, those.total))
        yield currency, [(title, amounts_of(now), amounts_of(then)) for title, now, then in rows]


def _file(name: str, header: Sequence[Any], *rows: Sequence[Any]) -> tuple[str, bytes, str]:
    """Name, content and type: XLSX, or without XlsxWriter CSV with the decimal mark of the language."""
    if files.xlsx_is_offered():
        parts = files.as_xlsx(header, [rows], currency_at=len(header) - 1)
        return f"{name}.xlsx", b"".join(parts), files.CONTENT_TYPE
    text = "".join(files.as_csv(header, [rows], comma=get_format("DECIMAL_SEPARATOR") == ","))
    return f"{name}.csv", text.encode(), "text/csv"
