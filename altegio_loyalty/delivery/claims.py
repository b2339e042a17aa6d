"""Who may work on an operation. A claim is a conditional update with a lease and a fencing number, never a lock."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any

from django.db import DatabaseError, InterfaceError
from django.db.models import Q
from django.utils import timezone

from altegio_loyalty import database, exceptions, policy, signals, watch
from altegio_loyalty.client import Reply, VisitDetails
from altegio_loyalty.conf import get_settings
from altegio_loyalty.delivery import transitions
from altegio_loyalty.delivery.drift import close_agreed, end_applies
from altegio_loyalty.models import LoyaltyOperation, OperationAttempt
from altegio_loyalty.redaction import within
from altegio_loyalty.states import CallOutcome, Ending, Purpose, Status

logger = logging.getLogger(__name__)

#: Seconds between the tries to write a result down: a database that is back soon takes no answer away.
PAUSES: tuple[float, ...] = (0.1, 0.4, 1.0, 2.0, 4.0)
_FAILURES = (DatabaseError, InterfaceError, UnicodeError)


@dataclass
class Claim:
    """The right to work on an operation until the lease ends, and the calls made under it, written with their result."""

    operation: LoyaltyOperation
    began: float = field(default_factory=time.monotonic)
    lease: float = field(default_factory=lambda: get_settings().LEASE_SECONDS)
    calls: list[OperationAttempt] = field(default_factory=list)
    #: What the last look showed.
    shown: VisitDetails | None = None

    def call(self, purpose: str, ask: Callable[[], Reply], address: tuple[str, str] = ("", "")) -> Reply:
        """Make the call and keep a row of it, whatever comes. Raises what `ask` raises."""
        row = OperationAttempt(operation_id=self.operation.pk, purpose=purpose, started_at=timezone.now())
        row.method, row.path = address
        began = time.monotonic()
        try:
            reply = ask()
        except exceptions.ApiError as error:
            row.outcome = _outcome_of(purpose, policy.meaning_of_send(error))
            row.http_status, row.answer = error.http_status, error.body
            row.error = policy.reason_of(error).stored()
            raise
        else:
            row.outcome = CallOutcome.OK
            row.http_status, row.answer = reply.answer.http_status, reply.answer.text
            return reply
        finally:
            row.duration_ms = int((time.monotonic() - began) * 1000)
            self.calls.append(row)

    def seconds_left(self) -> float:
        """Seconds until others may take this worker for dead, by the clock that leaves fewer.

        They go by the row and the clock on the wall. That one may be set; the other stands still while a machine sleeps.
        """
        assert self.operation.next_attempt_at is not None
        by_the_row = (self.operation.next_attempt_at - timezone.now()).total_seconds()
        return min(by_the_row, self.began + self.lease - time.monotonic())

    def mark_sent(self, seen_before: Decimal) -> bool:
        """Commit that the POST leaves now. False where the claim is lost or everything is held: then nothing may be sent."""
        now = timezone.now()
        if self.seconds_left() <= 0:
            return False
        columns = transitions.marked(now, seen_before)
        return database.change(self.operation, columns, only_if=Q(~watch.IS_HELD, next_attempt_at__gt=now))

    def record(self, **columns: Any) -> bool:
        """Commit the result and the calls made. False where the claim was lost meanwhile; the calls are kept even then.

        Where the database fails, it is tried again, on a new connection, for a while and not beyond the lease; then the
        last of its errors is raised. A text that it does not hold is written with question marks.
        """
        recorded = self._write(columns)
        if recorded:
            end_applies(self.operation)
            may_agree = getattr(self.operation.visit, "has_items", True)  # where that was not asked
            if self.shown and may_agree and not self.operation.is_open:
                began = self.calls[0].started_at
                close_agreed(self.operation.visit_id, self.shown, began, self.operation.pk)
            announce(self.operation)
        else:
            self.operation.refresh_from_db(using=database.alias())
        return recorded

    def _write(self, columns: transitions.Columns) -> bool:
        try:
            return database.change(self.operation, columns, calls=self.calls)
        except _FAILURES as error:
            failure: Exception = error
        charsets = iter(database.OLD_CHARSETS)
        for pause in PAUSES:
            if self.seconds_left() <= pause:
                break
            # Not its words: a database may quote the whole row there.
            why = type(failure).__name__
            text = "The result of operation %s is written once more: %s"
            logger.warning(text, self.operation.pk, why, extra=self.operation.log_fields)
            if database.is_about_text(failure):
                columns = self._within(columns, next(charsets, database.OLD_CHARSETS[-1]))
            time.sleep(pause)
            database.reconnect()
            try:
                if database.was_committed(self.operation, columns):
                    return True
                for row in self.calls:
                    row.pk = None  # of the try that was rolled back
                return database.change(self.operation, columns, calls=self.calls)
            except _FAILURES as error:
                failure = error
        raise failure

    def _within(self, columns: transitions.Columns, last_character: str) -> transitions.Columns:
        for row in self.calls:
            row.error, row.answer = within(row.error, last_character), within(row.answer, last_character)
        return {
            name: within(value, last_character) if isinstance(value, str) else value
            for name, value in columns.items()
        }


def _outcome_of(purpose: str, meaning: policy.Meaning) -> CallOutcome:
    if meaning in (policy.Meaning.REFUSED, policy.Meaning.TOKENS_REFUSED):
        return CallOutcome.REFUSED
    if purpose != Purpose.SEND:
        return CallOutcome.NOT_READ  # a read that failed leaves nothing unknown but what it would have shown
    return CallOutcome.NOT_DONE if meaning is policy.Meaning.NOT_DONE else CallOutcome.UNKNOWN


def _claim(claimed: Callable[..., transitions.Columns], operation: LoyaltyOperation) -> Claim | None:
    began = time.monotonic()  # before the lease is set: a slow commit must not lengthen it here
    return Claim(operation, began) if database.change(operation, claimed(operation, timezone.now())) else None


#: Claim a pending operation, or a look-up of one in doubt; None where somebody else was first.
claim_to_send = partial(_claim, transitions.claimed_to_send)
claim_to_look = partial(_claim, transitions.claimed_to_look)


def announce(operation: LoyaltyOperation) -> None:
    """Tell the host site. Call after the commit; a receiver that raises is logged by Django and disturbs nothing."""
    if signal := signals.OF_STATE.get(operation.status):
        signal.send_robust(LoyaltyOperation, operation=operation)
    first_doubt = operation.status == Status.UNCONFIRMED and operation.lookup_count == 0
    is_decided = operation.ending == Ending.DECIDED_DID_NOT_HAPPEN
    given_up = operation.status == Status.FAILED and not is_decided
    if first_doubt or given_up or (operation.discrepancy and not operation.is_open):
        signals.operation_needs_attention.send_robust(LoyaltyOperation, operation=operation)
