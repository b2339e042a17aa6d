"""Rules 7 and 8: when it is tried again, and when trying stops."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from altegio_loyalty import delivery, services
from altegio_loyalty.exceptions import OperationInProgress, OperationNotAllowed
from altegio_loyalty.models import Location, LoyaltyOperation, RequestBudget
from tests.delivery.rawserver import EMPTY_VISIT, RawServer, answer_of
from tests.delivery.salon import WITHDRAWAL, Salon, Status, is_in_seconds

pytestmark = pytest.mark.django_db


def unblock() -> None:
    """As if the minute of a 429 were over."""
    RequestBudget.objects.update(blocked_until=None)


def test_max_attempts__ends_in_failed(salon: Salon) -> None:
    """A withdrawal is worth something while the client is at the desk; then a person decides."""
    salon.configure(MAX_ATTEMPTS=3)
    salon.fail("status_503", path="visit_details")
    operation = salon.withdraw()
    salon.run_to_the_end(operation)
    assert (operation.status, operation.attempt_count) == (Status.FAILED, 3)
    assert operation.next_attempt_at is None
    assert operation.open_key is None
    assert operation.finished_at is not None
    assert "503" in operation.last_error
    assert salon.posts() == 0


def test_retry_window__ends_in_failed(salon: Salon) -> None:
    """Too late is too late, however few attempts there were."""
    salon.configure(RETRY_WINDOW=300)
    operation = salon.later()
    salon.age(operation, 301)
    report = salon.sweep(operation)
    assert operation.status == Status.FAILED
    assert list(report.state_of.values()) == [Status.FAILED]
    assert salon.sandbox.requests == []


def test_retry_window__that_ends_before_the_next_try__ends_now(salon: Salon) -> None:
    """Nobody waits for a try that will not be made."""
    salon.configure(RETRY_WINDOW=50)
    salon.fail("rate_limited", path="apply_card_withdrawal", times=1, retry_after=51)
    assert salon.withdraw().status == Status.FAILED


def test_zero__switches_both_limits_off(salon: Salon) -> None:
    """MAX_ATTEMPTS 0 and RETRY_WINDOW 0: for ever."""
    salon.configure(MAX_ATTEMPTS=0, RETRY_WINDOW=0)
    salon.fail("status_503", path="visit_details")
    operation = salon.withdraw()
    for _ in range(15):
        salon.age(operation, 3600)
        salon.sweep(operation)
    assert (operation.status, operation.attempt_count) == (Status.PENDING, 16)
    salon.heal()
    salon.sweep(operation)
    assert operation.status == Status.SUCCEEDED


def test_one_that_was_given_up__can_be_tried_again_by_a_person(salon: Salon) -> None:
    """With new attempts and new time."""
    salon.configure(MAX_ATTEMPTS=2, RETRY_WINDOW=100)
    salon.fail("status_503", path="visit_details", times=3)
    visit = salon.visit()
    operation = salon.withdraw(visit)
    salon.run_to_the_end(operation)
    salon.age(operation, 1000)
    services.retry_operation(operation)
    salon.run_to_the_end(operation)
    assert (operation.status, operation.attempt_count) == (Status.SUCCEEDED, 4)
    assert len(salon.effects(WITHDRAWAL, visit)) == 1


def test_retry_of_one_given_up__while_another_is_open__is_refused(salon: Salon) -> None:
    """At most one open operation per visit and card, also for a person who tries again."""
    visit = salon.visit()
    salon.configure(MAX_ATTEMPTS=1)
    salon.fail("status_503", path="visit_details", times=1)
    given_up = salon.withdraw(visit)
    assert given_up.status == Status.FAILED
    other = salon.later(visit)
    with pytest.raises(OperationInProgress) as caught:
        services.retry_operation(given_up)
    assert caught.value.operation == other
    given_up.refresh_from_db()
    assert given_up.status == Status.FAILED


def test_retry_of_one_that_waits__only_brings_it_forward(salon: Salon) -> None:
    """No attempts and no time are added."""
    salon.configure(RETRY_DELAY=1000, RETRY_DELAY_MAX=1000)
    salon.fail("status_503", path="visit_details", times=1)
    operation = salon.withdraw()
    LoyaltyOperation.objects.update(next_attempt_at=timezone.now() + datetime.timedelta(hours=1))
    operation.refresh_from_db()
    expires_at, limit = operation.expires_at, operation.attempt_limit
    services.retry_operation(operation)
    assert (operation.expires_at, operation.attempt_limit) == (expires_at, limit)
    salon.sweep(operation)
    assert operation.status == Status.SUCCEEDED


@pytest.mark.parametrize("fault", ["", "status_404"])
def test_retry_stop_settle_of_a_finished_one__are_refused(salon: Salon, fault: str) -> None:
    """What is finished stays as it is."""
    if fault:
        salon.fail(fault)
    operation = salon.withdraw()
    for decide in (
        lambda: services.retry_operation(operation),
        lambda: services.stop_operation(operation),
        lambda: services.settle_operation(operation, happened=True, reason="Seen."),
    ):
        with pytest.raises(OperationNotAllowed):
            decide()
    before = operation.status
    operation.refresh_from_db()
    assert operation.status == before


def test_stop_of_one_that_waits__is_abandoned(salon: Salon) -> None:
    """A person withdrew it before it took effect; the visit and card are free again."""
    visit = salon.visit()
    operation = services.stop_operation(salon.later(visit))
    assert operation.status == Status.ABANDONED
    salon.sweep(operation)
    assert operation.status == Status.ABANDONED
    assert salon.sandbox.requests == []
    assert salon.withdraw(visit).status == Status.SUCCEEDED


def test_stop_of_a_stale_row__is_refused(salon: Salon) -> None:
    """The person looked at an old page: the operation has gone on since."""
    stale = salon.later()
    salon.sweep()
    with pytest.raises(OperationNotAllowed):
        services.stop_operation(stale)
    assert LoyaltyOperation.objects.get().status == Status.SUCCEEDED


# How long is waited


@pytest.mark.parametrize("retry_after", [7, 300])
def test_retry_after__is_honoured(salon: Salon, retry_after: int) -> None:
    """Not before the server's own wish, however short our backoff is."""
    salon.fail("rate_limited", path="apply_card_withdrawal", times=1, retry_after=retry_after)
    began, operation = timezone.now(), salon.withdraw()
    assert operation.status == Status.PENDING
    assert is_in_seconds(retry_after, operation.next_attempt_at, began)
    posts = salon.posts()
    salon.sweep(operation)
    assert salon.posts() == posts
    salon.age(operation, retry_after)
    unblock()
    salon.sweep(operation)
    assert operation.status == Status.SUCCEEDED


