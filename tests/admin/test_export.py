"""The log as CSV: what the list shows and no more, of any size, and nothing in it that a spreadsheet would run."""

from __future__ import annotations

import asyncio
import csv
import datetime
import io
import itertools
import tracemalloc
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import AsyncRequestFactory, Client
from django.urls import reverse
from django.utils import timezone

from altegio_loyalty.admin.files import as_csv, safe_cell, table_response
from altegio_loyalty.admin.log import export as log_export
from altegio_loyalty.admin.log.export import log_table
from altegio_loyalty.models import Location, LocationAccess, LoyaltyOperation, Visit
from tests.admin.test_operations import Log

pytestmark = pytest.mark.django_db

Kind, Status = LoyaltyOperation.Kind, LoyaltyOperation.Status
EXPORT = "admin:altegio_loyalty_loyaltyoperation_export"
VIEW = "view_loyaltyoperation"
FORMULA = '=HYPERLINK("http://evil","x")'


@pytest.fixture
def log(db: None) -> Log:
    return Log()


@pytest.fixture
def manager(sign_in: Callable[..., Client]) -> Client:
    return sign_in(VIEW, username="manager")


def raw(browser: Client, **query: Any) -> bytes:
    response: Any = browser.get(reverse(EXPORT), query)
    assert response.status_code == 200
    content: bytes = b"".join(response.streaming_content)
    return content


def log_as_csv() -> Iterator[str]:
    return as_csv(*log_table(LoyaltyOperation.objects.all()))


def export(browser: Client, **query: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(raw(browser, **query).decode("utf-8-sig"), newline="")))


# What is in it


def test_each_operation_is_one_row_newest_first(log: Log, manager: Client) -> None:
    first, second = log.add(Status.SUCCEEDED, applied_amount=Decimal("99.50")), log.add(Status.REJECTED)
    rows = export(manager)
    assert [row["Number"] for row in rows] == [str(second.pk), str(first.pk)]
    row = rows[1]
    assert (row["State"], row["Operation"], row["Location"], row["Location ID"], row["Client"]) == (
        "done", "withdraw points", "Main Street", "4564", "Jane Doe",
    )  # fmt: skip
    assert (row["Points asked"], row["Applied"], row["Given back"]) == ("100.00", "99.50", "")


def test_an_empty_log_is_a_header(manager: Client) -> None:
    lines = raw(manager).decode("utf-8-sig").splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("Number,Asked at,Operation,State")


def test_no_phone_and_no_token_leaves_with_it(log: Log, manager: Client) -> None:
    log.location.partner_token = "partner-secret"
    log.location.user_token = "user-secret"
    log.location.save()
    log.add(Status.SUCCEEDED)
    text = raw(manager).decode()
    assert not any(
        secret in text for secret in ("+13155550175", "13155550175", "partner-secret", "user-secret")
    )


def test_times_are_iso_with_the_offset_of_the_site(log: Log, manager: Client, settings: Any) -> None:
    settings.TIME_ZONE = "Europe/Riga"
    moment = datetime.datetime(2026, 7, 1, 21, 30, 5, 123, tzinfo=datetime.UTC)
    log.add(Status.SUCCEEDED, created_at=moment, finished_at=moment)
    (row,) = export(manager)
    assert (row["Asked at"], row["Finished at"]) == ("2026-07-02T00:30:05+03:00", "2026-07-02T00:30:05+03:00")


def test_decimal_points_do_not_follow_the_language(log: Log, manager: Client) -> None:
    log.add(Status.SUCCEEDED, applied_amount=Decimal("1234.50"))
    response: Any = manager.get(reverse(EXPORT), headers={"accept-language": "ru"})
    assert b",1234.50," in b"".join(response.streaming_content)


def test_with_a_comma_it_opens_as_excel_has_it_in_russian_and_german(log: Log, manager: Client) -> None:
    log.add(Status.SUCCEEDED, applied_amount=Decimal("1234.50"))
    content = raw(manager, comma="1", status__exact=Status.SUCCEEDED)
    assert content.startswith(b"\xef\xbb\xbf")
    (row,) = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), delimiter=";")
    assert (row["Points asked"], row["Applied"]) == ("100,00", "1234,50")


def test_with_a_comma_a_formula_is_still_none() -> None:
    text = "".join(as_csv(["name"], [[["=1+1"], ["Jane;=1+1"], [Decimal("-0.5")]]], comma=True))
    assert text.splitlines() == ["\ufeffname", "'=1+1", '"Jane;\'=1+1"', "-0,5"]


