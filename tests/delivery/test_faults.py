"""Every fault of the sandbox at every call: exactly one effect and a log that says so, or none and a log that says so."""

from __future__ import annotations

import pytest

from altegio_loyalty.sandbox import FAULTS
from tests.delivery.rawserver import EMPTY_VISIT, RawServer, answer_of
from tests.delivery.salon import KINDS, REFUSED, WITHDRAWAL, Salon, Status, points
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db

#: The answer itself says that nothing was done and that another try would not help.
REFUSALS = {"status_402", "status_403", "status_404", "status_422", "success_false"}
#: Nobody can tell from the answer whether it was done.
DOUBTS = {
    "cut_before",
    "cut_after",
    "cut_mid_answer",
    "hang",
    "hang_after",
    "drip",
    "late_effect",
    "status_500",
    "status_502_html",
    "status_503",
    "html",
    "broken_json",
    "truncated_json",
    "empty",
    "error_after_effect",
    "huge",
    "redirect",
    "nan",
    "deep",
}
#: Odd, but a success that can be read.
READABLE = {"string_ids", "bare", "nul_text"}
#: Certainly not done, and worth another try.
LATER = {"status_401", "rate_limited"}


def test_every_fault_has_its_expectation() -> None:
    """A new fault in the sandbox must be given a place here."""
    assert set(FAULTS) == REFUSALS | DOUBTS | READABLE | LATER


@pytest.mark.parametrize("fault", sorted(FAULTS))
@pytest.mark.parametrize("kind", KINDS)
def test_fault_of_the_post__ends_with_one_effect_or_a_refusal(salon: Salon, kind: str, fault: str) -> None:
    """Whatever the POST meets, the end is one effect and a success, or no effect and a refusal."""
    if comes_late := fault in ("late_effect", "hang"):  # carried out after the connection was given up
        salon.configure(SETTLE_SECONDS=600)
    visit = salon.prepared(kind)
    salon.fail(fault, path=f"POST /api/v1/visit/loyalty/{kind}", times=1)
    operation = salon.ask(kind, visit)

    if fault in REFUSALS:
        assert operation.status == Status.REJECTED
    elif fault in READABLE:
        assert operation.status == Status.SUCCEEDED
    else:
        assert operation.status == (Status.PENDING if fault in LATER else Status.UNCONFIRMED)
        salon.heal()
        if comes_late:
            wait_for(lambda: salon.effects(kind, visit))
        salon.run_to_the_end(operation)

    expected = 0 if fault in REFUSALS else 1
    assert len(salon.effects(kind, visit)) == expected
    assert operation.status == (Status.REJECTED if fault in REFUSALS else Status.SUCCEEDED)
    if kind == WITHDRAWAL and expected:
        assert operation.applied_amount == points(100)
        assert salon.ledger.withdrawn(visit, salon.card) == points(100)
    assert not operation.discrepancy


def test_absurd_amounts__send_nothing_and_leave_a_row_that_can_be_read(salon: Salon) -> None:
    """A sum that no column holds is no figure: SQLite keeps it, and then nobody can read the log any more."""
    row = {"type_id": 3, "card_id": salon.card.id, "amount": 9999999999}
    rows = [{**row, "id": number} for number in (1, 2)]
    with RawServer(lambda *request: answer_of({**EMPTY_VISIT, "loyalty_transactions": rows})) as server:
        salon.configure(API_URL=server.url)
        operation = salon.withdraw()
        assert [method for method, _ in server.requests] == ["GET"]
    operation.refresh_from_db()
    assert (operation.status, operation.applied_amount) == (Status.PENDING, None)
    assert "could not be read" in operation.last_error


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_fault_of_the_look__sends_nothing(salon: Salon, fault: str) -> None:
    """A look that fails is no reason to send; it is tried again, and then everything happens once."""
    visit = salon.visit()
    salon.fail(fault, path="visit_details", times=1)
    operation = salon.withdraw(visit)

    if fault == "status_404":  # of Altegio's own, and about this very visit
        assert operation.status == Status.REJECTED
        assert salon.posts() == 0
        return
    if fault in READABLE:
        assert operation.status == Status.SUCCEEDED
    else:
        assert operation.status == Status.PENDING
        assert operation.unanswered_at is None
        assert salon.posts() == 0
        salon.heal()
        salon.run_to_the_end(operation)
    assert operation.status == Status.SUCCEEDED
    assert salon.posts() == 1
    assert len(salon.effects(WITHDRAWAL, visit)) == 1


