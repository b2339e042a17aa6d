from __future__ import annotations

from typing import Any

import pytest

from altegio_loyalty.sandbox import Sandbox
from tests.delivery.salon import Salon


@pytest.fixture
def salon(
    altegio_sandbox: Sandbox, settings: Any, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Salon:
    """A salon in the sandbox. The test says itself which kind of database it needs."""
    wants_commits = any(marker.kwargs.get("transaction") for marker in request.node.iter_markers("django_db"))
    request.getfixturevalue("transactional_db" if wants_commits else "db")
    return Salon(altegio_sandbox, settings, monkeypatch)
