"""Altegio's answers as values: strict about what decides, patient with the legacy shapes."""

from __future__ import annotations

import contextlib
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, strategies as st

from altegio_loyalty.client import Card, Cards, Credentials, LoyaltyTransaction, Record, VisitDetails
from altegio_loyalty.client.types import (
    LARGEST_AMOUNT,
    LARGEST_ID,
    Malformed,
    to_flag,
    to_id,
    to_money,
    to_object,
    to_objects,
    to_text,
)
from tests.client.anything import examples, json_values

CARD = 9210520
ROW: dict[str, Any] = {
    "id": 22988861,
    "status_id": 1,
    "amount": 100,
    "type_id": 3,
    "program_id": 0,
    "card_id": CARD,
    "item_id": 5048384,
    "is_discount": False,
    "is_loyalty_withdraw": True,
    "type": {"id": 3, "title": "Loyalty card withdrawal"},
}
SAMPLE = (
    '{"payment_transactions":[],"loyalty_transactions":['
    '{"id":22988861,"status_id":1,"amount":0.66000000000000003,"type_id":3,"program_id":0,"card_id":9210520,'
    '"salon_group_id":145071,"item_id":5048384,"item_type_id":7,"item_record_id":0,"goods_transaction_id":96063258,'
    '"is_discount":false,"is_loyalty_withdraw":true,"type":{"id":3,"title":"Loyalty card withdrawal"}},'
    '{"id":22988862,"status_id":1,"amount":99.340000000000003,"type_id":3,"program_id":0,"card_id":9210520,'
    '"salon_group_id":145071,"item_id":2560779,"item_type_id":1,"item_record_id":140878948,"goods_transaction_id":0,'
    '"is_discount":false,"is_loyalty_withdraw":true,"type":{"id":3,"title":"Loyalty card withdrawal"}}],'
    '"kkm_transaction_details_container":{"last_operation_type":1,"transactions":[]},'
    '"items":[{"id":96063258,"item_id":5048384,"item_type_id":7,"record_id":0,"item_title":"test two","amount":1,'
    '"first_cost":20,"manual_cost":20,"discount":0,"cost":20},{"id":0,"item_id":2560779,"item_type_id":1,'
    '"record_id":140878948,"item_title":"Deep bikini","amount":1,"first_cost":3000,"cost":3000}]}'
)


def read(text: str) -> Any:
    """JSON as the transport reads it."""
    return json.loads(text, parse_float=Decimal)


def visit_with(*rows: Any, **more: Any) -> VisitDetails:
    """Each row has an id of its own."""
    numbered = [
        {**row, "id": ROW["id"] + index} if isinstance(row, dict) and row.get("id") == ROW["id"] else row
        for index, row in enumerate(rows)
    ]
    return VisitDetails.parse({"loyalty_transactions": numbered, **more})


# What was withdrawn


def test_the_vendors_sample_of_two_rows_with_float_noise_is_100_points() -> None:
    visit = VisitDetails.parse(read(SAMPLE))
    assert visit.withdrawn(CARD) == Decimal(100)
    assert visit.total == Decimal(3020)
    assert visit.left_to_pay == Decimal(2920)
    assert [line.title for line in visit.lines] == ["test two", "Deep bikini"]


def test_each_row_is_rounded_before_it_is_summed() -> None:
    """Three times 0.333…: 0.99, not 1.00."""
    rows = [{**ROW, "amount": Decimal("0.33333333333333331")} for _ in range(3)]
    assert visit_with(*rows).withdrawn(CARD) == Decimal("0.99")


def test_half_a_cent_is_rounded_up() -> None:
    assert visit_with({**ROW, "amount": Decimal("0.005")}).withdrawn(CARD) == Decimal("0.01")


@examples(100)
@given(st.lists(st.decimals(0, 100_000, places=2), max_size=12))
def test_float_noise_never_changes_the_sum(amounts: list[Decimal]) -> None:
    """Each amount as the vendor's backend prints it: the nearest binary number, with 17 digits."""
    noisy = [{**ROW, "amount": Decimal(f"{float(amount):.17g}")} for amount in amounts]
    assert visit_with(*noisy).withdrawn(CARD) == sum(amounts, Decimal(0))


