"""The sweep: fair, careful in an outage, and not stopped by one bad row."""

from __future__ import annotations

import datetime
import itertools
import signal
import threading
import time
import uuid
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from altegio_loyalty import delivery, services, throttle
from altegio_loyalty.delivery import sweep
from altegio_loyalty.delivery.sweep import Sweep
from altegio_loyalty.models import Location, LoyaltyOperation, RequestBudget
from tests.delivery.salon import WITHDRAWAL, Salon, Status

pytestmark = pytest.mark.django_db


def test_outage__stops_early_and_burns_no_attempts(salon: Salon) -> None:
    """When Altegio is down a sweep tries a few and leaves the thousands alone."""
    operations = [salon.later() for _ in range(12)]
    salon.fail("status_503")
    report = salon.sweep()
    assert report.stopped
    assert not report.is_cut_short
    assert len(salon.sandbox.requests) == 3
    assert LoyaltyOperation.objects.filter(attempt_count=0).count() == 9
    salon.heal()
    salon.run_to_the_end(*operations)
    assert {operation.status for operation in operations} == {Status.SUCCEEDED}


def test_outage_that_lasts__tries_others_next_time(salon: Salon) -> None:
    """The same few are not burnt to the end while the others wait."""
    salon.configure(RETRY_DELAY=60)
    for _ in range(12):
        salon.later()
    salon.fail("status_503")
    for _ in range(3):
        salon.sweep()
    assert LoyaltyOperation.objects.filter(attempt_count=1).count() >= 8


def test_refusals__are_no_outage(salon: Salon) -> None:
    """Each has its own reason; the rest goes on."""
    for _ in range(6):
        salon.later()
    salon.fail("status_422", path="apply_card_withdrawal", times=5)
    assert not salon.sweep().stopped
    assert LoyaltyOperation.objects.filter(status=Status.REJECTED).count() == 5
    assert LoyaltyOperation.objects.filter(status=Status.SUCCEEDED).count() == 1


def test_failures_among_successes__are_no_outage(salon: Salon) -> None:
    """Visits that cannot be read hold up nobody else: only failures in a row say something of Altegio."""
    salon.configure(RETRY_DELAY=10**7, RETRY_DELAY_MAX=10**7, RETRY_WINDOW=0)
    visits = [salon.visit() for _ in range(8)]
    for visit in visits[::2]:
        salon.fail("status_503", path=f"/{visit.id}")
    operations = [salon.later(visit) for visit in visits]
    assert not salon.sweep().stopped
    for operation in operations[1::2]:
        operation.refresh_from_db()
        assert operation.status == Status.SUCCEEDED


def test_time_is_over__goes_on_in_the_next_sweep(salon: Salon) -> None:
    """SWEEP_SECONDS bound one sweep; the report says that there is more."""
    salon.configure(SWEEP_SECONDS=0.01)
    operations = [salon.later() for _ in range(4)]
    assert salon.sweep().is_cut_short
    salon.run_to_the_end(*operations)
    assert salon.posts() == 4


def test_locations__take_turns(salon: Salon) -> None:
    """A location with a long backlog does not starve another."""
    other = salon.add_location("Second Street")
    for _ in range(8):
        salon.later()
    late = [salon.later(salon.visit(location=other)) for _ in range(2)]
    salon.sweep()
    order = [effect.visit_id for effect in salon.sandbox.effects]
    assert {order.index(operation.visit_id) for operation in late} <= {0, 1, 2, 3}


def test_longest_waiting__comes_first(salon: Salon) -> None:
    """Within a location."""
    operations = [salon.later() for _ in range(4)]
    salon.age(operations[2], 100)
    salon.age(operations[3], 50)
    salon.sweep()
    order = [effect.visit_id for effect in salon.sandbox.effects]
    assert order == [operations[number].visit_id for number in (2, 3, 0, 1)]


def test_what_is_not_due__is_left_alone(salon: Salon) -> None:
    """Due times live in the database."""
    operation = salon.later()
    salon.age(operation, -30)
    assert not salon.sweep(operation).state_of
    assert delivery.deliver(operation.pk) == operation
    assert salon.sandbox.requests == []


def test_one_operation_is_sent_once_in_one_sweep(salon: Salon) -> None:
    """With RETRY_DELAY 0 a failing one does not eat up its attempts in one go."""
    salon.configure(MAX_ATTEMPTS=8)
    operation = salon.later()
    salon.fail("status_500", path="visit_details")
    salon.sweep(operation)
    assert (operation.status, operation.attempt_count) == (Status.PENDING, 1)


