"""Altegio's answers as plain values. Strict: what cannot be understood raises `Malformed`; nobody decides on a guess.

Field names and meanings: developer.alteg.io, B2B V1, "visit details" and the loyalty pages; ids may come as texts, amounts
with float noise or as texts, empty objects as `[]`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from altegio_loyalty.client.hidden import Hidden, hides_frames
from altegio_loyalty.redaction import clean

CENT = Decimal("0.01")
LARGEST_AMOUNT = Decimal("9999999999.99")
LARGEST_ID = 2**63 - 1
LONGEST_TEXT = 300
#: A server may give longer pages than it was asked for, or the whole day at once; with more it makes no sense.
MOST_ROWS_FOR_ONE = 10
TYPE_DISCOUNT = 1
TYPE_WITHDRAWAL = 3


class Malformed(ValueError):
    """The answer does not have the documented shape."""


class Credentials:
    """The tokens of one location, hidden. Plain texts are taken as well; then the caller's own frames show them."""

    __slots__ = ("partner_token", "user_token")

    def __init__(self, partner_token: str | Hidden, user_token: str | Hidden) -> None:
        self.partner_token, self.user_token = Hidden.of(partner_token), Hidden.of(user_token)

    def __repr__(self) -> str:
        return "Credentials([hidden])"

    @property
    @hides_frames
    def are_sendable(self) -> bool:
        """Whether both can stand in an HTTP header without changing its meaning."""
        tokens = self.partner_token.reveal() + self.user_token.reveal()
        return tokens.isascii() and tokens.isprintable() and " " not in tokens and "," not in tokens

    def to_header(self) -> bytes:
        """The line of the request, for the one expression that sends it."""
        user = ", User %s" if self.user_token else "%s"
        return (
            f"Authorization: Bearer {self.partner_token.reveal()}{user % self.user_token.reveal()}".encode()
        )


def to_id(value: object) -> int:
    """An Altegio id, which may come as a number or a text; 0 stands for none.

    Raises `Malformed` for anything else.
    """
    if value is None:
        return 0
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        value = Decimal(value.strip())
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, Decimal))
        or not 0 <= value <= LARGEST_ID
        or value != int(value)
    ):
        raise Malformed("an id is not a whole number")
    return int(value)


def to_money(value: object) -> Decimal:
    """An amount in major units, rounded to 2 decimals; it may come as a number or a text.

    Raises `Malformed` for anything else, and for amounts that no visit can have.
    """
    if isinstance(value, bool) or not isinstance(value, (int, Decimal, str)):
        raise Malformed("an amount is not a number")
    try:
        amount = Decimal(value)
        if not amount.is_finite() or abs(amount) > LARGEST_AMOUNT:
            raise Malformed("an amount is out of all proportion")
        return amount.quantize(CENT, rounding=ROUND_HALF_UP)
    except (ArithmeticError, ValueError) as error:
        raise Malformed("an amount is not a number") from error


def _to_money_or(default: int, value: object) -> Decimal:
    """For lines and payments: null is what is missing, and no reason not to understand the loyalty rows beside it."""
    return to_money(default if value is None else value)


def to_object(value: object) -> Mapping[str, Any]:
    """A JSON object; the legacy `[]`, `0` and null for "none" become an empty one."""
    if isinstance(value, Mapping):
        return value
    if value in (None, 0, "") or value == []:
        return {}
    raise Malformed("an object was expected")


