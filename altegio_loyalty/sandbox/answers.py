"""The vendor's objects, built from the books. Called with the ledger's lock held.

Fields that no books change stand in unchanging.json, by the kind of object.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from altegio_loyalty.sandbox.books import (
    ROW_TITLES,
    Books,
    Card,
    Client,
    Line,
    Location,
    Payment,
    Program,
    Row,
    Visit,
    total_of,
)

Json = dict[str, Any]

UNCHANGING: dict[str, Json] = json.loads(Path(__file__).with_name("unchanging.json").read_bytes())


def visit_details(books: Books, visit: Visit, *, is_net: bool = False) -> Json:
    """The object of four keys that visit/details and the four loyalty POSTs answer with.

    `is_net`: the cost of a line is what is left of it after promotions.
    """
    chain_id = books.locations[visit.location_id].chain_id
    return {
        "payment_transactions": [_payment(books, visit, payment) for payment in visit.payments],
        "loyalty_transactions": [_transaction(row, chain_id) for row in visit.rows],
        "items": [_item(line, _discount(visit, line) if is_net else Decimal()) for line in visit.lines],
    } | UNCHANGING["visit_details"]


def loyalty_transactions(books: Books, visit: Visit) -> list[Json]:
    """The rows alone, sorted by id, each with its program (`[]` for a withdrawal, which has none)."""
    chain_id = books.locations[visit.location_id].chain_id
    rows = sorted(visit.rows, key=lambda row: row.id)
    return [{**_transaction(row, chain_id), "program": _row_program(books, row)} for row in rows]


def chain_transaction(row: Row, visit: Visit, chain_id: int) -> Json:
    """A row of the chain's list, which names the visit, and neither the location nor a time."""
    return _transaction(row, chain_id) | {"visit_id": visit.id} | UNCHANGING["chain_transaction"]


def client(item: Client) -> Json:
    return {"id": item.id, "name": item.name, "phone": item.phone} | UNCHANGING["client"]


def card(books: Books, item: Card) -> Json:
    chain = {"id": item.chain_id, "title": "Chain 1"}
    kind = {"id": item.type_id, "title": item.title, "salon_group_id": item.chain_id}
    visits = [visit for visit in books.visits.values() if visit.client_id == item.client_id]
    sold = sum((visit.cost for visit in visits), Decimal())
    return {
        "id": item.id,
        "balance": item.balance,
        "paid_amount": sold,
        "sold_amount": sold,
        "visits_count": len(visits),
        "number": item.number,
        "type_id": item.type_id,
        "salon_group_id": item.chain_id,
        "type": kind,
        "salon_group": chain,
        "programs": [_program(books.programs[program_id]) for program_id in item.program_ids],
    } | UNCHANGING["card"]


def record(books: Books, visit: Visit, record_id: int) -> Json:
    starts_at = visit.starts_at.astimezone(books.locations[visit.location_id].zone)
    lines = [line for line in visit.lines if line.record_id == record_id]
    # Products belong to the visit; they are shown with its first appointment.
    goods = [line for line in visit.lines if line.is_product and record_id == visit.record_id]
    return {
        "id": record_id,
        "company_id": visit.location_id,
        "services": [_service(visit, line) for line in lines],
        "goods_transactions": [_sale(line) for line in goods],
        "client": _client(books, visit),
        "date": starts_at.strftime("%Y-%m-%d %H:%M:%S"),
        "datetime": starts_at.isoformat(timespec="seconds"),
        **dict.fromkeys(("create_date", "last_change_date"), f"{starts_at:%Y-%m-%dT%H:%M:%S%z}"),
        **dict.fromkeys(("attendance", "visit_attendance"), visit.attendance),
        "visit_id": visit.id,
        "paid_full": 0 if visit.left_to_pay else 1,
    } | UNCHANGING["record"]


def visit(books: Books, item: Visit) -> Json:
    starts_at = item.starts_at.astimezone(books.locations[item.location_id].zone)
    return {
        "attendance": item.attendance,
        "datetime": starts_at.isoformat(timespec="seconds"),
        "comment": 0,
        "records": [record(books, item, record_id) for record_id in item.record_ids],
    }


