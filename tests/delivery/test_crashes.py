"""Every point between two steps of delivery × a worker that is killed, suspended or robbed of its database there."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError, connection, connections

from altegio_loyalty import delivery, services, signals
from altegio_loyalty.models import Location, LoyaltyOperation
from tests.chaos.clock import Clock
from tests.delivery.crashing import (
    KILLED,
    AtStatement,
    Worker,
    at_sql,
    database_gone_from,
    kill_at,
    kill_myself,
    on_connect_number,
    stop_myself,
    watching,
)
from tests.delivery.rawserver import EMPTY_VISIT, RawServer, answer_of
from tests.delivery.salon import CANCEL, WITHDRAWAL, Salon, Status, points
from tests.waiting import wait_for

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="forks its workers"),
]
LEASE = 61  # a second more than the salon's
LONGEST_CALL = 25  # for which a dead worker's may still be open


def after_the_lease(salon: Salon, operation: LoyaltyOperation) -> None:
    salon.age(operation, LEASE)
    salon.run_to_the_end(operation)


def assert_done_once(salon: Salon, operation: LoyaltyOperation, visit: Any) -> None:
    assert operation.status == Status.SUCCEEDED
    assert operation.applied_amount == points(100)
    assert len(salon.effects(WITHDRAWAL, visit)) == 1
    salon.assert_nothing_is_told_wrongly()


# At every statement of the database


def request_now(salon: Salon, visit: Any) -> Callable[[], Any]:
    return lambda: salon.withdraw(visit)


def work_on_due(salon: Salon, visit: Any) -> Callable[[], Any]:
    operation = salon.later(visit)
    return lambda: delivery.deliver(operation.pk)


def sweep_due(salon: Salon, visit: Any) -> Callable[[], Any]:
    salon.later(visit)
    return delivery.run_due


def look_up_that_happened(salon: Salon, visit: Any) -> Callable[[], Any]:
    salon.fail("cut_after", path="apply_card_withdrawal", times=1)
    operation = salon.withdraw(visit)
    return lambda: delivery.deliver(operation.pk)


def look_up_that_did_not_happen(salon: Salon, visit: Any) -> Callable[[], Any]:
    salon.fail("cut_before", path="apply_card_withdrawal", times=1)
    operation = salon.withdraw(visit)
    return lambda: delivery.deliver(operation.pk)


JOBS = [request_now, work_on_due, sweep_due, look_up_that_happened, look_up_that_did_not_happen]


def finish(salon: Salon, visit: Any) -> str:
    """Everything that is left of the visit's operation comes to its end; the status, or "" where there is no row."""
    for operation in LoyaltyOperation.objects.filter(visit_id=visit.id):
        after_the_lease(salon, operation)
        assert_done_once(salon, operation, visit)
        return str(operation.status)
    assert salon.effects(WITHDRAWAL, visit) == []
    return ""


@pytest.mark.parametrize("prepare", JOBS)
def test_killed_at_every_statement__ends_with_one_effect(salon: Salon, prepare: Any) -> None:
    """kill -9 before the first, the second, … statement: no row and no effect, or one effect that the log knows."""
    salon.ledger.set_balance(salon.card, 100_000)
    for number in range(1, 60):
        visit = salon.visit()
        exit_code = Worker(prepare(salon, visit), kill_at(number)).wait()
        finish(salon, visit)
        if exit_code == 0:
            break
        assert exit_code == KILLED
    assert 5 < number < 59


@pytest.mark.parametrize("prepare", JOBS)
@pytest.mark.parametrize("how_many", [1, 10_000], ids=["for a moment", "for good"])
def test_database_gone_at_every_statement__ends_with_one_effect(
    salon: Salon, prepare: Any, how_many: int
) -> None:
    """An error of the database may raise; it must not lose or double anything."""
    salon.ledger.set_balance(salon.card, 100_000)
    for number in range(1, 60):
        visit = salon.visit()
        job = prepare(salon, visit)
        refuse, counted = database_gone_from(number, how_many), [0]
        try:
            with connection.execute_wrapper(watching(noting(counted, refuse))):
                job()
        except DatabaseError:
            pass
        connections.close_all()
        finish(salon, visit)
        if counted[0] < number:
            break
    assert 5 < number < 59


def noting(counted: list[int], act: AtStatement) -> AtStatement:
    """`act`, with the number of statements so far in `counted`."""

    def note(number: int, sql: str) -> None:
        counted[0] = number
        act(number, sql)

    return note


# At every point of the call

POINTS = {
    "before the row is committed",
    "after the claim",
    "while looking",
    "after the look, before the mark",
    "after the mark, before the first byte",
    "mid-request, before the effect",
    "after the effect, before the answer",
    "mid-answer",
    "after the answer, before the result is written",
    "while the result is written",
    "after the result is written",
}


