"""Altegio's answers as plain values. Strict: what cannot be understood raises `Malformed`; nobody decides on a guess.

Meanings: developer.alteg.io, B2B V1. Ids come as texts, amounts as texts or with float noise, empty objects as `[]`.
"""

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Self, TypeVar

from altegio_loyalty.client.hidden import Hidden, hides_frames
from altegio_loyalty.redaction import clean

Parsed = TypeVar("Parsed")
CENT = Decimal("0.01")
LARGEST_AMOUNT = Decimal("9999999999.99")
LARGEST_ID = 2**63 - 1
LONGEST_TEXT = 300
#: A server may give longer pages than it was asked for, or the whole day at once; with more it makes no sense.
MOST_ROWS_FOR_ONE = 10
#: No visit, card or appointment has more of anything; an answer of some megabytes can.
MOST_ROWS = 2000


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
        line = "Authorization: Bearer %s, User %s" if self.user_token else "Authorization: Bearer %s%s"
        return (line % (self.partner_token.reveal(), self.user_token.reveal())).encode()

    to_header.alters_data = True  # type: ignore[attr-defined]  # for templates, as in `Hidden`


def to_id(value: Any) -> int:
    """An Altegio id, as a number or a text; 0 stands for none. Raises `Malformed` for anything else."""
    if value is None:
        return 0
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        value = Decimal(value.strip())
    is_number = isinstance(value, (int, Decimal)) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= LARGEST_ID or value != int(value):
        raise Malformed("an id is not a whole number")
    return int(value)


def to_money(value: object) -> Decimal:
    """An amount in major units, as a number or a text, to 2 decimals. Raises `Malformed` for any that no visit can have."""
    if isinstance(value, bool) or not isinstance(value, (int, Decimal, str)):
        raise Malformed("an amount is not a number")
    try:
        amount = Decimal(value)
        if not amount.is_finite() or abs(amount) > LARGEST_AMOUNT:
            raise Malformed("an amount is out of all proportion")
        return amount.quantize(CENT, rounding=ROUND_HALF_UP)
    except (ArithmeticError, ValueError) as error:
        raise Malformed("an amount is not a number") from error


def to_known(value: object) -> Decimal | None:
    """An amount that is only shown: None where it cannot be read."""
    with contextlib.suppress(Malformed):
        return to_money(value)
    return None


def sum_of(amounts: Iterable[Decimal | None]) -> Decimal | None:
    """None where one of them is not known."""
    known = list(amounts)
    return None if None in known else sum((amount or Decimal(0) for amount in known), Decimal(0))


def to_object(value: object) -> Mapping[str, Any]:
    """A JSON object; the legacy `[]`, `0` and null for "none" become an empty one."""
    if isinstance(value, Mapping):
        return value
    if value in (None, 0, "") or value == []:
        return {}
    raise Malformed("an object was expected")


def to_list(value: object) -> list[object]:
    """A JSON array; a legacy object keyed by id counts as the array of its values."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if not isinstance(value, list):
        raise Malformed("a list was expected")
    if len(value) > MOST_ROWS:
        raise Malformed(f"a list of {len(value)} rows is out of all proportion")
    return value


def to_objects(value: object) -> Iterator[Mapping[str, Any]]:
    """The objects of a JSON array, or of a legacy object keyed by id."""
    for entry in to_list(value):
        if not isinstance(entry, Mapping):
            raise Malformed("a list holds something that is not an object")
        yield entry


def to_text(value: object) -> str:
    """A text that every database and page can hold; whatever is no text or number becomes an empty one."""
    if isinstance(value, bool) or not isinstance(value, (str, int, Decimal)):
        return ""
    return clean(str(value), LONGEST_TEXT)


def offset_zone(hours: Decimal) -> str:
    """The name of the time zone that is always so far ahead of UTC; empty where IANA has none."""
    return f"Etc/GMT{-int(hours):+d}" if hours == int(hours) and -12 <= hours <= 14 else ""


def to_flag(value: object) -> bool:
    """A boolean, which may come as 0 and 1 or as a text."""
    return value in (True, 1, "1", "true")


@dataclass(frozen=True)
class Program:
    """A promotion linked to a card. `value` is None where Altegio does not say it."""

    id: int
    title: str
    value: Decimal | None
    is_percent: bool
    is_discount: bool

    @property
    def named(self) -> str:
        """With the percent, by which staff tell two of one title apart."""
        percent = f" {self.value.normalize():f} %" if self.is_percent and self.value else ""
        return f"{self.title}{percent}"

    @classmethod
    def parse(cls, row: Mapping[str, Any]) -> Self:
        """Raises `Malformed` without an id: nothing could be asked for with it."""
        kind = row.get("loyalty_type")
        return cls(
            id=_to_id_of_its_own(row),
            title=to_text(row.get("title")),
            value=to_known(row.get("value", 0)),
            is_percent=row.get("value_unit_id") not in (2, "2"),
            # Where the answer does not say what the program is, it stays on offer: Altegio knows better than a guess.
            is_discount=to_flag(kind.get("is_discount", True)) if isinstance(kind, Mapping) else True,
        )


@dataclass(frozen=True)
class Card:
    """A client's loyalty card. `id` is what the API wants; `number` is what is printed on it, zeros included.

    `balance` is None where Altegio does not say it; `unreadable_count` counts the promotions that nobody can read.
    """

    id: int
    number: str
    title: str
    balance: Decimal | None
    programs: tuple[Program, ...]
    unreadable_count: int = 0

    @classmethod
    def parse(cls, row: Mapping[str, Any]) -> Self:
        """Raises `Malformed` without an id: nothing could be asked for with it."""
        kind = row.get("type")
        programs, unreadable_count = _readable(row.get("programs") or [], Program.parse)
        return cls(
            id=_to_id_of_its_own(row),
            number=to_text(row.get("number")),
            title=to_text(kind.get("title")) if isinstance(kind, Mapping) else "",
            balance=to_known(row.get("balance")),
            programs=tuple(dict.fromkeys(programs)),
            unreadable_count=unreadable_count,
        )


@dataclass(frozen=True)
class Cards:
    """A client's cards. `unreadable_count` counts the cards and promotions that nobody can read, and that are left out."""

    cards: tuple[Card, ...]
    unreadable_count: int

    @classmethod
    def parse(cls, body: object) -> Self:
        """Raises `Malformed` where there is no list of them: no cards and no answer differ."""
        # The reference prints one bare object where the real answer is a list.
        is_bare = isinstance(body, Mapping) and ("balance" in body or "number" in body)
        cards, unreadable_count = _readable([body] if is_bare else to_list(body), Card.parse)
        cards = tuple(dict.fromkeys(cards))
        return cls(cards, unreadable_count + sum(card.unreadable_count for card in cards))


