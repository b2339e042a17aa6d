"""Real Celery workers on real brokers: the doorbell rings, may be lost, and who answers it may be killed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction

from altegio_loyalty.models import LoyaltyOperation
from altegio_loyalty.tasks import retry_due_operations
from tests.delivery.salon import WITHDRAWAL, Salon, Status

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]


#: How long anything may take that happens by itself; no test waits for so long unless it fails.
PATIENCE = 100
#: Where nobody makes good what came to nothing, an answer must not be too slow for a worker only since the machine is.
PATIENT = {"CONNECT_TIMEOUT": 60, "READ_TIMEOUT": 200, "TOTAL_TIMEOUT": 250, "LEASE_SECONDS": 700}


def wait_until(
    is_so: Callable[[LoyaltyOperation], bool], operation: LoyaltyOperation, broker: Any, *, beat: bool = False
) -> None:
    """Wait until that is so of the operation; with `beat`, ask for a sweep every third of a second, as beat would."""
    ends_at = time.monotonic() + PATIENCE
    while time.monotonic() < ends_at:
        operation.refresh_from_db()
        if is_so(operation):
            return
        if beat:
            retry_due_operations.apply_async(expires=PATIENCE)
        time.sleep(0.3 if beat else 0.05)
    raise AssertionError(
        f"Still {operation.status} ({operation.last_error}). The worker said:\n{broker.said()}"
    )


def wait_until_finished(operation: LoyaltyOperation, broker: Any, *, beat: bool = False) -> None:
    wait_until(lambda operation: not operation.is_open, operation, broker, beat=beat)


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_on_commit__a_worker_delivers(
    salon: Salon, broker: Any, start_worker: Callable[..., Any], pool: str
) -> None:
    """The commit rings, and a worker elsewhere does it, without any sweep."""
    salon.configure(**PATIENT)
    start_worker(f"--pool={pool}", "--concurrency=2")
    visits = [salon.visit() for _ in range(5)]
    with transaction.atomic():
        operations = [salon.later(visit) for visit in visits]
    for operation, visit in zip(operations, visits, strict=True):
        wait_until_finished(operation, broker)
        assert operation.status == Status.SUCCEEDED
        assert len(salon.effects(WITHDRAWAL, visit)) == 1
    salon.assert_nothing_is_told_wrongly()


def test_altegio_stopped_and_started_again__the_work_finishes_by_itself(
    salon: Salon, broker: Any, start_worker: Callable[..., Any]
) -> None:
    """Nobody does anything but beat."""
    salon.configure(MAX_ATTEMPTS=0)
    start_worker("--pool=prefork", "--concurrency=2")
    visit = salon.visit()
    salon.sandbox.stop()
    operation = salon.withdraw(visit)
    assert operation.status == Status.PENDING
    wait_until(lambda operation: operation.attempt_count >= 3, operation, broker, beat=True)
    salon.sandbox.start()
    wait_until_finished(operation, broker, beat=True)
    assert operation.status == Status.SUCCEEDED
    assert len(salon.effects(WITHDRAWAL, visit)) == 1


def test_worker_killed_after_the_effect__another_finds_it(
    salon: Salon, broker: Any, start_worker: Callable[..., Any]
) -> None:
    """kill -9 between the effect and the answer; a new worker's sweep ends it after the lease."""
    salon.configure(**PATIENT, SETTLE_SECONDS=1)
    visit = salon.visit()
    salon.sandbox.fail("hang_after", path="apply_card_withdrawal", times=1, seconds=600)
    worker = start_worker("--pool=prefork", "--concurrency=2")
    operation = salon.later(visit)
    wait_until(lambda _: bool(salon.sandbox.effects), operation, broker)
    broker.kill(worker)
    salon.sandbox.heal()
    assert salon.age(operation, 1000).status == Status.SENDING
    start_worker("--pool=prefork", "--concurrency=2")
    wait_until_finished(operation, broker, beat=True)
    assert operation.status == Status.SUCCEEDED
    assert len(salon.effects(WITHDRAWAL, visit)) == salon.posts(visit) == 1
    salon.assert_nothing_is_told_wrongly()
