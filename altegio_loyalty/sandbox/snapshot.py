"""Everything there is to see in a sandbox at one moment, as plain values for the page and the control API."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from altegio_loyalty.sandbox.altegio import Altegio
from altegio_loyalty.sandbox.books import Books, Card, Location, Row, Visit
from altegio_loyalty.sandbox.faults import Fault

SHOWN = 50
SHOWN_VISITS = 30
NOT_SHOWN = ("headers", "dice")

Json = dict[str, Any]


def snapshot(altegio: Altegio) -> Json:
    """Amounts are texts, so that no cent is lost on the way."""
    with altegio.ledger.lock:
        books = altegio.ledger.books
        effects = [_plain(effect) for effect in reversed(books.effects[-SHOWN:])]
        locations = [_location(books, location) for location in books.locations.values()]
        cards = [_card(books, card) for card in books.cards.values()]
    return {
        "platform": altegio.platform,
        "url": altegio.url,
        "partner_token": altegio.partner_token,
        "user_token": altegio.user_token,
        "is_down": altegio.is_down,
        "has_rate_limit": altegio.limit is not None,
        "locations": locations,
        "cards": cards,
        "effects": effects,
        "faults": [fault_state(fault) for fault in altegio.faults.switched_on],
        "requests": [_plain(entry) for entry in reversed(altegio.requests[-SHOWN:])],
    }


def fault_state(fault: Fault) -> Json:
    left = None if fault.times is None else fault.times - fault.hits
    return _plain(fault, times_left=left)


def _location(books: Books, location: Location) -> Json:
    visits = [visit for visit in books.visits.values() if visit.location_id == location.id]
    visits.sort(key=lambda visit: (visit.starts_at, visit.id))
    return _plain(location, visits=[_visit(books, location, visit) for visit in visits[-SHOWN_VISITS:]])


def _visit(books: Books, location: Location, visit: Visit) -> Json:
    client = books.clients.get(visit.client_id or 0)
    cards = [card for card in books.cards.values() if card.client_id == visit.client_id]
    return _plain(
        visit,
        starts_at=visit.starts_at.astimezone(location.zone),
        client=client.name if client else "",
        lines=[_plain(line) for line in visit.lines],
        rows=[_row(books, row) for row in visit.in_force],
        payments=[_plain(payment) for payment in visit.payments],
        cost=visit.cost,
        left_to_pay=visit.left_to_pay,
        cards=[_card(books, card) for card in cards],
    )


def _row(books: Books, row: Row) -> Json:
    program = books.programs.get(row.program_id)
    return _plain(row, program=program.title if program else "")


def _card(books: Books, card: Card) -> Json:
    programs = [_plain(books.programs[program_id]) for program_id in card.program_ids]
    return _plain(card, client=books.clients[card.client_id].name, programs=programs)


def _plain(record: object, **more: Any) -> Json:
    """The record's own fields and more, as JSON has them."""
    fields = {**vars(record), **more}
    return {name: _value(fields[name]) for name in fields if name not in NOT_SHOWN}


def _value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value
