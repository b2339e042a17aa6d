"""The kinds of operation, one row each: what it takes, what it takes back, and how its effect is read. Pure.

A kind is one of the API's own verbs. Whoever tells kinds apart asks this table, or keeps a table of its own that
`one_for_each` checks when it is imported: a kind that is missing somewhere stops the start, not a call about points.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from altegio_loyalty import exceptions
from altegio_loyalty.client import Order, VisitDetails
from altegio_loyalty.client.v1 import REQUESTS

Value = TypeVar("Value")


@dataclass(frozen=True)
class Effect:
    """What a visit shows of an order. `amount` is in points, or in money for a promotion."""

    is_there: bool
    amount: Decimal


@dataclass(frozen=True)
class Kind:
    """`undoes` is the kind that it takes back, or empty: then it puts something on the visit itself.

    `moves_points` says that its effect is points of a card, and not money off the bill.
    """

    name: str
    effect_on: Callable[[VisitDetails, Order], Effect]
    moves_points: bool = False
    takes_amount: bool = False
    takes_program: bool = False
    undoes: str = ""

    @property
    def is_apply(self) -> bool:
        return not self.undoes


def _refuse(doubt: str) -> None:
    """Where nobody knows, nothing may be sent and nothing told as done: so it is no effect, but a read that failed."""
    if doubt:
        raise exceptions.RowNotKnown(f"Altegio's answer could not be read: {doubt}.")


def _points_of_card(visit: VisitDetails, order: Order) -> Effect:
    _refuse(visit.doubt_about_points(order.card_id))
    amount = visit.withdrawn(order.card_id)
    return Effect(amount > 0, amount)


def _promotion_of_card(visit: VisitDetails, order: Order) -> Effect:
    _refuse(visit.doubt_about_promotion(order.program_id or 0, order.card_id))
    discount = visit.discounted(order.program_id or 0, order.card_id)
    return Effect(discount is not None, discount or Decimal(0))


APPLY_CARD_WITHDRAWAL = Kind("apply_card_withdrawal", _points_of_card, moves_points=True, takes_amount=True)
CANCEL_CARD_WITHDRAWAL = Kind(
    "cancel_card_withdrawal", _points_of_card, moves_points=True, undoes=APPLY_CARD_WITHDRAWAL.name
)
APPLY_DISCOUNT_PROGRAM = Kind("apply_discount_program", _promotion_of_card, takes_program=True)
CANCEL_DISCOUNT_PROGRAM = Kind(
    "cancel_discount_program", _promotion_of_card, takes_program=True, undoes=APPLY_DISCOUNT_PROGRAM.name
)

_ALL = (APPLY_CARD_WITHDRAWAL, CANCEL_CARD_WITHDRAWAL, APPLY_DISCOUNT_PROGRAM, CANCEL_DISCOUNT_PROGRAM)
TABLE: Mapping[str, Kind] = {kind.name: kind for kind in _ALL}


def one_for_each(where: str, table: Mapping[str, Value]) -> Mapping[str, Value]:
    """The table, which has a value for each kind and for nothing else. Raises `TypeError` where it has not."""
    if odd := sorted(set(table) ^ set(TABLE)):
        raise TypeError(f"{where} and the table of kinds do not agree about: {', '.join(map(str, odd))}")
    return table


one_for_each("client.v1", REQUESTS)


def undone_count(visit: VisitDetails, order: Order) -> int:
    """How many rows of what the order applies stand there as undone."""
    card, program = order.card_id, order.program_id or 0
    if TABLE[order.kind].moves_points:
        return sum(row.may_take_from(card) for row in visit.undone)
    return sum(row.may_be_of(program, card) for row in visit.undone)


def effect_on(visit: VisitDetails, order: Order, *, undone_before: int | None = None) -> Effect:
    """What the visit shows now of what the order applies or takes back.

    `undone_before` says that a call of the order may have taken effect, and how many rows of it were known as undone
    before: another one that could be it is no absence.
    Raises `exceptions.RowNotKnown` where a row could be just that and nobody can judge it, `KeyError` for an unknown kind.
    """
    kind = TABLE[order.kind]
    effect = kind.effect_on(visit, order)
    if undone_before is not None and kind.is_apply and not effect.is_there:
        is_new = undone_count(visit, order) > undone_before
        _refuse("a row of this stands there as undone" if is_new else "")
    return effect


def is_known(name: str) -> bool:
    """Whether this release knows the kind; a row of any other is shown as it is and never sent."""
    return name in TABLE


def family_of(name: str) -> tuple[str, ...]:
    """The kind that applies and those that take it back, for any of them. Raises `KeyError` for an unknown kind."""
    apply = TABLE[name].undoes or name
    return apply, *(kind.name for kind in TABLE.values() if kind.undoes == apply)
