"""Loyalty rows that nobody can judge: nothing is sent on their account, neither way, and nothing is told as done."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from altegio_loyalty import delivery, services
from altegio_loyalty.models import LoyaltyOperation, Visit
from altegio_loyalty.sandbox import answers
from tests.delivery.rewritten import Rewritten
from tests.delivery.salon import (
    CANCEL,
    KINDS,
    PROMOTION,
    PROMOTION_BACK,
    WITHDRAWAL,
    Ending,
    Salon,
    Status,
    points,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Rewritten:
    return Rewritten(monkeypatch)


def put_on(salon: Salon, kind: str) -> Any:
    """A visit on which the effect is there that operations of this kind are about."""
    return salon.prepared(CANCEL if kind in (WITHDRAWAL, CANCEL) else PROMOTION_BACK)


@pytest.mark.parametrize("kind", KINDS)
def test_row_of_unknown_status__lets_nothing_be_sent_and_nothing_be_told_as_done(
    salon: Salon, shown: Rewritten, kind: str
) -> None:
    visit = put_on(salon, kind)
    shown.cells = {"status_id": 7}
    operation = salon.ask(kind, visit)
    assert operation.status == Status.PENDING
    assert "status_id" in operation.sentence
    salon.run_to_the_end(operation)
    assert (operation.status, salon.posts()) == (Status.FAILED, 0)
    assert "no longer tried" in operation.sentence


@pytest.mark.parametrize("kind", [WITHDRAWAL, PROMOTION])
def test_doubt__stays_open_while_a_row_of_unknown_status_could_be_it(
    salon: Salon, shown: Rewritten, kind: str
) -> None:
    """Neither done nor not done, however often it is looked up and however long ago it was sent."""
    visit = salon.visit()
    salon.fail("cut_after", path="POST", times=1)
    operation = salon.ask(kind, visit)
    shown.cells = {"status_id": 5}
    salon.age(operation, 10_000)
    salon.sweep(operation, times=3)
    assert (operation.status, salon.posts()) == (Status.UNCONFIRMED, 1)
    assert "status_id" in operation.sentence
    shown.cells = {}
    salon.run_to_the_end(operation)
    assert (operation.ending, salon.posts()) == (Ending.FOUND, 1)


def test_cancel_whose_rows_get_a_status_that_nobody_knows__is_sent_once_and_left_to_a_person(
    salon: Salon, shown: Rewritten, monkeypatch: pytest.MonkeyPatch
) -> None:
    visit = salon.prepared(CANCEL)
    taken = answers.visit_details(salon.ledger.books, salon.ledger.visit(visit.id))["loyalty_transactions"]
    operation = salon.later(visit, CANCEL)
    real = salon.ledger.cancel_withdrawal

    def kept(*arguments: Any, **more: Any) -> Any:
        shown.more = [{**row, "status_id": 7} for row in taken]
        return real(*arguments, **more)

    monkeypatch.setattr(salon.ledger, "cancel_withdrawal", kept)
    delivery.deliver(operation.pk)
    salon.age(operation, 10_000)
    salon.sweep(operation, times=3)
    assert (operation.status, salon.posts()) == (Status.UNCONFIRMED, 1)


def test_cancel_whose_rows_stay_as_undone__is_done(salon: Salon) -> None:
    """No row in force is left."""
    salon.ledger.rules.undone_rows = "stay"
    visit = salon.visit()
    salon.withdraw(visit)
    cancel = salon.ask(CANCEL, visit)
    assert (cancel.status, cancel.returned_amount, salon.posts()) == (Status.SUCCEEDED, points(100), 2)


def test_row_that_was_undone__does_not_stand_in_the_way_of_a_new_withdrawal(salon: Salon) -> None:
    salon.ledger.rules.undone_rows = "stay"
    visit = salon.visit()
    salon.withdraw(visit)
    salon.ask(CANCEL, visit)
    again = salon.withdraw(visit, amount=50)
    assert (again.status, again.applied_amount) == (Status.SUCCEEDED, points(50))


def test_withdrawal_of_which_only_an_undone_row_shows__is_not_repeated(
    salon: Salon, shown: Rewritten, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it was undone, or is not yet in force, nobody knows: a person looks."""
    real = salon.ledger.withdraw

    def odd(*arguments: Any, **more: Any) -> Any:
        shown.cells = {"status_id": 2}
        return real(*arguments, **more)

    monkeypatch.setattr(salon.ledger, "withdraw", odd)
    operation = salon.withdraw()
    salon.age(operation, 10_000)
    salon.sweep(operation, times=3)
    assert (operation.status, salon.posts()) == (Status.UNCONFIRMED, 1)


def test_promotion_that_does_not_say_which_one_it_is__is_not_told_as_nothing_to_take_back(
    salon: Salon, shown: Rewritten
) -> None:
    visit = salon.prepared(PROMOTION_BACK)
    shown.cells = {"program_id": None}
    operation = salon.ask(PROMOTION_BACK, visit)
    assert (operation.status, salon.posts()) == (Status.PENDING, 0)
    shown.cells = {}
    salon.run_to_the_end(operation)
    assert len(salon.effects(PROMOTION_BACK, visit)) == 1


