"""Everything there is to see in a sandbox at one moment, as plain values for the page and the control API."""

import json
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Any

from altegio_loyalty.sandbox.altegio import Altegio
from altegio_loyalty.sandbox.books import Books, Card, Location, Row, Visit
from altegio_loyalty.sandbox.faults import Fault

SHOWN = 50
SHOWN_VISITS = 30

Json = dict[str, Any]


def snapshot(altegio: Altegio) -> Json:
    """Amounts are texts, so that no cent is lost on the way. The newest requests and effects come first."""
    names = ("platform", "url", "partner_token", "user_token", "is_down")
    with altegio.ledger.lock:
        books = altegio.ledger.books
        seen = {name: getattr(altegio, name) for name in names} | {
            "has_rate_limit": altegio.limit is not None,
            "locations": [_location(books, location) for location in books.locations.values()],
            "cards": [_card(books, card) for card in books.cards.values()],
            "effects": books.effects[: -SHOWN - 1 : -1],
            "faults": [fault_state(fault) for fault in altegio.faults.switched_on],
            "requests": altegio.requests[: -SHOWN - 1 : -1],
        }
        plain: Json = json.loads(json.dumps(seen, default=_value))
        return plain


def fault_state(fault: Fault) -> Json:
    return asdict(fault) | {"times_left": fault.times_left}


def _location(books: Books, location: Location) -> Json:
    visits = [visit for visit in books.visits.values() if visit.location_id == location.id]
    visits.sort(key=lambda visit: (visit.starts_at, visit.id))
    return vars(location) | {"visits": [_visit(books, location, each) for each in visits[-SHOWN_VISITS:]]}


def _visit(books: Books, location: Location, visit: Visit) -> Json:
    client = books.clients.get(visit.client_id or 0)
    cards = [_card(books, card) for card in books.cards.values() if card.client_id == visit.client_id]
    programs = {program.id: program for card in cards for program in card["programs"]}
    return vars(visit) | {
        "visit_id": visit.id,
        "starts_at": location.local(visit.starts_at),
        "client": client.name if client else "",
        "rows": [_row(books, row) for row in visit.in_force],
        "cost": visit.cost,
        "left_to_pay": visit.left_to_pay,
        "cards": cards,
        "programs": list(programs.values()),
        "has_cards": bool(cards),
        "has_programs": bool(programs),
    }


def _row(books: Books, row: Row) -> Json:
    program = books.programs.get(row.program_id)
    return vars(row) | {"type": row.title, "program": program.title if program else ""}


def _card(books: Books, card: Card) -> Json:
    programs = [books.programs[program_id] for program_id in card.program_ids]
    return vars(card) | {"client": books.clients[card.client_id].name, "programs": programs}


def _value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(" ")
    return str(value) if isinstance(value, Decimal) else asdict(value)
