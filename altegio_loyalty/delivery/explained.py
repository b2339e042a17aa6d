"""How much of what a visit shows the log accounts for."""

from __future__ import annotations

from decimal import Decimal

from altegio_loyalty import policy
from altegio_loyalty.delivery.claims import database
from altegio_loyalty.models import LoyaltyOperation
from altegio_loyalty.querysets import OperationQuerySet

_PAIRS = {
    policy.APPLY_WITHDRAWAL: (policy.APPLY_WITHDRAWAL, policy.CANCEL_WITHDRAWAL),
    policy.CANCEL_WITHDRAWAL: (policy.APPLY_WITHDRAWAL, policy.CANCEL_WITHDRAWAL),
    policy.APPLY_PROGRAM: (policy.APPLY_PROGRAM, policy.CANCEL_PROGRAM),
    policy.CANCEL_PROGRAM: (policy.APPLY_PROGRAM, policy.CANCEL_PROGRAM),
}


def _others(operation: LoyaltyOperation) -> OperationQuerySet:
    """The other operations that did or undid the same on this visit."""
    return (
        LoyaltyOperation.objects.using(database())
        .filter(
            visit_id=operation.visit_id,
            card_id=operation.card_id,
            program_id=operation.program_id,
            kind__in=_PAIRS[operation.kind],
            status=LoyaltyOperation.Status.SUCCEEDED,
        )
        .exclude(pk=operation.pk)
    )


def in_force(operation: LoyaltyOperation) -> list[LoyaltyOperation]:
    """The successful applies of the same card (and promotion) on the same visit that no later cancel undid."""
    apply_kind, _ = _PAIRS[operation.kind]
    applies: list[LoyaltyOperation] = []
    for other in _others(operation).order_by("finished_at", "pk"):
        applies = [*applies, other] if other.kind == apply_kind else []
    return applies


def explained_amount(operation: LoyaltyOperation) -> Decimal:
    """The sum of what those applies took, each as asked where the answer did not show it."""
    taken = (
        other.applied_amount if other.applied_amount is not None else other.amount
        for other in in_force(operation)
    )
    return sum((amount for amount in taken if amount is not None), Decimal(0))


def is_anothers(operation: LoyaltyOperation, shown: Decimal) -> bool:
    """Whether another operation of the log made the visit as this one wants it, after a call of this one was not answered.

    `shown` is what the visit shows; what it shows beyond the others is this one's.
    """
    if policy.is_apply(operation.kind):
        return bool(in_force(operation)) and shown <= explained_amount(operation)
    cancels = _others(operation).filter(kind=operation.kind, finished_at__gt=operation.unanswered_at)
    return cancels.exclude(outcome=LoyaltyOperation.Outcome.NOTHING_TO_CANCEL).exists()
