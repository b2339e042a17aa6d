"""What the log adds up to stays true, whatever of it was added up or pruned; and what must stay is not pruned."""

from __future__ import annotations

import datetime
import itertools
import os
import random
import signal
import threading
from collections import Counter, defaultdict
from dataclasses import replace
from decimal import Decimal
from io import StringIO
from typing import Any
from unittest.mock import Mock
from zoneinfo import ZoneInfo

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.core.management import call_command
from django.db import OperationalError, connection as database_connection, transaction
from django.db.models import PROTECT, ProtectedError, Q
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from altegio_loyalty import database, retention, services, statistics, tasks
from altegio_loyalty.exceptions import OperationNotAllowed
from altegio_loyalty.models import DaySum, Location, LoyaltyOperation, OperationAttempt, Visit
from altegio_loyalty.statistics import Moved, Period
from tests.delivery.threads import in_threads

pytestmark = pytest.mark.django_db

Kind, Status, Ending = LoyaltyOperation.Kind, LoyaltyOperation.Status, LoyaltyOperation.Ending
FINISHED = (Status.SUCCEEDED, Status.REJECTED, Status.FAILED, Status.ABANDONED)
NUMBERS = itertools.count(1)
OLD = timezone.now() - datetime.timedelta(days=100)


@pytest.fixture
def here() -> Location:
    return Location.objects.create(id=1, title="Main Street", time_zone="Asia/Kathmandu")


def add(
    location: Location, status: str = Status.SUCCEEDED, at: datetime.datetime = OLD, **columns: Any
) -> Any:
    """An operation on a visit of its own, unless one is given."""
    number = next(NUMBERS)
    visit = columns.pop("visit", None) or Visit.objects.create(
        id=number, location=location, record_id=20, created_at=at, starts_at=at
    )
    defaults: dict[str, Any] = {
        "kind": Kind.APPLY_CARD_WITHDRAWAL, "location": location, "visit": visit, "record_id": 20, "card_id": number,
        "status": status, "idempotency_key": f"kept-{number}", "created_at": at,
        "finished_at": at if status in FINISHED else None,
    }  # fmt: skip
    operation = LoyaltyOperation.objects.create(**{**defaults, **columns})
    OperationAttempt.objects.create(operation=operation, purpose="send", outcome="ok", answer="Jane Doe")
    return operation


def pruned(days: int = 60) -> int:
    return sum(retention.prune(days))


def figures(locations: list[Location], first: datetime.date, last: datetime.date) -> tuple[Any, Any, Any]:
    period = Period(first, last, locations)
    counted = statistics.outcomes(Q(), period)
    return statistics.points_by_day(Q(), period).cells, counted.by_kind, counted.times


# Sums


