"""Rule 9: the broker is only a doorbell. The tasks carry a number, and the database decides."""

from __future__ import annotations

import contextlib
import socket
import uuid
from typing import Any
from unittest import mock

import pytest
from celery import Celery, current_app
from celery.app import app_or_default
from celery.signals import before_task_publish
from django.db import DatabaseError, InterfaceError, transaction

from altegio_loyalty import database, delivery, services, tasks
from altegio_loyalty.models import Location, Visit
from altegio_loyalty.sandbox import FAULTS
from tests.delivery.conftest import salon
from tests.delivery.salon import REFUSED, WITHDRAWAL, Salon, Status
from tests.delivery.test_recording import end_this_connection

__all__ = ["salon"]
pytestmark = pytest.mark.django_db


def test_names__are_the_pinned_ones() -> None:
    """Beat's entry and messages in flight refer to them."""
    assert tasks.retry_due_operations.name == "altegio_loyalty.tasks.retry_due_operations"
    assert tasks.deliver_operation.name == "altegio_loyalty.tasks.deliver_operation"
    assert {tasks.retry_due_operations.name, tasks.deliver_operation.name} <= set(current_app.tasks)


def test_message__holds_a_number_and_nothing_else() -> None:
    """Whoever reads the broker learns nothing about anybody."""
    sent: list[Any] = []

    def note(body: Any = None, headers: Any = None, **kwargs: Any) -> None:
        sent.append((body[0], body[1], headers["argsrepr"], headers["kwargsrepr"]))

    before_task_publish.connect(note)
    try:
        tasks.ring(4711)
    finally:
        before_task_publish.disconnect(note)
    assert sent == [((4711,), {}, "(4711,)", "{}")]


@pytest.mark.parametrize("task", [tasks.retry_due_operations, tasks.deliver_operation])
def test_tasks__leave_retries_to_the_database(task: Any) -> None:
    """One layer retries (rule 7), and nobody reads a result."""
    assert not getattr(task, "autoretry_for", ())
    assert task.ignore_result


def test_deliver_operation__sends_what_is_due(salon: Salon) -> None:
    """One operation, one step."""
    visit = salon.visit()
    operation = salon.later(visit)
    tasks.deliver_operation(operation.pk)
    operation.refresh_from_db()
    assert operation.status == Status.SUCCEEDED
    assert len(salon.effects(WITHDRAWAL, visit)) == 1


def test_deliver_operation__of_a_row_that_is_not_there(salon: Salon) -> None:
    """Rolled back, deleted, of another database: nothing to do."""
    tasks.deliver_operation(4711)
    assert salon.sandbox.requests == []


def test_retry_due_operations__finishes_what_waits_and_what_is_in_doubt(salon: Salon) -> None:
    """The one entry for beat is enough, with no message ever delivered."""
    doubted, waiting = salon.visit(), salon.visit()
    salon.fail("cut_after", path="apply_card_withdrawal", times=1)
    salon.withdraw(doubted)
    salon.later(waiting)
    tasks.retry_due_operations()
    tasks.retry_due_operations()
    assert len(salon.effects(WITHDRAWAL, doubted)) == len(salon.effects(WITHDRAWAL, waiting)) == 1
    salon.assert_nothing_is_told_wrongly()


@pytest.mark.parametrize("fault", [*sorted(FAULTS), REFUSED])
def test_tasks__never_raise(salon: Salon, fault: str) -> None:
    """No answer whatever raises out of a task."""
    operation = salon.later()
    salon.fail(fault)
    tasks.deliver_operation(operation.pk)
    tasks.retry_due_operations()
    tasks.deliver_operation(operation.pk)


@pytest.mark.postgres
@pytest.mark.mariadb
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("task", ["deliver_operation", "retry_due_operations"])
def test_database_that_was_restarted__costs_one_task_and_not_all(salon: Salon, task: str) -> None:
    """A worker with CELERY_DB_REUSE_MAX keeps its connection from task to task."""
    operation = salon.later()
    run = {"deliver_operation": lambda: tasks.deliver_operation(operation.pk)}.get(
        task, tasks.retry_due_operations
    )
    end_this_connection()
    with contextlib.suppress(DatabaseError, InterfaceError):
        run()
    run()
    operation.refresh_from_db()
    assert operation.status == Status.SUCCEEDED


