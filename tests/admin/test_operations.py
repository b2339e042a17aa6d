"""The log in the admin: nobody edits it, and what a person decides is allowed, asked for, counted and written down."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.contrib import messages
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.messages import get_messages
from django.db import connections
from django.db.models.signals import post_init
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from altegio_loyalty.admin.log.deciding import MOST_AT_ONCE
from altegio_loyalty.admin.log.operations import _MOMENTS
from altegio_loyalty.admin.looks import look_of, status_badge
from altegio_loyalty.admin.pages import BoundedPaginator
from altegio_loyalty.models import Location, LoyaltyOperation, OperationAttempt, Visit
from altegio_loyalty.reasons import Reason
from tests.delivery.salon import REFUSED, Salon

pytestmark = pytest.mark.django_db

Kind, Status, Ending = LoyaltyOperation.Kind, LoyaltyOperation.Status, LoyaltyOperation.Ending
LIST = "admin:altegio_loyalty_loyaltyoperation_changelist"
SIGNED_IN = Callable[..., Client]


class Log:
    """Writes operations as they would be after things went this way or that."""

    def __init__(self) -> None:
        self.location = Location.objects.create(
            id=4564, title="Main Street", partner_token="p", user_token="u"
        )
        self.visit = Visit.objects.create(
            id=100, location=self.location, record_id=200, client_name="Jane Doe", client_phone="+13155550175"
        )

    def add(self, status: str, **columns: Any) -> LoyaltyOperation:
        number = LoyaltyOperation.objects.count() + 1
        is_open = status in (Status.PENDING, Status.SENDING, Status.UNCONFIRMED)
        defaults: dict[str, Any] = {
            "kind": Kind.APPLY_CARD_WITHDRAWAL, "location": self.location, "visit": self.visit, "record_id": 200,
            "card_id": 9000 + number, "amount": Decimal(100), "status": status, "idempotency_key": f"key-{number}",
            "open_key": f"100:{9000 + number}" if is_open else None,
            "next_attempt_at": timezone.now() + datetime.timedelta(minutes=5) if is_open else None,
            "finished_at": None if is_open else columns.get("created_at", timezone.now()),
            "last_error": "" if status == Status.SUCCEEDED else "It went wrong.",
            "sent_at": timezone.now() if status == Status.UNCONFIRMED else None,
        }  # fmt: skip
        return LoyaltyOperation.objects.create(**{**defaults, **columns})


@pytest.fixture
def log(request: pytest.FixtureRequest) -> Log:
    wants_commits = any(m.kwargs.get("transaction") for m in request.node.iter_markers("django_db"))
    request.getfixturevalue("transactional_db" if wants_commits else "db")
    return Log()


@pytest.fixture
def boss(sign_in: SIGNED_IN) -> Client:
    return sign_in("view_loyaltyoperation", "view_visit", "resolve_operation")


def page_of(operation: LoyaltyOperation) -> str:
    return reverse("admin:altegio_loyalty_loyaltyoperation_change", args=[operation.pk])


def press(browser: Client, decision: str, *operations: LoyaltyOperation, **fields: Any) -> Any:
    """Press the button of a page, or send the confirmation page's form."""
    url = reverse("admin:altegio_loyalty_loyaltyoperation_decide")
    return browser.post(url, {"decision": decision, "operation": [o.pk for o in operations], **fields})


def choose(
    browser: Client, decision: str, *operations: LoyaltyOperation, query: str = "", **fields: Any
) -> Any:
    """Run the action of the list on these rows, and tick all of those that a retry asks about."""
    chosen = {"action": decision, "_selected_action": [o.pk for o in operations], **fields}
    answer = browser.post(reverse(LIST) + query, chosen)
    if decision == "retry" and answer.status_code == 200 and "fitting" in answer.context:
        rows = answer.context["rows"]
        return press(browser, decision, *(row["operation"] for row in rows), **fields)
    return answer


def said(response: Any) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


def fresh(operation: LoyaltyOperation) -> LoyaltyOperation:
    return LoyaltyOperation.objects.get(pk=operation.pk)


# Read-only


def test_not_even_a_superuser_adds_changes_or_deletes(sign_in: SIGNED_IN, log: Log) -> None:
    root, operation = sign_in("*"), log.add(Status.SUCCEEDED)
    before = LoyaltyOperation.objects.values().get()
    name = "admin:altegio_loyalty_loyaltyoperation_"
    assert root.post(reverse(name + "add"), {"amount": "1"}).status_code == 403
    assert root.post(page_of(operation), {"amount": "1"}).status_code == 403
    assert root.post(reverse(name + "delete", args=[operation.pk]), {"post": "yes"}).status_code == 403
    root.post(reverse(LIST), {"action": "delete_selected", "_selected_action": [operation.pk], "post": "yes"})
    assert LoyaltyOperation.objects.values().get() == before


