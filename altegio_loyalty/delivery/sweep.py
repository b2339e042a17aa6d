"""Run what is due: one operation, or everything, fairly across the locations and no longer than it makes sense."""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from django.db import DatabaseError, InterfaceError
from django.utils import timezone

from altegio_loyalty import database, exceptions, kinds, policy, watch
from altegio_loyalty.conf import get_settings
from altegio_loyalty.delivery import transitions
from altegio_loyalty.delivery.claims import announce, claim_to_look, claim_to_send
from altegio_loyalty.delivery.doubt import look_up, recover, send_and_look_up
from altegio_loyalty.models import LoyaltyOperation
from altegio_loyalty.querysets import is_over
from altegio_loyalty.states import Status
from altegio_loyalty.texts import renamed

logger = logging.getLogger(__name__)

#: So many failures of Altegio in a row, on different operations, are taken for an outage.
OUTAGE_FAILURES = 3


def deliver(operation_id: int, *, for_person: bool = False) -> LoyaltyOperation | None:
    """Do what is due for one operation: send it or look it up. Nothing where nothing is due; None where it is unknown.

    May be called any number of times, by any number of workers at once. API failures do not raise.
    """
    rows = database.operations().select_related("location")
    operation: LoyaltyOperation | None = rows.filter(pk=operation_id).first()
    if operation is None or not kinds.is_known(operation.kind):
        return operation
    if operation.status == Status.SENDING:
        is_lost = is_over(operation.next_attempt_at, timezone.now())
        if not (is_lost and recover(operation)):
            return operation
    if database.operations().due(timezone.now()).filter(pk=operation_id).exists():
        # Nobody waits for each of a hundred: the desk's share of the budget is not for batches.
        _work_on(operation, for_person=for_person and operation.batch is None)
    return operation


def _work_on(operation: LoyaltyOperation, *, for_person: bool = False) -> exceptions.ApiError | None:
    """Claim the operation and take it one step further; returns the failure of the call, if it failed."""
    if operation.status == Status.UNCONFIRMED:
        claim = claim_to_look(operation)
        return look_up(claim, for_person=for_person) if claim else None
    if _is_out_of_time(operation):
        _give_up(operation)
        return None
    claim = claim_to_send(operation)
    return send_and_look_up(claim, for_person=for_person) if claim else None


def _is_out_of_time(operation: LoyaltyOperation) -> bool:
    return operation.expires_at is not None and operation.expires_at <= timezone.now()


def _give_up(operation: LoyaltyOperation) -> bool:
    given_up = database.change(operation, transitions.out_of_time(operation, timezone.now()))
    if given_up:
        announce(operation)
    return given_up


@dataclass
class Report:
    """What a sweep did: the state in which it left each operation, and why it stopped early, if it did."""

    state_of: dict[int, str] = field(default_factory=dict)
    stopped: str = ""
    #: Only the time of one sweep was over: another one can go on at once.
    is_cut_short: bool = False

    @property
    def did(self) -> str:
        """How many operations it left in which state."""
        counted = sorted(Counter(self.state_of.values()).items())
        return ", ".join(f"{count} {state}" for state, count in counted)


class Sweep:
    """Runs what is due, pass by pass. In one pass an operation is sent at most once and looked up at most once."""

    def __init__(self, seconds: float) -> None:
        self._ends_at = time.monotonic() + seconds
        self._sent: set[int] = set()
        self._looked_up: set[int] = set()
        self._failures_in_a_row = 0
        self.report = Report()

    def run(self) -> Report:
        """Raises nothing that Altegio does; a database that fails does raise."""
        self._put_the_dead_in_doubt()
        self._give_up_the_late()
        while self._makes_progress() and not self.report.stopped:
            self._sent, self._looked_up = set(), set()
        return self.report

    def _makes_progress(self) -> bool:
        """One pass; whether anything changed its state, so that more may be due by now."""
        progress = False
        for operation in self._due_in_turn():
            before = operation.status
            error = self._take(operation)
            progress = progress or operation.status != before
            self.report.state_of[operation.pk] = operation.status
            if self._must_stop(error):
                break
        return progress

    def _put_the_dead_in_doubt(self) -> None:
        for operation in database.operations().lease_ran_out(timezone.now()).select_related("location"):
            recover(operation)

    def _give_up_the_late(self) -> None:
        for operation in database.operations().running_out(timezone.now()).select_related("location"):
            if not operation.location.is_working:
                database.change(operation, transitions.waits_for_location(timezone.now()))
            elif _give_up(operation):
                self.report.state_of[operation.pk] = operation.status

    def _due_in_turn(self) -> Iterator[LoyaltyOperation]:
        """One due operation of each location in turn, the longest waiting first, until none is left."""
        turns = list(
            database.operations()
            .due(timezone.now())
            .values_list("location_id", flat=True)
            .distinct()
            .order_by()
        )
        random.shuffle(turns)
        while turns:
            for location_id in list(turns):
                operation = self._next_of(location_id)
                if operation is None:
                    turns.remove(location_id)
                else:
                    yield operation

    def _next_of(self, location_id: int) -> LoyaltyOperation | None:
        due = database.operations().due(timezone.now()).filter(location_id=location_id)
        due = due.exclude(status=Status.PENDING, pk__in=self._sent)
        due = due.exclude(status=Status.UNCONFIRMED, pk__in=self._looked_up)
        return due.select_related("location").order_by("next_attempt_at", "pk").first()

    def _take(self, operation: LoyaltyOperation) -> exceptions.ApiError | None:
        done = self._looked_up if operation.status == Status.UNCONFIRMED else self._sent
        done.add(operation.pk)
        try:
            return _work_on(operation)
        except (DatabaseError, InterfaceError):
            # One bad row must not stop the others; a database that is gone stops the next query of the loop.
            text = "Operation %s could not be worked on; it is taken up again when its lease ends."
            logger.exception(text, operation.pk, extra=operation.log_fields)
            return None

    def _must_stop(self, error: exceptions.ApiError | None) -> bool:
        if isinstance(error, exceptions.RateLimited):
            self.report.stopped = "the budget of requests is used up"
        elif error is not None and policy.is_outage(error):
            self._failures_in_a_row += 1
            if self._failures_in_a_row >= OUTAGE_FAILURES:
                self.report.stopped = renamed("Altegio does not work at the moment")
        else:
            self._failures_in_a_row = 0
        if not self.report.stopped and time.monotonic() >= self._ends_at:
            self.report.stopped, self.report.is_cut_short = "the time of one sweep is over", True
        return bool(self.report.stopped)


def run_due(seconds: float | None = None) -> Report:
    """Run everything that is due now, for SWEEP_SECONDS at the most, or `seconds` if that is less."""
    database.drop_old_connection()
    longest = get_settings().SWEEP_SECONDS
    sweep = Sweep(longest if seconds is None else min(seconds, longest))
    started_at = timezone.now()
    try:
        report = sweep.run()
    finally:
        watch.note_sweep(started_at, sweep.report)
    if report.stopped:
        logger.warning("The sweep stopped early: %s. The rest stays due.", report.stopped)
    return report
