"""Whether everything runs: Altegio away and back, paused locations, a dead worker; told once each."""

from __future__ import annotations

import datetime
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.core import mail
from django.core.mail.backends.base import BaseEmailBackend
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from altegio_loyalty import exceptions, services, signals, throttle, watch
from altegio_loyalty.models import Location, LoyaltyOperation, RequestBudget, WatchEntry
from tests.delivery.conftest import salon
from tests.delivery.salon import Salon, Status
from tests.reachable import REPOSITORY

__all__ = ["salon"]
pytestmark = pytest.mark.django_db

NAMES = ("altegio_away", "altegio_back", "queue_stalled", "location_paused", "location_resumed")
LATER = datetime.timedelta(hours=1)


@pytest.fixture(autouse=True)
def told() -> Iterator[list[tuple[str, Any]]]:
    """Each signal that was sent, with its location's id."""
    heard: list[tuple[str, Any]] = []
    receivers = {}
    for name in NAMES:

        def note(location: Any = None, name: str = name, **kwargs: Any) -> None:
            assert kwargs["since"] <= timezone.now()
            heard.append((name, location and location.pk))

        receivers[name] = note
        getattr(signals, name).connect(note)
    yield heard
    for name, receiver in receivers.items():
        getattr(signals, name).disconnect(receiver)


def sweep_was(ago: datetime.timedelta) -> None:
    WatchEntry.objects.filter(code=watch.SWEEP).delete()
    moment = timezone.now() - ago
    WatchEntry.objects.create(code=watch.SWEEP, began_at=moment, ended_at=moment)


class BrokenMail(BaseEmailBackend):
    tries = 0

    def send_messages(self, email_messages: Any) -> int:
        BrokenMail.tries += 1
        raise OSError("the mail server is away")


# Altegio


def test_altegio_away_and_back__is_told_once_each(salon: Salon, told: list[Any], caplog: Any) -> None:
    operations = [salon.later() for _ in range(8)]
    salon.fail("status_503")
    for _ in range(3):
        salon.sweep()
    assert told == [("altegio_away", None)]
    assert watch.look()["status"] == watch.STANDS_STILL
    salon.heal()
    salon.run_to_the_end(*operations)
    assert told == [("altegio_away", None), ("altegio_back", None)]
    assert watch.look()["altegio_away_since"] is None
    codes = [code for record in caplog.records if (code := getattr(record, "code", ""))]
    assert codes == ["altegio_away", "altegio_back"]


def test_one_call_without_an_answer__is_no_outage(salon: Salon, told: list[Any]) -> None:
    """Nor are two, and an answer in between begins the count anew."""
    salon.fail("status_503", times=2)
    operation = salon.withdraw()
    salon.run_to_the_end(operation)
    salon.fail("status_503", times=2)
    salon.run_to_the_end(salon.withdraw())
    assert (told, watch.notices()) == ([], [])


@pytest.mark.parametrize("limit", [0, 1000])
def test_a_success_after_failures_of_another_process__ends_the_count(salon: Salon, limit: int) -> None:
    """Whether this process remembers the row of the budget or not."""
    salon.configure(REQUESTS_PER_SECOND=limit, REQUESTS_PER_MINUTE=limit)
    salon.withdraw()
    for _ in range(2):
        watch.heard(exceptions.NoAnswer())
    salon.withdraw()
    assert RequestBudget.objects.get().unanswered_count == 0


def test_tokens_that_are_refused__are_no_outage(salon: Salon, told: list[Any]) -> None:
    """A 401 is an answer: only the location is paused, and told so once."""
    salon.fail("status_401")
    for _ in range(5):
        salon.withdraw()
        assert not services.read_visit(salon.location, visit_id=1, record_id=1).details
    assert told == [("location_paused", salon.location.pk)]
    assert watch.notices() == []
    assert watch.look()["status"] == watch.NEEDS_PERSON
    salon.heal()
    assert told[1:] == [("location_resumed", salon.location.pk)]


def test_what_says_nothing_of_altegio__neither_counts_nor_ends_the_count(salon: Salon) -> None:
    """The site's own budget, and tokens that are missing here."""
    throttle.take_turn()
    for _ in range(2):
        watch.heard(exceptions.NotSent())
    watch.heard(exceptions.Throttled())
    watch.heard(exceptions.Unauthorized())
    assert RequestBudget.objects.get().unanswered_count == 2
    watch.heard(exceptions.RateLimited(http_status=429))
    assert RequestBudget.objects.get().unanswered_count == 0


