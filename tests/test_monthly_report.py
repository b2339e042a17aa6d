"""The report of a month by mail: once, whoever asks; what failed again; what the overview says, beside the month before."""

from __future__ import annotations

import csv
import datetime
import importlib.util
import io
import re
from decimal import Decimal
from typing import Any

import pytest
from django.core import mail
from django.core.mail.backends.base import BaseEmailBackend
from django.core.management import call_command
from django.db import DatabaseError
from openpyxl import load_workbook

from altegio_loyalty import tasks, watch
from altegio_loyalty.management import monthly_report
from altegio_loyalty.models import Location, LoyaltyOperation, OperationAttempt, Visit, WatchEntry
from tests.admin.test_operations import Log

pytestmark = pytest.mark.django_db

Status = LoyaltyOperation.Status
NOON = datetime.timedelta(hours=12)


def on(year: int, month: int, day: int) -> datetime.datetime:
    return datetime.datetime(year, month, day, tzinfo=datetime.UTC) + NOON


class BrokenMail(BaseEmailBackend):
    def send_messages(self, messages: Any) -> int:
        raise ConnectionRefusedError


@pytest.fixture
def log(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Log:
    settings.ALTEGIO_LOYALTY = {**settings.ALTEGIO_LOYALTY, "REPORT_EMAILS": ["boss@example.com"]}
    settings.LANGUAGE_CODE = "en-us"
    is_on(monkeypatch, 2026, 3, 1)
    return Log()


def is_on(monkeypatch: pytest.MonkeyPatch, *day: int) -> None:
    monkeypatch.setattr(monthly_report, "today", lambda _zone: datetime.date(*day))


def taken(log: Log, amount: str, *day: int, **columns: Any) -> LoyaltyOperation:
    return log.add(Status.SUCCEEDED, applied_amount=Decimal(amount), created_at=on(*day), **columns)


def report() -> Any:
    tasks.send_monthly_report()
    (message,) = mail.outbox
    return message


# When, and how often


def test_the_month_that_is_over__is_mailed_to_whom_it_is_set(log: Log) -> None:
    message = report()
    assert (message.to, message.subject) == (["boss@example.com"], "[Django] Loyalty points: February 2026")
    assert message.body.startswith("February 2026, in brackets January 2026.")


def test_twice_a_day_and_all_days_of_the_month__it_is_one_mail(
    log: Log, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    for day in (1, 1, 2, 31):
        is_on(monkeypatch, 2026, 3, day)
        tasks.send_monthly_report()
    assert len(mail.outbox) == 1
    assert capsys.readouterr().out == ""  # beat's log
    is_on(monkeypatch, 2026, 4, 1)
    tasks.send_monthly_report()
    assert [message.subject[-10:] for message in mail.outbox] == ["ruary 2026", "March 2026"]


def test_while_one_sends__another_sends_nothing(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each that comes meanwhile, in the middle of the first one's mail."""
    send = mail.EmailMessage.send

    def slow(message: Any) -> None:
        tasks.send_monthly_report()
        send(message)

    monkeypatch.setattr(mail.EmailMessage, "send", slow)
    report()


def test_a_mail_server_that_is_down__is_tried_again_and_nothing_is_lost(
    log: Log, settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    settings.EMAIL_BACKEND = f"{__name__}.BrokenMail"
    tasks.send_monthly_report()
    assert "mail_failed" in {getattr(record, "code", "") for record in caplog.records}
    is_on(monkeypatch, 2026, 4, 2)
    tasks.send_monthly_report()
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    tasks.send_monthly_report()
    assert mail.outbox == []  # a worker may still be at it
    tried = WatchEntry.objects.filter(code=monthly_report.CODE)
    tried.update(mail_tried_at=on(2026, 3, 1) - watch.MAIL_PAUSE)
    tasks.send_monthly_report()
    assert [message.subject[-10:] for message in mail.outbox] == ["ruary 2026", "March 2026"]


def test_a_report_that_cannot_be_made__is_no_failure_of_the_mail(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: Any) -> Any:
        raise DatabaseError("gone")

    monkeypatch.setattr(monthly_report, "_message", fails)
    with pytest.raises(DatabaseError):
        list(monthly_report.send_due())


def test_a_month__is_over_when_it_is_in_every_location(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    Location.objects.update(time_zone="Pacific/Auckland")
    Location.objects.create(id=7, title="Harbour", time_zone="America/Los_Angeles")
    there = {"Pacific/Auckland": datetime.date(2026, 4, 1), "America/Los_Angeles": datetime.date(2026, 3, 31)}
    monkeypatch.setattr(monthly_report, "today", lambda zone: there[str(zone)])
    assert report().subject.endswith("February 2026")


def test_without_addresses__nothing_is_sent_or_noted(log: Log, settings: Any) -> None:
    settings.ALTEGIO_LOYALTY = {**settings.ALTEGIO_LOYALTY, "REPORT_EMAILS": []}
    tasks.send_monthly_report()
    assert (mail.outbox, WatchEntry.objects.count()) == ([], 0)


def test_the_command__says_what_it_did(log: Log, settings: Any) -> None:
    said = io.StringIO()
    call_command("send_altegio_report", stdout=said)
    call_command("send_altegio_report", stdout=said)
    assert said.getvalue() == "2026-02: sent.\n"


def test_a_report_that_was_sent__is_nothing_that_holds_the_work_up(log: Log) -> None:
    report()
    assert watch.look()["status"] == watch.WELL


# What it says


def test_points__are_by_location_beside_the_month_before(log: Log) -> None:
    other = Location.objects.create(id=7, title="Harbour")
    taken(log, "0.50", 2026, 2, 1)
    taken(log, "1234", 2026, 2, 28)
    taken(log, "20", 2026, 1, 31)
    taken(log, "7", 2026, 1, 1, location=other)
    taken(log, "9999", 2026, 3, 1)
    taken(log, "9999", 2025, 12, 31)
    body = report().body
    assert re.findall(r"^.* taken .*$", body, re.MULTILINE) == [
        "Main Street: 1,234.50 taken (20), 0 given back (0), difference 1,234.50 (20)",
        "Harbour: 0 taken (7), 0 given back (0), difference 0 (7)",
        "All locations: 1,234.50 taken (27), 0 given back (0), difference 1,234.50 (27)",
    ]


def test_two_currencies__are_never_added_up(log: Log) -> None:
    Location.objects.update(currency="EUR")
    other = Location.objects.create(id=7, title="Harbour", currency="CZK")
    taken(log, "5", 2026, 2, 2)
    taken(log, "100", 2026, 1, 2, location=other)
    lines = [line for line in report().body.splitlines() if line in ("CZK", "EUR") or "taken" in line]
    assert [line.partition(" taken")[0] for line in lines] == [
        "CZK", "Harbour: 0", "All locations: 0", "EUR", "Main Street: 5", "All locations: 5",
    ]  # fmt: skip


def test_what_needed_a_person__is_counted(log: Log) -> None:
    decided = log.add(Status.ABANDONED, created_at=on(2026, 2, 3))
    for _ in range(2):
        OperationAttempt.objects.create(operation=decided, purpose="decision", outcome="ok")
    log.add(Status.FAILED, created_at=on(2026, 1, 3))
    body = report().body
    assert "\nstopped: 1 (0)\n" in body
    assert "\nnot done, given up: 0 (1)\n" in body
    assert "1 operation was decided by a person." in body
    assert "1 operation of the log needs a person now." in body


def test_points_that_nobody_knows__are_said_to_be_left_out(log: Log) -> None:
    log.add(Status.SUCCEEDED, created_at=on(2026, 2, 3))
    assert "1 operation is not in these sums" in report().body


def test_a_month_without_anything__says_so(log: Log) -> None:
    assert "No points were taken or given back in these days." in report().body


def test_no_client_and_no_phone__is_in_it(log: Log) -> None:
    Visit.objects.update(client_name="Jane Doe", client_phone="+13155550175")
    taken(log, "5", 2026, 2, 2)
    message = report()
    book = load_workbook(io.BytesIO(message.attachments[0][1]))
    everything = f"{message.subject} {message.body} {[*book.active.values]}"
    assert not [word for word in ("Jane", "Doe", "3155550175") if word in everything]


def test_it_speaks_the_language_of_the_site(log: Log, settings: Any) -> None:
    settings.LANGUAGE_CODE = "ru"
    assert "Февраль 2026" in report().subject


def test_a_title__is_text_and_no_header(log: Log) -> None:
    Location.objects.update(title="A & B\nBcc: everybody@example.com")
    taken(log, "5", 2026, 2, 2)
    message = report()
    assert "A & B" in message.body
    assert (message.recipients(), "\n" in message.subject) == (["boss@example.com"], False)


# The file


def test_the_file__is_the_overviews_by_day_and_location(log: Log) -> None:
    taken(log, "99.50", 2026, 2, 2)
    name, content, _type = report().attachments[0]
    rows = [*load_workbook(io.BytesIO(content)).active.values]
    assert (name, rows[1][2:4], rows[2][3]) == ("loyalty-days-2026-02.xlsx", ("Main Street", 99.5), 99.5)


@pytest.mark.parametrize(("language", "amount"), [("en-us", "99.50"), ("ru", "99,50")])
def test_without_xlsxwriter__it_is_csv_with_the_sites_decimal_mark(
    log: Log, settings: Any, monkeypatch: pytest.MonkeyPatch, language: str, amount: str
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *more: None if name == "xlsxwriter" else found(name)
    )
    settings.LANGUAGE_CODE = language
    taken(log, "99.50", 2026, 2, 2)
    name, content, _type = report().attachments[0]
    text = content if isinstance(content, str) else content.decode()
    _header, row = csv.reader(io.StringIO(text.lstrip("\ufeff")), delimiter=";" if language == "ru" else ",")
    assert (name, row[3]) == ("loyalty-days-2026-02.csv", amount)
