"""The four operations: what they take, give back, and say; and that they look before they send."""

from __future__ import annotations

from typing import Any

import pytest

from altegio_loyalty.models import LoyaltyOperation, Visit
from altegio_loyalty.wording import reason
from tests.delivery.rawserver import EMPTY_VISIT, RawServer, answer_of
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

pytestmark = pytest.mark.django_db


def purposes(operation: LoyaltyOperation) -> list[str]:
    return list(operation.attempts.values_list("purpose", flat=True))


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind__happens_once(salon: Salon, kind: str) -> None:
    """One look, one POST, one effect, and a row that says so."""
    visit = salon.prepared(kind)
    operation = salon.ask(kind, visit)
    stored = LoyaltyOperation.objects.get(pk=operation.pk)
    assert (operation.status, stored.status) == (Status.SUCCEEDED, Status.SUCCEEDED)
    assert (stored.kind, stored.visit_id, stored.card_id) == (kind, visit.id, salon.card.id)
    assert (stored.attempt_count, stored.last_error, stored.discrepancy) == (1, "", "")
    assert (stored.next_attempt_at, stored.open_key) == (None, None)
    assert stored.finished_at is not None
    assert purposes(stored) == ["look", "send"]
    assert len(salon.sandbox.requests) == 2
    assert len(salon.effects(kind, visit)) == 1


def test_withdrawal__of_several_rows_with_float_noise(salon: Salon) -> None:
    """0.66 + 99.34, as 0.66000000000000003 and 99.340000000000003, are 100 points."""
    visit = salon.visit(lines=[("Gel", "20", "product"), ("Haircut", "3000")])
    operation = salon.withdraw(visit, 100)
    rows = salon.ledger.visit(visit.id).rows
    assert [row.amount for row in rows] == [points("0.66"), points("99.34")]
    assert operation.applied_amount == points(100)
    assert "Done: 100 points taken." in operation.sentence


@pytest.mark.parametrize(
    ("balance", "cost", "applied"),
    [("30", "3000", "30"), ("500", "12.34", "12.34"), ("0", "3000", "0"), ("500", "0", "0")],
)
def test_withdrawal__of_less_than_asked(salon: Salon, balance: str, cost: str, applied: str) -> None:
    """Altegio takes no more than there is or is left to pay, and says success: the log has the real figure."""
    salon.ledger.set_balance(salon.card, balance)
    visit = salon.visit(lines=[("Haircut", cost)])
    operation = salon.withdraw(visit, 100)
    assert operation.status == Status.SUCCEEDED
    assert operation.applied_amount == salon.ledger.withdrawn(visit, salon.card) == points(applied)
    assert operation.sentence.startswith("Nothing was taken" if applied == "0" else "Less than asked")


def test_withdrawal__leaves_other_cards_and_rows_out(salon: Salon) -> None:
    """Only the rows of that card that are withdrawals count."""
    other = salon.ledger.add_card(salon.client, balance=50)
    visit = salon.visit()
    salon.ledger.withdraw(visit, other, 50)
    salon.ledger.apply_program(visit, salon.card, salon.program)
    salon.ledger.accrue(visit, salon.card, 25)
    operation = salon.withdraw(visit, 100)
    assert operation.status == Status.SUCCEEDED
    assert operation.applied_amount == points(100)
    assert not operation.discrepancy


@pytest.mark.parametrize(
    ("rows", "applied"),
    [
        (
            [
                {"type_id": "3", "card_id": "CARD", "amount": "60.00"},
                {"type_id": 3, "card_id": "CARD", "amount": 40},
            ],
            "100",
        ),
        ([{"type_id": 0, "is_loyalty_withdraw": True, "card_id": "CARD", "amount": 99.999999999}], "100"),
        ([{"type": {"id": 3}, "card_id": "CARD", "amount": 33.333}] * 3, "99.99"),
        ([{"type_id": 1, "is_discount": True, "card_id": "CARD", "amount": 100}], "0"),
        ([{"type_id": 3, "card_id": 1, "amount": 100}], "0"),
    ],
)
def test_withdrawal__figures_of_odd_rows(salon: Salon, rows: list[dict[str, Any]], applied: str) -> None:
    """Rule 5: the sum of that card's rows of type 3 or is_loyalty_withdraw, each rounded; ids may be texts."""
    rows = [{"id": number, **row} for number, row in enumerate(rows, 1)]
    for row in rows:
        row["card_id"] = str(salon.card.id) if row["card_id"] == "CARD" else row["card_id"]

    def answer(method: str, path: str, connection: object) -> bytes:
        return answer_of(
            {
                "success": True,
                "data": {**EMPTY_VISIT, "loyalty_transactions": rows if method == "POST" else []},
            }
        )

    with RawServer(answer) as server:
        salon.configure(API_URL=server.url)
        operation = salon.withdraw()
    assert operation.status == Status.SUCCEEDED
    assert operation.applied_amount == points(applied)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_add_up_to_what_no_column_holds__leave_a_row_that_can_be_read(
    salon: Salon, kind: str, method: str
) -> None:
    """Written down, such a sum would break the log on every page, or the service function itself."""
    row = {"id": 1, "card_id": salon.card.id, "program_id": salon.program.id, "amount": "9999999999.99"}
    rows = [{**row, "type_id": type_id} for type_id in (1, 1, 3, 3)]

    def answer(of: str, path: str, connection: object) -> bytes:
        return answer_of({**EMPTY_VISIT, "loyalty_transactions": rows if of == method else []})

    with RawServer(answer) as server:
        salon.configure(API_URL=server.url)
        operation = salon.ask(kind, salon.visit())
    operation.refresh_from_db()
    assert operation.applied_amount is operation.returned_amount is None


