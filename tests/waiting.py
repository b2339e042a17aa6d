"""What a test waits for: a condition, however long a busy machine takes to come to it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

PATIENCE = 60


def wait_for(
    condition: Callable[[], Any], complaint: Callable[[], str] = lambda: "It did not come to that."
) -> Any:
    """What the condition says once that is true."""
    ends_at = time.monotonic() + PATIENCE
    while not (result := condition()):
        assert time.monotonic() < ends_at, complaint()
        time.sleep(0.005)
    return result
