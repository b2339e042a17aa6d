"""The API's operations: which path is which, what a request must hold, and what the books answer."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from operator import itemgetter
from typing import Any, TypeVar

from altegio_loyalty.sandbox import answers
from altegio_loyalty.sandbox.books import Location, Visit
from altegio_loyalty.sandbox.callers import Access
from altegio_loyalty.sandbox.ledger import API, Ledger, NotInBooks
from altegio_loyalty.sandbox.wire import FORBIDDEN, NOT_FOUND, Answer, Request, failure, invalid, success

Operation = Callable[..., Answer]
Fields = dict[str, Any]

T = TypeVar("T")

LARGEST_PAGE_SIZE = 300
ALL_TYPES = range(1, 12)
_POSITIVE = re.compile("0*[1-9][0-9]{0,99}")

ROUTES: list[tuple[str, re.Pattern[str], Operation]] = []
"""Method, path and operation of all that can be asked."""


class Refusal(Exception):
    """Carries the answer out of a check."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def route(method: str, path: str) -> Callable[[Operation], Operation]:
    """The operation is called with the request, and by name with the ids of the path."""
    pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[0-9]{1,18})", path))

    def put(operation: Operation) -> Operation:
        ROUTES.append((method, pattern, operation))
        return operation

    return put


@dataclass
class Api:
    """Answers requests from a ledger. Knows nothing of sockets, faults or limits."""

    ledger: Ledger
    access: Access

    def answer(self, request: Request) -> Answer:
        """Carries the request out. All of it is one look at, or one change of, the books."""
        try:
            operation, ids = find(request)
            needs_user = operation is not Api.auth
            if not self.access.knows(request.headers.get("authorization", ""), needs_user=needs_user):
                return failure(401, "Authentication needed.")
            with self.ledger.lock:
                return operation(self, request, **ids)
        except Refusal as refusal:
            return refusal.answer
        except NotInBooks:
            return NOT_FOUND

    def visible_location(self, location_id: int) -> Location:
        location = self.ledger.location(location_id)
        if not location.is_visible:
            raise Refusal(FORBIDDEN)
        return location

    def visible_visit(self, visit_id: int) -> Visit:
        visit = self.ledger.visit(visit_id)
        if not self.ledger.location(visit.location_id).is_visible:
            raise Refusal(NOT_FOUND)
        return visit

    def visit_at(self, location_id: int, record_id: int, visit_id: int) -> Visit:
        visit = self.ledger.visit(visit_id)
        if visit.location_id != location_id or record_id not in visit.record_ids:
            raise Refusal(NOT_FOUND)
        return visit

    # The operations

    @route("POST", "/visit/loyalty/apply_card_withdrawal/{location_id}/{card_id}")
    def apply_card_withdrawal(self, request: Request, location_id: int, card_id: int) -> Answer:
        fields = _fields(request, "amount")
        return self._change(location_id, fields, self.ledger.withdraw, card_id, fields["amount"])

    @route("POST", "/visit/loyalty/cancel_card_withdrawal/{location_id}/{card_id}")
    def cancel_card_withdrawal(self, request: Request, location_id: int, card_id: int) -> Answer:
        return self._change(location_id, _fields(request), self.ledger.cancel_withdrawal, card_id)

    @route("POST", "/visit/loyalty/apply_discount_program/{location_id}/{card_id}/{program_id}")
    def apply_discount_program(self, request: Request, location_id: int, **ids: int) -> Answer:
        return self._change(location_id, _fields(request), self.ledger.apply_program, *ids.values())

    @route("POST", "/visit/loyalty/cancel_discount_program/{location_id}/{card_id}/{program_id}")
    def cancel_discount_program(self, request: Request, location_id: int, **ids: int) -> Answer:
        return self._change(location_id, _fields(request), self.ledger.cancel_program, *ids.values())

    @route("GET", "/visit/details/{location_id}/{record_id}/{visit_id}")
    def visit_details(self, request: Request, location_id: int, record_id: int, visit_id: int) -> Answer:
        self.visible_location(location_id)
        return self._details(self.visit_at(location_id, record_id, visit_id))

    @route("GET", "/visit/loyalty/transactions/{visit_id}")
    def loyalty_transactions(self, request: Request, visit_id: int) -> Answer:
        visit = self.visible_visit(visit_id)
        return success(answers.loyalty_transactions(self.ledger.books, visit))

    @route("GET", "/loyalty/client_cards/{client_id}")
    def client_cards(self, request: Request, client_id: int) -> Answer:
        client, books = self.ledger.client(client_id), self.ledger.books
        held = [card for card in books.cards.values() if card.client_id == client.id]
        return success([answers.card(books, card) for card in held])

    @route("GET", "/visits/{visit_id}")
    def visit(self, request: Request, visit_id: int) -> Answer:
        return success(answers.visit(self.ledger.books, self.visible_visit(visit_id)))

    @route("GET", "/records/{location_id}")
    def records(self, request: Request, location_id: int) -> Answer:
        """The location's appointments, by time; the dates are the location's own days, both inclusive."""
        location = self.visible_location(location_id)
        first, last = _day(request, "start_date", date.min), _day(request, "end_date", date.max)
        of_clients = _numbers(request, "client_id", ())
        found = [
            (visit, record_id)
            for visit in self.ledger.books.visits_at(location)
            if first <= location.local(visit.starts_at).date() <= last
            and (not of_clients or visit.client_id in of_clients)
            for record_id in visit.record_ids
        ]
        data = [answers.record(self.ledger.books, *each) for each in _page(request, found)]
        return success(data, meta={"page": _positive(request, "page", 1), "total_count": len(found)})

    @route("GET", "/company/{location_id}")
    def location(self, request: Request, location_id: int) -> Answer:
        return success(answers.location(self.visible_location(location_id)))

    @route("GET", "/companies")
    def companies(self, request: Request) -> Answer:
        there = self.ledger.books.locations.values()
        return success([answers.location(item) for item in there if item.is_visible])

    @route("GET", "/user/permissions/{location_id}")
    def permissions(self, request: Request, location_id: int) -> Answer:
        """The user's rights in a location; only the loyalty ones can be switched."""
        rights = answers.shaped("permissions", self.visible_location(location_id))
        wanted = request.listed("group_permissions") or rights
        return success({name: rights[name] for name in rights if name in wanted})

    @route("GET", "/chain/{chain_id}/loyalty/transactions")
    def chain_loyalty_transactions(self, request: Request, chain_id: int) -> Answer:
        """The rows of the chain's visits; the dates, which are needed, are days of UTC, both inclusive."""
        books = self.ledger.books
        here = [place for place in books.locations.values() if place.chain_id == chain_id]
        if not here:
            return NOT_FOUND
        if not any(place.is_visible and place.loyalty_access for place in here):
            return FORBIDDEN
        if missing := {"created_after", "created_before"} - set(request.query):
            return invalid({name: [f"The {name} field is required."] for name in missing})
        first, last = (_day(request, name, date.min) for name in ("created_after", "created_before"))
        types = _numbers(request, "types", ALL_TYPES)
        if not types <= set(ALL_TYPES):
            return invalid({"types": ["Unknown type."]})
        places = _numbers(request, "company_ids", books.locations) & {place.id for place in here}
        visit_ids = _numbers(request, "visit_ids", books.visits)
        rows = [
            answers.chain_transaction(books, row, visit)
            for visit in books.visits.values()
            if visit.id in visit_ids and visit.location_id in places
            for row in visit.rows
            if row.type_id in types and first <= row.created_at.date() <= last
        ]
        return success(_page(request, sorted(rows, key=itemgetter("id"))), meta={"count": len(rows)})

    @route("GET", "/clients/{location_id}")
    def clients(self, request: Request, location_id: int) -> Answer:
        """By parts of name, phone and a card's number. Deprecated, and the only way to a client by the latter."""
        self.visible_location(location_id)
        books = self.ledger.books
        card, phone, name = (request.query.get(key, "").casefold() for key in ("card", "phone", "fullname"))
        holders = {each.client_id for each in books.cards.values() if card in each.number}
        people = [each for each in books.clients.values() if not card or each.id in holders]
        named = [each for each in people if name in each.name.casefold()]
        found = [answers.shaped("client", each) for each in named if _digits(phone) in _digits(each.phone)]
        return success(_page(request, found, 20), meta={"total_count": len(found)})

    @route("POST", "/company/{location_id}/clients/search")
    def clients_search(self, request: Request, location_id: int) -> Answer:
        """By a part of name or phone; each row is an id alone unless `fields` names more."""
        self.visible_location(location_id)
        body = {"page": 1, "page_size": 25, "fields": [], "filters": [], **_object(request)}
        page, size, fields, filters = (body[name] for name in ("page", "page_size", "fields", "filters"))
        are_lists = isinstance(fields, list) and isinstance(filters, list)
        wanted = [_quick_search(each) for each in filters] if are_lists else [None]
        is_page = type(page) is int and type(size) is int and page > 0 and 0 < size <= 200
        if None in wanted or not is_page or not all(isinstance(name, str) for name in fields):
            return failure(400, "Invalid filter value", {"filters": ["Invalid filter state"]})
        people = [answers.shaped("client", each) for each in self.ledger.books.clients.values()]
        found = [each for each in people if all(_is_found(each, str(value)) for value in wanted)]
        shown = found[(page - 1) * size : page * size]
        data = [{name: each[name] for name in each if name in ("id", *fields)} for each in shown]
        return success(data, meta={"total_count": len(found)})

    @route("POST", "/auth")
    def auth(self, request: Request) -> Answer:
        body, access = _object(request), self.access
        missing = [name for name in ("login", "password") if not isinstance(body.get(name), str)]
        if missing:
            return invalid({name: ["Required"] for name in missing})
        if (body["login"], body["password"]) != (access.login, access.password):
            return failure(401, "Wrong login or password.")
        if access.asks_second_factor:
            return success({"uuid": "6f9619ff-8b86-d011-b42d-00c04fc964ff"})
        return success(answers.shaped("user", login=access.login, user_token=access.tokens[1]), status=201)

    def _change(
        self, location_id: int, fields: Fields, verb: Callable[..., Decimal], *arguments: Decimal | int
    ) -> Answer:
        if not self.visible_location(location_id).loyalty_access:
            raise Refusal(FORBIDDEN)
        visit = self.visit_at(location_id, fields["record_id"], fields["visit_id"])
        verb(visit, *arguments, by=API)
        return self._details(visit)

    def _details(self, visit: Visit) -> Answer:
        is_net = self.ledger.rules.line_cost == "after"
        return success(answers.visit_details(self.ledger.books, visit, is_net=is_net))


