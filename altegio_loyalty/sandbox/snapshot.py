"""Everything there is to see in a sandbox at one moment, as plain values for the page and the control API."""

from __future__ import annotations

from typing import Any

from altegio_loyalty.sandbox.altegio import Altegio
from altegio_loyalty.sandbox.books import Books, Card, Location, Row, Visit
from altegio_loyalty.sandbox.faults import Fault
from altegio_loyalty.sandbox.requestlog import ReceivedRequest

SHOWN = 50
SHOWN_VISITS = 30

Json = dict[str, Any]


def snapshot(altegio: Altegio) -> Json:
    """Amounts are texts, so that no cent is lost on the way."""
    partner_token, user_token = altegio.access.tokens
    with altegio.ledger.lock:
        books = altegio.ledger.books
        effects = [
            {**vars(effect), "amount": str(effect.amount), "at": effect.at.isoformat()}
            for effect in reversed(books.effects[-SHOWN:])
        ]
        locations = [_location(books, location) for location in books.locations.values()]
        cards = [_card(books, card) for card in books.cards.values()]
    return {
        "platform": altegio.platform,
        "url": altegio.url,
        "partner_token": partner_token,
        "user_token": user_token,
        "is_down": altegio.is_down,
        "has_rate_limit": altegio.limit is not None,
        "locations": locations,
        "cards": cards,
        "effects": effects,
        "faults": [fault_state(fault) for fault in altegio.faults.switched_on],
        "requests": [_request(entry) for entry in reversed(altegio.requests[-SHOWN:])],
    }


def fault_state(fault: Fault) -> Json:
    left = None if fault.times is None else fault.times - fault.hits
    return {
        "name": fault.name,
        "path": fault.path,
        "times_left": left,
        "probability": fault.probability,
        "effect": fault.effect,
        "parameters": fault.parameters,
        "hits": fault.hits,
    }


def _location(books: Books, location: Location) -> Json:
    visits = [visit for visit in books.visits.values() if visit.location_id == location.id]
    visits.sort(key=lambda visit: (visit.starts_at, visit.id))
    return {
        "id": location.id,
        "title": location.title,
        "is_visible": location.is_visible,
        "loyalty_access": location.loyalty_access,
        "visits": [_visit(books, location, visit) for visit in visits[-SHOWN_VISITS:]],
    }


def _visit(books: Books, location: Location, visit: Visit) -> Json:
    client = books.clients.get(visit.client_id or 0)
    cards = [card for card in books.cards.values() if card.client_id == visit.client_id]
    return {
        "id": visit.id,
        "record_ids": visit.record_ids,
        "starts_at": visit.starts_at.astimezone(location.zone).isoformat(),
        "client": client.name if client else "",
        "lines": [{"title": line.title, "cost": str(line.cost)} for line in visit.lines],
        "rows": [_row(books, row) for row in visit.in_force],
        "cost": str(visit.cost),
        "left_to_pay": str(visit.left_to_pay),
        "cards": [_card(books, card) for card in cards],
    }


def _row(books: Books, row: Row) -> Json:
    program = books.programs.get(row.program_id)
    return {
        "id": row.id,
        "type_id": row.type_id,
        "amount": str(row.amount),
        "card_id": row.card_id,
        "program": program.title if program else "",
        "by": row.by,
    }


def _card(books: Books, card: Card) -> Json:
    programs = [books.programs[program_id] for program_id in card.program_ids]
    return {
        "id": card.id,
        "title": card.title,
        "client": books.clients[card.client_id].name,
        "balance": str(card.balance),
        "programs": [{"id": item.id, "title": item.title, "percent": str(item.percent)} for item in programs],
    }


def _request(entry: ReceivedRequest) -> Json:
    shown = {name: value for name, value in vars(entry).items() if name != "headers"}
    return {**shown, "at": entry.at.isoformat()}
