"""The API's operations: which path is which, what a request must hold, and what the books answer."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

from altegio_loyalty.sandbox import answers
from altegio_loyalty.sandbox.access import Access
from altegio_loyalty.sandbox.books import Location, Visit
from altegio_loyalty.sandbox.ledger import API, Ledger, NotInBooks, RefusedRepeat
from altegio_loyalty.sandbox.wire import (
    Answer,
    Request,
    failure,
    forbidden,
    invalid,
    not_found,
    success,
    unauthorized,
)

Ids = dict[str, int]
Operation = Callable[["Api", Ids, Request], Answer]

DEFAULT_PAGE_SIZE = 50
LARGEST_PAGE_SIZE = 300


class Refusal(Exception):
    """Carries the answer out of a check."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Api:
    """Answers requests from a ledger. Knows nothing of sockets, faults or limits."""

    def __init__(self, ledger: Ledger, access: Access) -> None:
        self.ledger = ledger
        self.access = access

    def answer(self, request: Request) -> Answer:
        """Carries the request out. All of it is one look at, or one change of, the books."""
        try:
            operation, ids = find(request)
            self._check_tokens(operation, request)
            with self.ledger.lock:
                return operation(self, ids, request)
        except Refusal as refusal:
            return refusal.answer
        except NotInBooks:
            return not_found()
        except RefusedRepeat as error:
            return invalid({"record_id": [str(error)]})

    def _check_tokens(self, operation: Operation, request: Request) -> None:
        header = request.headers.get("authorization", "")
        known = self.access.knows_partner(header) if operation is auth else self.access.knows(header)
        if not known:
            raise Refusal(unauthorized())

    def visible_location(self, location_id: int) -> Location:
        location = self.ledger.location(location_id)
        if not location.is_visible:
            raise Refusal(forbidden())
        return location

    def visible_visit(self, visit_id: int) -> Visit:
        visit = self.ledger.visit(visit_id)
        if not self.ledger.location(visit.location_id).is_visible:
            raise Refusal(not_found())
        return visit


def operation_name(request: Request) -> str:
    """The contract's name for the request, or "" when it is none of the API's."""
    try:
        return find(request)[0].__name__
    except Refusal:
        return ""


def find(request: Request) -> tuple[Operation, Ids]:
    """The operation and the ids of a path. Raises Refusal: no such path (404) or method (405)."""
    wrong_method = False
    for method, pattern, operation in ROUTES:
        match = pattern.fullmatch(request.api_path)
        if match and method == request.method:
            return operation, {name: int(value) for name, value in match.groupdict().items()}
        wrong_method = wrong_method or match is not None
    raise Refusal(failure(405, "MethodNotAllowed") if wrong_method else failure(404, "An error occurred"))


def apply_card_withdrawal(api: Api, ids: Ids, request: Request) -> Answer:
    fields = read_fields(request, "record_id", "visit_id", "amount")
    visit = _visit_to_change(api, ids, fields)
    api.ledger.withdraw(visit, ids["card_id"], fields["amount"], by=API)
    return _details(api, visit)


def cancel_card_withdrawal(api: Api, ids: Ids, request: Request) -> Answer:
    visit = _visit_to_change(api, ids, read_fields(request, "record_id", "visit_id"))
    api.ledger.cancel_withdrawal(visit, ids["card_id"], by=API)
    return _details(api, visit)


def apply_discount_program(api: Api, ids: Ids, request: Request) -> Answer:
    visit = _visit_to_change(api, ids, read_fields(request, "record_id", "visit_id"))
    api.ledger.apply_program(visit, ids["card_id"], ids["program_id"], by=API)
    return _details(api, visit)


def cancel_discount_program(api: Api, ids: Ids, request: Request) -> Answer:
    visit = _visit_to_change(api, ids, read_fields(request, "record_id", "visit_id"))
    api.ledger.cancel_program(visit, ids["card_id"], ids["program_id"], by=API)
    return _details(api, visit)


def visit_details(api: Api, ids: Ids, request: Request) -> Answer:
    api.visible_location(ids["location_id"])
    return _details(api, _visit_at(api, ids["location_id"], ids["visit_id"], ids["record_id"]))


def loyalty_transactions(api: Api, ids: Ids, request: Request) -> Answer:
    visit = api.visible_visit(ids["visit_id"])
    return success(answers.loyalty_transactions(api.ledger.books, visit))


def client_cards(api: Api, ids: Ids, request: Request) -> Answer:
    client = api.ledger.client(ids["client_id"])
    books = api.ledger.books
    cards = [card for card in books.cards.values() if card.client_id == client.id]
    return success([answers.card(books, card) for card in cards])


def visit(api: Api, ids: Ids, request: Request) -> Answer:
    return success(answers.visit(api.ledger.books, api.visible_visit(ids["visit_id"])))


