"""Version 1 of the API: the endpoints, one short method each, named as in the URL. See developer.alteg.io, B2B V1.

Every method raises a subclass of `exceptions.ApiError` and nothing else. Reads are strict: an answer that does not have
the documented shape raises `UnreadableAnswer`. Ids are Altegio's; amounts are points, as `Decimal`.
"""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any

from altegio_loyalty import exceptions
from altegio_loyalty.client import types
from altegio_loyalty.client.hidden import Hidden, hides_frames
from altegio_loyalty.client.transport import Answer, Transport
from altegio_loyalty.client.types import Credentials, Malformed, Parsed, to_object, to_objects
from altegio_loyalty.client.vendor import Order, Reply
from altegio_loyalty.client.visit import VisitDetails

#: A POST: its path and its body.
Request = tuple[str, dict[str, Any]]


def _on_card(order: Order, **more: Any) -> Request:
    """POST /visit/loyalty/{verb}/{location_id}/{card_id}."""
    path = f"/visit/loyalty/{order.kind}/{order.location_id}/{order.card_id}"
    return path, {"record_id": order.record_id, "visit_id": order.visit_id, **more}


def _on_program(order: Order) -> Request:
    """POST /visit/loyalty/{verb}/{location_id}/{card_id}/{program_id}."""
    path, body = _on_card(order)
    return f"{path}/{order.program_id}", body


def _amount_on_card(order: Order) -> Request:
    """Altegio takes no more than the balance and what is left to pay, without saying so: read the rows of the reply."""
    amount = order.amount or Decimal(0)
    return _on_card(order, amount=int(amount) if amount == int(amount) else float(amount))


#: How each verb is sent.
REQUESTS: Mapping[str, Callable[[Order], Request]] = {
    "apply_card_withdrawal": _amount_on_card,
    "cancel_card_withdrawal": _on_card,
    "apply_discount_program": _on_program,
    "cancel_discount_program": _on_program,
}


