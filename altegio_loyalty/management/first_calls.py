"""The reads of the first day on a live account. Each is written down as its shape: no name, phone, card number or token."""

import datetime
import json
import re
import time
from collections.abc import Mapping
from itertools import chain
from typing import Any
from urllib.parse import urlencode

from django.core.management.base import OutputWrapper
from django.template.loader import render_to_string

from altegio_loyalty import exceptions
from altegio_loyalty.client.types import Malformed, sum_of, to_id, to_known
from altegio_loyalty.conf import get_settings
from altegio_loyalty.gateway import Line
from altegio_loyalty.models import Location, LoyaltyOperation
from altegio_loyalty.moments import today
from altegio_loyalty.redaction import MASK, redact, without_people

Row = Mapping[str, Any]
#: No visit of anybody's has this number.
NO_VISIT = 2**31 - 1
_AWAY = (exceptions.NotSent, exceptions.NoAnswer, exceptions.RateLimited)


class FirstCalls:
    """Makes the reads and keeps them. Each stands in the file, as a line of JSON, as soon as it was made.

    A refused token pauses nothing here: that is for the connection test, and for what is really sent.
    """

    def __init__(self, location: Location, out: OutputWrapper, file: Any) -> None:
        self.location, self._out, self._file = location, out, file
        self.made: list[dict[str, Any]] = []

    def get(self, name: str, path: str, **query: str | int) -> list[Row]:
        """The objects of the answer; none where it was refused or cannot be read.

        Raises `exceptions.ApiError` where Altegio is away, a limit is used up, or the location itself is not shown.
        """
        call = f"GET {path}?{urlencode(query)}".rstrip("?")
        self._out.write(f"{len(self.made) + 1:4}  {call} … ", ending="")
        self._out.flush()
        line, failure, began = Line(self.location, for_person=True), None, time.monotonic()
        answered: dict[str, Any]
        try:
            client, began = line.open(), time.monotonic()
            answer = client.read(path, query)
            answered = {"http_status": answer.http_status, "body": answer.body}
            answered["is_wrapped"] = answer.meta is not None
        except exceptions.ApiError as error:
            failure, answered = error, {"http_status": error.http_status, "said": self._masked(str(error))}
        if not isinstance(failure, exceptions.Unauthorized):
            line.note(failure)
        made = self._keep(name, call, seconds=round(time.monotonic() - began, 2), **answered)
        self._out.write(f"{made['http_status'] or 'no answer'} {made['said']}")
        if failure and (isinstance(failure, _AWAY) or name == "location"):
            raise failure
        return objects(made["body"])

    def keep(self, operation: LoyaltyOperation) -> None:
        """What the calls of an operation came to. The log has only the beginning of an answer: its form alone is kept."""
        self._out.write(f"      {operation.sentence}")
        for call in operation.attempts.exclude(duration_ms=None):
            what, seconds = f"{operation.kind} ({call.purpose})", (call.duration_ms or 0) / 1000
            form = {"is_wrapped": call.answer.startswith('{"success"')} if call.answer else {}
            self._keep(what, what, http_status=call.http_status, seconds=seconds, **form)

    def _keep(self, name: str, call: str, **answered: Any) -> dict[str, Any]:
        made = {"name": name, "call": call, "said": "", "body": None, "is_wrapped": None, **answered}
        self.made.append(made)
        self._file.write(json.dumps({**made, "body": without_people(made["body"])}) + "\n")
        self._file.flush()
        return made

    def _masked(self, said: str) -> str:
        clients = [client for row in self.rows("records") for client in objects(row.get("client"))]
        known = [str(text) for client in clients for text in client.values() if len(str(text)) > 2]
        return re.sub("[0-9]{5,}", MASK, redact(said, secrets=known, limit=300))

    def make_all(self, visit_id: int, record_id: int) -> None:
        """Each read once; about a visit of the last days that has a client where none is named."""
        pk, last_day = self.location.pk, today(self.location.zone)
        first, last = str(last_day - datetime.timedelta(7)), str(last_day)
        place = self.get("location", f"/company/{pk}", my=1)
        self.get("rights", f"/user/permissions/{pk}")
        records = self.get("records", f"/records/{pk}", start_date=first, end_date=last, page=1, count=50)
        if not visit_id:
            found = [row for row in records if client_of(row) and number(row, "visit_id")]
            best = min(found, key=lambda row: not number(row, "paid_full"), default={})
            visit_id, record_id = number(best, "visit_id"), number(best, "id")
        if visit_id:
            self.read_visit(visit_id, record_id)
        if chain_id := next((number(row, "main_group_id") for row in place), 0):
            days = {"created_after": first, "created_before": last}
            self.get("chain", f"/chain/{chain_id}/loyalty/transactions", **days, page=1, count=100)
        self.get("no visit", f"/visits/{NO_VISIT}")

    def read_visit(self, visit_id: int, record_id: int) -> None:
        """The visit, its bill, its rows, and the cards of its client."""
        visit = self.get("visit", f"/visits/{visit_id}")
        self.get("bill", f"/visit/details/{self.location.pk}/{record_id}/{visit_id}")
        self.get("rows", f"/visit/loyalty/transactions/{visit_id}")
        clients = [client_of(record) for each in visit for record in objects(each.get("records"))]
        if client_id := next(filter(None, clients), 0):
            self.get("cards", f"/loyalty/client_cards/{client_id}")

    def rows(self, name: str) -> list[Row]:
        """The objects of each answer to this read."""
        return [row for made in self.made if made["name"] == name for row in objects(made["body"])]

    @property
    def bills(self) -> list[list[Row]]:
        """The loyalty rows of each bill that was read."""
        return [objects(bill.get("loyalty_transactions")) for bill in self.rows("bill")]

    def show_withdrawal(self, card_id: int) -> bool:
        """Whether a bill that was read has a withdrawal of the card, in whatever status."""
        wanted = (3, card_id)
        return any((number(row, "type_id"), number(row, "card_id")) == wanted for row in chain(*self.bills))

    def report(self) -> str:
        """What was found, and which setting follows."""
        reads = ("location", "rights", "chain", "cards", "visit")
        context: dict[str, Any] = {name: self.rows(name) for name in reads}
        rows = map(_shown, chain(self.rows("rows"), context["chain"], *self.bills))
        context["rows"] = list({(number(row, "id"), row["status"]): row for row in rows}.values())
        words = [_cost(bill, line) for bill in self.rows("bill") for line in objects(bill.get("items"))]
        context |= {"costs": [word for word in words if word], "bills": self.bills, "made": self.made}
        context["left"] = [row for row in chain(*self.bills[2:]) if row not in self.bills[0]]
        context["read_timeout"] = get_settings().READ_TIMEOUT
        return render_to_string("altegio_loyalty/first_calls.txt", context)


