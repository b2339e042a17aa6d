"""What host sites hear: after the commit, once, and without being able to disturb anything."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, connections

from altegio_loyalty import services, signals
from altegio_loyalty.admin.log.export import with_signals
from altegio_loyalty.delivery.claims import claim_to_send
from altegio_loyalty.models import LoyaltyOperation
from tests.delivery.salon import CANCEL, Salon, Status

pytestmark = pytest.mark.django_db
NAMES = ("succeeded", "rejected", "failed", "abandoned", "needs_attention")


@pytest.fixture
def heard() -> Iterator[list[str]]:
    """The names of the signals that were sent, in order."""
    names: list[str] = []
    receivers = []
    for name in NAMES:

        def receive(sender: Any, operation: LoyaltyOperation, name: str = name, **kwargs: Any) -> None:
            assert sender is LoyaltyOperation
            names.append(name)

        receivers.append((getattr(signals, f"operation_{name}"), receive))
        receivers[-1][0].connect(receive)
    yield names
    for signal, receive in receivers:
        signal.disconnect(receive)


def of_timeline(operation: LoyaltyOperation) -> list[str]:
    """The signals that the operation's page tells, in order."""
    rows = with_signals(operation, operation.attempts.order_by("pk"))
    return [name.removeprefix("operation_") for _row, names in rows for name in names]


def test_timeline_tells_what_was_heard(salon: Salon, heard: list[str]) -> None:
    """A success, a refusal, a doubt that is found and one that is settled, one given up, one stopped, a dead worker's."""
    salon.configure(SETTLE_SECONDS=60)

    def ended(operation: LoyaltyOperation) -> None:
        operation.refresh_from_db()
        assert not operation.is_open
        assert of_timeline(operation) == heard
        heard.clear()

    ended(salon.withdraw())
    for fault, path in (("status_422", "apply_card_withdrawal"), ("cut_after", "apply_card_withdrawal")):
        salon.fail(fault, path=path, times=1)
        operation = salon.withdraw()
        salon.run_to_the_end(operation)
        ended(operation)
    salon.fail("cut_before", path="apply_card_withdrawal", times=1)
    ended(services.settle_operation(salon.withdraw(), happened=False, reason="Not there."))
    ended(services.stop_operation(salon.later()))
    dead = salon.later()
    assert claim_to_send(LoyaltyOperation.objects.select_related("location").get(pk=dead.pk))
    salon.age(dead, 61)
    salon.run_to_the_end(dead)
    ended(dead)
    salon.configure(RETRY_WINDOW=10)
    late = salon.later()
    salon.age(late, 11)
    salon.sweep(late)
    ended(late)


def test_succeeded(salon: Salon, heard: list[str]) -> None:
    """One signal for one success."""
    salon.withdraw()
    assert heard == ["succeeded"]


def test_rejected(salon: Salon, heard: list[str]) -> None:
    """A refusal needs nobody: the one who asked sees it."""
    salon.fail("status_422", path="apply_card_withdrawal")
    salon.withdraw()
    assert heard == ["rejected"]


def test_doubt__needs_a_person_once_and_then_succeeds(salon: Salon, heard: list[str]) -> None:
    """Not again with each look-up."""
    salon.configure(SETTLE_SECONDS=60)
    salon.fail("cut_before", path="apply_card_withdrawal", times=1)
    operation = salon.withdraw()
    salon.sweep(operation, times=3)
    assert heard == ["needs_attention"]
    salon.age(operation, 61)
    salon.run_to_the_end(operation)
    assert heard == ["needs_attention", "succeeded"]


def test_failed__needs_a_person(salon: Salon, heard: list[str]) -> None:
    """A person decides what was given up."""
    salon.configure(MAX_ATTEMPTS=1)
    salon.fail("status_503", path="visit_details")
    salon.withdraw()
    assert heard == ["failed", "needs_attention"]


