"""What the API's operations do and refuse, through real sockets."""

from __future__ import annotations

import http.client
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.sandbox.scene import TIMEOUT, Scene


def test_withdrawal_answers_with_the_visit_as_it_now_stands(scene: Scene) -> None:
    data = scene.withdraw(100).json()["data"]
    assert [row["type_id"] for row in data["loyalty_transactions"]] == [3, 3]
    assert all(row["is_loyalty_withdraw"] and not row["is_discount"] for row in data["loyalty_transactions"])
    assert [item["cost"] for item in data["items"]] == [20, 3000]
    assert scene.balance == 900


def test_amounts_carry_the_float_noise_of_the_vendor(scene: Scene) -> None:
    text = scene.withdraw(100).text
    assert '"amount":0.66000000000000003,' in text
    assert '"amount":99.340000000000003,' in text


def test_amounts_are_clean__without_float_noise(scene: Scene) -> None:
    scene.sandbox.float_noise = False
    assert '"amount":99.34,' in scene.withdraw(100).text


def test_product_row_names_its_sale_and_service_row_its_record(scene: Scene) -> None:
    product, service = scene.withdraw(100).json()["data"]["loyalty_transactions"]
    assert (product["item_type_id"], product["item_record_id"]) == (7, 0)
    assert product["goods_transaction_id"] == scene.visit.lines[0].sale_id
    assert (service["item_type_id"], service["goods_transaction_id"]) == (1, 0)
    assert service["item_record_id"] == scene.visit.record_id


def test_decimal_amounts_are_exact(scene: Scene) -> None:
    scene.withdraw(0.1)
    scene.withdraw(0.2)
    assert scene.withdrawn == Decimal("0.30")


def test_amount_of_nothing_succeeds_and_takes_nothing(scene: Scene) -> None:
    answer = scene.withdraw(0)
    assert answer.status_code == 200
    assert answer.json()["data"]["loyalty_transactions"] == []


def test_more_than_there_is_takes_what_there_is(scene: Scene) -> None:
    assert scene.withdraw(99_999).status_code == 200
    assert scene.withdrawn == 1000


def test_cancelled_withdrawal_disappears_and_the_points_return(scene: Scene) -> None:
    scene.withdraw(100)
    assert scene.cancel_withdrawal().json()["data"]["loyalty_transactions"] == []
    assert scene.balance == 1000


def test_cancel_of_nothing_is_a_success(scene: Scene) -> None:
    assert scene.cancel_withdrawal().status_code == 200
    assert scene.sandbox.effects == []


def test_promotion_rows_are_discounts_of_the_card_and_program(scene: Scene) -> None:
    rows = scene.apply_program().json()["data"]["loyalty_transactions"]
    assert [(row["type_id"], row["is_discount"], row["program_id"]) for row in rows] == [
        (1, True, scene.program.id)
    ] * 2
    assert scene.cancel_program().json()["data"]["loyalty_transactions"] == []


def test_transactions_name_the_promotion_and_give_an_empty_list_for_none(scene: Scene) -> None:
    scene.apply_program()
    scene.withdraw(10)
    rows = scene.caller.get(f"/visit/loyalty/transactions/{scene.visit.id}").json()["data"]
    assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)
    assert rows[0]["program"]["id"] == scene.program.id
    assert rows[-1]["program"] == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"amount": None}, "amount"),
        ({"amount": "100"}, "amount"),
        ({"amount": True}, "amount"),
        ({"amount": -1}, "amount"),
        ({"visit_id": "x"}, "visit_id"),
        ({"record_id": 1.5}, "record_id"),
        ({"card": 1}, "card"),
    ],
)
def test_wrong_field_is_422_and_named(scene: Scene, change: dict[str, Any], field: str) -> None:
    answer = scene.caller.post(scene.withdrawal_path, {**scene.ids, "amount": 10, **change})
    assert answer.status_code == 422
    assert list(answer.json()["meta"]["errors"]) == [field]
    assert scene.sandbox.effects == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"amount":NaN}', b"\xff", b"[" * 100_000])
