"""XLSX files of the rows that a CSV file has: numbers, days and times that a spreadsheet counts with, amounts added up.

Needs XlsxWriter, the extra `altegio-loyalty[xlsx]`, and loads it with the first file.
"""

import datetime
import importlib.util
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any

from altegio_loyalty.texts import gettext as _

CONTENT_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
#: So many rows are made within a request: none is sent before the file is whole, and a proxy waits for a minute at the most.
MOST_ROWS = 50_000
#: A spreadsheet keeps 15 digits of a number; the id or amount that has more is text.
_LARGEST = 10**15
_BYTES_AT_ONCE = 64 * 1024
_FORMATS = {
    "text": "General", "number": "0", "amount": "#,##0.00", "day": "yyyy-mm-dd", "moment": "yyyy-mm-dd hh:mm:ss",
}  # fmt: skip
_WIDTH = 19  # of a moment; what is too narrow for its number shows ####


def xlsx_is_offered() -> bool:
    """Whether XlsxWriter is installed."""
    return importlib.util.find_spec("xlsxwriter") is not None


def as_xlsx(
    header: Sequence[Any], pages: Iterable[Iterable[Sequence[Any]]], *, currency_at: int | None = None
) -> Iterator[bytes]:
    """The parts of an XLSX file with these rows and, below them, the sum of each column of amounts (`Decimal`).

    Amounts of several currencies, told apart by the cell at `currency_at`, have a sum for each. Moments stand in their own
    zone, which the cell does not name. The file is whole before the first part is given, on disk, and gone after the last.
    """
    from xlsxwriter import Workbook

    file = TemporaryFile()  # noqa: SIM115 - open until its last part is sent
    with TemporaryDirectory() as folder:
        book = Workbook(file, {"constant_memory": True, "tmpdir": folder, "remove_timezone": True})
        sheet, sums = _Sheet(book, header), _Sums(currency_at)
        for rows in pages:
            for row in rows:
                sheet.write(row)
                sums.add(row)
        for line in sums.lines(len(header)):
            sheet.write(line, is_bold=True)
        book.close()
    file.seek(0)
    return _parts(file)


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
            name, write = (
                "moment" if isinstance(value, datetime.datetime) else "day",
                self.sheet.write_datetime,
            )
        elif isinstance(value, Decimal) and abs(value) < _LARGEST / 100:
            name, write = "amount", self.sheet.write_number
        elif isinstance(value, int) and abs(value) < _LARGEST:
            name, write = "number", self.sheet.write_number
        else:
            name, write, value = "text", self.sheet.write_string, str(value)
            # What begins so XlsxWriter can take for markup of its own.
            value = f" {value}" if value.startswith("<r>") else value
        write(self.row, column, value, self.formats[name, is_bold])


class _Sums:
    """Of each column that holds amounts, by currency."""

    def __init__(self, currency_at: int | None) -> None:
        self.currency_at = currency_at
        self.amounts: defaultdict[tuple[str, int], Decimal] = defaultdict(Decimal)

    def add(self, row: Sequence[Any]) -> None:
        currency = "" if self.currency_at is None else row[self.currency_at]
        for column, value in enumerate(row):
            if isinstance(value, Decimal):
                self.amounts[currency, column] += value

    def lines(self, width: int) -> Iterator[list[Any]]:
        """A row for each currency, or one for all where no two are known, as on the screens."""
        found = {currency for currency, _column in self.amounts}
        names = {currency: currency or _("Currency not known") for currency in found}
        if len(found - {""}) < 2:
            names = dict.fromkeys(found, "" if len(found) > 1 else max(found, default=""))
        sums: defaultdict[str, defaultdict[int, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
        for (currency, column), amount in self.amounts.items():
            sums[names[currency]][column] += amount
        for name, amounts in sorted(sums.items()):
            line: list[Any] = [_("Total"), *[None] * (width - 1)]
            if self.currency_at is not None:
                line[self.currency_at] = name or None
            for column, amount in amounts.items():
                line[column] = amount
            yield line
