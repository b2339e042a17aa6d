"""How much of what a visit shows the log accounts for, and what of it is an operation's own, as columns of the log."""

import datetime
from collections.abc import Iterable
from decimal import Decimal

from django.db.models import Max, Q

from altegio_loyalty import database, kinds, reasons
from altegio_loyalty.delivery.transitions import Columns
from altegio_loyalty.kinds import Effect
from altegio_loyalty.models import LoyaltyOperation
from altegio_loyalty.querysets import OperationQuerySet
from altegio_loyalty.reasons import Reason
from altegio_loyalty.states import CallOutcome, Ending, Purpose, Status


def family(operation: LoyaltyOperation) -> OperationQuerySet:
    """The operations that did or undid the same on this visit, this one included."""
    return database.operations().filter(
        visit_id=operation.visit_id,
        card_id=operation.card_id,
        program_id=operation.program_id,
        kind__in=kinds.family_of(operation.kind),
    )


def _others(operation: LoyaltyOperation, since: int = 0) -> OperationQuerySet:
    """Those that were done, but for this one, in the order of what became of them; `since` as in `with_last_event`."""
    done = family(operation).filter(status=Status.SUCCEEDED).exclude(pk=operation.pk)
    ordered: OperationQuerySet = done.with_last_event().filter(last_event__gte=since)
    return ordered.order_by("last_event", "pk")


def in_force(operation: LoyaltyOperation) -> list[LoyaltyOperation]:
    """The successful applies of the same card (and promotion) on the same visit that nothing undid."""
    return not_undone(_others(operation))


def not_undone(in_order: Iterable[LoyaltyOperation]) -> list[LoyaltyOperation]:
    """The applies that can still be on the visit. A cancel ends what was done before it, not what may still arrive.

    So does the look before a call that showed nothing: what the log had there before had been undone by then.
    """
    applies: list[LoyaltyOperation] = []
    for operation in in_order:
        saw_nothing = operation.sent_at is not None and operation.seen_before == 0
        if is_done(operation) and (saw_nothing or not operation.traits.is_apply):
            applies = [apply for apply in applies if not is_done(apply)]
        took_nothing = operation.traits.moves_points and operation.applied_amount == 0
        if operation.traits.is_apply and operation.undone_at is None and not took_nothing:
            applies.append(operation)
    return applies


def last_done_at(operation: LoyaltyOperation, *, is_apply: bool) -> datetime.datetime | None:
    """When another one was done last: an apply that nothing undid since, or a cancel; None where there is none."""
    apply, *cancels = kinds.family_of(operation.kind)
    others = family(operation).filter(kind__in=[apply] if is_apply else cancels, undone_at=None)
    took_nothing = Q(applied_amount=0) if operation.traits.moves_points else Q(pk=operation.pk)
    return _last_success(others.exclude(took_nothing | Q(pk=operation.pk)))


def last_cancel_on_visit(operation: LoyaltyOperation) -> datetime.datetime | None:
    """When something was taken back last on this visit, with whichever card; None where nothing was."""
    cancels = [kind.name for kind in kinds.TABLE.values() if not kind.is_apply]
    return _last_success(database.operations().filter(visit_id=operation.visit_id, kind__in=cancels))


def _last_success(operations: OperationQuerySet) -> datetime.datetime | None:
    done = operations.filter(status=Status.SUCCEEDED)
    last: datetime.datetime | None = done.aggregate(last=Max("finished_at"))["last"]
    return last


def is_done(operation: LoyaltyOperation) -> bool:
    return bool(operation.status == Status.SUCCEEDED)


def taken_by(applies: Iterable[LoyaltyOperation]) -> Decimal:
    """The sum of what they took, each as asked where the answer did not show it."""
    taken = (apply.applied_amount if apply.applied_amount is not None else apply.amount for apply in applies)
    return sum((amount for amount in taken if amount is not None), Decimal(0))


def explained_since_its_call(operation: LoyaltyOperation) -> Decimal | None:
    """What others applied, or took back, after the operation's last call without an answer; None where nobody did.

    What was there before that call does not matter: the look before it showed the visit not to be as wanted.
    """
    unanswered = operation.attempts.filter(purpose=Purpose.SEND, outcome=CallOutcome.UNKNOWN, is_late=False)
    since = unanswered.using(database.alias()).aggregate(last=Max("pk"))["last"] or 0
    later = list(_others(operation, since + 1))
    if operation.traits.is_apply:
        applies = not_undone(later)
        return taken_by(applies) if applies else None
    cancels = (row for row in later if row.kind == operation.kind)
    return Decimal(0) if any(row.ending != Ending.NOTHING_TO_CANCEL for row in cancels) else None


def is_anothers(operation: LoyaltyOperation, shown: Decimal) -> bool:
    """Whether others made the visit as this one wants it after its unanswered call; points `shown` beyond are this one's."""
    explained = explained_since_its_call(operation)
    return explained is not None and (not operation.traits.takes_amount or shown <= explained)


def odds(there: Decimal, explained: Decimal) -> str:
    """What is odd about a visit that shows more, or fewer, points of a card than the log explains; else empty."""
    if there == explained:
        return ""
    code = reasons.BEYOND_THE_LOG if there > explained else reasons.LESS_THAN_THE_LOG
    return Reason(code, {"there": str(there), "explained": str(explained)}).stored(300)


def beyond_the_log(there: Decimal, explained: Decimal) -> str:
    """`odds`, but for fewer points."""
    return odds(there, explained) if there > explained else ""


def own_effect(operation: LoyaltyOperation, effect: Effect, explained: Decimal | None = None) -> Columns:
    """Of a call that a look preceded; empty where nothing shows it. `explained` by the log before the call, if known."""
    if operation.seen_before is None:
        return {}
    if operation.traits.is_apply:
        return _applied(operation, effect, operation.seen_before)
    explained = taken_by(in_force(operation)) if explained is None else explained
    return _returned(operation, effect, operation.seen_before, explained)


def late_effect(operation: LoyaltyOperation, effect: Effect) -> Columns:
    """Of an earlier call without an answer, found before the next one: what other operations did since is theirs."""
    if operation.traits.is_apply:
        return _applied(operation, effect, explained_since_its_call(operation) or Decimal(0))
    return {}


def _applied(operation: LoyaltyOperation, effect: Effect, before: Decimal) -> Columns:
    if effect.amount < before:
        return {}  # changed behind the log's back: what of it is this operation's, nobody can say
    applied = effect.amount - before
    columns: Columns = {"applied_amount": applied}
    if operation.amount is not None and applied > operation.amount:
        columns["discrepancy"] = beyond_the_log(effect.amount, before + operation.amount)
    return columns


def _returned(operation: LoyaltyOperation, effect: Effect, before: Decimal, explained: Decimal) -> Columns:
    columns: Columns = {"returned_amount": max(before - effect.amount, Decimal(0))}
    # Where the log explains none of it, somebody else took all, and the person saw that and undid it.
    if operation.traits.moves_points and explained:
        columns["discrepancy"] = odds(before, explained)
    if effect.is_there:
        figures = {"there": str(effect.amount)}
        columns["discrepancy"] = Reason(reasons.STILL_SHOWN, figures).stored(300)
    return columns
