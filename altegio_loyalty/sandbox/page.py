"""Everything there is to see in a sandbox at one moment: as plain values, and as the page that shows them in the browser.

The page's markup is console.html, filled as Mustache is.
"""

import json
import re
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from html import escape
from pathlib import Path
from typing import Any

from altegio_loyalty.sandbox.altegio import Altegio
from altegio_loyalty.sandbox.books import Books, Card, Location, Visit
from altegio_loyalty.sandbox.faults import FAULTS

SHOWN = 50
SHOWN_VISITS = 30

Json = dict[str, Any]

_PAGE = Path(__file__).with_name("console.html").read_text(encoding="utf-8")
_TAG = re.compile(r"\{\{([#^])(\w+)\}\}(.*?)\{\{/\2\}\}|\{\{(\w+)(?:\[(\d+):(-?\d+)\])?\}\}", re.DOTALL)


POLICY = (
    "default-src 'none'; style-src 'nonce-{0}'; script-src 'nonce-{0}'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
"""The Content-Security-Policy, of the nonce: the page's own style and script, and nothing from elsewhere."""


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
            "faults": [fault.state for fault in altegio.faults.switched_on],
            "requests": altegio.requests[: -SHOWN - 1 : -1],
        }
        plain: Json = json.loads(json.dumps(seen, default=_value))
        return plain


def render(state: Json, **more: str) -> str:
    """The page for a `snapshot`; takes the `nonce` of its style and script, and a `problem` to tell."""
    requests = [{**entry, "body": str(entry["body"] or "")} for entry in state["requests"]]
    faults = [_fault(name, state["faults"]) for name in FAULTS]
    return _fill(_PAGE, {**state, **more, "requests": requests, "faults": faults})


def _fill(text: str, fields: Json) -> str:
    """{{name}} is the value, escaped, and {{name[0:9]}} a part of it; {{#name}}…{{/name}} stands once for each row of a
    list, or if the value is true; {{^name}}…{{/name}} stands if it is not. A row's own fields come before those around it.
    """

    def put(tag: re.Match[str]) -> str:
        sign, section, inside, name, first, end = tag.groups()
        if name:
            return escape(str(fields[name])[int(first or 0) : int(end) if end else None])
        value = fields[section]
        if sign == "#" and isinstance(value, list):
            return "".join(_fill(inside, {**fields, **row}) for row in value)
        return _fill(inside, fields) if bool(value) == (sign == "#") else ""

    return _TAG.sub(put, text)


def _fault(name: str, switched_on: list[Json]) -> Json:
    own = [{"key": key, "usual": usual} for key, usual in FAULTS[name].parameters.items()]
    here = [fault for fault in switched_on if fault["name"] == name]
    shown = {"name": name, "description": FAULTS[name].description, "parameters": own}
    return shown | {"switched_on": here, "is_on": bool(here)}


def _location(books: Books, location: Location) -> Json:
    visits = books.visits_at(location)[-SHOWN_VISITS:]
    return vars(location) | {"visits": [_visit(books, location, visit) for visit in visits]}


def _visit(books: Books, location: Location, visit: Visit) -> Json:
    client = books.clients.get(visit.client_id or 0)
    cards = [_card(books, card) for card in books.cards.values() if card.client_id == visit.client_id]
    programs = {program.id: program for card in cards for program in card["programs"]}
    titles = {program.id: program.title for program in books.programs.values()}
    rows = [(row, titles.get(row.program_id, "")) for row in visit.in_force]
    return vars(visit) | {
        "visit_id": visit.id,
        "starts_at": location.local(visit.starts_at),
        "client": client.name if client else "",
        "rows": [{**vars(row), "type": row.title, "program": program} for row, program in rows],
        "cost": visit.cost,
        "left_to_pay": visit.left_to_pay,
        "cards": cards,
        "programs": list(programs.values()),
        "has_cards": bool(cards),
        "has_programs": bool(programs),
    }


def _card(books: Books, card: Card) -> Json:
    programs = [books.programs[program_id] for program_id in card.program_ids]
    return vars(card) | {"client": books.clients[card.client_id].name, "programs": programs}


def _value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(" ")
    return str(value) if isinstance(value, Decimal) else asdict(value)
