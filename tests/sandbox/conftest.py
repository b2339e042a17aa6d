from __future__ import annotations

from collections.abc import Iterator

import pytest

from altegio_loyalty.sandbox import Sandbox
from tests.sandbox.scene import Caller, Scene, open_scene


@pytest.fixture
def scene() -> Iterator[Scene]:
    """One salon, one client with one card of 1000 points, one visit of 3020."""
    with Sandbox() as sandbox:
        yield open_scene(sandbox)


@pytest.fixture(autouse=True)
def _no_open_session() -> Iterator[None]:
    yield
    while Caller.opened:
        Caller.opened.pop().session.close()
