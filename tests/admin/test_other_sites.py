"""An admin site with only some of the models: what it does not have is text without a link, and never an error."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from altegio_loyalty.models import Location, LoyaltyOperation
from tests.admin.test_visits import Salon, posted, posts, salon, text_of, waiting

__all__ = ["salon"]

pytestmark = [
    pytest.mark.one_database,
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls("tests.admin.other_sites"),
]
WITHDRAWAL = "apply_card_withdrawal"


@pytest.fixture
def root() -> Client:
    person = get_user_model().objects.create_superuser("root", password="x")
    client = Client()
    client.force_login(person)
    return client


def url(site: str, name: str, *args: Any) -> str:
    return reverse(f"{site}:altegio_loyalty_{name}", args=args)


def text(response: Any, site: str) -> str:
    """The page, which is there and leads to no other site of the host."""
    assert response.status_code == 200
    html = text_of(response)
    assert set(re.findall(r'(?:href|action)="/(\w+)/', html)) <= {site, "static"}
    return html


@pytest.mark.parametrize("site", ["only_visits", "own_log"])
def test_a_withdrawal_from_the_list_to_its_result(salon: Salon, root: Client, site: str) -> None:
    """It was taken and then answered 500, so that nobody knew."""
    visit = salon.visit()
    text(root.get(url(site, "visit_changelist")), site)
    assert "Withdraw up to 300" in text(root.get(url(site, "visit_change", visit.pk), {"read": 1}), site)
    form = url(site, "visit_operate", WITHDRAWAL)
    text(root.get(form, {"visit": visit.pk, "choice": salon.card.id}), site)
    result = text(root.post(form, posted(salon, visit), follow=True), site)
    assert "Done: 100 points taken." in result
    assert len(posts(salon)) == 1
    has_log = site == "own_log"
    assert (reverse(f"{site}:index") + "altegio_loyalty/loyaltyoperation/" in result) == has_log


def test_the_scripts_of_the_visits(salon: Salon, root: Client) -> None:
    operation = waiting(salon, salon.visit(), batch=uuid.uuid4())
    json = {"accept": "application/json"}
    visit, batch = operation.visit_id, operation.batch
    state = root.get(url("only_visits", "visit_state", visit), headers=json).json()
    assert url("only_visits", "visit_batch", batch) in state["history"]
    assert root.post(url("only_visits", "visit_step", visit), headers=json).status_code == 200
    text(root.get(url("only_visits", "visit_batches")), "only_visits")
    text(root.get(url("only_visits", "visit_batch", batch)), "only_visits")
    text(root.post(url("only_visits", "visit_batch_stop", batch), follow=True), "only_visits")
    assert LoyaltyOperation.objects.get().status == "abandoned"


def test_several_at_once(salon: Salon, root: Client) -> None:
    visits = [salon.visit(), salon.visit()]
    chosen = {"action": WITHDRAWAL, "_selected_action": [visit.pk for visit in visits]}
    form = root.post(url("only_visits", "visit_changelist"), chosen, follow=True)
    assert "How much from each card" in text(form, "only_visits")


def test_the_log_alone(salon: Salon, root: Client) -> None:
    """The visit and the location are named, and lead nowhere; the overview names a paused location."""
    operation = waiting(salon, salon.visit(), status="unconfirmed")
    Location.objects.update(refused_at=operation.created_at, refused_reason="Altegio refused.")
    assert "Jane Miller" in text(root.get(url("only_log", "loyaltyoperation_changelist")), "only_log")
    page = text(root.get(url("only_log", "loyaltyoperation_change", operation.pk)), "only_log")
    assert "Jane Miller" in page
    assert "Main Street" in text(root.get(url("only_log", "loyaltyoperation_overview")), "only_log")
    assert root.get(url("only_log", "loyaltyoperation_export")).status_code == 200
    decision = {"decision": "happened", "operation": operation.pk, "back": "page"}
    decide = url("only_log", "loyaltyoperation_decide")
    text(root.post(decide, decision), "only_log")
    text(root.post(decide, {**decision, "reason": "I saw it"}, follow=True), "only_log")
    assert LoyaltyOperation.objects.get().status == "succeeded"


def test_locations_alone(salon: Salon, root: Client) -> None:
    page = url("only_locations", "location_change", salon.location.pk)
    text(root.get(page), "only_locations")
    text(root.get(url("only_locations", "location_access", salon.location.pk)), "only_locations")
    test = url("only_locations", "location_test_connection", salon.location.pk)
    text(root.post(test, follow=True), "only_locations")


@pytest.mark.parametrize("site", ["only_visits", "only_log", "only_locations", "own_log"])
def test_the_indexes(root: Client, site: str) -> None:
    """The overview is offered where it is, and nowhere else."""
    page = text(root.get(reverse(f"{site}:app_list", args=["altegio_loyalty"])), site)
    assert ("overview" in page) == (site == "only_log")
    text(root.get(reverse(f"{site}:index")), site)


def test_the_log_of_a_host_that_registers_its_own(salon: Salon, root: Client) -> None:
    """Django finds our template for it, which must not ask for pages that this log does not have."""
    waiting(salon, salon.visit())
    page = text(root.get(url("own_log", "loyaltyoperation_changelist")), "own_log")
    assert "overview" not in page
