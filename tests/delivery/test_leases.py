"""Rule 4: one at a time. Claims, leases and fencing: a worker that died, woke up late, or is not alone."""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from altegio_loyalty import delivery, services
from altegio_loyalty.delivery import transitions
from altegio_loyalty.delivery.claims import Claim, claim_to_look, claim_to_send
from altegio_loyalty.delivery.doubt import look_up
from altegio_loyalty.delivery.sending import send
from altegio_loyalty.exceptions import OperationNotAllowed
from altegio_loyalty.models import LoyaltyOperation, RequestBudget
from altegio_loyalty.tasks import deliver_operation, retry_due_operations
from tests.chaos.clock import Clock
from tests.delivery.rawserver import EMPTY_VISIT, RawServer, answer_of
from tests.delivery.salon import (
    KINDS,
    WITHDRAWAL,
    Ending,
    Salon,
    Status,
    is_in_seconds,
    points,
    seconds_from_now,
)
from tests.delivery.threads import in_threads
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db


def deliver_elsewhere(pk: int) -> None:
    """In a thread, whose connection nobody else closes."""
    delivery.deliver(pk)
    connections.close_all()


def claimed(operation: LoyaltyOperation) -> Claim:
    """A claim as a worker has it; who drops it is a worker that died."""
    claim = claim_to_send(LoyaltyOperation.objects.select_related("location").get(pk=operation.pk))
    assert claim is not None
    return claim


# A worker that died


@pytest.mark.parametrize("kind", KINDS)
def test_lease_ran_out_before_the_mark__is_sent_at_once(salon: Salon, kind: str) -> None:
    """The mark is committed before the first byte: without it nothing left, and no settle time is needed."""
    salon.configure(SETTLE_SECONDS=3600)
    visit = salon.prepared(kind)
    operation = salon.later(visit, kind)
    claimed(operation)
    salon.sweep(operation)
    assert operation.status == Status.SENDING  # the lease still runs
    salon.age(operation, 61)
    salon.run_to_the_end(operation)
    assert operation.status == Status.SUCCEEDED
    assert len(salon.effects(kind, visit)) == salon.posts(visit) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_lease_ran_out_after_the_effect__is_found(salon: Salon, kind: str) -> None:
    """The worker was killed between the effect and its record: a look-up finds it, nothing is sent again."""
    visit = salon.prepared(kind)
    operation = salon.later(visit, kind)
    claim = claimed(operation)
    before = {WITHDRAWAL: 0, "cancel_card_withdrawal": 100}.get(kind, 0)
    assert claim.mark_sent(Decimal(before))
    {
        "apply_card_withdrawal": lambda: salon.ledger.withdraw(visit, salon.card, 100, by="api"),
        "cancel_card_withdrawal": lambda: salon.ledger.cancel_withdrawal(visit, salon.card, by="api"),
        "apply_discount_program": lambda: salon.ledger.apply_program(
            visit, salon.card, salon.program, by="api"
        ),
        "cancel_discount_program": lambda: salon.ledger.cancel_program(
            visit, salon.card, salon.program, by="api"
        ),
    }[kind]()
    salon.age(operation, 61)
    salon.run_to_the_end(operation)
    assert operation.status == Status.SUCCEEDED
    assert operation.ending == Ending.FOUND
    assert salon.posts(visit) == 0
    assert len(salon.effects(kind, visit)) == 1


def test_lease_ran_out_after_the_mark__settle_seconds_count_from_the_end_of_its_longest_call(
    salon: Salon,
) -> None:
    """The worker may have lived, and begun its call, until the lease ended: what that call does can come as late."""
    salon.configure(SETTLE_SECONDS=100, READ_TIMEOUT=10, TOTAL_TIMEOUT=15)
    operation = salon.later()
    assert claimed(operation).mark_sent(Decimal(0))
    salon.age(operation, 61)  # a second after the end of the lease
    salon.sweep(operation)
    assert operation.status == Status.UNCONFIRMED
    salon.age(operation, 110)  # more than a hundred after the lease
    salon.sweep(operation)
    assert operation.status == Status.UNCONFIRMED
    assert salon.posts() == 0
    salon.age(operation, 6)
    salon.run_to_the_end(operation)
    assert operation.status == Status.SUCCEEDED
    assert salon.posts() == 1


