"""The vendor's rate limit: so many requests a second and a minute for each client address."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable


class RateLimit:
    """Sliding windows. A refused request does not count against the next ones."""

    def __init__(
        self, per_second: int = 5, per_minute: int = 200, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second, self._per_minute, self._clock = per_second, per_minute, clock
        self._lock = threading.Lock()
        self._taken: defaultdict[str, list[float]] = defaultdict(list)

    def allows(self, ip: str) -> bool:
        """Takes one request from the address's budget, or says no."""
        with self._lock:
            now = self._clock()
            taken = self._taken[ip] = [at for at in self._taken[ip] if at > now - 60]
            this_second = sum(at > now - 1 for at in taken)
            is_allowed = this_second < self._per_second and len(taken) < self._per_minute
            if is_allowed:
                taken.append(now)
            return is_allowed
