"""The page in the browser: books, last requests, the faults' switches. Plain HTML, nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from html import escape
from typing import Any

from altegio_loyalty.sandbox.faults import FAULTS

Json = dict[str, Any]

STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8881;--bad:#c0392b;--good:#2e8b57}
*{box-sizing:border-box}
body{font:15px/1.45 system-ui,sans-serif;margin:0 auto;padding:1rem;max-width:80rem}
h1{font-size:1.4rem;margin:.2rem 0}h2{font-size:1.1rem;margin:1.8rem 0 .5rem}
h3{font-size:1rem;margin:1rem 0 .3rem}
table{border-collapse:collapse;width:100%;min-width:60rem}
nav{display:flex;gap:1rem;margin:.5rem 0}th,td{text-align:left;vertical-align:top;padding:.3rem .5rem;
border-bottom:1px solid var(--line)}th{font-weight:600}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
code{font-size:.9em;overflow-wrap:anywhere}.wide{overflow-x:auto}.quiet{opacity:.7}
form{display:inline-flex;flex-wrap:wrap;gap:.3rem;align-items:center;margin:.1rem 0}
input,select,button{font:inherit;padding:.15rem .4rem}input[type=number]{width:6.5rem}
.bar{display:flex;flex-wrap:wrap;gap:.5rem;align-items:center;padding:.6rem;
background:var(--soft);border-radius:.4rem}
.bad{color:var(--bad);font-weight:600}.good{color:var(--good);font-weight:600}
.on{background:#c0392b18}[role=alert]{border:1px solid var(--bad);padding:.5rem;border-radius:.4rem}
"""

# Brings the books and the log up to date, but never under the hands of somebody who is typing there.
SCRIPT = """
setInterval(async () => {
  if (document.hidden) return;
  const answer = await fetch("/").catch(() => null);
  if (!answer || !answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const old of document.querySelectorAll("[data-live]")) {
    const now = fresh.getElementById(old.id);
    if (now && !old.matches(":focus-within")) old.innerHTML = now.innerHTML;
  }
}, 2000);
"""