@pytest.mark.parametrize(
    "row",
    [
        ROW,
        {**ROW, "is_loyalty_withdraw": False},
        {**ROW, "type_id": 6},
        {**ROW, "type_id": "3", "is_loyalty_withdraw": 0},
        {**ROW, "type_id": "6", "is_loyalty_withdraw": "1"},
        {**ROW, "card_id": str(CARD), "amount": "100", "id": "1"},
        {**ROW, "card_id": f" {CARD} "},
        {**ROW, "amount": "100.00"},
        {**ROW, "amount": -100},
        {**ROW, "type": []},
        {**ROW, "type": None},
        {key: value for key, value in ROW.items() if key != "type_id"},
        {**ROW, "program": []},
        {**ROW, "unknown": {"deep": [1, 2]}},
    ],
)
def test_a_withdrawal_is_type_3_or_says_so_in_whatever_spelling(row: dict[str, Any]) -> None:
    assert visit_with(row).withdrawn(CARD) == Decimal(100)


@pytest.mark.parametrize(
    "row",
    [
        {**ROW, "card_id": CARD + 1},
        {**ROW, "type_id": 1, "is_loyalty_withdraw": False, "is_discount": True},
        {**ROW, "type_id": 2, "is_loyalty_withdraw": False},
        {**ROW, "type_id": 4, "is_loyalty_withdraw": False},
        {**ROW, "type_id": 5, "is_loyalty_withdraw": "0"},
        {**ROW, "type_id": 8, "is_loyalty_withdraw": None},
    ],
)
def test_other_cards_and_other_kinds_are_not_withdrawn(row: dict[str, Any]) -> None:
    assert visit_with(row).withdrawn(CARD) == 0


def test_a_visit_without_rows_shows_nothing() -> None:
    visit = VisitDetails.parse({"loyalty_transactions": []})
    assert visit.withdrawn(CARD) == 0
    assert visit.discounted(1, CARD) is None
    assert visit.left_to_pay == 0


@pytest.mark.parametrize(
    "junk", [None, "x", 5, [5], ["x"], [{"amount": None, "cost": None}], [{"amount": "much", "cost": []}]]
)
def test_nothing_about_lines_and_payments_hides_a_loyalty_row(junk: object) -> None:
    """Else one of them would hold up every operation on the visit, and leave a doubt about it for good."""
    visit = visit_with(ROW, items=junk, payment_transactions=junk)
    assert visit.withdrawn(CARD) == Decimal(100)
    assert not visit.doubt_about_points(CARD)


def test_price_that_is_not_said__is_unknown_and_so_is_what_is_left() -> None:
    visit = visit_with(items=[{"cost": 100}, {"item_title": "Haircut", "cost": None}])
    assert [line.cost for line in visit.lines] == [Decimal(100), None]
    assert (visit.total, visit.rest, visit.left_to_pay) == (None, None, None)


def test_payment_that_does_not_say_how_much__leaves_unknown_what_is_left() -> None:
    visit = visit_with(items=[{"cost": 100}], payment_transactions=[{"amount": None}, {"amount": 5}])
    assert (visit.total, visit.paid, visit.left_to_pay) == (Decimal(100), None, None)


def test_rows_keyed_by_id_are_rows() -> None:
    visit = VisitDetails.parse({"loyalty_transactions": {"22988861": ROW}})
    assert visit.withdrawn(CARD) == 100


@pytest.mark.parametrize(
    "change",
    [
        {"card_id": "x"},
        {"card_id": -1},
        {"card_id": 1.5},
        {"card_id": True},
        {"card_id": []},
        {"card_id": ""},
        {"card_id": "²"},
        {"card_id": 2**63},
        {"card_id": "9" * 5000},
        {"card_id": Decimal("1e999999")},
        {"amount": None},
        {"amount": ""},
        {"amount": "NaN"},
        {"amount": "sNaN"},
        {"amount": "Infinity"},
        {"amount": Decimal("1e999999")},
        {"amount": Decimal("1e1000000")},
        {"amount": "-1e1000000"},
        {"amount": "10000000000"},
        {"amount": True},
        {"amount": []},
        {"amount": "100 points"},
        {"amount": "1,5"},
        {"type_id": "withdrawal"},
        {"type_id": -3},
        {"type_id": []},
    ],
)
def test_a_withdrawal_that_cannot_be_understood__leaves_a_doubt_that_names_row_and_field(
    change: dict[str, Any],
) -> None:
    """Overlooking it would let a withdrawal that is there be made again."""
    (field,) = change
    visit = visit_with(ROW, {**ROW, **change})
    assert visit.doubt_about_points(CARD).startswith(f"loyalty_transactions[1].{field}: ")
    assert visit.covered is None