@pytest.mark.parametrize("fault", sorted(FAULTS))
@pytest.mark.parametrize("happened", [True, False])
def test_fault_of_the_look_up__keeps_the_doubt(salon: Salon, fault: str, happened: bool) -> None:
    """While look-ups fail, in whatever way, the operation stays in doubt and nothing is sent."""
    visit = salon.visit()
    salon.fail("cut_after" if happened else "cut_before", path="apply_card_withdrawal", times=1)
    operation = salon.withdraw(visit)
    assert operation.status == Status.UNCONFIRMED
    posts = salon.posts()

    salon.fail(fault, path="visit_details", times=1)
    salon.configure(RETRY_DELAY=0)
    salon.sweep(operation)
    if fault not in READABLE:
        assert operation.status == Status.UNCONFIRMED
        assert salon.posts() == posts
    salon.heal()
    salon.run_to_the_end(operation)
    assert operation.status == Status.SUCCEEDED
    assert operation.applied_amount == points(100)
    assert len(salon.effects(WITHDRAWAL, visit)) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_refused_connections__wait_and_go_on(salon: Salon, kind: str) -> None:
    """Where nobody listens nothing left the machine: it waits, without any doubt, and then happens once."""
    visit = salon.prepared(kind)
    salon.fail(REFUSED)
    operation = salon.ask(kind, visit)
    assert operation.status == Status.PENDING
    assert operation.unanswered_at is None
    salon.heal()
    salon.run_to_the_end(operation)
    assert operation.status == Status.SUCCEEDED
    assert len(salon.effects(kind, visit)) == 1


def test_one_fault_after_the_other__ends_with_one_effect(salon: Salon) -> None:
    """Faults in a row, each at another place, change nothing about the end."""
    visit = salon.visit()
    for fault, path in (
        ("status_503", "visit_details"),
        ("cut_before", "apply_card_withdrawal"),
        ("html", "visit_details"),
        ("rate_limited", "apply_card_withdrawal"),
        ("truncated_json", "visit_details"),
        ("hang_after", "apply_card_withdrawal"),
        ("drip", "visit_details"),
    ):
        salon.fail(fault, path=path, times=1)
    operation = salon.withdraw(visit)
    salon.run_to_the_end(operation)
    assert operation.status == Status.SUCCEEDED
    assert len(salon.effects(WITHDRAWAL, visit)) == 1
    salon.assert_nothing_is_told_wrongly()


def test_40_percent_of_faults__every_operation_ends_truly(salon: Salon) -> None:
    """Twenty visits through many faults at random: the log and the ledger agree about each."""
    salon.configure(MAX_ATTEMPTS=0, RETRY_WINDOW=0)
    salon.ledger.set_balance(salon.card, "100000")
    for number, fault in enumerate(
        ("cut_after", "cut_before", "error_after_effect", "empty", "status_500", "rate_limited")
    ):
        salon.sandbox.fail(fault, probability=0.08, seed=number)
    operations = [salon.withdraw(amount=10) for _ in range(20)]
    salon.run_to_the_end(*operations, most=60)
    assert {operation.status for operation in operations} == {Status.SUCCEEDED}
    assert len([effect for effect in salon.sandbox.effects if effect.by == "api"]) == 20
    salon.assert_nothing_is_told_wrongly()


def test_zero_applied_without_an_answer__is_not_lost(salon: Salon) -> None:
    """An empty card takes nothing and leaves no trace; the operation still ends, once the doubt is settled."""
    salon.ledger.set_balance(salon.card, 0)
    visit = salon.visit()
    salon.fail("cut_after", path="apply_card_withdrawal", times=1)
    operation = salon.withdraw(visit)
    salon.run_to_the_end(operation)
    assert operation.status == Status.SUCCEEDED
    assert operation.applied_amount == 0
    assert salon.sandbox.effects == []
