"""Run what is due: one operation, or everything, fairly across the locations and no longer than it makes sense.

Or hold all of it: after a restore from a backup nobody knows what of it was done since, and given back.
"""

import logging
import threading
import time
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

from django.db import DatabaseError, InterfaceError, connections
from django.utils import timezone

from altegio_loyalty import database, exceptions, kinds, policy, throttle, watch
from altegio_loyalty.conf import get_settings
from altegio_loyalty.delivery import transitions
from altegio_loyalty.delivery.claims import announce, claim_to_look, claim_to_send
from altegio_loyalty.delivery.doubt import look_up, recover, send_and_look_up
from altegio_loyalty.models import LoyaltyOperation, WatchEntry
from altegio_loyalty.querysets import is_over
from altegio_loyalty.states import Status
from altegio_loyalty.texts import renamed

logger = logging.getLogger(__name__)

#: So many failures of Altegio in a row, on different operations, are taken for an outage.
OUTAGE_FAILURES = 3
#: How many operations are put in turn at once, and for how many seconds that order holds.
ROWS_AT_ONCE, ORDER_SECONDS = 500, 5.0
_ANOTHER, _HELD = "another sweep is at work", "everything is held"


def deliver(operation_id: int, *, for_person: bool = False) -> LoyaltyOperation | None:
    """Send one operation or look it up, if due; None where unknown. Safe beside any worker; API failures do not raise."""
    operation = _read(operation_id)
    if operation is None or vars(operation)["is_held"] or not kinds.is_known(operation.kind):
        return operation
    if operation.status == Status.SENDING:
        is_lost = is_over(operation.next_attempt_at, timezone.now())
        if not (is_lost and recover(operation)):
            return operation
    if operation.is_due:
        # Nobody waits for each of a hundred: the desk's share of the budget is not for batches.
        _work_on(operation, for_person=for_person and operation.batch is None)
    return operation


def _read(operation_id: int) -> LoyaltyOperation | None:
    rows = database.operations().select_related("location", "visit").annotate(is_held=watch.IS_HELD)
    operation: LoyaltyOperation | None = rows.filter(pk=operation_id).first()
    return operation


def _work_on(operation: LoyaltyOperation, *, for_person: bool = False) -> exceptions.ApiError | None:
    """Claim the operation and take it one step further; returns the failure of the call, if it failed."""
    if operation.status == Status.UNCONFIRMED:
        claim = claim_to_look(operation)
        return look_up(claim, for_person=for_person) if claim else None
    if operation.expires_at is not None and operation.expires_at <= timezone.now():
        _give_up(operation)
        return None
    claim = claim_to_send(operation)
    return send_and_look_up(claim, for_person=for_person) if claim else None