def test_body_that_is_no_object_is_400(scene: Scene, body: bytes) -> None:
    answer = scene.caller.session.post(scene.sandbox.url + scene.withdrawal_path, data=body, timeout=TIMEOUT)
    assert answer.status_code == 400


@pytest.mark.parametrize("field", ["visit_id", "record_id"])
def test_unknown_visit_or_record_is_404(scene: Scene, field: str) -> None:
    answer = scene.caller.post(scene.withdrawal_path, {**scene.ids, "amount": 1, field: 1})
    assert answer.status_code == 404
    assert answer.json() == {"success": False, "data": None, "meta": []}


def test_unknown_card_is_404(scene: Scene) -> None:
    path = f"/visit/loyalty/apply_card_withdrawal/{scene.location.id}/1"
    assert scene.caller.post(path, {**scene.ids, "amount": 1}).status_code == 404


def test_visit_of_another_location_is_404(scene: Scene) -> None:
    other = scene.sandbox.ledger.add_location()
    path = f"/visit/loyalty/apply_card_withdrawal/{other.id}/{scene.card.id}"
    assert scene.caller.post(path, {**scene.ids, "amount": 1}).status_code == 404


@pytest.mark.parametrize(
    "path", ["/visits/abc", "/visits/-1", "/visits/1.5", "/visits/٣", "/", "/nothing", ""]
)
def test_path_that_is_none_is_404(scene: Scene, path: str) -> None:
    assert scene.caller.get(path).status_code == 404


def test_wrong_method_is_405(scene: Scene) -> None:
    assert scene.caller.get(scene.withdrawal_path).status_code == 405


def test_trailing_slash_is_tolerated(scene: Scene) -> None:
    assert scene.caller.get(f"/company/{scene.location.id}/").status_code == 200


@pytest.mark.parametrize("media_type", ["application/vnd.api.v2+json", "application/vnd.yclients.v2+json"])
def test_format_2_has_an_envelope(scene: Scene, media_type: str) -> None:
    scene.caller.session.headers["Accept"] = media_type
    assert set(scene.caller.get(scene.cards_path).json()) == {"success", "data", "meta"}


def test_other_formats_are_bare(scene: Scene) -> None:
    scene.caller.session.headers["Accept"] = "application/json"
    assert isinstance(scene.caller.get(scene.cards_path).json(), list)


@pytest.mark.parametrize("envelope", [True, False])
def test_envelope_can_be_forced(scene: Scene, envelope: bool) -> None:
    scene.sandbox.envelope = envelope
    scene.caller.session.headers["Accept"] = "application/json" if envelope else "application/vnd.api.v2+json"
    assert isinstance(scene.caller.get(scene.cards_path).json(), dict if envelope else list)


def test_visit_of_several_records_takes_any_of_them(scene: Scene) -> None:
    second = scene.sandbox.ledger.add_record(scene.visit, lines=[("Manicure", 50)])
    answer = scene.caller.post(scene.withdrawal_path, {**scene.ids, "record_id": second, "amount": 10})
    assert answer.status_code == 200
    assert len(scene.caller.get(f"/visits/{scene.visit.id}").json()["data"]["records"]) == 2


def test_records_come_in_pages_with_the_whole_count(scene: Scene) -> None:
    for _ in range(4):
        scene.sandbox.ledger.add_visit(scene.location, scene.client)
    path = f"/records/{scene.location.id}"
    pages = [scene.caller.get(path, params={"page": page, "count": 2}).json() for page in (1, 2, 3, 4)]
    assert [len(page["data"]) for page in pages] == [2, 2, 1, 0]
    assert pages[0]["meta"] == {"page": 1, "total_count": 5}
    assert len({record["id"] for page in pages for record in page["data"]}) == 5


