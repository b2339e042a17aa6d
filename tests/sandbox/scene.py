"""A salon with one visit in a sandbox, and a caller who talks to it through real sockets."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar

import requests

from altegio_loyalty.sandbox import Sandbox
from altegio_loyalty.sandbox.books import Card, Client, Location, Program, Visit

V2 = "application/vnd.api.v2+json"
#: How long a call may take before its test fails; none of them waits for so long.
TIMEOUT = 60


class Caller:
    """Calls the sandbox as the app would, with both tokens unless told otherwise."""

    opened: ClassVar[list[Caller]] = []

    def __init__(self, sandbox: Sandbox) -> None:
        self.opened.append(self)
        self.sandbox = sandbox
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Accept"] = V2
        self.use_tokens()

    def use_tokens(self) -> None:
        tokens = (self.sandbox.partner_token, self.sandbox.user_token)
        self.session.headers["Authorization"] = "Bearer {}, User {}".format(*tokens)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.session.get(self.sandbox.url + path, **{"timeout": TIMEOUT, **options})

    def post(self, path: str, body: Any, **options: Any) -> requests.Response:
        return self.session.post(self.sandbox.url + path, json=body, **{"timeout": TIMEOUT, **options})


@dataclass
class Scene:
    sandbox: Sandbox
    caller: Caller
    location: Location
    client: Client
    program: Program
    card: Card
    visit: Visit

    @property
    def ids(self) -> dict[str, int]:
        return {"visit_id": self.visit.id, "record_id": self.visit.record_id}

    @property
    def withdrawal_path(self) -> str:
        return f"/visit/loyalty/apply_card_withdrawal/{self.location.id}/{self.card.id}"

    @property
    def details_path(self) -> str:
        return f"/visit/details/{self.location.id}/{self.visit.record_id}/{self.visit.id}"

    @property
    def cards_path(self) -> str:
        return f"/loyalty/client_cards/{self.client.id}"

    @property
    def chain_path(self) -> str:
        """Its loyalty transactions, of all days."""
        days = "created_after=2000-01-01&created_before=2100-01-01"
        return f"/chain/{self.location.chain_id}/loyalty/transactions?{days}"

    def search(self, value: str, **more: Any) -> requests.Response:
        filters = [{"type": "quick_search", "state": {"value": value}}]
        return self.caller.post(f"/company/{self.location.id}/clients/search", {"filters": filters, **more})

    def withdraw(self, amount: float = 100, **options: Any) -> requests.Response:
        return self.caller.post(self.withdrawal_path, {**self.ids, "amount": amount}, **options)

    def cancel_withdrawal(self) -> requests.Response:
        return self.caller.post(
            f"/visit/loyalty/cancel_card_withdrawal/{self.location.id}/{self.card.id}", self.ids
        )

    def apply_program(self, program: Program | None = None) -> requests.Response:
        number = (program or self.program).id
        return self.caller.post(
            f"/visit/loyalty/apply_discount_program/{self.location.id}/{self.card.id}/{number}", self.ids
        )

    def cancel_program(self) -> requests.Response:
        return self.caller.post(
            f"/visit/loyalty/cancel_discount_program/{self.location.id}/{self.card.id}/{self.program.id}",
            self.ids,
        )

    @property
    def withdrawn(self) -> Decimal:
        return self.sandbox.ledger.withdrawn(self.visit, self.card)

    @property
    def balance(self) -> Decimal:
        return self.sandbox.ledger.balance(self.card)


def open_scene(sandbox: Sandbox) -> Scene:
    ledger = sandbox.ledger
    location = ledger.add_location(title="Main Street")
    client = ledger.add_client(name="Jane Doe")
    program = ledger.add_program(percent=10)
    card = ledger.add_card(client, balance="1000", programs=[program])
    visit = ledger.add_visit(location, client, lines=[("Shampoo", 20, "product"), ("Haircut", 3000)])
    return Scene(sandbox, Caller(sandbox), location, client, program, card, visit)