def test_answer_whose_rows_are_there_twice__tells_what_was_taken(
    salon: Salon, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = answers.visit_details

    def doubled(*arguments: Any, **more: Any) -> Any:
        details = real(*arguments, **more)
        return {**details, "loyalty_transactions": details["loyalty_transactions"] * 2}

    monkeypatch.setattr(answers, "visit_details", doubled)
    operation = salon.withdraw()
    assert (operation.applied_amount, operation.discrepancy) == (points(100), "")


def test_cancel_whose_rows_stay_beside_their_opposites__is_done(
    salon: Salon, shown: Rewritten, monkeypatch: pytest.MonkeyPatch
) -> None:
    visit = salon.prepared(CANCEL)
    taken = answers.visit_details(salon.ledger.books, salon.ledger.visit(visit.id))["loyalty_transactions"]
    real = salon.ledger.cancel_withdrawal

    def kept(*arguments: Any, **more: Any) -> Any:
        shown.more = [*taken, *({**row, "amount": -row["amount"]} for row in taken)]
        return real(*arguments, **more)

    monkeypatch.setattr(salon.ledger, "cancel_withdrawal", kept)
    operation = salon.ask(CANCEL, visit)
    assert (operation.status, operation.returned_amount, salon.posts()) == (Status.SUCCEEDED, points(100), 1)


@pytest.mark.parametrize(
    "row",
    [
        None,
        [],
        {"id": 1, "amount": 5},
        {"type_id": 3, "amount": 5},
        {"type_id": 3, "card_id": "?", "amount": 5},
        {"is_loyalty_withdraw": True, "card_id": 0},
    ],
)
def test_answer_to_a_withdrawal_with_a_row_that_could_be_it__is_a_doubt(
    salon: Salon, shown: Rewritten, monkeypatch: pytest.MonkeyPatch, row: object
) -> None:
    """Looked up until the rows can be judged, and sent once."""
    real = salon.ledger.withdraw

    def odd(*arguments: Any, **more: Any) -> Any:
        shown.more = [row]
        return real(*arguments, **more)

    monkeypatch.setattr(salon.ledger, "withdraw", odd)
    operation = salon.withdraw()
    salon.age(operation, 10_000)
    salon.sweep(operation)
    assert (operation.status, salon.posts()) == (Status.UNCONFIRMED, 1)
    assert "loyalty_transactions[" in operation.sentence
    shown.more = []
    salon.run_to_the_end(operation)
    assert (operation.ending, operation.applied_amount, salon.posts()) == (Ending.FOUND, points(100), 1)


def test_row_that_is_deleted__does_not_stand_in_the_way(salon: Salon, shown: Rewritten) -> None:
    shown.more = [{"type_id": 3, "card_id": salon.card.id, "amount": 40, "status_id": 2, "deleted": True}]
    operation = salon.withdraw()
    assert (operation.status, operation.applied_amount) == (Status.SUCCEEDED, points(100))


@pytest.mark.parametrize(
    "row",
    [
        {"type_id": 2, "amount": None},
        {"type_id": 8, "amount": 5, "is_loyalty_withdraw": True, "item_id": "text"},
        {"type_id": 3, "card_id": 1, "amount": None, "status_id": 9},
    ],
)
def test_row_that_cannot_be_the_effect__holds_nothing_up(
    salon: Salon, shown: Rewritten, row: dict[str, Any]
) -> None:
    visit = salon.visit()
    shown.more = [row]
    assert salon.withdraw(visit).status == Status.SUCCEEDED
    assert salon.ask(CANCEL, visit).status == Status.SUCCEEDED


def test_unjudged_rows_of_some_visits__do_not_stop_the_sweep_for_others(
    salon: Salon, shown: Rewritten
) -> None:
    """They say nothing of Altegio as a whole."""
    stuck = [salon.later(salon.prepared(CANCEL)) for _ in range(4)]
    free = salon.later()
    shown.cells = {"status_id": 7}
    report = salon.sweep(free)
    assert free.status in (Status.SUCCEEDED, Status.UNCONFIRMED)
    assert not report.stopped
    assert len(report.state_of) == len(stuck) + 1


def test_reading_with_an_unjudged_row__says_nothing_of_what_the_log_knows(
    salon: Salon, shown: Rewritten
) -> None:
    """Neither that it is gone, nor that it is more or fewer."""
    operation = salon.age(salon.withdraw(), 10_000)
    shown.cells = {"status_id": 7}
    reading = services.read_visit(salon.location, visit_id=operation.visit_id, record_id=operation.record_id)
    assert reading.details is not None
    services.judge_reading(operation.visit_id, reading.details, [operation], timezone.now())
    operation.refresh_from_db()
    assert (operation.discrepancy, operation.undone_at) == ("", None)


def test_answer_with_an_unjudged_row__is_kept_with_the_attempt(salon: Salon, shown: Rewritten) -> None:
    visit = salon.prepared(CANCEL)
    shown.cells = {"status_id": 7}
    salon.withdraw(visit)
    (attempt,) = LoyaltyOperation.objects.get().attempts.all()
    assert (attempt.http_status, '"status_id"' in attempt.answer) == (200, True)


def test_prices_below_what_a_column_holds__take_neither_the_result_nor_the_visit_along(
    salon: Salon, shown: Rewritten
) -> None:
    visit = salon.prepared(CANCEL)
    shown.visit = {"items": [{"item_title": "Haircut", "cost": -9999999999.99}] * 2}
    assert salon.ask(CANCEL, visit).status == Status.SUCCEEDED
    assert Visit.objects.get(pk=visit.id).total_amount is None
