"""XLSX: what the CSV holds, with numbers, days and times that count as such, sums of amounts, and text that is only text."""

from __future__ import annotations

import datetime
import importlib.util
import io
import tracemalloc
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.http import Http404
from django.test import AsyncRequestFactory, Client, RequestFactory
from django.urls import reverse
from openpyxl import load_workbook

from altegio_loyalty.admin import files
from altegio_loyalty.admin.files import as_xlsx, table_response
from altegio_loyalty.admin.overview import tables
from altegio_loyalty.models import Location, LocationAccess, LoyaltyOperation, Visit
from tests.admin.test_export import EXPORT, FORMULA, log, manager, run_apart
from tests.admin.test_operations import Log

__all__ = ["log", "manager"]

LIST = "admin:altegio_loyalty_loyaltyoperation_changelist"
OVERVIEW = "admin:altegio_loyalty_loyaltyoperation_overview"
DONE = LoyaltyOperation.Status.SUCCEEDED


def naive(*numbers: int) -> datetime.datetime:
    return datetime.datetime(*numbers, tzinfo=datetime.UTC).replace(tzinfo=None)  # type: ignore[misc, arg-type]


def book_of(parts: Iterator[bytes]) -> Any:
    return load_workbook(io.BytesIO(b"".join(parts)))


def sheet(header: list[str], *rows: list[Any], currency_at: int | None = None) -> list[list[Any]]:
    book = book_of(as_xlsx(header, [rows], currency_at=currency_at))
    return [[cell.value for cell in row] for row in book.active]


def exported(browser: Client, **query: Any) -> list[dict[str, Any]]:
    response: Any = browser.get(reverse(EXPORT), {"xlsx": 1, **query})
    header, *rows = book_of(response.streaming_content).active.values
    return [dict(zip(header, row, strict=True)) for row in rows]


def figure_url(name: str) -> str:
    return reverse("admin:altegio_loyalty_loyaltyoperation_figure", args=[name])


def figures(browser: Client, name: str) -> list[tuple[Any, ...]]:
    response: Any = browser.get(figure_url(name), {"xlsx": 1})
    return list(book_of(response.streaming_content).active.values)


# Cells


@pytest.mark.parametrize(
    ("value", "read", "shown"),
    [
        (Decimal("1234.50"), 1234.5, "#,##0.00"),
        (Decimal("-0.10"), -0.1, "#,##0.00"),
        (4564, 4564, "0"),
        (123_456_789_012_345, 123_456_789_012_345, "0"),
        (datetime.date(2026, 3, 1), naive(2026, 3, 1), "yyyy-mm-dd"),
        (naive(2026, 3, 1, 9, 5, 7), naive(2026, 3, 1, 9, 5, 7), "yyyy-mm-dd hh:mm:ss"),
        ("Jane", "Jane", "General"),
    ],
)  # fmt: skip
def test_a_value__is_a_cell_of_its_own_kind(value: Any, read: Any, shown: str) -> None:
    cell = book_of(as_xlsx(["name"], [[[value]]])).active["A2"]
    assert (cell.value, cell.number_format) == (read, shown)


@pytest.mark.parametrize(
    "value", [1_234_567_890_123_456, Decimal("12345678901234.56"), Decimal("-12345678901234.56")]
)
def test_a_number_with_more_digits_than_a_spreadsheet_keeps__is_text(value: Any) -> None:
    assert sheet(["name"], [value])[1] == [str(value)]


@pytest.mark.parametrize(
    "text",
    [
        "=1+1", FORMULA, "+1", "@SUM(A1)", "{=1}", "http://evil", "mailto:evil@example.com", "007", "-5", "",
        "<r><t>x</t></r>", "<r>&</r>", " Jane ", "a\nb", "</t>",
    ],
)  # fmt: skip
def test_text__stays_text_and_only_text(text: str) -> None:
    cell = book_of(as_xlsx(["name"], [[[text, 1]]])).active["A2"]
    assert cell.data_type in "sn"
    assert (cell.value or "").strip() == text.strip()
    assert cell.hyperlink is None


def test_letters_that_no_xml_has__spoil_no_file() -> None:
    assert "Jane" in sheet(["name"], ["\x00\x0b\uffffJane"])[1][0]


