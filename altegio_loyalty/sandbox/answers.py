"""The vendor's objects, built from the books. Called with the ledger's lock held."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
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

STAFF = {"id": 55436, "name": "John", "specialization": "Hairdresser", "position": [], "avatar": ""}


def visit_details(books: Books, visit: Visit, *, is_net: bool = False) -> Json:
    """The object of four keys that visit/details and the four loyalty POSTs answer with.

    `is_net`: the cost of a line is what is left of it after promotions.
    """
    chain_id = books.locations[visit.location_id].chain_id
    return {
        "payment_transactions": [_payment(books, visit, payment) for payment in visit.payments],
        "loyalty_transactions": [_transaction(row, chain_id) for row in visit.rows],
        "kkm_transaction_details_container": {"last_operation_type": 1, "transactions": []},
        "items": [_item(line, _discount(visit, line) if is_net else Decimal()) for line in visit.lines],
    }


def loyalty_transactions(books: Books, visit: Visit) -> list[Json]:
    """The rows alone, sorted by id, each with its program (`[]` for a withdrawal, which has none)."""
    chain_id = books.locations[visit.location_id].chain_id
    rows = sorted(visit.rows, key=lambda row: row.id)
    return [{**_transaction(row, chain_id), "program": _row_program(books, row)} for row in rows]


def chain_transaction(row: Row, visit: Visit, chain_id: int) -> Json:
    """A row of the chain's list, which names the visit, and neither the location nor a time."""
    others = dict.fromkeys(("services_transaction_id", "certificate_id", "abonement_id"), 0)
    return {**_transaction(row, chain_id), "visit_id": visit.id, **others}


def client(item: Client) -> Json:
    return {"id": item.id, "name": item.name, "phone": item.phone, "email": ""}


def card(books: Books, item: Card) -> Json:
    chain = {"id": item.chain_id, "title": "Chain 1"}
    kind = {"id": item.type_id, "title": item.title, "salon_group_id": item.chain_id}
    visits = [visit for visit in books.visits.values() if visit.client_id == item.client_id]
    sold = sum((visit.cost for visit in visits), Decimal())
    return {
        "id": item.id,
        "balance": item.balance,
        "points": 0,
        "paid_amount": sold,
        "sold_amount": sold,
        "visits_count": len(visits),
        "number": item.number,
        "type_id": item.type_id,
        "salon_group_id": item.chain_id,
        "type": kind,
        "salon_group": chain,
        "programs": [_program(books.programs[program_id]) for program_id in item.program_ids],
    }


def record(books: Books, visit: Visit, record_id: int) -> Json:
    starts_at = visit.starts_at.astimezone(books.locations[visit.location_id].zone)
    lines = [line for line in visit.lines if line.record_id == record_id]
    # Products belong to the visit; they are shown with its first appointment.
    goods = [line for line in visit.lines if line.is_product and record_id == visit.record_id]
    return {
        "id": record_id,
        "company_id": visit.location_id,
        "staff_id": STAFF["id"],
        "services": [_service(visit, line) for line in lines],
        "goods_transactions": [_sale(line) for line in goods],
        "staff": STAFF,
        "client": _client(books, visit),
        "clients_count": 1,
        "date": starts_at.strftime("%Y-%m-%d %H:%M:%S"),
        "datetime": starts_at.isoformat(timespec="seconds"),
        "create_date": starts_at.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "last_change_date": starts_at.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "comment": "",
        "online": False,
        "visit_attendance": visit.attendance,
        "attendance": visit.attendance,
        "confirmed": 1,
        "seance_length": 3600,
        "length": 3600,
        "visit_id": visit.id,
        "deleted": False,
        "paid_full": 0 if visit.left_to_pay else 1,
        "record_labels": [],
        "custom_fields": [],
        "documents": [],
    }


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
        "country_id": 1,
        "country": "",
        "city_id": 1,
        "city": "",
        "timezone": (datetime.now(item.zone).utcoffset() or timedelta()) / timedelta(hours=1),
        "timezone_name": item.timezone,
        "currency_short_title": item.currency,
        "active": 1,
        "address": "",
        "zip": "",
        "main_group_id": item.chain_id,
        "main_group": {"id": item.chain_id, "title": "Chain 1"},
        "groups": {str(item.chain_id): {"id": item.chain_id, "title": "Chain 1"}},
    }


def permissions(item: Location) -> Json:
    """The user's rights in a location; only the loyalty ones can be switched."""
    allowed = item.loyalty_access
    return {
        "timetable": {"timetable_access": True},
        "clients": {"clients_access": True},
        "loyalty": {
            "loyalty_access": allowed,
            "has_loyalty_access": allowed,
            "loyalty_cards_manual_transactions_access": allowed,
        },
        "other": {"auth_enable_check_ip": False, "auth_list_allowed_ip": []},
    }


def user(login: str, user_token: str) -> Json:
    return {
        "id": 123456,
        "user_token": user_token,
        "name": "Jane",
        "phone": "13155550175",
        "login": login,
        "email": login,
        "avatar": "",
        "is_approved": True,
        "is_email_confirmed": True,
    }


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
        "amount": 1,
        "first_cost": line.cost,
        "manual_cost": line.cost,
        "discount": 0,
        "cost": line.cost - discount,
        # The vendor's own samples repeat the record's id here for a service.
        "master_id": line.record_id if is_service else STAFF["id"],
        "good_id": 0 if is_service else line.item_id,
        "service_id": line.item_id if is_service else 0,
        "event_id": 0,
        "is_service": is_service,
        "is_event": False,
        "is_good": not is_service,
    }


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
        "discount": 0,
        "first_cost": line.cost,
        "amount": 1,
    }


def _sale(line: Line) -> Json:
    return {"id": line.sale_id, "good_id": line.item_id, "title": line.title, "cost": line.cost}


def _payment(books: Books, visit: Visit, payment: Payment) -> Json:
    paid_at = payment.at.astimezone(books.locations[visit.location_id].zone)
    return {
        "id": payment.id,
        "date": paid_at.strftime("%Y-%m-%d %H:%M:%S"),
        "type_id": 5,
        "amount": payment.amount,
        "client_id": visit.client_id or 0,
        "master_id": 0,
        "supplier_id": 0,
        "comment": "",
        "record_id": visit.record_id,
        "client": _client(books, visit) or [],
        "master": [],
        "supplier": [],
    }


def _program(item: Program) -> Json:
    kind = {"id": 1, "title": "Fixed discount", "is_discount": True, "is_cashback": False}
    return {
        "id": item.id,
        "title": item.title,
        "value": item.percent,
        "loyalty_type_id": 1,
        "item_type_id": 0,
        "value_unit_id": 1,
        "group_id": item.chain_id,
        "loyalty_type": kind,
        "rules": [],
    }


def _row_program(books: Books, row: Row) -> Json | list[Any]:
    if row.program_id not in books.programs:
        return []
    program = _program(books.programs[row.program_id])
    return {name: program[name] for name in program if name not in ("loyalty_type", "rules")}


def _client(books: Books, visit: Visit) -> Json | None:
    return None if visit.client_id is None else {**client(books.clients[visit.client_id]), "card": ""}