NOT_SHOWN = {
    "nothing": ({"success": True}, 200),
    "no data": ({"success": True, "data": None, "meta": {"message": "Карта не найдена"}}, 200),
    "a list": ({"success": True, "data": [], "meta": {"message": ["Карта не найдена"]}}, 200),
    "another shape": ({"success": True, "data": {"id": 1, "balance": 400}}, 200),
    "rows beyond reading": ({"success": True, "data": {**EMPTY_VISIT, "loyalty_transactions": "?"}}, 200),
    "only accepted": ({"success": True, "data": EMPTY_VISIT}, 202),
}


class OddAltegio:
    """Answers the POST with what it is told to, and shows from then on so many points on the visit."""

    def __init__(self, salon: Salon, answer: bytes, *, takes: int) -> None:
        self.row = {"id": 1, "status_id": 1, "type_id": 3, "card_id": salon.card.id, "amount": takes}
        self.answer, self.takes, self.posts, self.looks = answer, takes, 0, 0

    def __call__(self, method: str, path: str, connection: object) -> bytes:
        if method == "POST":
            self.posts += 1
            return self.answer
        self.looks += 1
        return answer_of(
            {**EMPTY_VISIT, "loyalty_transactions": [self.row] if self.posts and self.takes else []}
        )


@pytest.mark.parametrize("name", NOT_SHOWN)
def test_success_that_does_not_show_the_visit__is_looked_up_at_once(salon: Salon, name: str) -> None:
    """The person at the desk has the answer with the same click."""
    body, status = NOT_SHOWN[name]
    altegio = OddAltegio(salon, answer_of(body, status), takes=100)
    with RawServer(altegio) as server:
        salon.configure(API_URL=server.url, SETTLE_SECONDS=90)
        operation = salon.withdraw()
    assert (operation.status, operation.ending) == (Status.SUCCEEDED, Ending.FOUND)
    assert (operation.applied_amount, altegio.posts, altegio.looks) == (points(100), 1, 2)


@pytest.mark.parametrize("name", NOT_SHOWN)
def test_success_that_nothing_shows__is_a_doubt_and_not_done(salon: Salon, name: str) -> None:
    """Neither told as done, nor sent again before it can no longer come."""
    body, status = NOT_SHOWN[name]
    altegio = OddAltegio(salon, answer_of(body, status), takes=0)
    with RawServer(altegio) as server:
        salon.configure(API_URL=server.url, SETTLE_SECONDS=90)
        operation = salon.withdraw()
        salon.sweep(operation)
    assert (operation.status, altegio.posts) == (Status.UNCONFIRMED, 1)
    assert "do not repeat it" in operation.sentence
    assert "does not show the visit" in operation.sentence


def test_success_that_nothing_shows__keeps_what_altegio_said(salon: Salon) -> None:
    """In the sentence of the doubt, and in the log when it is settled."""
    body, status = NOT_SHOWN["no data"]
    altegio = OddAltegio(salon, answer_of(body, status), takes=0)
    with RawServer(altegio) as server:
        salon.configure(API_URL=server.url, SETTLE_SECONDS=90)
        operation = salon.withdraw()
        assert "Карта не найдена" in operation.sentence
        salon.configure(API_URL=server.url, SETTLE_SECONDS=0, MAX_ATTEMPTS=1)
        LoyaltyOperation.objects.update(attempt_limit=1)
        salon.age(operation, 90)
        salon.sweep(operation)
    assert operation.status == Status.FAILED
    assert "Карта не найдена" in operation.sentence
    sent = operation.attempts.get(purpose="send")
    assert (sent.outcome, sent.http_status) == ("unknown", 200)
    assert "Карта не найдена" in sent.error


def test_look_up_at_once_that_fails__leaves_the_doubt_and_its_reason(salon: Salon) -> None:
    altegio = OddAltegio(salon, answer_of({"success": True, "data": None}), takes=0)

    def answer(method: str, path: str, connection: object) -> bytes:
        said = altegio(method, path, connection)
        return answer_of({}, 500) if method == "GET" and altegio.posts else said

    with RawServer(answer) as server:
        salon.configure(API_URL=server.url, SETTLE_SECONDS=90)
        operation = salon.withdraw()
    assert operation.status == Status.UNCONFIRMED
    assert "does not show the visit" in operation.sentence
    assert operation.attempts.get(purpose="look_up").http_status == 500


