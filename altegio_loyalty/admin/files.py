"""Rows as files for spreadsheets: CSV with safe cells, sent in parts while the next are read, or XLSX with sums.

XLSX needs XlsxWriter, the extra `altegio-loyalty[xlsx]`, which is loaded with the first file.
"""

import csv
import datetime
import importlib.util
import io
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import chain
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.formats import number_format

from altegio_loyalty.texts import gettext as _

#: What may stand before a sign and be dropped: a quote as well, where a reader with another separator takes it for its own.
_DROPPED = r"[\"\s\x00-\x20\x7f-\xa0\xad\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff]*"
#: What a spreadsheet may take for a formula, at the start or where another separator than ours would begin a cell.
_FORMULA = re.compile(rf"(^|[,;\t\r\n])({_DROPPED}[=+\-@＝＋－＠﹦﹢﹣﹫])")
_SIGNS = re.compile("[=+\\-@＝＋－＠﹦﹢﹣﹫]")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
#: In an address: CSV as Excel opens it where amounts have a decimal comma, as in Russian and German; XLSX in place of it.
COMMA, XLSX = FORMATS = ("comma", "xlsx")
#: Of an XLSX file.
CONTENT_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
#: So many rows of XLSX a request makes: none is sent before the file is whole, and a proxy waits for a minute at the most.
MOST_ROWS = 50_000
#: A spreadsheet keeps 15 digits of a number; the id or amount that has more is text.
_LARGEST = 10**15
_BYTES_AT_ONCE = 64 * 1024
_FORMATS = {
    "text": "General", "number": "0", "amount": "#,##0.00", "day": "yyyy-mm-dd", "moment": "yyyy-mm-dd hh:mm:ss",
}  # fmt: skip
_WIDTH = 19  # of a moment; what is too narrow for its number shows ####


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
    above `MOST_ROWS`. Raises `Http404` for XLSX where it is not offered.
    """
    if XLSX not in request.GET:
        parts: Iterator[Any] = as_csv(header, pages, comma=COMMA in request.GET)
        ending, content_type = "csv", "text/csv; charset=utf-8"
    elif row_count > MOST_ROWS:
        text = _(
            "An XLSX file has %(most)s rows at the most. Narrow what you choose, or take CSV, which has any number."
        )
        text %= {"most": number_format(MOST_ROWS, force_grouping=True)}
        return HttpResponse(text, status=400, content_type="text/plain; charset=utf-8")
    elif xlsx_is_offered():
        parts = as_xlsx(header, pages, currency_at=currency_at)
        ending, content_type = "xlsx", CONTENT_TYPE
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


def xlsx_is_offered() -> bool:
    return importlib.util.find_spec("xlsxwriter") is not None


def as_xlsx(
    header: Sequence[Any], pages: Iterable[Iterable[Sequence[Any]]], *, currency_at: int | None = None
) -> Iterator[bytes]:
    """The parts of an XLSX file with these rows and, below them, the sum of each column of amounts (`Decimal`).

    Amounts of several currencies, told apart by the cell at `currency_at`, have a sum for each. Moments stand in their own
    zone, which the cell does not name. The file is whole before the first part is given, on disk, and gone after the last.
    """
    from xlsxwriter import Workbook

    file, sums = TemporaryFile(), defaultdict[tuple[str, int], Decimal](Decimal)  # noqa: SIM115 - open until it is sent
    with TemporaryDirectory() as folder:
        book = Workbook(file, {"constant_memory": True, "tmpdir": folder, "remove_timezone": True})
        sheet = _Sheet(book, header)
        for row in chain.from_iterable(pages):
            sheet.write(row)
            for column, value in enumerate(row):
                if isinstance(value, Decimal):
                    sums["" if currency_at is None else row[currency_at], column] += value
        for currency, totals in _by_name(sums):
            line: dict[Any, Any] = {0: _("Total"), currency_at: currency or None, **totals}
            sheet.write(map(line.get, range(len(header))), is_bold=True)
        book.close()
    file.seek(0)
    return _parts(file)


def _by_name(sums: Mapping[tuple[str, int], Decimal]) -> list[tuple[str, dict[int, Decimal]]]:
    """The sums of each currency, or of all together where no two are known, as on the screens."""
    found = {currency for currency, _column in sums}
    names = {currency: currency or _("Currency not known") for currency in found}
    if len(found - {""}) < 2:
        names = dict.fromkeys(found, "" if len(found) > 1 else max(found, default=""))
    totals: defaultdict[str, dict[int, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for (currency, column), amount in sums.items():
        totals[names[currency]][column] += amount
    return sorted(totals.items())


def _parts(file: Any) -> Iterator[bytes]:
    with file:
        yield from iter(lambda: file.read(_BYTES_AT_ONCE), b"")


class _Sheet:
    """Rows below each other, under a header that stays in sight."""

    def __init__(self, book: Any, header: Sequence[Any]) -> None:
        self.formats = {
            (name, is_bold): book.add_format({"num_format": shown, "bold": is_bold})
            for name, shown in _FORMATS.items()
            for is_bold in (False, True)
        }
        self.sheet, self.row = book.add_worksheet(), 0
        self.sheet.freeze_panes(1, 0)
        self.sheet.set_column(0, len(header) - 1, _WIDTH)
        self.write(header, is_bold=True)

    def write(self, cells: Iterable[Any], *, is_bold: bool = False) -> None:
        for column, value in enumerate(cells):
            if value is not None:
                self._write(column, value, is_bold)
        self.row += 1

    def _write(self, column: int, value: Any, is_bold: bool) -> None:
        if isinstance(value, datetime.date):
            name = "moment" if isinstance(value, datetime.datetime) else "day"
            write = self.sheet.write_datetime
        elif isinstance(value, Decimal) and abs(value) < _LARGEST / 100:
            name, write = "amount", self.sheet.write_number
        elif isinstance(value, int) and abs(value) < _LARGEST:
            name, write = "number", self.sheet.write_number
        else:
            name, write, value = "text", self.sheet.write_string, str(value)
            # What begins so XlsxWriter can take for markup of its own.
            value = f" {value}" if value.startswith("<r>") else value
        write(self.row, column, value, self.formats[name, is_bold])