def test_a_read_that_proves_nothing_of_the_tokens__proves_that_altegio_answers(salon: Salon) -> None:
    for _ in range(3):
        watch.heard(exceptions.NotSent())
    services.read_cards(salon.location, client_id=salon.client.id)
    assert RequestBudget.objects.filter(unanswered_count__gt=0).count() == 0


def test_new_tokens__end_a_pause(salon: Salon, told: list[Any]) -> None:
    """Told by whoever looks next."""
    salon.fail("status_401", times=1)
    salon.withdraw()
    location = Location.objects.get(pk=salon.location.pk)
    location.user_token = "another-token"
    location.save()
    watch.tell()
    assert [name for name, _ in told] == ["location_paused", "location_resumed"]


def test_location_that_is_switched_off_while_paused__is_not_told_as_resumed(
    salon: Salon, told: list[Any]
) -> None:
    """Nothing goes on there. Switched on again, it is paused, and that is told."""
    salon.fail("status_401", times=1)
    salon.withdraw()
    for is_active in (False, True):
        Location.objects.update(is_active=is_active)
        watch.tell()
    assert [name for name, _ in told] == ["location_paused", "location_paused"]


# Sweeps


def test_a_sweep__leaves_who_ran_when_what_it_did_and_why_it_stopped(salon: Salon) -> None:
    salon.later()
    salon.sweep()
    salon.fail("status_503")
    for _ in range(4):
        salon.later()
    salon.sweep()
    first, second = WatchEntry.objects.filter(code=watch.SWEEP).order_by("pk")
    assert "1 succeeded" in first.said
    assert "3 pending" in second.said
    assert "Altegio does not work" in second.said
    assert first.began_at <= first.ended_at <= second.began_at  # type: ignore[operator]


def test_a_sweep_that_fails__says_what_ended_it(salon: Salon) -> None:
    def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "loyaltyoperation" in sql and "watchentry" not in sql and not entered:
            entered.append(sql)
            raise OperationalError("gone for a moment")
        return execute(sql, params, many, context)

    entered: list[str] = []
    with connection.execute_wrapper(refuse), pytest.raises(OperationalError):
        salon.sweep()
    assert "OperationalError" in WatchEntry.objects.get(code=watch.SWEEP).said


@pytest.mark.django_db(transaction=True)
def test_heartbeats_that_cannot_be_kept__stop_nothing(salon: Salon, caplog: Any) -> None:
    operation = salon.later()

    def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "watchentry" in sql and sql.startswith(("INSERT", "DELETE")):
            raise OperationalError("no space left")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse):
        salon.sweep(operation)
    assert operation.status == Status.SUCCEEDED
    assert [record.code for record in caplog.records if hasattr(record, "code")] == ["watch_failed"]


def test_entries__are_bounded_but_for_what_lasts(salon: Salon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "KEPT", 3)
    salon.fail("status_401", times=1)
    salon.withdraw()
    for _ in range(6):
        salon.sweep()
    assert WatchEntry.objects.filter(code=watch.SWEEP).count() == 3
    assert WatchEntry.objects.filter(code=watch.PAUSED, ended_at=None).count() == 1


def test_a_dead_worker__is_told_once_and_so_is_its_return(salon: Salon, told: list[Any]) -> None:
    operation = salon.later()
    LoyaltyOperation.objects.update(next_attempt_at=timezone.now() - LATER)
    sweep_was(LATER)
    for _ in range(2):
        assert watch.look()["status"] == watch.STANDS_STILL
    assert told == [("queue_stalled", None)]
    assert "No worker was heard of since" in watch.notices()[0]
    salon.run_to_the_end(operation)
    assert watch.look()["status"] == watch.WELL
    assert watch.notices() == []
    assert WatchEntry.objects.get(code=watch.STALLED).ended_at is not None


def test_an_operation_whose_worker_died__waits_for_a_sweep_too(salon: Salon) -> None:
    operation = salon.later()
    LoyaltyOperation.objects.filter(pk=operation.pk).update(
        status=Status.SENDING, next_attempt_at=timezone.now() - LATER
    )
    assert watch.look()["queue_stalled_since"] == LoyaltyOperation.objects.get().next_attempt_at


