"""One door for writing an operation: the object, the report and the signal never say more than the row does."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
from django.db import OperationalError, transaction

from altegio_loyalty import database, delivery, signals
from altegio_loyalty.delivery import transitions
from altegio_loyalty.exceptions import TransactionOpen
from altegio_loyalty.models import Location, LoyaltyOperation, OperationAttempt
from tests.delivery.salon import CANCEL, Salon, Status

pytestmark = pytest.mark.django_db(transaction=True)


def failing_commit_of_the_result() -> Any:
    """The commit after the result was written is refused by the database."""
    change = database.change

    def fail(operation: LoyaltyOperation, columns: Any, **options: Any) -> bool:
        if "finished_at" not in columns:
            return change(operation, columns, **options)
        connection = transaction.get_connection(database.alias())
        with mock.patch.object(connection, "_commit", side_effect=OperationalError("disk full")):
            return change(operation, columns, **options)

    return mock.patch.object(database, "change", fail)


def test_commit_of_the_result_fails__object_report_and_signal_say_what_the_row_says(salon: Salon) -> None:
    """A sweep that reported "succeeded" over a row that says "sending" would deny a doubt."""
    operation, told = salon.later(), []

    def receive(operation: LoyaltyOperation, **kwargs: Any) -> None:
        told.append(operation)

    signals.operation_succeeded.connect(receive)
    try:
        with failing_commit_of_the_result():
            report = salon.sweep()
    finally:
        signals.operation_succeeded.disconnect(receive)
    row = LoyaltyOperation.objects.get(pk=operation.pk)
    assert row.status == Status.SENDING
    assert report.state_of == {operation.pk: Status.SENDING}
    assert told == []
    assert not row.attempts.exists()


def test_change_whose_commit_fails__leaves_the_object_as_it_was(salon: Salon) -> None:
    """It bears the new values only once they are committed."""
    operation = salon.later()
    before = {**vars(operation)}
    with failing_commit_of_the_result(), pytest.raises(OperationalError):
        database.change(operation, transitions.stopped(operation, operation.created_at))
    assert vars(operation) == before


def test_change_of_a_row_that_somebody_else_changed__writes_nothing_but_the_calls(salon: Salon) -> None:
    """The calls were made; a decision that changed nothing was not."""
    operation = salon.later()
    LoyaltyOperation.objects.update(fence=7)
    call, decision = (
        OperationAttempt(operation=operation, purpose=purpose) for purpose in ("send", "decision")
    )
    columns = transitions.stopped(operation, operation.created_at)
    assert database.change(operation, columns, calls=[call], attempts=[decision]) is False
    assert operation.status == Status.PENDING
    assert [row.purpose for row in operation.attempts.all()] == ["send"]


def test_change_inside_a_transaction__is_refused(salon: Salon) -> None:
    """The end of the block would commit nothing."""
    operation = salon.later()
    with transaction.atomic(), pytest.raises(TransactionOpen):
        database.change(operation, {"fence": 9})


class LaggingReplica:
    """Reads go to a replica that knows the location and nothing that came after it."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "second" if model._meta.app_label == "altegio_loyalty" else None

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return "default" if model._meta.app_label == "altegio_loyalty" else None

    def allow_relation(self, first: Any, second: Any, **hints: Any) -> bool:
        return True


@pytest.mark.django_db(transaction=True, databases=["default", "second"])
def test_replica_that_lags__decides_nothing(salon: Salon) -> None:
    """What is there, due, in force, or asked for before is read where it is written."""
    stored = Location.objects.values().get()
    Location.objects.using("second").bulk_create([Location(**stored)])
    salon.settings.DATABASE_ROUTERS = ["tests.delivery.test_database.LaggingReplica"]
    visit = salon.visit()
    operation = salon.later(visit, idempotency_key="once")
    assert salon.later(visit, idempotency_key="once") == operation
    delivery.deliver(operation.pk)
    assert salon.posts() == 1
    salon.fail("cut_after", path="cancel_card_withdrawal", times=1)
    cancel = salon.ask(CANCEL, visit)
    assert cancel.cancels == operation
    delivery.run_due()
    statuses = LoyaltyOperation.objects.using("default").order_by("pk").values_list("status", flat=True)
    assert list(statuses) == [Status.SUCCEEDED, Status.SUCCEEDED]
    assert not LoyaltyOperation.objects.using("second").exists()