def test_the_page_has_the_sentence_the_facts_and_the_attempts(boss: Client, log: Log) -> None:
    operation = log.add(Status.UNCONFIRMED, discrepancy="The visit shows 130 points.")
    operation.attempts.create(
        purpose="send", outcome="unknown", http_status=502, duration_ms=1234, error="Bad <gateway>"
    )
    html = boss.get(page_of(operation)).content.decode()
    for words in (
        "Altegio did not answer; we are checking, do not repeat it.", "in doubt" if not operation.discrepancy else
        "to be looked at", "The visit shows 130 points.", "Jane Doe", "key-1", "Bad &lt;gateway&gt;", "1234 ms", "502",
        "withdraw points",
    ):  # fmt: skip
        assert words in html
    assert "+13155550175" not in html


@pytest.mark.parametrize(
    ("code", "http", "said", "told"),
    [
        ("not_shown", "200", "Карта не найдена", ["does not show the visit", "Карта не найдена"]),
        ("server_error", "500", "An error occurred", ["an error of its own", "An error occurred"]),
        ("server_error", "301", "HTTP 301", ["API_URL"]),
    ],
)
def test_a_doubt_after_an_answer_tells_the_answer(
    boss: Client, log: Log, code: str, http: str, said: str, told: list[str]
) -> None:
    """And not that there was none."""
    operation = log.add(Status.UNCONFIRMED, last_error=Reason(code, {"http": http}, said=said).stored())
    html = boss.get(page_of(operation)).content.decode()
    for words in (*told, "we are checking, do not repeat it"):
        assert words in html
    assert "did not answer" not in html


def test_the_headings_are_right_in_a_language_with_cases(boss: Client, log: Log) -> None:
    """Django's own put the name of the model into a sentence as it is, which only English forgives."""
    operation = log.add(Status.SUCCEEDED)
    boss.cookies["django_language"] = "ru"
    assert "<h1>Операции лояльности</h1>" in boss.get(reverse(LIST)).content.decode()
    assert "<h1>Операция лояльности</h1>" in boss.get(page_of(operation)).content.decode()


def test_what_went_wrong_is_told_in_the_persons_language(boss: Client, log: Log) -> None:
    """On the page, with its attempts, in the export: what the log keeps in English is only its own affair."""
    operation = log.add(
        Status.FAILED,
        last_error="Altegio did not answer.",
        discrepancy="The visit shows 30 from this card, the log explains 20.",
    )
    operation.attempts.create(purpose="send", outcome="unknown", error="Altegio did not answer. ReadTimeout")
    boss.cookies["django_language"] = "ru"
    page = boss.get(page_of(operation)).content.decode()
    export: Any = boss.get(reverse("admin:altegio_loyalty_loyaltyoperation_export"))
    for text in (page, b"".join(export.streaming_content).decode()):
        assert "did not answer" not in text
        assert "Altegio не ответил." in text
        assert "В визите списано с этой карты 30, по журналу должно быть 20." in text
    assert "Altegio не ответил. ReadTimeout" in page


def test_the_page_leads_to_the_visit_and_to_what_it_cancels(
    boss: Client, sign_in: SIGNED_IN, log: Log
) -> None:
    first = log.add(Status.SUCCEEDED)
    cancel = log.add(Status.SUCCEEDED, kind=Kind.CANCEL_CARD_WITHDRAWAL, amount=None, cancels=first)
    visit = reverse("admin:altegio_loyalty_visit_change", args=[log.visit.pk])
    html = boss.get(page_of(cancel)).content.decode()
    assert f'href="{visit}"' in html
    assert f'href="{page_of(first)}"' in html
    assert f'href="{page_of(cancel)}"' in boss.get(page_of(first)).content.decode()
    html = sign_in("view_loyaltyoperation").get(page_of(cancel)).content.decode()
    assert f'href="{visit}"' not in html
    assert "Jane Doe" in html


def test_who_may_see_the_operation_sees_its_attempts_without_another_permission(
    sign_in: SIGNED_IN, log: Log
) -> None:
    operation = log.add(Status.REJECTED)
    operation.attempts.create(purpose="send", outcome="refused", error="Card is blocked")
    assert "Card is blocked" in sign_in("view_loyaltyoperation").get(page_of(operation)).content.decode()
    assert sign_in("view_visit").get(page_of(operation)).status_code == 403


# Permissions

OWN = "apply_card_withdrawal"
OTHER = "apply_discount_program"
MATRIX = [
    # permission, decision, allowed
    ("resolve_operation", "retry", True),
    ("resolve_operation", "stop", True),
    ("resolve_operation", "happened", True),
    ("resolve_operation", "did_not_happen", True),
    (OWN, "retry", True),
    (OWN, "stop", True),
    (OWN, "happened", False),
    (OWN, "did_not_happen", False),
    (OTHER, "retry", False),
    (OTHER, "stop", False),
    ("view_visit", "retry", False),
    ("view_visit", "stop", False),
    ("view_visit", "happened", False),
    ("view_visit", "did_not_happen", False),
]
BUTTONS = {
    "retry": "Retry now",
    "stop": "Stop trying",
    "happened": "It happened",
    "did_not_happen": "It did not happen",
}