def test_message__is_for_its_operation_alone(salon: Salon) -> None:
    """Others that are due as well, older and newer, wait for their own message or for the sweep."""
    others = [salon.later()]
    operation = salon.later()
    others.append(salon.later())
    told = delivery.deliver(operation.pk)
    assert told == operation
    assert told.status == Status.SUCCEEDED
    for other in others:
        other.refresh_from_db()
        assert (other.status, other.fence) == (Status.PENDING, 0)


def test_unknown_operation__is_none(salon: Salon) -> None:
    """A message may be older than its row, or of another database."""
    assert delivery.deliver(4711) is None


@pytest.mark.django_db(transaction=True)
def test_database_error_on_one_row__does_not_stop_the_others(salon: Salon) -> None:
    """One row that cannot be written is taken up again when its lease ends."""
    first, bad, last = (salon.later() for _ in range(3))

    def refuse_one(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        is_a_mark = sql.startswith("UPDATE") and "seen_before" in sql and "attempt_count" not in sql
        if is_a_mark and bad.pk in params:
            raise OperationalError("disk I/O error")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse_one):
        salon.sweep(bad)
    first.refresh_from_db()
    last.refresh_from_db()
    assert (first.status, bad.status, last.status) == (Status.SUCCEEDED, Status.SENDING, Status.SUCCEEDED)
    salon.age(bad, 61)
    salon.run_to_the_end(bad)
    assert bad.status == Status.SUCCEEDED
    salon.assert_nothing_is_told_wrongly()


# The order


def order_of(salon: Salon) -> list[int]:
    salon.sweep()
    return [effect.visit_id for effect in salon.sandbox.effects]