def test_it_is_a_csv_file_with_a_mark_and_a_name(log: Log, manager: Client) -> None:
    log.add(Status.SUCCEEDED)
    response: Any = manager.get(reverse(EXPORT))
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert response["Content-Disposition"].startswith('attachment; filename="loyalty-operations-20')
    content = b"".join(response.streaming_content)
    assert content.startswith(b"\xef\xbb\xbf")
    assert content.count(b"\r\n") == 2


def test_quotes_commas_and_line_breaks_survive(log: Log, manager: Client) -> None:
    name = 'O\'Hara, "Kit"\r\nde Luxe'
    Visit.objects.update(client_name=name)
    log.add(Status.SUCCEEDED)
    assert export(manager)[0]["Client"] == name


# What a spreadsheet makes of it


@pytest.mark.parametrize(
    "text",
    [
        FORMULA, "=1+1", "+1", "+CMD|' /C calc'!A0", "-1+1", "-", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "\u00a0=1",
        "\ufeff=1", "\u200b=1", "\x00=1", "＝1+1", "＋1", "－1+1", "＠SUM(A1)", "﹦1", "--1", "-1e5", ";=1+1",
    ],
)  # fmt: skip
def test_what_could_be_a_formula_is_defused(text: str) -> None:
    safe = safe_cell(text)
    assert safe != text
    assert safe.replace("'", "").lstrip("'") == text.replace("'", "")
    assert safe[0] in "';\t\r\n,"
    assert not safe.startswith(("\t", "\r", "\n"))


@pytest.mark.parametrize("text", ["Jane;=1+1", "Jane\t=1+1", "Jane,@SUM(A1)", "Jane\n-1+1", "Jane; +1"])
def test_a_formula_behind_another_separator_is_defused_too(text: str) -> None:
    assert "'" in safe_cell(text)


@pytest.mark.parametrize("text", ['Jane;"=40+2;x', 'Jane," =1', 'Jane;""+1', 'Jane\t" "@SUM(A1)', '"=1+1"'])
def test_a_formula_behind_a_quote_is_defused_too(text: str) -> None:
    """A program that splits at another separator takes the quote for one of the file's."""
    cells = next(csv.reader([safe_cell(text).replace(",", ";").replace("\t", ";")], delimiter=";"))
    assert [cell for cell in cells if cell.lstrip(' "').startswith(("=", "+", "@"))] == []


@pytest.mark.parametrize("text", ['5"-pipe', 'Jane "Jo" Doe; "Kit"'])
def test_a_quote_within_a_name_stays(text: str) -> None:
    assert safe_cell(text) == text


@pytest.mark.parametrize("text", ["\tJane", "\rJane", "\nJane"])
def test_a_cell_never_begins_with_a_tab_or_a_line_break(text: str) -> None:
    assert safe_cell(text) == f"'{text}"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""), (0, "0"), (-5, "-5"), (Decimal("-5.50"), "-5.50"), ("-5", "-5"), ("-5.50", "-5.50"), ("12", "12"),
        ("Jane Doe", "Jane Doe"), ("O'Hara", "O'Hara"), ("a=b", "a=b"), ("Anne-Marie", "Anne-Marie"), ("", ""),
    ],
)  # fmt: skip
def test_numbers_stay_numbers_and_names_stay_names(value: Any, text: str) -> None:
    assert safe_cell(value) == text


def test_no_hostile_name_of_the_log_is_a_formula(log: Log, manager: Client) -> None:
    Location.objects.update(title=FORMULA)
    Visit.objects.update(client_name="<script>alert(1)</script>")
    log.add(Status.FAILED, last_error="+cmd|calc", discrepancy="@SUM(A1)", idempotency_key="-1+1")
    (row,) = export(manager)
    assert row["Location"] == f"'{FORMULA}"
    assert row["Client"] == "<script>alert(1)</script>"
    assert (row["Last error"], row["To be looked at"], row["Idempotency key"]) == (
        "'+cmd|calc", "'@SUM(A1)", "'-1+1",
    )  # fmt: skip


# Which operations


def test_it_holds_what_is_filtered_now(log: Log, manager: Client) -> None:
    log.add(Status.SUCCEEDED)
    doubtful, given_up = log.add(Status.UNCONFIRMED), log.add(Status.FAILED)
    wanted = {"unconfirmed": ("status__exact", doubtful), "open": ("attention", doubtful)}
    for value, (name, operation) in {**wanted, "needed": ("attention", given_up)}.items():
        assert [row["Number"] for row in export(manager, **{name: value})] == [str(operation.pk)]