def _cost(bill: Row, line: Row) -> str:
    """Whether the line's cost is the one before or after its promotions; empty where it has none, or does not say."""
    its_own, rows = (1, number(line, "item_id")), objects(bill.get("loyalty_transactions"))
    cuts = [row.get("amount") for row in rows if (number(row, "type_id"), number(row, "item_id")) == its_own]
    cut = sum_of(map(to_known, cuts))
    first, cost = (to_known(line.get(name)) for name in ("first_cost", "cost"))
    if not cut or first is None or cost is None:
        return ""
    return {first: "before", first - cut: "after"}.get(cost, "neither")


def _shown(row: Row) -> Row:
    """A loyalty row with its status and type as texts, whatever they are: a number, a text, or nothing."""
    kind = row.get("type_id") or next((each.get("id") for each in objects(row.get("type"))), None)
    return {**row, "status": str(row.get("status_id")), "kind": str(kind)}


def objects(body: Any) -> list[Row]:
    """The objects of a list; an object alone counts as a list of one."""
    return [row for row in (body if isinstance(body, list) else [body]) if isinstance(row, Mapping)]


def number(row: Row, name: str) -> int:
    """An id or a count; 0 where there is none."""
    try:
        return to_id(row.get(name))
    except Malformed:
        return 0


def client_of(record: Row) -> int:
    return next((number(client, "id") for client in objects(record.get("client"))), 0)
