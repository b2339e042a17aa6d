"""A salon in the sandbox with this site pointed at it: what the tests of services, delivery and tasks begin with."""

from __future__ import annotations

import datetime
import select
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from altegio_loyalty import delivery, services
from altegio_loyalty.client.connection import _DeadlineReader
from altegio_loyalty.models import Location, LoyaltyOperation, RequestBudget
from altegio_loyalty.sandbox import Sandbox

Kind = LoyaltyOperation.Kind
Status = LoyaltyOperation.Status
Ending = LoyaltyOperation.Ending

WITHDRAWAL, CANCEL = Kind.APPLY_CARD_WITHDRAWAL, Kind.CANCEL_CARD_WITHDRAWAL
PROMOTION, PROMOTION_BACK = Kind.APPLY_DISCOUNT_PROGRAM, Kind.CANCEL_DISCOUNT_PROGRAM
KINDS = (WITHDRAWAL, CANCEL, PROMOTION, PROMOTION_BACK)

#: No waits, but time enough for a machine that is busy with something else.
QUICK: dict[str, Any] = {
    "PROXY_URL": "",
    "CONNECT_TIMEOUT": 10,
    "READ_TIMEOUT": 20,
    "TOTAL_TIMEOUT": 25,
    "REQUESTS_PER_SECOND": 0,
    "REQUESTS_PER_MINUTE": 0,
    "RETRY_DELAY": 0,
    "SETTLE_SECONDS": 0,
    "LEASE_SECONDS": 60,
    "SWEEP_THREADS": 1,
}
#: No fault of the sandbox: nobody listens, until `heal`.
REFUSED = "refuse_connections"
#: The faults that only a timeout ends.
SLOW_FAULTS = {"hang", "hang_after", "drip"}
FAULT_PARAMETERS: dict[str, dict[str, Any]] = {
    **{name: {"seconds": 60} for name in SLOW_FAULTS},
    "late_effect": {"seconds": 0.05},
    "huge": {"megabytes": 4.5},
}


