"""What the verdict finds: each kind of violation on a site that is broken in just that way, and nothing else."""

from __future__ import annotations

import pytest

from altegio_loyalty.models import LoyaltyOperation
from tests.chaos.plan import CANCEL, WITHDRAW, Request, Story
from tests.chaos.script import FOR_EVER, let_late_effects_arrive
from tests.chaos.verdict import DOUBLED, LOST, OPEN, WRONG, Judge
from tests.delivery.conftest import salon
from tests.delivery.salon import Salon, Status

__all__ = ["salon"]

pytestmark = pytest.mark.django_db(transaction=True)


class Case:
    """One visit, what is asked for on it, and what the judge says of that."""

    def __init__(self, salon: Salon) -> None:
        self.salon, self.visit = salon, salon.visit()
        self.configure()
        where = (self.visit.location_id, self.visit.id, self.visit.record_id, salon.card.id, salon.program.id)
        self.story = Story("own", *where)
        self.told: dict[str, set[int]] = {}

    def ask(self, kind: str = WITHDRAW, **arguments: str) -> LoyaltyOperation:
        key = f"own-{self.visit.id}-{len(self.story.requests)}"
        self.story.requests.append(Request(key, kind, None, arguments.get("deliver", "now")))
        operation = self.salon.ask(kind, self.visit, idempotency_key=key, **arguments)
        self.told[key] = {operation.pk}
        return operation

    def configure(self, **changes: int) -> None:
        """An answer is never late only since the machine is slow."""
        patient = {"CONNECT_TIMEOUT": 60, "READ_TIMEOUT": 60, "TOTAL_TIMEOUT": 100, "LEASE_SECONDS": 600}
        self.salon.configure(**patient, SETTLE_SECONDS=0, **changes)

    def hold_the_effect_back(self) -> None:
        self.salon.sandbox.fail("late_effect", path=WITHDRAW, times=1, seconds=FOR_EVER)

    def found(self) -> list[str]:
        let_late_effects_arrive(self.salon.sandbox)
        return [
            violation.kind
            for violation in Judge(self.salon.sandbox, [self.story], self.told).judge().violations
        ]


@pytest.fixture
def case(salon: Salon) -> Case:
    """Its site takes an absence for a proof at once."""
    return Case(salon)


def test_a_sound_site__has_nothing_to_be_found(case: Case) -> None:
    """Taken, given back, taken again."""
    for kind in (WITHDRAW, CANCEL, WITHDRAW):
        assert case.ask(kind).status == Status.SUCCEEDED
    assert case.found() == []


def test_a_second_effect__is_found_doubled(case: Case) -> None:
    """The first call's comes after the absence was believed and the second one was sent."""
    case.hold_the_effect_back()
    operation = case.ask()
    case.salon.run_to_the_end(operation)
    assert operation.status == Status.SUCCEEDED
    assert case.found() == [DOUBLED]


def test_an_effect_that_is_denied__is_found_told_wrongly(case: Case) -> None:
    """Given up, as known not to have happened, and then it comes."""
    case.configure(MAX_ATTEMPTS=1)
    case.hold_the_effect_back()
    operation = case.ask()
    case.salon.run_to_the_end(operation)
    assert operation.status == Status.FAILED
    assert case.found() == [WRONG]


def test_another_amount__is_found_told_wrongly(case: Case) -> None:
    """The log says more than the ledger."""
    operation = case.ask()
    LoyaltyOperation.objects.filter(pk=operation.pk).update(applied_amount=99)
    assert case.found() == [WRONG]


def test_an_effect_that_never_was__is_found_lost(case: Case) -> None:
    """The log says done, and the ledger knows nothing of it."""
    case.ask()
    case.salon.ledger.books.effects.clear()
    assert case.found() == [LOST]


def test_a_request_without_a_row__is_found_lost(case: Case) -> None:
    """It was told to be known, and the log does not know it."""
    case.ask(deliver="on_commit")
    LoyaltyOperation.objects.all().delete()
    assert case.found() == [LOST]


def test_what_nobody_finished__is_found_open_for_ever(case: Case) -> None:
    """Asked for, written, and never sent."""
    case.ask(deliver="on_commit")
    assert case.found() == [OPEN]
