"""What the screens share: how an operation's outcome looks and sounds, and what every page must not do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from django.contrib import messages
from django.core.paginator import Paginator
from django.db import connections, transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from altegio_loyalty.client.types import LARGEST_ID
from altegio_loyalty.models import LoyaltyOperation
from altegio_loyalty.states import Ending, Kind, Status

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

View = TypeVar("View", bound=Callable[..., Any])


#: The stylesheet of all screens, below the static files.
STYLESHEET = "altegio_loyalty/altegio_loyalty.css"


@dataclass(frozen=True)
class Look:
    """How an outcome is shown: a word and a symbol say it, the colour only repeats it."""

    word: StrPromise
    symbol: str
    tone: str


_DONE = Look(_("done"), "✓", "good")
_NOTHING_TO_CANCEL = Look(_("nothing to cancel"), "○", "quiet")
_LESS = Look(_("less than asked"), "◐", "warning")
_NOTHING_TAKEN = Look(_("nothing taken"), "○", "warning")
_MORE = Look(_("more than asked"), "!", "warning")
_NOT_SHOWN = Look(_("done, amount unknown"), "?", "warning")
_TO_BE_LOOKED_AT = Look(_("to be looked at"), "!", "warning")
_BY_STATUS = {
    Status.PENDING: Look(_("waiting"), "…", "warning"),
    Status.SENDING: Look(_("being sent"), "→", "quiet"),
    Status.UNCONFIRMED: Look(_("in doubt"), "?", "warning"),
    Status.REJECTED: Look(_("refused"), "✕", "bad"),
    Status.FAILED: Look(_("not done, given up"), "✕", "bad"),
    Status.ABANDONED: Look(_("stopped"), "■", "quiet"),
}
_LEVELS = {
    "good": messages.SUCCESS,
    "warning": messages.WARNING,
    "bad": messages.ERROR,
    "quiet": messages.INFO,
}


def look_of(operation: LoyaltyOperation) -> Look:
    """The look of the operation's outcome."""
    if operation.discrepancy:
        return _TO_BE_LOOKED_AT
    if operation.status == Status.SUCCEEDED:
        return _look_of_success(operation)
    return _BY_STATUS[Status(operation.status)]


def _look_of_success(operation: LoyaltyOperation) -> Look:
    if operation.ending == Ending.DECIDED_HAPPENED:
        return _DONE
    if operation.ending == Ending.NOTHING_TO_CANCEL:
        return _NOTHING_TO_CANCEL
    taken, asked = operation.applied_amount, operation.amount
    if operation.kind == Kind.APPLY_DISCOUNT_PROGRAM and taken == 0:
        return _NOTHING_TAKEN
    if operation.kind != Kind.APPLY_CARD_WITHDRAWAL or taken == asked:
        return _DONE
    if taken is None or asked is None:
        return _NOT_SHOWN
    if taken == 0:
        return _NOTHING_TAKEN
    return _LESS if taken < asked else _MORE


def status_badge(operation: LoyaltyOperation) -> SafeString:
    """The outcome in a word with a symbol, as HTML."""
    look = look_of(operation)
    return format_html(
        '<span class="altegio-badge altegio-badge-{}"><span aria-hidden="true">{}</span> {}</span>',
        look.tone,
        look.symbol,
        look.word,
    )


def message_level(operation: LoyaltyOperation) -> int:
    """The level of Django's messages that fits the outcome."""
    return _LEVELS[look_of(operation).tone]


def say(request: HttpRequest, operation: LoyaltyOperation) -> None:
    """Tell the person in one sentence what became of the operation."""
    messages.add_message(request, message_level(operation), operation.sentence)


def outside_transactions(view: View) -> View:
    """Keeps ATOMIC_REQUESTS away from a view that calls Altegio or decides about operations.

    Each of those commits on its own: a transaction around the whole page would hold locks over a network call, and
    could take back the record of something that has happened.
    """
    for alias in connections:
        view = transaction.non_atomic_requests(using=alias)(view)
    return view


def short_time(moment: datetime | None) -> str:
    """The time of day, with the date unless it is today's."""
    if moment is None:
        return ""
    now = timezone.now()
    if timezone.is_aware(moment):
        moment, now = timezone.localtime(moment), timezone.localtime(now)
    clock = date_format(moment, "H:i")
    return clock if moment.date() == now.date() else f"{date_format(moment, 'SHORT_DATE_FORMAT')} {clock}"


def as_id(text: str | None) -> int | None:
    """The number that a person or a form sent, where it can be an id at all."""
    text = (text or "").strip()
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(LARGEST_ID)):
        return None
    number = int(text)
    return number if 0 < number <= LARGEST_ID else None


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts no further than `most_rows`, since a count of a million rows costs more than the page itself."""

    most_rows = 10_000

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        counted: int = rows.order_by()[: self.most_rows].count()
        return counted