def test_records_are_those_of_the_location_alone(scene: Scene) -> None:
    other = scene.sandbox.ledger.add_location()
    assert scene.caller.get(f"/records/{other.id}").json()["data"] == []


def test_dates_are_the_locations_own_days(scene: Scene) -> None:
    ledger = scene.sandbox.ledger
    far_east = ledger.add_location(timezone="Pacific/Auckland")
    evening = datetime(2026, 3, 9, 20, 0, tzinfo=UTC)
    visit = ledger.add_visit(far_east, scene.client, starts_at=evening)
    path = f"/records/{far_east.id}"

    def found(day: str) -> list[int]:
        answer = scene.caller.get(path, params={"start_date": day, "end_date": day})
        return [record["visit_id"] for record in answer.json()["data"]]

    assert found("2026-03-10") == [visit.id]
    assert found("2026-03-09") == []
    record = scene.caller.get(path).json()["data"][0]
    assert record["date"] == "2026-03-10 09:00:00"
    assert record["datetime"] == "2026-03-10T09:00:00+13:00"


def test_dates_are_inclusive(scene: Scene) -> None:
    today = scene.visit.starts_at.date()
    params = {"start_date": str(today - timedelta(days=1)), "end_date": str(today)}
    path = f"/records/{scene.location.id}"
    assert len(scene.caller.get(path, params=params).json()["data"]) == 1


@pytest.mark.parametrize("params", [{"page": "0"}, {"count": "-1"}, {"page": "x"}, {"start_date": "today"}])
def test_senseless_parameter_is_400(scene: Scene, params: dict[str, str]) -> None:
    assert scene.caller.get(f"/records/{scene.location.id}", params=params).status_code == 400


def test_card_number_is_text_with_zeros_and_not_the_id(scene: Scene) -> None:
    card = scene.caller.get(scene.cards_path).json()["data"][0]
    assert card["number"] == "1450710009210520"
    assert card["id"] == scene.card.id


def test_client_without_cards_has_an_empty_list_and_no_client_is_404(scene: Scene) -> None:
    nobody = scene.sandbox.ledger.add_client()
    assert scene.caller.get(f"/loyalty/client_cards/{nobody.id}").json()["data"] == []
    assert scene.caller.get("/loyalty/client_cards/1").status_code == 404


def test_paid_visit_is_paid_in_full(scene: Scene) -> None:
    def paid_full() -> Any:
        return scene.caller.get(f"/visits/{scene.visit.id}").json()["data"]["records"][0]["paid_full"]

    assert paid_full() == 0
    scene.sandbox.ledger.pay(scene.visit, 3020)
    assert paid_full() == 1


def test_one_connection_serves_many_requests(scene: Scene) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", scene.sandbox.port, timeout=TIMEOUT)
    headers = {name: str(value) for name, value in scene.caller.session.headers.items()}
    for _ in range(3):
        connection.request("GET", f"/api/v1/company/{scene.location.id}", headers=headers)
        socket_before = connection.sock
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        assert connection.sock is socket_before
    connection.close()


def test_works_as_a_proxy_would_be_asked(scene: Scene) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", scene.sandbox.port, timeout=TIMEOUT)
    headers = {name: str(value) for name, value in scene.caller.session.headers.items()}
    connection.request("GET", f"http://api.example.com/api/v1/company/{scene.location.id}", headers=headers)
    assert connection.getresponse().status == 200
    connection.close()


def test_log_holds_the_request_and_no_secret(scene: Scene) -> None:
    scene.withdraw(100)
    scene.caller.post("/auth", {"login": "x", "password": "my-secret"})
    first, second = scene.sandbox.requests
    assert (first.method, first.operation, first.status) == ("POST", "apply_card_withdrawal", 200)
    assert first.path == "/api/v1" + scene.withdrawal_path
    assert first.body == {**scene.ids, "amount": 100}
    assert first.headers["authorization"] == "***"
    assert "my-secret" not in repr(second)
    assert scene.sandbox.user_token not in repr(scene.sandbox.requests)
