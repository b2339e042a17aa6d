"""The rules of the books: what a withdrawal, a promotion and their cancels do to cards and visits.

Called from Python, a verb stands for a click in Altegio's own screen; the API calls it with `by="api"`.
Visits, cards, programs and so on are given as objects or as their ids.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Self, TypeVar
from zoneinfo import ZoneInfo

from altegio_loyalty.sandbox import books
from altegio_loyalty.sandbox.books import Card, Client, Line, Location, Program, Row, Visit, money, total_of

SCREEN = "altegio screen"
API = "api"

Amount = Decimal | int | str
LineSpec = tuple[str, Amount] | tuple[str, Amount, str]
AnyClient = Client | int
AnyCard = Card | int
AnyProgram = Program | int
AnyVisit = Visit | int

T = TypeVar("T")


class NotInBooks(LookupError):
    """No such location, visit, record, card or program, or not one that belongs to the others."""


class Ledger:
    """The books behind one lock. `lock` may be taken for a consistent look at several things at once."""

    def __init__(self, kept: books.Books | None = None, saves: Callable[[], None] | None = None) -> None:
        self.books = kept or books.Books()
        self.rules = books.Rules()
        self.lock = threading.RLock()
        self.saves = saves
        self._depth = 0

    def __deepcopy__(self, memo: object) -> Self:
        """Itself, as a sandbox is."""
        return self

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

    def add_location(self, **fields: Any) -> Location:
        """What is not named, here and below, is as the books' own record has it; an `id` is made up."""
        ZoneInfo(fields.get("timezone", "UTC"))  # an unknown one must fail here and not in the first answer
        return self._add("location", Location, **fields)

    def add_client(self, **fields: Any) -> Client:
        return self._add("client", Client, **fields)

    def add_program(self, *, percent: Amount = 10, **fields: Any) -> Program:
        return self._add("program", Program, percent=Decimal(percent), **fields)

    def add_card(
        self, client: AnyClient, *, balance: Amount = 0, programs: Iterable[AnyProgram] = (), **fields: Any
    ) -> Card:
        with self.change():
            linked = [self._program(program).id for program in programs]
            fields |= {"client_id": self.client(client).id, "balance": money(balance), "program_ids": linked}
            return self._add("card", Card, **fields)

    def add_visit(
        self,
        location: Location | int,
        client: AnyClient | None,
        *,
        lines: Iterable[LineSpec] = (("Haircut", 3000),),
        starts_at: datetime | None = None,
        id: int | None = None,
        record_id: int | None = None,
    ) -> Visit:
        """A visit with one appointment. A line is (title, cost), a service, or (title, cost, "product")."""
        starts_at = starts_at or datetime.now(UTC)
        if starts_at.tzinfo is None:
            raise ValueError("starts_at needs a time zone.")
        with self.change():
            place, owner = self.location(location).id, None if client is None else self.client(client).id
            new_id = self._new_id("visit", id, self.books.visits)
            visit = Visit(new_id, place, owner, [], starts_at)
            self.add_record(visit, lines=lines, id=record_id)
            return self.books.visits.setdefault(new_id, visit)

    def add_record(self, visit: AnyVisit, *, lines: Iterable[LineSpec] = (), id: int | None = None) -> int:
        """One more appointment on the same visit, with its lines; returns the record's id."""
        with self.change():
            visit = visit if isinstance(visit, Visit) else self.visit(visit)
            known = (record for other in self.books.visits.values() for record in other.record_ids)
            record_id = self._new_id("record", id, known)
            visit.lines += [self._line(record_id, *spec) for spec in lines]
            visit.record_ids.append(record_id)
            return record_id

    # What Altegio does

    def withdraw(self, visit: AnyVisit, card: AnyCard, amount: Amount, *, by: str = SCREEN) -> Decimal:
        """Takes points off the card for the visit, never more than it holds or is left to pay; says how many.

        Twice takes twice: the worst case for a caller who sends twice, since it shows.
        """
        with self.change():
            visit, card = self._pair(visit, card)
            applied = money(min(Decimal(amount), card.balance, visit.left_to_pay))
            if applied <= 0:
                return Decimal()
            shares = visit.shares(applied)
            new = [self._row(books.CARD_WITHDRAWAL, share, card, line, by=by) for line, share in shares]
            card.balance -= applied
            return self._enter("apply_card_withdrawal", visit, new)

    def cancel_withdrawal(self, visit: AnyVisit, card: AnyCard, *, by: str = SCREEN) -> Decimal:
        """Gives back everything that the card paid on the visit; says how much (0: there was nothing)."""
        with self.change():
            visit, card = self._pair(visit, card)
            return self._undo(visit, visit.rows_of(card.id), by)

    def apply_program(
        self, visit: AnyVisit, card: AnyCard, program: AnyProgram, *, by: str = SCREEN
    ) -> Decimal:
        """Applies the promotion to every line of the visit; says how much it took off. Twice is twice the discount."""
        with self.change():
            visit, card = self._pair(visit, card)
            program = self._linked(card, program)
            cuts = [(line, cut) for line in visit.lines if (cut := money(line.cost * program.percent / 100))]
            of = books.PROMOTION_DISCOUNT
            new = [self._row(of, cut, card, line, program.id, by=by) for line, cut in cuts]
            return self._enter("apply_discount_program", visit, new)

    def cancel_program(
        self, visit: AnyVisit, card: AnyCard, program: AnyProgram, *, by: str = SCREEN
    ) -> Decimal:
        """Takes the promotion back; says how much it had taken off (0: it was not applied)."""
        with self.change():
            visit, card = self._pair(visit, card)
            return self._undo(visit, visit.rows_of(card.id, self._linked(card, program).id), by)

    def undo_row(self, visit: AnyVisit, row_id: int) -> Decimal:
        """Takes one row of a withdrawal or promotion off the visit; says how much it was."""
        with self.change():
            visit = self.visit(visit)
            row = _found({row.id: row for row in visit.covering}, row_id, "row")
            return self._undo(visit, [row], SCREEN)

    def swap_line(self, visit: AnyVisit, item_id: int, title: str, cost: Amount) -> Decimal:
        """Another line takes the place of this one, whose rows go with it; says how much those were."""
        with self.change():
            visit = self.visit(visit)
            old = _found(visit.items, item_id, "line")
            new = self._line(old.record_id, title, cost, "product" if old.is_product else "service")
            visit.lines[visit.lines.index(old)] = new
            gone = [row for row in visit.covering if row.item_id == item_id]
            # Each of them by itself, as in Altegio's screen.
            return sum((self._undo(visit, [row], SCREEN) for row in gone), Decimal())

    def change_price(self, visit: AnyVisit, item_id: int, cost: Amount) -> None:
        """Another price for a line; its rows stay as they are."""
        with self.change():
            _found(self.visit(visit).items, item_id, "line").cost = _price(cost)

    def change_client(self, visit: AnyVisit, client: AnyClient) -> None:
        """The visit is somebody else's; its rows stay, with the card that they are of."""
        with self.change():
            self.visit(visit).client_id = self.client(client).id

    def accrue(self, visit: AnyVisit, card: AnyCard, amount: Amount) -> None:
        """Points earned on the visit: a row that is neither a withdrawal nor a discount."""
        with self.change():
            visit, card = self._pair(visit, card)
            row = self._row(books.PROGRAM_ACCRUAL, money(amount), card, books.NO_LINE, by=SCREEN)
            card.balance += self._enter("accrue", visit, [row])

    def pay(self, visit: AnyVisit, amount: Amount) -> None:
        """The client pays part of the visit in money, which leaves less to pay with points."""
        with self.change():
            self.visit(visit).payments.append(books.Payment(self._new_id("payment"), money(amount)))

    def set_balance(self, card: AnyCard, balance: Amount) -> None:
        """The balance changes in a way that no visit shows: a manual transaction, points that ran out."""
        with self.change():
            self.card(card).balance = money(balance)

    # Looking things up

    def location(self, location: Location | int) -> Location:
        return _found(self.books.locations, location, "location")

    def client(self, client: AnyClient) -> Client:
        return _found(self.books.clients, client, "client")

    def card(self, card: AnyCard) -> Card:
        return _found(self.books.cards, card, "card")

    def visit(self, visit: AnyVisit) -> Visit:
        return _found(self.books.visits, visit, "visit")

    def balance(self, card: AnyCard) -> Decimal:
        return self.card(card).balance

    def left_to_pay(self, visit: AnyVisit) -> Decimal:
        with self.lock:
            return self.visit(visit).left_to_pay

    def withdrawn(self, visit: AnyVisit, card: AnyCard) -> Decimal:
        """What the card has paid on the visit so far."""
        with self.lock:
            return total_of(self.visit(visit).rows_of(_id(card)))

    def discounted(self, visit: AnyVisit, program: AnyProgram) -> Decimal:
        """What the promotion has taken off the visit so far."""
        with self.lock:
            rows = self.visit(visit).covering
            return total_of(row for row in rows if row.is_discount and row.program_id == _id(program))

    @property
    def effects(self) -> list[books.Effect]:
        """Everything that really happened, in order."""
        return list(self.books.effects)

    # Inside

    def _pair(self, visit: AnyVisit, card: AnyCard) -> tuple[Visit, Card]:
        visit, card = self.visit(visit), self.card(card)
        chain_id = self.location(visit.location_id).chain_id
        if (card.client_id, card.chain_id) != (visit.client_id, chain_id):
            raise NotInBooks(f"Card {card.id} is not one of visit {visit.id}'s client.")
        return visit, card

    def _program(self, program: AnyProgram) -> Program:
        return _found(self.books.programs, program, "program")

    def _linked(self, card: Card, program: AnyProgram) -> Program:
        if _id(program) not in card.program_ids:
            raise NotInBooks(f"Program {_id(program)} is not linked to card {card.id}.")
        return self._program(program)

    def _line(self, record_id: int, title: str, cost: Amount, kind: str = "service") -> Line:
        if kind not in ("service", "product"):
            raise ValueError(f"A line is a service or a product, not {kind!r}.")
        price, item_id = _price(cost), self._new_id(kind)
        if kind == "service":
            return Line(item_id, books.SERVICE, title, price, record_id)
        return Line(item_id, books.PRODUCT, title, price, 0, self._new_id("sale"))

    def _row(
        self, type_id: int, amount: Decimal, card: Card, line: Line, program_id: int = 0, *, by: str
    ) -> Row:
        charged_to = (line.item_id, line.item_type_id, line.record_id, line.sale_id)
        return Row(self._new_id("row"), type_id, amount, card.id, program_id, *charged_to, by=by)

    def _enter(self, kind: str, visit: Visit, new: list[Row]) -> Decimal:
        visit.rows += new
        return self._note(kind, visit, new, new[0].by if new else "")

    def _undo(self, visit: Visit, gone: list[Row], by: str) -> Decimal:
        """Takes such rows off the visit; what a card paid goes back to it. Says how much they were."""
        for row in gone:
            row.status_id = books.UNDONE
            if row.is_withdrawal:
                self.card(row.card_id).balance += row.amount
        if self.rules.undone_rows == "vanish":
            visit.rows = [row for row in visit.rows if row not in gone]
        of = "card_withdrawal" if gone and gone[0].is_withdrawal else "discount_program"
        return self._note(f"cancel_{of}", visit, gone, by)

    def _note(self, kind: str, visit: Visit, rows: list[Row], by: str) -> Decimal:
        """What came of rows of one card, and of one promotion or none. Says how much they are."""
        amount = total_of(rows)
        for row in rows[:1]:
            effect = books.Effect(kind, visit.id, row.card_id, row.program_id, amount, by)
            self.books.effects.append(effect)
        return amount

    def _add(self, kind: str, make: Callable[..., T], *, id: int | None = None, **fields: Any) -> T:
        table: dict[int, T] = getattr(self.books, f"{kind}s")
        with self.change():
            new_id = self._new_id(kind, id, table)
            return table.setdefault(new_id, make(new_id, **fields))

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


def _found(table: dict[int, T], thing: Location | Client | Card | Program | Visit | int, what: str) -> T:
    try:
        return table[_id(thing)]
    except KeyError:
        raise NotInBooks(f"There is no {what} {_id(thing)}.") from None
