"""Requests, faults, workers, the clock and a second person at Altegio's own screen, in every order that Hypothesis finds.

After each step the ledger shows no effect that the log denies, and no two effects of one operation; in the end nothing is
open for ever. STATE_MACHINE_EXAMPLES makes it search longer.
"""

from __future__ import annotations

import contextlib
import datetime
import gc
import operator
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest
from django.db import connections
from django.utils import timezone
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from altegio_loyalty import delivery, services, tasks
from altegio_loyalty.client.v1 import REQUESTS
from altegio_loyalty.delivery.claims import Claim
from altegio_loyalty.delivery.explained import not_undone, taken_by
from altegio_loyalty.exceptions import OperationInProgress, OperationNotAllowed
from altegio_loyalty.models import Location, LoyaltyOperation, OperationAttempt, Visit
from altegio_loyalty.sandbox import Sandbox
from tests.chaos.clock import Clock

EXAMPLES = int(os.environ.get("STATE_MACHINE_EXAMPLES", "25"))
LEASE, SETTLE = 60, 120
TIME_TO_SETTLE = datetime.timedelta(seconds=SETTLE)
IMPATIENT: dict[str, Any] = {
    "CONNECT_TIMEOUT": 2,
    "READ_TIMEOUT": 5,
    "TOTAL_TIMEOUT": 10,
    "RETRY_DELAY": 0,
    "RETRY_WINDOW": 3600,
    "MAX_ATTEMPTS": 3,
    "LEASE_SECONDS": LEASE,
    "SETTLE_SECONDS": SETTLE,
    "REQUESTS_PER_SECOND": 0,
    "REQUESTS_PER_MINUTE": 0,
}

WITHDRAW, CANCEL = "apply_card_withdrawal", "cancel_card_withdrawal"
PROMOTE, TAKE_BACK = "apply_discount_program", "cancel_discount_program"
VERBS = ("withdraw", "cancel_withdrawal", "apply_program", "cancel_program")
KINDS = (WITHDRAW, CANCEL, PROMOTE, TAKE_BACK)
#: The most instructive ones more than once.
FAULTS = ["cut_before", "cut_after", "late_effect"] * 2
FAULTS += [
    "cut_mid_answer",
    "error_after_effect",
    "status_500",
    "status_503",
    "broken_json",
    "truncated_json",
]
FAULTS += [
    "empty",
    "html",
    "rate_limited",
    "status_401",
    "status_422",
    "string_ids",
    "bare",
    "nan",
    "redirect",
]
#: The moments of a delivery at which the world may go on without the worker. The last three are on Altegio's side.
POINTS = (
    "before the look",
    "after the look",
    "before the look-up",
    "after the look-up",
    "before the mark",
    "after the mark",
    "before the record",
    "after the record",
    "at Altegio, before the effect",
    "at Altegio, after the effect",
)
EVENTS = (
    "the worker dies",
    "another sweep",
    "its lease ends",
    "its lease ends, then a sweep",
    "the clock is put forward",
    "the clock is put back",
    "somebody clicks",
    "somebody clicks on the other card",
    "somebody stops everything",
)
# Most reads must work, or no operation ever comes to be sent.
look_faults, send_faults = st.sampled_from([""] * 80 + FAULTS), st.sampled_from([""] * 16 + FAULTS)
interruptions = st.sampled_from([None] * 10 + [(point, event) for point in POINTS for event in EVENTS])
#: The first visit, card and promotion more often than the others, or too seldom two requests would meet.
visits = st.sampled_from((0, 0, 0, 1, 2, 3))
cards, programs = st.sampled_from((0, 0, 1)), st.sampled_from((0, 0, 1))
#: What is asked for, and what happens to it. Three rules of this, or requests would be rare among all that happens.
asked: dict[str, Any] = {
    "kind": st.sampled_from(KINDS),
    "visit": visits,
    "card": cards,
    "program": programs,
    "amount": st.integers(1, 400),
    "look_fault": look_faults,
    "send_fault": send_faults,
    "interruption": interruptions,
}


class Killed(BaseException):
    """kill -9, as far as a thread can have it: nothing of the worker's own code runs after it."""