def test_a_long_backlog_of_a_worker_that_runs__is_no_standstill(salon: Salon, told: list[Any]) -> None:
    salon.later()
    LoyaltyOperation.objects.update(next_attempt_at=timezone.now() - LATER)
    sweep_was(datetime.timedelta(seconds=50))
    assert (watch.look()["queue_stalled_since"], told) == (None, [])


def test_a_sweep_that_goes_on_for_long__is_no_standstill(salon: Salon, told: list[Any]) -> None:
    """It is written down when it ends; its lead says meanwhile that it is at work, or until when it was."""
    salon.later()
    LoyaltyOperation.objects.update(next_attempt_at=timezone.now() - LATER)
    sweep_was(LATER)
    throttle.take_lead(None)
    assert (watch.notices(), watch.look()["queue_stalled_since"], told) == ([], None, [])
    died_at = timezone.now() - LATER / 2
    RequestBudget.objects.update(led_until=died_at)
    assert watch.look()["queue_stalled_since"] == died_at


def test_a_lead_by_a_clock_that_was_wrong__hides_no_standstill(salon: Salon) -> None:
    salon.later()
    LoyaltyOperation.objects.update(next_attempt_at=timezone.now() - LATER)
    throttle.take_lead(None)
    RequestBudget.objects.update(led_until=timezone.now() + LATER)
    assert watch.look()["status"] == watch.STANDS_STILL


def test_without_a_sweep_but_nothing_due__all_is_well(salon: Salon) -> None:
    sweep_was(LATER)
    assert watch.look()["status"] == watch.WELL


def test_altegio_away_while_nothing_waits__is_no_standstill(salon: Salon) -> None:
    throttle.take_turn()
    for _ in range(3):
        watch.heard(exceptions.NoAnswer())
    assert watch.look()["status"] == watch.WELL
    assert watch.notices()


@pytest.mark.django_db(transaction=True)
def test_inside_a_transaction__nothing_is_told(salon: Salon, told: list[Any]) -> None:
    """It could be rolled back, and told once more."""
    Location.objects.update(refused_at=timezone.now())
    with transaction.atomic():
        assert watch.look()["paused_locations"] == 1
    assert told == []
    watch.look()
    assert told == [("location_paused", salon.location.pk)]


def test_a_receiver_that_raises__disturbs_nothing(salon: Salon) -> None:
    def fail(**kwargs: Any) -> None:
        raise RuntimeError("the host's own fault")

    signals.location_paused.connect(fail)
    try:
        salon.fail("status_401", times=1)
        operation = salon.withdraw()
    finally:
        signals.location_paused.disconnect(fail)
    assert operation.status == Status.PENDING
    assert operation.attempts.count() == 1


def test_what_a_newer_release_tells__is_left_to_it(salon: Salon) -> None:
    """During a deployment both look around."""
    newer = {"code": "the_moon_is_full", "open_key": "the_moon_is_full:None", "began_at": timezone.now()}
    WatchEntry.objects.create(**newer)
    salon.sweep()
    assert WatchEntry.objects.get(code="the_moon_is_full").ended_at is None


# Mails


def test_a_mail__tells_what_began(salon: Salon, settings: Any) -> None:
    salon.configure(ALERT_EMAILS=["night@example.com"])
    salon.fail("status_401")
    salon.withdraw()
    assert mail.outbox == []  # a person waits for that answer
    salon.sweep()
    (message,) = mail.outbox
    assert message.to == ["night@example.com"]
    assert "Main Street" in message.subject
    assert "is paused since" in message.body


def test_mails__are_collected_and_never_a_flood(salon: Salon) -> None:
    salon.configure(ALERT_EMAILS=["night@example.com"])
    for number in range(30):
        Location.objects.filter(pk=salon.location.pk).update(refused_at=timezone.now())
        salon.sweep()
        Location.objects.filter(pk=salon.location.pk).update(refused_at=None)
        salon.sweep()
        assert len(mail.outbox) == 1, number
    WatchEntry.objects.filter(mail_tried_at__isnull=False).update(
        mail_tried_at=timezone.now() - watch.MAIL_PAUSE, mailed_at=timezone.now() - watch.MAIL_PAUSE
    )
    salon.sweep()
    salon.sweep()
    assert len(mail.outbox) == 2
    assert len(mail.outbox[1].body.splitlines()) == 30