@pytest.mark.parametrize(
    "change", [{"type": "withdrawal"}, {"id": "?"}, {"program_id": "?"}, {"item_id": "text"}]
)
def test_a_cell_that_cannot_matter__is_not_read(change: dict[str, Any]) -> None:
    visit = visit_with({**ROW, **change})
    assert (visit.withdrawn(CARD), visit.doubt_about_points(CARD)) == (Decimal(100), "")


@pytest.mark.parametrize(
    "row",
    [
        {"type_id": 2, "amount": None},
        {"type_id": 2, "amount": 5, "card_id": "x", "status_id": 7},
        {"type_id": 8, "amount": 500},
        {"type_id": 8, "amount": 500, "is_loyalty_withdraw": True},
        {**ROW, "card_id": CARD + 1, "amount": None},
        {"type_id": 1, "card_id": CARD, "program_id": "x", "amount": 1},
    ],
)
def test_a_row_that_cannot_be_points_of_this_card__leaves_no_doubt_about_them(row: dict[str, Any]) -> None:
    visit = visit_with(ROW, row)
    assert (visit.withdrawn(CARD), visit.doubt_about_points(CARD)) == (Decimal(100), "")


@pytest.mark.parametrize(
    "row",
    [
        {"type_id": 2, "amount": None},
        {**ROW, "amount": None},
        {"type_id": 1, "card_id": CARD, "program_id": 1, "amount": None},
        {"type_id": 1, "card_id": CARD + 1, "program_id": 20802, "amount": None},
    ],
)
def test_a_row_that_cannot_be_this_promotion__leaves_no_doubt_about_it(row: dict[str, Any]) -> None:
    assert not visit_with(row).doubt_about_promotion(20802, CARD)


@pytest.mark.parametrize("row", [{"program_id": "x"}, {"card_id": "x"}, {"amount": None}, {"status_id": 7}])
def test_a_row_that_could_be_this_promotion__leaves_a_doubt_about_it(row: dict[str, Any]) -> None:
    (field,) = row
    doubt = visit_with({**DISCOUNT, **row}).doubt_about_promotion(20802, CARD)
    assert doubt.startswith(f"loyalty_transactions[0].{field}: ")


@pytest.mark.parametrize("program", [None, 0, ""])
def test_a_promotion_that_does_not_say_which_one_it_is__could_be_any(program: object) -> None:
    visit = visit_with({**DISCOUNT, "program_id": program})
    assert visit.doubt_about_promotion(20802, CARD).startswith("loyalty_transactions[0].program_id: ")


# Rows that are there twice


def test_a_row_that_is_there_twice__counts_once() -> None:
    assert VisitDetails.parse({"loyalty_transactions": [ROW, {**ROW}]}).withdrawn(CARD) == 100


@pytest.mark.parametrize("id", [None, 0, ""])
def test_rows_without_an_id__are_as_many_as_there_are(id: object) -> None:
    row = {**ROW, "id": id}
    assert VisitDetails.parse({"loyalty_transactions": [row, row]}).withdrawn(CARD) == 200


def test_rows_of_one_id_that_differ__are_as_many_as_there_are() -> None:
    rows = [ROW, {**ROW, "item_id": 7}]
    assert VisitDetails.parse({"loyalty_transactions": rows}).withdrawn(CARD) == 200


# Rows in force


@pytest.mark.parametrize("status", [1, "1", None])
def test_row_with_the_status_in_force_or_none__counts(status: object) -> None:
    assert visit_with({**ROW, "status_id": status}).withdrawn(CARD) == 100
    without = {key: value for key, value in ROW.items() if key != "status_id"}
    assert visit_with(without).withdrawn(CARD) == 100


@pytest.mark.parametrize("status", [0, "7", "cancelled", []])
def test_row_with_a_status_that_nobody_knows__is_neither_there_nor_away(status: object) -> None:
    visit = visit_with({**ROW, "status_id": status}, items=[{"cost": 1000}])
    assert visit.withdrawn(CARD) == 0
    assert visit.doubt_about_points(CARD).startswith("loyalty_transactions[0].status_id: ")
    assert (visit.covered, visit.left_to_pay, visit.used_cards) == (None, None, [CARD])


@pytest.mark.parametrize("status", [2, "2"])
def test_row_with_the_status_of_what_was_undone__does_not_count(status: object) -> None:
    visit = visit_with({**ROW, "status_id": status}, items=[{"cost": 1000}])
    assert (visit.withdrawn(CARD), visit.doubt_about_points(CARD), visit.left_to_pay) == (
        Decimal(0),
        "",
        Decimal(1000),
    )
    assert [row.may_take_from(CARD) for row in visit.undone] == [True]