def to_objects(value: object) -> Iterator[Mapping[str, Any]]:
    """The objects of a JSON array; a legacy object keyed by id counts as the array of its values."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if not isinstance(value, list):
        raise Malformed("a list was expected")
    for entry in value:
        if not isinstance(entry, Mapping):
            raise Malformed("a list holds something that is not an object")
        yield entry


def to_text(value: object) -> str:
    """A text that every database and page can hold; whatever is no text or number becomes an empty one."""
    if isinstance(value, bool) or not isinstance(value, (str, int, Decimal)):
        return ""
    return clean(str(value), LONGEST_TEXT)


def to_flag(value: object) -> bool:
    """A boolean, which may come as 0 and 1 or as a text."""
    return value in (True, 1, "1", "true")


@dataclass(frozen=True)
class LoyaltyTransaction:
    """One row of what loyalty did on a visit."""

    id: int
    type_id: int
    card_id: int
    program_id: int
    item_id: int
    amount: Decimal
    is_withdrawal: bool
    is_discount: bool

    @classmethod
    def parse(cls, row: Mapping[str, Any]) -> LoyaltyTransaction:
        kind = to_object(row.get("type"))
        type_id = to_id(row.get("type_id", kind.get("id")))
        is_withdrawal = type_id == TYPE_WITHDRAWAL or to_flag(row.get("is_loyalty_withdraw"))
        is_discount = type_id == TYPE_DISCOUNT or to_flag(row.get("is_discount"))
        if not type_id and not is_withdrawal and not is_discount:
            raise Malformed("a loyalty row does not say what it is")
        if (is_withdrawal and "card_id" not in row) or (
            type_id == TYPE_WITHDRAWAL and not to_id(row["card_id"])
        ):
            raise Malformed("a withdrawal does not say from which card")
        return cls(
            id=to_id(row.get("id")),
            type_id=type_id,
            card_id=to_id(row.get("card_id")),
            program_id=to_id(row.get("program_id")),
            item_id=to_id(row.get("item_id")),
            amount=abs(to_money(row.get("amount"))),
            is_withdrawal=is_withdrawal,
            is_discount=is_discount,
        )


@dataclass(frozen=True)
class VisitLine:
    """One service or product of a visit. `cost` is the price of the line before loyalty."""

    title: str
    quantity: Decimal
    cost: Decimal

    @classmethod
    def parse(cls, row: Mapping[str, Any]) -> VisitLine:
        return cls(
            title=to_text(row.get("item_title")),
            quantity=_to_money_or(1, row.get("amount")),
            cost=_to_money_or(0, row.get("cost")),
        )


@dataclass(frozen=True)
class VisitDetails:
    """What a visit holds now: the object that GET visit/details and the four loyalty POSTs answer with."""

    transactions: tuple[LoyaltyTransaction, ...]
    lines: tuple[VisitLine, ...]
    paid: Decimal

    @classmethod
    def parse(cls, body: object) -> VisitDetails:
        """Raises `Malformed` unless every loyalty row can be understood, or where they add up to what no column holds.

        `loyalty_transactions` must be there: an answer without it says nothing about what was applied.
        """
        visit = to_object(body)
        if "loyalty_transactions" not in visit:
            raise Malformed("the answer does not show the visit's loyalty transactions")
        payments = to_objects(visit.get("payment_transactions") or [])
        transactions = tuple(map(LoyaltyTransaction.parse, to_objects(visit["loyalty_transactions"])))
        if sum(row.amount for row in transactions) > LARGEST_AMOUNT:
            raise Malformed("the amounts are out of all proportion")
        return cls(
            transactions=transactions,
            lines=tuple(VisitLine.parse(row) for row in to_objects(visit.get("items") or [])),
            paid=sum((_to_money_or(0, row.get("amount")) for row in payments), Decimal(0)),
        )

    def withdrawn(self, card_id: int) -> Decimal:
        """Points taken from the card on this visit: the sum of its withdrawal rows, each rounded to 2 decimals."""
        rows = (row.amount for row in self.transactions if row.is_withdrawal and row.card_id == card_id)
        return sum(rows, Decimal(0))

    def discounted(self, program_id: int, card_id: int) -> Decimal | None:
        """What the promotion takes off the bill; None where it is not applied.

        A promotion can stand there with nothing taken off, so None and 0 differ. A row without a card belongs to any.
        """
        rows = [
            row.amount
            for row in self.transactions
            if row.is_discount and row.program_id == program_id and row.card_id in (0, card_id)
        ]
        return sum(rows, Decimal(0)) if rows else None

    @property
    def total(self) -> Decimal:
        return sum((line.cost for line in self.lines), Decimal(0))

    @property
    def covered(self) -> Decimal:
        """What loyalty of any sort covers of the total."""
        covering = (8, 9, 11)  # gift card, membership, client account
        rows = (
            row.amount
            for row in self.transactions
            if row.is_withdrawal or row.is_discount or row.type_id in covering
        )
        return sum(rows, Decimal(0))

    @property
    def left_to_pay(self) -> Decimal:
        """The lines less what loyalty and payments cover; the reference gives no figure of its own."""
        return max(self.total - self.covered - self.paid, Decimal(0))


@dataclass(frozen=True)
class Program:
    """A promotion linked to a card."""

    id: int
    title: str
    value: Decimal
    is_percent: bool
    is_discount: bool


@dataclass(frozen=True)
class Card:
    """A client's loyalty card. `id` is what the API wants; `number` is what is printed on it, zeros included."""

    id: int
    number: str
    title: str
    balance: Decimal
    programs: tuple[Program, ...]

    @classmethod
    def parse(cls, row: Mapping[str, Any]) -> Card:
        if not to_id(row.get("id")):
            raise Malformed("a card has no id")
        return cls(
            id=to_id(row.get("id")),
            number=to_text(row.get("number")),
            title=to_text(to_object(row.get("type")).get("title")),
            balance=to_money(row.get("balance")),
            programs=tuple(_parse_program(entry) for entry in to_objects(row.get("programs") or [])),
        )


