"""Every point between two steps of a delivery, times every failure that can strike there.

STEPS is what a delivery does; POINTS is what lies between; FAILURES is what can strike. Whoever adds a step to the
delivery, a write or a call, fails `test_a_delivery_has_these_steps` until the new step stands here with its point, and
each pair of a point and a failure is a case or has a reason in OUT_OF_PLACE.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from itertools import pairwise
from typing import Any
from unittest import mock

import kombu.exceptions
import pytest
from django.conf import settings as django_settings
from django.db import OperationalError, connection, connections, transaction
from urllib3.connection import HTTPConnection

from altegio_loyalty import database, delivery, tasks, throttle
from altegio_loyalty.delivery import sweep
from altegio_loyalty.delivery.claims import Claim, claim_to_send
from altegio_loyalty.models import LoyaltyOperation
from altegio_loyalty.sandbox import Sandbox
from tests.chaos.clock import Clock
from tests.delivery.salon import WITHDRAWAL, Salon
from tests.reachable import REPOSITORY
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

LEASE, SETTLE = 60, 60

#: What a delivery does that outlives it or leaves the machine, in this order.
WRITE, CLAIM, BOOK, LOOK, MARK, SEND, RECORD, KEEP, FIGURES, NOTE = STEPS = [
    "the operation is written",
    "it is claimed",
    "its requests are booked in the shared budget",
    "the visit is looked at",
    "the mark is set that it is being sent",
    "it is sent",
    "the result is recorded",
    "the calls made are kept",
    "what the visit shows is kept for the lists",
    "the tokens are noted to work",
]

BEFORE_COMMIT = "before the row is committed"
BEFORE_CLAIM = "after the row is committed, before the claim"
AFTER_CLAIM = "after the claim"
AFTER_LOOK = "after the look"
AFTER_MARK = "after the mark"
MID_REQUEST = "mid-request"
AFTER_EFFECT = "after the effect and before the answer"
MID_ANSWER = "mid-answer"
BEFORE_RECORD = "after the answer and before the result is written"
AFTER_RECORD = "after the result is written and before the task is acknowledged"

#: Each point, and the steps that it lies between. A result and its calls are one transaction, with nothing in between.
POINTS = {
    BEFORE_COMMIT: ("", WRITE),
    BEFORE_CLAIM: (WRITE, CLAIM),
    AFTER_CLAIM: (CLAIM, BOOK),
    AFTER_LOOK: (LOOK, MARK),
    AFTER_MARK: (MARK, SEND),
    MID_REQUEST: (SEND, SEND),
    AFTER_EFFECT: (SEND, SEND),
    MID_ANSWER: (SEND, SEND),
    BEFORE_RECORD: (SEND, RECORD),
    AFTER_RECORD: (NOTE, ""),
}
#: Steps without a point of their own behind them, and why they need none.
NO_POINT_BETWEEN = {
    (BOOK, LOOK): "a booking that fails is ignored, and one that stands binds nobody",
    (RECORD, KEEP): "one transaction",
    (KEEP, FIGURES): "the result stands; figures that cannot be kept are read anew with the visit",
    (FIGURES, NOTE): "the result stands; the next call notes it as well",
}
AT_ALTEGIO = {MID_REQUEST, AFTER_EFFECT, MID_ANSWER}
ON_THE_WIRE = {AFTER_CLAIM, *AT_ALTEGIO}

EXCEPTION, KILL = "an exception", "kill -9"
GONE, READ_ONLY, UNHEARD = (
    "the database is gone",
    "the database is read-only or full",
    "a commit is not confirmed",
)
CUT, HANG, LATE = "the connection is cut", "a hang past the timeout", "an effect after the cut"
NO_BROKER, FLUSHED, TWICE = "the broker is gone", "the broker is flushed", "the message is delivered twice"
TWO_SWEEPS, SUSPENDED = "two sweeps at once", "suspended past the lease"
FORWARD, BACK = "the clock is put forward", "the clock is put back"
FAILURES = [
    EXCEPTION,
    KILL,
    GONE,
    READ_ONLY,
    UNHEARD,
    CUT,
    HANG,
    LATE,
    NO_BROKER,
    FLUSHED,
    TWICE,
    TWO_SWEEPS,
    SUSPENDED,
]
FAILURES += [FORWARD, BACK]

#: Why a failure is no case at a point.
OUT_OF_PLACE: dict[str, tuple[set[str], str]] = {
    EXCEPTION: (
        AT_ALTEGIO,
        "the worker waits for Altegio; an exception there is one of the client's, as when cut",
    ),
    CUT: (set(POINTS) - ON_THE_WIRE, "nothing is on the wire"),
    HANG: (set(POINTS) - ON_THE_WIRE, "nothing is on the wire"),
    LATE: (set(POINTS) - {MID_REQUEST}, "there is no effect that could be late"),
    NO_BROKER: (set(POINTS) - {BEFORE_CLAIM}, "a message that was taken needs no broker; see twice"),
    FLUSHED: (set(POINTS) - {BEFORE_CLAIM}, "a message that was taken needs no broker; see twice"),
    TWICE: ({BEFORE_COMMIT}, "no message leaves before the commit"),
    UNHEARD: ({AFTER_RECORD}, "nothing more is committed"),
}
CASES = [
    (point, failure)
    for point in POINTS
    for failure in FAILURES
    if point not in OUT_OF_PLACE.get(failure, (set(), ""))[0]
]

#: Where the row does not come to be: nothing is sent, and there is nothing to tell.
NOT_WRITTEN = {(BEFORE_COMMIT, failure) for failure in (EXCEPTION, KILL, GONE, READ_ONLY)}


class Struck(BaseException):
    """An error that no code catches on the way, as a worker's time limit or the end of its process raises."""


