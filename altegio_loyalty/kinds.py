"""The kinds of operation, one row each: what it takes, what it takes back, and how its effect is read. Pure.

A kind is one of the API's own verbs. Whoever tells kinds apart asks this table, or keeps a table of its own that
`one_for_each` checks when it is imported: a kind that is missing somewhere stops the start, not a call about points.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from altegio_loyalty.client.types import VisitDetails

Value = TypeVar("Value")


@dataclass(frozen=True)
class Target:
    """What an operation is about, in Altegio's numbers. `amount` is in points."""

    kind: str
    card_id: int
    program_id: int | None = None
    amount: Decimal | None = None

    @property
    def is_apply(self) -> bool:
        return TABLE[self.kind].is_apply

    def effect_on(self, visit: VisitDetails) -> Effect:
        """What the visit shows now of what the target applies or takes back. Raises `KeyError` for an unknown kind."""
        return TABLE[self.kind].effect_on(visit, self)


@dataclass(frozen=True)
class Effect:
    """What a visit shows of a target. `amount` is in points, or in money for a promotion."""

    is_there: bool
    amount: Decimal


@dataclass(frozen=True)
class Kind:
    """`undoes` is the kind that it takes back, or empty: then it puts something on the visit itself."""

    name: str
    effect_on: Callable[[VisitDetails, Target], Effect]
    takes_amount: bool = False
    takes_program: bool = False
    undoes: str = ""

    @property
    def is_apply(self) -> bool:
        return not self.undoes


def _points_of_card(visit: VisitDetails, target: Target) -> Effect:
    amount = visit.withdrawn(target.card_id)
    return Effect(amount > 0, amount)


def _promotion_of_card(visit: VisitDetails, target: Target) -> Effect:
    discount = visit.discounted(target.program_id or 0, target.card_id)
    return Effect(discount is not None, discount or Decimal(0))


APPLY_CARD_WITHDRAWAL = Kind("apply_card_withdrawal", _points_of_card, takes_amount=True)
CANCEL_CARD_WITHDRAWAL = Kind("cancel_card_withdrawal", _points_of_card, undoes=APPLY_CARD_WITHDRAWAL.name)
APPLY_DISCOUNT_PROGRAM = Kind("apply_discount_program", _promotion_of_card, takes_program=True)
CANCEL_DISCOUNT_PROGRAM = Kind(
    "cancel_discount_program", _promotion_of_card, takes_program=True, undoes=APPLY_DISCOUNT_PROGRAM.name
)

TABLE: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        APPLY_CARD_WITHDRAWAL,
        CANCEL_CARD_WITHDRAWAL,
        APPLY_DISCOUNT_PROGRAM,
        CANCEL_DISCOUNT_PROGRAM,
    )
}


def is_known(name: str) -> bool:
    """Whether this release knows the kind; a row of any other is shown as it is and never sent."""
    return name in TABLE


def pair_of(name: str) -> tuple[str, str]:
    """The kind that applies and the one that takes it back, for either of the two. Raises `KeyError` for another name."""
    apply = TABLE[name].undoes or name
    return apply, next(kind.name for kind in TABLE.values() if kind.undoes == apply)


def one_for_each(where: str, table: Mapping[str, Value]) -> Mapping[str, Value]:
    """The table, which has a value for each kind and for nothing else. Raises `TypeError` where it has not."""
    if odd := sorted(set(table) ^ set(TABLE)):
        raise TypeError(f"{where} and the table of kinds do not agree about: {', '.join(map(str, odd))}")
    return table
