"""A visit in any form: what is there is read, or is seen to be odd; it is never missed, and never another amount."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, strategies as st

from altegio_loyalty import exceptions, kinds
from altegio_loyalty.client import Order, VisitDetails
from altegio_loyalty.client.types import Malformed
from altegio_loyalty.sandbox import answers
from altegio_loyalty.sandbox.ledger import Ledger
from tests.shapes.changes import CHANGES_OF_A_VISIT, Change, tells_rows_apart, written
from tests.shapes.searching import TIMEOUT, examples

pytestmark = pytest.mark.timeout(TIMEOUT)

ledger = Ledger()
program, other_program = ledger.add_program(percent=10), ledger.add_program(percent=5)
client = ledger.add_client()
card, other_card = (
    ledger.add_card(client, balance="5000", programs=[program, other_program]) for _ in range(2)
)
visit = ledger.add_visit(ledger.add_location(), client, lines=[("Haircut", "300"), ("Shampoo", "20.10")])
ledger.apply_program(visit, card, program)
ledger.apply_program(visit, other_card, other_program)
ledger.withdraw(visit, card, "250")
ledger.withdraw(visit, other_card, 20)
DETAILS = answers.visit_details(ledger.books, visit)


def read(body: Any) -> VisitDetails:
    return VisitDetails.parse(json.loads(written(body), parse_float=Decimal))


ORDERS = [
    Order(
        kind=kind,
        location_id=visit.location_id,
        visit_id=visit.id,
        record_id=visit.record_id,
        card_id=each.id,
        program_id=promotion.id,
    )
    for kind in ("apply_card_withdrawal", "apply_discount_program")
    for each, promotion in ((card, program), (other_card, other_program))
]
TRUTH = [kinds.effect_on(read(DETAILS), order) for order in ORDERS]


def assert_is_read_or_odd(some: tuple[Change, ...]) -> None:
    body = DETAILS
    for change in some:
        body = change.applied_to(body)
    try:
        details = read(body)
    except (Malformed, ValueError):  # JSON that is none, or a number beyond any
        return
    for order, truth in zip(ORDERS, TRUTH, strict=True):
        try:
            assert kinds.effect_on(details, order) == truth, (some, order)
        except exceptions.RowNotKnown:
            continue


def test_the_effects__are_there() -> None:
    """Otherwise nothing below would prove anything."""
    assert all(effect.is_there for effect in TRUTH)
    assert len({effect.amount for effect in TRUTH}) == len(TRUTH)


@pytest.mark.parametrize("name", sorted({change.name for change in CHANGES_OF_A_VISIT}))
def test_each_change_of_a_visit__leaves_the_effects_to_be_read_or_seen_to_be_odd(name: str) -> None:
    for change in CHANGES_OF_A_VISIT:
        if change.name == name:
            assert_is_read_or_odd((change,))


@examples(25)
@given(
    st.lists(st.sampled_from(CHANGES_OF_A_VISIT), min_size=2, max_size=4).map(tuple).filter(tells_rows_apart)
)
def test_any_changes_of_a_visit__leave_the_effects_to_be_read_or_seen_to_be_odd(
    some: tuple[Change, ...],
) -> None:
    assert_is_read_or_odd(some)
