"""A site whose middleware opens a transaction around each page that is posted to, as django-reversion's does."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from altegio_loyalty.models import Location, LoyaltyOperation, Visit
from altegio_loyalty.moments import today
from tests.delivery.salon import Salon

pytestmark = pytest.mark.django_db(transaction=True)

CAUSE = "keeps a database transaction open around the page"


def atomic_middleware(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[..., HttpResponse]:
    def respond(request: HttpRequest) -> HttpResponse:
        with transaction.atomic():
            return get_response(request)

    return respond


@pytest.fixture
def staff(salon: Salon, sign_in: Any, settings: Any) -> Any:
    client = sign_in("*")
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.atomic_middleware"]
    return client


def posts(location: Location) -> dict[str, tuple[str, dict[str, Any]]]:
    where = {"day": today().isoformat(), "location": location.pk}
    test_all = {"action": "test_connections", "_selected_action": [location.pk]}
    return {
        "test": (reverse("admin:altegio_loyalty_location_test_connection", args=[location.pk]), {}),
        "test all": (reverse("admin:altegio_loyalty_location_changelist"), test_all),
        "refresh": (reverse("admin:altegio_loyalty_visit_refresh"), where),
        "find": (reverse("admin:altegio_loyalty_visit_find"), {"q": 4711, **where}),
    }


@pytest.mark.parametrize("what", ["test", "test all", "refresh", "find"])
def test_transaction_around_the_page__is_named_and_nothing_is_sent(
    salon: Salon, staff: Any, what: str
) -> None:
    """One sentence with the cause and the way out, and no page that breaks."""
    answer = staff.post(*posts(salon.location)[what], follow=True)
    assert answer.status_code == 200
    assert answer.content.decode().count(CAUSE) == 1
    assert salon.sandbox.requests == []


@pytest.mark.parametrize("what", ["withdraw", "stop", "decide"])
def test_transaction_around_a_click__is_named_with_the_way_out_and_nothing_is_done(
    salon: Salon, staff: Any, what: str
) -> None:
    waiting, requests = salon.later(), len(salon.sandbox.requests)
    visit, field = waiting.visit_id, f"visit{waiting.visit_id}"
    chosen = {f"{field}-choice": salon.card.id, f"{field}-part": "other", f"{field}-amount": "5"}
    asked = {"visit": visit, "token": uuid.uuid4().hex, **chosen}
    url, data = {
        "withdraw": (reverse("admin:altegio_loyalty_visit_operate", args=[waiting.kind]), asked),
        "stop": (reverse("admin:altegio_loyalty_visit_stop", args=[visit]), {"operation": waiting.pk}),
        "decide": (
            reverse("admin:altegio_loyalty_loyaltyoperation_decide"),
            {"operation": waiting.pk, "decision": "stop"},
        ),
    }[what]
    html = staff.post(url, data, follow=True).content.decode()
    assert html.count(CAUSE) == 1
    assert "must exempt the addresses of this app" in html
    assert len(salon.sandbox.requests) == requests
    assert LoyaltyOperation.objects.get().status == LoyaltyOperation.Status.PENDING


def test_transaction_around_the_page__is_told_to_its_script(salon: Salon, staff: Any) -> None:
    """Which ends there."""
    url, data = reverse("admin:altegio_loyalty_visit_refresh"), posts(salon.location)["refresh"][1]
    told = staff.post(url, data, headers={"Accept": "application/json"}).json()
    assert CAUSE in told["error"]
    assert told["stop"] is True


@pytest.mark.parametrize("name", ["visit_change", "visit_operate"])
def test_transaction_around_a_page_that_reads__shows_what_is_known_and_the_cause(
    salon: Salon, staff: Any, name: str
) -> None:
    there, kind = salon.visit(), "apply_card_withdrawal"
    row = {"location": salon.location, "record_id": there.record_ids[0], "client_name": "Jane Doe"}
    Visit.objects.create(id=there.id, **row)
    args = [there.id] if name == "visit_change" else [kind]
    page = staff.get(reverse(f"admin:altegio_loyalty_{name}", args=args), {"visit": there.id, "read": 1})
    assert page.status_code == 200
    assert "Jane Doe" in (shown := page.content.decode())
    assert shown.count(CAUSE) == 1
    assert salon.sandbox.requests == []