def _parse_program(row: Mapping[str, Any]) -> Program:
    kind = to_object(row.get("loyalty_type"))
    return Program(
        id=to_id(row.get("id")),
        title=to_text(row.get("title")),
        value=to_money(row.get("value", 0)),
        is_percent=to_id(row.get("value_unit_id")) != 2,
        # Where the answer does not say what the program is, it stays on offer: Altegio knows better than a guess.
        is_discount=to_flag(kind.get("is_discount", True)),
    )


@dataclass(frozen=True)
class Record:
    """An appointment.

    `starts_at` and `changed_at` are texts as they came; `local_start` is the location's own time, without a zone.
    `cost` and `to_pay` are what its services and products cost, and what of that is to be paid; None where the answer does
    not say so.
    """

    id: int
    location_id: int
    visit_id: int
    starts_at: str
    client_id: int
    client_name: str
    client_phone: str
    local_start: str = ""
    changed_at: str = ""
    is_deleted: bool = False
    is_paid: bool = False
    cost: Decimal | None = None
    to_pay: Decimal | None = None

    @classmethod
    def parse(cls, row: Mapping[str, Any]) -> Record:
        client = to_object(row.get("client"))
        cost, to_pay = _parse_costs(row)
        return cls(
            id=to_id(row.get("id")),
            location_id=to_id(row.get("company_id")),
            visit_id=to_id(row.get("visit_id")),
            starts_at=to_text(row.get("datetime")),
            client_id=to_id(client.get("id")),
            client_name=to_text(client.get("display_name")) or to_text(client.get("name")),
            client_phone=to_text(client.get("phone")),
            local_start=to_text(row.get("date")),
            changed_at=to_text(row.get("last_change_date")),
            is_deleted=to_flag(row.get("deleted")),
            is_paid=row.get("paid_full") in (True, 1, 2, "1", "2"),  # 2 is more than paid
            cost=cost,
            to_pay=to_pay,
        )


def _parse_costs(row: Mapping[str, Any]) -> tuple[Decimal | None, Decimal | None]:
    """What the services and products cost, and what of it is to be paid.

    Only a figure on a list, so one that cannot be read makes both unknown and not the whole appointment unreadable.
    """
    cost = to_pay = Decimal(0)
    try:
        lines = [*to_objects(row["services"]), *to_objects(row.get("goods_transactions") or [])]
        for line in lines:
            price = to_money(line["cost"])
            rest = line.get("cost_to_pay")
            cost += price
            to_pay += price if rest is None else to_money(rest)
    except (KeyError, Malformed):
        return None, None
    if max(abs(cost), abs(to_pay)) > LARGEST_AMOUNT:
        return None, None
    return cost, max(to_pay, Decimal(0))


@dataclass(frozen=True)
class RecordPage:
    """A page of a list of appointments. `row_count` counts all of its rows, also those that nobody can read."""

    records: tuple[Record, ...]
    row_count: int

    @classmethod
    def parse(cls, body: object, asked: int) -> RecordPage:
        """One row that makes no sense must not hide all others.

        Raises `Malformed` where there is no list, or one out of all proportion to the rows that were asked for.
        """
        rows = list(body.values()) if isinstance(body, Mapping) else body
        if not isinstance(rows, list):
            raise Malformed("a list was expected")
        if len(rows) > asked * MOST_ROWS_FOR_ONE:
            raise Malformed(f"{asked} rows were asked for, and it has {len(rows)}")
        records = []
        for row in rows:
            with contextlib.suppress(Malformed):
                records.append(Record.parse(to_object(row)))
        return cls(tuple(records), len(rows))

    @property
    def unreadable_count(self) -> int:
        return self.row_count - len(self.records)
