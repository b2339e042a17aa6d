"""A row that a newer release wrote, of an unknown kind, state or ending, breaks no page and is never decided about."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from altegio_loyalty.admin.decisions import DECISIONS
from altegio_loyalty.admin.looks import look_of
from altegio_loyalty.models import LoyaltyOperation, Visit
from tests.admin.test_visits import (
    KINDS,
    Salon,
    address,
    messages_of,
    page_of,
    posts,
    salon,
    staff,
    text_of,
    waiting,
)

__all__ = ["salon"]

pytestmark = pytest.mark.django_db(transaction=True)
NEWER_KIND, NEWER_STATUS, NEWER_ENDING = "apply_referral_program", "frozen", "something_new"
LOG = "admin:altegio_loyalty_loyaltyoperation_"

#: What a newer release may have written, with the name that the pages show.
NEWER: dict[str, tuple[dict[str, Any], str]] = {
    "kind, waiting": ({"kind": NEWER_KIND}, NEWER_KIND),
    "kind, in doubt": ({"kind": NEWER_KIND, "status": "unconfirmed"}, NEWER_KIND),
    "kind, being sent": ({"kind": NEWER_KIND, "status": "sending"}, NEWER_KIND),
    "kind, done": ({"kind": NEWER_KIND, "status": "succeeded", "applied_amount": 5}, NEWER_KIND),
    "kind, given up": ({"kind": NEWER_KIND, "status": "failed"}, NEWER_KIND),
    "status": ({"status": NEWER_STATUS}, NEWER_STATUS),
    "kind and status": ({"kind": NEWER_KIND, "status": NEWER_STATUS}, NEWER_KIND),
    "ending, done": ({"status": "succeeded", "ending": NEWER_ENDING, "applied_amount": 10}, NEWER_ENDING),
    "ending, given up": ({"status": "failed", "ending": NEWER_ENDING}, NEWER_ENDING),
}


@pytest.fixture
def person() -> Client:
    return staff("view_visit", "view_loyaltyoperation", "view_location", "resolve_operation", *KINDS)


@pytest.fixture(params=NEWER)
def row(request: pytest.FixtureRequest, salon: Salon) -> Any:
    columns, name = NEWER[request.param]
    is_over = columns.get("status") in ("succeeded", "failed", NEWER_STATUS)
    if is_over:
        columns = {**columns, "finished_at": timezone.now(), "next_attempt_at": None, "open_key": None}
    else:
        columns = {**columns, "next_attempt_at": timezone.now() - datetime.timedelta(minutes=1)}
    operation: Any = waiting(salon, salon.visit(), batch=uuid.uuid4())
    LoyaltyOperation.objects.filter(pk=operation.pk).update(**columns)
    operation.refresh_from_db()
    operation.shown_name = name
    return operation


def shown(response: Any, name: str) -> str:
    assert response.status_code == 200
    text = text_of(response)
    assert name in text
    return text


def addresses(row: Any) -> dict[str, str]:
    return {
        "the list of visits": reverse("admin:altegio_loyalty_visit_changelist") + "?day=all",
        "the visit": page_of(row.visit),
        "the batches": reverse("admin:altegio_loyalty_visit_batches"),
        "the batch": reverse("admin:altegio_loyalty_visit_batch", args=[row.batch]),
        "the log": reverse(LOG + "changelist"),
        "the operation": reverse(LOG + "change", args=[row.pk]),
        "the overview": reverse(LOG + "overview"),
    }


@pytest.mark.parametrize("place", ["the list of visits", "the visit", "the batches", "the batch", "the log"])
def test_the_pages_where_it_stands_beside_others(row: Any, person: Client, place: str) -> None:
    """The ending stands on the operation's own page; elsewhere it only must not break anything."""
    is_ending = row.shown_name == NEWER_ENDING
    is_status_alone = row.shown_name == NEWER_STATUS
    name = "" if is_ending or (place == "the batches" and is_status_alone) else row.shown_name
    shown(person.get(addresses(row)[place]), name)


def test_its_own_page(row: Any, person: Client) -> None:
    shown(person.get(addresses(row)["the operation"]), row.shown_name)


