"""The desk of the browser tests, with somebody in front of it who may do all and is signed in already."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from tests.browser.conftest import desk, log_in, picture

__all__ = ["desk", "log_in", "manager", "picture"]


@pytest.fixture
def manager(page: Any, desk: Any, settings: Any) -> Any:
    """The window of a superuser; the person is `page.person`."""
    desk.settings = settings
    person = get_user_model().objects.create_superuser("manager", password="x")
    client = Client()
    client.force_login(person)
    page.context.add_cookies(
        [{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": desk.site_url}]
    )
    page.person = person
    return page
