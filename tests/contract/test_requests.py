"""Every request of the client is valid by the vendor's contract, as an OpenAPI server other than ours reads it."""

from __future__ import annotations

import inspect
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests

from altegio_loyalty import exceptions, kinds
from altegio_loyalty.client import AltegioClient, Credentials, Hidden, Limits, Order, Transport
from tests import reachable

pytestmark = pytest.mark.contract

CONTRACT = Path(__file__).parent / "altegio-openapi.yaml"
VISIT = {"record_id": 140967944, "visit_id": 118389447}
ORDER = Order(
    kind="apply_card_withdrawal",
    location_id=4564,
    card_id=9223622,
    program_id=20802,
    amount=Decimal(100),
    visit_id=VISIT["visit_id"],
    record_id=VISIT["record_id"],
)


def log_in(client: AltegioClient, status: str) -> Hidden:
    """With that one of the answers that the contract has for it; the mock server's own choice is the lowest."""
    client._transport._session.headers["Prefer"] = f"code={status}"
    return client.auth("jane@example.com", "password")


CALLS: dict[str, Callable[[AltegioClient], Any]] = {
    "look": lambda client: client.look(ORDER),
    "send": lambda client: client.send(ORDER),
    "visit_details": lambda client: client.visit_details(4564, **VISIT),
    "visit": lambda client: client.visit(118389447),
    "records_page": lambda client: client.records_page(4564, start_date="2026-09-21", end_date="2026-09-22"),
    "client_cards": lambda client: client.client_cards(4240788),
    "company": lambda client: client.company(4564),
    "user_permissions": lambda client: client.user_permissions(4564),
    "companies": lambda client: client.companies(),
    "auth": lambda client: log_in(client, "201"),
    "clients": lambda client: (client.clients(4564, text="Jane"), client.clients(4564, card="0710")),
    "chain_transactions": lambda client: client.chain_transactions(
        145071, 4564, "2026-09-01", "2026-09-30", 1
    ),
    "read": lambda client: client.read("/companies", {"my": 1}),
}
#: The reads of the first calls on a live account, and those of the contract that have no method of their own.
READS = [
    "/company/4564?my=1",
    "/companies?my=1",
    "/user/permissions/4564",
    "/records/4564?start_date=2026-09-21&end_date=2026-09-22&page=1&count=50",
    "/visits/118389447",
    "/visit/details/4564/140967944/118389447",
    "/visit/loyalty/transactions/118389447",
    "/loyalty/client_cards/4240788",
    "/chain/145071/loyalty/transactions?created_after=2026-09-01&created_before=2026-09-30&page=1&count=100",
    "/chain/145071/loyalty/transactions?created_after=2026-09-01&created_before=2026-09-30&types=3&types=6",
    "/clients/4564?card=0710&count=20",
    "/clients/4564?fullname=Jane&phone=0175",
]


@pytest.fixture(scope="module")
def prism_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A mock server of the contract that answers an invalid request with an error."""
    port, log = reachable.free_port(), tmp_path_factory.mktemp("prism") / "log"
    command = [
        str(reachable.prism()),
        "mock",
        "--errors",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        str(CONTRACT),
    ]
    with log.open("w") as output:
        server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        give_up_at = time.monotonic() + 60
        while not answers(port):
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < give_up_at, log.read_text()
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(60)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def client(prism_url: str) -> Iterator[AltegioClient]:
    transport = Transport(prism_url, limits=Limits(60, 60, 120))
    yield AltegioClient(transport, Credentials("partner-token", "user-token"))
    transport.close()


@pytest.mark.parametrize("name", CALLS)
def test_a_request__is_valid_and_its_sample_answer_readable(client: AltegioClient, name: str) -> None:
    """Neither side of the conversation misunderstands the other."""
    CALLS[name](client)


def test_a_login_that_asks_for_a_second_factor__is_told_apart(client: AltegioClient) -> None:
    """By the status 200 and no token."""
    with pytest.raises(exceptions.Refused, match="second factor"):
        log_in(client, "200")


@pytest.mark.parametrize("path", READS)
def test_a_read__is_valid_and_answers_with_something(client: AltegioClient, path: str) -> None:
    """Wrapped, as the contract has it first."""
    assert client.read(path).body


@pytest.mark.parametrize(
    "query", ["", "?created_after=2026-09-01", "?created_after=soon&created_before=2026-09-30"]
)
def test_the_server__sees_a_mistake_in_a_query(client: AltegioClient, query: str) -> None:
    """Both dates of the chain's list are needed."""
    with pytest.raises(exceptions.Refused):
        client.read(f"/chain/145071/loyalty/transactions{query}")


@pytest.mark.parametrize("amount", ["0.01", "99.99", "100", "12345678.90"])
def test_an_amount__is_a_number_of_the_contract(client: AltegioClient, amount: str) -> None:
    """With and without decimals."""
    client.send(replace(ORDER, amount=Decimal(amount)))


@pytest.mark.parametrize("kind", kinds.TABLE)
def test_each_kind__is_a_call_of_the_contract(client: AltegioClient, kind: str) -> None:
    """Every verb that the log can hold."""
    client.send(replace(ORDER, kind=kind))


def test_the_calls__are_all_that_the_client_can_make() -> None:
    """A method added to the client is added here."""
    methods = {
        name for name, _ in inspect.getmembers(AltegioClient, inspect.isfunction) if not name.startswith("_")
    }
    assert methods - {"address"} == set(CALLS)  # which only tells where the others go


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ({"record_id": 1, "visit_id": 2}, {}, 422),
        ({"record_id": 1, "visit_id": 2, "amount": "100"}, {}, 422),
        ({"record_id": 1, "visit_id": 2, "amount": 100, "card_id": 3}, {}, 422),
        ({"record_id": 1, "visit_id": 2, "amount": 100}, {"Accept": "application/json"}, 422),
        ({"record_id": 1, "visit_id": 2, "amount": 100}, {"Authorization": None}, 401),
    ],
)
def test_the_server__sees_a_mistake(
    prism_url: str, body: dict[str, Any], headers: dict[str, str | None], status: int
) -> None:
    """Otherwise the tests above would prove nothing."""
    good = {"Accept": "application/vnd.api.v2+json", "Authorization": "Bearer partner, User user"}
    answer = requests.post(
        f"{prism_url}/visit/loyalty/apply_card_withdrawal/4564/9223622",
        json=body,
        headers={**good, **headers},
        timeout=60,
    )
    assert answer.status_code == status, answer.text