def test_a_moment__stands_in_its_own_zone() -> None:
    zone = datetime.timezone(datetime.timedelta(hours=5))
    moment = datetime.datetime(2026, 3, 1, 9, 0, tzinfo=zone)
    assert sheet(["at"], [moment])[1] == [naive(2026, 3, 1, 9, 0)]


def test_the_header__is_bold_and_stays_in_sight() -> None:
    page = book_of(as_xlsx(["one", "two"], [])).active
    assert [cell.value for cell in page[1]] == ["one", "two"]
    assert all(cell.font.bold for cell in page[1])
    assert page.freeze_panes == "A2"


# Sums


def test_amounts__are_added_up_and_numbers_are_not() -> None:
    rows = [["Main", 5, Decimal("0.10"), None], ["Harbour", 6, Decimal("0.20"), Decimal(-3)]]
    assert sheet(["place", "id", "out", "back"], *rows)[-1] == ["Total", None, 0.3, -3]


def test_without_amounts__there_is_no_sum() -> None:
    assert len(sheet(["state", "count"], ["done", 5], ["failed", 1])) == 3


def test_several_currencies__have_a_sum_each() -> None:
    rows = [[Decimal(1), "EUR"], [Decimal(2), "CZK"], [Decimal(4), ""], [Decimal(8), "EUR"]]
    lines = sheet(["place", "points", "currency"], *(["x", *row] for row in rows), currency_at=2)[5:]
    assert lines == [["Total", 2, "CZK"], ["Total", 4, "Currency not known"], ["Total", 9, "EUR"]]


@pytest.mark.parametrize(("other", "named"), [("EUR", "EUR"), ("", None)])
def test_one_currency__has_one_sum_as_on_the_screens(other: str, named: str | None) -> None:
    """Named only where all that is in it is in that currency."""
    rows = [["x", Decimal(1), "EUR"], ["x", Decimal(2), other]]
    assert sheet(["place", "points", "currency"], *rows, currency_at=2)[3:] == [["Total", 3, named]]


# Of any size