def _digest(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


CSP = (
    f"default-src 'none'; style-src {_digest(STYLE)}; script-src {_digest(SCRIPT)}; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


NAVIGATION = (
    "<nav>"
    + " ".join(
        f'<a href="#{name}">{title}</a>'
        for name, title in (
            ("books", "Visits"),
            ("cards", "Cards"),
            ("requests", "Requests"),
            ("effects", "Effects"),
            ("faults", "Faults"),
        )
    )
    + "</nav>"
)


def render(state: Json, problem: str = "") -> str:
    alert = f'<p role="alert">{_text(problem)}</p>' if problem else ""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Altegio sandbox</title><style>{STYLE}</style></head><body>
<h1>Altegio sandbox</h1>{alert}
{NAVIGATION}
{_live("switches", _switches(state))}
{_live("books", "".join(_location(location) for location in state["locations"]))}
{_live("cards", _cards(state["cards"]))}
{_live("requests", _requests(state["requests"]))}
{_live("effects", _effects(state["effects"]))}
{_live("faults", _faults(state["faults"]))}
<script>{SCRIPT}</script></body></html>"""


def _switches(state: Json) -> str:
    condition = '<span class="bad">down: every API connection is cut</span>'
    if not state["is_down"]:
        condition = '<span class="good">answering</span>'
    down = _button(
        "/_sandbox/down",
        "Bring Altegio back" if state["is_down"] else "Take Altegio down",
        down="" if state["is_down"] else "yes",
    )
    limit = "on" if state["has_rate_limit"] else "off"
    return f"""<div class="bar">Altegio is {condition} {down} {_button("/_sandbox/heal", "Heal all")}
{_button("/_sandbox/tokens", "Rotate tokens")}</div>
<p>API URL <code>{_text(state["url"])}</code><br>
Partner token <code>{_text(state["partner_token"])}</code><br>
User token <code>{_text(state["user_token"])}</code><br>Rate limit {limit}</p>"""


def _location(location: Json) -> str:
    sees, may = location["is_visible"], location["loyalty_access"]
    number = location["id"]
    rights = _button(
        "/_sandbox/rights",
        "Hide from the user" if sees else "Show to the user",
        location_id=number,
        is_visible="" if sees else "yes",
    )
    rights += " " + _button(
        "/_sandbox/rights",
        "Take the loyalty right" if may else "Give the loyalty right",
        location_id=number,
        loyalty_access="" if may else "yes",
    )
    heads = (
        "Time",
        "Visit, record",
        "Client",
        "Lines",
        "Loyalty",
        "#Cost",
        "#Left to pay",
        "In Altegio's own screen",
    )
    return f"""<h2>{_text(location["title"])} <span class="quiet">{number}</span></h2><div>{rights}</div>
{_table(heads, (_visit(visit) for visit in location["visits"]))}"""


def _visit(visit: Json) -> str:
    lines = "<br>".join(f"{_text(line['title'])} {_text(line['cost'])}" for line in visit["lines"])
    rows = "<br>".join(_row(row) for row in visit["rows"])
    numbers = f"{visit['id']}<br>" + ", ".join(_text(record_id) for record_id in visit["record_ids"])
    when = _text(visit["starts_at"][:16].replace("T", " "))
    return _cells(
        when,
        numbers,
        _text(visit["client"]),
        lines,
        rows,
        f"#{_text(visit['cost'])}",
        f"#{_text(visit['left_to_pay'])}",
        _clicks(visit),
    )


def _row(row: Json) -> str:
    what = {1: f"{row['program']} -{row['amount']}", 3: f"points -{row['amount']}"}.get(
        row["type_id"], f"type {row['type_id']} +{row['amount']}"
    )
    return f'{_text(what)} <span class="quiet">card {row["card_id"]}, {_text(row["by"])}</span>'


def _clicks(visit: Json) -> str:
    if not visit["cards"]:
        return '<span class="quiet">no card</span>'
    cards = "".join(
        f'<option value="{card["id"]}">{_text(card["title"])} {_text(card["balance"])}</option>'
        for card in visit["cards"]
    )
    linked = {program["id"]: program["title"] for card in visit["cards"] for program in card["programs"]}
    programs = "".join(
        f'<option value="{number}">{_text(title)}</option>' for number, title in linked.items()
    )
    buttons = _choice("withdraw", "Take") + _choice("cancel_withdrawal", "Give back")
    html = f"""<form method="post" action="/_sandbox/screen">{_hidden(visit_id=visit["id"])}
<select name="card_id" aria-label="Card">{cards}</select>
<input type="number" name="amount" value="10" min="0" step="0.01" aria-label="Points">{buttons}"""
    if programs:
        buttons = _choice("apply_program", "Apply") + _choice("cancel_program", "Cancel")
        html += f'<select name="program_id" aria-label="Program">{programs}</select>{buttons}'
    return html + "</form>"


def _choice(action: str, label: str) -> str:
    return f'<button name="action" value="{action}">{label}</button>'


def _cards(cards: list[Json]) -> str:
    rows = (
        _cells(
            card["id"],
            _text(card["client"]),
            _text(card["title"]),
            f"#{_text(card['balance'])}",
            _text(", ".join(f"{program['title']} {program['percent']} %" for program in card["programs"])),
        )
        for card in cards
    )
    return "<h2>Cards</h2>" + _table(("Card", "Client", "Title", "#Balance", "Programs"), rows)


def _requests(requests: list[Json]) -> str:
    rows = (
        _cells(
            _text(entry["at"][11:23]),
            _text(entry["method"]),
            f"<code>{_text(entry['path'])}</code>",
            f"<code>{_text(_short(entry['body']))}</code>",
            _status(entry),
            _text(entry["fault"]),
        )
        for entry in requests
    )
    heads = ("At (UTC)", "Method", "Path", "Body", "Status", "Fault")
    return "<h2>Last requests</h2>" + _table(heads, rows)


def _status(entry: Json) -> str:
    status = entry["status"]
    if status is None:
        return '<span class="bad">no answer</span>'
    return f'<span class="{"good" if status < 400 else "bad"}">{status}</span>'


def _effects(effects: list[Json]) -> str:
    rows = (
        _cells(
            _text(effect["at"][11:23]),
            _text(effect["kind"]),
            effect["visit_id"],
            effect["card_id"],
            f"#{_text(effect['amount'])}",
            _text(effect["by"]),
        )
        for effect in effects
    )
    heads = ("At (UTC)", "What really happened", "Visit", "Card", "#Amount", "By")
    return "<h2>Effects</h2>" + _table(heads, rows)


def _faults(switched_on: list[Json]) -> str:
    rows = (
        _fault(name, [fault for fault in switched_on if fault["name"] == name])
        for name in FAULTS
        if name != "refuse_connections"
    )
    return "<h2>Faults</h2>" + _table(("Fault", "What it does", "Switch"), rows)


def _fault(name: str, active: list[Json]) -> str:
    own = "".join(
        f'<input name="{_text(key)}" value="{"" if usual is None else _text(usual)}" size="8" '
        f'placeholder="{_text(key)}" aria-label="{_text(key)}" title="{_text(key)}">'
        for key, usual in FAULTS[name].parameters.items()
    )
    switch = f"""<form method="post" action="/_sandbox/faults">{_hidden(name=name)}
<input name="path" placeholder="path (all)" aria-label="path" size="18">
<input type="number" name="times" placeholder="times" aria-label="times" min="1">
{own}<button>On</button></form>"""
    for fault in active:
        left = "until healed" if fault["times_left"] is None else f"{fault['times_left']} times left"
        where = fault["path"] or "all requests"
        switch += f'<br><span class="bad">on</span> for {_text(where)}, {left}, met by {fault["hits"]} '
    if active:
        switch += _button("/_sandbox/heal", "Off", name=name)
    cells = _cells(f"<code>{_text(name)}</code>", _text(FAULTS[name].description), switch)
    return cells.replace("<tr>", '<tr class="on">') if active else cells


def _live(name: str, html: str) -> str:
    return f'<section id="{name}" data-live>{html}</section>'


def _table(heads: tuple[str, ...], rows: Iterable[str]) -> str:
    """A head or cell that begins with # holds numbers."""
    head = "".join(
        f'<th scope="col"{" class=n" if name.startswith("#") else ""}>{_text(name.removeprefix("#"))}</th>'
        for name in heads
    )
    body = "".join(rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cells(*cells: object) -> str:
    """Cells of HTML: what comes from outside must have gone through `_text`."""
    texts = [str(cell) for cell in cells]
    row = "".join(
        f'<td class="n">{text[1:]}</td>' if text.startswith("#") else f"<td>{text}</td>" for text in texts
    )
    return f"<tr>{row}</tr>"


def _button(url: str, label: str, /, **fields: object) -> str:
    return f'<form method="post" action="{url}">{_hidden(**fields)}<button>{_text(label)}</button></form>'


def _hidden(**fields: object) -> str:
    return "".join(
        f'<input type="hidden" name="{name}" value="{_text(value)}">' for name, value in fields.items()
    )


def _short(body: Any) -> str:
    text = "" if body is None else str(body)
    return text if len(text) <= 120 else text[:119] + "…"


def _text(value: object) -> str:
    return escape(str(value), quote=True)