@pytest.mark.parametrize(("permission", "decision", "allowed"), MATRIX)
def test_the_button_and_the_forged_post_follow_the_permission(
    sign_in: SIGNED_IN, log: Log, permission: str, decision: str, allowed: bool
) -> None:
    browser, operation = sign_in("view_loyaltyoperation", permission), log.add(Status.UNCONFIRMED)
    before = LoyaltyOperation.objects.values().get()
    has_button = f'value="{decision}"' in browser.get(page_of(operation)).content.decode()
    answer = press(browser, decision, operation, reason="I saw it")
    assert has_button is allowed
    assert answer.status_code == (302 if allowed else 403)
    assert (LoyaltyOperation.objects.values().get() != before) is allowed
    assert LogEntry.objects.exists() is allowed


@pytest.mark.parametrize(("permission", "decision", "allowed"), MATRIX)
def test_the_action_of_the_list_follows_the_permission(
    sign_in: SIGNED_IN, log: Log, permission: str, decision: str, allowed: bool
) -> None:
    browser, operation = sign_in("view_loyaltyoperation", permission), log.add(Status.UNCONFIRMED)
    before = LoyaltyOperation.objects.values().get()
    choose(browser, decision, operation, reason="I saw it")
    assert (LoyaltyOperation.objects.values().get() != before) is allowed
    if permission != OTHER:  # who may retry one kind sees the action, which then skips the others
        offered = f'<option value="{decision}">' in browser.get(reverse(LIST)).content.decode()
        assert offered is allowed


def test_rows_of_a_kind_that_the_person_may_not_decide_about_are_skipped(
    sign_in: SIGNED_IN, log: Log
) -> None:
    browser = sign_in("view_loyaltyoperation", OWN)
    own, other = log.add(Status.FAILED), log.add(Status.FAILED, kind=Kind.CANCEL_CARD_WITHDRAWAL)
    answer = choose(browser, "retry", own, other)
    assert said(answer) == [
        "1 will be tried again now, 1 skipped: you may not decide about this kind of operation."
    ]
    assert (fresh(own).status, fresh(other).status) == (Status.PENDING, Status.FAILED)


def test_deciding_needs_the_permission_to_see_the_log(sign_in: SIGNED_IN, log: Log) -> None:
    operation = log.add(Status.FAILED)
    assert press(sign_in("resolve_operation"), "retry", operation).status_code == 403
    assert "/login/" in press(Client(), "retry", operation).url
    assert fresh(operation).status == Status.FAILED


def test_get_decides_nothing(boss: Client, log: Log) -> None:
    operation = log.add(Status.FAILED)
    url = reverse("admin:altegio_loyalty_loyaltyoperation_decide")
    assert boss.get(url, {"decision": "retry", "operation": str(operation.pk)}).status_code == 405
    boss.get(reverse(LIST), {"action": "retry", "_selected_action": str(operation.pk)})
    assert fresh(operation).status == Status.FAILED


def test_without_the_csrf_token_nothing_is_decided(sign_in: SIGNED_IN, log: Log) -> None:
    strict, operation = Client(enforce_csrf_checks=True), log.add(Status.FAILED)
    strict.cookies = sign_in("*").cookies
    assert press(strict, "retry", operation).status_code == 403
    assert choose(strict, "retry", operation).status_code == 403
    assert fresh(operation).status == Status.FAILED


@pytest.mark.parametrize(
    "fields",
    [
        {"decision": "nonsense", "operation": "1"},
        {"decision": "retry", "operation": "abc"},
        {"decision": "retry", "operation": "9" * 30},
        {"decision": "retry", "operation": "\x00"},
        {"decision": "happened", "operation": "-1", "reason": "x"},
    ],
)
def test_a_senseless_decision_is_a_bad_request(boss: Client, log: Log, fields: dict[str, str]) -> None:
    log.add(Status.FAILED)
    assert boss.post(reverse("admin:altegio_loyalty_loyaltyoperation_decide"), fields).status_code == 400
    if fields["decision"] in BUTTONS:
        chosen = {"action": fields["decision"], "_selected_action": fields["operation"]}
        assert boss.post(reverse(LIST), chosen).status_code == 400


# What happened, in order


