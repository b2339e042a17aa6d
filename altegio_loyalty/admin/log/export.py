"""The log as CSV: what is filtered and searched in the list, in pages by number, so that its size does not matter."""

import datetime
from collections.abc import Callable, Iterator
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.http import HttpResponseBase, HttpResponseRedirect
from django.utils import timezone
from django.utils.translation import get_language, override

from altegio_loyalty.access import visible_to
from altegio_loyalty.admin.csv_files import COMMA, as_csv, csv_response
from altegio_loyalty.admin.pages import Page
from altegio_loyalty.moments import as_local, today, zone_of
from altegio_loyalty.states import Ending, Kind, Status
from altegio_loyalty.texts import gettext as _
from altegio_loyalty.wording import reason

#: So many rows are read, and sent, at once.
ROWS_AT_ONCE = 1000


def _word(choices: Any) -> Callable[[Any, Any], Any]:
    words = {value: str(label) for value, label in choices}
    return lambda value, _zone: words.get(value, value)


def _columns() -> list[tuple[str, str, Callable[[Any, Any], Any] | None]]:
    """(heading, column of the table, how it reads in a zone). Texts are those of the request, not of the sending."""
    language = get_language()

    def when(moment: datetime.datetime | None, zone: datetime.tzinfo) -> str | None:
        return None if moment is None else as_local(moment, zone).isoformat(timespec="seconds")

    def reworded(text: str, _zone: datetime.tzinfo) -> str:
        with override(language):
            return reason(text)

    return [
        (_("Number"), "pk", None),
        (_("Asked at"), "created_at", when),
        (_("Operation"), "kind", _word(Kind.choices)),
        (_("State"), "status", _word(Status.choices)),
        (_("How"), "ending", _word(Ending.choices)),
        (_("Location ID"), "location_id", None),
        (_("Location"), "location__title", None),
        (_("Currency"), "location__currency", None),
        (_("Visit ID"), "visit_id", None),
        (_("Appointment ID"), "record_id", None),
        (_("Client"), "visit__client_name", None),
        (_("Card ID"), "card_id", None),
        (_("Promotion ID"), "program_id", None),
        (_("Points asked"), "amount", None),
        (_("Applied"), "applied_amount", None),
        (_("Given back"), "returned_amount", None),
        (_("To be looked at"), "discrepancy", reworded),
        (_("Last error"), "last_error", reworded),
        (_("Requested by"), "requested_by_login", None),
        (_("Attempts"), "attempt_count", None),
        (_("Look-ups"), "lookup_count", None),
        (_("Finished at"), "finished_at", when),
        (_("Cancels"), "cancels_id", None),
        (_("Batch"), "batch", None),
        (_("Idempotency key"), "idempotency_key", None),
    ]


def log_as_csv(operations: Any, *, comma: bool = False) -> Iterator[str]:
    """The operations, newest first, of whatever number. `comma` as in `as_csv`."""
    columns, here = _columns(), timezone.get_current_timezone()

    def cells(row: list[Any], zone: datetime.tzinfo) -> Iterator[Any]:
        for value, (_heading, _column, read) in zip(row, columns, strict=True):
            yield read(value, zone) if read else value

    def pages() -> Iterator[list[list[Any]]]:
        # By number, not with a cursor: a pooler between us and PostgreSQL may not keep one.
        names = (column for _heading, column, _read in columns)
        rows = operations.order_by("-pk").values_list(*names, "location__time_zone")
        page = list(rows[:ROWS_AT_ONCE])
        while page:
            yield [[*cells(row, zone_of(name) if name else here)] for *row, name in page]
            page = list(rows.filter(pk__lt=page[-1][0])[:ROWS_AT_ONCE])

    return as_csv([heading for heading, _column, _read in columns], pages(), comma=comma)


def export(page: Page) -> HttpResponseBase:
    """The operations that the list shows with these filters, as a file."""
    page.request.GET = asked = page.request.GET.copy()  # type: ignore[assignment]
    comma = asked.pop(COMMA, None) is not None  # the list knows no such filter
    try:
        listed = page.admin.get_changelist_instance(page.request).queryset
    except IncorrectLookupParameters:
        # As the list does with filters that make no sense: back to it, with its message.
        return HttpResponseRedirect(page.address("loyaltyoperation_changelist", e=1))
    parts = log_as_csv(visible_to(page.request.user, listed), comma=comma)
    return csv_response(page.request, f"loyalty-operations-{today().isoformat()}.csv", parts)
