"""Rule 9: the broker is only a doorbell. The tasks carry a number, and the database decides."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest
from celery import Celery, current_app
from celery.app import app_or_default
from celery.signals import before_task_publish

from altegio_loyalty import tasks
from altegio_loyalty.models import Location
from altegio_loyalty.sandbox import FAULTS
from tests.delivery.conftest import salon
from tests.delivery.salon import WITHDRAWAL, Salon, Status

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


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_tasks__never_raise(salon: Salon, fault: str) -> None:
    """No answer whatever raises out of a task."""
    operation = salon.later()
    salon.fail(fault)
    tasks.deliver_operation(operation.pk)
    tasks.retry_due_operations()
    tasks.deliver_operation(operation.pk)


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
    before, app = app_or_default(), Celery("elsewhere")
    app.set_current()
    began = time.monotonic()
    try:
        tasks.ring(1)
    finally:
        before.set_current()
        app.close()
    assert time.monotonic() - began < 5
    assert tasks._broker.silent_until