def test_the_attempts_begin_with_who_asked_and_name_each_request(boss: Client, log: Log) -> None:
    operation = log.add(Status.SUCCEEDED, requested_by_login="ann", idempotency_key="order-7")
    sent = {"method": "POST", "path": "/visit/loyalty/apply_card_withdrawal/4564/9001"}
    operation.attempts.create(purpose="send", outcome="ok", answer='{"success":true}', **sent)
    html = " ".join(boss.get(page_of(operation)).content.decode().split())
    asked, request = html.index("asked (ann)"), html.index("POST /visit/loyalty/apply_card_withdrawal")
    assert asked < html.index("Key order-7.") < request
    assert "&quot;success&quot;: true" in html[request:]


def test_each_moment_of_an_operation_has_seconds_and_a_zone(boss: Client, log: Log) -> None:
    Location.objects.update(time_zone="Asia/Vladivostok")
    at = datetime.datetime(2026, 3, 1, 12, 0, 5, tzinfo=datetime.UTC)
    operation = log.add(Status.SUCCEEDED, created_at=at, sent_at=at, unanswered_at=at, expires_at=at)
    operation.attempts.create(purpose="look", outcome="ok", started_at=at)
    html = boss.get(page_of(operation)).content.decode()
    assert html.count("22:00:05 Asia/Vladivostok") == 3 + len(_MOMENTS)  # and asked, look, signal
    assert "Times in" not in html


# Closing


@pytest.mark.parametrize(
    ("permission", "allowed"), [("resolve_operation", True), (OWN, False), ("view_visit", False)]
)
def test_closing_follows_the_permission(sign_in: SIGNED_IN, log: Log, permission: str, allowed: bool) -> None:
    browser, operation = sign_in("view_loyaltyoperation", permission), log.add(Status.FAILED)
    assert ('value="close"' in browser.get(page_of(operation)).content.decode()) is allowed
    answer = press(browser, "close", operation, reason="The client came back.")
    assert answer.status_code == (302 if allowed else 403)
    assert (fresh(operation).closed_at is not None) is allowed
    assert LogEntry.objects.exists() is allowed


def test_closing_asks_why(boss: Client, log: Log) -> None:
    operation = log.add(Status.FAILED)
    html = press(boss, "close", operation).content.decode()
    assert "Why can it be closed?" in html
    assert fresh(operation).closed_at is None


def test_closing_many_skips_what_needs_nobody(boss: Client, log: Log) -> None:
    failed, odd = log.add(Status.FAILED), log.add(Status.SUCCEEDED, discrepancy="130 instead of 100")
    done = log.add(Status.SUCCEEDED)
    answer = choose(boss, "close", failed, odd, done, reason="Looked into.")
    assert said(answer) == ["2 are closed, 1 skipped: nothing of it is to be closed."]
    assert "130 instead of 100" not in boss.get(page_of(odd)).content.decode()


# Decisions


def test_retry_counts_what_is_tried_again_and_what_is_skipped_and_why(boss: Client, log: Log) -> None:
    operations = [
        log.add(status)
        for status in (
            Status.FAILED, Status.PENDING, Status.UNCONFIRMED, Status.SUCCEEDED, Status.REJECTED, Status.ABANDONED,
            Status.SENDING,
        )
    ]  # fmt: skip
    answer = choose(boss, "retry", *operations)
    assert said(answer) == [
        (
            "2 will be tried again now, 1 will be looked up now, 1 skipped: it is already done, "
            "1 skipped: Altegio refused it, 1 skipped: it is already stopped, 1 skipped: it is being sent right now."
        )
    ]
    assert [message.level for message in get_messages(answer.wsgi_request)] == [messages.WARNING]
    assert fresh(operations[0]).status == Status.PENDING
    due_at = fresh(operations[1]).next_attempt_at
    assert due_at is not None
    assert due_at <= timezone.now()


def test_retry_says_when_a_paused_location_holds_it_up(boss: Client, log: Log) -> None:
    Location.objects.update(refused_at=timezone.now())
    assert said(press(boss, "retry", log.add(Status.FAILED))) == [
        "1 will be tried again when its location works."
    ]


def test_retry_says_when_a_late_answer_must_be_ruled_out_first(boss: Client, log: Log, settings: Any) -> None:
    settings.ALTEGIO_LOYALTY = {**settings.ALTEGIO_LOYALTY, "SETTLE_SECONDS": 120}
    answer = press(boss, "retry", log.add(Status.FAILED, unanswered_at=timezone.now()))
    assert said(answer) == ["1 will be tried again as soon as a late answer is ruled out."]


def test_retry_is_skipped_while_another_operation_holds_the_visit_and_card(boss: Client, log: Log) -> None:
    failed = log.add(Status.FAILED, card_id=7)
    log.add(Status.PENDING, card_id=7, open_key="100:7")
    assert said(press(boss, "retry", failed)) == [
        "1 skipped: another operation on its visit and card is not finished."
    ]
    assert not LogEntry.objects.exists()