def test_mail_of_a_clock_that_was_a_year_ahead__silences_nobody_for_a_year(salon: Salon) -> None:
    salon.configure(ALERT_EMAILS=["night@example.com"])
    for location in (salon.location, salon.add_location("Second Street")):
        Location.objects.filter(pk=location.pk).update(refused_at=timezone.now())
        salon.sweep()
        year = timezone.now() + datetime.timedelta(days=365)
        WatchEntry.objects.filter(mail_tried_at__isnull=False).update(mail_tried_at=year)
    assert len(mail.outbox) == 2


def test_what_is_switched_off__is_not_mailed(salon: Salon, told: list[Any]) -> None:
    salon.configure(ALERT_EMAILS=["night@example.com"], ALERTS=["altegio_away"])
    Location.objects.update(refused_at=timezone.now())
    salon.sweep()
    assert mail.outbox == []
    assert [name for name, _ in told] == ["location_paused"]


def test_a_mail_server_that_fails__stops_nothing_and_is_tried_again_later(
    salon: Salon, settings: Any, caplog: Any
) -> None:
    settings.EMAIL_BACKEND = f"{__name__}.BrokenMail"
    salon.configure(ALERT_EMAILS=["night@example.com"])
    BrokenMail.tries = 0
    Location.objects.filter(pk=salon.location.pk).update(refused_at=timezone.now())
    other = salon.add_location("Second Street")
    operation = salon.later(salon.visit(location=other))
    for _ in range(3):
        salon.sweep(operation)
    assert (operation.status, BrokenMail.tries) == (Status.SUCCEEDED, 1)
    assert "mail_failed" in {getattr(record, "code", "") for record in caplog.records}
    WatchEntry.objects.update(mail_tried_at=timezone.now() - watch.MAIL_PAUSE)
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    salon.sweep()
    assert len(mail.outbox) == 1


def test_a_title_with_a_line_break__makes_no_header(salon: Salon) -> None:
    salon.configure(ALERT_EMAILS=["night@example.com"])
    Location.objects.update(title="Main\nBcc: everybody@example.com", refused_at=timezone.now())
    salon.sweep()
    assert "\n" not in mail.outbox[0].subject


def test_mails__speak_the_language_of_the_site(salon: Salon, settings: Any) -> None:
    settings.LANGUAGE_CODE = "en-us"
    salon.configure(ALERT_EMAILS=["night@example.com"], PLATFORM_NAME="YCLIENTS")
    throttle.take_turn()
    for _ in range(3):
        watch.heard(exceptions.NoAnswer())
    salon.sweep()
    assert "No call to YCLIENTS has worked since" in mail.outbox[0].body


# Log records


def test_what_is_told__has_a_level_by_what_it_is(salon: Salon, caplog: Any) -> None:
    caplog.set_level(logging.INFO, "altegio_loyalty")
    for refused_at in (timezone.now(), None):
        Location.objects.update(refused_at=refused_at)
        watch.look()
    records = [record for record in caplog.records if hasattr(record, "code")]
    assert [(record.code, record.levelno) for record in records] == [
        ("location_paused", logging.WARNING),
        ("location_resumed", logging.INFO),
    ]
    assert all(record.location == salon.location.pk for record in records)


def test_records_of_delivery__say_which_operation_location_and_attempt(
    salon: Salon, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr("altegio_loyalty.bills.keep_answer", fail)
    operation = salon.withdraw()
    (record,) = [record for record in caplog.records if record.name.startswith("altegio_loyalty.delivery")]
    fields = (record.operation, record.location, record.attempt)
    assert fields == (operation.pk, salon.location.pk, 1)


def test_each_record_of_delivery_about_an_operation__has_these_fields() -> None:
    """Also those that only a rare accident writes."""
    for path in (REPOSITORY / "altegio_loyalty" / "delivery").glob("*.py"):
        for call in re.findall(
            r"logger\.(?:warning|exception|info|error)\(.*?\)\n", path.read_text(), re.DOTALL
        ):
            assert "log_fields" in call or "report.stopped" in call, (path.name, call)
