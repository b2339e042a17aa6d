"""How the screens show outcomes, amounts and moments."""

from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Any

from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from altegio_loyalty import kinds
from altegio_loyalty.models import LoyaltyOperation
from altegio_loyalty.moments import as_local, today
from altegio_loyalty.states import Ending, Status
from altegio_loyalty.texts import Words, gettext_lazy as _
from altegio_loyalty.wording import isolated, points, zone_note


@dataclass(frozen=True)
class Look:
    """How an outcome is shown: a word and a symbol say it, the colour only repeats it."""

    word: Words
    symbol: str
    tone: str


_DONE = Look(Status.SUCCEEDED.label, "✓", "good")
_BY_STATUS: dict[str, Look] = {
    Status.PENDING: Look(Status.PENDING.label, "…", "warning"),
    Status.SENDING: Look(Status.SENDING.label, "→", "quiet"),
    Status.UNCONFIRMED: Look(Status.UNCONFIRMED.label, "?", "warning"),
    Status.SUCCEEDED: _DONE,
    Status.REJECTED: Look(Status.REJECTED.label, "✕", "bad"),
    Status.FAILED: Look(Status.FAILED.label, "✕", "bad"),
    Status.ABANDONED: Look(Status.ABANDONED.label, "■", "quiet"),
}


def look_of_status(status: str) -> Look:
    """The look of a state where nothing else is known; one that only a newer release knows goes by its bare name."""
    return _BY_STATUS.get(status) or Look(status, "•", "quiet")


def look_of(operation: LoyaltyOperation) -> Look:
    if operation.is_flagged:
        return Look(_("to be looked at"), "!", "warning")
    if not kinds.is_known(operation.kind):
        return Look(operation.get_status_display(), "•", "quiet")  # nobody here can say what its state means
    if operation.status == Status.SUCCEEDED:
        return _look_of_success(operation)
    return look_of_status(operation.status)


def _look_of_success(operation: LoyaltyOperation) -> Look:
    if operation.ending == Ending.DECIDED_HAPPENED:
        return _DONE
    if operation.ending == Ending.NOTHING_TO_CANCEL:
        return Look(_("nothing to cancel"), "○", "quiet")
    kind, taken, asked = kinds.TABLE[operation.kind], operation.applied_amount, operation.amount
    if kind.is_apply and taken == 0:
        return Look(_("nothing taken"), "○", "warning")
    if not kind.takes_amount or taken == asked:
        return _DONE
    if taken is None or asked is None:
        return Look(_("done, amount unknown"), "?", "warning")
    if taken < asked:
        return Look(_("less than asked"), "◐", "warning")
    return Look(_("more than asked"), "!", "warning")


def status_badge(operation: LoyaltyOperation) -> SafeString:
    """The outcome in a word with a symbol, as HTML."""
    look = look_of(operation)
    badge = '<span class="altegio-badge altegio-badge-{}"><span aria-hidden="true">{}</span> {}</span>'
    return format_html(badge, look.tone, look.symbol, look.word)


def asked_of(operation: LoyaltyOperation) -> str:
    """What was asked for: an amount, or which promotion."""
    if operation.amount is not None:
        return points(operation.amount, getattr(operation, "currency_shown", ""))
    number = _("promotion %(id)s") % {"id": operation.program_id} if operation.program_id else ""
    return isolated(operation.program_title) or str(number)


def in_lines(first: object, *more: object) -> SafeString:
    """One cell of a list in several lines, those below the first in small letters; what is empty takes none."""
    small = ((text,) for text in more if text)
    below = format_html_join("", '<br><span class="altegio-small">{}</span>', small)
    return format_html("{}{}", first, below)


def short_time(moment: datetime | None, zone: tzinfo | None = None) -> str:
    """The time of day in the zone, with the date unless it is today's."""
    if moment is None:
        return ""
    moment = as_local(moment, zone)
    clock = date_format(moment, "H:i")
    return clock if moment.date() == today(zone) else f"{date_format(moment, 'SHORT_DATE_FORMAT')} {clock}"


def time_at(location: Any, moment: datetime | None) -> str:
    """The moment as `short_time` shows it there, with the name of the zone where that is another than the reader's."""
    return short_time(moment, location.zone) + zone_note(location)


def last_operation_of(visit: Any) -> LoyaltyOperation | None:
    """The newest operation of a visit of the list, which has fetched it as `last_operations`."""
    return next(iter(getattr(visit, "last_operations", ())), None)


def note_of(visit: Any, amount: Decimal | None) -> tuple[str, Words]:
    """The sign before an amount of the list, and its meaning in words: an estimate, or read before the last operation."""
    if amount is None:
        return "", ""
    operation, read_at = last_operation_of(visit), visit.read_at or visit.location.visits_read_at
    changed_at = operation and (operation.finished_at or operation.sent_at)
    if changed_at and (read_at is None or read_at < changed_at):
        return "↻", _("before the last operation")
    return ("", "") if visit.read_at else ("≈", _("as the list of appointments shows it"))


def figure_of(visit: Any, amount: Decimal | None, label: Words) -> SafeString:
    """The amount as the list shows it. `label` repeats the heading of the column, for narrow screens, which show none."""
    heading = format_html('<span class="altegio-cell-label">{}</span> ', label)
    text = "–" if amount is None else points(amount, getattr(visit, "currency_shown", ""))
    sign, note = note_of(visit, amount)
    if not note:
        return format_html('{}<span class="altegio-figure">{}</span>', heading, text)
    figure = (
        '{0}<span class="altegio-figure" title="{1}"><span aria-hidden="true">{2}</span> {3}'
        '<span class="altegio-unseen"> ({1})</span></span>'
    )
    return format_html(figure, heading, note, sign, text)