def test_more_rows_than_are_made__are_refused_in_words(
    log: Log, manager: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that says so, and no download that fails; CSV has them all."""
    monkeypatch.setattr(files, "MOST_ROWS", 2)
    for count, status in ((1, 200), (2, 200), (3, 400)):
        log.add(DONE, applied_amount=5)
        response: Any = manager.get(reverse(EXPORT), {"xlsx": 1})
        assert (count, response.status_code) == (count, status)
    assert "has 2 rows at the most" in response.content.decode()
    assert manager.get(reverse(EXPORT)).status_code == 200
    assert 'xlsx=1" download' not in addresses(manager)


def test_a_table_of_the_overview_with_more_rows__is_refused_too(
    log: Log, manager: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MOST_ROWS", 2)
    assert manager.get(figure_url("times"), {"xlsx": 1}).status_code == 400


def test_a_long_file__takes_no_more_memory_than_a_short_one() -> None:
    def peak(page_count: int) -> int:
        pages = (
            [[str(number) * 9, number, Decimal(number)] for number in range(1000)] for _ in range(page_count)
        )
        tracemalloc.start()
        size = sum(map(len, as_xlsx(["name", "number", "points"], pages)))
        _now, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert size > page_count * 5000
        return most

    short = peak(2)
    assert peak(20) < short * 1.3 < 6 * 1024 * 1024


def test_what_was_begun__leaves_nothing_on_disk(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the database goes away in the middle."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def pages() -> Iterator[list[list[int]]]:
        yield [[1]]
        raise ConnectionError

    with pytest.raises(ConnectionError):
        as_xlsx(["n"], pages())
    parts = as_xlsx(["n"], [[[1]]])
    next(parts)
    assert list(tmp_path.iterdir()) == []


# The log


def test_the_logs_file__holds_moments_amounts_and_their_sum(log: Log, manager: Client) -> None:
    Location.objects.update(time_zone="Asia/Vladivostok", currency="EUR")
    moment = datetime.datetime(2026, 7, 1, 21, 30, 5, 123, tzinfo=datetime.UTC)
    for amount in ("99.50", "0.25"):
        log.add(DONE, applied_amount=Decimal(amount), created_at=moment)
    *rows, total = exported(manager)
    assert [row["Applied"] for row in rows] == [0.25, 99.5]
    assert {row["Asked at"] for row in rows} == {naive(2026, 7, 2, 7, 30, 5)}
    assert {row["Time zone"] for row in rows} == {"Asia/Vladivostok"}
    assert (total["Number"], total["Applied"], total["Currency"]) == ("Total", 99.75, "EUR")
    assert (total["Location ID"], total["Attempts"]) == (None, None)


def test_a_hostile_name_of_the_log__is_text(log: Log, manager: Client) -> None:
    Visit.objects.update(client_name="=1+1")
    Location.objects.update(title=FORMULA)
    log.add(DONE)
    row = exported(manager)[0]
    assert (row["Client"], row["Location"]) == ("=1+1", FORMULA)


def test_the_logs_file__is_named_and_typed(log: Log, manager: Client) -> None:
    response: Any = manager.get(reverse(EXPORT), {"xlsx": 1})
    assert response["Content-Type"] == files.CONTENT_TYPE
    assert response["Content-Disposition"].endswith('.xlsx"')


def test_who_is_bound_to_locations__gets_only_theirs(log: Log, manager: Client) -> None:
    other = Location.objects.create(id=7, title="Harbour")
    log.add(DONE, applied_amount=100)
    mine = log.add(DONE, location=other, applied_amount=Decimal(5))
    LocationAccess.objects.create(location=other, user=get_user_model().objects.get(username="manager"))
    assert [(row["Number"], row["Applied"]) for row in exported(manager)] == [(mine.pk, 5), ("Total", 5)]
    assert exported(manager, location=log.location.pk) == []
    assert [row[2:4] for row in figures(manager, "days")[1:]] == [("Harbour", 5), (None, 5)]


def test_it_holds_what_is_filtered_now(log: Log, manager: Client) -> None:
    log.add(DONE)
    doubtful = log.add(LoyaltyOperation.Status.UNCONFIRMED)
    assert [row["Number"] for row in exported(manager, status__exact="unconfirmed")] == [doubtful.pk, "Total"]


# The overview


def test_a_day_of_the_overview__is_a_date_and_its_points_have_a_sum(log: Log, manager: Client) -> None:
    log.add(DONE, applied_amount=Decimal("99.50"))
    _header, row, total = figures(manager, "days")
    assert isinstance(row[0], datetime.datetime)
    assert (row[3], total[0], total[3]) == (99.5, "Total", 99.5)


@pytest.mark.parametrize("name", tables.CSV)
def test_each_table_of_the_overview__is_the_csvs(log: Log, manager: Client, name: str) -> None:
    response: Any = manager.get(figure_url(name))
    header = b"".join(response.streaming_content).decode("utf-8-sig").splitlines()[0]
    assert ",".join(map(str, figures(manager, name)[0])) == header


# Offered, or not


def addresses(browser: Client) -> str:
    return browser.get(reverse(LIST)).content.decode() + browser.get(reverse(OVERVIEW)).content.decode()


def test_it_is_offered_beside_each_csv(log: Log, manager: Client) -> None:
    log.add(DONE, applied_amount=5)
    page = addresses(manager)
    assert page.count("xlsx=1") == page.count("comma=1") == 1 + len(tables.CSV)


def test_without_xlsxwriter__it_is_neither_offered_nor_made(
    log: Log, manager: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *more: None if name == "xlsxwriter" else found(name)
    )
    log.add(DONE, applied_amount=5)
    assert "xlsx" not in addresses(manager).lower()
    assert manager.get(reverse(EXPORT), {"xlsx": 1}).status_code == 404
    with pytest.raises(Http404):
        table_response(RequestFactory().get("/?xlsx=1"), "x", ["n"], [], row_count=0)


def test_under_asgi__it_is_sent_in_parts() -> None:
    async def sent() -> bytes:
        response: Any = table_response(
            AsyncRequestFactory().get("/?xlsx=1"), "x", ["n"], [[[1]]], row_count=1
        )
        return b"".join([part async for part in response])

    assert [row for (row,) in load_workbook(io.BytesIO(run_apart(sent()))).active.values] == ["n", 1]