class Killed:
    """One worker killed at one point. `effects` is what had really happened by then."""

    def __init__(self, salon: Salon, visit: Any) -> None:
        self.salon, self.visit = salon, visit
        salon.configure(READ_TIMEOUT=10, TOTAL_TIMEOUT=20)
        self.exit_code = 0

    def at(self, at_statement: Any) -> None:
        self.exit_code = Worker(lambda: self.salon.withdraw(self.visit), at_statement).wait()

    def when(self, condition: Callable[[], Any], fault: str, path: str, **parameters: Any) -> None:
        self.salon.sandbox.fail(fault, path=path, times=1, **parameters)
        worker = Worker(lambda: self.salon.withdraw(self.visit))
        wait_for(condition)
        worker.kill()
        self.exit_code = KILLED
        self.salon.sandbox.heal()

    def before_the_row_is_committed(self) -> None:
        self.at(at_sql("INSERT", "loyaltyoperation", act=kill_myself))

    def after_the_claim(self) -> None:
        self.at(at_sql("requestbudget", act=kill_myself))

    def while_looking(self) -> None:
        self.when(lambda: self.salon.sandbox.requests, "hang", "visit_details", seconds=30)

    def after_the_look_before_the_mark(self) -> None:
        self.at(at_sql("UPDATE", '"seen_before" =', act=kill_myself, without='"attempt_count"'))

    def after_the_mark_before_the_first_byte(self) -> None:
        def answer(method: str, path: str, sock: Any) -> bytes:
            return answer_of(EMPTY_VISIT, headers="Connection: close\r\n")

        with RawServer(answer) as server:
            self.salon.configure(API_URL=server.url)
            visit = self.visit

            def job() -> None:
                on_connect_number(2, kill_myself)  # the POST needs a new connection
                self.salon.withdraw(visit)

            self.exit_code = Worker(job).wait()
            assert [method for method, _ in server.requests] == ["GET"]

    def mid_request_before_the_effect(self) -> None:
        self.when(self.salon.posts, "hang", "apply_card", seconds=30, effect=False)

    def after_the_effect_before_the_answer(self) -> None:
        self.when(lambda: self.salon.sandbox.effects, "hang_after", "apply_card", seconds=30)

    def mid_answer(self) -> None:
        self.when(lambda: self.salon.sandbox.effects, "drip", "apply_card", seconds=0.1)

    def after_the_answer_before_the_result_is_written(self) -> None:
        self.at(at_sql("UPDATE", '"finished_at" =', act=kill_myself))

    def while_the_result_is_written(self) -> None:
        self.at(at_sql("INSERT", "operationattempt", act=kill_myself))

    def after_the_result_is_written(self) -> None:
        def job() -> None:
            signals.operation_succeeded.connect(lambda **kwargs: kill_myself(), weak=False)
            self.salon.withdraw(self.visit)

        self.exit_code = Worker(job).wait()


def _name(point: str) -> str:
    return point.replace(",", "").replace("-", "_").replace(" ", "_")


@pytest.mark.parametrize("point", sorted(POINTS))
@pytest.mark.parametrize("settle_seconds", [0, 30])
def test_killed_at_a_point__ends_with_one_effect(salon: Salon, point: str, settle_seconds: int) -> None:
    """kill -9 at each point of a call that a person waits for; after the lease a sweep elsewhere ends it right."""
    visit = salon.visit()
    killed = Killed(salon, visit)
    getattr(killed, _name(point))()
    assert killed.exit_code == KILLED
    had_happened = len(salon.effects(WITHDRAWAL, visit))
    salon.configure(SETTLE_SECONDS=settle_seconds)

    operation = LoyaltyOperation.objects.filter(visit_id=visit.id).first()
    if operation is None:
        assert point == "before the row is committed"
        assert salon.sandbox.requests == []
        return
    salon.age(operation, LEASE)
    was_marked = operation.sent_at is not None
    salon.sweep(operation)
    if not had_happened and was_marked:
        assert operation.status == Status.UNCONFIRMED
        assert len(salon.effects(WITHDRAWAL, visit)) == 0
        salon.age(operation, LONGEST_CALL + settle_seconds)
    salon.run_to_the_end(operation)
    assert_done_once(salon, operation, visit)


def test_killed_in_a_cancel__gives_back_once(salon: Salon) -> None:
    """The other direction: points are not given back twice, and the log knows how many."""
    visit = salon.prepared(CANCEL)
    salon.configure(READ_TIMEOUT=10, TOTAL_TIMEOUT=20)
    salon.sandbox.fail("hang_after", path="cancel_card_withdrawal", times=1, seconds=30)
    worker = Worker(lambda: salon.ask(CANCEL, visit))
    wait_for(lambda: salon.effects(CANCEL, visit))
    worker.kill()
    salon.sandbox.heal()
    operation = LoyaltyOperation.objects.get()
    after_the_lease(salon, operation)
    assert operation.status == Status.SUCCEEDED
    assert operation.returned_amount == points(100)
    assert salon.ledger.balance(salon.card) == points(500)


