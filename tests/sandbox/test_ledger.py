"""The rules of the books, without a server."""

from __future__ import annotations

import threading
from datetime import datetime
from decimal import Decimal

import pytest

from altegio_loyalty.sandbox import Ledger
from altegio_loyalty.sandbox.books import Card, Program, Visit
from altegio_loyalty.sandbox.ledger import NotInBooks


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def program(ledger: Ledger) -> Program:
    return ledger.add_program(percent=10)


@pytest.fixture
def card(ledger: Ledger, program: Program) -> Card:
    return ledger.add_card(ledger.add_client(), balance="100", programs=[program])


@pytest.fixture
def visit(ledger: Ledger, card: Card) -> Visit:
    return ledger.add_visit(
        ledger.add_location(), card.client_id, lines=[("Shampoo", 20, "product"), ("Haircut", 3000)]
    )


def amounts(visit: Visit) -> list[Decimal]:
    return [row.amount for row in visit.rows]


def test_withdrawal_is_spread_over_the_lines_by_cost__the_last_takes_the_rest(
    ledger: Ledger, visit: Visit, card: Card
) -> None:
    ledger.withdraw(visit, card, 100)
    assert amounts(visit) == [Decimal("0.66"), Decimal("99.34")]


@pytest.mark.parametrize("lines", range(1, 12))
@pytest.mark.parametrize("amount", ["0.01", "0.02", "0.03", "1", "9.99", "33.33"])
def test_shares_add_up_to_what_was_taken_and_none_is_negative(
    ledger: Ledger, card: Card, lines: int, amount: str
) -> None:
    visit = ledger.add_visit(ledger.add_location(), card.client_id, lines=[("Line", "7.77")] * lines)
    applied = ledger.withdraw(visit, card, amount)
    assert sum(amounts(visit)) == applied == min(Decimal(amount), Decimal("7.77") * lines)
    assert all(share > 0 for share in amounts(visit))


def test_withdrawal_never_exceeds_the_balance(ledger: Ledger, visit: Visit, card: Card) -> None:
    assert ledger.withdraw(visit, card, 500) == 100
    assert ledger.balance(card) == 0


def test_withdrawal_never_exceeds_what_is_left_to_pay(ledger: Ledger, card: Card) -> None:
    visit = ledger.add_visit(ledger.add_location(), card.client_id, lines=[("Haircut", 30)])
    assert ledger.withdraw(visit, card, 500) == 30
    assert ledger.left_to_pay(visit) == 0


def test_withdrawal_is_rounded_to_cents(ledger: Ledger, visit: Visit, card: Card) -> None:
    assert ledger.withdraw(visit, card, "10.005") == Decimal("10.01")


def test_withdrawal_of_nothing_makes_no_row_and_no_effect(ledger: Ledger, visit: Visit, card: Card) -> None:
    assert ledger.withdraw(visit, card, 0) == 0
    assert visit.rows == []
    assert ledger.effects == []


def test_second_withdrawal_adds_to_the_first(ledger: Ledger, visit: Visit, card: Card) -> None:
    ledger.withdraw(visit, card, 10)
    ledger.withdraw(visit, card, 10)
    assert ledger.withdrawn(visit, card) == 20
    assert ledger.balance(card) == 80
    assert len(ledger.effects) == 2


def test_cancel_gives_back_everything_that_the_card_paid_and_nothing_else(
    ledger: Ledger, visit: Visit, card: Card, program: Program
) -> None:
    other = ledger.add_card(card.client_id, balance=50)
    ledger.withdraw(visit, card, 10)
    ledger.withdraw(visit, card, 20)
    ledger.withdraw(visit, other, 5)
    ledger.apply_program(visit, card, program)
    assert ledger.cancel_withdrawal(visit, card) == 30
    assert ledger.balance(card) == 100
    assert ledger.withdrawn(visit, other) == 5
    assert ledger.discounted(visit, program) == 302


def test_cancel_of_nothing_changes_nothing(ledger: Ledger, visit: Visit, card: Card) -> None:
    assert ledger.cancel_withdrawal(visit, card) == 0
    assert ledger.effects == []


def test_promotion_takes_its_percent_off_every_line(
    ledger: Ledger, visit: Visit, card: Card, program: Program
) -> None:
    ledger.apply_program(visit, card, program)
    assert amounts(visit) == [2, 300]
    assert ledger.left_to_pay(visit) == 2718


