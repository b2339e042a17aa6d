from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from tests.delivery.conftest import salon

__all__ = ["salon", "sign_in"]


@pytest.fixture
def time_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read stays fresh, and no limit of seconds ends what a page does, however slow the machine is."""
    now, steady = timezone.now(), time.monotonic()
    monkeypatch.setattr(timezone, "now", lambda: now)
    monkeypatch.setattr(time, "monotonic", lambda: steady)


@pytest.fixture
def sign_in() -> Callable[..., Client]:
    """A browser in which an ordinary staff user with just these permissions is signed in; "*" makes a superuser."""

    def sign_in(*codenames: str, **extra: Any) -> Client:
        people = get_user_model()
        name = extra.pop("username", "-".join(codenames) or "nobody")[:100]
        person = people.objects.create_user(
            name, password="x", is_staff=True, is_superuser="*" in codenames, **extra
        )
        found = Permission.objects.filter(content_type__app_label="altegio_loyalty", codename__in=codenames)
        assert {permission.codename for permission in found} == set(codenames) - {"*"}
        person.user_permissions.set(found)
        client = Client()
        client.force_login(person)
        return client

    return sign_in
