"""What Altegio would keep in its database, as plain records."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from typing import Literal
from zoneinfo import ZoneInfo

SERVICE = 1
PRODUCT = 7

PROMOTION_DISCOUNT = 1
PROGRAM_ACCRUAL = 2
CARD_WITHDRAWAL = 3

ROW_TITLES = {
    PROMOTION_DISCOUNT: "Promotion discount",
    PROGRAM_ACCRUAL: "Loyalty program accrual",
    CARD_WITHDRAWAL: "Loyalty card withdrawal",
}

FIRST_IDS = {
    "location": 4564,
    "client": 4240788,
    "card": 9210520,
    "program": 20802,
    "visit": 118389447,
    "record": 140967944,
    "service": 2560779,
    "product": 5048384,
    "sale": 96063258,
    "row": 22988861,
    "payment": 31041050,
}
"""Where each kind of id starts: far apart, so that who confuses two kinds gets a 404 and not another row."""

CENT = Decimal("0.01")
DEFAULT_CHAIN = 145071

IN_FORCE = 1
UNDONE = 2
"""Of the statuses of a row only 1 is documented; this one stands for any other."""


def now() -> datetime:
    return datetime.now(UTC)


def money(value: Decimal | int | str) -> Decimal:
    """The value rounded to cents."""
    return Decimal(value).quantize(CENT, rounding=ROUND_HALF_UP)


def total_of(rows: Iterable[Row | Payment]) -> Decimal:
    """What they come to."""
    return sum((row.amount for row in rows), Decimal())


@dataclass
class Location:
    id: int
    title: str = "Salon"
    chain_id: int = DEFAULT_CHAIN
    timezone: str = "UTC"
    currency: str = "EUR"
    is_visible: bool = True
    """False: the user has no rights here at all; everything under this location answers 403."""
    loyalty_access: bool = True
    """False: the user lacks the loyalty right; the four loyalty POSTs answer 403."""

    def local(self, moment: datetime) -> datetime:
        return moment.astimezone(ZoneInfo(self.timezone))


@dataclass
class Client:
    id: int
    name: str = "Jane Doe"
    phone: str = "+13155550175"


@dataclass
class Program:
    id: int
    title: str = "Birthday"
    percent: Decimal = Decimal(10)
    chain_id: int = DEFAULT_CHAIN


@dataclass
class Card:
    id: int
    client_id: int
    chain_id: int = DEFAULT_CHAIN
    title: str = "Gold"
    balance: Decimal = Decimal()
    program_ids: list[int] = field(default_factory=list)

    @property
    def number(self) -> str:
        """The printed number: sixteen digits with leading zeros, which is not the id."""
        return f"{self.chain_id:06d}{self.id:010d}"[-16:]


@dataclass
class Line:
    """One service or one sold product of a visit."""

    item_id: int
    item_type_id: int
    title: str
    cost: Decimal
    record_id: int
    sale_id: int = 0
    """The product sale's id (`goods_transaction_id`); 0 for a service."""

    @property
    def is_product(self) -> bool:
        return self.item_type_id == PRODUCT


#: What a row is charged to that belongs to the visit as a whole.
NO_LINE = Line(0, 0, "", Decimal(), 0)


@dataclass
class Row:
    """One loyalty transaction of a visit, charged to one line (or to none)."""

    id: int
    type_id: int
    amount: Decimal
    card_id: int
    program_id: int = 0
    item_id: int = 0
    item_type_id: int = 0
    record_id: int = 0
    sale_id: int = 0
    by: str = ""
    status_id: int = IN_FORCE
    created_at: datetime = field(default_factory=now)

    @property
    def title(self) -> str:
        return ROW_TITLES[self.type_id]

    @property
    def is_discount(self) -> bool:
        return self.type_id == PROMOTION_DISCOUNT

    @property
    def is_withdrawal(self) -> bool:
        return self.type_id == CARD_WITHDRAWAL


@dataclass
class Payment:
    id: int
    amount: Decimal
    at: datetime = field(default_factory=now)


@dataclass
class Visit:
    id: int
    location_id: int
    client_id: int | None
    record_ids: list[int]
    starts_at: datetime
    lines: list[Line] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    payments: list[Payment] = field(default_factory=list)

    @property
    def record_id(self) -> int:
        """The first appointment; most visits have no other."""
        return self.record_ids[0]

    @property
    def items(self) -> dict[int, Line]:
        return {line.item_id: line for line in self.lines}

    @property
    def in_force(self) -> list[Row]:
        """The rows that nobody undid."""
        return [row for row in self.rows if row.status_id == IN_FORCE]

    @property
    def covering(self) -> list[Row]:
        """Those of them that leave less to pay: withdrawals and discounts, but no accruals."""
        return [row for row in self.in_force if row.type_id != PROGRAM_ACCRUAL]

    @property
    def cost(self) -> Decimal:
        return sum((line.cost for line in self.lines), Decimal())

    def rows_of(self, card_id: int, program_id: int = 0) -> list[Row]:
        """What the card pays here, or for a program's id what that promotion takes off by the card."""
        return [row for row in self.covering if (row.card_id, row.program_id) == (card_id, program_id)]

    def shares(self, amount: Decimal) -> list[tuple[Line, Decimal]]:
        """The amount spread over the lines in proportion to their cost; the last line takes the remainder."""
        priced = [line for line in self.lines if line.cost]
        shares = [(amount * line.cost / self.cost).quantize(CENT, ROUND_DOWN) for line in priced[:-1]]
        shares.append(amount - sum(shares, Decimal()))
        return [(line, share) for line, share in zip(priced, shares, strict=True) if share]

    @property
    def left_to_pay(self) -> Decimal:
        return max(self.cost - total_of(self.covering) - total_of(self.payments), Decimal())


@dataclass
class Effect:
    """Something that really changed in the books, by whomever."""

    kind: str
    visit_id: int
    card_id: int
    program_id: int
    amount: Decimal
    by: str
    at: datetime = field(default_factory=now)


@dataclass
class Books:
    locations: dict[int, Location] = field(default_factory=dict)
    clients: dict[int, Client] = field(default_factory=dict)
    cards: dict[int, Card] = field(default_factory=dict)
    programs: dict[int, Program] = field(default_factory=dict)
    visits: dict[int, Visit] = field(default_factory=dict)
    effects: list[Effect] = field(default_factory=list)
    next_ids: dict[str, int] = field(default_factory=lambda: dict(FIRST_IDS))

    def visits_at(self, location: Location) -> list[Visit]:
        """By time."""
        here = [visit for visit in self.visits.values() if visit.location_id == location.id]
        return sorted(here, key=lambda visit: (visit.starts_at, visit.id))


@dataclass
class Rules:
    """What the vendor leaves open."""

    undone_rows: Literal["vanish", "stay"] = "vanish"
    """What a cancel does to the rows: in the samples they are gone; they might also stay, with another status."""
    line_cost: Literal["before", "after"] = "before"
    """Whether `cost` of a visit's line is before promotions, as in the samples, or after them, as the text says."""