@pytest.mark.parametrize("retry_after", [None, 0, "soon", "Wed, 21 Oct 2015 07:28:00 GMT", "-5"])
def test_429_without_a_usable_retry_after__waits_the_minute_out(salon: Salon, retry_after: object) -> None:
    """The minute's requests may be used up."""
    salon.configure(REQUESTS_PER_MINUTE=200)
    salon.fail("rate_limited", path="apply_card_withdrawal", times=1, retry_after=retry_after)
    began, operation = timezone.now(), salon.withdraw()
    assert is_in_seconds(60, operation.next_attempt_at, began)


def test_429__holds_back_every_location(salon: Salon) -> None:
    """The limit counts per IP address, so it is everybody's."""
    other = salon.add_location("Second Street")
    salon.configure(REQUESTS_PER_MINUTE=200)
    salon.fail("rate_limited", path="visit_details", times=1)
    salon.withdraw()
    request_count = len(salon.sandbox.requests)
    waiting = salon.later(salon.visit(location=other))
    salon.sweep(waiting)
    assert len(salon.sandbox.requests) == request_count
    assert (waiting.status, waiting.attempt_count) == (Status.PENDING, 0)
    unblock()
    salon.age(waiting, 61)
    salon.sweep(waiting)
    assert waiting.status == Status.SUCCEEDED


@pytest.mark.parametrize("status", [200, 403])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_limit_that_is_no_429__is_waited_for_like_one(salon: Salon, method: str, status: int) -> None:
    """It refuses nothing for good, and holds back everybody."""
    message = "Превышен лимит запросов, попробуйте повторить запрос через 0 секунд."
    limit = answer_of({"success": False, "data": None, "meta": {"message": message}}, status)
    with RawServer(lambda asked, path, _: limit if asked == method else answer_of(EMPTY_VISIT)) as server:
        salon.configure(API_URL=server.url, REQUESTS_PER_MINUTE=200)
        began, operation = timezone.now(), salon.withdraw()
    assert operation.status == Status.PENDING
    assert "limit of requests" in operation.sentence
    assert is_in_seconds(60, operation.next_attempt_at, began)
    assert is_in_seconds(60, RequestBudget.objects.get().blocked_until, began)