class World:
    """A salon, a clock, a database that can fail, and one failure that waits at one point."""

    def __init__(self, salon: Salon, clock: Clock) -> None:
        self.salon, self.clock = salon, clock
        salon.configure(LEASE_SECONDS=LEASE, SETTLE_SECONDS=SETTLE, RETRY_WINDOW=36_000)
        self.point = ""
        self.strike: Callable[[], object] = lambda: None
        self.inherited: object = None
        self.database = "works"
        self.has_broker = True
        self.visit = salon.visit()

    def reach(self, point: str) -> None:
        if point == self.point:
            self.point = ""
            self.strike()

    # What fails

    def arm(self, point: str, failure: str) -> None:
        self.point = point
        strikes: dict[str, Callable[[], object]] = {
            EXCEPTION: self._raise,
            GONE: lambda: self._fail_database("gone"),
            READ_ONLY: lambda: self._fail_database("read-only"),
            UNHEARD: lambda: self._fail_database("unheard"),
            TWICE: lambda: elsewhere(*[partial(tasks.deliver_operation, pk) for pk in self.pks()] * 2),
            TWO_SWEEPS: lambda: elsewhere(delivery.run_due, delivery.run_due),
            FORWARD: lambda: self._set_clock(LEASE + SETTLE + 100),
            BACK: lambda: self._set_clock(-500),
        }
        if failure in strikes:
            self.strike = strikes[failure]
            return
        self.point = ""
        self.has_broker = failure != NO_BROKER
        if failure in (CUT, HANG, LATE):
            self._fail_call(point, failure)

    def publish(self, *arguments: Any, **options: Any) -> None:
        """A message leaves; the tests carry it themselves, or don't."""
        if not self.has_broker:
            raise kombu.exceptions.OperationalError("Connection refused")

    def pks(self) -> list[int]:
        found: list[int] = elsewhere(lambda: list(LoyaltyOperation.objects.values_list("pk", flat=True)))[0]
        return found

    def _raise(self) -> None:
        raise Struck

    def _fail_database(self, how: str) -> None:
        self.database = how

    def _set_clock(self, seconds: float) -> None:
        self.clock.set_by += seconds
        elsewhere(delivery.run_due)

    def _fail_call(self, point: str, failure: str) -> None:
        path = "GET" if point == AFTER_CLAIM else "POST"
        faults = {
            CUT: {MID_REQUEST: "cut_before", AFTER_EFFECT: "cut_after", MID_ANSWER: "cut_mid_answer"},
            HANG: {MID_REQUEST: "hang", AFTER_EFFECT: "hang_after", MID_ANSWER: "drip"},
            LATE: {MID_REQUEST: "late_effect"},
        }
        fault = faults[failure].get(point, "cut_before" if failure == CUT else "hang")
        seconds = {"late_effect": {"seconds": 3600}}.get(fault, {})
        self.salon.fail(fault, path=path, times=1, **seconds)

    def run_statement(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        is_write = sql.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE"))
        if self.database == "gone" or (self.database == "read-only" and is_write):
            raise OperationalError("attempt to write a readonly database")
        result = execute(sql, params, many, context)
        if is_write and not connection.in_atomic_block:  # a transaction by itself
            self.go_unheard()
        return result

    def commit(self, real_commit: Callable[[], None]) -> None:
        if self.database in ("gone", "read-only"):
            raise OperationalError("disk I/O error")
        real_commit()
        self.go_unheard()

    def go_unheard(self) -> None:
        if self.database == "unheard":
            self.database = "works"
            raise OperationalError("server closed the connection unexpectedly")

    # The life of an operation

    def ask(self) -> LoyaltyOperation:
        """The host site's transaction."""
        with transaction.atomic():
            operation = self.salon.later(self.visit)
            self.reach(BEFORE_COMMIT)
        return operation

    def heal(self) -> None:
        self.database, self.point = "works", ""
        self.salon.sandbox.heal()
        connection.close()

    def let_the_lease_end(self) -> None:
        self.clock.passed += LEASE + 1

    def pass_time_until_settled(self) -> None:
        for _ in range(12):
            self.salon.sandbox.advance(3600)
            self.clock.passed += LEASE + SETTLE + 1
            delivery.run_due()
            delivery.run_due()
        assert not LoyaltyOperation.objects.open().exists(), "open for ever"

    def check(self, *, is_written: bool = True) -> None:
        """Done once, and told so; or, where the row was never committed, nothing was sent."""
        effects = self.salon.effects(WITHDRAWAL, self.visit)
        operations = list(LoyaltyOperation.objects.all())
        if not is_written:
            assert operations == effects == self.salon.sandbox.requests == []
            return
        assert [operation.status for operation in operations] == ["succeeded"]
        assert len(effects) == 1
        assert operations[0].applied_amount == effects[0].amount == 100
        assert self.salon.posts(self.visit) <= operations[0].attempt_count + 1


def elsewhere(*jobs: Callable[[], Any]) -> list[Any]:
    """Other workers, at the same moment, each with a connection of its own."""
    results: list[Any] = [None] * len(jobs)

    def work(number: int) -> None:
        with contextlib.closing(_Connections()):
            results[number] = jobs[number]()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


class _Connections:
    def close(self) -> None:
        connections.close_all()


@pytest.fixture
def world(
    altegio_sandbox: Sandbox, settings: Any, monkeypatch: pytest.MonkeyPatch, transactional_db: None
) -> Iterator[World]:
    clock = Clock()
    with clock.running():
        world = World(Salon(altegio_sandbox, settings, monkeypatch), clock)
        with watching(world), mock.patch.object(tasks.deliver_operation, "apply_async", world.publish):
            yield world
        connection.close()


@contextlib.contextmanager
def watching(world: World) -> Iterator[None]:
    """Reach the points as a delivery passes them."""
    database_connection: Any = connection  # its `_commit` is no public one
    call, mark, record, claim, drip = (
        Claim.call,
        Claim.mark_sent,
        Claim.record,
        claim_to_send,
        world.salon.sandbox.faults.sleep,
    )
    answer = world.salon.sandbox.api.answer

    def watched_call(of: Claim, purpose: str, ask: Callable[[], Any], *address: Any) -> Any:
        result = call(of, purpose, ask, *address)
        if purpose == "look":
            world.reach(AFTER_LOOK)
        return result

    def watched_mark(of: Claim, seen_before: Any) -> bool:
        marked = mark(of, seen_before)
        world.reach(AFTER_MARK)
        return marked

    def watched_record(of: Claim, **columns: Any) -> bool:
        world.reach(BEFORE_RECORD)
        recorded = record(of, **columns)
        world.reach(AFTER_RECORD)
        return recorded

    def watched_claim(operation: LoyaltyOperation) -> Claim | None:
        world.reach(BEFORE_CLAIM)
        claimed = claim(operation)
        world.reach(AFTER_CLAIM)
        return claimed

    def watched_answer(request: Any) -> Any:
        if request.method != "POST":
            return answer(request)
        world.reach(MID_REQUEST)
        result = answer(request)
        world.reach(AFTER_EFFECT)
        if world.point == MID_ANSWER:
            world.salon.sandbox.fail("drip", path="nothing", times=1)
        return result

    def watched_drip(seconds: float) -> None:
        world.reach(MID_ANSWER)
        drip(seconds)

    with (
        mock.patch.object(Claim, "call", watched_call),
        mock.patch.object(Claim, "mark_sent", watched_mark),
        mock.patch.object(Claim, "record", watched_record),
        mock.patch.object(sweep, "claim_to_send", watched_claim),
        mock.patch.object(world.salon.sandbox.api, "answer", watched_answer),
        mock.patch.object(world.salon.sandbox.faults, "sleep", watched_drip),
        connection.execute_wrapper(world.run_statement),
        mock.patch.object(connection, "_commit", partial(world.commit, database_connection._commit)),
    ):
        yield


# The list itself


def test_a_delivery_has_these_steps(world: World) -> None:
    """Whoever adds a write or a call to the delivery says here which it is, and adds the point after it."""
    steps: list[str] = []
    writes = {"loyaltyoperation": WRITE, "operationattempt": KEEP, "location": NOTE, "requestbudget": BOOK}
    writes["visit"] = FIGURES

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith(("INSERT", "UPDATE", "DELETE")):
            tables = sql.replace("`", '"').partition('"altegio_loyalty_')[2].partition('"')[0]
            step = writes.get(tables, f"an unknown write: {sql[:80]}")
            if step == WRITE and sql.startswith("UPDATE"):
                assigned = sql.partition("WHERE")[0]
                step = RECORD if "finished_at" in assigned else CLAIM if "fence" in assigned else MARK
            steps.append(step)
        return execute(sql, params, many, context)

    def note_request(request: Any, real: Any = world.salon.sandbox.api.answer) -> Any:
        steps.append({"GET": LOOK, "POST": SEND}[request.method])
        return real(request)

    limits = {"REQUESTS_PER_SECOND": 1000, "REQUESTS_PER_MINUTE": 60_000}
    world.salon.configure(LEASE_SECONDS=LEASE, **limits)
    throttle.take_turn()  # the budget's one row is there before the first delivery that is looked at
    world.salon.ask(WITHDRAWAL, world.visit, amount=1, deliver="on_commit")  # and so is the visit's
    LoyaltyOperation.objects.all().delete()
    with connection.execute_wrapper(note), mock.patch.object(world.salon.sandbox.api, "answer", note_request):
        delivery.deliver(world.ask().pk)
    assert steps == STEPS


def test_each_step_has_its_points() -> None:
    """The points lie between the steps without a gap that has no reason."""
    for pair in pairwise(["", *STEPS, ""]):
        assert (pair in POINTS.values()) != (pair in NO_POINT_BETWEEN), pair


def test_each_point_and_failure_is_a_case_or_has_a_reason() -> None:
    """Nothing is left out silently, and the page that reports on it names every point and failure."""
    for points, reason in OUT_OF_PLACE.values():
        assert reason
        assert points <= set(POINTS)
    told: dict[tuple[str, str], str] = {}
    failures: list[str] = []
    for line in (REPOSITORY / "docs" / "reliability.md").read_text().splitlines():
        first, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not first:
            failures = cells
        elif first in POINTS:
            told.update({(first, failure): cell for failure, cell in zip(failures, cells, strict=True)})
    assert {pair for pair, cell in told.items() if cell != "–"} == set(CASES)
    assert {pair for pair, cell in told.items() if cell == "0"} == NOT_WRITTEN
    assert set(told) == {(point, failure) for point in POINTS for failure in FAILURES}


# The table


@pytest.mark.parametrize(("point", "failure"), [case for case in CASES if case[1] not in (KILL, SUSPENDED)])
def test_a_failure_at_a_point(world: World, point: str, failure: str) -> None:
    """Whatever strikes, and wherever: the operation takes effect once, and the log says so."""
    world.arm(point, failure)
    if point == MID_ANSWER and failure not in (CUT, HANG):
        world.salon.sandbox.fail("drip", path="POST", times=1, seconds=0)
    operation = None
    with contextlib.suppress(Struck, OperationalError):
        operation = world.ask()
    with contextlib.suppress(Struck, OperationalError):
        if operation is not None and failure not in (NO_BROKER, FLUSHED):
            tasks.deliver_operation(operation.pk)
    world.heal()
    if failure == HANG and point != AFTER_CLAIM:
        wait_for(lambda: world.salon.effects(WITHDRAWAL, world.visit))
    world.pass_time_until_settled()
    world.check(is_written=(point, failure) not in NOT_WRITTEN)


@pytest.mark.parametrize("point", [point for point, failure in CASES if failure == KILL])
def test_a_worker_that_is_killed(world: World, point: str) -> None:
    """A real kill -9 of a real process, at each point."""
    in_another_process(world, point, signal.SIGKILL)
    world.pass_time_until_settled()
    world.check(is_written=(point, KILL) not in NOT_WRITTEN)


@pytest.mark.parametrize("point", [point for point, failure in CASES if failure == SUSPENDED])
def test_a_worker_that_is_suspended(world: World, point: str) -> None:
    """A real SIGSTOP until the lease is over and others have swept, then SIGCONT: it goes on, and does no harm."""
    in_another_process(world, point, signal.SIGSTOP)
    world.pass_time_until_settled()
    world.check()


def in_another_process(world: World, point: str, number: int) -> None:
    """Ask and deliver in a process that gets the signal at the point; returns when it has ended."""
    if point == MID_ANSWER:
        world.salon.sandbox.fail("drip", path="POST", times=1, seconds=0)
    parent, told, worker = os.getpid(), threading.Event(), 0

    def strike() -> None:
        if os.getpid() != parent:
            os.kill(os.getpid(), number)
        else:
            told.wait(60)  # until the parent knows the number of its child
            os.kill(worker, number)

    world.point, world.strike = point, strike
    inherited = connection.connection
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # a fork beside the sandbox's threads, which it does not need
        worker = os.fork()
    if not worker:
        _work_and_leave(world, inherited)
    told.set()
    world.point = point if point in AT_ALTEGIO else ""
    _, status = os.waitpid(worker, os.WUNTRACED if number == signal.SIGSTOP else 0)
    struck = os.WIFSTOPPED(status) if number == signal.SIGSTOP else os.WIFSIGNALED(status)
    assert struck, "the point was not reached"
    if point in AT_ALTEGIO:
        wait_for(lambda: world.salon.effects(WITHDRAWAL, world.visit))
    if number == signal.SIGSTOP:
        _sweep_and_wake(world, worker)
    world.heal()


def _work_and_leave(world: World, inherited: object) -> None:
    """In the child: a connection of its own, one delivery, and no word to anybody on the way out."""
    world.inherited = inherited  # closing it would end the parent's session
    signal.signal(signal.SIGCONT, lambda *_: world.let_the_lease_end())  # its clock went on while it stood
    try:
        connection.connection = None
        tasks.deliver_operation(world.ask().pk)
    finally:
        os._exit(0)


def _sweep_and_wake(world: World, worker: int) -> None:
    world.let_the_lease_end()
    if not connection.settings_dict["ENGINE"].endswith("sqlite3") or not _is_locked():
        delivery.run_due()
    os.kill(worker, signal.SIGCONT)
    _, status = os.waitpid(worker, 0)
    assert os.WIFEXITED(status)


def _is_locked() -> bool:
    """Whether the suspended process holds SQLite's one lock: then nobody can do anything, and nothing can go wrong."""
    import sqlite3

    with contextlib.closing(
        sqlite3.connect(django_settings.DATABASES["default"]["NAME"], timeout=0)
    ) as other:
        try:
            other.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        return False


# Between a read and a write, and between two pieces of a request


def test_mark_set_since_the_row_was_read__is_seen(world: World) -> None:
    """A worker that was suspended between its read and its take-over must not take the row for never sent."""
    operation = world.ask()
    sender = claim_to_send(LoyaltyOperation.objects.select_related("location").get(pk=operation.pk))
    assert sender is not None
    is_read = threading.Event()

    def after_the_read(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        result = execute(sql, params, many, context)
        if sql.startswith("SELECT") and "loyaltyoperation" in sql and not is_read.is_set():
            is_read.set()
            assert elsewhere(lambda: sender.mark_sent(Decimal(0))) == [True]
            world.salon.ledger.withdraw(world.visit, world.salon.card, 100, by="api")
            world.clock.passed += LEASE + 1
        return result

    with connection.execute_wrapper(after_the_read):
        delivery.deliver(operation.pk)
    world.pass_time_until_settled()
    world.check()


def test_clock_put_forward_during_a_call__proves_nothing(world: World) -> None:
    """The lease seems over and the time to settle too, but the first worker's request is still on its way."""
    world.arm(MID_REQUEST, FORWARD)
    tasks.deliver_operation(world.ask().pk)
    world.heal()
    world.pass_time_until_settled()
    world.check()
    assert world.salon.posts() == 1


def test_look_up_that_began_before_the_time_to_settle__proves_nothing(world: World) -> None:
    """It shows the visit as it was when it was asked, however late the answer is read."""
    patience = {"READ_TIMEOUT": 30, "TOTAL_TIMEOUT": 50}
    world.salon.configure(LEASE_SECONDS=LEASE, SETTLE_SECONDS=SETTLE, RETRY_WINDOW=36_000, **patience)
    world.salon.fail("cut_before", path="POST", times=1)
    tasks.deliver_operation(world.ask().pk)
    world.clock.passed += SETTLE - 15
    answer = world.salon.sandbox.api.answer

    def slow_answer(request: Any) -> Any:
        result = answer(request)
        world.clock.passed += 20
        return result

    with mock.patch.object(world.salon.sandbox.api, "answer", slow_answer):
        delivery.run_due()
    assert LoyaltyOperation.objects.get().status == "unconfirmed"
    world.pass_time_until_settled()
    world.check()


def test_suspended_between_the_head_and_the_body__sends_no_body(world: World) -> None:
    """A request leaves in two pieces; one whose second piece would come after the lease is never completed."""
    send = HTTPConnection.send
    paused = threading.Event()

    def pausing_send(self: Any, data: Any) -> None:
        send(self, data)
        if bytes(data[:4]) == b"POST" and not paused.is_set():
            paused.set()
            world.clock.passed += LEASE + 1
            elsewhere(delivery.run_due)
            world.clock.passed += SETTLE + 1
            elsewhere(delivery.run_due)

    with mock.patch.object(HTTPConnection, "send", pausing_send):
        tasks.deliver_operation(world.ask().pk)
    world.heal()
    time.sleep(0.05)
    world.pass_time_until_settled()
    world.check()


def test_machine_asleep_after_the_mark__sends_nothing_when_it_wakes(world: World) -> None:
    """The monotonic clock stands still meanwhile; others took over, waited until absence was a proof, and sent."""

    def sleep() -> None:
        for _ in range(3):
            world.clock.set_by += LEASE + SETTLE
            elsewhere(delivery.run_due)

    world.point, world.strike = AFTER_MARK, sleep
    tasks.deliver_operation(world.ask().pk)
    world.pass_time_until_settled()
    world.check()
    assert world.salon.posts() == 1


def test_worker_that_died_before_the_mark__explains_no_click(world: World) -> None:
    """Nothing of ours ever left, so what the visit shows later is somebody else's, and is not called ours."""
    world.arm(AFTER_LOOK, EXCEPTION)
    with contextlib.suppress(Struck):
        tasks.deliver_operation(world.ask().pk)
    world.heal()
    world.salon.ledger.withdraw(world.visit, world.salon.card, 7)
    world.pass_time_until_settled()
    operation = LoyaltyOperation.objects.get()
    assert (operation.status, operation.ending) == ("rejected", "already_there")
    assert world.salon.posts() == 0


def test_committing_is_certain(world: World) -> None:
    """The demo site's databases keep what they confirmed, even if the machine loses its power the next moment."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            from project.settings import database_from

            assert "synchronous=FULL" in database_from("sqlite:////tmp/x")["OPTIONS"]["init_command"]
        elif connection.vendor == "postgresql":
            cursor.execute("SHOW synchronous_commit")
            assert cursor.fetchone()[0] != "off"
        else:
            cursor.execute("SELECT @@innodb_flush_log_at_trx_commit")
            assert cursor.fetchone()[0] == 1
    assert database.alias() == "default"
