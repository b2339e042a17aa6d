"""Whatever Altegio answers, the client gives back an answer of its own types or raises one of its own errors."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, strategies as st

from altegio_loyalty import exceptions, kinds, policy
from altegio_loyalty.client import AltegioClient, Credentials, Order, Transport
from altegio_loyalty.sandbox.wire import Answer
from altegio_loyalty.wording import in_words
from tests.delivery.rawserver import RawServer
from tests.shapes import contract
from tests.shapes.changes import Spoiling, spoilings
from tests.shapes.searching import TIMEOUT, examples, innards

pytestmark = pytest.mark.timeout(TIMEOUT)

ORDER = Order(
    kind="apply_card_withdrawal",
    location_id=4564,
    visit_id=118389447,
    record_id=140967944,
    card_id=9223622,
    program_id=20802,
    amount=Decimal(100),
)
#: Each call, and the operation of the contract whose answer it reads.
CALLS: dict[str, tuple[str, Callable[[AltegioClient], Any]]] = {
    "send": ("visit_details", lambda client: client.send(ORDER)),
    "visit_details": ("visit_details", lambda client: client.visit_details(4564, 140967944, 118389447)),
    "visit": ("visit", lambda client: client.visit(118389447)),
    "records_page": (
        "records",
        lambda client: client.records_page(4564, start_date="2026-09-21", end_date="2026-09-22"),
    ),
    "client_cards": ("client_cards", lambda client: client.client_cards(4240788)),
    "company": ("location", lambda client: client.company(4564)),
    "user_permissions": ("permissions", lambda client: client.user_permissions(4564)),
    "auth": ("auth", lambda client: client.auth("jane@example.com", "password")),
}


class Served:
    """A client, and the server that answers it with what a test wants."""

    def __init__(self) -> None:
        self.answer = b""
        self.server = RawServer(lambda method, path, connection: self.answer)
        self.client = AltegioClient(Transport(self.server.url), Credentials("partner", "user"))

    def serve(self, body: Any, spoiling: Spoiling) -> None:
        answer = spoiling.applied_to(Answer(200, body))
        content = b"" if answer.status in (204, 304) else answer.body
        head = f"HTTP/1.1 {answer.status} X\r\nContent-Length: {len(content)}\r\n"
        kind = f"Content-Type: {answer.content_type}\r\n" if answer.content_type else ""
        self.answer = f"{head}{kind}\r\n".encode() + content


@pytest.fixture
def served() -> Iterator[Served]:
    served = Served()
    with served.server:
        yield served


def drawn(name: str) -> st.SearchStrategy[tuple[str, Spoiling]]:
    return st.tuples(st.just(name), spoilings(contract.names(CALLS[name][0])))


@examples(12)
@given(st.sampled_from(sorted(CALLS)).flatmap(drawn))
def test_any_shape__is_read_or_is_one_of_the_clients_own_errors(
    served: Served, call: tuple[str, Spoiling]
) -> None:
    """And what is said of it are words for people."""
    name, spoiling = call
    operation, ask = CALLS[name]
    served.serve(contract.sample(operation), spoiling)
    try:
        found = ask(served.client)
    except exceptions.ApiError as error:
        assert type(error) is not exceptions.ApiError
        assert policy.meaning_of_send(error) in policy.Meaning
        assert not innards(f"{error} {in_words(policy.reason_of(error))}"), error
        return
    if name in ("send", "visit_details") and found.visit is not None:
        for kind in kinds.TABLE:
            _read_to_the_end(found.visit, dataclasses.replace(ORDER, kind=kind))


def _read_to_the_end(visit: Any, order: Order) -> None:
    """All that the pages and the delivery ask of a visit: each has an answer, or says that the row is not known."""
    assert (visit.used_cards, visit.applied_promotions, visit.total, visit.covered, visit.rest) is not None
    assert visit.left_to_pay is None or visit.left_to_pay >= 0
    try:
        effect = kinds.effect_on(visit, order)
    except exceptions.RowNotKnown as error:
        assert not innards(str(error))
    else:
        assert effect.amount >= 0
