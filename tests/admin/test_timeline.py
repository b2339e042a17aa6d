"""An operation can be handed on: a link that says what it is, and its timeline as JSON without the client."""

from __future__ import annotations

import datetime
import html
import json
import re
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from altegio_loyalty.models import Location, LocationAccess, LoyaltyOperation, Visit
from altegio_loyalty.reasons import Reason
from altegio_loyalty.states import Ending
from tests.admin.test_operations import Log, Status, page_of

pytestmark = pytest.mark.django_db

SignIn = Callable[..., Client]
AT = datetime.datetime(2026, 3, 1, 12, 0, 5, tzinfo=datetime.UTC)


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def reader(sign_in: SignIn) -> Client:
    return sign_in("view_loyaltyoperation")


def timeline_of(browser: Client, operation: LoyaltyOperation) -> Any:
    return browser.get(reverse("admin:altegio_loyalty_loyaltyoperation_timeline", args=[operation.pk]))


def told(log: Log, **columns: Any) -> LoyaltyOperation:
    """An operation with a look, a refused call and a decision, of which each text names the client."""
    Location.objects.update(time_zone="Asia/Vladivostok")
    operation = log.add(
        Status.FAILED, created_at=AT, applied_amount=Decimal("99.5"), requested_by_login="anna",
        card_title="Gold ···0175", ending=Ending.DECIDED_DID_NOT_HAPPEN, **columns,
    )  # fmt: skip
    call = {
        "started_at": AT,
        "method": "POST",
        "path": "/visit/loyalty/",
        "duration_ms": 31,
        "http_status": 422,
    }
    said = Reason("refused", {"http": "422"}, said="Jane Doe has no points").stored()
    answer = {"visit_id": 100, "client": {"name": "Jane Doe", "phone": "+13155550175"}, "sum": 12.5}
    operation.attempts.create(purpose="look", outcome="ok", started_at=AT, answer='{"cut": "Jane D')
    operation.attempts.create(
        purpose="send", outcome="refused", error=said, answer=json.dumps(answer), **call
    )
    operation.attempts.create(
        purpose="decision", outcome="did_not_happen", made_by_login="bert", started_at=AT,
        error="Doe called from +13155550175.",
    )  # fmt: skip
    return operation


def test_timeline__tells_all_in_order_with_times_and_amounts_as_text(log: Log, reader: Client) -> None:
    found = timeline_of(reader, told(log)).json()
    assert found["created_at"] == "2026-03-01T22:00:05+10:00"
    assert (found["amount"], found["applied_amount"], found["returned_amount"]) == ("100.00", "99.50", None)
    assert (found["requested_by"], found["status"], found["visit_id"]) == ("anna", "failed", 100)
    assert found["sentence"] == "Not done: a person confirmed that it did not happen."
    look, send, decision = found["attempts"]
    assert (look["purpose"], look["answer"]) == ("look", None)
    assert (send["method"], send["path"], send["duration_ms"]) == ("POST", "/visit/loyalty/", 31)
    assert send["answer"]["visit_id"] == 100
    assert (decision["made_by"], decision["started_at"]) == ("bert", "2026-03-01T22:00:05+10:00")


def test_timeline__does_not_say_who_the_client_is(log: Log, reader: Client) -> None:
    text = timeline_of(reader, told(log, last_error="Jane Doe")).content.decode()
    assert [word for word in ("Jane", "Doe", "3155550175", "0175") if word in text] == []
    assert "[hidden] called from [hidden]." in text


@pytest.mark.parametrize("spelt", ["JANE", "jane doe", "+1 (315) 555-01-75", "315 555 0175", "13155550175"])
def test_timeline__does_not_say_it_in_another_spelling(log: Log, reader: Client, spelt: str) -> None:
    text = timeline_of(reader, told(log, last_error=f"No card of {spelt}.")).json()["last_error"]
    assert text == "No card of [hidden]."


@pytest.mark.parametrize(("name", "phone"), [("", ""), ("Don", "+7"), ("Tim Ark", "5"), ("Jane", "")])
def test_timeline__leaves_what_only_looks_like_the_client(
    log: Log, reader: Client, name: str, phone: str
) -> None:
    """Nor would "[hidden]e" hide a Don."""
    Visit.objects.filter(pk=told(log).visit_id).update(client_name=name, client_phone=phone)
    text = "Done at that time: 75 of 500 points, remarks by Janet."
    LoyaltyOperation.objects.update(last_error=text, discrepancy="")
    found = timeline_of(reader, LoyaltyOperation.objects.get()).json()
    assert (found["last_error"], found["discrepancy"]) == (text, "")


