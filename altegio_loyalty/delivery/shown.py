"""What a visit shows of an operation's own effect, as columns of the log, and what about it a person must look at."""

from decimal import Decimal

from altegio_loyalty import reasons
from altegio_loyalty.delivery.explained import (
    beyond_the_log,
    explained_amount,
    explained_since_its_call,
    odds,
)
from altegio_loyalty.delivery.transitions import Columns
from altegio_loyalty.kinds import Effect
from altegio_loyalty.models import LoyaltyOperation
from altegio_loyalty.reasons import Reason


def own_effect(operation: LoyaltyOperation, effect: Effect, explained: Decimal | None = None) -> Columns:
    """Of a call that a look preceded; empty where nothing shows it. `explained` by the log before the call, if known."""
    if operation.seen_before is None:
        return {}
    if operation.traits.is_apply:
        return _applied(operation, effect, operation.seen_before)
    explained = explained_amount(operation) if explained is None else explained
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
