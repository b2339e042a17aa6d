"""Fixtures for host sites' own tests. Switch them on in the top conftest.py:

pytest_plugins = ["altegio_loyalty.sandbox.pytest_plugin"]
"""

from collections.abc import Iterator
from typing import Any

import pytest

from altegio_loyalty.sandbox.server import Sandbox


@pytest.fixture
def altegio_sandbox() -> Iterator[Sandbox]:
    """A local Altegio with empty books, new for each test, without a rate limit."""
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def altegio_sandbox_settings(altegio_sandbox: Sandbox, settings: Any) -> Sandbox:
    """The same sandbox, with Django's settings pointing at it for this test. Needs pytest-django.

    The app's own budget of requests is switched off as well, so that tests need not wait; everything else in
    ALTEGIO_LOYALTY stays as the site has it.
    """
    settings.ALTEGIO_LOYALTY = {
        **getattr(settings, "ALTEGIO_LOYALTY", {}),
        "API_URL": altegio_sandbox.url,
        "PROXY_URL": "",
        "REQUESTS_PER_SECOND": 0,
        "REQUESTS_PER_MINUTE": 0,
    }
    return altegio_sandbox
