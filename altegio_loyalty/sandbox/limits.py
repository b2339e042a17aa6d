"""The vendor's rate limit: so many requests a second and a minute for each client address."""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable


class RateLimit:
    """Sliding windows. A refused request does not count against the next ones."""

    def __init__(
        self, *, per_second: int = 5, per_minute: int = 200, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._windows = ((1.0, per_second), (60.0, per_minute))
        self._clock = clock
        self._lock = threading.Lock()
        self._taken: defaultdict[str, deque[float]] = defaultdict(deque)

    def allows(self, ip: str) -> bool:
        """Takes one request from the address's budget, or says no."""
        with self._lock:
            now = self._clock()
            taken = self._taken[ip]
            while taken and taken[0] <= now - 60.0:
                taken.popleft()
            for seconds, most in self._windows:
                if sum(1 for at in taken if at > now - seconds) >= most:
                    return False
            taken.append(now)
            return True
