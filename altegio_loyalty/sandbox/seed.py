"""A small chain of salons for the demo: on one day the same ids here and in the demo site's own database."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from altegio_loyalty.sandbox.ledger import Ledger

LOCATIONS = ((4564, "Salon on Main Street"), (4565, "Salon at the Harbour"), (4566, "Salon at the Airport"))

CardSpec = tuple[str, str, tuple[int, ...]]
"""Balance, title, the ids of the programs."""

PROGRAMS = ((20802, "Birthday", "10"), (20803, "Happy hours", "15"), (20804, "Free care product", "100"))

CLIENTS: tuple[tuple[str, tuple[CardSpec, ...]], ...] = (
    ("Jane Miller", (("1000", "Gold", (20802, 20803)),)),
    ("Oliver Stone", (("784.89", "Silver", (20802,)),)),
    ("Anna Petrova", (("0", "Gold", (20802,)), ("250", "Gift", ()))),
    ("Lucas Weber", (("99.99", "Silver", ()),)),
    (
        "Maria Rossi",
        (("5000", "Platinum", (20802, 20803, 20804)), ("12.50", "Gift", ()), ("0", "Silver", ())),
    ),
    ("Ivan Horvat", (("300", "Silver", (20803,)),)),
    ("Sofia Lindqvist", (("0.01", "Gift", ()),)),
    ("Peter Novak", (("150.75", "Gold", (20802,)),)),
    ("Emma Dubois", (("2200", "Platinum", (20803, 20804)), ("40", "Gift", ()))),
    ("Noah Jansen", (("60", "Silver", ()),)),
    ("Nina Kovacs", (("410.10", "Gold", (20802,)),)),
    ("Adam Brown", (("875", "Gold", (20802, 20803)), ("33.33", "Gift", ()))),
)

VISIT_LINES: tuple[tuple[tuple[str, ...], ...], ...] = (
    (("Haircut", "45"),),
    (("Haircut", "45"), ("Shampoo", "18.90", "product")),
    (("Colouring", "120"), ("Care mask", "35.50")),
    (("Manicure", "30"), ("Nail oil", "12.40", "product")),
    (("Full day of care", "640"),),
    (("Beard trim", "19.99"),),
    (("Highlights", "150"), ("Blow-dry", "28"), ("Hair spray", "14.30", "product")),
    (("Massage", "90"),),
)

FIRST_HOUR = 8
VISITS_A_DAY = len(VISIT_LINES)
FIRST_DAY = date(2024, 1, 1).toordinal()
FIRST_VISIT = 118_000_000
FIRST_RECORD = 140_000_000
FIRST_CLIENT = 4_240_788
FIRST_CARD = 9_210_520


def demo_books(today: date) -> dict[str, Any]:
    """Plain values: `locations`, `programs`, `clients` (with `cards`) and today's `visits`.

    Times are UTC. The third visit of each location has no client: a walk-in, who has no card to pay with.
    """
    clients = _clients()
    return {
        "locations": [{"id": number, "title": title, "timezone": "UTC"} for number, title in LOCATIONS],
        "programs": [{"id": number, "title": title, "percent": cut} for number, title, cut in PROGRAMS],
        "clients": clients,
        "visits": [
            _visit(today, place, turn, clients)
            for place in range(len(LOCATIONS))
            for turn in range(VISITS_A_DAY)
        ],
    }


def fill(ledger: Ledger, today: date) -> int:
    """Adds what is not there yet: all of it at first, a new day's visits later. Says how many visits."""
    books = demo_books(today)
    with ledger.change():
        for location in books["locations"]:
            if location["id"] not in ledger.books.locations:
                ledger.add_location(**location)
        for program in books["programs"]:
            if program["id"] not in ledger.books.programs:
                ledger.add_program(**program)
        for client in books["clients"]:
            _add_client(ledger, client)
        new = [visit for visit in books["visits"] if visit["id"] not in ledger.books.visits]
        for visit in new:
            more = {name: visit[name] for name in ("id", "record_id", "starts_at", "lines")}
            ledger.add_visit(visit["location_id"], visit["client_id"], **more)
        return len(new)


def _clients() -> list[dict[str, Any]]:
    clients, card_id = [], FIRST_CARD
    for index, (name, cards) in enumerate(CLIENTS):
        client: dict[str, Any] = {"id": FIRST_CLIENT + index, "name": name, "cards": []}
        client["phone"] = f"+1315555{175 + index:04d}"
        for balance, title, program_ids in cards:
            client["cards"].append(
                {"id": card_id, "title": title, "balance": balance, "programs": program_ids}
            )
            card_id += 1
        clients.append(client)
    return clients


def _visit(today: date, place: int, turn: int, clients: list[dict[str, Any]]) -> dict[str, Any]:
    offset = (today.toordinal() - FIRST_DAY) * 100 + place * 10 + turn
    starts_at = datetime.combine(today, time(FIRST_HOUR), UTC) + timedelta(minutes=75 * turn + 10 * place)
    client = None if turn == 2 else clients[(place * 4 + turn) % len(clients)]
    return {
        "id": FIRST_VISIT + offset,
        "record_id": FIRST_RECORD + offset,
        "location_id": LOCATIONS[place][0],
        "client_id": client["id"] if client else None,
        "client_name": client["name"] if client else "",
        "client_phone": client["phone"] if client else "",
        "starts_at": starts_at,
        "lines": VISIT_LINES[turn],
    }


def _add_client(ledger: Ledger, client: dict[str, Any]) -> None:
    if client["id"] not in ledger.books.clients:
        ledger.add_client(id=client["id"], name=client["name"], phone=client["phone"])
    for card in client["cards"]:
        if card["id"] not in ledger.books.cards:
            ledger.add_card(client["id"], **card)