def test_503_with_retry_after__holds_back_everybody_and_keeps_a_doubt(salon: Salon) -> None:
    """As a limit does; but no 5xx says that what was sent was not done."""
    salon.configure(REQUESTS_PER_MINUTE=200)
    salon.fail("status_503", path="POST", times=1, retry_after=300)
    began, operation = timezone.now(), salon.withdraw()
    assert operation.status == Status.UNCONFIRMED
    assert is_in_seconds(300, RequestBudget.objects.get().blocked_until, began)


@pytest.mark.parametrize("fault", ["status_402", "status_403", "status_422", "success_false"])
def test_a_look_that_is_refused__is_no_refusal_of_the_operation(salon: Salon, fault: str) -> None:
    """Nothing was sent: it is tried again, as often as anything, and then says what Altegio said."""
    salon.configure(MAX_ATTEMPTS=2)
    salon.fail(fault, path="visit_details", times=2)
    operation = salon.withdraw()
    assert operation.status == Status.PENDING
    salon.sweep(operation)
    assert (operation.status, salon.posts()) == (Status.FAILED, 0)
    assert "no longer tried" in operation.sentence


GATEWAY = answer_of(b"<html><h1>403 Forbidden</h1></html>", 403)


def test_a_gateways_page_to_the_post__is_a_doubt(salon: Salon) -> None:
    """Most likely not done, but nobody knows; and the user of the token is not blamed."""
    with RawServer(lambda method, *_: GATEWAY if method == "POST" else answer_of(EMPTY_VISIT)) as server:
        salon.configure(API_URL=server.url, SETTLE_SECONDS=90)
        operation = salon.withdraw()
    assert operation.status == Status.UNCONFIRMED
    assert "HTTP 403 without Altegio's own words" in operation.sentence


def test_a_gateways_page_to_the_look__is_tried_again(salon: Salon) -> None:
    with RawServer(lambda *_: GATEWAY) as server:
        salon.configure(API_URL=server.url, RETRY_DELAY=30)
        operation = salon.withdraw()
    assert (operation.status, operation.unanswered_at) == (Status.PENDING, None)
    assert "gateway" in operation.sentence


def test_500_with_a_reason__tells_the_reason(salon: Salon) -> None:
    """Altegio did answer."""
    salon.fail("status_500", path="POST", times=1)
    operation = salon.withdraw()
    assert operation.status == Status.UNCONFIRMED
    assert "An error occurred" in operation.sentence
    assert "did not answer" not in operation.sentence


def test_503_with_retry_after__is_honoured_too(salon: Salon) -> None:
    """Retry-After is not only for 429."""
    salon.fail("status_503", path="visit_details", times=1, retry_after=30)
    began, operation = timezone.now(), salon.withdraw()
    assert is_in_seconds(30, operation.next_attempt_at, began)


def test_backoff__grows_with_the_attempts_and_is_bounded(salon: Salon) -> None:
    """Full jitter below RETRY_DELAY doubled each time, never above RETRY_DELAY_MAX."""
    salon.configure(RETRY_DELAY=100, RETRY_DELAY_MAX=150, MAX_ATTEMPTS=0, RETRY_WINDOW=0)
    salon.fail("status_503", path="visit_details")
    began, operation = timezone.now(), salon.withdraw()
    for ceiling in (100, 150, 150):
        assert operation.next_attempt_at is not None
        assert began <= operation.next_attempt_at <= timezone.now() + datetime.timedelta(seconds=ceiling)
        began = timezone.now()
        salon.age(operation, 200)
        salon.sweep(operation)


def test_own_budget_used_up__uses_no_attempt_and_sends_nothing(salon: Salon) -> None:
    """What this site's own budget delays is nobody's failure."""
    salon.configure(REQUESTS_PER_MINUTE=2)
    assert salon.withdraw().status == Status.SUCCEEDED
    waiting = salon.withdraw()
    assert (waiting.status, waiting.attempt_count) == (Status.PENDING, 0)
    assert waiting.attempts.count() == 0
    assert len(salon.sandbox.requests) == 2


def test_deliver_past_the_window__gives_up_and_sends_nothing(salon: Salon) -> None:
    """A message may come long after its time, and no sweep before it."""
    salon.configure(RETRY_WINDOW=300)
    operation = salon.age(salon.later(), 301)
    delivery.deliver(operation.pk)
    operation.refresh_from_db()
    assert operation.status == Status.FAILED
    assert salon.sandbox.requests == []