class History:
    """Operations as they were asked for and ended, and what they add up to by hand."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        zones = ("Asia/Kathmandu", "America/New_York", "Africa/Cairo")
        self.locations = [
            Location.objects.create(id=number, title=zone, time_zone=zone)
            for number, zone in enumerate(zones, 1)
        ]
        self.began = datetime.datetime(2026, 4, 20, tzinfo=datetime.UTC)
        self.rows: dict[int, LoyaltyOperation] = {}

    def ask(self) -> None:
        at = self.began + datetime.timedelta(seconds=self.chance.randrange(8 * 86400))
        columns = {"kind": self.chance.choice(Kind.values)}
        row = add(self.chance.choice(self.locations), Status.PENDING, at, **columns)
        self.rows[row.pk] = row

    def end(self) -> None:
        """One that is open, or was given up and is tried again, ends, at once or days later."""
        waiting = [row for row in self.rows.values() if row.is_open or row.status == Status.FAILED]
        if not waiting:
            return
        row, seconds = self.chance.choice(waiting), self.chance.choice([0.4, 7, 3000, 200_000])
        row.status = self.chance.choice(FINISHED)
        row.finished_at = row.created_at + datetime.timedelta(seconds=seconds)
        row.sent_at = self.chance.choice([None, row.created_at, row.finished_at])
        amount = self.chance.choice([None, Decimal("0.10"), Decimal("33.33")])
        name = "applied_amount" if row.traits.is_apply else "returned_amount"
        setattr(row, name, amount if row.status == Status.SUCCEEDED else None)
        row.save(update_fields=["status", "finished_at", "sent_at", name])

    def by_hand(self, first: datetime.date, last: datetime.date) -> tuple[Any, Any, Any]:
        cells: dict[Any, Moved] = defaultdict(Moved)
        by_kind: Counter[tuple[str, str]] = Counter()
        times = [0] * (len(statistics.TIME_LIMITS) + 1)
        for row in self.rows.values():
            zone = ZoneInfo(row.location.time_zone)
            if first <= row.created_at.astimezone(zone).date() <= last:
                by_kind[row.kind, row.status] += 1
                if row.status == Status.SUCCEEDED:
                    assert row.finished_at is not None
                    seconds = (row.finished_at - row.created_at).total_seconds()
                    times[sum(limit < seconds for limit in statistics.TIME_LIMITS)] += 1
            if row.status == Status.SUCCEEDED and row.traits.moves_points:
                moved_at = row.sent_at or row.finished_at
                assert moved_at is not None
                day = moved_at.astimezone(zone).date()
                taken, back = row.applied_amount or Decimal(0), row.returned_amount or Decimal(0)
                if first <= day <= last:
                    counts = int(not taken and not back), row.traits.is_apply, not row.traits.is_apply
                    cells[day, row.location_id] += Moved(taken, back, *map(int, counts))
        return dict(cells), by_kind, times


@pytest.mark.parametrize("seed", range(6))
def test_sums_and_log_together__are_what_the_log_alone_adds_up_to(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "SUMMED_AT_ONCE", 4)
    history = History(seed)
    for _ in range(70):
        history.chance.choice([history.ask, history.end, history.end, retention.add_up])()
        if history.chance.random() < 0.05:
            pruned()
    first, last = (datetime.date(2026, 4, day) for day in sorted(history.chance.sample(range(19, 31), 2)))
    assert figures(history.locations, first, last) == history.by_hand(first, last)
    assert DaySum.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("seed", range(3))
def test_several_add_up_and_prune_at_once__at_each_moment_each_operation_counts_once(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "SUMMED_AT_ONCE", 7)
    monkeypatch.setattr(retention, "VISITS_AT_ONCE", 9)
    history = History(seed)
    for _ in range(150):
        history.ask()
        history.end()
    days = history.began.date(), history.began.date() + datetime.timedelta(days=10)
    period, true = Period(*days, history.locations), history.by_hand(*days)
    people = statistics.groups(Q(), "person", period)
    is_over = threading.Event()

    def add_all() -> None:
        try:
            while LoyaltyOperation.objects.filter(is_summed=False, status__in=statistics.SETTLED).count() > 6:
                retention.add_up()
        finally:
            is_over.set()

    def read_all() -> list[Any]:
        read = []
        while not is_over.is_set():
            read.append((figures(history.locations, *days), statistics.groups(Q(), "person", period)))
        return read

    *ended, read = in_threads(add_all, add_all, lambda: pruned(), read_all)
    assert ended[:2] == [None, None]
    assert isinstance(ended[2], int), ended
    assert [figures for figures in read if figures != (true, people)] == []
    assert (figures(history.locations, *days), statistics.groups(Q(), "person", period)) == (true, people)
    assert DaySum.objects.exists()


def test_database_undoes_adding_up__the_next_run_adds_up(
    here: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "SUMMED_AT_ONCE", 1)
    add(here, applied_amount=5)
    with monkeypatch.context() as patch:
        patch.setattr(retention, "_is_added", Mock(side_effect=OperationalError("deadlock detected")))
        tasks.retry_due_operations()
        assert pruned() == 0
    assert not DaySum.objects.exists()
    retention.add_up()
    assert DaySum.objects.exists()


def test_few_settled_operations__wait_and_are_read_from_the_log(here: Location) -> None:
    add(here, applied_amount=5)
    retention.add_up()
    assert not DaySum.objects.exists()


@pytest.mark.parametrize("status", [Status.PENDING, Status.SENDING, Status.UNCONFIRMED, Status.FAILED])
def test_what_can_still_change__is_in_no_sum(
    here: Location, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "SUMMED_AT_ONCE", 1)
    add(here, status)
    retention.add_up()
    assert not DaySum.objects.exists()


def test_kind_of_a_newer_release__waits_for_it_to_be_added_up(
    here: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it moved points is not known here: a sum without them would stay so for good."""
    monkeypatch.setattr(retention, "SUMMED_AT_ONCE", 1)
    newer = add(here, kind="apply_referral_program", applied_amount=5)
    known = add(here, applied_amount=5)
    retention.add_up()
    assert [row.pk for row in LoyaltyOperation.objects.filter(is_summed=True)] == [known.pk]
    assert not DaySum.objects.filter(kind=newer.kind).exists()


