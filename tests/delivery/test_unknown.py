"""A row that a newer release wrote: it stays as it is, nothing is sent for it, and the work goes on with the others."""

from __future__ import annotations

from typing import Any

import pytest

from altegio_loyalty import delivery, services
from altegio_loyalty.exceptions import OperationNotAllowed
from altegio_loyalty.models import LoyaltyOperation
from altegio_loyalty.services.operations import request_in_batch
from tests.delivery.salon import Salon, Status

pytestmark = pytest.mark.django_db

UNKNOWN = [{"kind": "apply_referral_program"}, {"status": "frozen"}]


def written_by_a_newer_release(salon: Salon, **columns: Any) -> LoyaltyOperation:
    operation = salon.later()
    LoyaltyOperation.objects.filter(pk=operation.pk).update(**columns)
    operation.refresh_from_db()
    return operation


def columns_of(operation: LoyaltyOperation) -> dict[str, Any]:
    return LoyaltyOperation.objects.filter(pk=operation.pk).values().get()


@pytest.mark.parametrize("columns", UNKNOWN)
@pytest.mark.parametrize("status", ["pending", "sending", "unconfirmed"])
def test_unknown_row__is_left_alone_and_the_sweep_goes_on(
    salon: Salon, status: str, columns: dict[str, str]
) -> None:
    """Whatever state it is in, and however long ago it was due: neither sent, nor looked up, nor given up."""
    unknown = written_by_a_newer_release(salon, **{"status": status, "expires_at": None, **columns})
    salon.age(unknown, 10_000)
    before, known = columns_of(unknown), salon.later()
    delivery.deliver(unknown.pk)
    report = salon.sweep(known)
    assert columns_of(unknown) == before
    assert known.status == Status.SUCCEEDED
    assert list(report.state_of) == [known.pk]
    assert not unknown.attempts.exists()


@pytest.mark.parametrize("columns", UNKNOWN)
def test_unknown_row__is_told_by_its_raw_name(salon: Salon, columns: dict[str, str]) -> None:
    """Nobody guesses what it means."""
    (name,) = columns.values()
    sentence = written_by_a_newer_release(salon, **columns).sentence
    assert name in sentence
    assert "nothing is sent" in sentence


def test_ending_that_is_unknown__changes_no_sentence(salon: Salon) -> None:
    """How it came to its state matters only where this release knows it."""
    operation = salon.withdraw()
    operation.ending = "something_new"
    assert operation.sentence == "Done: 100 points taken."


@pytest.mark.parametrize("decide", [services.retry_operation, services.stop_operation])
def test_decision_about_an_unknown_kind__is_refused(salon: Salon, decide: Any) -> None:
    """What it would set in motion, this release cannot carry out."""
    operation = written_by_a_newer_release(salon, kind="apply_referral_program")
    before = columns_of(operation)
    with pytest.raises(OperationNotAllowed, match="does not know"):
        decide(operation)
    assert columns_of(operation) == before


def test_unknown_kind__cannot_be_asked_for(salon: Salon) -> None:
    """Not even by the one function that takes a kind as a word."""
    import uuid

    from django.core.exceptions import ValidationError

    with pytest.raises(ValidationError, match="apply_referral_program"):
        request_in_batch(
            "apply_referral_program", salon.location, batch=uuid.uuid4(), **salon.where(salon.visit())
        )
    assert not LoyaltyOperation.objects.exists()
