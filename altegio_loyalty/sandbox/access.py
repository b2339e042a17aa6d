"""Who may call: one partner and one user, whose tokens can be replaced at any time."""

from __future__ import annotations

import re
import threading

_HEADER = re.compile(r"Bearer ([^\s,]+)(?:,\s*User (\S+))?")


class Access:
    """The tokens in force and the user's login."""

    def __init__(self, partner_token: str, user_token: str, login: str, password: str) -> None:
        self.login = login
        self.password = password
        self._lock = threading.Lock()
        self._tokens = (partner_token, user_token)
        self._first = self._tokens
        self._pairs = 1

    @property
    def tokens(self) -> tuple[str, str]:
        """The partner's and the user's token."""
        with self._lock:
            return self._tokens

    def rotate(self) -> tuple[str, str]:
        """New tokens; the old ones stop working at once."""
        with self._lock:
            self._pairs += 1
            self._tokens = (f"{self._first[0]}-{self._pairs}", f"{self._first[1]}-{self._pairs}")
            return self._tokens

    def restore(self, partner_token: str, user_token: str, pairs: int) -> None:
        """The tokens of an earlier run."""
        with self._lock:
            self._tokens, self._pairs = (partner_token, user_token), pairs

    @property
    def pairs(self) -> int:
        """How many pairs of tokens there have been."""
        return self._pairs

    def knows(self, authorization: str) -> bool:
        """Whether the header holds both tokens: `Bearer <partner>, User <user>`."""
        match = _HEADER.fullmatch(authorization.strip())
        return match is not None and match.groups() == self.tokens

    def knows_partner(self, authorization: str) -> bool:
        """Whether the header holds the partner's token, with or without a user's."""
        match = _HEADER.fullmatch(authorization.strip())
        return match is not None and match[1] == self.tokens[0]