@pytest.mark.parametrize("status", statistics.SETTLED)
def test_what_is_in_a_sum__can_be_decided_no_more(here: Location, status: str) -> None:
    operation = add(here, status)
    for decide in (services.retry_operation, services.stop_operation):
        with pytest.raises(OperationNotAllowed):
            decide(operation)
    with pytest.raises(OperationNotAllowed):
        services.settle_operation(operation, happened=True, reason="Seen on the screen.")


def test_sum_that_was_rolled_back__leaves_its_operations_in_the_log(
    here: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "SUMMED_AT_ONCE", 1)
    add(here, applied_amount=5)

    def broken(*args: Any, **columns: Any) -> Any:
        raise SoftTimeLimitExceeded

    monkeypatch.setattr("django.db.models.query.QuerySet.bulk_create", broken)
    with pytest.raises(SoftTimeLimitExceeded):
        retention.add_up()
    assert LoyaltyOperation.objects.filter(is_summed=False).count() == 1


# Pruning


def test_added_up__is_read_behind_the_lock(here: Location) -> None:
    """What an older snapshot shows, such as a client made anonymous meanwhile, would be kept for good."""
    add(here, Status.SUCCEEDED)
    with CaptureQueriesContext(database_connection) as asked, transaction.atomic():
        retention._is_added(LoyaltyOperation.objects.select_for_update().order_by("pk"))
    read = [query["sql"] for query in asked.captured_queries if query["sql"].startswith("SELECT")]
    assert LoyaltyOperation._meta.db_table in read[0]
    assert len(read) > 1


def test_location_newer_than_the_page__is_left_out(here: Location) -> None:
    add(here, Status.SUCCEEDED, at=timezone.now(), applied_amount=Decimal(5))
    period = Period.of_days(30, [here])
    assert statistics.groups(Q(), "person", replace(period, locations=[])) == {}
    assert len(statistics.groups(Q(), "person", period)[here.currency]) == 1


def test_old_visit__goes_with_all_its_operations_and_attempts(here: Location) -> None:
    apply = add(here, applied_amount=5)
    add(here, visit=apply.visit, kind=Kind.CANCEL_CARD_WITHDRAWAL, returned_amount=5, cancels=apply)
    young = add(here, at=timezone.now())
    assert pruned() == 2
    assert list(LoyaltyOperation.objects.all()) == [young]
    assert [attempt.operation for attempt in OperationAttempt.objects.all()] == [young]


@pytest.mark.parametrize(
    "columns",
    [
        {"status": Status.PENDING},
        {"status": Status.SENDING},
        {"status": Status.UNCONFIRMED},
        {"status": Status.FAILED},
        {"status": Status.FAILED, "ending": Ending.DECIDED_DID_NOT_HAPPEN, "open_key": "1:2"},
        {"discrepancy": "More than the log explains."},
        {"finished_at": timezone.now()},
        {"finished_at": None},
        {"kind": "apply_referral_program"},
        {"status": "of_tomorrow", "finished_at": OLD},
    ],
    ids=lambda columns: "-".join(columns),
)
def test_what_is_not_over__keeps_its_whole_visit(here: Location, columns: dict[str, Any]) -> None:
    """What needs a person, is open, holds its card, ended of late, or is of a newer release."""
    other = add(here)
    add(here, visit=other.visit, **columns)
    assert pruned() == 0
    assert LoyaltyOperation.objects.count() == 2


@pytest.mark.parametrize("name", ["created_at", "starts_at", "read_at"])
def test_visit_that_somebody_may_act_on__keeps_what_is_in_force_there(here: Location, name: str) -> None:
    operation = add(here, applied_amount=5)
    Visit.objects.filter(pk=operation.visit_id).update(**{name: timezone.now()})
    assert pruned() == 0


def test_what_a_person_settled_as_not_done__goes(here: Location) -> None:
    add(here, Status.FAILED, ending=Ending.DECIDED_DID_NOT_HAPPEN)
    before = figures([here], OLD.date() - datetime.timedelta(days=1), timezone.now().date())
    assert pruned() == 1
    assert figures([here], OLD.date() - datetime.timedelta(days=1), timezone.now().date()) == before


