"""What may be stored and shown of a text that came from outside: bounded, storable on every database, no secrets."""

from __future__ import annotations

import re
from collections.abc import Iterable

MASK = "[hidden]"
_UNSTORABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_AUTHORIZATION = re.compile(r"\bBearer\s+[^\s\"'<>]+", re.IGNORECASE)
_USER_TOKEN = re.compile(r"\bUser\s+(?=[^\s\"'<>]*\d)[^\s\"'<>,]{16,}")
_TOKEN_FIELD = re.compile(r"(\"(?:partner_token|user_token|password|login)\"\s*:\s*\")[^\"]*", re.IGNORECASE)
_PHONE = re.compile(
    r"(\"(?:phone|email|client_phone|display_name|name|surname|patronymic)\"\s*:\s*\")[^\"]*", re.IGNORECASE
)


def clean(text: str, limit: int) -> str:
    """`text` without what a database refuses (NUL, control characters, lone surrogates), at most `limit` characters."""
    text = _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text)
    return text if len(text) <= limit else text[: limit - 1] + "\N{HORIZONTAL ELLIPSIS}"


def redact(text: str, *, secrets: Iterable[str] = (), limit: int = 500) -> str:
    """`clean(text)` with tokens, passwords and personal fields masked.

    `secrets` are the values known to be secret here; they are masked wherever they stand, before the text is cut, so
    that no half of one is left at the end.
    """
    for secret in secrets:
        if secret:
            text = text.replace(secret, MASK)
    text = _AUTHORIZATION.sub(f"Bearer {MASK}", text)
    text = _USER_TOKEN.sub(f"User {MASK}", text)
    text = _TOKEN_FIELD.sub(rf"\1{MASK}", text)
    text = _PHONE.sub(rf"\1{MASK}", text)
    return clean(text, limit)