@pytest.mark.parametrize("flag", [True, 1, "1"])
def test_row_that_is_deleted__is_away_whatever_else_it_says(flag: object) -> None:
    visit = visit_with({**ROW, "deleted": flag, "status_id": 5}, items=[{"cost": 1000}])
    assert (visit.withdrawn(CARD), visit.doubt_about_points(CARD), visit.left_to_pay) == (
        Decimal(0),
        "",
        Decimal(1000),
    )


def test_payment_that_is_deleted__pays_nothing() -> None:
    payments = [{"amount": 400, "deleted": True}, {"amount": None, "deleted": 1}, {"amount": 100}]
    visit = visit_with(items=[{"cost": 1000}], payment_transactions=payments)
    assert (visit.paid, visit.left_to_pay) == (Decimal(100), Decimal(900))


@pytest.mark.parametrize(
    ("amounts", "left"), [((100, -100), 0), ((60, 40, -100), 0), ((100, -100, 50), 50), ((-60, -40), 100)]
)
def test_points_with_opposite_signs__take_each_other_off(amounts: tuple[int, ...], left: int) -> None:
    visit = visit_with(*({**ROW, "amount": amount} for amount in amounts), items=[{"cost": 1000}])
    assert (visit.withdrawn(CARD), visit.left_to_pay) == (Decimal(left), Decimal(1000 - left))
    assert visit.used_cards == ([CARD] if left else [])


def test_points_of_different_cards__do_not_take_each_other_off() -> None:
    visit = visit_with(ROW, {**ROW, "card_id": 7, "amount": -100}, items=[{"cost": 1000}])
    assert (visit.withdrawn(CARD), visit.withdrawn(7), visit.left_to_pay) == (
        Decimal(100),
        Decimal(100),
        Decimal(800),
    )


def test_promotion_with_opposite_signs__is_taken_back() -> None:
    visit = visit_with(DISCOUNT, {**DISCOUNT, "amount": -20})
    assert (visit.discounted(20802, CARD), visit.applied_promotions) == (None, [])


def test_rows_that_add_up_to_what_no_column_holds_make_the_visit_unreadable() -> None:
    most = {**ROW, "amount": str(LARGEST_AMOUNT)}
    assert visit_with(most).withdrawn(CARD) == LARGEST_AMOUNT
    with pytest.raises(Malformed):
        visit_with(most, {**ROW, "amount": "0.01"})


@pytest.mark.parametrize("row", [{"id": 1, "card_id": CARD, "amount": 100}, 5, None, "x", [], {}])
def test_a_row_that_does_not_say_what_it_is__could_be_anything(row: Any) -> None:
    visit = visit_with(row)
    assert "loyalty_transactions[0]" in visit.doubt_about_points(CARD)
    assert "loyalty_transactions[0]" in visit.doubt_about_promotion(20802, CARD)


@pytest.mark.parametrize("card", [None, 0, "0"])
def test_a_card_withdrawal_from_no_card__could_be_of_any(card: object) -> None:
    """It belongs to some card: counted for none it would be made again."""
    assert "card_id" in visit_with({**ROW, "card_id": card}).doubt_about_points(CARD)


def test_a_card_withdrawal_that_leaves_its_card_out__could_be_of_any() -> None:
    row = {key: value for key, value in ROW.items() if key != "card_id"}
    assert "card_id" in visit_with(row).doubt_about_points(CARD)


@pytest.mark.parametrize(
    "body", [None, [], {}, "", 0, 1, "x", [ROW], {"items": []}, {"loyalty_transactions": None}]
)
def test_a_visit_without_its_loyalty_rows_is_unreadable(body: object) -> None:
    with pytest.raises(Malformed):
        VisitDetails.parse(body)


# Promotions and what is left to pay

DISCOUNT = {
    **ROW,
    "type_id": 1,
    "program_id": 20802,
    "is_discount": True,
    "is_loyalty_withdraw": False,
    "amount": 20,
}


def test_a_promotion_split_over_several_lines_is_their_sum() -> None:
    assert visit_with(DISCOUNT, {**DISCOUNT, "amount": Decimal("0.5")}).discounted(20802, CARD) == Decimal(
        "20.5"
    )