def test_locations__take_turns_however_many_wait_in_one(
    salon: Salon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than are put in turn at once."""
    monkeypatch.setattr(sweep, "ROWS_AT_ONCE", 4)
    other = salon.add_location("Second Street")
    for _ in range(9):
        salon.age(salon.later(amount=1), 100)
    late = [salon.later(salon.visit(location=other), amount=1) for _ in range(2)]
    order = order_of(salon)
    assert {order.index(operation.visit_id) for operation in late} <= {0, 1, 2, 3}
    assert len(order) == 11


def test_what_was_asked_for_singly__comes_before_a_batch(salon: Salon) -> None:
    """Somebody may wait for it at the desk."""
    batch = uuid.uuid4()
    for _ in range(3):
        there = salon.where(salon.visit())
        salon.age(services.request_in_batch(WITHDRAWAL, salon.location, batch=batch, amount=1, **there), 100)
    single = salon.later()
    assert order_of(salon)[0] == single.visit_id


def test_choice_of_what_is_due__is_the_same_statement_however_much_was_done(
    salon: Salon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list of what was done would grow with the pass, and no database takes one of any length."""
    monkeypatch.setattr(sweep, "ROWS_AT_ONCE", 3)
    for _ in range(10):
        salon.later()
    with CaptureQueriesContext(connection) as captured:
        salon.sweep()
    choices = [query["sql"] for query in captured.captured_queries if "ROW_NUMBER" in query["sql"]]
    of_first_pass = choices[0]
    assert choices.count(of_first_pass) == 5
    assert salon.posts() == 10


def test_location_that_is_switched_off_meanwhile__gets_nothing_more(
    salon: Salon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for what was put in turn before."""
    for _ in range(3):
        salon.later()
    work_on = sweep._work_on

    def work_and_switch_off(operation: LoyaltyOperation) -> Any:
        error = work_on(operation)
        Location.objects.update(is_active=False)
        return error

    monkeypatch.setattr(sweep, "_work_on", work_and_switch_off)
    assert len(salon.sweep().state_of) == salon.posts() == 1


# One at a time


def led_until(seconds: float) -> None:
    RequestBudget.objects.get_or_create(host=throttle.api_host())
    RequestBudget.objects.update(led_until=timezone.now() + datetime.timedelta(seconds=seconds))


def test_second_sweep__returns_at_once_with_a_reason(salon: Salon) -> None:
    """It would wait for the same budget in another slot of the worker."""
    salon.later()
    led_until(20)
    report = salon.sweep()
    assert (report.stopped, report.is_cut_short, report.state_of) == ("another sweep is at work", False, {})
    assert salon.sandbox.requests == []


@pytest.mark.parametrize("seconds", [-0.1, 3600], ids=["killed", "of a clock that was wrong"])
def test_sweep_that_says_nothing_more__is_followed_by_another(salon: Salon, seconds: float) -> None:
    """It was killed, perhaps."""
    salon.later()
    led_until(seconds)
    assert not salon.sweep().stopped
    assert salon.posts() == 1


def test_lead__ends_with_the_sweep(salon: Salon) -> None:
    """And with one whose time is over."""
    for _ in range(2):
        salon.later()
    for seconds in (0, 50):
        delivery.run_due(seconds)
        assert RequestBudget.objects.get().led_until is None


def test_lead__is_kept_while_the_sweep_goes_on(salon: Salon, monkeypatch: pytest.MonkeyPatch) -> None:
    """With each order of turns anew; where it was lost meanwhile, the sweep ends."""
    monkeypatch.setattr(sweep, "ORDER_SECONDS", -1)
    for _ in range(3):
        salon.later()
    seen: list[Any] = []

    def note(operation: LoyaltyOperation) -> None:
        seen.append(RequestBudget.objects.get().led_until)
        if len(seen) == 2:
            led_until(20)

    monkeypatch.setattr(sweep, "_work_on", note)
    assert salon.sweep().stopped == "another sweep is at work"
    assert len(seen) == 2
    assert seen[0] < seen[1]


def test_lead__once_given_up__is_not_taken_again(salon: Salon) -> None:
    """Another thread may be about to ask what is next, with the order of turns too old."""
    for _ in range(2):
        salon.later()
    over = sweep.Sweep(0)
    over.run()
    over._order_ends_at = 0
    assert over._next() is None
    assert over.report.stopped == "the time of one sweep is over"
    assert RequestBudget.objects.get().led_until is None


def test_message__is_not_held_up_by_a_sweep(salon: Salon) -> None:
    """Whoever waits at the desk is not behind the backlog."""
    operation = salon.later()
    led_until(20)
    delivery.deliver(operation.pk, for_person=True)
    assert salon.posts() == 1


# Several threads


@pytest.fixture
def crowd(
    altegio_sandbox: Any, settings: Any, monkeypatch: pytest.MonkeyPatch, transactional_db: None
) -> Salon:
    """A salon whose sweeps work on four at a time, with ten that wait."""
    salon = Salon(altegio_sandbox, settings, monkeypatch)
    salon.configure(SWEEP_THREADS=4)
    for _ in range(10):
        salon.later(amount=1)
    return salon


@pytest.mark.django_db(transaction=True)
def test_threads__do_each_operation_once(crowd: Salon) -> None:
    """With the claims and fences of any number of workers."""
    report = crowd.sweep()
    assert set(report.state_of.values()) == {Status.SUCCEEDED}
    assert (len(report.state_of), crowd.posts()) == (10, 10)
    crowd.assert_nothing_is_told_wrongly()


@pytest.mark.django_db(transaction=True)
def test_threads__work_at_the_same_time_each_with_a_connection_that_is_closed(
    crowd: Salon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a slow Altegio does not leave the budget unused."""
    together, connections = threading.Barrier(2), {}

    def meet(operation: LoyaltyOperation) -> None:
        connections[threading.get_ident()] = connection.connection
        together.wait(60)

    monkeypatch.setattr(sweep, "_work_on", meet)
    assert len(crowd.sweep().state_of) == 10
    assert 2 <= len(connections) <= 4
    assert connection.connection not in connections.values()
    for each in connections.values():
        with pytest.raises(Exception, match=r"closed|gone|2006"):
            each.cursor().execute("SELECT 1")


@pytest.mark.django_db(transaction=True)
def test_signal__ends_a_sweep_between_two_operations(crowd: Salon, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Celery's soft time limit and Ctrl-C do: what is under way is finished, and nothing else begun."""
    begun, finished, fourth = [], [], itertools.count(-3)
    running = Sweep(50)

    def strike_meanwhile(operation: LoyaltyOperation) -> None:
        begun.append(operation.pk)
        if not next(fourth):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        while not running.report.stopped:
            time.sleep(0.01)
        finished.append(operation.pk)

    monkeypatch.setattr(sweep, "_work_on", strike_meanwhile)
    with pytest.raises(KeyboardInterrupt):
        running.run()
    assert len(begun) == 4
    assert sorted(finished) == sorted(begun)


@pytest.mark.django_db(transaction=True)
def test_outage__stops_all_threads(crowd: Salon) -> None:
    """What is under way is finished; nothing else is begun."""
    crowd.fail("status_503")
    assert crowd.sweep().stopped
    assert 3 <= LoyaltyOperation.objects.filter(attempt_count=1).count() <= 3 + 3


@pytest.mark.django_db(transaction=True)
def test_database_that_is_gone__ends_all_threads_and_is_told(
    crowd: Salon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that fails does raise."""

    def fail(operation_id: int) -> Any:
        raise OperationalError("gone")

    monkeypatch.setattr(sweep, "_read", fail)
    with pytest.raises(OperationalError):
        crowd.sweep()
