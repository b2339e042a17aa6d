"""The inbox: one number everywhere, what goes on by itself and until when, and a question before a retry of many."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from altegio_loyalty.admin.log.deciding import MOST_SHOWN
from altegio_loyalty.models import Location, LocationAccess, LoyaltyOperation, OperationAttempt, Visit
from tests.admin.test_operations import LIST, Log, fresh, page_of, press, said

pytestmark = pytest.mark.django_db

Status = LoyaltyOperation.Status
SIGNED_IN = Callable[..., Client]
INBOX = "admin:altegio_loyalty_loyaltyoperation_inbox"
OVERVIEW = "admin:altegio_loyalty_loyaltyoperation_overview"
MINUTE = datetime.timedelta(minutes=1)


@pytest.fixture
def log(db: None) -> Log:
    return Log()


@pytest.fixture
def boss(sign_in: SIGNED_IN) -> Client:
    return sign_in("view_loyaltyoperation", "view_visit", "resolve_operation", username="boss")


def inbox(browser: Client) -> Any:
    answer = browser.get(reverse(INBOX))
    assert answer.status_code == 200
    return answer


def words(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


def some_of_each(log: Log) -> None:
    """Three that need a person, and four that do not."""
    log.add(Status.FAILED)
    log.add(Status.SUCCEEDED, discrepancy="The visit shows 130 points.")
    stuck = log.add(Status.UNCONFIRMED, created_at=timezone.now() - datetime.timedelta(days=1))
    OperationAttempt.objects.create(operation=stuck, purpose="look_up", outcome="refused", http_status=404)
    log.add(Status.UNCONFIRMED)
    log.add(Status.PENDING)
    log.add(Status.SUCCEEDED)
    log.add(Status.FAILED, closed_at=timezone.now())


def test_every_screen_shows_the_same_number(log: Log, boss: Client) -> None:
    some_of_each(log)
    assert inbox(boss).context["queue"]["needing"] == len(inbox(boss).context["rows"]) == 3
    assert boss.get(reverse(LIST), {"attention": "needed"}).context["cl"].result_count == 3
    (call,) = boss.get(reverse(OVERVIEW)).context["calls"]
    assert (call["count"], call["url"]) == (3, reverse(INBOX))
    for menu in (reverse("admin:index"), reverse("admin:app_list", args=["altegio_loyalty"])):
        assert "Needs a person: 3<" in words(boss.get(menu))
        assert "; waiting: 1; in doubt: 2." in words(boss.get(menu))
    assert LoyaltyOperation.objects.needing_attention().count() == 3


def test_the_index_tells_of_the_queue_in_one_query__to_those_who_may_see_it(
    log: Log, boss: Client, sign_in: Any
) -> None:
    some_of_each(log)
    for person, told in ((boss, True), (sign_in("view_visit", username="visits"), False)):
        with CaptureQueriesContext(connection) as queries:
            page = words(person.get(reverse("admin:index")))
        assert ("Needs a person" in page) == told
        assert sum('"needing"' in query["sql"].replace("`", '"') for query in queries) == told


def test_each_thing_says_what_the_app_still_does_and_what_a_person_can_do(log: Log, boss: Client) -> None:
    some_of_each(log)
    html = words(inbox(boss))
    for text in (
        "Nothing more: it is no longer tried.",
        "Try it again if the client still wants it; or close it.",
        "The mark goes as soon as a reading of the visit agrees with the log.",
        "The visit shows 130 points.",
        "It is looked up again at",
        "Look in Altegio's own screen, and say whether it happened.",
    ):
        assert text in html, text


def test_a_doubt_of_a_paused_location_is_not_said_to_be_looked_up(log: Log, boss: Client) -> None:
    log.add(Status.UNCONFIRMED)
    Location.objects.update(refused_at=timezone.now(), refused_reason="The password was changed.")
    html = words(inbox(boss))
    assert "Nothing while its location does not work; then it is looked up again." in html
    assert "looked up again at" not in html
    assert "The password was changed." in html


def test_what_must_not_be_repeated_is_looked_at_again_and_not_retried(log: Log, boss: Client) -> None:
    doubt = log.add(Status.UNCONFIRMED, created_at=timezone.now() - datetime.timedelta(days=1))
    OperationAttempt.objects.create(operation=doubt, purpose="look_up", outcome="refused", http_status=404)
    for html in (words(inbox(boss)), words(boss.get(page_of(doubt)))):
        assert "do not repeat it" in html
        assert ">Look again now<" in html
        assert "Retry now" not in html
    LoyaltyOperation.objects.update(status=Status.FAILED)
    assert ">Retry now<" in words(inbox(boss))


def test_nothing_is_offered_for_what_only_a_newer_release_knows(log: Log, boss: Client) -> None:
    log.add(Status.PENDING, kind="of_a_newer_release")
    answer = inbox(boss)
    assert "until the release that knows it is installed again" in words(answer)
    assert answer.context["rows"][0]["decisions"] == []


def test_a_decision_of_the_inbox_leads_back_to_it(log: Log, boss: Client) -> None:
    operation = log.add(Status.FAILED)
    answer = press(boss, "close", operation, reason="Looked into.", back="inbox")
    assert (answer.status_code, answer.url) == (302, reverse(INBOX))
    assert inbox(boss).context["rows"] == []
    assert "Nothing needs a person at the moment." in words(inbox(boss))


def test_who_may_not_decide_sees_no_button(log: Log, sign_in: SIGNED_IN) -> None:
    log.add(Status.FAILED)
    assert 'name="decision"' not in words(inbox(sign_in("view_loyaltyoperation")))


def test_only_what_the_person_may_see_is_in_it(log: Log, boss: Client) -> None:
    log.add(Status.FAILED)
    other = Location.objects.create(id=7, title="Harbour", refused_at=timezone.now())
    LocationAccess.objects.create(location=other, user=get_user_model().objects.get(username="boss"))
    answer = inbox(boss)
    assert (answer.context["queue"]["needing"], answer.context["rows"]) == (0, [])
    assert "Harbour" in words(answer)
    LocationAccess.objects.update(location=log.location)
    assert inbox(boss).context["queue"]["needing"] == 1
    assert "Harbour" not in words(inbox(boss))


def test_the_queue_says_how_many_are_given_up_and_when(log: Log, boss: Client) -> None:
    now = timezone.now()
    for minutes in (5, 8, 60):
        log.add(Status.PENDING, expires_at=now + minutes * MINUTE)
    log.add(Status.UNCONFIRMED, expires_at=now + MINUTE)
    queue = inbox(boss).context["queue"]
    assert (queue["waiting"], queue["in_doubt"], queue["ending"], queue["ending_soon"]) == (3, 1, 3, 2)
    assert (queue["first_end"], queue["last_end"]) == (now + 5 * MINUTE, now + 60 * MINUTE)
    Location.objects.update(refused_at=now)
    queue = inbox(boss).context["queue"]
    assert (queue["waiting"], queue["ending"]) == (0, 0), "no time of a paused location runs out"


def test_what_waits_for_a_location_that_is_switched_off_is_not_said_to_go_on(log: Log, boss: Client) -> None:
    """It stands among the locations whose operations wait."""
    harbour = Location.objects.create(id=7, title="Harbour", is_active=False)
    Location.objects.create(id=8, title="Idle", is_active=False)
    log.add(Status.PENDING, location=harbour, created_at=timezone.now() - datetime.timedelta(days=3))
    answer = inbox(boss)
    assert (answer.context["queue"]["waiting"], answer.context["queue"]["oldest"]) == (0, None)
    assert [location.title for location in answer.context["off"]] == ["Harbour"]
    html = words(answer)
    assert "Switched-off locations" in html
    assert "Nothing waits." not in html
    assert "Idle" not in html


def test_a_mark_for_too_many_points_is_not_said_to_go_by_itself(log: Log, boss: Client) -> None:
    log.add(Status.SUCCEEDED, applied_amount=Decimal(150), discrepancy="150 were taken.")
    html = words(inbox(boss))
    assert "The mark stays until a person closes it." in html
    assert "The mark goes as soon as" not in html


def test_it_is_under_10_queries_whatever_the_size(
    log: Log, boss: Client, django_assert_max_num_queries: Any
) -> None:
    for _ in range(MOST_SHOWN + 10):
        log.add(Status.FAILED)
    Location.objects.create(id=7, title="Harbour", refused_at=timezone.now())
    with django_assert_max_num_queries(9):
        answer = inbox(boss)
    assert (len(answer.context["rows"]), answer.context["queue"]["needing"]) == (MOST_SHOWN, MOST_SHOWN + 10)
    assert f"Only {MOST_SHOWN} are shown here." in words(answer)


# A retry of many


def select(browser: Client, *operations: LoyaltyOperation) -> Any:
    chosen = {"action": "retry", "_selected_action": [operation.pk for operation in operations]}
    return browser.post(reverse(LIST), chosen)


def ticked(answer: Any) -> list[int]:
    return [row["operation"].pk for row in answer.context["fitting"] if not row["age"]]


def test_a_retry_of_a_selection_changes_nothing_before_it_was_asked_about(log: Log, boss: Client) -> None:
    operation = log.add(Status.FAILED)
    answer = select(boss, operation)
    assert answer.status_code == 200
    assert fresh(operation).status == Status.FAILED
    assert said(press(boss, "retry", operation)) == ["1 will be tried again now."]


def test_the_question_says_how_many_points_how_old_and_whose_visit_is_over(log: Log, boss: Client) -> None:
    old = timezone.now() - datetime.timedelta(days=2)
    over = Visit.objects.create(
        id=101, location=log.location, record_id=201, client_name="Ann", starts_at=old
    )
    rows = [
        log.add(Status.FAILED, created_at=old, visit=over, amount=Decimal("12.50")),
        log.add(Status.FAILED),
        log.add(Status.SUCCEEDED),
    ]
    html = words(select(boss, *rows))
    for text in (
        "2 operations can be tried again, 112.50 points",
        "The oldest was asked for 2 days ago",
        "The visit of 1 of them is over.",
        "Will be skipped: it is already done.",
    ):
        assert text in html, text


def test_what_is_old_is_not_ticked(log: Log, boss: Client) -> None:
    now = timezone.now()
    over = Visit.objects.create(
        id=101, location=log.location, record_id=201, starts_at=now - datetime.timedelta(days=2)
    )
    fresh_one = log.add(Status.FAILED)
    late, of_yesterday = (
        log.add(Status.FAILED, created_at=now - 31 * MINUTE),
        log.add(Status.FAILED, visit=over),
    )
    answer = select(boss, late, of_yesterday, fresh_one)
    assert ticked(answer) == [fresh_one.pk]
    assert answer.content.decode().count(" checked>") == 1


def test_a_retry_of_which_nothing_was_ticked_says_so(log: Log, boss: Client) -> None:
    operation = log.add(Status.FAILED)
    assert said(press(boss, "retry")) == ["Nothing was chosen, so nothing was done."]
    assert fresh(operation).status == Status.FAILED


def test_a_retry_of_nothing_that_fits_asks_nothing(log: Log, boss: Client) -> None:
    assert said(select(boss, log.add(Status.SUCCEEDED))) == ["1 skipped: it is already done."]


def test_what_became_odd_since_the_question_was_shown_is_not_closed(log: Log, boss: Client) -> None:
    operation = log.add(Status.SUCCEEDED, discrepancy="The visit shows 130 points.")
    asked = {"decision": "close", "operation": operation.pk}
    url = reverse("admin:altegio_loyalty_loyaltyoperation_decide")
    shown = words(boss.post(url, asked))
    assert f'name="seen-{operation.pk}" value="The visit shows 130 points."' in shown
    LoyaltyOperation.objects.update(discrepancy="The visit shows 150 points.")
    given = {**asked, "reason": "Agreed.", f"seen-{operation.pk}": "The visit shows 130 points."}
    assert "it changed meanwhile" in words(boss.post(url, given, follow=True))
    assert LoyaltyOperation.objects.get().closed_at is None