class Salon:
    """One location with a client, her card (500 points) and a promotion of 10 %; each visit is a new one."""

    def __init__(self, sandbox: Sandbox, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sandbox, self.ledger, self.settings = sandbox, sandbox.ledger, settings
        self._monkeypatch, self._is_given_up = monkeypatch, False
        self.configure()
        self.program = self.ledger.add_program(title="Birthday", percent=10)
        self.client = self.ledger.add_client(name="Jane Doe", phone="+13155550175")
        self.card = self.ledger.add_card(self.client, balance="500", programs=[self.program])
        self.location = self.add_location("Main Street")

    def configure(self, **changes: Any) -> None:
        self.settings.ALTEGIO_LOYALTY = {**QUICK, "API_URL": self.sandbox.url, **changes}

    def add_location(self, title: str) -> Location:
        there = self.ledger.add_location(title=title)
        tokens = {"partner_token": self.sandbox.partner_token, "user_token": self.sandbox.user_token}
        return Location.objects.create(id=there.id, title=title, **tokens)

    def visit(self, *, lines: Any = (("Haircut", "3000"), ("Shampoo", "20")), location: Any = None) -> Any:
        return self.ledger.add_visit((location or self.location).pk, self.client, lines=lines)

    def where(self, visit: Any) -> dict[str, Any]:
        return {"visit_id": visit.id, "record_id": visit.record_ids[0], "card_id": self.card.id}

    # Asking

    def ask(self, kind: str, visit: Any, **arguments: Any) -> LoyaltyOperation:
        """Call the service of that kind for the visit; withdrawals are of 100 points unless given."""
        if kind == WITHDRAWAL:
            arguments.setdefault("amount", 100)
        if kind in (PROMOTION, PROMOTION_BACK):
            arguments.setdefault("program_id", self.program.id)
        location = arguments.pop("location", Location(pk=visit.location_id))
        operation: LoyaltyOperation = getattr(services, kind)(location, **{**self.where(visit), **arguments})
        return operation

    def withdraw(self, visit: Any = None, amount: Any = 100, **arguments: Any) -> LoyaltyOperation:
        return self.ask(WITHDRAWAL, visit or self.visit(), amount=amount, **arguments)

    def later(self, visit: Any = None, kind: str = WITHDRAWAL, **arguments: Any) -> LoyaltyOperation:
        """An operation that is written and committed, and not sent yet."""
        return self.ask(kind, visit or self.visit(), deliver="on_commit", **arguments)

    def prepared(self, kind: str) -> Any:
        """A visit on which an operation of that kind has something to do."""
        visit = self.visit()
        if kind == CANCEL:
            self.ledger.withdraw(visit, self.card, 100)
        elif kind == PROMOTION_BACK:
            self.ledger.apply_program(visit, self.card, self.program)
        return visit

    # Trouble

    def fail(self, fault: str, path: str = "", **arguments: Any) -> None:
        if fault == REFUSED:
            self.sandbox.stop()
            return
        if fault in SLOW_FAULTS and not self._is_given_up:
            self._give_up_where_it_is_silent()
        self.sandbox.fail(fault, path=path, **{**FAULT_PARAMETERS.get(fault, {}), **arguments})

    def _give_up_where_it_is_silent(self) -> None:
        """A call's time is over once the sandbox is silent on purpose, and never because the machine is slow."""
        self._is_given_up = True
        sleep, read = self.sandbox.faults.sleep, _DeadlineReader.readinto
        silences: list[float] = []

        def fall_silent(seconds: float) -> None:
            silences.append(seconds)
            sleep(seconds)

        def read_or_give_up(reader: _DeadlineReader, buffer: Any) -> int | None:
            while not select.select([reader._sock], [], [], 0.005)[0]:
                if silences:
                    silences.pop()
                    raise TimeoutError("timed out")
            return read(reader, buffer)

        self._monkeypatch.setattr(self.sandbox.faults, "sleep", fall_silent)
        self._monkeypatch.setattr(_DeadlineReader, "readinto", read_or_give_up)

    def heal(self) -> None:
        """Everything works again, and nobody's tokens are held against them."""
        self.sandbox.start().heal()
        for location in Location.objects.exclude(refused_at=None):
            assert services.test_connection(location).is_good

    # Time

    @staticmethod
    def age(operation: LoyaltyOperation, seconds: float) -> LoyaltyOperation:
        """The operation as if that much more time had gone by since everything that happened to it."""
        operation.refresh_from_db()
        moments = {}
        for name in ("created_at", "next_attempt_at", "expires_at", "sent_at", "unanswered_at"):
            if (moment := getattr(operation, name)) is not None:
                moments[name] = moment - datetime.timedelta(seconds=seconds)
        LoyaltyOperation.objects.filter(pk=operation.pk).update(**moments)
        RequestBudget.objects.update(led_until=None)  # nor is a sweep at work any more that was killed
        operation.refresh_from_db()
        return operation

    def sweep(self, operation: LoyaltyOperation | None = None, *, times: int = 1) -> delivery.Report:
        for _ in range(times):
            report = delivery.run_due()
        if operation is not None:
            operation.refresh_from_db()
        return report

    def run_to_the_end(self, *operations: LoyaltyOperation, most: int = 20) -> None:
        """Sweep until the operations are finished; a sandbox that works finishes each of them in a few sweeps."""
        for _ in range(most):
            delivery.run_due()
            for operation in operations:
                operation.refresh_from_db()
            if not any(operation.is_open for operation in operations):
                return
        raise AssertionError(f"Still open after {most} sweeps: {[(o.pk, o.status) for o in operations]}")

    # The books

    def effects(self, kind: str, visit: Any) -> list[Any]:
        """What this site, and nobody else, really did of that kind to the visit."""
        return [
            effect
            for effect in self.sandbox.effects
            if (effect.kind, effect.visit_id, effect.by) == (kind, visit.id, "api")
        ]

    def posts(self, visit: Any = None) -> int:
        """How many POSTs arrived, for that visit or altogether."""
        return sum(
            request.method == "POST" and (visit is None or (request.body or {}).get("visit_id") == visit.id)
            for request in self.sandbox.requests
        )

    def assert_nothing_is_told_wrongly(self) -> None:
        """The log and the ledger say the same about every visit: no effect denied, none invented, none twice."""
        effects = Counter((e.kind, e.visit_id, e.card_id) for e in self.sandbox.effects if e.by == "api")
        amounts: Counter[tuple[str, int, int]] = Counter()
        for effect in self.sandbox.effects:
            if effect.by == "api":
                amounts[effect.kind, effect.visit_id, effect.card_id] += effect.amount  # type: ignore[assignment]
        claimed: Counter[tuple[str, int, int]] = Counter()
        for operation in LoyaltyOperation.objects.exclude(status__in=(Status.UNCONFIRMED, Status.SENDING)):
            key = (operation.kind, operation.visit_id, operation.card_id)
            did = operation.status == Status.SUCCEEDED and operation.ending != Ending.NOTHING_TO_CANCEL
            did = did and operation.applied_amount != 0
            claimed[key] += did
            if did and operation.kind == WITHDRAWAL and effects[key] == 1:
                assert operation.applied_amount in (None, amounts[key]), operation.pk
        for key in {*effects, *claimed}:
            assert effects[key] == claimed[key], key


def seconds_from_now(moment: datetime.datetime | None) -> float:
    assert moment is not None
    return (moment - timezone.now()).total_seconds()


def is_in_seconds(seconds: float, moment: datetime.datetime | None, since: datetime.datetime) -> bool:
    """Whether that was set to come in so many seconds, between `since` and now."""
    assert moment is not None
    return since <= moment - datetime.timedelta(seconds=seconds) <= timezone.now()


def points(text: str | int) -> Decimal:
    return Decimal(text)
