"""How much of what a visit shows the log accounts for."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from operator import attrgetter
from typing import Any

from django.db.models import Max

from altegio_loyalty import database, kinds, reasons, signals
from altegio_loyalty.client import VisitDetails
from altegio_loyalty.models import LoyaltyOperation
from altegio_loyalty.reasons import Reason
from altegio_loyalty.states import CallOutcome, Ending, Purpose, Status


def _others(operation: LoyaltyOperation) -> Any:
    """The other operations that did or undid the same on this visit."""
    return (
        database.operations()
        .with_last_event()
        .filter(
            visit_id=operation.visit_id,
            card_id=operation.card_id,
            program_id=operation.program_id,
            kind__in=kinds.family_of(operation.kind),
            status=Status.SUCCEEDED,
        )
        .exclude(pk=operation.pk)
    )


def in_force(operation: LoyaltyOperation) -> list[LoyaltyOperation]:
    """The successful applies of the same card (and promotion) on the same visit that no later cancel undid."""
    return _not_undone(_others(operation).order_by("last_event", "pk"))


def _not_undone(in_order: Iterable[LoyaltyOperation]) -> list[LoyaltyOperation]:
    applies: list[LoyaltyOperation] = []
    for operation in in_order:
        applies = [*applies, operation] if operation.traits.is_apply else []
    return applies


def explained_amount(operation: LoyaltyOperation) -> Decimal:
    """The sum of what those applies took, each as asked where the answer did not show it."""
    return _taken_by(in_force(operation))


def _taken_by(applies: list[LoyaltyOperation]) -> Decimal:
    taken = (apply.applied_amount if apply.applied_amount is not None else apply.amount for apply in applies)
    return sum((amount for amount in taken if amount is not None), Decimal(0))


def is_anothers(operation: LoyaltyOperation, shown: Decimal) -> bool:
    """Whether another operation of the log made the visit as this one wants it, after a call of this one was not answered.

    `shown` is what the visit shows; what it shows beyond the others is this one's.
    """
    if operation.traits.is_apply:
        return bool(in_force(operation)) and shown <= explained_amount(operation)
    unanswered = operation.attempts.filter(purpose=Purpose.SEND, outcome=CallOutcome.UNKNOWN)
    since = unanswered.using(database.alias()).aggregate(last=Max("pk"))["last"] or 0
    cancels = _others(operation).filter(kind=operation.kind, last_event__gt=since)
    return bool(cancels.exclude(ending=Ending.NOTHING_TO_CANCEL).exists())


def beyond_the_log(there: Decimal, explained: Decimal) -> str:
    """What is odd about a visit that shows more points of a card than the log explains; else empty."""
    if there <= explained:
        return ""
    figures = {"there": str(there), "explained": str(explained)}
    return Reason(reasons.BEYOND_THE_LOG, figures).stored(300)


def flag_surplus(visit_id: int, details: VisitDetails, known: list[LoyaltyOperation]) -> None:
    """Flag, for each card of which the visit shows more points than the log explains, the last operation to suspect.

    `known` are the newest operations of the visit, newest first, as they were before `details` were read; they bear the
    mark afterwards. What has changed since could explain the difference, and the next reading tells. A card that this site
    took nothing from is Altegio's affair.
    """
    if all(hasattr(row, "last_event") for row in known) and not _surplus(details, known):
        return  # they came `with_last_event`, so this is known without another query
    rows = database.operations().filter(visit_id=visit_id)
    now = list(rows.with_last_event())
    newest = sorted(now, key=lambda row: -row.pk)[: len(known)]
    if [(row.pk, row.status) for row in newest] != [(row.pk, row.status) for row in known]:
        return
    for operation, text in _surplus(details, now):
        if rows.filter(pk=operation.pk, discrepancy="").update(discrepancy=text):
            for row in (operation, *known):
                if row.pk == operation.pk:
                    row.discrepancy = text
            signals.operation_needs_attention.send_robust(LoyaltyOperation, operation=operation)


def _surplus(details: VisitDetails, operations: list[LoyaltyOperation]) -> list[tuple[LoyaltyOperation, str]]:
    """The last operation to suspect for each card with a surplus, and what is odd about it."""
    found = []
    in_order: Any = sorted(operations, key=attrgetter("last_event", "pk"))
    for card_id in {row.card_id for row in details.transactions if row.is_withdrawal}:
        of_card = [row for row in in_order if row.card_id == card_id and _moves_points(row)]
        suspects = _not_undone(
            row for row in of_card if row.finished_at and (_is_done(row) or _may_come_late(row))
        )
        text = beyond_the_log(details.withdrawn(card_id), _taken_by(list(filter(_is_done, suspects))))
        if text and suspects and not any(row.is_open for row in of_card):
            found.append((suspects[-1], text))
    return found


def _moves_points(operation: LoyaltyOperation) -> bool:
    return kinds.is_known(operation.kind) and operation.traits.moves_points


def _is_done(operation: LoyaltyOperation) -> bool:
    return operation.status == Status.SUCCEEDED


def _may_come_late(operation: LoyaltyOperation) -> bool:
    """Whether it ended as not done although a call of it stayed without an answer."""
    return operation.traits.is_apply and operation.unanswered_at is not None