@pytest.mark.parametrize("kind", KINDS)
def test_lease_ran_out_before_the_mark__forgets_no_earlier_call(salon: Salon, kind: str) -> None:
    """A person erred, tried again, and that worker died: what the first call did is found, not called another's."""
    salon.configure(SETTLE_SECONDS=60, MAX_ATTEMPTS=1)
    visit = salon.prepared(kind)
    salon.fail("late_effect", path=f"loyalty/{kind}", times=1, seconds=0.1)
    operation = services.settle_operation(salon.ask(kind, visit), happened=False, reason="Not there.")
    services.retry_operation(operation)
    wait_for(lambda: salon.effects(kind, visit))
    salon.age(operation, 61)
    claimed(operation)
    salon.age(operation, 61)
    salon.run_to_the_end(operation)
    assert (operation.status, operation.ending) == (Status.SUCCEEDED, Ending.FOUND)
    assert len(salon.effects(kind, visit)) == salon.posts(visit) == 1
    assert not operation.discrepancy


def test_lease_that_ran_out__uses_up_an_attempt_and_tells_so(salon: Salon) -> None:
    """A worker that dies each time must not go on for ever, and the log shows that one died."""
    salon.configure(MAX_ATTEMPTS=1)
    operation = salon.later()
    claimed(operation)
    salon.age(operation, 61)
    salon.run_to_the_end(operation)
    assert operation.status == Status.FAILED
    assert operation.attempt_count == 1
    assert salon.posts() == 0
    assert "worker_stopped" in operation.attempts.get(purpose="look", outcome="not_done").error


def test_lease_of_a_look_up_that_died__is_looked_up_again(salon: Salon) -> None:
    """A doubt outlives the worker that looked."""
    salon.configure(SETTLE_SECONDS=3600)
    salon.fail("cut_after", path="apply_card_withdrawal", times=1)
    operation = salon.withdraw()
    assert claim_to_look(LoyaltyOperation.objects.get(pk=operation.pk)) is not None
    salon.sweep(operation)
    assert operation.status == Status.UNCONFIRMED
    salon.age(operation, 61)
    salon.sweep(operation)
    assert operation.status == Status.SUCCEEDED


# A worker that wakes from a long pause


def test_worker_whose_claim_was_taken_over__sends_nothing(salon: Salon) -> None:
    """It wakes before its POST: the mark fails, and it does not send."""
    visit = salon.visit()
    operation = salon.later(visit)
    sleeper = claimed(operation)
    salon.age(operation, 61)
    salon.run_to_the_end(operation)
    assert salon.posts(visit) == 1
    salon.ledger.cancel_withdrawal(visit, salon.card)  # so that its own look does not stop it
    assert send(sleeper, for_person=False) is None
    assert salon.posts(visit) == 1
    operation.refresh_from_db()
    assert operation.status == Status.SUCCEEDED


def test_worker_past_its_lease__sends_nothing_even_if_nobody_took_over(salon: Salon) -> None:
    """The lease is a promise to all the others; nobody needs to have noticed that it ended."""
    operation = salon.later()
    sleeper = claimed(operation)
    salon.age(operation, 61)
    send(sleeper, for_person=False)
    assert salon.posts() == 0
    operation.refresh_from_db()
    assert operation.status == Status.SENDING
    salon.run_to_the_end(operation)
    assert operation.status == Status.SUCCEEDED
    assert salon.posts() == 1


@pytest.mark.django_db(transaction=True)
def test_answer_that_comes_after_the_take_over__does_not_overwrite(salon: Salon) -> None:
    """A worker whose POST was slow reports to nobody: the row belongs to who took over; its calls are kept."""
    salon.configure(READ_TIMEOUT=20, TOTAL_TIMEOUT=30, SETTLE_SECONDS=60)
    visit = salon.visit()
    operation = salon.later(visit)
    salon.sandbox.fail("hang_after", path="apply_card_withdrawal", times=1, seconds=30)
    sleeper = threading.Thread(target=lambda: deliver_elsewhere(operation.pk))
    sleeper.start()
    wait_for(lambda: salon.effects(WITHDRAWAL, visit))
    salon.age(operation, 61)
    salon.sweep(operation)
    assert operation.status == Status.SUCCEEDED
    finished_at = operation.finished_at
    salon.sandbox.heal()  # now the sleeper learns that its connection is gone
    sleeper.join(60)
    operation.refresh_from_db()
    assert (operation.status, operation.finished_at) == (Status.SUCCEEDED, finished_at)
    assert len(salon.effects(WITHDRAWAL, visit)) == 1
    assert operation.attempts.filter(purpose="send", error__contains="did not answer").exists()


