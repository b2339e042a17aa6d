"""Who may call: one partner and one user, whose tokens can be replaced at any time."""

import re

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
