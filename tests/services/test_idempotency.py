"""Idempotency keys, and one open operation per visit and card."""

from __future__ import annotations

from typing import Any

import pytest

from altegio_loyalty.exceptions import IdempotencyConflict, OperationInProgress
from altegio_loyalty.models import LoyaltyOperation
from tests.delivery.salon import CANCEL, KINDS, PROMOTION, REFUSED, WITHDRAWAL, Salon, Status
from tests.delivery.threads import in_threads

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("deliver", ["now", "on_commit"])
def test_same_key_same_arguments__returns_the_first_and_calls_nothing(
    salon: Salon, kind: str, deliver: str
) -> None:
    """A form sent twice acts once."""
    visit = salon.prepared(kind)
    first = salon.ask(kind, visit, idempotency_key="form-1", deliver=deliver)
    requests = len(salon.sandbox.requests)
    second = salon.ask(kind, visit, idempotency_key="form-1", deliver=deliver)
    assert second == first
    assert second.status == first.status
    assert len(salon.sandbox.requests) == requests
    assert LoyaltyOperation.objects.count() == 1


@pytest.mark.parametrize("fault", ["status_422", "status_503", "cut_after", REFUSED])
def test_same_key__after_whatever_became_of_the_first(salon: Salon, fault: str) -> None:
    """Refused, waiting or in doubt: the first is returned, never repeated."""
    salon.fail(fault, **({} if fault == REFUSED else {"path": "apply_card_withdrawal"}))
    visit = salon.visit()
    first = salon.withdraw(visit, idempotency_key="form-1")
    requests = len(salon.sandbox.requests)
    assert salon.withdraw(visit, idempotency_key="form-1") == first
    assert len(salon.sandbox.requests) == requests


@pytest.mark.parametrize("amount", ["100.00", 100.0, "1e2"])
def test_same_key__the_same_amount_written_otherwise(salon: Salon, amount: Any) -> None:
    """100 and 100.00 are the same argument."""
    visit = salon.visit()
    first = salon.withdraw(visit, 100, idempotency_key="form-1")
    assert salon.withdraw(visit, amount, idempotency_key="form-1") == first


def test_same_key_other_arguments__is_a_conflict(salon: Salon) -> None:
    """Each argument counts: amount, visit, card, kind, promotion."""
    visit = salon.visit()
    salon.withdraw(visit, 100, idempotency_key="form-1")
    requests = len(salon.sandbox.requests)
    for ask in (
        lambda: salon.withdraw(visit, 101, idempotency_key="form-1"),
        lambda: salon.withdraw(salon.visit(), 100, idempotency_key="form-1"),
        lambda: salon.withdraw(visit, 100, card_id=5, idempotency_key="form-1"),
        lambda: salon.withdraw(visit, 100, record_id=5, idempotency_key="form-1"),
        lambda: salon.ask(CANCEL, visit, idempotency_key="form-1"),
        lambda: salon.ask(PROMOTION, visit, idempotency_key="form-1", deliver="on_commit"),
    ):
        with pytest.raises(IdempotencyConflict):
            ask()
    assert LoyaltyOperation.objects.count() == 1
    assert len(salon.sandbox.requests) == requests


def test_without_a_key__each_call_is_an_operation(salon: Salon) -> None:
    """Keys are made up then, and unique."""
    for _ in range(2):
        salon.withdraw()
    assert len(set(LoyaltyOperation.objects.values_list("idempotency_key", flat=True))) == 2


@pytest.mark.django_db(transaction=True)
def test_same_key_at_once__has_one_effect(salon: Salon) -> None:
    """Eight double clicks at the same moment: one row, one POST, and everybody gets the same operation."""
    for round_number in range(2):
        visit = salon.visit()
        key = f"form-{round_number}"
        results = in_threads(*[lambda visit=visit, key=key: salon.withdraw(visit, idempotency_key=key)] * 8)
        assert {getattr(result, "pk", result) for result in results} == {results[0].pk}
        assert salon.posts(visit) == len(salon.effects(WITHDRAWAL, visit)) == 1


@pytest.mark.django_db(transaction=True)
def test_other_keys_at_once__have_one_effect(salon: Salon) -> None:
    """Two people on one visit and card: one acts, the others are told of it, or of what is there already."""
    visit = salon.visit()
    results = in_threads(*[lambda: salon.withdraw(visit)] * 6)
    done = [r for r in results if isinstance(r, LoyaltyOperation) and r.status == Status.SUCCEEDED]
    others = [r for r in results if r not in done]
    assert len(done) == 1
    assert all(isinstance(r, OperationInProgress) or r.status == Status.REJECTED for r in others)
    assert salon.posts(visit) == 1
    salon.assert_nothing_is_told_wrongly()


@pytest.mark.parametrize("fault", ["status_401", "cut_before", REFUSED])
@pytest.mark.parametrize("kind", KINDS)
def test_second_open_operation__is_refused(salon: Salon, kind: str, fault: str) -> None:
    """While one waits or is in doubt, any other on the visit and card is refused, and names it."""
    visit = salon.visit()
    salon.fail(fault, **({} if fault == REFUSED else {"path": "apply_card_withdrawal"}))
    first = salon.withdraw(visit)
    assert first.is_open
    requests = len(salon.sandbox.requests)
    for deliver in ("now", "on_commit"):
        with pytest.raises(OperationInProgress) as caught:
            salon.ask(kind, visit, deliver=deliver)
        assert caught.value.operation == first
    assert LoyaltyOperation.objects.count() == 1
    assert len(salon.sandbox.requests) == requests


def test_other_card_or_visit__is_free(salon: Salon) -> None:
    """Only the same visit and card wait for each other."""
    other = salon.ledger.add_card(salon.client, balance=50)
    visit = salon.visit()
    salon.later(visit)
    assert salon.withdraw(visit, 10, card_id=other.id).status == Status.SUCCEEDED
    assert salon.withdraw(salon.visit()).status == Status.SUCCEEDED


@pytest.mark.parametrize(
    "change", [{"is_active": False}, {"user_token": ""}], ids=["switched off", "no token"]
)
def test_the_same_key_returns_the_first_operation_whatever_became_of_the_location(
    salon: Salon, change: dict[str, Any]
) -> None:
    """A caller that repeats after a crash learns what happened, not that it could not happen now."""
    visit = salon.visit()
    first = salon.withdraw(visit, 100, idempotency_key="once")
    for name, value in change.items():
        setattr(salon.location, name, value)
    salon.location.save()
    assert salon.withdraw(visit, 100, idempotency_key="once") == first
