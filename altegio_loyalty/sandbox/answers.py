"""The vendor's objects, built from the books. Called with the ledger's lock held.

What they look like stands in shapes.json, by the kind of object; a text there such as "=amount" is that value of the books.
"""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from altegio_loyalty.sandbox.books import Books, Card, Line, Location, Payment, Row, Visit, total_of

Json = dict[str, Any]

SHAPES: dict[str, Json] = json.loads(Path(__file__).with_name("shapes.json").read_bytes())


def shaped(kind: str, thing: object = None, **more: Any) -> Json:
    """An object of that kind, with what is named here, else with the thing's own values."""

    def filled(shape: Any) -> Any:
        if isinstance(shape, dict):
            return {name: filled(value) for name, value in shape.items()}
        if not isinstance(shape, str) or not shape.startswith("="):
            return shape
        return more[shape[1:]] if shape[1:] in more else getattr(thing, shape[1:])

    return {name: filled(value) for name, value in SHAPES[kind].items()}


def visit_details(books: Books, visit: Visit, *, is_net: bool = False) -> Json:
    """The object of four keys that visit/details and the four loyalty POSTs answer with.

    `is_net`: the cost of a line is what is left of it after promotions.
    """
    return shaped(
        "visit_details",
        payments=[_payment(books, visit, payment) for payment in visit.payments],
        rows=[_transaction(books, row, visit) for row in visit.rows],
        items=[_item(visit, line, is_net=is_net) for line in visit.lines],
    )


def loyalty_transactions(books: Books, visit: Visit) -> list[Json]:
    """The rows alone, sorted by id, each with its program (`[]` for a withdrawal, which has none)."""
    programs: dict[int, Json | list[Any]] = {
        program.id: shaped("row_program", program) for program in books.programs.values()
    }
    rows = sorted(visit.rows, key=lambda row: row.id)
    return [{**_transaction(books, row, visit), "program": programs.get(row.program_id, [])} for row in rows]


def chain_transaction(books: Books, row: Row, visit: Visit) -> Json:
    """A row of the chain's list, which names the visit, and neither the location nor a time."""
    return _transaction(books, row, visit) | shaped("of_chain", visit)


def card(books: Books, item: Card) -> Json:
    visits = [visit for visit in books.visits.values() if visit.client_id == item.client_id]
    programs = [shaped("program", books.programs[program_id]) for program_id in item.program_ids]
    sold = sum((visit.cost for visit in visits), Decimal())
    return shaped("card", item, sold=sold, visits_count=len(visits), programs=programs)


def record(books: Books, visit: Visit, record_id: int) -> Json:
    starts_at = books.locations[visit.location_id].local(visit.starts_at)
    # Products belong to the visit; they are shown with its first appointment.
    goods = [line for line in visit.lines if line.is_product and record_id == visit.record_id]
    return shaped(
        "record",
        visit,
        record_id=record_id,
        services=[_service(visit, line) for line in visit.lines if line.record_id == record_id],
        goods=[shaped("sale", line) for line in goods],
        client=_client(books, visit),
        date=f"{starts_at:%Y-%m-%d %H:%M:%S}",
        datetime=starts_at.isoformat(timespec="seconds"),
        create_date=f"{starts_at:%Y-%m-%dT%H:%M:%S%z}",
        paid_full=0 if visit.left_to_pay else 1,
    )


def visit(books: Books, item: Visit) -> Json:
    records = [record(books, item, record_id) for record_id in item.record_ids]
    return shaped("visit", item, datetime=records[0]["datetime"], records=records)


def location(item: Location) -> Json:
    offset = (item.local(datetime.now(UTC)).utcoffset() or timedelta()) / timedelta(hours=1)
    groups = {str(item.chain_id): {"id": item.chain_id, "title": "Chain 1"}}
    return shaped("location", item, offset=offset, groups=groups)


def _transaction(books: Books, row: Row, visit: Visit) -> Json:
    return shaped("transaction", row, chain_id=books.locations[visit.location_id].chain_id)


def _item(visit: Visit, line: Line, *, is_net: bool) -> Json:
    discounts = [row for row in visit.in_force if row.is_discount and row.item_id == line.item_id]
    net_cost = line.cost - total_of(discounts) if is_net else line.cost
    # The vendor's own samples repeat the record's id as the master's for a service.
    of = "item_product" if line.is_product else "item_service"
    return shaped("item", line, net_cost=net_cost) | shaped(of, line)


def _service(visit: Visit, line: Line) -> Json:
    covered = total_of(row for row in visit.in_force if row.item_id == line.item_id)
    return shaped("service", line, cost_to_pay=max(line.cost - covered, Decimal()))


def _payment(books: Books, visit: Visit, payment: Payment) -> Json:
    paid_at = books.locations[visit.location_id].local(payment.at)
    known: Json = {"client_id": visit.client_id or 0, "client": _client(books, visit) or []}
    return shaped("payment", payment, date=f"{paid_at:%Y-%m-%d %H:%M:%S}", record_id=visit.record_id, **known)


def _client(books: Books, visit: Visit) -> Json | None:
    if visit.client_id is None:
        return None
    return {**shaped("client", books.clients[visit.client_id]), "card": ""}
