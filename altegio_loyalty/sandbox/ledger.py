"""The rules of the books: what a withdrawal, a promotion and their cancels do to cards and visits.

Called from Python, a verb stands for a click in Altegio's own screen; the API calls it with `by="api"`.
Visits, cards, programs and so on are given as objects or as their ids.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeVar
from zoneinfo import ZoneInfo

from altegio_loyalty.sandbox.books import (
    CARD_WITHDRAWAL,
    PRODUCT,
    PROGRAM_ACCRUAL,
    PROMOTION_DISCOUNT,
    SERVICE,
    UNDONE,
    Books,
    Card,
    Client,
    Effect,
    Line,
    Location,
    Payment,
    Program,
    Row,
    Rules,
    Visit,
    money,
    total_of,
)

SCREEN = "altegio screen"
API = "api"
DEFAULT_CHAIN = 145071

Amount = Decimal | int | str
LineSpec = tuple[str, Amount] | tuple[str, Amount, str]

T = TypeVar("T")


class NotInBooks(LookupError):
    """No such location, visit, record, card or program, or not one that belongs to the others."""


class RefusedRepeat(ValueError):
    """The rules in force do not allow the same thing twice on one visit."""


class Ledger:
    """The books behind one lock. `lock` may be taken for a consistent look at several things at once."""

    def __init__(self, books: Books | None = None, saves: Callable[[], None] | None = None) -> None:
        self.books = books or Books()
        self.rules = Rules()
        self.lock = threading.RLock()
        self.saves = saves
        self._depth = 0

    @contextmanager
    def change(self) -> Iterator[None]:
        """Everything inside is one change: nobody sees half of it and it is saved once."""
        with self.lock:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
            if self._depth == 0 and self.saves is not None:
                self.saves()

    # Filling the books

    def add_location(
        self,
        *,
        title: str = "Salon",
        id: int | None = None,
        chain_id: int = DEFAULT_CHAIN,
        timezone: str = "UTC",
        currency: str = "EUR",
    ) -> Location:
        with self.change():
            new_id = self._new_id("location", id, self.books.locations)
            ZoneInfo(timezone)  # an unknown one must fail here and not in the first answer
            location = Location(new_id, title, chain_id, timezone, currency)
            self.books.locations[location.id] = location
            return location

    def add_client(
        self, *, name: str = "Jane Doe", phone: str = "+13155550175", id: int | None = None
    ) -> Client:
        with self.change():
            client = Client(self._new_id("client", id, self.books.clients), name, phone)
            self.books.clients[client.id] = client
            return client

    def add_program(
        self,
        *,
        title: str = "Birthday",
        percent: Amount = 10,
        id: int | None = None,
        chain_id: int = DEFAULT_CHAIN,
    ) -> Program:
        with self.change():
            program_id = self._new_id("program", id, self.books.programs)
            program = Program(program_id, title, Decimal(percent), chain_id)
            self.books.programs[program.id] = program
            return program

    def add_card(
        self,
        client: Client | int,
        *,
        balance: Amount = 0,
        title: str = "Gold",
        programs: Iterable[Program | int] = (),
        id: int | None = None,
        chain_id: int = DEFAULT_CHAIN,
    ) -> Card:
        with self.change():
            owner = self.books.clients[_id(client)].id
            linked = [self.books.programs[_id(program)].id for program in programs]
            card_id = self._new_id("card", id, self.books.cards)
            card = Card(card_id, owner, chain_id, title, money(balance), linked)
            self.books.cards[card.id] = card
            return card

    def add_visit(
        self,
        location: Location | int,
        client: Client | int | None,
        *,
        lines: Iterable[LineSpec] = (("Haircut", 3000),),
        starts_at: datetime | None = None,
        id: int | None = None,
        record_id: int | None = None,
        attendance: int = 1,
    ) -> Visit:
        """A visit with one appointment. A line is (title, cost), a service, or (title, cost, "product")."""
        starts_at = starts_at or datetime.now(UTC)
        if starts_at.tzinfo is None:
            raise ValueError("starts_at needs a time zone.")
        with self.change():
            place = self.books.locations[_id(location)].id
            owner = None if client is None else self.books.clients[_id(client)].id
            visit_id = self._new_id("visit", id, self.books.visits)
            visit = Visit(visit_id, place, owner, [], starts_at, attendance=attendance)
            self.add_record(visit, lines=lines, id=record_id)
            self.books.visits[visit.id] = visit
            return visit

    def add_record(self, visit: Visit | int, *, lines: Iterable[LineSpec] = (), id: int | None = None) -> int:
        """One more appointment on the same visit, with its lines; returns the record's id."""
        with self.change():
            visit = visit if isinstance(visit, Visit) else self.visit(visit)
            known = (record for other in self.books.visits.values() for record in other.record_ids)
            record_id = self._new_id("record", id, known)
            new_lines = [self._line(record_id, *spec) for spec in lines]
            visit.record_ids.append(record_id)
            visit.lines.extend(new_lines)
            return record_id

    # What Altegio does

    def withdraw(self, visit: Visit | int, card: Card | int, amount: Amount, *, by: str = SCREEN) -> Decimal:
        """Takes points off the card for the visit, never more than it holds or is left to pay; says how many.

        Raises RefusedRepeat if `rules.repeat_withdrawal` is "refuse" and the visit shows the card already.
        """
        with self.change():
            visit, card = self._pair(visit, card)
            if self.rules.repeat_withdrawal != "add" and self.withdrawn(visit.id, card.id):
                if self.rules.repeat_withdrawal == "refuse":
                    raise RefusedRepeat("This card was already used for this visit.")
                self.cancel_withdrawal(visit, card, by=by)
            applied = money(min(Decimal(amount), card.balance, visit.left_to_pay))
            if applied <= 0:
                return Decimal()
            for line, share in visit.shares(applied):
                visit.rows.append(self._row(CARD_WITHDRAWAL, share, card, line, by=by))
            card.balance -= applied
            self._note("apply_card_withdrawal", visit, card, 0, applied, by)
            return applied

    def cancel_withdrawal(self, visit: Visit | int, card: Card | int, *, by: str = SCREEN) -> Decimal:
        """Gives back everything that the card paid on the visit; says how much (0: there was nothing)."""
        with self.change():
            visit, card = self._pair(visit, card)
            returned = self._undo("cancel_card_withdrawal", visit, card, 0, by)
            card.balance += returned
            return returned

    def apply_program(
        self, visit: Visit | int, card: Card | int, program: Program | int, *, by: str = SCREEN
    ) -> Decimal:
        """Applies the promotion to every line of the visit; says how much it took off.

        Twice is twice the discount, unless `rules.repeat_promotion` is "refuse", which raises RefusedRepeat.
        """
        with self.change():
            visit, card = self._pair(visit, card)
            program = self._linked(card, program)
            if self.rules.repeat_promotion == "refuse" and visit.rows_of(card, program.id):
                raise RefusedRepeat("This promotion was already applied to this visit.")
            amounts = [(line, money(line.cost * program.percent / 100)) for line in visit.lines]
            new = [
                self._row(PROMOTION_DISCOUNT, cut, card, line, program.id, by=by)
                for line, cut in amounts
                if cut
            ]
            visit.rows += new
            if new:
                self._note("apply_discount_program", visit, card, program.id, total_of(new), by)
            return total_of(new)

    def cancel_program(
        self, visit: Visit | int, card: Card | int, program: Program | int, *, by: str = SCREEN
    ) -> Decimal:
        """Takes the promotion back; says how much it had taken off (0: it was not applied)."""
        with self.change():
            visit, card = self._pair(visit, card)
            return self._undo("cancel_discount_program", visit, card, self._linked(card, program).id, by)

    def undo_row(self, visit: Visit | int, row_id: int, *, by: str = SCREEN) -> Decimal:
        """Takes one row of a withdrawal or promotion off the visit; says how much it was."""
        with self.change():
            visit = self.visit(_id(visit))
            row = _found({row.id: row for row in visit.covering}, row_id, "row")
            return self._take_off(visit, [row], by)

    def swap_line(
        self, visit: Visit | int, item_id: int, title: str, cost: Amount, *, by: str = SCREEN
    ) -> Decimal:
        """Another line takes the place of this one, whose rows go with it; says how much those were."""
        with self.change():
            visit = self.visit(_id(visit))
            old = _found(visit.items, item_id, "line")
            new = self._line(old.record_id, title, cost, "product" if old.is_product else "service")
            visit.lines[visit.lines.index(old)] = new
            return self._take_off(visit, [row for row in visit.covering if row.item_id == item_id], by)

    def change_price(self, visit: Visit | int, item_id: int, cost: Amount) -> None:
        """Another price for a line; its rows stay as they are."""
        with self.change():
            _found(self.visit(_id(visit)).items, item_id, "line").cost = _price(cost)

    def change_client(self, visit: Visit | int, client: Client | int) -> None:
        """The visit is somebody else's; its rows stay, with the card that they are of."""
        with self.change():
            self.visit(_id(visit)).client_id = self.client(_id(client)).id

    def accrue(self, visit: Visit | int, card: Card | int, amount: Amount, *, by: str = SCREEN) -> None:
        """Points earned on the visit: a row that is neither a withdrawal nor a discount."""
        with self.change():
            visit, card = self._pair(visit, card)
            visit.rows.append(self._row(PROGRAM_ACCRUAL, money(amount), card, None, by=by))
            card.balance += money(amount)
            self._note("accrue", visit, card, 0, money(amount), by)

    def pay(self, visit: Visit | int, amount: Amount) -> None:
        """The client pays part of the visit in money, which leaves less to pay with points."""
        with self.change():
            payment = Payment(self._new_id("payment"), money(amount), datetime.now(UTC))
            self.visit(_id(visit)).payments.append(payment)

    def set_balance(self, card: Card | int, balance: Amount) -> None:
        """The balance changes in a way that no visit shows: a manual transaction, points that ran out."""
        with self.change():
            self.card(_id(card)).balance = money(balance)

    # Looking things up

    def location(self, location_id: int) -> Location:
        return _found(self.books.locations, location_id, "location")

    def client(self, client_id: int) -> Client:
        return _found(self.books.clients, client_id, "client")

    def card(self, card_id: int) -> Card:
        return _found(self.books.cards, card_id, "card")

    def visit(self, visit_id: int) -> Visit:
        return _found(self.books.visits, visit_id, "visit")

    def balance(self, card: Card | int) -> Decimal:
        return self.card(_id(card)).balance

    def left_to_pay(self, visit: Visit | int) -> Decimal:
        with self.lock:
            return self.visit(_id(visit)).left_to_pay

    def withdrawn(self, visit: Visit | int, card: Card | int) -> Decimal:
        """What the card has paid on the visit so far."""
        with self.lock:
            rows = self.visit(_id(visit)).in_force
            return total_of(row for row in rows if row.is_withdrawal and row.card_id == _id(card))

    def discounted(self, visit: Visit | int, program: Program | int) -> Decimal:
        """What the promotion has taken off the visit so far."""
        with self.lock:
            rows = self.visit(_id(visit)).in_force
            return total_of(row for row in rows if row.is_discount and row.program_id == _id(program))

    @property
    def effects(self) -> list[Effect]:
        """Everything that really happened, in order."""
        return list(self.books.effects)

    # Inside

    def _pair(self, visit: Visit | int, card: Card | int) -> tuple[Visit, Card]:
        visit, card = self.visit(_id(visit)), self.card(_id(card))
        chain_id = self.location(visit.location_id).chain_id
        if card.client_id != visit.client_id or card.chain_id != chain_id:
            raise NotInBooks(f"Card {card.id} is not one of visit {visit.id}'s client.")
        return visit, card

    def _linked(self, card: Card, program: Program | int) -> Program:
        if _id(program) not in card.program_ids:
            raise NotInBooks(f"Program {_id(program)} is not linked to card {card.id}.")
        return _found(self.books.programs, _id(program), "program")

    def _line(self, record_id: int, title: str, cost: Amount, kind: str = "service") -> Line:
        if kind not in ("service", "product"):
            raise ValueError(f"A line is a service or a product, not {kind!r}.")
        price, item_id = _price(cost), self._new_id(kind)
        if kind == "service":
            return Line(item_id, SERVICE, title, price, record_id)
        return Line(item_id, PRODUCT, title, price, 0, self._new_id("sale"))

    def _row(
        self, type_id: int, amount: Decimal, card: Card, line: Line | None, program_id: int = 0, *, by: str
    ) -> Row:
        row = Row(self._new_id("row"), type_id, amount, card.id, program_id, by=by)
        if line is not None:
            row.item_id, row.item_type_id = line.item_id, line.item_type_id
            row.record_id, row.sale_id = line.record_id, line.sale_id
        return row

    def _undo(self, kind: str, visit: Visit, card: Card, program_id: int, by: str) -> Decimal:
        gone = visit.rows_of(card, program_id)
        self._mark_undone(visit, gone)
        if gone:
            self._note(kind, visit, card, program_id, total_of(gone), by)
        return total_of(gone)

    def _take_off(self, visit: Visit, rows: list[Row], by: str) -> Decimal:
        """Each of them by itself, as in Altegio's screen; what a card paid goes back to it."""
        self._mark_undone(visit, rows)
        for row in rows:
            card = self.card(row.card_id)
            if row.is_withdrawal:
                card.balance += row.amount
            kind = "cancel_card_withdrawal" if row.is_withdrawal else "cancel_discount_program"
            self._note(kind, visit, card, row.program_id, row.amount, by)
        return total_of(rows)

    def _mark_undone(self, visit: Visit, gone: list[Row]) -> None:
        for row in gone:
            row.status_id = UNDONE
        if self.rules.undone_rows == "vanish":
            visit.rows = [row for row in visit.rows if row not in gone]

    def _note(self, kind: str, visit: Visit, card: Card, program_id: int, amount: Decimal, by: str) -> None:
        self.books.effects.append(Effect(kind, visit.id, card.id, program_id, amount, datetime.now(UTC), by))

    def _new_id(self, kind: str, wanted: int | None = None, taken: Iterable[int] = ()) -> int:
        new_id = self.books.next_ids[kind] if wanted is None else wanted
        if wanted is not None and new_id in taken:
            raise ValueError(f"There is a {kind} {new_id} already.")
        self.books.next_ids[kind] = max(self.books.next_ids[kind], new_id + 1)
        return new_id


def _price(cost: Amount) -> Decimal:
    if money(cost) < 0:
        raise ValueError("A line cannot cost less than nothing.")
    return money(cost)


def _id(thing: Location | Client | Card | Program | Visit | int) -> int:
    return thing if isinstance(thing, int) else thing.id


def _found(table: dict[int, T], key: int, what: str) -> T:
    try:
        return table[key]
    except KeyError:
        raise NotInBooks(f"There is no {what} {key}.") from None