def test_out_of_time__is_heard_too(salon: Salon, heard: list[str]) -> None:
    """Also where no call was made."""
    salon.configure(RETRY_WINDOW=10)
    salon.age(salon.later(), 11)
    salon.sweep()
    assert heard == ["failed", "needs_attention"]


def test_stopped_and_settled__are_heard(salon: Salon, heard: list[str]) -> None:
    """Decisions of a person are results like others."""
    services.stop_operation(salon.later())
    salon.fail("cut_before", path="apply_card_withdrawal", times=1)
    services.settle_operation(salon.withdraw(), happened=True, reason="Seen.")
    assert heard == ["abandoned", "needs_attention", "succeeded"]


def test_settled_as_not_happened__needs_nobody_any_more(salon: Salon, heard: list[str]) -> None:
    """A person has just decided; the list of what needs one leaves it out as well."""
    salon.fail("cut_before", path="apply_card_withdrawal", times=1)
    operation = salon.withdraw()
    heard.clear()
    services.settle_operation(operation, happened=False, reason="Not there.")
    assert heard == ["failed"]
    assert operation not in LoyaltyOperation.objects.needing_attention()


def test_more_than_the_log_explains__needs_a_person(salon: Salon, heard: list[str]) -> None:
    """Somebody took points in Altegio's own screen."""
    visit = salon.visit()
    salon.ledger.withdraw(visit, salon.card, 30)
    operation = salon.withdraw(visit)
    assert operation.status == Status.REJECTED
    assert "30" in operation.discrepancy
    assert heard == ["rejected", "needs_attention"]


def test_cancel_of_more_than_the_log_explains__needs_a_person(salon: Salon, heard: list[str]) -> None:
    """All of it is given back, as asked; but a part of it the log had never heard of, as of a second effect."""
    visit = salon.visit()
    salon.withdraw(visit, 100)
    salon.ledger.withdraw(visit, salon.card, 100)
    operation = salon.ask(CANCEL, visit)
    assert (operation.status, operation.returned_amount) == (Status.SUCCEEDED.value, Decimal(200))
    assert "200" in operation.discrepancy
    assert operation in LoyaltyOperation.objects.needing_attention()
    assert heard == ["succeeded", "succeeded", "needs_attention"]


@pytest.mark.parametrize("by", ["api", "staff"])
def test_cancel_of_what_one_side_took_alone__needs_nobody(salon: Salon, heard: list[str], by: str) -> None:
    """What the log explains, and what was all taken in Altegio's own screen."""
    visit = salon.visit()
    if by == "api":
        salon.withdraw(visit, 100)
    else:
        salon.ledger.withdraw(visit, salon.card, 100)
    heard.clear()
    assert not salon.ask(CANCEL, visit).discrepancy
    assert heard == ["succeeded"]


def test_raising_receiver__disturbs_nothing(salon: Salon, heard: list[str]) -> None:
    """A receiver's errors are contained, and the others hear it as well."""

    def raise_always(**kwargs: Any) -> None:
        raise RuntimeError("a bug of the host site")

    signals.operation_succeeded.connect(raise_always)
    try:
        operation = salon.withdraw()
    finally:
        signals.operation_succeeded.disconnect(raise_always)
    operation.refresh_from_db()
    assert operation.status == Status.SUCCEEDED
    assert heard == ["succeeded"]


@pytest.mark.django_db(transaction=True)
def test_signal_comes_after_the_commit(salon: Salon) -> None:
    """A receiver that looks from another connection sees the result."""
    seen: list[Any] = []

    def look(operation: LoyaltyOperation, **kwargs: Any) -> None:
        seen.append(connection.in_atomic_block)
        other = connections.create_connection("default")
        try:
            with other.cursor() as cursor:
                table = LoyaltyOperation._meta.db_table
                cursor.execute(f"SELECT status FROM {table} WHERE id = %s", [operation.pk])
                seen.append(cursor.fetchone()[0])
        finally:
            other.close()

    signals.operation_succeeded.connect(look)
    try:
        salon.withdraw()
    finally:
        signals.operation_succeeded.disconnect(look)
    assert seen == [False, "succeeded"]