class AltegioClient:
    """The part of the API that loyalty on a visit needs, with the tokens of one location."""

    def __init__(self, transport: Transport, credentials: Credentials) -> None:
        self._transport = transport
        self._credentials = credentials

    # Each reads the answer as well: it may echo a token, so the frames that look into it are hidden too. And two calls that
    # hide their frames, this and the transport's, leave nothing where an error meets another one.

    @hides_frames
    def _get(
        self,
        path: str,
        parse: Callable[[Any], Parsed],
        query: Mapping[str, Any] | None = None,
        payload: Mapping[str, Any] | None = None,
    ) -> tuple[Answer, Parsed]:
        method = "POST" if payload else "GET"
        answer = self._transport.request(method, path, self._credentials, query=query, payload=payload)
        return answer, _read(answer, parse)

    @hides_frames
    def read(self, path: str, query: Mapping[str, str | int] | None = None) -> Answer:
        """GET {path}: the answer as it is, for whoever looks at what an account really answers."""
        return self._transport.request("GET", path, self._credentials, query=query)

    def look(self, order: Order) -> Reply:
        """See `visit_details`."""
        return self.visit_details(order.location_id, order.record_id, order.visit_id)

    def address(self, order: Order, *, sends: bool) -> tuple[str, str]:
        """Where `send` or `look` goes."""
        if sends:
            return "POST", REQUESTS[order.kind](order)[0]
        return "GET", _details(order.location_id, order.record_id, order.visit_id)

    @hides_frames
    def send(self, order: Order, *, send_within: float | None = None) -> Reply:
        """POST /visit/loyalty/{verb}/…: carry the order out, within so many seconds; V1 knows no idempotency key."""
        path, body = REQUESTS[order.kind](order)
        answer = self._transport.request(
            "POST", path, self._credentials, payload=body, send_within=send_within
        )
        problem = ""
        if answer.http_status != 202:  # which only announces the visit
            try:
                return Reply(answer, VisitDetails.parse(answer.body))
            except Malformed as error:
                problem = str(error)
        said = answer.said or f"HTTP {answer.http_status}"
        raise exceptions.NotShown(said, http_status=answer.http_status, body=answer.text, detail=problem)

    def visit_details(self, location_id: int, record_id: int, visit_id: int) -> Reply:
        """GET /visit/details/{location_id}/{record_id}/{visit_id}: what the visit holds now."""
        return Reply(*self._get(_details(location_id, record_id, visit_id), VisitDetails.parse))

    def visit(self, visit_id: int) -> list[types.Record]:
        """GET /visits/{visit_id}: the appointments of a visit."""
        return self._get(
            f"/visits/{visit_id}",
            lambda body: [types.Record.parse(row) for row in to_objects(to_object(body).get("records"))],
        )[1]

    def records_page(
        self, location_id: int, *, start_date: str, end_date: str, page: int = 1, count: int = 50, **more: int
    ) -> types.RecordPage:
        """GET /records/{location_id}: a page of appointments, which rather lacks a row than is not there at all.

        Dates as YYYY-MM-DD, both included, in the location's time. A server may give fewer. `more` may hold a `client_id`.
        """
        query = {"start_date": start_date, "end_date": end_date, "page": page, "count": count, **more}
        path = f"/records/{location_id}"
        answer, rows = self._get(path, lambda body: types.RecordPage.parse(body, count), query)
        with contextlib.suppress(Malformed):
            rows = replace(rows, total_count=types.to_id(to_object(answer.meta).get("total_count")))
        return rows

    def client_cards(self, client_id: int) -> types.Cards:
        """GET /loyalty/client_cards/{client_id}: the client's cards, which rather lack one than are not there at all."""
        return self._get(f"/loyalty/client_cards/{client_id}", types.Cards.parse)[1]

    def clients(self, location_id: int, *, text: str = "", card: str = "") -> dict[int, str]:
        """The names of clients by their ids: with `text` in name, phone or own card, or with a loyalty card's number.

        POST /company/{location_id}/clients/search, or with `card` GET /clients/{location_id}: it alone knows those numbers.
        """
        if card:
            return self._get(f"/clients/{location_id}", types.parse_clients, {"card": card})[1]
        filters = [{"type": "quick_search", "state": {"value": text}}]
        payload = {"page": 1, "page_size": 25, "fields": ["id", "name"], "filters": filters}
        return self._get(f"/company/{location_id}/clients/search", types.parse_clients, payload=payload)[1]

    def company(self, location_id: int) -> types.Company:
        """GET /company/{location_id}, good without a user token; without `my` it shows those of other businesses too."""
        return self._get(f"/company/{location_id}", types.Company.parse, {"my": 1})[1]

    def companies(self) -> list[types.Company]:
        """GET /companies: the locations that the user may work with; a row that nobody can read is left out.

        It may be empty although there are some, so for the tokens of an application.
        """
        return self._get("/companies", types.Company.parse_list, {"my": 1})[1]

    def chain_transactions(
        self, chain_id: int, location_id: int, first: str, last: str, page: int
    ) -> list[Mapping[str, Any]]:
        """GET /chain/{chain_id}/loyalty/transactions: a page of what loyalty did in the location, as the rows came.

        Dates as YYYY-MM-DD; in whose time, and whether both are included, is stated nowhere, and no row shows a time.
        """
        path = f"/chain/{chain_id}/loyalty/transactions"
        query = {"created_after": first, "created_before": last, "page": str(page), "count": "200"}
        read = partial(self._get, path, lambda body: list(to_objects(body)))
        try:
            return read({**query, "company_ids[]": str(location_id)})[1]
        except exceptions.Refused as error:
            if error.http_status != 422:
                raise
        return read({**query, "company_ids": str(location_id)})[1]  # as the reference spells it

    def user_permissions(self, location_id: int) -> bool | None:
        """GET /user/permissions/{location_id}: whether the user may use loyalty; None where the answer does not say."""

        def loyalty_access(body: object) -> bool | None:
            rights = to_object(to_object(body).get("loyalty"))
            said = [rights.get(name) for name in ("loyalty_access", "has_loyalty_access")]
            known = [flag for flag in said if flag in (True, False, "0", "1", "true", "false")]
            return types.to_flag(known[0]) if known else None

        return self._get(f"/user/permissions/{location_id}", loyalty_access)[1]

    def auth(self, login: str | Hidden, password: str | Hidden) -> Hidden:
        """POST /auth: the user token of a person. Needs the partner token alone.

        Pass both `Hidden`: texts stay in the caller's frames. Raises `Refused` where Altegio asks for a second factor.
        """
        payload = {"login": Hidden.of(login), "password": Hidden.of(password)}
        del login, password
        return self._log_in(payload)

    @hides_frames
    def _log_in(self, payload: dict[str, Hidden]) -> Hidden:
        partner = Credentials(self._credentials.partner_token, "")
        answer = self._transport.request("POST", "/auth", partner, payload=payload)
        token = _read(answer, lambda body: Hidden(types.to_text(to_object(body).get("user_token"))))
        if not token:
            raise exceptions.Refused(
                "Altegio asks for a second factor; take the user token from its own screens."
            )
        return token


def _details(location_id: int, record_id: int, visit_id: int) -> str:
    return f"/visit/details/{location_id}/{record_id}/{visit_id}"


def _read(answer: Answer, parse: Callable[[Any], Parsed]) -> Parsed:
    try:
        return parse(answer.body)
    except Malformed as error:
        raise exceptions.UnreadableAnswer(
            f"Altegio's answer could not be read: {error}.", http_status=answer.http_status, body=answer.text
        ) from None
