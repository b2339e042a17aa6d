"""What a visit holds, as far as each row can be read; whether a row's `doubt` matters, only the one who asks can tell."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self

from altegio_loyalty.client import types
from altegio_loyalty.client.types import LARGEST_AMOUNT, Malformed, sum_of, to_flag, to_id, to_known, to_list

TYPE_DISCOUNT, TYPE_WITHDRAWAL = 1, 3
#: These cover a bill and belong to no card.
TYPE_GIFT_CARD, TYPE_MEMBERSHIP, TYPE_ACCOUNT = COVERING = 8, 9, 11
WITHOUT_CARD = (*COVERING, 10)
#: The vendor's pages show 1 alone. Rows that were undone are seen with 2; what others mean is written nowhere.
IN_FORCE, UNDONE = 1, 2
#: Type, card and program; 0 stands for none.
What = tuple[int, int, int]


class _Cells:
    """A row read cell by cell; `doubt` is what is odd about the first one that could not be read."""

    def __init__(self, row: Mapping[str, Any], where: str) -> None:
        self.row, self.where, self.doubt = row, where, ""

    def suspect(self, name: str, why: object) -> None:
        self.doubt = self.doubt or f"{self.where}.{name}: {why}"

    def read(self, name: str, parse: Any) -> Any:
        try:
            return parse(self.row.get(name))
        except Malformed as error:
            self.suspect(name, error)
            return None


@dataclass(frozen=True, kw_only=True)
class LoyaltyTransaction:
    """One row of what loyalty did on a visit; None stands for what the row does not say, or nobody can read.

    `doubt` names the row, the field and what is odd, and is empty for a row in force. `amount` bears the row's own sign.
    """

    type_id: int | None = None
    card_id: int | None = None
    program_id: int | None = None
    amount: Decimal | None = None
    is_withdrawal: bool | None = None
    is_discount: bool | None = None
    is_undone: bool = False
    doubt: str = ""

    @classmethod
    def parse(cls, row: object, where: str = "row") -> Self:
        """Raises nothing. Only the cells that could matter for what the row is are read."""
        if not isinstance(row, Mapping):
            return cls(doubt=f"{where}: an object was expected")
        cells = _Cells(row, where)
        type_id, is_withdrawal, is_discount = _kind_of(cells)
        says_what = is_withdrawal is not None
        is_ours = not says_what or is_withdrawal or is_discount
        card_id = cells.read("card_id", to_id) if is_ours else None
        if is_withdrawal and not card_id and type_id not in WITHOUT_CARD:
            cells.suspect("card_id", "a withdrawal does not say from which card")
            card_id = None
        program_id = cells.read("program_id", to_id) if is_discount is not False else None
        if is_discount and not program_id and type_id not in WITHOUT_CARD:
            cells.suspect("program_id", "a promotion does not say which one it is")
            program_id = None
        amount = cells.read("amount", types.to_money) if is_ours or type_id in COVERING else None
        status_id = cells.read("status_id", to_id)
        if row.get("status_id") is not None and status_id not in (None, IN_FORCE, UNDONE):
            cells.suspect("status_id", f"nobody knows what the status {status_id} means")
        return cls(
            type_id=type_id,
            # Of whichever card or promotion, where it does not even say what it is.
            card_id=card_id if says_what else card_id or None,
            program_id=program_id if says_what else program_id or None,
            amount=amount,
            is_withdrawal=is_withdrawal,
            is_discount=is_discount,
            is_undone=status_id == UNDONE,
            doubt=cells.doubt,
        )

    @property
    def covers(self) -> bool:
        """Whether it takes something off the bill, or could."""
        return self.is_withdrawal is not False or self.is_discount is not False or self.type_id in COVERING

    def may_take_from(self, card_id: int) -> bool:
        return self.is_withdrawal is not False and self.card_id in (None, card_id)

    def may_be_of(self, program_id: int, card_id: int) -> bool:
        """A row without a card belongs to any."""
        is_of_program = self.program_id in (None, program_id)
        return self.is_discount is not False and is_of_program and self.card_id in (None, 0, card_id)


def _kind_of(cells: _Cells) -> tuple[int | None, bool | None, bool | None]:
    """The row's type, and whether it takes points and whether it is a promotion; None for both where it does not say."""
    if cells.row.get("type_id") is None:
        type_id = cells.read("type", lambda kind: to_id(types.to_object(kind).get("id")))
    else:
        type_id = cells.read("type_id", to_id)
    is_withdrawal = type_id == TYPE_WITHDRAWAL or to_flag(cells.row.get("is_loyalty_withdraw"))
    is_discount = type_id == TYPE_DISCOUNT or to_flag(cells.row.get("is_discount"))
    if type_id or is_withdrawal or is_discount:
        return type_id, is_withdrawal, is_discount
    cells.suspect("type_id", "it does not say what it is")
    return type_id, None, None


