"""The demo's chain of salons."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from altegio_loyalty.sandbox import Ledger, seed

TODAY = date(2026, 3, 9)


@pytest.fixture
def ledger() -> Ledger:
    ledger = Ledger()
    seed.fill(ledger, TODAY)
    return ledger


def test_three_locations_of_one_chain_with_eight_visits_each(ledger: Ledger) -> None:
    assert list(ledger.books.locations) == [4564, 4565, 4566]
    for location in ledger.books.locations.values():
        visits = [visit for visit in ledger.books.visits.values() if visit.location_id == location.id]
        assert len(visits) == 8


def test_plain_books_and_ledger_say_the_same(ledger: Ledger) -> None:
    plain = seed.demo_books(TODAY)
    assert {visit["id"]: visit["record_id"] for visit in plain["visits"]} == {
        visit.id: visit.record_id for visit in ledger.books.visits.values()
    }
    assert {card["id"] for card in plain["cards"]} == set(ledger.books.cards)
    for visit in plain["visits"]:
        assert ledger.visit(visit["id"]).starts_at == visit["starts_at"]
        assert visit["starts_at"].date() == TODAY


def test_clients_have_one_to_three_cards_with_all_sorts_of_balances(ledger: Ledger) -> None:
    assert len(ledger.books.clients) == 12
    owners = [card.client_id for card in ledger.books.cards.values()]
    assert {owners.count(client_id) for client_id in ledger.books.clients} == {1, 2, 3}
    balances = {str(card.balance) for card in ledger.books.cards.values()}
    assert {"0.00", "784.89", "1000.00"} <= balances


def test_filling_again_adds_nothing_and_changes_nothing(ledger: Ledger) -> None:
    card = next(iter(ledger.books.cards.values()))
    ledger.set_balance(card, 1)
    assert seed.fill(ledger, TODAY) == 0
    assert ledger.balance(card) == 1


def test_new_day_adds_its_visits_and_keeps_the_old_ones(ledger: Ledger) -> None:
    old = set(ledger.books.visits)
    assert seed.fill(ledger, TODAY + timedelta(days=1)) == 24
    assert old < set(ledger.books.visits)
    assert len(ledger.books.visits) == 48