def _to_id_of_its_own(row: Mapping[str, Any]) -> int:
    if not (own := to_id(row.get("id"))):
        raise Malformed("it has no id")
    return own


def _readable(value: object, parse: Callable[[Mapping[str, Any]], Parsed]) -> tuple[tuple[Parsed, ...], int]:
    """The rows that can be read, and how many cannot: one that makes no sense must not hide all others."""
    try:
        rows = to_list(value)
    except Malformed:
        return (), 1
    read = []
    for row in rows:
        with contextlib.suppress(Malformed):
            read.append(parse(to_object(row)))
    return tuple(read), len(rows) - len(read)


def parse_clients(body: object) -> dict[int, str]:
    """Clients' names by their ids. Raises `Malformed` where there is no list; a row of no sense hides no other."""
    rows = to_list(body)
    return dict(_readable(rows, lambda row: (_to_id_of_its_own(row), to_text(row.get("name"))))[0])


@dataclass(frozen=True)
class Record:
    """An appointment. `starts_at` and `changed_at` are texts as they came; `local_start` is the location's own time, naive.

    `cost` and `to_pay` are of its services and products; None where the answer does not say so.
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
    def parse(cls, row: Mapping[str, Any]) -> Self:
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
    """Of services and products. Only shown: what cannot be read makes both unknown, not the appointment unreadable."""
    cost = to_pay = Decimal(0)
    try:
        for line in [*to_objects(row["services"]), *to_objects(row.get("goods_transactions") or [])]:
            price, rest = to_money(line["cost"]), line.get("cost_to_pay")
            cost, to_pay = cost + price, to_pay + (price if rest is None else to_money(rest))
    except (KeyError, Malformed):
        return None, None
    is_sane = max(abs(cost), abs(to_pay)) <= LARGEST_AMOUNT
    return (cost, max(to_pay, Decimal(0))) if is_sane else (None, None)


@dataclass(frozen=True)
class Company:
    """A location as Altegio has it; what it does not show is empty, and `id` is 0. `chain_id` is the usual chain's.

    `time_zone` is IANA's name as it came, or that of the offset; `currency` a code of ISO 4217, so nothing like "Kč".
    """

    id: int
    title: str
    time_zone: str = ""
    currency: str = ""
    chain_id: int = 0

    @classmethod
    def parse(cls, body: object) -> Self:
        row = to_object(body)
        chain_id, hours = 0, to_known(row.get("timezone"))
        with contextlib.suppress(Malformed):
            chain_id = to_id(row.get("main_group_id"))
        currency = to_text(row.get("currency_short_title"))
        return cls(
            id=to_id(row.get("id")),
            title=to_text(row.get("title")),
            time_zone=to_text(row.get("timezone_name")) or ("" if hours is None else offset_zone(hours)),
            currency=currency if re.fullmatch("[A-Z]{3}", currency) else "",
            chain_id=chain_id,
        )

    @classmethod
    def parse_list(cls, body: object) -> list[Self]:
        """Those that can be read."""
        return [company for company in _readable(to_list(body), cls.parse)[0] if company.id]


@dataclass(frozen=True)
class RecordPage:
    """A page of appointments. `row_count` counts also rows that nobody can read; `total_count` is 0 if Altegio is silent."""

    records: tuple[Record, ...]
    row_count: int
    total_count: int = 0

    @classmethod
    def parse(cls, body: object, asked: int) -> Self:
        """A row of no sense hides no other. Raises `Malformed` where there is no list, or far more rows than `asked`."""
        rows = to_list(body)
        if len(rows) > asked * MOST_ROWS_FOR_ONE:
            raise Malformed(f"{asked} rows were asked for, and it has {len(rows)}")
        return cls(_readable(rows, Record.parse)[0], len(rows))

    @property
    def unreadable_count(self) -> int:
        return self.row_count - len(self.records)
