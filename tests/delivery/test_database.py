"""One door for writing an operation: the object, the report and the signal never say more than the row does."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
from django.core.exceptions import ValidationError
from django.db import OperationalError, transaction

from altegio_loyalty import database, delivery, services, signals
from altegio_loyalty.delivery import transitions
from altegio_loyalty.delivery.claims import claim_to_look, claim_to_send
from altegio_loyalty.delivery.doubt import look_up
from altegio_loyalty.delivery.sending import send
from altegio_loyalty.exceptions import TransactionOpen
from altegio_loyalty.models import Location, LoyaltyOperation, OperationAttempt
from tests.delivery.salon import CANCEL, Ending, Salon, Status

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
    columns = transitions.stopped(operation, operation.created_at)
    with failing_commit_of_the_result(), pytest.raises(OperationalError):
        database.change(operation, columns, attempts=[OperationAttempt(operation=operation)])
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


@pytest.fixture
def lagging(salon: Salon) -> Salon:
    stored = Location.objects.values().get()
    Location.objects.using("second").bulk_create([Location(**stored)])
    salon.settings.DATABASE_ROUTERS = ["tests.delivery.test_database.LaggingReplica"]
    return salon


with_a_replica = pytest.mark.django_db(transaction=True, databases=["default", "second"])


@with_a_replica
def test_replica_that_lags__decides_nothing(lagging: Salon) -> None:
    """What is there, due, in force, or asked for before is read where it is written."""
    salon, visit = lagging, lagging.visit()
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


@with_a_replica
def test_replica_that_lags__sends_nothing_for_a_location_that_was_switched_off(lagging: Salon) -> None:
    """Who switched it off need not wait for the replica to know."""
    Location.objects.using("default").update(is_active=False)
    with pytest.raises(ValidationError, match="switched off"):
        lagging.withdraw()
    assert lagging.sandbox.requests == []


@with_a_replica
def test_replica_that_lags__takes_no_late_effect_for_anothers(lagging: Salon) -> None:
    """Which cancel came after the unanswered call is read where the calls were written."""
    salon, visit = lagging, lagging.visit()
    salon.withdraw(visit)
    salon.ask(CANCEL, visit)
    salon.withdraw(visit)
    salon.fail("cut_before", path="cancel_card_withdrawal", times=1)
    in_doubt = services.settle_operation(salon.ask(CANCEL, visit), happened=False, reason="Still there.")
    salon.ledger.cancel_withdrawal(visit, salon.card, by="api")
    services.retry_operation(in_doubt)
    delivery.run_due()
    in_doubt.refresh_from_db(using="default")
    assert (in_doubt.status, in_doubt.ending) == (Status.SUCCEEDED, Ending.FOUND)


@with_a_replica
@pytest.mark.parametrize("step", ["mark", "record"])
def test_replica_that_lags__does_not_say_what_became_of_a_lost_claim(lagging: Salon, step: str) -> None:
    """Who was stopped while it worked shows what the row says where it is written; the replica has no such row."""
    salon = lagging
    if step == "record":
        salon.fail("cut_before", path="apply_card_withdrawal", times=1)
    operation = salon.withdraw() if step == "record" else salon.later()
    there = LoyaltyOperation.objects.using("default").select_related("location").get(pk=operation.pk)
    claim = claim_to_look(there) if step == "record" else claim_to_send(there)
    assert claim is not None
    LoyaltyOperation.objects.using("default").update(fence=9, last_error="taken over")
    (look_up if step == "record" else send)(claim, for_person=False)
    assert claim.operation.last_error == "taken over"
