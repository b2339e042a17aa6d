"""The sweep: fair, careful in an outage, and not stopped by one bad row."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError, connection

from altegio_loyalty import delivery
from altegio_loyalty.models import LoyaltyOperation
from tests.delivery.salon import Salon, Status

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
