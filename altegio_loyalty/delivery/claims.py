"""Who may work on an operation. A claim is a conditional update with a lease and a fencing number, never a lock."""

from __future__ import annotations

import contextlib
import datetime
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db import models, router, transaction
from django.utils import timezone

from altegio_loyalty import exceptions, signals
from altegio_loyalty.conf import get_settings
from altegio_loyalty.gateway import AttemptLog
from altegio_loyalty.models import LoyaltyOperation, OperationAttempt
from altegio_loyalty.states import Ending, Status


def database() -> str:
    """The alias of the database that the log lives in."""
    return router.db_for_write(LoyaltyOperation)


@contextlib.contextmanager
def committed() -> Iterator[None]:
    """A transaction that is committed at the end of the block, for certain.

    Raises `exceptions.TransactionOpen` inside another one, where the end of the block commits nothing.
    """
    using = database()
    refuse_open_transaction(using)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(transaction.atomic(using=using, durable=True))
        except RuntimeError:
            raise exceptions.TransactionOpen from None
        yield


def refuse_open_transaction(using: str) -> None:
    """Raises `exceptions.TransactionOpen` where autocommit is off, so that nothing is committed until the caller does."""
    connection = transaction.get_connection(using)
    if not connection.in_atomic_block and not connection.get_autocommit():
        raise exceptions.TransactionOpen


@dataclass
class Claim:
    """The right to work on an operation until the lease ends, and the log of the calls made under it."""

    operation: LoyaltyOperation
    began: float = field(default_factory=time.monotonic)
    lease: float = field(default_factory=lambda: get_settings().LEASE_SECONDS)
    log: AttemptLog = field(init=False)

    def __post_init__(self) -> None:
        self.log = AttemptLog(self.operation.pk)

    def seconds_left(self) -> float:
        """Seconds until others may take this worker for dead, by the clock that leaves fewer.

        They go by the row and the clock on the wall. That one may be set; the other stands still while a machine sleeps.
        """
        assert self.operation.next_attempt_at is not None
        by_the_row = (self.operation.next_attempt_at - timezone.now()).total_seconds()
        return min(by_the_row, self.began + self.lease - time.monotonic())

    def _row(self) -> models.QuerySet[LoyaltyOperation]:
        return LoyaltyOperation.objects.using(database()).held_by(self.operation)

    def mark_sent(self, seen_before: Any) -> bool:
        """Commit that the POST leaves now. False where the claim is lost: then nothing may be sent."""
        now = timezone.now()
        if self.seconds_left() <= 0:
            return False
        with committed():
            marked = self._row().filter(next_attempt_at__gt=now).update(sent_at=now, seen_before=seen_before)
        self.operation.sent_at, self.operation.seen_before = now, seen_before
        return bool(marked)

    def record(self, **columns: Any) -> bool:
        """Commit the result and the calls made. False where the claim was lost meanwhile; the calls are kept even then."""
        with committed():
            recorded = bool(self._row().update(**columns))
            OperationAttempt.objects.using(database()).bulk_create(self.log.rows)
        if recorded:
            for name, value in columns.items():
                setattr(self.operation, name, value)
            announce(self.operation)
        else:
            self.operation.refresh_from_db()
        return recorded


def lease_end(now: datetime.datetime) -> datetime.datetime:
    return now + datetime.timedelta(seconds=get_settings().LEASE_SECONDS)


def claim_columns(operation: LoyaltyOperation, now: datetime.datetime) -> dict[str, Any]:
    """What a row being sent looks like; a new operation can be inserted so, which saves the update."""
    return {
        "status": Status.SENDING,
        "fence": operation.fence + 1,
        "attempt_count": operation.attempt_count + 1,
        "next_attempt_at": lease_end(now),
        "sent_at": None,
        "seen_before": None,
    }


def claim_to_send(operation: LoyaltyOperation) -> Claim | None:
    """Claim a pending operation; None where somebody else was first."""
    return _claim(operation, claim_columns(operation, timezone.now()))


def claim_to_look(operation: LoyaltyOperation) -> Claim | None:
    """Claim a look-up of an operation in doubt; None where somebody else was first. The doubt outlives a crash."""
    columns = {
        "fence": operation.fence + 1,
        "lookup_count": operation.lookup_count + 1,
        "next_attempt_at": lease_end(timezone.now()),
    }
    return _claim(operation, columns)


def _claim(operation: LoyaltyOperation, columns: dict[str, Any]) -> Claim | None:
    began = time.monotonic()
    with committed():
        row = LoyaltyOperation.objects.using(database()).held_by(operation)
        if not row.update(**columns):
            return None
    for name, value in columns.items():
        setattr(operation, name, value)
    return Claim(operation, began)


_SIGNALS = {
    Status.SUCCEEDED: signals.operation_succeeded,
    Status.REJECTED: signals.operation_rejected,
    Status.FAILED: signals.operation_failed,
    Status.ABANDONED: signals.operation_abandoned,
}


def announce(operation: LoyaltyOperation) -> None:
    """Tell the host site. Call after the commit; a receiver that raises is logged by Django and disturbs nothing."""
    if signal := _SIGNALS.get(Status(operation.status)):
        signal.send_robust(LoyaltyOperation, operation=operation)
    first_doubt = operation.status == Status.UNCONFIRMED and operation.lookup_count == 0
    is_decided = operation.ending == Ending.DECIDED_DID_NOT_HAPPEN
    given_up = operation.status == Status.FAILED and not is_decided
    if first_doubt or given_up or (operation.discrepancy and not operation.is_open):
        signals.operation_needs_attention.send_robust(LoyaltyOperation, operation=operation)