def operation_name(request: Request) -> str:
    """The contract's name for the request, or "" when it is none of the API's."""
    try:
        return find(request)[0].__name__
    except Refusal:
        return ""


def find(request: Request) -> tuple[Operation, dict[str, int]]:
    """The operation and the ids of a path. Raises Refusal: no such path (404) or method (405)."""
    matches = [(route, match) for route in ROUTES if (match := route[1].fullmatch(request.api_path))]
    for (method, _, operation), match in matches:
        if method == request.method:
            return operation, {name: int(value) for name, value in match.groupdict().items()}
    raise Refusal(failure(405, "MethodNotAllowed") if matches else failure(404, "An error occurred"))


def _fields(request: Request, *more: str) -> Fields:
    """The body's numbers. Raises Refusal with a map of what is wrong: missing, not a number, or not known."""
    body, names = _object(request), ("record_id", "visit_id", *more)
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


def _object(request: Request) -> Fields:
    try:
        body = request.json()
    except (ValueError, RecursionError):
        raise Refusal(failure(400, "The body is not valid JSON.")) from None
    if not isinstance(body, dict):
        raise Refusal(failure(400, "The body is not an object."))
    return body


def _page(request: Request, rows: list[T], usual: int = 50) -> list[T]:
    page, count = _positive(request, "page", 1), min(_positive(request, "count", usual), LARGEST_PAGE_SIZE)
    return rows[(page - 1) * count : page * count]