@pytest.mark.parametrize("days", [0, 1, 29])
def test_what_is_younger_than_a_month__is_never_pruned(here: Location, days: int) -> None:
    add(here, at=timezone.now() - datetime.timedelta(days=29, hours=23))
    assert pruned(days) == 0


def test_operation_tried_again_between_choice_and_lock__stays(
    here: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    operation = add(here, Status.FAILED, ending=Ending.DECIDED_DID_NOT_HAPPEN)
    committed = database.committed

    def tried_again() -> Any:
        LoyaltyOperation.objects.filter(pk=operation.pk).update(status=Status.PENDING, finished_at=None)
        return committed()

    monkeypatch.setattr(database, "committed", tried_again)
    assert pruned() == 0
    assert LoyaltyOperation.objects.filter(status=Status.PENDING).exists()


def test_operation_asked_for_behind_the_second_look__stays_with_its_visit(
    here: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is in no sum either; and what it may rest on can still be read."""
    old, other = add(here, applied_amount=5), add(here)
    over, lists = retention._over, []

    class Over:
        """The second time it is asked, somebody acts on the visit right behind it."""

        def __init__(self, rows: Any) -> None:
            self.rows = rows

        def filter(self, **conditions: Any) -> Any:
            found = list(self.rows.filter(**conditions).order_by("pk"))
            if "pk__in" not in conditions:
                return self.rows.filter(**conditions)
            lists.append(found)
            add(here, Status.SENDING, timezone.now(), visit=old.visit)
            return found

    monkeypatch.setattr(retention, "_over", lambda before: Over(over(before)))
    assert pruned() == 1
    assert lists == [[old.visit_id, other.visit_id]]
    assert LoyaltyOperation.objects.filter(visit=old.visit_id, is_summed=False).count() == 2
    assert [(row.status, row.asked_count) for row in DaySum.objects.all()] == [(Status.SUCCEEDED, 1)]


def test_row_of_a_host_that_protects_an_operation__stops_the_pruning_with_an_error(
    here: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would go on for ever with nothing deleted, and nobody would know why."""
    add(here)
    relation: Any = LoyaltyOperation._meta.get_field("attempts")
    monkeypatch.setattr(relation, "on_delete", PROTECT)
    with pytest.raises(ProtectedError):
        command("--older-than", "60")
    assert LoyaltyOperation.objects.filter(is_summed=False).count() == 1
    assert not DaySum.objects.exists()


def command(*arguments: str) -> str:
    out = StringIO()
    call_command("prune_altegio_log", *arguments, stdout=out)
    return out.getvalue()


def test_dry_run__says_what_would_go_and_deletes_nothing(here: Location) -> None:
    add(here)
    assert "1 operations would be deleted." in command("--older-than", "60", "--dry-run")
    assert LoyaltyOperation.objects.count() == 1
    assert not DaySum.objects.exists()


def test_command__tells_after_each_batch_how_far_it_is(
    here: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "VISITS_AT_ONCE", 1)
    add(here), add(here)
    told = command("--older-than", "60").splitlines()
    assert told == ["1 operations deleted so far.", "2 operations deleted so far.", "2 operations deleted."]


def test_ctrl_c__ends_the_command_between_two_batches(
    here: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(days: int, *, dry_run: bool) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        yield from (7, 7)

    monkeypatch.setattr(retention, "prune", interrupted)
    assert command("--older-than", "60").endswith("Stopped early: 7 operations deleted.\n")


def test_task__prunes_only_where_the_setting_says_so(here: Location, settings: Any) -> None:
    add(here)
    tasks.prune_log()
    assert LoyaltyOperation.objects.count() == 1
    settings.ALTEGIO_LOYALTY = {**settings.ALTEGIO_LOYALTY, "KEEP_LOG_DAYS": 60}
    tasks.prune_log()
    assert not LoyaltyOperation.objects.exists()


def test_task_that_celery_ends__leaves_the_batch_whole(
    here: Location, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ALTEGIO_LOYALTY = {**settings.ALTEGIO_LOYALTY, "KEEP_LOG_DAYS": 60}
    add(here, applied_amount=5)

    def out_of_time(*args: Any) -> Any:
        raise SoftTimeLimitExceeded

    monkeypatch.setattr("django.db.models.query.QuerySet.delete", out_of_time)
    tasks.prune_log()
    assert LoyaltyOperation.objects.filter(is_summed=False).count() == 1
    assert not DaySum.objects.exists()