def test_stop_abandons_what_waits_and_keeps_looking_up_what_is_in_doubt(boss: Client, log: Log) -> None:
    waiting, doubted, done = log.add(Status.PENDING), log.add(Status.UNCONFIRMED), log.add(Status.SUCCEEDED)
    answer = choose(boss, "stop", waiting, doubted, done)
    assert said(answer) == [
        "1 is stopped, 1 will not be sent again, only looked up, 1 skipped: it is already done."
    ]
    assert fresh(waiting).status == Status.ABANDONED
    assert (fresh(doubted).status, fresh(doubted).is_stopping) == (Status.UNCONFIRMED, True)
    assert said(press(boss, "stop", doubted))[-1] == "1 skipped: it is being stopped already."


@pytest.mark.parametrize(
    ("decision", "status"), [("happened", Status.SUCCEEDED), ("did_not_happen", Status.FAILED)]
)
def test_a_decision_on_a_doubt_asks_for_a_reason_first_and_then_settles(
    boss: Client, log: Log, decision: str, status: str
) -> None:
    operation = log.add(Status.UNCONFIRMED)
    page = press(boss, decision, operation, back="page")
    html = page.content.decode()
    assert page.status_code == 200
    assert "Jane Doe" in html
    assert "do not repeat it" in html
    assert fresh(operation).status == Status.UNCONFIRMED
    answer = press(boss, decision, operation, back="page", reason="Altegio shows it")
    assert (answer.status_code, answer.url) == (302, page_of(operation))
    assert fresh(operation).status == status
    kept = OperationAttempt.objects.get()
    assert (kept.purpose, kept.error) == ("decision", "Altegio shows it")
    assert kept.made_by is not None
    assert "Altegio shows it" in LogEntry.objects.get().change_message


def test_a_word_that_it_did_not_happen__says_until_when_the_card_stays_taken(boss: Client, log: Log) -> None:
    """While its call may still arrive, and not for a word that it happened."""
    young = log.add(Status.UNCONFIRMED, unanswered_at=timezone.now())
    old = log.add(Status.UNCONFIRMED, unanswered_at=timezone.now() - datetime.timedelta(hours=1))
    asked = [press(boss, *what).content.decode() for what in (
        ("did_not_happen", young), ("did_not_happen", old), ("happened", young),
    )]  # fmt: skip
    assert ["Its call may still arrive: until" in html for html in asked] == [True, False, False]


@pytest.mark.parametrize("reason", ["", "   ", "\x00", "x" * 401])
def test_a_decision_without_a_usable_reason_settles_nothing(boss: Client, log: Log, reason: str) -> None:
    operation = log.add(Status.UNCONFIRMED)
    answer = press(boss, "happened", operation, reason=reason)
    assert answer.status_code == 200
    assert "errorlist" in answer.content.decode()
    assert fresh(operation).status == Status.UNCONFIRMED


def test_the_list_asks_for_a_reason_too_and_says_which_rows_it_will_skip(boss: Client, log: Log) -> None:
    doubted, done = log.add(Status.UNCONFIRMED), log.add(Status.SUCCEEDED)
    html = choose(
        boss, "happened", doubted, done, query="?kind__exact=apply_card_withdrawal"
    ).content.decode()
    assert "Will be skipped: it is already done." in html
    assert "_changelist_filters=kind__exact" in html
    answer = press(boss, "happened", doubted, done, reason="I saw it")
    assert said(answer) == ["1 is closed as done, 1 skipped: it is already done."]


def test_who_was_signed_out_at_the_click__is_told_so_and_comes_to_the_list(log: Log) -> None:
    """And not to an empty page that takes nothing but a form."""
    get_user_model().objects.create_superuser("boss", password="x")
    browser, operation = Client(), log.add(Status.UNCONFIRMED)
    login = press(browser, "happened", operation, reason="I looked.")
    assert "You were signed out, so nothing was done." in browser.get(login.url).content.decode()
    there = browser.post(login.url, {"username": "boss", "password": "x"}, follow=True)
    assert there.redirect_chain == [(reverse(LIST), 302)]
    assert fresh(operation).status == Status.UNCONFIRMED


@pytest.mark.parametrize("name", ["loyaltyoperation_change", "location_change", "location_changelist"])
def test_an_id_has_no_marks_of_thousands(sign_in: SIGNED_IN, log: Log, settings: Any, name: str) -> None:
    settings.USE_THOUSAND_SEPARATOR = True
    done = log.add(Status.SUCCEEDED, id=4564, record_id=4564, card_id=4564, program_id=4564)
    args = [done.pk] if name.endswith("_change") else []
    html = sign_in("*").get(reverse(f"admin:altegio_loyalty_{name}", args=args)).content.decode()
    assert "4564" in html
    assert "4,564" not in html


def test_a_decision_on_nothing_in_doubt_asks_nothing(boss: Client, log: Log) -> None:
    answer = press(boss, "happened", log.add(Status.PENDING))
    assert answer.status_code == 302
    assert said(answer) == ["1 skipped: it is not in doubt, it waits to be sent."]


