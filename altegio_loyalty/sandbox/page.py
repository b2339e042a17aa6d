"""The page in the browser: books, last requests, the faults' switches. Its markup is console.html, filled as Mustache is."""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from html import escape
from importlib import resources
from typing import Any

from altegio_loyalty.sandbox.faults import FAULTS

Json = dict[str, Any]

_TAG = re.compile(r"\{\{([#^])(\w+)\}\}(.*?)\{\{/\2\}\}|\{\{(\w+)\}\}", re.DOTALL)


@functools.cache
def template() -> str:
    return (resources.files("altegio_loyalty.sandbox") / "console.html").read_text(encoding="utf-8")


@functools.cache
def policy() -> str:
    """The Content-Security-Policy: the page's own style and script, and nothing from elsewhere."""
    return (
        f"default-src 'none'; style-src {_digest('style')}; script-src {_digest('script')}; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )


def _digest(tag: str) -> str:
    text = template().partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def render(state: Json, problem: str = "") -> str:
    """The page for a `snapshot`."""
    locations = [
        {**location, "visits": [_visit(visit) for visit in location["visits"]]}
        for location in state["locations"]
    ]
    shown = {
        "problem": problem,
        "locations": locations,
        "requests": [_request(entry) for entry in state["requests"]],
        "effects": [{**effect, "at": effect["at"][11:23]} for effect in state["effects"]],
        "faults": [_fault(name, state["faults"]) for name in FAULTS if name != "refuse_connections"],
    }
    return _fill(template(), {**state, **shown})


def _fill(text: str, fields: Json) -> str:
    """{{name}} is the value, escaped; {{#name}}…{{/name}} stands once for each row of a list, or if the value is
    true; {{^name}}…{{/name}} stands if it is not. A row's own fields come before those around it.
    """

    def put(tag: re.Match[str]) -> str:
        sign, section, inside, name = tag.groups()
        if name:
            return escape(str(fields[name]))
        value = fields[section]
        if sign == "#" and isinstance(value, list):
            return "".join(_fill(inside, {**fields, **row}) for row in value)
        return _fill(inside, fields) if bool(value) == (sign == "#") else ""

    return _TAG.sub(put, text)


def _visit(visit: Json) -> Json:
    linked = {program["id"]: program for card in visit["cards"] for program in card["programs"]}
    return {
        **visit,
        "starts_at": visit["starts_at"][:16].replace("T", " "),
        "visit_id": visit["id"],
        "record_ids": ", ".join(map(str, visit["record_ids"])),
        "rows": [{**row, "what": _what(row)} for row in visit["rows"]],
        "programs": list(linked.values()),
        "has_cards": bool(visit["cards"]),
        "has_programs": bool(linked),
    }


def _what(row: Json) -> str:
    shown = {1: f"{row['program']} -{row['amount']}", 3: f"points -{row['amount']}"}
    return shown.get(row["type_id"], f"type {row['type_id']} +{row['amount']}")


def _request(entry: Json) -> Json:
    body = "" if entry["body"] is None else str(entry["body"])
    return {
        **entry,
        "at": entry["at"][11:23],
        "body": body if len(body) <= 120 else body[:119] + "…",
        "look": "good" if (entry["status"] or 0) < 400 else "bad",
    }


def _fault(name: str, switched_on: list[Json]) -> Json:
    kind = FAULTS[name]
    here = [fault for fault in switched_on if fault["name"] == name]
    own = [{"key": key, "usual": "" if usual is None else usual} for key, usual in kind.parameters.items()]
    return {
        "name": name,
        "description": kind.description,
        "parameters": own,
        "switched_on": here,
        "is_on": bool(here),
    }