def test_second_promotion_doubles_the_discount_so_that_a_double_shows(
    ledger: Ledger, visit: Visit, card: Card, program: Program
) -> None:
    ledger.apply_program(visit, card, program)
    ledger.apply_program(visit, card, program)
    assert ledger.discounted(visit, program) == 604


def test_cancelled_promotion_leaves_no_row(
    ledger: Ledger, visit: Visit, card: Card, program: Program
) -> None:
    ledger.apply_program(visit, card, program)
    assert ledger.cancel_program(visit, card, program) == 302
    assert visit.rows == []


def test_promotion_not_linked_to_the_card_is_not_found(ledger: Ledger, visit: Visit, card: Card) -> None:
    with pytest.raises(NotInBooks):
        ledger.apply_program(visit, card, ledger.add_program())


def test_card_of_another_client_is_not_found(ledger: Ledger, visit: Visit) -> None:
    stranger = ledger.add_card(ledger.add_client(), balance=10)
    with pytest.raises(NotInBooks):
        ledger.withdraw(visit, stranger, 5)


def test_card_of_another_chain_is_not_found(ledger: Ledger, visit: Visit, card: Card) -> None:
    elsewhere = ledger.add_card(card.client_id, balance=10, chain_id=1)
    with pytest.raises(NotInBooks):
        ledger.withdraw(visit, elsewhere, 5)


def test_money_paid_leaves_less_to_pay_with_points(ledger: Ledger, visit: Visit, card: Card) -> None:
    ledger.pay(visit, 2970)
    assert ledger.withdraw(visit, card, 100) == 50


def test_accrual_is_neither_withdrawal_nor_discount(ledger: Ledger, visit: Visit, card: Card) -> None:
    ledger.accrue(visit, card, 7)
    assert ledger.withdrawn(visit, card) == 0
    assert ledger.left_to_pay(visit) == 3020
    assert ledger.balance(card) == 107


def test_effects_say_what_by_whom_and_how_much(
    ledger: Ledger, visit: Visit, card: Card, program: Program
) -> None:
    ledger.withdraw(visit, card, 10, by="api")
    ledger.cancel_withdrawal(visit, card)
    kinds = [(effect.kind, effect.amount, effect.by) for effect in ledger.effects]
    assert kinds == [
        ("apply_card_withdrawal", Decimal(10), "api"),
        ("cancel_card_withdrawal", Decimal(10), "altegio screen"),
    ]


def test_ids_can_be_given_and_the_next_ones_follow(ledger: Ledger) -> None:
    assert ledger.add_location(id=9000).id == 9000
    assert ledger.add_location().id == 9001


def test_an_id_in_use_is_refused(ledger: Ledger) -> None:
    ledger.add_location(id=9000)
    with pytest.raises(ValueError, match="9000 already"):
        ledger.add_location(id=9000)


def test_visit_needs_a_time_zone(ledger: Ledger, card: Card) -> None:
    with pytest.raises(ValueError, match="time zone"):
        ledger.add_visit(ledger.add_location(), card.client_id, starts_at=datetime(2026, 1, 1))  # noqa: DTZ001


@pytest.mark.parametrize("line", [("Gift", 5, "present"), ("Refund", -5)])
def test_senseless_line_is_refused_and_leaves_no_visit(
    ledger: Ledger, card: Card, line: tuple[str, int] | tuple[str, int, str]
) -> None:
    with pytest.raises(ValueError, match=r"line"):
        ledger.add_visit(ledger.add_location(), card.client_id, lines=[line])
    assert ledger.books.visits == {}


def test_no_cent_appears_or_vanishes__many_threads(ledger: Ledger, visit: Visit, card: Card) -> None:
    def spend_and_return() -> None:
        for _ in range(50):
            ledger.withdraw(visit, card, "0.37")
            ledger.cancel_withdrawal(visit, card)

    threads = [threading.Thread(target=spend_and_return) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.balance(card) + ledger.withdrawn(visit, card) == 100
    took = sum(effect.amount for effect in ledger.effects if effect.kind == "apply_card_withdrawal")
    gave = sum(effect.amount for effect in ledger.effects if effect.kind == "cancel_card_withdrawal")
    assert took - gave == ledger.withdrawn(visit, card)