def test_what_changed_since_the_page_was_shown_is_decided_on_as_it_is_now(boss: Client, log: Log) -> None:
    operation = log.add(Status.UNCONFIRMED)
    assert press(boss, "did_not_happen", operation).status_code == 200
    LoyaltyOperation.objects.update(status=Status.SUCCEEDED, open_key=None, next_attempt_at=None)
    assert said(press(boss, "did_not_happen", operation, reason="x")) == ["1 skipped: it is already done."]
    assert fresh(operation).status == Status.SUCCEEDED


@pytest.mark.parametrize("decision", ["happened", "did_not_happen"])
def test_a_word_about_a_call_says_nothing_of_one_that_was_made_since(
    boss: Client, log: Log, decision: str
) -> None:
    operation = log.add(Status.UNCONFIRMED, attempt_count=1)
    page = press(boss, decision, operation).content.decode()
    shown = dict(re.findall(r'name="(attempts-\d+)" value="([^"]*)"', page))
    LoyaltyOperation.objects.update(attempt_count=2, fence=3)
    told = said(press(boss, decision, operation, reason="I looked.", **shown))
    assert told == ["1 skipped: it changed meanwhile, look at it again."]
    assert fresh(operation).status == Status.UNCONFIRMED


def test_a_row_that_left_the_filtered_list_meanwhile_is_counted_all_the_same(boss: Client, log: Log) -> None:
    operation = log.add(Status.SUCCEEDED)
    answer = choose(boss, "retry", operation, query="?status__exact=failed")
    assert said(answer) == ["1 skipped: it is already done."]


def test_a_change_between_the_read_and_the_write_is_skipped(boss: Client, log: Log) -> None:
    operation = log.add(Status.PENDING)

    def overtake(instance: LoyaltyOperation, **kwargs: Any) -> None:
        LoyaltyOperation.objects.filter(fence=0).update(status=Status.SENDING, fence=1)

    post_init.connect(overtake, sender=LoyaltyOperation)
    try:
        answer = press(boss, "stop", operation)
    finally:
        post_init.disconnect(overtake, sender=LoyaltyOperation)
    assert said(answer) == ["1 skipped: it is being sent right now."]
    assert not LogEntry.objects.exists()


def test_an_operation_that_is_gone_is_counted_as_skipped(boss: Client, log: Log) -> None:
    answer = press(boss, "retry", log.add(Status.FAILED), LoyaltyOperation(pk=12345))
    assert said(answer) == ["1 will be tried again now, 1 skipped: it is not here any more."]


def test_all_rows_of_a_filter_can_be_chosen_up_to_a_limit(boss: Client, log: Log) -> None:
    operations = [log.add(Status.FAILED) for _ in range(3)]
    answer = choose(boss, "retry", operations[0], select_across="1")
    assert said(answer) == ["3 will be tried again now."]
    LoyaltyOperation.objects.bulk_create(
        LoyaltyOperation(
            kind=Kind.APPLY_CARD_WITHDRAWAL, location=log.location, visit=log.visit, record_id=200, card_id=n,
            status=Status.FAILED, idempotency_key=f"many-{n}",
        )
        for n in range(1, MOST_AT_ONCE + 1)
    )  # fmt: skip
    answer = choose(boss, "retry", operations[0], select_across="1")
    assert "at the most" in said(answer)[-1]
    assert LoyaltyOperation.objects.filter(status=Status.FAILED).count() == MOST_AT_ONCE


def test_a_retried_operation_is_finished_by_the_next_sweep(sign_in: SIGNED_IN, salon: Salon) -> None:
    browser = sign_in("view_loyaltyoperation", OWN)
    visit = salon.visit()
    salon.configure(MAX_ATTEMPTS=1)
    salon.fail(REFUSED)
    operation = salon.withdraw(visit)
    assert operation.status == Status.FAILED
    salon.heal()
    press(browser, "retry", operation)
    salon.sweep(operation)
    assert operation.status == Status.SUCCEEDED
    assert salon.ledger.withdrawn(visit.id, salon.card.id) == 100


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("way", ["page", "list"])
@pytest.mark.parametrize("decision", ["retry", "stop", "happened"])
def test_decisions_commit_on_their_own_on_a_site_with_atomic_requests(
    boss: Client, log: Log, monkeypatch: pytest.MonkeyPatch, way: str, decision: str
) -> None:
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)
    operation = log.add(Status.UNCONFIRMED)
    answer = (press if way == "page" else choose)(boss, decision, operation, reason="I saw it")
    assert "skipped" not in said(answer)[0]
    assert LogEntry.objects.count() == 1


# The list


