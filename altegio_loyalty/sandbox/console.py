"""The sandbox's own page and control API, outside /api/v1: for a person, or a test in another process.

Only for this machine: the caller's own address must be a loopback one and the Host a name of it, and a POST that a
browser says came from another site is refused, since any web page could otherwise post to localhost. The page's markup is
console.html, filled as Mustache is.
"""

import inspect
import ipaddress
import json
import re
import secrets
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from altegio_loyalty.sandbox.altegio import Altegio
from altegio_loyalty.sandbox.books import Books, Card, Location, Visit
from altegio_loyalty.sandbox.faults import FAULTS
from altegio_loyalty.sandbox.ledger import NotInBooks
from altegio_loyalty.sandbox.wire import HTML, Answer, Request, failure

LOOPBACK = ("localhost", "127.0.0.1", "::1")

ON_CARDS = ("withdraw", "cancel_withdrawal", "apply_program", "cancel_program", "accrue", "set_balance")
SCREEN = (*ON_CARDS, "undo_row", "swap_line", "change_price", "change_client", "pay")
"""What can be clicked in Altegio's own screen: verbs of the ledger, with what they take by name."""

SEEN_AT = {"faults": "#faults", "screen": "#books", "rights": "#books"}
"""Where on the page the result of a form is seen."""

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


class Console:
    """Answers everything that is not the API."""

    def __init__(self, altegio: Altegio) -> None:
        self._altegio = altegio

    def answer(self, request: Request) -> Answer:
        if not self._is_from_here(request):
            return failure(403, "The sandbox's own pages answer only to this machine.")
        action = request.path.removeprefix("/_sandbox/")
        act = getattr(self, f"_do_{action}", None)
        if request.method == "POST" and act is not None:
            return self._acted(request, act, "/" + SEEN_AT.get(action, ""))
        if request.method in ("GET", "HEAD") and request.path == "/":
            return self._page()
        if request.method in ("GET", "HEAD") and request.path == "/_sandbox/state":
            return Answer(200, snapshot(self._altegio))
        return failure(404, "There is no such page.")

    def _page(self, problem: str = "") -> Answer:
        nonce = secrets.token_urlsafe()
        html = render(snapshot(self._altegio), nonce=nonce, problem=problem).encode("utf-8", errors="replace")
        headers = {"Content-Security-Policy": POLICY.format(nonce), "X-Content-Type-Options": "nosniff"}
        headers["Cache-Control"] = "no-store"
        return Answer(400 if problem else 200, html, headers=headers, content_type=HTML)

    def _acted(self, request: Request, act: Callable[[Json], Json], seen_at: str) -> Answer:
        is_form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
        try:
            text = request.body.decode("utf-8")
            fields = dict(parse_qsl(text, keep_blank_values=True)) if is_form else json.loads(text or "{}")
            if not isinstance(fields, dict):
                raise ValueError("Send a JSON object.")
            result = act(fields)
        except (ValueError, TypeError, ArithmeticError, NotInBooks) as error:
            problem = str(error) or type(error).__name__
            return self._page(problem) if is_form else failure(400, problem)
        return Answer(303, b"", headers={"Location": seen_at}) if is_form else Answer(200, result)

    def _is_from_here(self, request: Request) -> bool:
        host = request.headers.get("host", "")
        name = urlsplit(f"//{host}").hostname
        if not _is_loopback(request.ip) or name not in (*LOOPBACK, self._altegio.host):
            return False
        if request.method in ("GET", "HEAD"):
            return True
        is_same_origin = request.headers.get("origin", f"http://{host}") == f"http://{host}"
        return is_same_origin and request.headers.get("sec-fetch-site", "none") in ("same-origin", "none")

    # The actions, by the last part of their address

    def _do_faults(self, fields: Json) -> Json:
        given = {name: value for name, value in fields.items() if value not in ("", None)}
        return self._altegio.fail(**{"name": "", **given}).state

    def _do_heal(self, fields: Json) -> Json:
        self._altegio.heal(fields.get("name") or None)
        return {}

    def _do_down(self, fields: Json) -> Json:
        self._altegio.is_down = _yes(fields.get("down", True))
        return {"is_down": self._altegio.is_down}

    def _do_time(self, fields: Json) -> Json:
        self._altegio.advance(float(fields.get("seconds") or 0))
        return {"has_late_effects": self._altegio.has_late_effects}

    def _do_tokens(self, fields: Json) -> Json:
        return dict(zip(("partner_token", "user_token"), self._altegio.rotate_tokens(), strict=True))

    def _do_rights(self, fields: Json) -> Json:
        with self._altegio.ledger.change():
            location = self._altegio.ledger.location(_number(fields, "location_id"))
            rights: Json = {name: getattr(location, name) for name in ("is_visible", "loyalty_access")}
            rights |= {name: _yes(fields[name]) for name in rights if name in fields}
            vars(location).update(rights)
            return rights

    def _do_screen(self, fields: Json) -> Json:
        """Somebody clicks in Altegio's own screen."""
        action = str(fields.get("action"))
        if action not in SCREEN:
            raise ValueError(f"The action is one of {', '.join(SCREEN)}.")
        verb = getattr(self._altegio.ledger, action)
        given = [_argument(fields, name) for name in inspect.signature(verb).parameters if name != "by"]
        return {"amount": str(verb(*given) or 0)}


def _is_loopback(ip: str) -> bool:
    """Whether a connection comes from this machine, whatever its headers say."""
    address = ipaddress.ip_address(ip)
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _yes(value: Any) -> bool:
    return value if isinstance(value, bool) else str(value).lower() in ("1", "true", "yes", "on")


def _argument(fields: Json, name: str) -> Any:
    if name in ("visit", "client", "card", "program"):
        name += "_id"
    return _number(fields, name) if name.endswith("_id") else str(fields.get(name, ""))


def _number(fields: Json, name: str) -> int:
    try:
        return int(fields[name])
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{name} must be a number.") from None


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
