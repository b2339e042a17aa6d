"""Who did what outlives the account: on the pages, in the export, on operations and on decisions."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from altegio_loyalty import services
from altegio_loyalty.services.operations import request_in_batch
from tests.delivery.salon import WITHDRAWAL, Salon

pytestmark = pytest.mark.django_db


@pytest.fixture
def salon(altegio_sandbox: Any, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Salon:
    return Salon(altegio_sandbox, settings, monkeypatch)


def log_page(name: str, *args: Any) -> str:
    return reverse(f"admin:altegio_loyalty_{name}", args=args)


def test_account_is_deleted__its_login_stays(salon: Salon, admin_client: Client) -> None:
    """A person who has left is still named by all that they did."""
    jane = get_user_model().objects.create_user("jane.desk")
    operation = salon.later(requested_by=jane)
    services.stop_operation(operation, by=jane)
    batch, visit = uuid.uuid4(), salon.visit()
    request_in_batch(
        WITHDRAWAL, salon.location, batch=batch, amount=5, requested_by=jane, **salon.where(visit)
    )
    jane.delete()
    operation.refresh_from_db()
    assert operation.requested_by is None
    assert operation.requested_by_login == operation.attempts.get().made_by_login == "jane.desk"
    pages = [
        log_page("loyaltyoperation_changelist"),
        log_page("loyaltyoperation_change", operation.pk),
        log_page("loyaltyoperation_export"),
        log_page("visit_change", operation.visit_id),
        log_page("visit_batches"),
        log_page("visit_batch", batch),
    ]
    for page in pages:
        answer = admin_client.get(page)
        body = b"".join(answer.streaming_content) if answer.streaming else answer.content  # type: ignore[attr-defined]
        assert b"jane.desk" in body, page


def test_login_that_is_longer_than_the_column__is_cut_and_loses_nothing_else(salon: Salon) -> None:
    """A host's user model may allow any length."""
    user = get_user_model().objects.create_user("x")
    user.get_username = lambda: "j" * 1000  # type: ignore[method-assign]
    operation = salon.later(requested_by=user)
    operation.refresh_from_db()
    assert len(operation.requested_by_login) == 254