def records(api: Api, ids: Ids, request: Request) -> Answer:
    """The location's appointments, by time; the dates are the location's own days, both inclusive."""
    location = api.visible_location(ids["location_id"])
    page, count = _positive(request, "page", 1), _positive(request, "count", DEFAULT_PAGE_SIZE)
    count = min(count, LARGEST_PAGE_SIZE)
    first = _day(request, "start_date", date.min)
    last = _day(request, "end_date", date.max)
    here = [visit for visit in api.ledger.books.visits.values() if visit.location_id == location.id]
    visits = [visit for visit in here if first <= visit.starts_at.astimezone(location.zone).date() <= last]
    visits.sort(key=lambda visit: (visit.starts_at, visit.id))
    found = [(visit, record_id) for visit in visits for record_id in visit.record_ids]
    shown = found[(page - 1) * count : page * count]
    data = [answers.record(api.ledger.books, visit, record_id) for visit, record_id in shown]
    return success(data, meta={"page": page, "total_count": len(found)})


def location(api: Api, ids: Ids, request: Request) -> Answer:
    return success(answers.location(api.visible_location(ids["location_id"])))


def permissions(api: Api, ids: Ids, request: Request) -> Answer:
    return success(answers.permissions(api.visible_location(ids["location_id"])))


def auth(api: Api, ids: Ids, request: Request) -> Answer:
    body = _read_object(request)
    missing = {name: ["Required"] for name in ("login", "password") if not isinstance(body.get(name), str)}
    if missing:
        return invalid(missing)
    if (body["login"], body["password"]) != (api.access.login, api.access.password):
        return failure(401, "Wrong login or password.")
    return success(answers.user(api.access.login, api.access.tokens[1]), status=201)


def read_fields(request: Request, *names: str) -> dict[str, Any]:
    """The body's numbers. Raises Refusal with a map of what is wrong: missing, not a number, or not known."""
    body = _read_object(request)
    errors = {name: ["Unknown field."] for name in body if name not in names}
    for name in names:
        value = body.get(name)
        kinds = (int, Decimal) if name == "amount" else (int,)
        if value is None:
            errors[name] = [f"The {name} field is required."]
        elif isinstance(value, bool) or not isinstance(value, kinds):
            errors[name] = [f"The {name} must be a number."]
        elif value < 0:
            errors[name] = [f"The {name} must not be negative."]
    if errors:
        raise Refusal(invalid(errors))
    return body


def _read_object(request: Request) -> dict[str, Any]:
    try:
        body = request.json()
    except (ValueError, RecursionError):
        raise Refusal(failure(400, "The body is not valid JSON.")) from None
    if not isinstance(body, dict):
        raise Refusal(failure(400, "The body is not an object."))
    return body


def _visit_to_change(api: Api, ids: Ids, fields: dict[str, Any]) -> Visit:
    if not api.visible_location(ids["location_id"]).loyalty_access:
        raise Refusal(forbidden())
    return _visit_at(api, ids["location_id"], fields["visit_id"], fields["record_id"])


def _visit_at(api: Api, location_id: int, visit_id: int, record_id: int) -> Visit:
    visit = api.ledger.visit(visit_id)
    if visit.location_id != location_id or record_id not in visit.record_ids:
        raise Refusal(not_found())
    return visit


def _details(api: Api, visit: Visit) -> Answer:
    return success(answers.visit_details(api.ledger.books, visit))


def _positive(request: Request, name: str, default: int) -> int:
    text = request.query.get(name, str(default))
    if not re.fullmatch("[0-9]{1,9}", text) or int(text) < 1:
        raise Refusal(failure(400, "Invalid parameter value", {name: ["Must be a positive number."]}))
    return int(text)


def _day(request: Request, name: str, default: date) -> date:
    text = request.query.get(name)
    try:
        return default if text is None else date.fromisoformat(text)
    except ValueError:
        errors = {name: ["Must be a date, YYYY-MM-DD."]}
        raise Refusal(failure(400, "Invalid parameter value", errors)) from None


def _route(method: str, template: str, operation: Operation) -> tuple[str, re.Pattern[str], Operation]:
    pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[0-9]{1,18})", template)
    return method, re.compile(pattern), operation


_IN_VISIT = "/visit/loyalty"
_PROGRAM_OF_CARD = "/{location_id}/{card_id}/{program_id}"

ROUTES = (
    _route("POST", _IN_VISIT + "/apply_card_withdrawal/{location_id}/{card_id}", apply_card_withdrawal),
    _route("POST", _IN_VISIT + "/cancel_card_withdrawal/{location_id}/{card_id}", cancel_card_withdrawal),
    _route("POST", _IN_VISIT + "/apply_discount_program" + _PROGRAM_OF_CARD, apply_discount_program),
    _route("POST", _IN_VISIT + "/cancel_discount_program" + _PROGRAM_OF_CARD, cancel_discount_program),
    _route("GET", _IN_VISIT + "/transactions/{visit_id}", loyalty_transactions),
    _route("GET", "/visit/details/{location_id}/{record_id}/{visit_id}", visit_details),
    _route("GET", "/loyalty/client_cards/{client_id}", client_cards),
    _route("GET", "/visits/{visit_id}", visit),
    _route("GET", "/records/{location_id}", records),
    _route("GET", "/company/{location_id}", location),
    _route("GET", "/user/permissions/{location_id}", permissions),
    _route("POST", "/auth", auth),
)
