"""The check among those of django-health-check, asked through its own view."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.test import Client, override_settings
from django.urls import path
from django.utils import timezone
from health_check.views import HealthCheckView

from altegio_loyalty.models import LoyaltyOperation
from tests.delivery.conftest import salon
from tests.delivery.salon import Salon
from tests.delivery.threads import in_threads

__all__ = ["salon"]
pytestmark = pytest.mark.django_db(transaction=True)
CHECKS = ["altegio_loyalty.contrib.health_check.Delivery"]
urlpatterns = [path("ht/", HealthCheckView.as_view(checks=CHECKS))]


@override_settings(ROOT_URLCONF=__name__)
def ask() -> Any:
    # In a thread of its own: the view runs an event loop, and the thread of the tests may have one already.
    (response,) = in_threads(lambda: Client().get("/ht/?format=json"))
    return response


def test_work_that_goes_on__is_healthy(salon: Salon) -> None:
    salon.later()
    salon.sweep()
    assert ask().status_code == 200


def test_work_that_stands_still__is_not(salon: Salon) -> None:
    salon.later()
    LoyaltyOperation.objects.update(next_attempt_at=timezone.now() - datetime.timedelta(hours=1))
    response = ask()
    assert response.status_code == 500
    assert "No worker was heard of since" in response.content.decode()