@pytest.mark.django_db(transaction=True)
def test_a_transaction_of_the_caller__is_left_alone(salon: Salon) -> None:
    """Neither a block nor one that was begun by hand is closed as a connection that is too old."""
    with transaction.atomic():
        visit = Visit.objects.create(id=1, location=salon.location, record_id=1)
        database.drop_old_connection()
    transaction.set_autocommit(False)
    try:
        Visit.objects.update(record_id=2)
        database.drop_old_connection()
        transaction.commit()
    finally:
        transaction.set_autocommit(True)
    visit.refresh_from_db()
    assert visit.record_id == 2


def seconds_of_sweeps(monkeypatch: pytest.MonkeyPatch, *, is_cut_short: bool = False) -> list[float]:
    """For how long each sweep is asked to run from here on."""
    asked: list[float] = []

    def run_due(seconds: float) -> delivery.Report:
        asked.append(seconds)
        return delivery.Report(is_cut_short=is_cut_short)

    monkeypatch.setattr(delivery, "run_due", run_due)
    return asked


@pytest.mark.parametrize("is_cut_short", [True, False])
def test_sweep_whose_time_is_over__is_asked_for_again_at_once(
    monkeypatch: pytest.MonkeyPatch, is_cut_short: bool
) -> None:
    """The budget of the seconds until beat's next stroke is not lost; where nothing is left, nobody is asked."""
    seconds_of_sweeps(monkeypatch, is_cut_short=is_cut_short)
    published: list[Any] = []
    monkeypatch.setattr(tasks, "_publish", lambda *task: published.append(task))
    tasks.retry_due_operations()
    assert published == [(tasks.retry_due_operations,)] * is_cut_short


def end_of_a_sweep(monkeypatch: pytest.MonkeyPatch) -> float:
    asked = seconds_of_sweeps(monkeypatch)
    tasks.retry_due_operations()
    return asked[0]


def test_sweep__ends_before_the_time_limits_of_its_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that is cut leaves an operation in doubt until its lease ends."""
    assert end_of_a_sweep(monkeypatch) == 50
    monkeypatch.setitem(current_app.conf, "task_time_limit", 600)
    assert end_of_a_sweep(monkeypatch) == 50
    monkeypatch.setitem(current_app.conf, "task_time_limit", 60)
    assert end_of_a_sweep(monkeypatch) == 30
    monkeypatch.setitem(current_app.conf, "task_soft_time_limit", 40)
    assert end_of_a_sweep(monkeypatch) == 20
    monkeypatch.setattr(tasks.retry_due_operations, "soft_time_limit", 50, raising=False)
    assert end_of_a_sweep(monkeypatch) == 25


def test_sweep__knows_the_limits_of_its_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """As beat's entry sets them in its options."""
    asked = seconds_of_sweeps(monkeypatch)
    task: Any = tasks.retry_due_operations
    task.push_request(timelimit=[20, 10])
    try:
        tasks.retry_due_operations.run()
    finally:
        tasks.retry_due_operations.pop_request()
    assert asked == [5]


def test_run_due__for_less_than_a_sweep(salon: Salon) -> None:
    """With no seconds at all it still makes one step, so that the backlog ends."""
    operations = [salon.later() for _ in range(3)]
    report = delivery.run_due(0)
    assert (len(report.state_of), report.is_cut_short) == (1, True)
    assert delivery.run_due(1000).is_cut_short is False
    assert salon.posts() == len(operations)


@pytest.mark.django_db(transaction=True)
def test_batch_where_tasks_are_eager__is_not_sent_inside_the_request(
    salon: Salon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page of the batch takes it further; one operation alone is sent as before."""
    monkeypatch.setitem(current_app.conf, "task_always_eager", True)
    for _ in range(3):
        there = salon.where(salon.visit())
        services.request_in_batch(WITHDRAWAL, salon.location, batch=uuid.uuid4(), amount=1, **there)
    assert salon.sandbox.requests == []
    salon.later()
    assert salon.posts() == 1


def test_ring__without_a_broker_in_the_settings__does_nothing(salon: Salon) -> None:
    """A site on cron has no worker to ask."""
    Location.objects.update(refused_at=None)
    tasks.ring(salon.later().pk)


@pytest.mark.parametrize("scheme", ["amqp", "redis"])
def test_ring__with_a_broker_that_is_not_there__keeps_nobody_waiting(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With Celery's own defaults too, which would try to connect for six seconds while a person waits."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("CELERY_BROKER_URL", f"{scheme}://127.0.0.1:{port}/")
    waits = mock.Mock()
    monkeypatch.setattr("kombu.utils.functional.sleep", waits)
    before, app = app_or_default(), Celery("elsewhere")
    app.set_current()
    try:
        tasks.ring(1)
    finally:
        before.set_current()
        app.close()
    waits.assert_not_called()
    assert tasks._broker.silent_until
