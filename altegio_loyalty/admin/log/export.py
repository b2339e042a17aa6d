"""The log as CSV: what is filtered and searched in the list, in pages by number, so that its size does not matter."""

from __future__ import annotations

import csv
import datetime
import io
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.admin import ModelAdmin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect, StreamingHttpResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import get_language, override
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from altegio_loyalty.access import visible_to
from altegio_loyalty.states import Ending, Kind, Status
from altegio_loyalty.statistics import today
from altegio_loyalty.wording import reason

#: So many rows are read, and sent, at once.
ROWS_AT_ONCE = 1000

_INVISIBLE = r"[\s\x00-\x20\x7f-\xa0\xad\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff]*"
#: What a spreadsheet may take for a formula, at the start or where another separator than ours would begin a cell.
_FORMULA = re.compile(rf"(^|[,;\t\r\n])({_INVISIBLE}[=+\-@＝＋－＠﹦﹢﹣﹫])")
_SIGNS = re.compile("[=+\\-@＝＋－＠﹦﹢﹣﹫]")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def safe_cell(value: Any) -> str:
    """The value as a spreadsheet should show it: text stays text, whatever it looks like, and numbers stay numbers."""
    if value is None:
        return ""
    if isinstance(value, (int, Decimal)):
        return str(value)
    text = str(value)
    if text.startswith(("\t", "\r", "\n")):
        text = f"'{text}"
    if not _SIGNS.search(text) or _NUMBER.fullmatch(text):
        return text
    return _FORMULA.sub(r"\1'\2", text)


def as_csv(header: Iterable[Any], pages: Iterable[Iterable[Iterable[Any]]]) -> Iterator[str]:
    """The parts of a CSV file, one for each page of rows, as RFC 4180 has it and with the mark that Excel knows UTF-8 by."""
    yield "\ufeff" + _lines([header])
    for rows in pages:
        yield _lines(rows)


def _lines(rows: Iterable[Iterable[Any]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerows([safe_cell(value) for value in row] for row in rows)
    return buffer.getvalue()


def csv_response(request: HttpRequest, filename: str, parts: Iterator[str]) -> HttpResponseBase:
    """Sent part by part, under ASGI too."""
    # Under ASGI Django would collect the parts of an ordinary iterator before it sends the first.
    content = _in_thread(parts) if isinstance(request, ASGIRequest) else parts
    response = StreamingHttpResponse(content, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{filename}"'
    response["X-Content-Type-Options"] = "nosniff"
    return response


async def _in_thread(parts: Iterator[str]) -> AsyncIterator[str]:
    following = sync_to_async(lambda: next(parts, None))
    while (part := await following()) is not None:
        yield part


def _iso(moment: datetime.datetime | None, zone: datetime.tzinfo) -> str | None:
    if moment is None:
        return None
    aware = moment if timezone.is_aware(moment) else timezone.make_aware(moment, zone)
    return aware.astimezone(zone).isoformat(timespec="seconds")


def _columns() -> list[tuple[str, str, Callable[[Any], Any] | None]]:
    """(heading, column of the table, how it reads). Texts and time zone are those of the request, not of the sending."""
    zone = timezone.get_current_timezone()

    def when(moment: Any) -> str | None:
        return _iso(moment, zone)

    def word(choices: Any) -> Callable[[Any], Any]:
        words = {value: str(label) for value, label in choices}
        return lambda value: words.get(value, value)

    def told(text: str) -> str:
        with override(language):
            return reason(text)

    language = get_language()
    return [
        (_("Number"), "pk", None),
        (_("Asked at"), "created_at", when),
        (_("Operation"), "kind", word(Kind.choices)),
        (_("State"), "status", word(Status.choices)),
        (_("How"), "ending", word(Ending.choices)),
        (_("Location ID"), "location_id", None),
        (_("Location"), "location__title", None),
        (_("Visit ID"), "visit_id", None),
        (_("Appointment ID"), "record_id", None),
        (_("Client"), "visit__client_name", None),
        (_("Card ID"), "card_id", None),
        (_("Promotion ID"), "program_id", None),
        (_("Points asked"), "amount", None),
        (_("Applied"), "applied_amount", None),
        (_("Given back"), "returned_amount", None),
        (_("To be looked at"), "discrepancy", told),
        (_("Last error"), "last_error", told),
        (_("Requested by"), f"requested_by__{get_user_model().USERNAME_FIELD}", None),
        (_("Attempts"), "attempt_count", None),
        (_("Look-ups"), "lookup_count", None),
        (_("Finished at"), "finished_at", when),
        (_("Cancels"), "cancels_id", None),
        (_("Batch"), "batch", None),
        (_("Idempotency key"), "idempotency_key", None),
    ]


def log_as_csv(operations: Any) -> Iterator[str]:
    """The operations, newest first, of whatever number."""
    columns = _columns()

    def pages() -> Iterator[list[list[Any]]]:
        # By number, not with a cursor: a pooler between us and PostgreSQL may not keep one.
        rows = operations.order_by("-pk").values_list(*(column for _heading, column, _read in columns))
        page = list(rows[:ROWS_AT_ONCE])
        while page:
            yield [
                [read(value) if read else value for value, (_, _, read) in zip(row, columns, strict=True)]
                for row in page
            ]
            page = list(rows.filter(pk__lt=page[-1][0])[:ROWS_AT_ONCE])

    return as_csv([heading for heading, _column, _read in columns], pages())


def url_patterns(model_admin: ModelAdmin[Any]) -> list[URLPattern]:
    """The address of the export, for the admin of the log."""

    @require_GET
    def export(request: HttpRequest) -> HttpResponseBase:
        if not model_admin.has_view_permission(request):
            raise PermissionDenied
        try:
            listed = model_admin.get_changelist_instance(request).queryset
        except IncorrectLookupParameters:
            # As the list does with filters that make no sense: back to it, with its message.
            name = f"{model_admin.admin_site.name}:altegio_loyalty_loyaltyoperation_changelist"
            return HttpResponseRedirect(reverse(name) + "?e=1")
        parts = log_as_csv(visible_to(request.user, listed))
        return csv_response(request, f"loyalty-operations-{today().isoformat()}.csv", parts)

    view = model_admin.admin_site.admin_view(export)
    return [path("export/", view, name="altegio_loyalty_loyaltyoperation_export")]