def test_it_holds_what_is_searched_now(log: Log, manager: Client) -> None:
    log.add(Status.SUCCEEDED)
    wanted = log.add(Status.SUCCEEDED)
    assert [row["Number"] for row in export(manager, q=wanted.idempotency_key)] == [str(wanted.pk)]


def test_the_button_carries_filter_and_search_but_not_the_page(log: Log, manager: Client) -> None:
    for _ in range(60):
        log.add(Status.SUCCEEDED)
    query: dict[str, str | int] = {"kind__exact": Kind.APPLY_CARD_WITHDRAWAL.value, "q": "Jane", "p": 2}
    response = manager.get(reverse("admin:altegio_loyalty_loyaltyoperation_changelist"), query)
    page = response.content.decode()
    assert f'href="{reverse(EXPORT)}?kind__exact=apply_card_withdrawal&amp;q=Jane"' in page


def test_filters_that_make_no_sense_lead_back_to_the_list(log: Log, manager: Client) -> None:
    response: Any = manager.get(reverse(EXPORT), {"location": "x"})
    assert response.status_code == 302
    assert response["Location"].endswith("/loyaltyoperation/?e=1")


def test_who_is_bound_to_locations_exports_only_theirs(log: Log, manager: Client) -> None:
    other = Location.objects.create(id=7, title="Harbour")
    log.add(Status.SUCCEEDED)
    mine = log.add(Status.SUCCEEDED, location=other)
    LocationAccess.objects.create(location=other, user=get_user_model().objects.get(username="manager"))
    assert [row["Number"] for row in export(manager)] == [str(mine.pk)]
    assert export(manager, location=log.location.pk) == []


# Of any size


def test_pages_join_without_a_gap_or_a_repeat(
    log: Log, manager: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_export, "ROWS_AT_ONCE", 3)
    numbers = [str(log.add(Status.SUCCEEDED).pk) for _ in range(7)]
    assert [row["Number"] for row in export(manager)] == numbers[::-1]


def test_it_is_one_query_for_each_page(log: Log, django_assert_num_queries: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(log_export, "ROWS_AT_ONCE", 3)
    for _ in range(7):
        log.add(Status.SUCCEEDED)
    with django_assert_num_queries(4):
        list(log_as_csv())


def test_a_long_export_takes_no_more_memory_than_a_short_one(log: Log) -> None:
    shown = LoyaltyOperation.objects
    numbers = itertools.count()
    for _ in range(4):
        shown.bulk_create(
            LoyaltyOperation(
                kind=Kind.APPLY_CARD_WITHDRAWAL, location=log.location, visit=log.visit, record_id=200, card_id=number,
                amount=100, applied_amount=100, status=Status.SUCCEEDED, idempotency_key=f"bulk-{number}",
            )
            for number in itertools.islice(numbers, 3000)
        )  # fmt: skip
    parts = log_as_csv()
    line_count, at_first = _lines_and_peak(parts, 3)
    line_count += sum(part.count("\r\n") for part in itertools.islice(parts, 7))
    rest, at_last = _lines_and_peak(parts, 100)
    assert line_count + rest == 1 + 12_000
    assert at_last < at_first * 1.2 < 6 * 1024 * 1024


def _lines_and_peak(parts: Iterator[str], most: int) -> tuple[int, int]:
    """How many lines the next parts have, and the memory that making them took at the most."""
    tracemalloc.start()
    line_count = sum(part.count("\r\n") for part in itertools.islice(parts, most))
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return line_count, peak


def test_a_texts_language_and_zone_are_those_of_the_request_not_of_the_sending(log: Log) -> None:
    log.add(Status.SUCCEEDED, created_at=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC))
    with timezone.override("Asia/Kathmandu"):
        parts = log_as_csv()
    assert "2026-01-01T05:45:00+05:45" in "".join(parts)


def run_apart(coroutine: Coroutine[Any, Any, bytes]) -> bytes:
    """In a thread of its own: a browser of other tests may have a loop running in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


def test_under_asgi_each_part_is_sent_before_the_next_is_made() -> None:
    made: list[int] = []

    def pages() -> Any:
        for number in range(3):
            made.append(number)
            yield [[number]]

    async def first_part() -> bytes:
        response = table_response(AsyncRequestFactory().get("/"), "x", ["n"], pages(), row_count=3)
        stream: Any = response
        async for _header in stream:
            break
        async for part in stream:
            return bytes(part)
        return b""

    assert run_apart(first_part()) == b"0\r\n"
    assert made == [0]