def _positive(request: Request, name: str, default: int) -> int:
    text = request.query.get(name, str(default))
    if not _POSITIVE.fullmatch(text):
        raise _unreadable(name, "Must be a positive number.")
    return int(text)


def _numbers(request: Request, name: str, all_of_them: Iterable[int]) -> set[int]:
    """What a list in the query names; without one, all there are."""
    texts = request.listed(name)
    if not all(map(_POSITIVE.fullmatch, texts)):
        raise Refusal(invalid({name: ["Must hold positive numbers."]}))
    return {int(text) for text in texts} or set(all_of_them)


def _day(request: Request, name: str, default: date) -> date:
    text = request.query.get(name)
    try:
        return default if text is None else date.fromisoformat(text)
    except ValueError:
        raise _unreadable(name, "Must be a date, YYYY-MM-DD.") from None


def _unreadable(name: str, said: str) -> Refusal:
    return Refusal(failure(400, "Invalid parameter value", {name: [said]}))


def _digits(text: str) -> str:
    return re.sub("[^0-9]", "", text)


def _quick_search(wanted: object) -> str | None:
    match wanted:
        case {"type": "quick_search", "state": {"value": str(value)}}:
            return value
    return None


def _is_found(client: dict[str, Any], value: str) -> bool:
    in_phone = _digits(value) and _digits(value) in _digits(client["phone"])
    return bool(in_phone) or value.casefold() in client["name"].casefold()