@pytest.mark.parametrize(("fault", "told"), [("", "not_in_time"), ("status_503", "server_error")])
def test_out_of_time__says_what_it_waited_for(salon: Salon, fault: str, told: str) -> None:
    """The last failure, where there was one; else that nobody tried it."""
    salon.configure(RETRY_WINDOW=300)
    if fault:
        salon.fail(fault, path="visit_details", times=1)
    operation = salon.withdraw() if fault else salon.later()
    salon.age(operation, 301)
    salon.sweep(operation)
    assert operation.status == Status.FAILED
    assert told in operation.last_error


@pytest.mark.parametrize("why", [{"is_active": False}, {"refused_at": timezone.now()}])
def test_location_that_is_paused_or_switched_off__uses_up_no_time(salon: Salon, why: dict[str, Any]) -> None:
    """However long it takes, the operation goes on when its location does."""
    salon.configure(RETRY_WINDOW=300)
    operation = salon.later()
    Location.objects.filter(pk=salon.location.pk).update(**why)
    for _ in range(3):
        salon.age(operation, 301)
        salon.sweep(operation)
        assert (operation.status, operation.attempt_count) == (Status.PENDING, 0)
    Location.objects.filter(pk=salon.location.pk).update(is_active=True, refused_at=None)
    salon.sweep(operation)
    assert operation.status == Status.SUCCEEDED


# Whose requests they are


def deliver_in_a_batch(salon: Salon) -> LoyaltyOperation:
    visit = salon.visit()
    operation = services.request_in_batch(
        WITHDRAWAL, salon.location, batch=uuid.uuid4(), amount=100, **salon.where(visit)
    )
    services.deliver_now(operation.pk)
    operation.refresh_from_db()
    return operation


def swept(salon: Salon) -> LoyaltyOperation:
    operation = salon.later()
    salon.sweep(operation)
    return operation


def by_message(salon: Salon) -> LoyaltyOperation:
    operation = salon.later()
    delivery.deliver(operation.pk)
    operation.refresh_from_db()
    return operation


def on_the_page(salon: Salon) -> LoyaltyOperation:
    operation = salon.later()
    services.deliver_now(operation.pk)
    operation.refresh_from_db()
    return operation


def use_up_the_backlogs_share(salon: Salon) -> None:
    """Four of eight requests a minute: the others are the pages' and the desk's."""
    salon.configure(REQUESTS_PER_MINUTE=8)
    for _ in range(2):
        assert swept(salon).status == Status.SUCCEEDED


@pytest.mark.parametrize("ask", [swept, by_message, deliver_in_a_batch])
def test_where_nobody_waits__the_desks_share_is_left_alone(
    salon: Salon, ask: Callable[[Salon], LoyaltyOperation]
) -> None:
    """A sweep, a message, and each of a hundred in a batch."""
    use_up_the_backlogs_share(salon)
    assert (ask(salon).status, salon.posts()) == (Status.PENDING, 2)


@pytest.mark.parametrize("ask", [Salon.withdraw, on_the_page])
def test_where_a_person_waits__the_desks_share_is_used(
    salon: Salon, ask: Callable[[Salon], LoyaltyOperation]
) -> None:
    """Whoever asks with deliver="now", and whoever takes a step from the page."""
    use_up_the_backlogs_share(salon)
    assert ask(salon).status == Status.SUCCEEDED


def test_own_budget_used_up_by_the_backlog__holds_back_nobody_at_the_desk(salon: Salon) -> None:
    """That the backlog must wait is no limit of Altegio's, and blocks no other request of the site."""
    use_up_the_backlogs_share(salon)
    assert swept(salon).status == Status.PENDING
    assert RequestBudget.objects.get().blocked_until is None
    assert salon.withdraw().status == Status.SUCCEEDED


def test_retry_after__holds_back_the_whole_site_for_so_long(salon: Salon) -> None:
    """Neither the minute that is assumed without one, nor only the location that met it."""
    other = salon.add_location("Second Street")
    salon.configure(REQUESTS_PER_MINUTE=200)
    salon.fail("rate_limited", path="visit_details", times=1, retry_after=600)
    began = timezone.now()
    salon.withdraw()
    assert is_in_seconds(600, RequestBudget.objects.get().blocked_until, began)
    requests = len(salon.sandbox.requests)
    waiting = salon.withdraw(salon.visit(location=other))
    assert (waiting.status, len(salon.sandbox.requests)) == (Status.PENDING, requests)
