"""Operations beside answers that are spoilt on their way out: the sandbox's ledger is the truth that the log must tell."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from django.db.models import F
from django.utils import timezone
from hypothesis import given, strategies as st

from altegio_loyalty import kinds, services, wording
from altegio_loyalty.models import Location, LoyaltyOperation, RequestBudget
from tests.delivery.salon import KINDS, PROMOTION, Salon, Status
from tests.shapes import contract
from tests.shapes.changes import Spoiling, honest_spoilings
from tests.shapes.searching import TIMEOUT, examples, innards
from tests.shapes.wire import Wire

# What an answer means is the same whatever database keeps it.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(TIMEOUT), pytest.mark.sqlite]

SPOILINGS = honest_spoilings(contract.names("visit_details"))
AS_IT_IS = st.just(Spoiling())
#: Most looks must work, or nothing ever comes to be sent.
looks: st.SearchStrategy[list[Spoiling]] = st.one_of(
    st.just([]), st.lists(st.one_of(AS_IT_IS, AS_IT_IS, SPOILINGS), max_size=4)
)
sends = st.lists(SPOILINGS, min_size=1, max_size=2)
#: What Altegio itself does with the POST.
refusals = st.sampled_from([""] * 12 + ["status_422", "status_404", "status_500", "success_false"])


def new_client(salon: Salon) -> None:
    """A card and a client of their own for each example, or the lists would grow without end."""
    salon.client = salon.ledger.add_client(name="Jane Doe", phone="+13155550175")
    salon.card = salon.ledger.add_card(salon.client, balance="500", programs=[salon.program])


def everything_works_again(salon: Salon, wire: Wire) -> None:
    """Nobody's tokens, and no limit, are held against anybody."""
    wire.clear()
    salon.sandbox.heal()
    Location.objects.update(refused_at=None, refused_reason="")
    RequestBudget.objects.all().delete()
    LoyaltyOperation.objects.open().filter(next_attempt_at__gt=timezone.now()).update(
        next_attempt_at=F("created_at")
    )


def assert_is_told_in_words(operation: LoyaltyOperation) -> None:
    operation.refresh_from_db()
    told = [wording.sentence_of(operation), operation.discrepancy, operation.last_error]
    told += operation.attempts.values_list("error", flat=True)
    for text in told:
        assert not innards(wording.reason(text)), text


def assert_log_and_ledger_agree(salon: Salon, wire: Wire, visit: Any, operation: LoyaltyOperation) -> None:
    """Nothing twice, nothing told that is not there, nothing there that is denied; and a reading agrees."""
    effects = salon.effects(operation.kind, visit)
    told = (
        operation.kind,
        operation.status,
        operation.ending,
        operation.applied_amount,
        operation.last_error,
    )
    assert len(effects) <= 1, f"DOUBLED: {told}"
    assert not wire.sent_again, f"SENT AGAIN: {told}"
    claims = operation.status == Status.SUCCEEDED and operation.ending != "nothing_to_cancel"
    claims = claims and operation.applied_amount != 0
    assert claims == bool(effects), f"TOLD WRONGLY: {told} {effects}"
    if effects:
        shown = (operation.applied_amount, operation.returned_amount)
        assert set(shown) <= {None, effects[0].amount}, f"TOLD WRONGLY: {told} {effects}"
    known = list(LoyaltyOperation.objects.filter(pk=operation.pk).with_last_event())
    reading = services.read_visit(operation.location, visit_id=visit.id, record_id=visit.record_ids[0])
    assert reading.details is not None
    is_there = kinds.effect_on(reading.details, operation.order).is_there
    assert not (operation.ending == "nothing_to_cancel" and is_there), f"TOLD WRONGLY: {told}"
    services.judge_reading(visit.id, reading.details, known, timezone.now())
    operation.refresh_from_db()
    assert not operation.discrepancy, f"FLAGGED: {told} {operation.discrepancy}"


@contextlib.contextmanager
def spoilt(salon: Salon) -> Iterator[Wire]:
    """A new client, and a wire to the sandbox on which a test spoils the answers. Nothing of it is left afterwards."""
    new_client(salon)
    wire = Wire(salon.sandbox)
    try:
        yield wire
    finally:
        everything_works_again(salon, wire)
        wire.leave()
        LoyaltyOperation.objects.open().update(status=Status.ABANDONED, open_key=None)


@examples(4)
@given(st.sampled_from(KINDS), looks, sends, refusals)
def test_any_shape__log_and_ledger_agree_in_the_end(
    salon: Salon, kind: str, looks: list[Spoiling], sends: list[Spoiling], refusal: str
) -> None:
    """No effect twice, none that is denied, none that is made up; and each sentence on the way is one for people."""
    with spoilt(salon) as wire:
        visit = salon.prepared(kind)
        if refusal:
            salon.fail(refusal, path="POST", times=1)
        wire.spoil("GET", looks)
        wire.spoil("POST", sends)
        operation = salon.ask(kind, visit)
        for _ in range(3):
            assert_is_told_in_words(operation)
            salon.sweep(operation)
        everything_works_again(salon, wire)
        salon.run_to_the_end(operation)
        assert_is_told_in_words(operation)
        assert_log_and_ledger_agree(salon, wire, visit, operation)


@examples(3)
@given(st.sampled_from(KINDS), st.lists(SPOILINGS, min_size=1, max_size=3))
def test_any_shape_of_what_is_done__is_not_done_again(salon: Salon, kind: str, looks: list[Spoiling]) -> None:
    """Whoever asks once more: what is there in any form that can be read, or that is odd, is not sent again."""
    with spoilt(salon) as wire:
        visit = salon.prepared(kind)
        assert salon.ask(kind, visit).status == Status.SUCCEEDED
        wire.spoil("GET", looks)
        again = salon.ask(kind, visit)
        salon.sweep(again, times=2)
        assert_is_told_in_words(again)
        assert not wire.sent_again, (again.status, again.ending)


def test_the_wire__alters_what_is_answered_and_no_books(salon: Salon) -> None:
    """Otherwise nothing above would prove anything."""
    with spoilt(salon) as wire:
        visit = salon.prepared(PROMOTION)
        wire.spoil("GET", [Spoiling(instead=b"[]")])
        operation = salon.ask(PROMOTION, visit)
        assert (operation.status, salon.posts(visit)) == (Status.PENDING, 0)
        salon.run_to_the_end(operation)
        assert len(salon.effects(PROMOTION, visit)) == 1


def test_the_wire__sees_what_is_sent_again(salon: Salon) -> None:
    """Also where the books refuse it."""
    with spoilt(salon) as wire:
        visit = salon.prepared(PROMOTION)
        salon.ask(PROMOTION, visit)
        wire.spoil("GET", [Spoiling(instead=b'{"loyalty_transactions":[]}')])
        salon.ask(PROMOTION, visit)
        assert wire.sent_again