def _give_up(operation: LoyaltyOperation) -> bool:
    if given_up := database.change(operation, transitions.out_of_time(operation, timezone.now())):
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
    """Runs what is due, pass by pass, on several threads: in one pass an operation is sent, or looked up, at most once."""

    def __init__(self, seconds: float) -> None:
        self._ends_at = time.monotonic() + seconds
        self._lead: datetime | None = None
        self._lock = threading.Lock()
        self._failures_in_a_row = 0
        self.report = Report()

    def run(self) -> Report:
        """Raises nothing that Altegio does; a database that fails does raise."""
        if watch.hold():
            self.report.stopped = _HELD
            return self.report
        for operation in database.operations().lease_ran_out(timezone.now()).select_related("location"):
            recover(operation)
        self._give_up_the_late()
        try:
            while not self.report.stopped and self._makes_progress():
                pass
        finally:
            self._end_lead()
        return self.report

    def _end_lead(self) -> None:
        if self._lead is not None:
            throttle.give_up_lead(self._lead)
            self._lead = None

    def _makes_progress(self) -> bool:
        """One pass; whether anything changed its state, so that more may be due by now."""
        self._pass_began, self._has_changed = timezone.now(), False
        self._seen: set[int] = set()
        self._put_in_turn()
        most, waiting = _most_threads(), len(self._turns)
        if waiting and most > 1:
            self._work_on_threads(min(most, waiting))
        elif waiting:
            self._work()
        return self._has_changed

    def _work_on_threads(self, threads: int) -> None:
        """A signal or a time limit, which strikes the main thread alone, ends it between two operations."""
        with ThreadPoolExecutor(threads) as pool:
            try:
                with self._lock:  # none begins before the pool knows of all, for which it waits in the end
                    apart = [pool.submit(self._work_apart) for _ in range(threads)]
                for each in apart:
                    each.result()
            except BaseException:
                self.report.stopped = "it was interrupted"
                raise

    def _work_apart(self) -> None:
        try:
            self._work()
        finally:
            connections.close_all()

    def _work(self) -> None:
        while (operation_id := self._next()) is not None:
            self._take(operation_id)

    def _next(self) -> int | None:
        with self._lock:
            if not self.report.stopped and (not self._turns or time.monotonic() > self._order_ends_at):
                self._put_in_turn()
            if self.report.stopped or not self._turns:
                return None
            self._seen.add(self._turns[0])
            return self._turns.popleft()

    def _put_in_turn(self) -> None:
        """The next operations, fairly; none where another sweep is at work already."""
        due = database.operations().due(self._pass_began).in_turn()[:ROWS_AT_ONCE]
        self._turns: deque[int] = deque(pk for pk in due if pk not in self._seen)
        self._order_ends_at = time.monotonic() + ORDER_SECONDS
        if self._turns:
            self._lead = throttle.take_lead(self._lead)
            if self._lead is None:
                self.report.stopped = _ANOTHER
                self._turns.clear()

    def _give_up_the_late(self) -> None:
        for operation in database.operations().running_out(timezone.now()).select_related("location"):
            if not operation.location.is_working:
                database.change(operation, transitions.waits_for_location(timezone.now()))
            elif _give_up(operation):
                self.report.state_of[operation.pk] = operation.status

    def _take(self, operation_id: int) -> None:
        operation = _read(operation_id)  # anew: its location may have been switched off, or have other tokens
        if operation is None or vars(operation)["is_held"] or operation.status == Status.SENDING:
            return
        if not operation.is_due:
            return
        before, error = operation.status, None
        try:
            error = _work_on(operation)
        except (DatabaseError, InterfaceError):
            # One bad row must not stop the others; a database that is gone stops the next query of the loop.
            text = "Operation %s could not be worked on; it is taken up again when its lease ends."
            logger.exception(text, operation.pk, extra=operation.log_fields)
        with self._lock:
            self._has_changed = self._has_changed or operation.status != before
            self.report.state_of[operation.pk] = operation.status
            self._see_whether_to_stop(error)

    def _see_whether_to_stop(self, error: exceptions.ApiError | None) -> None:
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
            self._end_lead()  # another one need not wait for what this one has begun


def _most_threads() -> int:
    """Other connections see neither an open transaction, such as a TestCase's, nor a database in memory."""
    connection = connections[database.alias()]
    is_alone = connection.in_atomic_block or getattr(connection, "is_in_memory_db", bool)()
    return 1 if is_alone else get_settings().SWEEP_THREADS


def run_due(seconds: float | None = None) -> Report:
    """Run everything that is due now, for so many seconds, by default SWEEP_SECONDS; another one at once does nothing."""
    database.drop_old_connection()
    sweep = Sweep(get_settings().SWEEP_SECONDS if seconds is None else seconds)
    started_at = timezone.now()
    try:
        report = sweep.run()
    finally:
        watch.note_sweep(started_at, sweep.report)
    if report.stopped:
        level = logging.DEBUG if report.stopped in (_ANOTHER, _HELD) else logging.WARNING
        logger.log(level, "The sweep stopped early: %s. The rest stays due.", report.stopped)
    return report


def hold(by: str, why: str) -> WatchEntry:
    """From now on nothing is sent and nothing looked up, until `release`. Returns the hold, or one that lasts already."""
    said = {"code": watch.HELD, "began_at": timezone.now(), "said": f"{by}: {why}"[:300]}
    return WatchEntry.objects.get_or_create(open_key=watch.HELD, defaults=said)[0]


def release(by: str) -> int | None:
    """End the hold; None where there is none. What waited before it began is not sent by itself; returns how many did.

    That is given up, for a person to look at and to try again; what is in doubt is looked up, and not sent again.
    """
    if (held := watch.hold()) is None:
        return None
    rows = database.operations().open().filter(created_at__lt=held.began_at, kind__in=kinds.TABLE)
    seen: set[int] = set()
    # Again and again: what somebody changed meanwhile is read anew.
    while left := list(rows.exclude(pk__in=seen).select_related("location")):
        for row in left:
            is_sent = row.status == Status.SENDING and not recover(row)  # by a worker who has it now
            leave = transitions.out_of_time if row.status == Status.PENDING else transitions.stopping
            if is_sent or database.change(row, leave(row, timezone.now())):
                seen.add(row.pk)
                if not (is_sent or row.is_open):
                    announce(row)
    said = f"{held.said}; released by {by}"[:300]
    WatchEntry.objects.filter(pk=held.pk).update(ended_at=timezone.now(), open_key=None, said=said)
    return len(seen)