def test_a_promotion_that_takes_nothing_off_is_there() -> None:
    assert visit_with({**DISCOUNT, "amount": 0}).discounted(20802, CARD) == 0


@pytest.mark.parametrize("change", [{"program_id": 1}, {"card_id": 1}, {"type_id": 2, "is_discount": False}])
def test_another_promotion_or_card_is_not_this_promotion(change: dict[str, Any]) -> None:
    assert visit_with({**DISCOUNT, **change}).discounted(20802, CARD) is None


def test_a_promotion_row_without_a_card_belongs_to_any() -> None:
    assert visit_with({**DISCOUNT, "card_id": 0}).discounted(20802, CARD) == 20


def test_what_is_left_to_pay_is_never_negative() -> None:
    visit = visit_with({**ROW, "amount": 500}, items=[{"item_id": 1, "cost": 100}])
    assert visit.left_to_pay == 0


def test_payments_reduce_what_is_left_to_pay() -> None:
    visit = visit_with(
        ROW,
        DISCOUNT,
        items=[{"item_id": 1, "cost": 1000}],
        payment_transactions=[{"amount": "30.5"}, {"amount": 1}],
    )
    assert visit.left_to_pay == Decimal("848.5")


def test_what_is_covered_beyond_the_bill__is_known() -> None:
    visit = visit_with({**ROW, "amount": 3000}, items=[{"cost": 1000, "first_cost": 1000}])
    assert visit.rest == (Decimal(-2000), Decimal(-2000))


@pytest.mark.parametrize("first_cost", [1000, "1000.00", 1019])
def test_price_that_no_promotion_can_stand_in_yet__tells_exactly_what_is_left(first_cost: object) -> None:
    visit = visit_with(DISCOUNT, items=[{"cost": 1000, "first_cost": first_cost}])
    assert visit.rest == (Decimal(980), Decimal(980))


@pytest.mark.parametrize("first_cost", [1020, 2000, None, "x"])
def test_price_that_may_hold_the_promotion_already__leaves_two_readings(first_cost: object) -> None:
    """The vendor says both: that promotions stand in the price, and that they do not."""
    visit = visit_with(DISCOUNT, items=[{"cost": 1000, "first_cost": first_cost}])
    assert visit.rest == (Decimal(980), Decimal(1000))
    assert visit.left_to_pay == 980


def test_price_of_a_bill_without_promotions__can_be_read_in_one_way_only() -> None:
    visit = visit_with(ROW, items=[{"cost": 1000, "first_cost": 2000}])
    assert visit.rest == (Decimal(900), Decimal(900))


# Cards and records


def test_a_card_keeps_the_zeros_of_its_number() -> None:
    card = Card.parse({"id": "9210520", "number": "0014507109210520", "balance": Decimal("784.89")})
    assert card.id == CARD
    assert card.number == "0014507109210520"
    assert card.balance == Decimal("784.89")
    assert card.programs == ()


def test_a_card_shows_its_promotions() -> None:
    program = {
        "id": 7,
        "title": "Ten off",
        "value": 10,
        "value_unit_id": 1,
        "loyalty_type": {"is_discount": False},
    }
    card = Card.parse(
        {"id": 1, "balance": 0, "programs": [program, {"id": 8, "value": "5.5", "value_unit_id": 2}]}
    )
    assert [(each.id, each.is_percent, each.is_discount) for each in card.programs] == [
        (7, True, False),
        (8, False, True),
    ]


@pytest.mark.parametrize("balance", [{}, {"balance": None}, {"balance": "much"}, {"balance": []}])
def test_card_that_does_not_say_its_balance__is_one_with_an_unknown_balance(balance: dict[str, Any]) -> None:
    card = Card.parse({"id": 1, **balance})
    assert (card.id, card.balance) == (1, None)


@pytest.mark.parametrize("row", [{"balance": 100}, {"id": "x", "balance": 1}, {"id": None}, {"id": 0}])
def test_a_card_without_an_id_is_malformed(row: dict[str, Any]) -> None:
    """No call could be made with it."""
    with pytest.raises(Malformed):
        Card.parse(row)


def test_card_or_promotion_that_cannot_be_read__hides_no_other() -> None:
    programs = [{"id": 7, "value": None, "loyalty_type": "x"}, {"title": "no id"}, 5]
    found = Cards.parse(
        [{"id": 1, "balance": None, "programs": programs}, {"balance": 5}, "x", {"id": 2, "balance": 3}]
    )
    assert [(card.id, card.balance) for card in found.cards] == [(1, None), (2, Decimal(3))]
    assert [(program.id, program.value) for program in found.cards[0].programs] == [(7, None)]
    assert found.unreadable_count == 4