def test_cancel__says_what_came_back_and_what_it_undoes(salon: Salon) -> None:
    """A cancel points at the withdrawal that it undoes."""
    visit = salon.visit()
    withdrawal = salon.withdraw(visit, 80)
    cancel = salon.ask(CANCEL, visit)
    assert cancel.cancels == withdrawal
    assert cancel.returned_amount == points(80)
    assert salon.ledger.balance(salon.card) == points(500)


def test_cancel__of_what_the_log_does_not_know__points_at_nothing(salon: Salon) -> None:
    """Taken in Altegio's own screen, or undone before."""
    visit = salon.prepared(CANCEL)
    assert salon.ask(CANCEL, visit).cancels is None
    first = salon.withdraw(visit)
    salon.ask(CANCEL, visit)
    again = salon.ask(CANCEL, visit)
    assert first.cancelled_by.count() == 1
    assert again.cancels is None


def test_promotion__says_what_it_takes_off(salon: Salon) -> None:
    """10 % of 3020."""
    visit = salon.visit()
    operation = salon.ask(PROMOTION, visit)
    assert operation.applied_amount == salon.ledger.discounted(visit, salon.program) == points(302)
    back = salon.ask(PROMOTION_BACK, visit)
    assert back.cancels == operation
    assert salon.ledger.discounted(visit, salon.program) == 0


def test_two_promotions__do_not_hide_each_other(salon: Salon) -> None:
    """Another promotion on the visit is not this one."""
    second = salon.ledger.add_program(title="Loyal", percent=5)
    salon.card.program_ids.append(second.id)
    visit = salon.visit()
    assert salon.ask(PROMOTION, visit).status == Status.SUCCEEDED
    assert salon.ask(PROMOTION, visit, program_id=second.id).applied_amount == points(151)
    assert salon.ask(PROMOTION_BACK, visit, program_id=second.id).status == Status.SUCCEEDED
    assert salon.ledger.discounted(visit, salon.program) == points(302)


# Rule 2


@pytest.mark.parametrize("kind", [WITHDRAWAL, PROMOTION])
def test_already_there__is_rejected_and_nothing_is_sent(salon: Salon, kind: str) -> None:
    """Somebody clicked in Altegio's own screen: the operation says so, and a person can look."""
    visit = salon.visit()
    if kind == WITHDRAWAL:
        salon.ledger.withdraw(visit, salon.card, 40)
    else:
        salon.ledger.apply_program(visit, salon.card, salon.program)
    operation = salon.ask(kind, visit)
    assert (operation.status, operation.ending) == (Status.REJECTED, Ending.ALREADY_THERE)
    assert "already showed" in operation.sentence
    assert kind == PROMOTION or "40" in operation.sentence
    assert operation.discrepancy
    assert salon.posts() == 0


def test_already_there_by_an_own_operation__is_nothing_to_look_at(salon: Salon) -> None:
    """The log explains it."""
    visit = salon.visit()
    salon.withdraw(visit, 40)
    again = salon.withdraw(visit, 40)
    assert (again.status, again.discrepancy) == (Status.REJECTED, "")
    assert salon.posts() == 1


@pytest.mark.parametrize("kind", [CANCEL, PROMOTION_BACK])
def test_nothing_to_cancel__succeeds_and_nothing_is_sent(salon: Salon, kind: str) -> None:
    """The visit is as it was wanted."""
    operation = salon.ask(kind, salon.visit())
    assert (operation.status, operation.ending) == (Status.SUCCEEDED, Ending.NOTHING_TO_CANCEL)
    assert operation.sentence.startswith("Nothing to")
    assert salon.posts() == 0


def test_visit_not_yet_known__gets_its_row(salon: Salon) -> None:
    """With Altegio's own number as its key."""
    visit = salon.visit()
    salon.withdraw(visit)
    row = Visit.objects.get()
    assert (row.pk, row.record_id, row.location_id) == (visit.id, visit.record_ids[0], salon.location.pk)
    salon.ask(CANCEL, visit)
    assert Visit.objects.count() == 1


def test_location__may_be_its_id(salon: Salon) -> None:
    """As pinned."""
    assert salon.withdraw(location=salon.location.pk).location == salon.location


def test_request_bodies__are_numbers_as_the_reference_has_them(salon: Salon) -> None:
    """Whole amounts as whole numbers, others as decimals."""
    visit = salon.visit()
    salon.withdraw(visit, "12.50")
    (post,) = [request for request in salon.sandbox.requests if request.method == "POST"]
    assert post.body == {"record_id": visit.record_ids[0], "visit_id": visit.id, "amount": 12.5}


@pytest.mark.parametrize("fault", ["status_404", "status_422", "success_false"])
def test_refusal__says_why_and_frees_the_visit(salon: Salon, fault: str) -> None:
    """The visit and card can be tried again at once, by a new operation."""
    visit = salon.visit()
    salon.fail(fault, path="apply_card_withdrawal", times=1)
    operation = salon.withdraw(visit)
    assert operation.status == Status.REJECTED
    assert operation.last_error
    assert reason(operation.last_error) in operation.sentence
    assert salon.withdraw(visit).status == Status.SUCCEEDED