def location(item: Location) -> Json:
    return {
        "id": item.id,
        "title": item.title,
        "timezone": (datetime.now(item.zone).utcoffset() or timedelta()) / timedelta(hours=1),
        "timezone_name": item.timezone,
        "currency_short_title": item.currency,
        "main_group_id": item.chain_id,
        "main_group": {"id": item.chain_id, "title": "Chain 1"},
        "groups": {str(item.chain_id): {"id": item.chain_id, "title": "Chain 1"}},
    } | UNCHANGING["location"]


def chain(chain_id: int, locations: list[Location], *, has_loyalty: bool) -> Json:
    companies = [{"id": item.id, "title": item.title} for item in locations]
    rights = ("loyalty_access", "loyalty_programs_access", "loyalty_cards_manual_transactions_access")
    access = dict.fromkeys(rights, int(has_loyalty))
    return {"id": chain_id, "title": "Chain 1", "companies": companies, "access": access}


def permissions(item: Location) -> Json:
    """The user's rights in a location; only the loyalty ones can be switched."""
    rights = ("loyalty_access", "has_loyalty_access", "loyalty_cards_manual_transactions_access")
    return {"loyalty": dict.fromkeys(rights, item.loyalty_access)} | UNCHANGING["permissions"]


def user(login: str, user_token: str) -> Json:
    return {"user_token": user_token, "login": login, "email": login} | UNCHANGING["user"]


def _transaction(row: Row, chain_id: int) -> Json:
    return {
        "id": row.id,
        "status_id": row.status_id,
        "amount": row.amount,
        "type_id": row.type_id,
        "program_id": row.program_id,
        "card_id": row.card_id,
        "salon_group_id": chain_id,
        "item_id": row.item_id,
        "item_type_id": row.item_type_id,
        "item_record_id": row.record_id,
        "goods_transaction_id": row.sale_id,
        "is_discount": row.is_discount,
        "is_loyalty_withdraw": row.is_withdrawal,
        "type": {"id": row.type_id, "title": ROW_TITLES[row.type_id]},
    }


def _item(line: Line, discount: Decimal) -> Json:
    is_service = not line.is_product
    return {
        "id": line.sale_id,
        "item_id": line.item_id,
        "item_type_id": line.item_type_id,
        "record_id": line.record_id,
        "item_title": line.title,
        "first_cost": line.cost,
        "manual_cost": line.cost,
        "cost": line.cost - discount,
        # The vendor's own samples repeat the record's id here for a service.
        "master_id": line.record_id if is_service else UNCHANGING["record"]["staff_id"],
        "good_id": 0 if is_service else line.item_id,
        "service_id": line.item_id if is_service else 0,
        "is_service": is_service,
        "is_good": not is_service,
    } | UNCHANGING["item"]


def _discount(visit: Visit, line: Line) -> Decimal:
    return total_of(row for row in visit.in_force if row.is_discount and row.item_id == line.item_id)


def _service(visit: Visit, line: Line) -> Json:
    covered = total_of(row for row in visit.in_force if row.item_id == line.item_id)
    return {
        "id": line.item_id,
        "title": line.title,
        "cost": line.cost,
        "cost_to_pay": max(line.cost - covered, Decimal()),
        "manual_cost": line.cost,
        "first_cost": line.cost,
    } | UNCHANGING["service"]


def _sale(line: Line) -> Json:
    return {"id": line.sale_id, "good_id": line.item_id, "title": line.title, "cost": line.cost}


def _payment(books: Books, visit: Visit, payment: Payment) -> Json:
    paid_at = payment.at.astimezone(books.locations[visit.location_id].zone)
    return {
        "id": payment.id,
        "date": paid_at.strftime("%Y-%m-%d %H:%M:%S"),
        "amount": payment.amount,
        "client_id": visit.client_id or 0,
        "record_id": visit.record_id,
        "client": _client(books, visit) or [],
    } | UNCHANGING["payment"]


def _program(item: Program) -> Json:
    own = {"id": item.id, "title": item.title, "value": item.percent, "group_id": item.chain_id}
    return own | UNCHANGING["program"]


def _row_program(books: Books, row: Row) -> Json | list[Any]:
    if row.program_id not in books.programs:
        return []
    program = _program(books.programs[row.program_id])
    return {name: program[name] for name in program if name not in ("loyalty_type", "rules")}


def _client(books: Books, visit: Visit) -> Json | None:
    return None if visit.client_id is None else {**client(books.clients[visit.client_id]), "card": ""}