def test_card_or_promotion_that_is_there_twice__is_one() -> None:
    row = {"id": 1, "balance": 5, "programs": [{"id": 7}, {"id": 7}]}
    [card] = Cards.parse([row, row]).cards
    assert [program.id for program in card.programs] == [7]


@pytest.mark.parametrize("body", [None, "", 0, "x", 5])
def test_answer_without_a_list_of_cards__is_not_no_cards(body: object) -> None:
    with pytest.raises(Malformed):
        Cards.parse(body)


def test_an_appointment_without_a_client_is_one() -> None:
    nobody: list[Any] = [None, [], {}]
    for client in nobody:
        record = Record.parse(
            {"id": 1, "company_id": 2, "visit_id": 0, "client": client, "datetime": "2026-01-01"}
        )
        assert (record.client_id, record.client_name, record.client_phone) == (0, "", "")


def test_an_appointment_shows_its_client() -> None:
    client = {"id": "5", "name": "Anna", "display_name": "", "phone": "+79990000000"}
    record = Record.parse({"id": 1, "company_id": "2", "visit_id": 3, "client": client, "datetime": 5})
    assert (record.location_id, record.client_id, record.client_name, record.starts_at) == (2, 5, "Anna", "5")


# Any JSON

rows = st.fixed_dictionaries({}, optional={key: json_values | st.just(ROW[key]) for key in ROW})
visits = st.fixed_dictionaries(
    {},
    optional={
        "loyalty_transactions": st.lists(rows, max_size=3) | json_values,
        "items": json_values
        | st.lists(st.dictionaries(st.sampled_from(["item_id", "amount", "cost"]), json_values)),
        "payment_transactions": json_values | st.lists(st.dictionaries(st.just("amount"), json_values)),
    },
)
objects = st.dictionaries(
    st.sampled_from(
        ["id", "number", "type", "balance", "programs", "client", "visit_id", "company_id", "datetime"]
    ),
    json_values,
)


@examples(100)
@given(visits | json_values)
def test_any_json_is_a_visit_or_malformed(body: object) -> None:
    try:
        visit = VisitDetails.parse(body)
    except Malformed:
        return
    assert visit.withdrawn(CARD) >= 0
    assert visit.left_to_pay is None or visit.left_to_pay >= 0


@examples(100)
@given(objects)
def test_any_object_is_a_card_or_malformed(body: dict[str, Any]) -> None:
    try:
        card = Card.parse(body)
    except Malformed:
        return
    assert card.balance is None or card.balance.is_finite()


@examples(100)
@given(objects)
def test_any_object_is_an_appointment_or_malformed(body: dict[str, Any]) -> None:
    try:
        record = Record.parse(body)
    except Malformed:
        return
    assert record.id >= 0


@examples(100)
@given(rows)
def test_any_row_is_a_transaction_in_force_or_says_why_not(body: dict[str, Any]) -> None:
    row = LoyaltyTransaction.parse(body)
    if row.covers and not row.doubt:
        assert row.amount is not None
        assert row.amount == row.amount.quantize(Decimal("0.01"))


@examples(100)
@given(json_values)
def test_each_reading_of_any_value_is_a_value_or_malformed(value: object) -> None:
    for reading in (to_id, to_money, to_object, lambda each: list(to_objects(each)), to_text, to_flag):
        with contextlib.suppress(Malformed):
            reading(value)


def test_the_largest_values_are_read_exactly() -> None:
    assert to_id(LARGEST_ID) == to_id(str(LARGEST_ID)) == LARGEST_ID
    assert to_money(str(LARGEST_AMOUNT)) == LARGEST_AMOUNT


# Tokens


def test_credentials_hide_themselves() -> None:
    tokens = Credentials("partner-secret", "user-secret")
    assert "secret" not in f"{tokens!r}{tokens}{[tokens]}{ {'x': tokens} }"


@pytest.mark.parametrize(
    ("token", "is_sendable"),
    [("a", True), ("a.b-c_d/e=", True), ("a b", False), ("a\n", False), ("é", False)],
)
def test_only_tokens_that_fit_into_a_header_are_sendable(token: str, is_sendable: bool) -> None:
    assert Credentials(token, "x").are_sendable is is_sendable
    assert Credentials("x", token).are_sendable is is_sendable
