"""Every answer of the sandbox is one that the vendor's contract declares."""

from __future__ import annotations

from collections.abc import Callable

import jsonschema
import pytest
import requests

from tests.sandbox import contract
from tests.sandbox.scene import Scene

SUCCESSES: dict[str, Callable[[Scene], requests.Response]] = {
    "apply_card_withdrawal": lambda scene: scene.withdraw(100),
    "cancel_card_withdrawal": lambda scene: scene.cancel_withdrawal(),
    "apply_discount_program": lambda scene: scene.apply_program(),
    "cancel_discount_program": lambda scene: scene.cancel_program(),
    "visit_details": lambda scene: scene.caller.get(scene.details_path),
    "loyalty_transactions": lambda scene: scene.caller.get(f"/visit/loyalty/transactions/{scene.visit.id}"),
    "client_cards": lambda scene: scene.caller.get(scene.cards_path),
    "visit": lambda scene: scene.caller.get(f"/visits/{scene.visit.id}"),
    "records": lambda scene: scene.caller.get(f"/records/{scene.location.id}"),
    "location": lambda scene: scene.caller.get(f"/company/{scene.location.id}?my=1"),
    "companies": lambda scene: scene.caller.get("/companies?my=1"),
    "chain_loyalty_transactions": lambda scene: scene.caller.get(scene.chain_path),
    "clients": lambda scene: scene.caller.get(f"/clients/{scene.location.id}?phone=0175"),
    "clients_search": lambda scene: scene.search("Jane"),
    "permissions": lambda scene: scene.caller.get(f"/user/permissions/{scene.location.id}"),
    "auth": lambda scene: scene.caller.post(
        "/auth", {"login": scene.sandbox.access.login, "password": scene.sandbox.access.password}
    ),
}


def test_every_operation_of_the_contract_is_tried_here() -> None:
    assert set(SUCCESSES) == set(contract.operations())


@pytest.mark.parametrize("name", SUCCESSES)
def test_success_fits_the_contract(scene: Scene, name: str) -> None:
    scene.sandbox.ledger.withdraw(scene.visit, scene.card, 5)
    scene.sandbox.ledger.apply_program(scene.visit, scene.card, scene.program)
    scene.sandbox.ledger.accrue(scene.visit, scene.card, 3)
    scene.sandbox.ledger.pay(scene.visit, "10.50")
    answer = SUCCESSES[name](scene)
    assert answer.ok
    assert contract.check(answer) == name


@pytest.mark.parametrize("name", SUCCESSES)
def test_unauthorized_fits_the_contract(scene: Scene, name: str) -> None:
    scene.caller.session.headers["Authorization"] = "Bearer nobody, User nobody"
    answer = SUCCESSES[name](scene)
    assert answer.status_code == 401
    contract.check(answer)


@pytest.mark.parametrize(
    "path", ["/visits/1", "/visit/loyalty/transactions/1", "/loyalty/client_cards/1", "/company/1"]
)
def test_not_found_fits_the_contract(scene: Scene, path: str) -> None:
    answer = scene.caller.get(path)
    assert answer.status_code == 404
    contract.check(answer)


def test_forbidden_fits_the_contract(scene: Scene) -> None:
    scene.location.loyalty_access = False
    answer = scene.withdraw()
    assert answer.status_code == 403
    contract.check(answer)


def test_invalid_fits_the_contract(scene: Scene) -> None:
    answer = scene.caller.post(scene.withdrawal_path, {})
    assert answer.status_code == 422
    contract.check(answer)


def test_visit_without_a_client_fits_the_contract(scene: Scene) -> None:
    visit = scene.sandbox.ledger.add_visit(scene.location, None)
    contract.check(scene.caller.get(f"/visits/{visit.id}"))


def test_second_factor_fits_the_contract(scene: Scene) -> None:
    scene.sandbox.access.asks_second_factor = True
    answer = SUCCESSES["auth"](scene)
    assert answer.status_code == 200
    contract.check(answer)


@pytest.mark.parametrize(
    "name", ["apply_card_withdrawal", "loyalty_transactions", "chain_loyalty_transactions"]
)
def test_bare_answer_fits_the_contract_as_well(scene: Scene, name: str) -> None:
    """The specification shows the loyalty calls bare; clients see them wrapped."""
    scene.sandbox.ledger.withdraw(scene.visit, scene.card, 5)
    scene.sandbox.envelope = False
    answer = SUCCESSES[name](scene)
    assert answer.ok
    contract.check(answer)


def test_the_check_itself_sees_a_wrong_answer(scene: Scene) -> None:
    scene.sandbox.fail("string_ids")
    with pytest.raises(jsonschema.ValidationError):
        contract.check(scene.withdraw())
