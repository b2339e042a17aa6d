"""The reads beside the visit: the chain's list, locations, clients; and what a row undone looks like."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from altegio_loyalty.sandbox import Sandbox
from tests.sandbox.scene import Scene


def ids(rows: list[dict[str, Any]]) -> list[int]:
    return [row["id"] for row in rows]


def chain(scene: Scene, more: str = "") -> Any:
    answer = scene.caller.get(scene.chain_path + more)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def test_chain_list__shows_every_row_of_the_chain_by_id_and_names_its_visit(scene: Scene) -> None:
    ledger = scene.sandbox.ledger
    other = ledger.add_visit(ledger.add_location(), scene.client)
    ledger.withdraw(other, scene.card, 7)
    ledger.apply_program(scene.visit, scene.card, scene.program)
    elsewhere = ledger.add_location(chain_id=9)
    stranger = ledger.add_client()
    ledger.withdraw(
        ledger.add_visit(elsewhere, stranger), ledger.add_card(stranger, balance=5, chain_id=9), 5
    )
    rows = chain(scene)
    assert ids(rows) == sorted(row.id for visit in (other, scene.visit) for row in visit.rows)
    assert {row["visit_id"] for row in rows} == {other.id, scene.visit.id}
    assert not {"created_date", "company_id", "program"} & set(rows[0])


@pytest.mark.parametrize("brackets", ["", "[]"])
def test_chain_list__is_narrowed_by_type_visit_and_location(scene: Scene, brackets: str) -> None:
    """Both spellings of a list are understood: which one is right is not stated."""
    ledger = scene.sandbox.ledger
    other = ledger.add_visit(ledger.add_location(), scene.client)
    ledger.withdraw(other, scene.card, 7)
    ledger.withdraw(scene.visit, scene.card, 7)
    ledger.accrue(scene.visit, scene.card, 3)
    assert {row["type_id"] for row in chain(scene, f"&types{brackets}=2&types{brackets}=4")} == {2}
    assert {row["visit_id"] for row in chain(scene, f"&visit_ids{brackets}={other.id}")} == {other.id}
    assert {row["visit_id"] for row in chain(scene, f"&company_ids{brackets}={other.location_id}")} == {
        other.id
    }


def test_chain_list__is_cut_into_pages(scene: Scene) -> None:
    for _ in range(3):
        scene.sandbox.ledger.accrue(scene.visit, scene.card, 1)
    assert [len(chain(scene, f"&count=2&page={page}")) for page in (1, 2, 3)] == [2, 1, 0]


def test_chain_list__is_of_the_days_that_are_asked_for(scene: Scene) -> None:
    scene.sandbox.ledger.accrue(scene.visit, scene.card, 1)
    path = scene.chain_path.replace("2100-01-01", "2000-01-02")
    assert scene.caller.get(path).json()["data"] == []


@pytest.mark.parametrize("name", ["created_after", "created_before"])
def test_chain_list__without_a_date__422(scene: Scene, name: str) -> None:
    answer = scene.caller.get(scene.chain_path.replace(name, "other"))
    assert answer.status_code == 422
    assert list(answer.json()["meta"]["errors"]) == [name]


@pytest.mark.parametrize(
    ("more", "status"), [("types=12", 422), ("visit_ids=x", 422), ("company_ids=0", 422), ("page=0", 400)]
)
def test_chain_list__asked_for_something_that_cannot_be__is_refused(
    scene: Scene, more: str, status: int
) -> None:
    assert scene.caller.get(f"{scene.chain_path}&{more}").status_code == status


def test_chain_list__without_a_right_in_the_chain__403(scene: Scene) -> None:
    scene.location.loyalty_access = False
    assert scene.caller.get(scene.chain_path).status_code == 403


@pytest.mark.parametrize(("name", "status", "body"), [("bare", 200, list), ("status_403", 403, dict)])
def test_chain_list__alone__can_be_bare_or_refused(scene: Scene, name: str, status: int, body: type) -> None:
    scene.sandbox.fail(name, path="chain_loyalty_transactions")
    answer = scene.caller.get(scene.chain_path)
    assert answer.status_code == status
    assert isinstance(answer.json(), body)
    assert scene.caller.get("/companies").json()["success"]


def test_chain_list__of_no_chain__404(scene: Scene) -> None:
    path = scene.chain_path.replace(str(scene.location.chain_id), "1")
    assert scene.caller.get(path).status_code == 404


def test_rows_undone__vanish(scene: Scene) -> None:
    scene.withdraw()
    assert scene.cancel_withdrawal().json()["data"]["loyalty_transactions"] == []


def test_rows_undone__may_stay_with_another_status__and_count_for_nothing(scene: Scene) -> None:
    scene.sandbox.ledger.rules.undone_rows = "stay"
    scene.withdraw(100)
    scene.apply_program()
    scene.cancel_program()
    rows = scene.cancel_withdrawal().json()["data"]["loyalty_transactions"]
    assert len(rows) == 4
    assert {row["status_id"] for row in rows} == {2}
    assert scene.withdrawn == 0
    assert scene.balance == 1000
    assert scene.sandbox.ledger.left_to_pay(scene.visit) == 3020
    assert scene.sandbox.ledger.discounted(scene.visit, scene.program) == 0


def test_rows_undone__are_not_undone_twice(scene: Scene) -> None:
    scene.sandbox.ledger.rules.undone_rows = "stay"
    scene.withdraw(100)
    scene.cancel_withdrawal()
    scene.cancel_withdrawal()
    assert scene.balance == 1000


@pytest.mark.parametrize(("reading", "costs"), [("before", ["20", "3000"]), ("after", ["18", "2700"])])
def test_cost_of_a_line__is_before_or_after_promotions__and_first_cost_tells(
    scene: Scene, reading: Any, costs: list[str]
) -> None:
    scene.sandbox.ledger.rules.line_cost = reading
    scene.withdraw(100)
    items = scene.apply_program().json()["data"]["items"]
    assert [Decimal(item["cost"]) for item in items] == [Decimal(cost) for cost in costs]
    assert [item["first_cost"] for item in items] == [20, 3000]


def test_location__tells_its_time_zone_and_the_short_title_of_its_currency(scene: Scene) -> None:
    there = scene.sandbox.ledger.add_location(timezone="Asia/Vladivostok", currency="Kč")
    place = scene.caller.get(f"/company/{there.id}?my=1").json()["data"]
    names = ("timezone_name", "timezone", "currency_short_title")
    assert [place[name] for name in names] == ["Asia/Vladivostok", 10, "Kč"]


def test_companies__are_those_that_the_user_may_see(scene: Scene) -> None:
    hidden = scene.sandbox.ledger.add_location()
    hidden.is_visible = False
    assert ids(scene.caller.get("/companies?my=1").json()["data"]) == [scene.location.id]


def test_permissions__of_the_groups_that_are_named(scene: Scene) -> None:
    path = f"/user/permissions/{scene.location.id}?group_permissions[]=loyalty&group_permissions[]=other"
    assert list(scene.caller.get(path).json()["data"]) == ["loyalty", "other"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("card={number}", ["Jane Doe"]),
        ("card={end}", ["Jane Doe"]),
        ("card=99999999", []),
        ("phone=555-0175", ["Jane Doe", "John Roe"]),
        ("phone=%2B13155550175", ["Jane Doe", "John Roe"]),
        ("phone=0176", []),
        ("fullname=roe", ["John Roe"]),
        ("count=1&page=2", ["John Roe"]),
    ],
)
def test_clients__are_found_by_a_part_of_card_phone_or_name(
    scene: Scene, query: str, found: list[str]
) -> None:
    scene.sandbox.ledger.add_client(name="John Roe")
    query = query.format(number=scene.card.number, end=scene.card.number[-6:])
    rows = scene.caller.get(f"/clients/{scene.location.id}?{query}").json()["data"]
    assert [row["name"] for row in rows] == found


@pytest.mark.parametrize(
    ("value", "found"), [("jane", ["Jane Doe"]), ("5550175", ["Jane Doe"]), ("Roe", []), ("- ", [])]
)
def test_search_for_clients__by_a_part_of_name_or_phone(scene: Scene, value: str, found: list[str]) -> None:
    answer = scene.search(value, fields=["name"])
    assert [row["name"] for row in answer.json()["data"]] == found


def test_search_for_clients__shows_ids_alone_unless_told(scene: Scene) -> None:
    assert scene.search("Jane").json()["data"] == [{"id": scene.client.id}]


@pytest.mark.parametrize(
    "wrong",
    [{"page": 0}, {"page": True}, {"page_size": 201}, {"fields": "id"}, {"filters": [{"type": "other"}]}],
)
def test_search_for_clients__that_makes_no_sense__400(scene: Scene, wrong: dict[str, Any]) -> None:
    assert scene.search("Jane", **wrong).status_code == 400


def test_second_factor__is_asked_for_instead_of_a_token(scene: Scene) -> None:
    access = scene.sandbox.access
    access.asks_second_factor = True
    answer = scene.caller.post("/auth", {"login": access.login, "password": access.password})
    assert answer.status_code == 200
    assert "user_token" not in answer.json()["data"]


def test_books_of_an_earlier_release__have_only_rows_in_force__and_fields_that_are_gone(
    tmp_path: Path,
) -> None:
    file = tmp_path / "books.json"
    with Sandbox(state_file=file) as sandbox:
        client = sandbox.ledger.add_client()
        card = sandbox.ledger.add_card(client, balance=10)
        visit = sandbox.ledger.add_visit(sandbox.ledger.add_location(), client)
        sandbox.ledger.withdraw(visit, card, 4)
    state = json.loads(file.read_text())
    for name in ("status_id", "created_at"):
        del state["books"]["visits"][0]["rows"][0][name]
    del state["books"]["locations"][0]["currency"]
    state["books"]["visits"][0]["attendance"] = 1
    file.write_text(json.dumps(state))
    with Sandbox(state_file=file) as sandbox:
        assert sandbox.ledger.withdrawn(visit.id, card.id) == 4