@pytest.mark.django_db(transaction=True)
def test_success_that_comes_after_the_take_over__is_found_by_a_look_up(salon: Salon) -> None:
    """A success that may no longer be recorded is not lost."""
    salon.configure(READ_TIMEOUT=20, TOTAL_TIMEOUT=30, SETTLE_SECONDS=60)
    visit = salon.visit()
    operation = salon.later(visit)
    salon.sandbox.fail("hang", path="apply_card_withdrawal", times=1, seconds=30)
    sleeper = threading.Thread(target=lambda: deliver_elsewhere(operation.pk))
    sleeper.start()
    wait_for(salon.posts)
    salon.age(operation, 61)
    salon.sweep(operation)
    assert operation.status == Status.UNCONFIRMED
    salon.sandbox.heal()  # carried out now, and answered with success
    sleeper.join(60)
    operation.refresh_from_db()
    assert operation.status == Status.UNCONFIRMED
    salon.age(operation, 30)
    salon.sweep(operation)
    assert operation.status == Status.SUCCEEDED
    assert len(salon.effects(WITHDRAWAL, visit)) == 1


def test_worker_suspended_while_it_claims__has_no_longer_lease_than_the_row(
    salon: Salon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the others read is what counts, however long it took to get there."""
    claimed_to_send = transitions.claimed_to_send

    def suspended(*args: Any) -> transitions.Columns:
        columns = claimed_to_send(*args)
        time.sleep(0.2)
        return columns

    monkeypatch.setattr(transitions, "claimed_to_send", suspended)
    claim = claimed(salon.later())
    read = seconds_from_now(LoyaltyOperation.objects.get().next_attempt_at)
    assert claim.seconds_left() <= read + 0.1


def test_look_up_whose_claim_was_taken_over__decides_nothing(salon: Salon) -> None:
    """What a sleeper saw long ago is no proof."""
    salon.configure(SETTLE_SECONDS=60)
    salon.fail("cut_before", path="apply_card_withdrawal", times=1)
    operation = salon.withdraw()
    sleeper = claim_to_look(LoyaltyOperation.objects.select_related("location").get(pk=operation.pk))
    assert sleeper is not None
    salon.age(operation, 61)
    services.settle_operation(operation, happened=True, reason="The client showed it.")
    look_up(sleeper, for_person=False)
    operation.refresh_from_db()
    assert operation.status == Status.SUCCEEDED
    assert operation.ending == Ending.DECIDED_HAPPENED


@pytest.mark.parametrize("way", ["sweep", "page"])
def test_lease_that_ends_later_than_any_can__is_over(salon: Salon, way: str) -> None:
    """Whoever wrote it went by a clock that was a year ahead; a person must not have to wait for that."""
    visit = salon.visit()
    operation = salon.later(visit)
    claimed(operation)
    salon.age(operation, -365 * 24 * 3600)
    assert operation.is_due
    (salon.sweep if way == "sweep" else lambda row: services.deliver_now(row.pk))(operation)
    salon.age(operation, 365 * 24 * 3600)  # only the other moments of it, which no screen waits for
    salon.run_to_the_end(operation)
    assert (operation.status, salon.posts(visit)) == (Status.SUCCEEDED, 1)


def test_lease_that_ends_later_than_any_can__can_be_decided_by_a_person(salon: Salon) -> None:
    operation = salon.later()
    assert claimed(operation).mark_sent(Decimal(0))
    year = timezone.now() + datetime.timedelta(days=365)
    LoyaltyOperation.objects.filter(pk=operation.pk).update(next_attempt_at=year, sent_at=year)
    salon.configure(SETTLE_SECONDS=3600)
    salon.sweep(operation)
    assert operation.status == Status.UNCONFIRMED
    services.settle_operation(operation, happened=True, reason="Altegio's screen shows it.")
    assert operation.status == Status.SUCCEEDED


@pytest.mark.parametrize(("fault", "path"), [("status_500", "details"), ("cut_before", "apply_card")])
def test_wait_that_ends_later_than_any_can__is_over(salon: Salon, fault: str, path: str) -> None:
    """Written by a clock that was a year ahead; the time to settle counts from then on when that is seen."""
    visit = salon.visit()
    salon.fail(fault, path=path, times=1)
    operation = salon.withdraw(visit)
    salon.age(operation, -365 * 24 * 3600)
    assert operation.is_due
    salon.sweep(operation)
    salon.age(operation, 30)
    salon.run_to_the_end(operation)
    assert (operation.status, len(salon.effects(WITHDRAWAL, visit))) == (Status.SUCCEEDED, 1)


def test_call_that_ended_a_year_ahead__does_not_hold_the_card_for_a_year(salon: Salon) -> None:
    salon.configure(SETTLE_SECONDS=3600)
    salon.fail("cut_before", path="apply_card", times=1)
    operation = salon.withdraw()
    salon.age(operation, -365 * 24 * 3600)
    services.settle_operation(operation, happened=False, reason="Altegio's screen shows nothing.")
    assert 0 < seconds_from_now(operation.holds_card_until) <= 3625
    services.retry_operation(operation)
    assert 0 < seconds_from_now(operation.next_attempt_at) <= 3625


def test_lease_of_a_machine_whose_clock_is_minutes_ahead__still_runs(salon: Salon) -> None:
    operation = salon.later()
    claimed(operation)
    salon.age(operation, -9 * 60)
    assert not operation.is_due
    salon.sweep(operation)
    assert operation.status == Status.SENDING


# Two at once


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("job", ["deliver", "task", "sweep", "both"])
def test_two_workers_at_once__send_once(salon: Salon, job: str) -> None:
    """Two deliveries, two messages, two sweeps, or a message and a sweep at the same moment have one effect."""
    jobs: dict[str, Callable[[int], Any]] = {
        "deliver": delivery.deliver,
        "task": deliver_operation,
        "sweep": lambda pk: retry_due_operations(),
    }
    pair = ("task", "sweep") if job == "both" else (job, job)
    for _ in range(3):
        visit = salon.visit()
        operation = salon.later(visit)
        pk = operation.pk
        results = in_threads(*[lambda name=name, pk=pk: jobs[name](pk) for name in pair for _ in range(2)])
        assert not [result for result in results if isinstance(result, Exception)]
        salon.run_to_the_end(operation)
        assert operation.status == Status.SUCCEEDED
        assert salon.posts(visit) == len(salon.effects(WITHDRAWAL, visit)) == 1


@pytest.mark.parametrize("claim", [claim_to_send, claim_to_look])
def test_two_who_read_the_same_row__one_of_them_claims_it(
    salon: Salon, claim: Callable[[LoyaltyOperation], Claim | None]
) -> None:
    """Also where the claim leaves the state as it is: then the fencing number alone tells."""
    salon.fail("cut_before", path="apply_card_withdrawal", times=1)
    operation = salon.withdraw() if claim is claim_to_look else salon.later()
    first, second = (LoyaltyOperation.objects.get(pk=operation.pk) for _ in range(2))
    assert claim(first) is not None
    assert claim(second) is None


def test_message_delivered_twice__has_one_effect(salon: Salon) -> None:
    """The second message finds nothing due and calls nothing."""
    operation = salon.later()
    deliver_operation(operation.pk)
    request_count = len(salon.sandbox.requests)
    deliver_operation(operation.pk)
    retry_due_operations()
    assert len(salon.sandbox.requests) == request_count
    assert salon.posts() == 1


@pytest.mark.django_db(transaction=True)
def test_two_look_ups_at_once__settle_once(salon: Salon) -> None:
    """A doubt is looked up by one worker at a time."""
    salon.fail("cut_after", path="apply_card_withdrawal", times=1)
    operation = salon.withdraw()
    looks = len(salon.sandbox.requests)
    results = in_threads(*[lambda: delivery.deliver(operation.pk)] * 4)
    assert not [result for result in results if isinstance(result, Exception)]
    operation.refresh_from_db()
    assert operation.status == Status.SUCCEEDED
    assert len(salon.sandbox.requests) == looks + 1


@pytest.mark.django_db(transaction=True)
def test_retry_and_sweep_at_once__send_once(salon: Salon) -> None:
    """A person who presses the button while the sweep is on the row disturbs nothing."""
    for _ in range(3):
        visit = salon.visit()
        operation = salon.later(visit)
        stale = LoyaltyOperation.objects.get(pk=operation.pk)
        results = in_threads(partial(services.retry_operation, stale), delivery.run_due)
        assert all(not isinstance(r, Exception) or isinstance(r, OperationNotAllowed) for r in results)
        salon.run_to_the_end(operation)
        assert salon.posts(visit) == len(salon.effects(WITHDRAWAL, visit)) == 1


@pytest.mark.django_db(transaction=True)
def test_verdict_and_look_up_at_once__one_of_them_decides(salon: Salon) -> None:
    """A person's word can't race with a look-up: one is refused, and the log holds one end."""
    for happened in (True, False):
        salon.fail("cut_after", path="apply_card_withdrawal", times=1)
        operation = salon.withdraw()
        stale = LoyaltyOperation.objects.get(pk=operation.pk)
        results = in_threads(
            partial(services.settle_operation, stale, happened=happened, reason="Seen."),
            partial(delivery.deliver, operation.pk),
        )
        operation.refresh_from_db()
        is_verdict = operation.ending.startswith("decided")
        assert is_verdict != isinstance(results[0], OperationNotAllowed)
        assert operation.attempts.filter(purpose="decision").exists() == is_verdict
        assert not operation.is_open


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("deliver", ["now", "on_commit"])
def test_write_ahead(salon: Salon, deliver: str) -> None:
    """Rule 1: others see the row, claimed, before the first byte leaves; no transaction or lock is held over a call."""
    seen: list[tuple[str, str, bool]] = []

    def look_at_the_database(method: str, path: str, connection: object) -> bytes:
        try:
            operation = LoyaltyOperation.objects.get()
            seen.append((method, operation.status, operation.sent_at is not None))
            LoyaltyOperation.objects.filter(pk=operation.pk).update(last_error="written meanwhile")
            delivery.deliver(operation.pk)
            delivery.run_due()
        finally:
            connections.close_all()
        return answer_of(EMPTY_VISIT)

    with RawServer(look_at_the_database) as server:
        salon.configure(API_URL=server.url)
        operation = salon.withdraw(deliver=deliver)
        delivery.deliver(operation.pk)
    operation.refresh_from_db()
    assert operation.status == Status.SUCCEEDED
    assert seen == [("GET", "sending", False), ("POST", "sending", True)]


def test_lease_holds_for_its_seconds(salon: Salon) -> None:
    """LEASE_SECONDS is when others may take over."""
    salon.configure(LEASE_SECONDS=33)
    operation, began = salon.later(), timezone.now()
    claim = claimed(operation)
    operation.refresh_from_db()
    assert is_in_seconds(33, operation.next_attempt_at, began)
    assert claim.seconds_left() <= 33 <= claim.seconds_left() - seconds_from_now(began) + 0.1
    assert operation.amount == points(100)


@pytest.mark.parametrize("moment", ["before the mark", "after the mark"])
@pytest.mark.parametrize(
    ("passed", "set_by"), [(61, -61), (0, 61)], ids=["wall clock put back", "wall clock put forward"]
)
def test_lease_that_is_over_by_one_of_two_clocks__sends_nothing(
    salon: Salon, passed: int, set_by: int, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others go by the clock on the wall, which somebody may set; the lease ends by whichever is ahead."""
    clock, mark = Clock(), Claim.mark_sent

    def marked(claim: Claim, seen_before: Any) -> bool:
        if moment == "before the mark":
            clock.passed, clock.set_by = passed, set_by
        was_marked = mark(claim, seen_before)
        clock.passed, clock.set_by = passed, set_by
        return was_marked

    monkeypatch.setattr(Claim, "mark_sent", marked)
    with clock.running():
        send(claimed(salon.later()), for_person=False)
    assert [request.method for request in salon.sandbox.requests] == ["GET"]


def test_mark_of_an_earlier_try__says_nothing_of_this_one(salon: Salon) -> None:
    """The first POST was refused for the limit; then a worker dies before its own POST, so nothing can have left."""
    salon.configure(SETTLE_SECONDS=3600)
    visit = salon.visit()
    salon.fail("rate_limited", path="apply_card_withdrawal", times=1, retry_after=1)
    operation = salon.withdraw(visit)
    assert (operation.status, operation.sent_at is None) == (Status.PENDING, False)
    RequestBudget.objects.update(blocked_until=None)
    claimed(operation)
    salon.age(operation, 61)
    salon.run_to_the_end(operation)
    assert operation.status == Status.SUCCEEDED
    assert len(salon.effects(WITHDRAWAL, visit)) == 1


def test_message_for_one_whose_worker_died__goes_on_at_once(salon: Salon) -> None:
    """No sweep is needed for it; while the lease runs, the message leaves it alone."""
    operation = salon.later()
    claimed(operation)
    delivery.deliver(operation.pk)
    assert salon.sandbox.requests == []
    salon.age(operation, 61)
    delivery.deliver(operation.pk)  # puts it in doubt and looks it up: nothing left
    delivery.deliver(operation.pk)
    operation.refresh_from_db()
    assert operation.status == Status.SUCCEEDED