@pytest.mark.parametrize(
    ("term", "found"),
    [
        ("100", True), ("200", True), ("9001", True), ("key-1", True), ("jane", True), ("Jane Doe", True), ("  100 ", True),
        ("#100", True), ("№ 9001", True),
        ("Doe", False), ("+13155550175", False), ("300", False), ("key", False), ("9" * 40, False),
        ("9" * 19, False), ("9" * 5000, False),
        ("\x00", None), ("'", False), ('"', False), ("%", False), ("_", False), ("\\", False), ("0", False), ("-1", False),
        ("٣", False), ("²", False), ("\u202e", False), ("' OR 1=1 --", False), ("", True),
    ],
)  # fmt: skip
def test_search_is_exact_on_numbers_and_by_the_beginning_of_a_name(
    boss: Client, log: Log, term: str, found: bool | None
) -> None:
    operation = log.add(Status.SUCCEEDED)
    answer = boss.get(reverse(LIST), {"q": term})
    assert answer.status_code == 200
    if found is not None:  # Django itself refuses a NUL and then shows everything
        assert (f'href="{page_of(operation)}' in answer.content.decode()) is found


@pytest.mark.parametrize(
    "query",
    [
        "status__exact=%00", "status__exact=nonsense", "kind__exact='", "visit=abc", "visit__client_phone__startswith=1",
        "location__partner_token__startswith=a", "last_error__icontains=x", "requested_by__password__startswith=a",
        "visit=" + "9" * 40,
        "visit=" + "9" * 19,
    ],
)  # fmt: skip
def test_a_lookup_that_no_filter_offers_is_refused(boss: Client, log: Log, query: str) -> None:
    log.add(Status.SUCCEEDED)
    assert boss.get(f"{reverse(LIST)}?{query}").status_code == 400


def test_locations_are_offered_as_a_filter__all_of_them_where_there_are_several(
    boss: Client, log: Log
) -> None:
    def offered() -> list[list[str]]:
        filters = boss.get(reverse(LIST)).context["cl"].filter_specs
        return [[title for _pk, title in each.lookup_choices] for each in filters if each.title == "location"]

    log.add(Status.SUCCEEDED)
    assert offered() == []
    Location.objects.bulk_create(Location(id=n, title=f"Salon {n:03}") for n in range(1, 302))
    assert offered() == [[log.location.title, *(f"Salon {n:03}" for n in range(1, 302))]]


@pytest.mark.parametrize(
    "query", ["location=abc", "location=%00", "location=" + "9" * 40, "p=9999999", "p=abc", "o=99"]
)
def test_a_senseless_filter_value_leads_back_to_a_list_that_works(boss: Client, log: Log, query: str) -> None:
    log.add(Status.SUCCEEDED)
    assert boss.get(f"{reverse(LIST)}?{query}", follow=True).status_code == 200


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("status__exact=succeeded", {"done", "odd", "old"}), ("kind__exact=cancel_card_withdrawal", {"cancel"}),
        ("attention=needed", {"odd", "failed"}), ("attention=discrepancy", {"odd"}), ("attention=open", {"doubt"}),
        ("asked=1", {"done", "odd", "doubt", "failed", "cancel"}),
        ("asked=30", {"done", "odd", "doubt", "failed", "cancel"}),
        ("location=4564", {"done", "odd", "doubt", "failed", "cancel", "old"}), ("location=1", set()),
        ("visit=100", {"done", "odd", "doubt", "failed", "cancel", "old"}), ("visit=101", set()),
    ],
)  # fmt: skip
def test_each_filter_shows_what_it_says(boss: Client, log: Log, query: str, expected: set[str]) -> None:
    Visit.objects.create(id=101, location=log.location, record_id=201)
    log.add(Status.SUCCEEDED, idempotency_key="done")
    log.add(Status.SUCCEEDED, idempotency_key="odd", discrepancy="130 instead of 100")
    log.add(Status.UNCONFIRMED, idempotency_key="doubt")
    log.add(Status.FAILED, idempotency_key="failed")
    log.add(Status.REJECTED, idempotency_key="cancel", kind=Kind.CANCEL_CARD_WITHDRAWAL)
    long_ago = timezone.now() - datetime.timedelta(days=40)
    log.add(Status.SUCCEEDED, idempotency_key="old", created_at=long_ago)
    answer = boss.get(f"{reverse(LIST)}?{query}")
    assert {operation.idempotency_key for operation in answer.context["cl"].result_list} == expected


def test_the_list_shows_no_phone_number(boss: Client, log: Log) -> None:
    log.add(Status.SUCCEEDED)
    html = boss.get(reverse(LIST)).content.decode()
    assert "Jane Doe" in html
    assert "+13155550175" not in html


def test_what_is_being_sent_has_no_next_try(boss: Client, log: Log) -> None:
    log.add(Status.SENDING)
    assert "next try" not in boss.get(reverse(LIST)).content.decode()
    log.add(Status.PENDING)
    assert "next try" in boss.get(reverse(LIST)).content.decode()


