"""XLSX files of the rows that a CSV file has: numbers, days and times that a spreadsheet counts with, amounts added up.

Needs XlsxWriter, the extra `altegio-loyalty[xlsx]`, and loads it with the first file.
"""

import datetime
import importlib.util
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import chain
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