@dataclass(frozen=True)
class VisitLine:
    """One service or product of a visit; None is what Altegio does not say. `first_cost` is before any discount.

    `cost` is the line's price before loyalty by the vendor's samples, and after promotions by its words.
    """

    title: str
    quantity: Decimal | None
    cost: Decimal | None
    first_cost: Decimal | None = None

    @classmethod
    def parse(cls, row: object) -> Self:
        """Raises nothing."""
        cells = row if isinstance(row, Mapping) else {}
        return cls(
            title=types.to_text(cells.get("item_title")),
            quantity=Decimal(1) if cells.get("amount") is None else to_known(cells["amount"]),
            cost=to_known(cells.get("cost")),
            first_cost=to_known(cells.get("first_cost")),
        )


@dataclass(frozen=True)
class VisitDetails:
    """What a visit holds now, as GET visit/details and the four POSTs answer. `paid` is None where a payment is unclear.

    Rows of a card with opposite signs take each other off, as a refund that stays beside its payment does.
    """

    transactions: tuple[LoyaltyTransaction, ...]
    lines: tuple[VisitLine, ...]
    paid: Decimal | None
    undone: tuple[LoyaltyTransaction, ...] = ()

    @classmethod
    def parse(cls, body: object) -> Self:
        """Raises `Malformed` where there are no loyalty rows to read, or they add up to what no column holds.

        `loyalty_transactions` must be there: an answer without it says nothing about what was applied.
        """
        visit = types.to_object(body)
        if "loyalty_transactions" not in visit:
            raise Malformed("the answer does not show the visit's loyalty transactions")
        known: dict[str, object] = {}
        rows = [
            LoyaltyTransaction.parse(row, f"loyalty_transactions[{index}]")
            for index, row in enumerate(to_list(visit["loyalty_transactions"]))
            if not _is_deleted(row) and not _is_again(row, known)
        ]
        transactions = tuple(row for row in rows if not row.is_undone)
        if sum(abs(row.amount or Decimal(0)) for row in transactions) > LARGEST_AMOUNT:
            raise Malformed("the amounts are out of all proportion")
        payments = [row for row in _rows_of(visit.get("payment_transactions")) if not _is_deleted(row)]
        paid = (to_known(row.get("amount")) if isinstance(row, Mapping) else None for row in payments)
        lines = tuple(map(VisitLine.parse, _rows_of(visit.get("items"))))
        return cls(transactions, lines, sum_of(paid), tuple(row for row in rows if row.is_undone))

    def withdrawn(self, card_id: int) -> Decimal:
        """Points taken from the card on this visit, by the rows in force, each rounded to 2 decimals."""
        return _net(row for row in self.transactions if not row.doubt and row.may_take_from(card_id))

    def discounted(self, program_id: int, card_id: int) -> Decimal | None:
        """What the promotion takes off the bill, also 0; None where it is not applied. A row without a card is of any."""
        rows = [row for row in self.transactions if not row.doubt and row.may_be_of(program_id, card_id)]
        is_taken_back = not _net(rows) and any(row.amount for row in rows)
        return None if is_taken_back or not rows else _net(rows)

    def doubt_about_points(self, card_id: int) -> str:
        """Why nobody can say how many points of the card are taken here; empty where `withdrawn` tells."""
        return next((row.doubt for row in self.transactions if row.doubt and row.may_take_from(card_id)), "")

    def doubt_about_promotion(self, program_id: int, card_id: int) -> str:
        """Why nobody can say whether the promotion is applied here; empty where `discounted` tells."""
        rows = (row for row in self.transactions if row.doubt and row.may_be_of(program_id, card_id))
        return next((row.doubt for row in rows), "")

    @property
    def doubt(self) -> str:
        """Why nobody can say what of the bill is covered; empty where `covered` tells."""
        return next((row.doubt for row in self.transactions if row.doubt and row.covers), "")

    @property
    def used_cards(self) -> list[int]:
        """The cards that points are taken from here, or may be."""
        cards = dict.fromkeys(row.card_id or 0 for row in self.transactions if row.is_withdrawal)
        return [card for card in cards if card and (self.withdrawn(card) or self.doubt_about_points(card))]

    @property
    def applied_promotions(self) -> list[tuple[int, int]]:
        """Card and program of each promotion that is applied from a card, or may be."""
        rows = [row for row in self.transactions if row.is_discount and row.program_id and row.card_id]
        pairs = dict.fromkeys((row.card_id or 0, row.program_id or 0) for row in rows)
        return [
            (card, program)
            for card, program in pairs
            if self.discounted(program, card) is not None or self.doubt_about_promotion(program, card)
        ]

    @property
    def total(self) -> Decimal | None:
        """What the lines cost; None where one does not say it."""
        return sum_of(line.cost for line in self.lines)

    def covered_by(self, *, promotions_only: bool = False) -> dict[What, Decimal]:
        """What loyalty of any sort takes off, by what it is."""
        rows: defaultdict[What, list[LoyaltyTransaction]] = defaultdict(list)
        for row in self.transactions:
            if not row.doubt and (row.is_discount if promotions_only else row.covers):
                rows[row.type_id or 0, row.card_id or 0, row.program_id or 0].append(row)
        return {what: amount for what, of_it in rows.items() if (amount := _net(of_it))}

    @property
    def covered(self) -> Decimal | None:
        """What loyalty of any sort covers of the total; None where a row of which nobody knows could."""
        return None if self.doubt else sum(self.covered_by().values(), Decimal(0))

    @property
    def rest(self) -> tuple[Decimal, Decimal] | None:
        """The least and the most that is left to pay, below 0 where more is covered; None where the answer does not tell.

        Promotions are taken off the prices, or stand in them already: the vendor says both. They can only stand in them
        where these are lower than the first prices by as much.
        """
        total, covered, paid = self.total, self.covered, self.paid
        if total is None or covered is None or paid is None:
            return None
        off = sum(self.covered_by(promotions_only=True).values(), Decimal(0))
        first, least = sum_of(line.first_cost for line in self.lines), total - covered - paid
        return least, least + off if first is None or first - total >= off else least

    @property
    def left_to_pay(self) -> Decimal | None:
        """The least that can be left to pay; `rest` tells whether it can be more."""
        return max(self.rest[0], Decimal(0)) if self.rest else None


def _net(rows: Iterable[LoyaltyTransaction]) -> Decimal:
    return abs(sum((row.amount or Decimal(0) for row in rows), Decimal(0)))


def _is_again(row: object, known: dict[str, object]) -> bool:
    """Whether the same row, with its id and all else, stood there before."""
    number = str(row.get("id") or "") if isinstance(row, Mapping) else ""
    is_again = bool(number) and known.get(number) == row
    known.setdefault(number, row)
    return is_again


def _is_deleted(row: object) -> bool:
    return isinstance(row, Mapping) and to_flag(row.get("deleted"))


def _rows_of(value: object) -> list[object]:
    """Lines or payments. What is no list of them is one that nobody can read, and no reason to hide the loyalty rows."""
    try:
        return to_list(value or [])
    except Malformed:
        return [None]
