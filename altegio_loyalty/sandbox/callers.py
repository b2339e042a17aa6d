"""Who may call, and how often: one partner and one user, whose tokens can be replaced; so many requests an address."""

import re
import threading
from collections import defaultdict
from time import monotonic

_HEADER = re.compile(r"Bearer ([^\s,]+)(?:,\s*User (\S+))?")


class Access:
    """The tokens in force, the partner's and the user's, and the user's login."""

    login, password = "jane@example.com", "sandbox-password"

    def __init__(self, partner_token: str, user_token: str) -> None:
        self.tokens = self._first = (partner_token, user_token)
        self.asks_second_factor = False
        """Whether a right password is answered with a challenge and no token."""
        self.pairs = 1
        """How many pairs of tokens there have been."""

    def rotate(self) -> tuple[str, str]:
        """New tokens; the old ones stop working at once. Called with the ledger's lock held."""
        self.pairs += 1
        self.tokens = (f"{self._first[0]}-{self.pairs}", f"{self._first[1]}-{self.pairs}")
        return self.tokens

    def knows(self, authorization: str, *, needs_user: bool = True) -> bool:
        """Whether the header holds both tokens, `Bearer <partner>, User <user>`; else, whether it holds the partner's."""
        match = _HEADER.fullmatch(authorization.strip())
        count = 2 if needs_user else 1
        return match is not None and match.groups()[:count] == self.tokens[:count]


class RateLimit:
    """Sliding windows of each address. A refused request does not count against the next ones."""

    per_second, per_minute = 5, 200

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: defaultdict[str, list[float]] = defaultdict(list)

    def allows(self, ip: str) -> bool:
        """Takes one request from the address's budget, or says no."""
        with self._lock:
            now = monotonic()
            taken = self._taken[ip] = [at for at in self._taken[ip] if at > now - 60]
            if sum(at > now - 1 for at in taken) >= self.per_second or len(taken) >= self.per_minute:
                return False
            taken.append(now)
            return True
