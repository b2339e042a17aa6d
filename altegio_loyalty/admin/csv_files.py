"""CSV files as spreadsheets open them: safe cells, and parts that are sent while the next ones are read. Or XLSX."""

import csv
import datetime
import io
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import chain
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.formats import number_format

from altegio_loyalty.admin import xlsx_files
from altegio_loyalty.texts import gettext as _

#: What may stand before a sign and be dropped: a quote as well, where a reader with another separator takes it for its own.
_DROPPED = r"[\"\s\x00-\x20\x7f-\xa0\xad\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff]*"
#: What a spreadsheet may take for a formula, at the start or where another separator than ours would begin a cell.
_FORMULA = re.compile(rf"(^|[,;\t\r\n])({_DROPPED}[=+\-@＝＋－＠﹦﹢﹣﹫])")
_SIGNS = re.compile("[=+\\-@＝＋－＠﹦﹢﹣﹫]")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
#: In an address: CSV as Excel opens it where amounts have a decimal comma, as in Russian and German; XLSX in place of it.
COMMA, XLSX = FORMATS = ("comma", "xlsx")


def safe_cell(value: Any, mark: str = ".") -> str:
    """The value as a spreadsheet should show it: text stays text, whatever it looks like, and numbers stay numbers."""
    if value is None:
        return ""
    if isinstance(value, (int, Decimal)):
        return str(value).replace(".", mark)
    if isinstance(value, datetime.datetime):
        return value.isoformat(timespec="seconds")
    text = str(value)
    if text.startswith(("\t", "\r", "\n")):
        text = f"'{text}"
    if not _SIGNS.search(text) or _NUMBER.fullmatch(text):
        return text
    return _FORMULA.sub(r"\1'\2", text)


def as_csv(
    header: Iterable[Any], pages: Iterable[Iterable[Iterable[Any]]], *, comma: bool = False
) -> Iterator[str]:
    """The parts of a CSV file, one for each page of rows, as RFC 4180 has it and with the mark that Excel knows UTF-8 by.

    With `comma` amounts have a decimal comma, and semicolons stand between the cells.
    """
    separator, mark = (";", ",") if comma else (",", ".")
    for number, rows in enumerate(chain([[header]], pages)):
        buffer = io.StringIO()
        writer = csv.writer(buffer, delimiter=separator)
        writer.writerows([safe_cell(value, mark) for value in row] for row in rows)
        yield buffer.getvalue() if number else f"\ufeff{buffer.getvalue()}"


def table_response(
    request: HttpRequest,
    name: str,
    header: Sequence[Any],
    pages: Iterable[Iterable[Sequence[Any]]],
    *,
    row_count: int,
    currency_at: int | None = None,
) -> HttpResponseBase:
    """The rows as the address asks for them by one of `FORMATS`, or as CSV; sent part by part, under ASGI too.

    `name` is the file's, without its ending; `currency_at` as in `as_xlsx`. XLSX is refused, in words, where `row_count` is
    above `xlsx_files.MOST_ROWS`. Raises `Http404` for XLSX where it is not offered.
    """
    if XLSX not in request.GET:
        parts: Iterator[Any] = as_csv(header, pages, comma=COMMA in request.GET)
        ending, content_type = "csv", "text/csv; charset=utf-8"
    elif row_count > xlsx_files.MOST_ROWS:
        text = _(
            "An XLSX file has %(most)s rows at the most. Narrow what you choose, or take CSV, which has any number."
        )
        text %= {"most": number_format(xlsx_files.MOST_ROWS, force_grouping=True)}
        return HttpResponse(text, status=400, content_type="text/plain; charset=utf-8")
    elif xlsx_files.xlsx_is_offered():
        parts = xlsx_files.as_xlsx(header, pages, currency_at=currency_at)
        ending, content_type = "xlsx", xlsx_files.CONTENT_TYPE
    else:
        raise Http404
    # Under ASGI Django would collect the parts of an ordinary iterator before it sends the first.
    content = _in_thread(parts) if isinstance(request, ASGIRequest) else parts
    response = StreamingHttpResponse(content, content_type=content_type)
    response["Content-Disposition"] = f'attachment; filename="{name}.{ending}"'
    response["X-Content-Type-Options"] = "nosniff"
    return response


async def _in_thread(parts: Iterator[Any]) -> AsyncIterator[Any]:
    following = sync_to_async(lambda: next(parts, None))
    while (part := await following()) is not None:
        yield part