def test_a_row_of_the_list_tells_all_in_five_columns(boss: Client, log: Log) -> None:
    """Who asked, and with which card, promotion and location, stand below when, what and where."""
    titles = {"card_title": "Gold ···0520", "program_title": "Birthday 10 %", "program_id": 7, "amount": None}
    log.add(Status.PENDING, kind=Kind.APPLY_DISCOUNT_PROGRAM, requested_by_login="ann", **titles)
    html = boss.get(reverse(LIST)).content.decode()
    row = html.partition("<tbody>")[2].partition("</tbody>")[0]
    assert row.count("<td") + row.count("<th") == 6
    for told in ("ann", "Gold ···0520", "Birthday 10 %", log.location.title, "Jane Doe"):
        assert f">{told}" in row


def test_the_list_and_the_page_cost_few_queries_however_many_rows(
    boss: Client, log: Log, django_assert_max_num_queries: Any
) -> None:
    operation = log.add(Status.UNCONFIRMED)
    for n in range(60):
        visit = Visit.objects.create(
            id=1000 + n, location=log.location, record_id=n + 1, client_name=f"Client {n}"
        )
        log.add(Status.SUCCEEDED, visit=visit)
        by = get_user_model().objects.create(username=f"person-{n}")
        operation.attempts.create(purpose="decision", outcome="happened", made_by=by)
    with django_assert_max_num_queries(9):
        assert len(boss.get(reverse(LIST)).context["cl"].result_list) == 50
    with django_assert_max_num_queries(10):  # the key first
        assert boss.get(reverse(LIST), {"q": "Client"}).status_code == 200
    with django_assert_max_num_queries(9):
        assert boss.get(page_of(operation)).status_code == 200


def test_the_count_of_a_long_log_is_bounded(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(5):
        log.add(Status.SUCCEEDED)
    monkeypatch.setattr(BoundedPaginator, "most_rows", 3)
    assert BoundedPaginator(LoyaltyOperation.objects.all(), 50).count == 3


def test_of_many_attempts_the_newest_are_shown(boss: Client, log: Log) -> None:
    operation = log.add(Status.UNCONFIRMED)
    for n in range(105):
        operation.attempts.create(purpose="look_up", outcome="still_open", error=f"attempt-{n}.")
    html = boss.get(page_of(operation)).content.decode()
    assert "attempt-4." not in html
    assert html.index("attempt-5.") < html.index("attempt-104.")


@pytest.mark.parametrize("number", ["9" * 40, "abc", "-1"])
def test_a_page_of_no_operation_leads_back(boss: Client, log: Log, number: str) -> None:
    url = reverse("admin:altegio_loyalty_loyaltyoperation_change", args=[number])
    assert boss.get(url).status_code == 302


# How an outcome looks


@pytest.mark.parametrize(
    ("columns", "word", "tone"),
    [
        ({"status": "succeeded", "applied_amount": 100}, "done", "good"),
        ({"status": "succeeded", "applied_amount": 30}, "less than asked", "warning"),
        ({"status": "succeeded", "applied_amount": 0}, "nothing taken", "warning"),
        ({"status": "succeeded", "applied_amount": 130}, "more than asked", "warning"),
        ({"status": "succeeded"}, "amount unknown", "warning"),
        ({"status": "succeeded", "ending": "decided_happened"}, "done", "good"),
        (
            {"status": "succeeded", "applied_amount": 100, "discrepancy": "x"},
            "to be looked at",
            "warning",
        ),
        ({"status": "succeeded", "kind": "cancel_card_withdrawal"}, "done", "good"),
        (
            {"status": "succeeded", "kind": "cancel_card_withdrawal", "ending": "nothing_to_cancel"},
            "nothing to cancel",
            "quiet",
        ),
        (
            {"status": "succeeded", "kind": "apply_discount_program", "applied_amount": 0},
            "nothing taken",
            "warning",
        ),
        (
            {"status": "succeeded", "kind": "apply_discount_program", "applied_amount": 30},
            "done",
            "good",
        ),
        ({"status": "pending"}, "waiting", "warning"),
        ({"status": "unconfirmed"}, "in doubt", "warning"),
        ({"status": "sending"}, "being sent", "quiet"),
        ({"status": "rejected"}, "refused", "bad"),
        ({"status": "failed"}, "not done, given up", "bad"),
        ({"status": "abandoned"}, "stopped", "quiet"),
    ],
)
def test_an_outcome_is_a_word_and_a_symbol_and_never_colour_alone(
    columns: dict[str, Any], word: str, tone: str
) -> None:
    operation = LoyaltyOperation(**{"kind": Kind.APPLY_CARD_WITHDRAWAL, "amount": Decimal(100), **columns})
    badge = status_badge(operation)
    assert f"</span> {word}</span>" in badge or f", {word}</span>" in badge
    assert 'aria-hidden="true"' in badge
    assert look_of(operation).tone == tone
