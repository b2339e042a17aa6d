"""The log as CSV: what is filtered and searched in the list, in pages by number, so that its size does not matter."""

import datetime
from collections.abc import Callable, Iterator
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import get_fields_from_path
from django.http import HttpResponseBase, HttpResponseRedirect
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import get_language, override

from altegio_loyalty.access import visible_to
from altegio_loyalty.admin.csv_files import COMMA, as_csv, csv_response
from altegio_loyalty.admin.pages import Page
from altegio_loyalty.models import LoyaltyOperation
from altegio_loyalty.moments import as_local, today, zone_of
from altegio_loyalty.texts import gettext as _
from altegio_loyalty.wording import reason

#: So many rows are read, and sent, at once.
ROWS_AT_ONCE = 1000


#: What a row holds, each under the name of its column.
COLUMNS = (
    "id", "created_at", "kind", "status", "ending", "location__id", "location__title", "location__currency", "visit__id",
    "record_id", "visit__client_name", "card_id", "program_id", "amount", "applied_amount", "returned_amount", "discrepancy",
    "last_error", "requested_by_login", "attempt_count", "lookup_count", "finished_at", "cancels", "batch",
    "idempotency_key",
)  # fmt: skip
_FIELDS = {name: get_fields_from_path(LoyaltyOperation, name)[-1] for name in COLUMNS}


def _readers() -> list[Callable[[Any, Any], Any] | None]:
    """How each column reads in a zone; None for as it is. Texts are those of the request, not of the sending."""
    language = get_language()

    def when(moment: datetime.datetime | None, zone: datetime.tzinfo) -> str | None:
        return None if moment is None else as_local(moment, zone).isoformat(timespec="seconds")

    def reworded(text: str, _zone: datetime.tzinfo) -> str:
        with override(language):
            return reason(text)

    def word(choices: Any) -> Callable[[Any, Any], Any]:
        words = {value: str(label) for value, label in choices}
        return lambda value, _zone: words.get(value, value)

    read = {name: word(field.choices) for name, field in _FIELDS.items() if field.choices}
    read |= {"created_at": when, "finished_at": when, "discrepancy": reworded, "last_error": reworded}
    return [read.get(name) for name in COLUMNS]


def log_as_csv(operations: Any, *, comma: bool = False) -> Iterator[str]:
    """The operations, newest first, of whatever number. `comma` as in `as_csv`."""
    names = {"id": _("Number"), "location__title": _("Location")}
    header = [names.get(name) or capfirst(field.verbose_name) for name, field in _FIELDS.items()]
    readers, here = _readers(), timezone.get_current_timezone()

    def cells(row: list[Any], zone: datetime.tzinfo) -> list[Any]:
        return [read(value, zone) if read else value for value, read in zip(row, readers, strict=True)]

    def pages() -> Iterator[list[list[Any]]]:
        # By number, not with a cursor: a pooler between us and PostgreSQL may not keep one.
        rows = operations.order_by("-pk").values_list(*COLUMNS, "location__time_zone")
        page = list(rows[:ROWS_AT_ONCE])
        while page:
            yield [cells(row, zone_of(name) if name else here) for *row, name in page]
            page = list(rows.filter(pk__lt=page[-1][0])[:ROWS_AT_ONCE])

    return as_csv(header, pages(), comma=comma)


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