def test_timeline__holds_these_columns_and_no_others(log: Log, reader: Client) -> None:
    """Whoever adds one to the log decides here whether it is given away."""
    found = timeline_of(reader, told(log)).json()
    assert set(found) == {
        "amount", "applied_amount", "attempt_count", "attempt_limit", "attempts", "batch", "cancels_id", "card_id",
        "closed_at", "created_at", "discrepancy", "ending", "expires_at", "finished_at", "id", "idempotency_key",
        "is_stopping", "kind", "last_error", "location_id", "lookup_count", "next_attempt_at", "program_id",
        "program_title", "record_id", "requested_by", "returned_amount", "seen_before", "sent_at", "sentence", "signals",
        "status", "unanswered_at", "undone_at", "visit_id",
    }  # fmt: skip
    assert set(found["attempts"][0]) == {
        "answer", "duration_ms", "error", "http_status", "id", "is_late", "made_by", "method", "operation_id",
        "outcome", "path", "purpose", "signals", "started_at",
    }  # fmt: skip


def test_timeline_of_another_location__is_not_there(log: Log, sign_in: SignIn) -> None:
    elsewhere = Location.objects.create(id=9, title="Elsewhere")
    bound = sign_in("view_loyaltyoperation", username="bound")
    LocationAccess.objects.create(location=elsewhere, user_id=bound.session["_auth_user_id"])
    assert timeline_of(bound, told(log)).status_code == 404


def test_link__says_what_it_is_without_the_client_and_leads_back(log: Log, reader: Client) -> None:
    operation = log.add(Status.SUCCEEDED, applied_amount=Decimal(40))
    page = reader.get(page_of(operation) + "?_changelist_filters=q%3DJane").content.decode()
    field = re.search(r'<input id="altegio-link" readonly value="([^"]+)">', page)
    assert field
    assert html.unescape(field[1]) == (
        f"Operation {operation.pk}, withdraw points, 100, less than asked: http://testserver{page_of(operation)}"
    )
    assert f'href="{page_of(operation).replace("change", "timeline")}"' in page


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"requested_by_login": "", "idempotency_key": "order-7"}, "By a program."),
        (
            {"requested_by_login": "ann", "idempotency_key": "order-7"},
            "By the site’s own code, in this person’s name.",
        ),
        ({"requested_by_login": "ann", "idempotency_key": "admin:1:ab:100"}, "On the visit’s page."),
        (
            {"requested_by_login": "ann", "idempotency_key": "admin:1:ab:100", "batch": uuid.UUID(int=7)},
            "One of several that were asked for together.",
        ),
    ],
)
def test_timeline__says_from_where_it_was_asked(
    reader: Client, log: Log, columns: dict[str, Any], said: str
) -> None:
    page = reader.get(page_of(log.add(Status.SUCCEEDED, **columns))).content.decode()
    begins = page.partition(f"Key {columns['idempotency_key']}")[0]
    assert begins.rstrip().endswith(f">{said}")


@pytest.mark.parametrize(
    ("status", "ending", "names"),
    [
        (Status.SUCCEEDED, "", ["operation_succeeded"]),
        (Status.REJECTED, "", ["operation_rejected"]),
        (Status.FAILED, "", ["operation_failed", "operation_needs_attention"]),
        (Status.FAILED, Ending.DECIDED_DID_NOT_HAPPEN, ["operation_failed"]),
        (Status.ABANDONED, "", ["operation_abandoned"]),
        (Status.PENDING, "", []),
    ],
)
def test_timeline__tells_the_signal_of_the_ending_behind_what_ended_it(
    log: Log, reader: Client, status: str, ending: str, names: list[str]
) -> None:
    operation = log.add(status, ending=ending, finished_at=AT if names else None)
    late = {"purpose": "send", "outcome": "unknown", "is_late": True, "path": "/late/"}
    operation.attempts.create(purpose="send", outcome="unknown", path="/sent/")
    operation.attempts.create(purpose="decision", outcome="closed", error="Put right.")
    operation.attempts.create(**late)
    found = timeline_of(reader, operation).json()
    assert found["signals"] == names
    assert [row["signals"] for row in found["attempts"]] == [["operation_needs_attention"], [], []]
    page = reader.get(page_of(operation)).content.decode()
    told = re.findall(r"/sent/|Put right|/late/|\boperation_[a-z_, ]+", page.partition("What happened")[2])
    ending_row = [", ".join(names)] if names else []
    assert told == ["/sent/", "operation_needs_attention", *ending_row, "Put right", "/late/"]