def test_the_overview_counts_it(row: Any, person: Client) -> None:
    name = "" if row.shown_name == NEWER_ENDING else row.shown_name
    if name == NEWER_KIND:
        name = "Apply_referral_program"  # the heading of its column
    shown(person.get(addresses(row)["the overview"]), name)
    for figure in ("days", "locations", "outcomes", "times"):
        response: Any = person.get(reverse(LOG + "figure", args=[figure]))
        text = b"".join(response.streaming_content).decode()
        assert response.status_code == 200
        assert figure != "outcomes" or row.shown_name == NEWER_ENDING or row.shown_name in text


def test_the_export_names_it(row: Any, person: Client) -> None:
    response: Any = person.get(reverse(LOG + "export"))
    assert row.shown_name in b"".join(response.streaming_content).decode()


def test_what_the_pages_follow_it_with(row: Any, person: Client, salon: Salon) -> None:
    """The scripts get their answers, and neither they nor a press of the button take a step for it."""
    for name in ("state", "step"):
        ask = person.get if name == "state" else person.post
        for url in (
            address(name, row.visit),
            reverse(f"admin:altegio_loyalty_visit_batch_{name}", args=[row.batch]),
        ):
            state = ask(url, headers={"accept": "application/json"}).json()
            assert state["is_due"] is False
            if row.kind == NEWER_KIND:
                assert "nothing needs to be repeated" not in state.get("waiting", "").lower()
    assert posts(salon) == []


@pytest.mark.parametrize("decision", DECISIONS)
def test_no_decision_is_offered_or_made(row: Any, person: Client, salon: Salon, decision: str) -> None:
    if row.shown_name == NEWER_ENDING:
        return  # its kind and its state are known, and so is what may be done about it
    before = LoyaltyOperation.objects.values().get(pk=row.pk)
    assert f'value="{decision}"' not in text_of(person.get(addresses(row)["the operation"]))
    said = person.post(
        reverse(LOG + "decide"),
        {"decision": decision, "operation": row.pk, "reason": "I saw it"},
        follow=True,
    )
    assert messages_of(said) == ["1 skipped: this release of the site does not know it."]
    assert LoyaltyOperation.objects.values().get(pk=row.pk) == before
    assert not row.attempts.exists()


def test_it_looks_like_nothing_that_is_known(row: LoyaltyOperation) -> None:
    if row.ending != NEWER_ENDING:
        assert look_of(row).tone == "quiet"
        assert look_of(row).symbol == "•"


def test_stopping_the_rest_of_its_batch_leaves_it_alone(salon: Salon, person: Client) -> None:
    batch = uuid.uuid4()
    known, newer = (waiting(salon, salon.visit(), batch=batch) for _ in range(2))
    LoyaltyOperation.objects.filter(pk=newer.pk).update(kind=NEWER_KIND)
    person.post(reverse("admin:altegio_loyalty_visit_batch_stop", args=[batch]))
    states = dict(LoyaltyOperation.objects.values_list("pk", "status"))
    assert states == {known.pk: "abandoned", newer.pk: "pending"}


def test_its_kind_cannot_be_asked_for(salon: Salon, person: Client) -> None:
    visit: Visit = salon.visit()
    url = reverse("admin:altegio_loyalty_visit_operate", args=[NEWER_KIND])
    assert person.get(url, {"visit": visit.pk}).status_code == 403


def test_a_visit_that_shows_more_points_than_the_known_rows_explain(salon: Salon, person: Client) -> None:
    """What the newer release did may explain them, so nobody is called to look; the page is there either way."""
    visit = salon.visit()
    salon.ledger.withdraw(visit.pk, salon.card.id, 50)
    known, newer = (
        waiting(salon, visit, status="succeeded", open_key=None, next_attempt_at=None, applied_amount=10)
        for _ in range(2)
    )
    LoyaltyOperation.objects.update(finished_at=timezone.now())
    LoyaltyOperation.objects.filter(pk=newer.pk).update(kind=NEWER_KIND)
    shown(person.get(page_of(visit)), NEWER_KIND)
    assert not LoyaltyOperation.objects.exclude(discrepancy="").exists(), known