class Machine(RuleBasedStateMachine):
    """The truth is kept beside the app: who carried out what for which operation, and when somebody else interfered."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = contextlib.ExitStack()
        self.sandbox = self.stack.enter_context(Sandbox())
        self.clock = Clock()
        self.stack.enter_context(self.clock.running())
        self.stack.enter_context(mock.patch("altegio_loyalty.tasks.ring"))
        self._watch_the_worker()
        self._watch_altegio()
        from django.test import override_settings

        self.stack.enter_context(
            override_settings(ALTEGIO_LOYALTY={**IMPATIENT, "API_URL": self.sandbox.url})
        )
        ledger = self.sandbox.ledger
        promotions = [ledger.add_program(percent=percent) for percent in (10, 5)]
        self.program_ids = [promotion.id for promotion in promotions]
        client = ledger.add_client()
        self.card_ids = [ledger.add_card(client, balance="5000", programs=promotions).id for _ in range(2)]
        salon = ledger.add_location()
        self.visits = [
            ledger.add_visit(salon, client, lines=[("Haircut", "300"), ("Dye", "20.10")]) for _ in range(4)
        ]
        tokens = {"partner_token": self.sandbox.partner_token, "user_token": self.sandbox.user_token}
        self.location = Location.objects.create(id=salon.id, title="Salon", **tokens)
        self.interruption: tuple[str, str] | None = None
        self.request_count = 0
        #: Which operation posted last to a visit and path; what was carried out for it; which can't be told apart.
        self.posted: dict[tuple[int, str], int] = {}
        self.effects: dict[int, list[Any]] = {}
        self.blurred: set[int] = set()
        #: What a person stopped, and has not tried again since; which of it was sent all the same.
        self.stopped: set[int] = set()
        self.sent_after_stop: list[int] = []

    # Watching

    def _watch_the_worker(self) -> None:
        machine, call, mark, record = self, Claim.call, Claim.mark_sent, Claim.record

        def watched_call(claim: Claim, purpose: str, ask: Callable[[], Any], *address: Any) -> Any:
            if purpose == "send":
                operation = LoyaltyOperation.objects.get(pk=claim.operation.pk)
                path, _body = REQUESTS[operation.kind](operation.order)
                machine.posted[operation.visit_id, path] = operation.pk
                machine.sent_after_stop += {operation.pk} & machine.stopped
                return call(claim, purpose, ask, *address)
            name = purpose.replace("_", "-")
            machine._reach(f"before the {name}")
            result = call(claim, purpose, ask, *address)
            machine._reach(f"after the {name}")
            return result

        def watched_mark(claim: Claim, seen_before: Any) -> bool:
            machine._reach("before the mark")
            marked = mark(claim, seen_before)
            machine._reach("after the mark")
            return marked

        def watched_record(claim: Claim, **columns: Any) -> bool:
            machine._reach("before the record")
            recorded = record(claim, **columns)
            machine._reach("after the record")
            return recorded

        for owner, name, watched in (
            (Claim, "call", watched_call),
            (Claim, "mark_sent", watched_mark),
            (Claim, "record", watched_record),
        ):
            self.stack.enter_context(mock.patch.object(owner, name, watched))

    def _watch_altegio(self) -> None:
        answer, ledger = self.sandbox.api.answer, self.sandbox.ledger

        def watched_answer(request: Any) -> Any:
            if request.method != "POST":
                return answer(request)
            with self._in_altegio():
                self._reach("at Altegio, before the effect")
            operation_id = self.posted[request.json()["visit_id"], f"/{request.api_path.strip('/')}"]
            before = len(ledger.effects)
            result = answer(request)
            self.effects.setdefault(operation_id, []).extend(ledger.effects[before:])
            with self._in_altegio():
                self._reach("at Altegio, after the effect")
            return result

        self.sandbox.api.answer = watched_answer  # type: ignore[method-assign]

    @contextlib.contextmanager
    def _in_altegio(self) -> Iterator[None]:
        """In a thread of the sandbox's, which keeps no connections; nobody can kill our worker from there."""
        try:
            with contextlib.suppress(Killed):
                yield
        finally:
            if threading.current_thread() is not threading.main_thread():
                connections.close_all()

    def _reach(self, point: str) -> None:
        if self.interruption is None or self.interruption[0] != point:
            return
        event, self.interruption = self.interruption[1], None
        if event == "the worker dies":
            raise Killed
        if event.startswith("somebody"):
            self._people_act(event)
        if event.startswith("its lease ends") or event == "the clock is put forward":
            self._let_late_effects_arrive()  # those of earlier calls: what is in doubt is so for SETTLE_SECONDS at most
        if event == "the clock is put forward":
            self.clock.set_by += LEASE + SETTLE + 100
        if event == "the clock is put back":
            self.clock.set_by -= 500
        if event.startswith("its lease ends"):
            self.clock.passed += LEASE + 1
        if event.endswith("sweep") or event.startswith("the clock"):
            delivery.run_due()

    def _people_act(self, event: str) -> None:
        if event.startswith("somebody clicks"):
            for visit in self.visits:
                self._click("withdraw", visit, card=int(event.endswith("other card")), program=0)
        if event == "somebody stops everything":
            for operation in LoyaltyOperation.objects.open():
                with contextlib.suppress(OperationNotAllowed):
                    self._stop(operation)

    @contextlib.contextmanager
    def _world(
        self, look_fault: str, send_fault: str, interruption: tuple[str, str] | None
    ) -> Iterator[None]:
        self.sandbox.heal()
        for fault, path in ((look_fault, "GET"), (send_fault, "POST")):
            if fault:
                parameters: dict[str, Any] = {"seconds": 3600} if fault == "late_effect" else {}
                self.sandbox.fail(fault, path=path, times=1, **parameters)
        self.interruption = interruption
        try:
            yield
        except Killed:
            pass
        finally:
            self.interruption = None
            self.sandbox.heal()

    def _let_late_effects_arrive(self) -> None:
        self.sandbox.advance(3600)

    # What people and machines do

    @rule(deliver=st.sampled_from(("now", "on_commit")), **asked)
    def request(self, deliver: str, **what: Any) -> None:
        self._request(deliver=deliver, **what)

    @rule(**asked)
    def request_at_the_desk(self, **what: Any) -> None:
        self._request(deliver="now", **what)

    @rule(**asked)
    def request_from_a_transaction(self, **what: Any) -> None:
        self._request(deliver="on_commit", **what)

    def _request(
        self,
        *,
        kind: str,
        visit: int,
        card: int,
        program: int,
        amount: int,
        deliver: str,
        look_fault: str,
        send_fault: str,
        interruption: tuple[str, str] | None,
    ) -> None:
        """Somebody asks, and asks again with the same key."""
        self.request_count += 1
        chosen = self.visits[visit]
        arguments: dict[str, Any] = {
            "visit_id": chosen.id,
            "record_id": chosen.record_ids[0],
            "card_id": self.card_ids[card],
            "idempotency_key": f"{id(self)}-{self.request_count}",
            "deliver": deliver,
        }
        if kind == WITHDRAW:
            arguments["amount"] = amount
        if kind in (PROMOTE, TAKE_BACK):
            arguments["program_id"] = self.program_ids[program]
        service = getattr(services, kind)
        with contextlib.suppress(OperationInProgress), self._world(look_fault, send_fault, interruption):
            first = service(self.location.pk, **arguments)
            assert service(self.location.pk, **arguments).pk == first.pk
            if deliver == "on_commit":
                tasks.deliver_operation(first.pk)

    @rule(
        how=st.sampled_from(("a sweep", "a message twice")),
        look_fault=look_faults,
        send_fault=send_faults,
        interruption=interruptions,
    )
    def work(self, how: str, look_fault: str, send_fault: str, interruption: Any) -> None:
        """A worker finds what is due, or gets messages; before that, somebody sees to tokens that were refused."""
        for location in Location.objects.exclude(refused_at=None):
            services.test_connection(location)
        with self._world(look_fault, send_fault, interruption):
            if how == "a sweep":
                delivery.run_due()
            else:
                for operation in LoyaltyOperation.objects.open():
                    tasks.deliver_operation(operation.pk)
                    tasks.deliver_operation(operation.pk)

    @rule(verb=st.sampled_from(VERBS), visit=visits, card=cards, program=programs)
    def click(self, verb: str, visit: int, card: int, program: int) -> None:
        self._click(verb, self.visits[visit], card, program)

    def _click(self, verb: str, visit: Any, card: int, program: int) -> None:
        """The API does not say who did what: what is open and could be this can no longer be told apart from the click.

        What is open of the other card, of the other promotion or of the other pair of kinds must be told apart even then.
        """
        ledger, card_id, program_id = self.sandbox.ledger, self.card_ids[card], self.program_ids[program]
        extra = {"withdraw": ("2.50",), "cancel_withdrawal": ()}.get(verb, (program_id,))
        getattr(ledger, verb)(visit, card_id, *extra)
        of_points = "withdraw" in verb
        alike = LoyaltyOperation.objects.open().filter(
            visit_id=visit.id,
            card_id=card_id,
            program_id=None if of_points else program_id,
            kind__in=(WITHDRAW, CANCEL) if of_points else (PROMOTE, TAKE_BACK),
        )
        self.blurred.update(alike.values_list("pk", flat=True))

    @rule(visit=visits)
    def somebody_opens_the_visit(self, visit: int) -> None:
        """A reading after which log and visit agree, or somebody is told that they do not.

        Points that nobody here ever took, or that came after all of ours were given back, are Altegio's own affair.
        """
        chosen, read_at = self.visits[visit], timezone.now()
        rows = LoyaltyOperation.objects.filter(visit_id=chosen.id).with_last_event().order_by("-pk")
        known = list(rows.select_related("location"))
        reading = services.read_visit(self.location, visit_id=chosen.id, record_id=chosen.record_ids[0])
        if reading.details is None:  # its tokens are refused
            return
        services.judge_reading(chosen.id, reading.details, known, read_at)
        for card_id in self.card_ids:
            order = operator.attrgetter("last_event", "pk")
            mine = [row for row in rows if row.card_id == card_id and row.kind in (WITHDRAW, CANCEL)]
            is_new = any(row.finished_at and row.finished_at >= read_at - TIME_TO_SETTLE for row in mine)
            counting = not_undone(sorted((row for row in mine if row.status == "succeeded"), key=order))
            if not counting or is_new or any(row.is_open for row in mine):
                continue
            there, explained = self.sandbox.ledger.withdrawn(chosen, card_id), taken_by(counting)
            is_told = any(row.discrepancy for row in mine)
            assert there == explained or is_told, f"DRIFTED UNSEEN: {chosen.id} {there} {explained}"

    @rule(
        what=st.sampled_from(("a little", "a lease", "the time to settle", "set forward", "set back")),
        interruption=interruptions,
    )
    def time_passes(self, what: str, interruption: Any) -> None:
        """An effect that is still on its way arrives within SETTLE_SECONDS; a later one is outside of the promise."""
        if what == "a little":
            self.clock.passed += 10
            return
        self._let_late_effects_arrive()
        if what.startswith("set"):
            self.clock.set_by += LEASE + SETTLE + 100 if what == "set forward" else -300
        else:
            self.clock.passed += LEASE + 1 if what == "a lease" else SETTLE + 1
        with self._world("", "", interruption):
            delivery.run_due()

    @rule(number=st.integers(0, 3), decision=st.sampled_from(("retry", "stop", "settle")))
    def person_decides(self, number: int, decision: str) -> None:
        operations = list(LoyaltyOperation.objects.order_by("-pk")[number : number + 1])
        if not operations:
            return
        operation = operations[0]
        with contextlib.suppress(OperationNotAllowed, OperationInProgress):
            if decision == "retry":
                services.retry_operation(operation)
                if not operation.is_stopping:
                    self.stopped.discard(operation.pk)
            elif decision == "stop":
                self._stop(operation)
            elif not self.sandbox.has_late_effects and operation.pk not in self.blurred:  # a person who knows
                happened = bool(self.effects.get(operation.pk))
                services.settle_operation(operation, happened=happened, reason="Seen on Altegio's screen.")

    def _stop(self, operation: LoyaltyOperation) -> None:
        services.stop_operation(operation)
        self.stopped.add(operation.pk)

    # What must hold

    @invariant()
    def what_was_stopped_is_not_sent(self) -> None:
        assert not self.sent_after_stop, f"SENT AFTER STOP: {self.sent_after_stop}"

    @invariant()
    def log_and_ledger_agree(self) -> None:
        for operation in LoyaltyOperation.objects.exclude(pk__in=self.blurred):
            effects = self.effects.get(operation.pk, [])
            told = (operation.pk, operation.kind, operation.status, operation.ending)
            assert len(effects) <= 1, f"DOUBLED: {told} {effects}"
            if operation.is_open:
                continue
            claims = operation.status == "succeeded" and operation.ending != "nothing_to_cancel"
            claims = claims and operation.applied_amount != 0
            assert claims == bool(effects), f"TOLD WRONGLY: {told} {effects}"
            if effects and operation.applied_amount is not None:
                assert operation.applied_amount == effects[0].amount, f"TOLD WRONGLY: {told} {effects}"

    def teardown(self) -> None:
        try:
            self.sandbox.heal()
            for _ in range(12):
                self._let_late_effects_arrive()
                for location in Location.objects.exclude(refused_at=None):
                    services.test_connection(location)
                if not LoyaltyOperation.objects.open().exists():
                    break
                # A clock that was put back is put right, or everything waits for it.
                self.clock.set_by = max(self.clock.set_by, 0) + 300
                self.clock.passed += SETTLE + LEASE
                delivery.run_due()
                delivery.run_due()
            left = [(row.pk, row.kind, row.status, row.last_error) for row in LoyaltyOperation.objects.open()]
            assert not left, f"OPEN FOR EVER: {left}"
            self.log_and_ledger_agree()
            self.what_was_stopped_is_not_sent()
        finally:
            self.stack.close()
            OperationAttempt.objects.all().delete()
            LoyaltyOperation.objects.update(cancels=None)
            LoyaltyOperation.objects.all().delete()
            Visit.objects.all().delete()
            Location.objects.all().delete()


@pytest.mark.timeout(60 + 10 * EXAMPLES)
@pytest.mark.django_db(transaction=True)
def test_log_and_ledger_agree_whatever_happens() -> None:
    """Rules 1 to 9 at once. A failure prints the shortest sequence of steps that Hypothesis found."""
    # Hypothesis parses this file first: what earlier tests left behind, collected in the middle of that, with a warning that
    # is parsed as well, lets CPython 3.11 raise a SystemError (python/cpython#106905).
    gc.collect()
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=30,
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
