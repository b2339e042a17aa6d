"""A small chain of salons for the demo: on one day the same ids here and in the demo site's own database."""

import json
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from altegio_loyalty.sandbox.ledger import Ledger

FIRST_HOUR = 8
FIRST_DAY = date(2024, 1, 1).toordinal()
FIRST_VISIT = 118_000_000
FIRST_RECORD = 140_000_000


def demo_books(today: date) -> dict[str, Any]:
    """Plain values: `locations`, `programs`, `clients`, their `cards`, and today's `visits`.

    Times are UTC. The third visit of each location has no client: a walk-in, who has no card to pay with.
    """
    books: dict[str, Any] = json.loads(Path(__file__).with_name("demo.json").read_bytes())
    turns = list(enumerate(books.pop("lines")))
    books["visits"] = [
        {"location_id": location["id"], "lines": lines, **_visit(today, place, turn, books["clients"])}
        for place, location in enumerate(books["locations"])
        for turn, lines in turns
    ]
    return books


def fill(ledger: Ledger, today: date) -> int:
    """Adds what is not there yet: all of it at first, a new day's visits later. Says how many visits."""
    with ledger.change():
        new = {
            name: [row for row in rows if row["id"] not in getattr(ledger.books, name)]
            for name, rows in demo_books(today).items()
        }
        for kind in ("location", "program", "client", "card"):
            for row in new[f"{kind}s"]:
                getattr(ledger, f"add_{kind}")(**row)
        for visit in new["visits"]:
            more = {name: visit[name] for name in ("id", "record_id", "starts_at", "lines")}
            ledger.add_visit(visit["location_id"], visit["client_id"], **more)
        return len(new["visits"])


def _visit(today: date, place: int, turn: int, clients: list[dict[str, Any]]) -> dict[str, Any]:
    offset = (today.toordinal() - FIRST_DAY) * 100 + place * 10 + turn
    starts_at = datetime.combine(today, time(FIRST_HOUR), UTC) + timedelta(minutes=75 * turn + 10 * place)
    nobody = {"id": None, "name": "", "phone": ""}
    client = nobody if turn == 2 else clients[(place * 4 + turn) % len(clients)]
    return {
        "id": FIRST_VISIT + offset,
        "record_id": FIRST_RECORD + offset,
        **{f"client_{name}": client[name] for name in nobody},
        "starts_at": starts_at,
    }
