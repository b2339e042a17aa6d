"""The page in the browser: books, last requests, the faults' switches. Its markup is console.html, filled as Mustache is."""

import base64
import hashlib
import re
from html import escape
from pathlib import Path
from typing import Any

from altegio_loyalty.sandbox.faults import FAULTS

Json = dict[str, Any]

_TAG = re.compile(r"\{\{([#^])(\w+)\}\}(.*?)\{\{/\2\}\}|\{\{(\w+)(?:\[(\d+):(-?\d+)\])?\}\}", re.DOTALL)


_PAGE = Path(__file__).with_name("console.html").read_text(encoding="utf-8")


def _digest(tag: str) -> str:
    text = _PAGE.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


POLICY = (
    f"default-src 'none'; style-src {_digest('style')}; script-src {_digest('script')}; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
"""The Content-Security-Policy: the page's own style and script, and nothing from elsewhere."""


def render(state: Json, problem: str = "") -> str:
    """The page for a `snapshot`."""
    requests = [{**entry, "body": str(entry["body"] or "")} for entry in state["requests"]]
    faults = [_fault(name, state["faults"]) for name in FAULTS if name != "refuse_connections"]
    return _fill(_PAGE, {**state, "requests": requests, "faults": faults, "problem": problem})


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
    kind, here = FAULTS[name], [fault for fault in switched_on if fault["name"] == name]
    own = [{"key": key, "usual": "" if usual is None else usual} for key, usual in kind.parameters.items()]
    shown = {"name": name, "description": kind.description, "parameters": own}
    return shown | {"switched_on": here, "is_on": bool(here)}