# Suspended past the lease, then going on


def delivering(operation: LoyaltyOperation) -> None:
    """By clocks that have gone on past the lease when the process goes on after a stop."""
    clock = Clock()
    signal.signal(signal.SIGCONT, lambda *_: setattr(clock, "passed", LEASE))
    with clock.running():
        delivery.deliver(operation.pk)


def stopped_past_its_lease(salon: Salon, worker: Worker, operation: LoyaltyOperation) -> None:
    """The lease ends while the worker sleeps; the others go on."""
    salon.age(operation, LEASE)
    assert operation.status == Status.SENDING
    salon.sweep(operation)
    assert operation.status != Status.SENDING
    worker.send_signal(signal.SIGCONT)
    assert worker.wait() == 0


@pytest.fixture
def patient(salon: Salon) -> Salon:
    """Its calls would wait longer than a lease."""
    salon.configure(READ_TIMEOUT=200, TOTAL_TIMEOUT=200)
    return salon


def test_suspended_while_looking__sends_nothing_when_it_wakes(patient: Salon) -> None:
    """The mark fails: somebody else has the row."""
    visit = patient.visit()
    operation = patient.later(visit)
    patient.sandbox.fail("hang", path="visit_details", times=1, seconds=200)
    worker = Worker(lambda: delivering(operation))
    wait_for(lambda: patient.sandbox.requests)
    worker.send_signal(signal.SIGSTOP)
    patient.sandbox.heal()
    stopped_past_its_lease(patient, worker, operation)
    patient.run_to_the_end(operation)
    assert patient.posts() == 1
    assert_done_once(patient, operation, visit)


@pytest.mark.postgres
@pytest.mark.mariadb  # on SQLite the transaction of the mark holds the only lock for writing by then
def test_suspended_before_the_mark__sends_nothing_when_it_wakes(patient: Salon) -> None:
    """The mark is conditional, in the database, on the claim and on the lease."""
    visit = patient.visit()
    operation = patient.later(visit)
    mark = at_sql("UPDATE", '"seen_before" =', act=stop_myself, without='"attempt_count"')
    worker = Worker(lambda: delivering(operation), mark)
    worker.wait_until_stopped()
    stopped_past_its_lease(patient, worker, operation)
    patient.run_to_the_end(operation)
    assert patient.posts() == 1
    assert_done_once(patient, operation, visit)


def test_suspended_between_the_mark_and_the_first_byte__sends_nothing_when_it_wakes(patient: Salon) -> None:
    """Right before the first byte both clocks are asked once more."""
    visit = patient.visit()
    operation = patient.later(visit)

    def answer(method: str, path: str, sock: Any) -> bytes:
        return answer_of(EMPTY_VISIT, headers="Connection: close\r\n")

    def job() -> None:
        on_connect_number(2, stop_myself)
        delivering(operation)

    with RawServer(answer) as server:
        patient.configure(API_URL=server.url)
        worker = Worker(job)
        worker.wait_until_stopped()
        patient.configure()
        stopped_past_its_lease(patient, worker, operation)
        assert [method for method, _ in server.requests] == ["GET"]
    patient.age(operation, LONGEST_CALL)
    patient.run_to_the_end(operation)
    assert patient.posts() == 1
    assert_done_once(patient, operation, visit)


def test_suspended_while_the_effect_takes_place__does_not_overwrite_when_it_wakes(patient: Salon) -> None:
    """Its success comes too late to be recorded, and is recorded by the one who looked."""
    visit = patient.visit()
    operation = patient.later(visit)
    patient.sandbox.fail("hang", path="apply_card", times=1, seconds=200)
    worker = Worker(lambda: delivering(operation))
    wait_for(patient.posts)
    worker.send_signal(signal.SIGSTOP)
    patient.sandbox.heal()
    wait_for(lambda: patient.effects(WITHDRAWAL, visit))
    stopped_past_its_lease(patient, worker, operation)
    finished_at = operation.finished_at
    assert finished_at is not None
    operation.refresh_from_db()
    assert operation.finished_at == finished_at
    assert_done_once(patient, operation, visit)
    assert [a.outcome for a in operation.attempts.filter(purpose="send")] == ["unknown", "ok"]


# The clock is stepped


@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_clock_stepped_in_doubt__sends_nothing_twice(salon: Salon, seconds: int) -> None:
    """A clock put forward proves too early, one put back too late; the look before the next call stands between."""
    salon.configure(SETTLE_SECONDS=60)
    visit = salon.visit()
    salon.fail("cut_after", path="apply_card", times=1)
    operation = salon.age(salon.withdraw(visit), seconds)
    if seconds < 0:
        services.retry_operation(operation)
    salon.run_to_the_end(operation)
    assert_done_once(salon, operation, visit)
    assert Location.objects.get().is_paused is False
