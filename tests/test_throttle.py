"""One budget of requests for all processes: never more than Altegio allows, people first, no block for good."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import multiprocessing
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError, connection, connections
from django.db.models import DateTimeField, Value
from django.db.models.functions import Cast
from django.utils import timezone

from altegio_loyalty import throttle
from altegio_loyalty.exceptions import RateLimited, Throttled
from altegio_loyalty.gateway import Line
from altegio_loyalty.models import Location, RequestBudget
from altegio_loyalty.throttle import block_for, find_blocks, lift_block, take_turn

URL = "http://127.0.0.1:9/api/v1"


@pytest.fixture
def limits(settings: Any) -> Any:
    """Sets both limits and empties the budget."""

    def use(per_second: int = 5, per_minute: int = 200) -> None:
        settings.ALTEGIO_LOYALTY = {
            "API_URL": URL,
            "REQUESTS_PER_SECOND": per_second,
            "REQUESTS_PER_MINUTE": per_minute,
        }

    throttle._last.clear()
    use()
    return use


class Clock:
    """Stands in for the time module, timezone.now and the database's clock; goes on only in sleep, unless it is set."""

    def __init__(self) -> None:
        self.wall = 1_800_000_000.0
        self.steady = 1000.0

    def time_ns(self) -> int:
        return int(self.wall * 1_000_000_000)

    def time(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.steady

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.wall += seconds
        self.steady += seconds

    def now(self) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(self.wall, datetime.UTC)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(throttle, "time", clock)
    monkeypatch.setattr(timezone, "now", clock.now)
    monkeypatch.setattr(throttle, "Now", lambda: Cast(Value(clock.now()), DateTimeField()))
    return clock


def turns_without_waiting(**kwargs: Any) -> int:
    """How many turns there are right now."""
    for count in itertools.count():
        try:
            take_turn(patience=0, **kwargs)
        except Throttled:
            return count
        assert count < 1000
    raise AssertionError


def most_within(moments: list[float], seconds: float) -> int:
    ordered = sorted(moments)
    return max(sum(start <= each < start + seconds for each in ordered) for start in ordered)


# With a clock that stands still


@pytest.mark.django_db
def test_people_may_use_the_whole_budget(limits: Any, clock: Clock) -> None:
    assert turns_without_waiting(for_person=True) == 5


@pytest.mark.django_db
def test_people_keep_a_share_while_the_backlog_is_at_its_limit(limits: Any, clock: Clock) -> None:
    """Whoever is at the desk was there seconds ago."""
    take_turn(for_person=True)
    clock.sleep(1.2)
    assert turns_without_waiting() == 3
    assert turns_without_waiting(for_person=True) == 2
    clock.sleep(1.2)
    limits(per_second=0, per_minute=20)
    assert turns_without_waiting() == 20 // 2 - 3
    assert turns_without_waiting(for_person=True) == 20 - 10 - 3


@pytest.mark.django_db
def test_the_backlog_uses_each_minute_while_nobody_is_at_the_desk(limits: Any, clock: Clock) -> None:
    """Nearly all of what Altegio allows, and never more."""
    began, moments = clock.wall, []
    while clock.wall < began + 300:
        take_turn(count=2)
        moments += [clock.wall] * 2
    for minute in range(5):
        start = began + 60 * minute
        assert sum(start <= moment < start + 60 for moment in moments) >= 196
    assert most_within(moments, 1.0) <= 5
    assert most_within(moments, 60.0) <= 200


@pytest.mark.django_db
@pytest.mark.parametrize("comes", [{"for_person": True}, {"reads_for": "jane"}], ids=["operation", "page"])
@pytest.mark.parametrize("per_second", [0, 5])
def test_the_desks_share_is_back_as_soon_as_somebody_is_there(
    limits: Any, clock: Clock, comes: dict[str, Any], per_second: int
) -> None:
    """Who comes waits for one turn; then the backlog stands back until the shares are as they should be."""
    limits(per_second)
    began = clock.wall
    while clock.wall < began + 150:
        take_turn(count=2)
    came = clock.wall
    take_turn(count=2, **comes)
    assert clock.wall - came < 4.5
    with pytest.raises(Throttled):
        take_turn(count=2)
    for _ in range(4):  # and as long as somebody is there, the desk waits for nothing
        clock.sleep(14)
        take_turn(count=2, for_person=True, patience=0)


@pytest.mark.django_db
def test_the_backlog_goes_on_some_seconds_after_the_desk_was_left(limits: Any, clock: Clock) -> None:
    take_turn(for_person=True)
    assert turns_without_waiting() == 3
    clock.sleep(16)
    assert turns_without_waiting() == 4


@pytest.mark.django_db
def test_a_program_that_reads_is_nobody_at_the_desk(limits: Any, clock: Clock) -> None:
    take_turn(reads_for="")
    assert turns_without_waiting() == 4


@pytest.mark.django_db
def test_a_small_budget_keeps_the_desks_share_at_all_times(limits: Any, clock: Clock) -> None:
    """What comes free there comes slower than a person waits."""
    limits(per_second=0, per_minute=20)
    assert turns_without_waiting() == 20 // 2


@pytest.mark.django_db
@pytest.mark.parametrize("mark", [{"for_person": True}, {"count": 2}], ids=["desk", "backlog"])
def test_two_hosts_with_clocks_apart_share_one_budget(
    limits: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch, mark: dict[str, Any]
) -> None:
    """Each goes by the database's clock, whatever its own says."""
    hosts: list[tuple[Clock, dict[str, Any]]] = [(Clock(), {}), (Clock(), {})]
    hosts[1][0].wall += 3
    hosts[1][0].steady += 777
    moments = []
    for step in range(1500):
        for each in (clock, *(host for host, _last in hosts)):
            each.sleep(0.0501)
        own, last = hosts[step % 3 % 2]
        monkeypatch.setattr(throttle, "time", own)
        monkeypatch.setattr(throttle, "_last", last)
        moments += [clock.wall] * (turns_without_waiting(**mark) * mark.get("count", 1))
    assert most_within(moments, 1.0) <= 5
    assert most_within(moments, 60.0) <= 200
    assert len(moments) > 200


@pytest.mark.django_db
@pytest.mark.parametrize("for_person", [True, False])
def test_a_thousand_requests_never_break_a_limit(limits: Any, clock: Clock, for_person: bool) -> None:
    moments = []
    for _ in range(500):
        take_turn(for_person=for_person, patience=120)
        moments.append(clock.wall)
    assert most_within(moments, 1.0) <= 5
    assert most_within(moments, 60.0) <= 200


@pytest.mark.django_db
def test_the_wait_is_no_longer_than_it_must_be(limits: Any, clock: Clock) -> None:
    began = clock.wall
    for _ in range(200):
        take_turn(for_person=True, patience=120)
    assert clock.wall - began < 50
    take_turn(for_person=True, patience=120)
    assert clock.wall - began < 65


@pytest.mark.django_db
def test_out_of_patience_it_says_how_long_the_wait_would_be(limits: Any, clock: Clock) -> None:
    limits(per_second=0, per_minute=4)
    for _ in range(4):
        take_turn(for_person=True)
    with pytest.raises(Throttled) as caught:
        take_turn(for_person=True, patience=5)
    assert caught.value.retry_after is not None
    assert 59 <= caught.value.retry_after <= 62
    clock.sleep(caught.value.retry_after)
    take_turn(for_person=True, patience=0)


@pytest.mark.django_db
def test_a_refused_turn_is_not_booked(limits: Any, clock: Clock) -> None:
    limits(per_second=0, per_minute=4)
    turns_without_waiting(for_person=True)
    for _ in range(20):
        with pytest.raises(Throttled):
            take_turn(for_person=True, patience=0)
    assert len(RequestBudget.objects.get().bookings()) == 4


@pytest.mark.django_db
def test_two_requests_are_booked_at_once_or_not_at_all(limits: Any, clock: Clock) -> None:
    take_turn(count=2, for_person=True, patience=0)
    take_turn(count=2, for_person=True, patience=0)
    with pytest.raises(Throttled):
        take_turn(count=2, for_person=True, patience=0)
    take_turn(count=1, for_person=True, patience=0)
    assert len(RequestBudget.objects.get().bookings()) == 5


@pytest.mark.django_db
@pytest.mark.parametrize("for_person", [True, False])
@pytest.mark.parametrize(("per_second", "per_minute"), [(1, 200), (5, 1), (1, 1)])
def test_a_limit_below_the_count_still_lets_it_through_in_the_end(
    limits: Any, clock: Clock, per_second: int, per_minute: int, for_person: bool
) -> None:
    limits(per_second, per_minute)
    for _ in range(3):
        take_turn(count=2, for_person=for_person, patience=200)


@pytest.mark.django_db
def test_0_is_no_limit_and_costs_no_booking_that_waits(limits: Any, clock: Clock) -> None:
    limits(0, 0)
    for _ in range(300):
        take_turn(patience=0)
    limits(5, 0)
    assert turns_without_waiting(for_person=True) <= 5
    clock.sleep(2)
    limits(0, 50)
    assert turns_without_waiting(for_person=True) <= 50


@pytest.mark.django_db
def test_the_row_stays_small(limits: Any, clock: Clock) -> None:
    for _ in range(600):
        take_turn(for_person=True, patience=120)
    assert len(RequestBudget.objects.get().bookings()) <= 205
    assert RequestBudget.objects.count() == 1


@pytest.mark.django_db
def test_a_booking_after_ones_own_only_writes(limits: Any, django_assert_num_queries: Any) -> None:
    take_turn()
    with django_assert_num_queries(1):
        take_turn()


@pytest.mark.django_db
def test_what_another_process_booked_meanwhile_counts(limits: Any, clock: Clock) -> None:
    take_turn(for_person=True)
    budget = RequestBudget.objects.get()
    booked = ",".join([str(clock.time_ns() // 1_000_000)] * 4)
    RequestBudget.objects.update(version=budget.version + 1, sent_ms=booked)
    assert turns_without_waiting(for_person=True) == 1


@pytest.mark.django_db
def test_a_block_by_another_process_is_seen(limits: Any, clock: Clock) -> None:
    """Whoever just booked remembers the row as it was before the block."""
    take_turn()
    remembered = dict(throttle._last)
    block_for(30)
    throttle._last.update(remembered)
    with pytest.raises(Throttled):
        take_turn()


@pytest.mark.django_db
def test_two_hosts_have_a_budget_each(settings: Any, clock: Clock) -> None:
    for number in (1, 2):
        settings.ALTEGIO_LOYALTY = {"API_URL": f"http://127.0.0.1:{number}/api/v1"}
        assert turns_without_waiting(for_person=True) == 5


@pytest.mark.django_db
def test_two_versions_of_one_api_share_its_budget(settings: Any, clock: Clock) -> None:
    for version, left in (("v1", 5), ("v3", 0)):
        settings.ALTEGIO_LOYALTY = {"API_URL": f"http://127.0.0.1:1/api/{version}"}
        assert turns_without_waiting(for_person=True) == left


@pytest.mark.django_db
def test_a_host_longer_than_the_column_has_a_budget(settings: Any, clock: Clock) -> None:
    settings.ALTEGIO_LOYALTY = {"API_URL": f"http://{'x' * 500}.example/api/v1"}
    assert turns_without_waiting(for_person=True) == 5
    block_for(1)


# Shares. The others take whatever they may have, whenever time goes by and before anybody else can


def greedy(clock: Clock, monkeypatch: pytest.MonkeyPatch, **others: Any) -> None:
    """The others take all that there is for them, at once and each time that somebody waits."""
    sleep = clock.sleep

    def sleep_among_others(seconds: float) -> None:
        sleep(seconds)
        monkeypatch.setattr(clock, "sleep", sleep)
        turns_without_waiting(**others)
        monkeypatch.setattr(clock, "sleep", sleep_among_others)

    turns_without_waiting(**others)
    monkeypatch.setattr(clock, "sleep", sleep_among_others)


@pytest.mark.django_db
@pytest.mark.parametrize("count", [1, 2])
def test_the_backlog_goes_on_while_pages_are_reloaded(
    limits: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    greedy(clock, monkeypatch, count=count, reads_for="")
    for _ in range(20):
        take_turn(count=2)
        take_turn(count=2, for_person=True)  # and while the desk is busy


@pytest.mark.django_db
def test_pages_are_read_while_the_backlog_runs(
    limits: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    greedy(clock, monkeypatch, count=2)
    for _ in range(20):
        take_turn(reads_for="")


@pytest.mark.django_db
@pytest.mark.parametrize("others", [{"reads_for": ""}, {"count": 2}], ids=["pages", "backlog"])
def test_an_operation_at_the_desk_does_not_wait_for_others(
    limits: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch, others: dict[str, Any]
) -> None:
    limits(per_minute=0)
    take_turn(for_person=True)
    clock.sleep(1.2)
    greedy(clock, monkeypatch, **others)
    take_turn(count=2, for_person=True, patience=0)


@pytest.mark.django_db
def test_one_person_leaves_the_others_pages(
    limits: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    greedy(clock, monkeypatch, reads_for="jane")
    for _ in range(12):
        take_turn(count=2, reads_for="john")


@pytest.mark.django_db
def test_one_person_reads_a_quarter_of_the_minute(limits: Any, clock: Clock) -> None:
    limits(per_second=0, per_minute=200)
    assert turns_without_waiting(reads_for="jane") == 50
    assert turns_without_waiting(reads_for="john") == 75 - 50


@pytest.mark.django_db
def test_a_program_that_reads_has_no_persons_bound(limits: Any, clock: Clock) -> None:
    limits(per_second=0, per_minute=200)
    assert turns_without_waiting(reads_for="") == 75


@pytest.mark.django_db
def test_who_reads_too_often_is_told_so_and_for_how_long(limits: Any, clock: Clock) -> None:
    limits(per_second=0, per_minute=8)
    turns_without_waiting(reads_for="jane")
    clock.sleep(20)
    with pytest.raises(Throttled, match=r"^You have read .* again in 41 seconds\.$") as caught:
        take_turn(reads_for="jane")
    assert caught.value.retry_after == pytest.approx(40.5)


@pytest.mark.django_db
def test_what_earlier_releases_booked_counts_as_the_desks(limits: Any, clock: Clock) -> None:
    limits(per_second=0, per_minute=8)
    now = clock.time_ns() // 1_000_000
    RequestBudget.objects.create(host="127.0.0.1:9", sent_ms=f"{now},{now}")
    assert turns_without_waiting(for_person=True) == 6


# Blocked by Altegio


@pytest.mark.django_db
def test_a_block_holds_everybody_until_it_ends(limits: Any, clock: Clock) -> None:
    block_for(30)
    for for_person in (True, False):
        with pytest.raises(Throttled) as caught:
            take_turn(for_person=for_person)
        assert caught.value.retry_after is not None
        assert 29 <= caught.value.retry_after <= 30
    clock.sleep(30.1)
    take_turn(patience=0)


@pytest.mark.django_db
def test_a_short_block_is_waited_out(limits: Any, clock: Clock) -> None:
    block_for(2)
    began = clock.wall
    take_turn()
    assert 2 <= clock.wall - began < 3


@pytest.mark.django_db
def test_a_longer_block_is_never_shortened(limits: Any, clock: Clock) -> None:
    block_for(60)
    block_for(1)
    clock.sleep(30)
    with pytest.raises(Throttled):
        take_turn(patience=0)
    block_for(100)
    clock.sleep(99)
    with pytest.raises(Throttled):
        take_turn(patience=0)


@pytest.mark.django_db
@pytest.mark.parametrize("seconds", [0, -5, -0.0])
def test_a_block_of_no_time_is_none(limits: Any, clock: Clock, seconds: float) -> None:
    block_for(seconds)
    take_turn(patience=0)


@pytest.mark.django_db
def test_a_block_holds_with_the_limits_switched_off(limits: Any, clock: Clock) -> None:
    limits(0, 0)
    block_for(30)
    with pytest.raises(Throttled):
        take_turn(patience=0)


@pytest.mark.django_db
def test_who_is_held_back_by_a_block_reads_that_it_was_altegio(limits: Any, clock: Clock) -> None:
    block_for(30)
    with pytest.raises(Throttled, match=r"^Altegio said that its limit is used up: .* another 30 seconds\.$"):
        take_turn()


@pytest.mark.django_db
def test_a_block_is_no_longer_than_a_quarter_of_an_hour(limits: Any, clock: Clock) -> None:
    block_for(3600)
    clock.sleep(15 * 60 - 1)
    with pytest.raises(Throttled):
        take_turn(patience=0)
    clock.sleep(2)
    take_turn(patience=0)


@pytest.mark.django_db
def test_a_block_that_grows_is_told_since_its_beginning(limits: Any, clock: Clock) -> None:
    began = clock.now()
    for _ in range(3):
        block_for(60)
        clock.sleep(30)
    assert find_blocks().get().blocked_at == began


@pytest.mark.django_db
def test_a_block_that_is_lifted_holds_nobody(limits: Any, clock: Clock) -> None:
    take_turn()
    block_for(600)
    assert lift_block()
    assert not find_blocks().exists()
    take_turn(patience=0)
    assert not lift_block()


# A clock that is set


@pytest.mark.django_db
@pytest.mark.parametrize("seconds", [1, 30, 59, 61, 3600, 86400, 10**7])
def test_a_clock_put_back_blocks_nobody_for_longer_than_a_minute(
    limits: Any, clock: Clock, seconds: float
) -> None:
    limits(per_second=5, per_minute=10)
    turns_without_waiting(for_person=True)
    clock.wall -= seconds
    began = clock.steady
    for _ in range(5):
        take_turn(for_person=True, patience=70)
    assert clock.steady - began <= 62


@pytest.mark.django_db
@pytest.mark.parametrize("seconds", [1, 61, 86400, 10**7])
def test_a_clock_put_forward_blocks_nobody(limits: Any, clock: Clock, seconds: float) -> None:
    turns_without_waiting(for_person=True)
    clock.wall += seconds
    began = clock.steady
    for _ in range(5):
        take_turn(for_person=True, patience=70)
    assert clock.steady - began <= 62


@pytest.mark.django_db
@pytest.mark.parametrize("seconds", [3 * 3600, 86400, 10**7])
def test_a_clock_put_back_after_a_block_does_not_make_it_last_for_good(
    limits: Any, clock: Clock, seconds: float
) -> None:
    block_for(60)
    clock.wall -= seconds
    take_turn(patience=70)


# A database that fails


@pytest.mark.django_db
@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_a_database_that_fails_lets_the_request_through(limits: Any, error: type[Exception]) -> None:
    def fail(*args: Any) -> Any:
        raise error("gone")

    with connection.execute_wrapper(fail):
        take_turn()


@pytest.mark.django_db
@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_a_limit_that_cannot_be_kept_ends_no_call(error: type[Exception], caplog: Any) -> None:
    def fail(*args: Any) -> Any:
        raise error("gone")

    with connection.execute_wrapper(fail):
        Line(Location(pk=7)).note(RateLimited())
    assert "location 7" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_a_missing_table_lets_the_request_through(limits: Any) -> None:
    with connection.schema_editor() as editor:
        editor.delete_model(RequestBudget)
    try:
        take_turn()
    finally:
        with connection.schema_editor() as editor:
            editor.create_model(RequestBudget)


@pytest.mark.django_db
def test_a_turn_costs_few_queries(limits: Any, django_assert_max_num_queries: Any) -> None:
    take_turn(for_person=True)
    with django_assert_max_num_queries(2):
        take_turn(for_person=True)


# Several at once


def measured(count: int) -> Iterator[float]:
    """The moments at which so many turns were had, however long they took to come."""
    while count:
        with contextlib.suppress(Throttled):
            take_turn(for_person=True)
            count -= 1
            yield time.time()


def assert_within_the_second(moments: list[float]) -> None:
    """Booked at no more than five a second, and none had before it was booked."""
    booked = [moment / 1000 for moment, _mark in RequestBudget.objects.get().bookings()]
    assert len(booked) == len(moments) == 12
    assert most_within(booked, 1.0) <= 5
    assert all(had > at - 0.01 for at, had in zip(sorted(booked), sorted(moments), strict=True))


@pytest.mark.django_db(transaction=True)
def test_threads_together_stay_within_the_second(limits: Any) -> None:
    moments: list[float] = []

    def work() -> None:
        try:
            moments.extend(measured(2))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_within_the_second(moments)


def _work_in_a_process(database: dict[str, Any], results: Any) -> None:
    connections.close_all()
    connections["default"].settings_dict.update(database)
    results.put(list(measured(4)))
    connections.close_all()


@pytest.mark.django_db(transaction=True)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_processes_together_stay_within_the_second(limits: Any) -> None:
    connections.close_all()
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    database = {"NAME": connection.settings_dict["NAME"]}
    children = [context.Process(target=_work_in_a_process, args=(database, results)) for _ in range(3)]
    for child in children:
        child.start()
    moments = [moment for _ in children for moment in results.get(timeout=100)]
    for child in children:
        child.join()
    assert_within_the_second(moments)


@pytest.mark.django_db(transaction=True)
def test_a_person_gets_a_turn_while_a_crowd_of_backlog_waits(limits: Any) -> None:
    stop = threading.Event()

    def backlog() -> None:
        try:
            while not stop.is_set():
                with contextlib.suppress(Throttled):
                    take_turn(patience=0.2)
        finally:
            connections.close_all()

    crowd = [threading.Thread(target=backlog) for _ in range(4)]
    for thread in crowd:
        thread.start()
    try:
        time.sleep(0.5)
        began = time.monotonic()
        for _ in range(2):
            take_turn(for_person=True)
        assert time.monotonic() - began < 30
    finally:
        stop.set()
        for thread in crowd:
            thread.join()
