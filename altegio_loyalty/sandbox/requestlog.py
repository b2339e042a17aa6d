"""What was received, without anybody's tokens or passwords."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from altegio_loyalty.sandbox.wire import Request

_MASKED = dict.fromkeys(("authorization", "proxy-authorization", "cookie", "password"), "***")


@dataclass
class ReceivedRequest:
    method: str
    path: str
    operation: str
    """The contract's name for it (`apply_card_withdrawal`, `visit_details`, …); "" for an unknown path."""
    query: dict[str, str]
    headers: dict[str, str]
    """Names in lower case; secret values are masked."""
    body: Any
    """The JSON, or the text where it is none; None for an empty body."""
    ip: str
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    status: int | None = None
    """None while it is not answered, and for ever when the connection was cut."""
    fault: str = ""
    """The fault that it met."""

    @classmethod
    def of(cls, request: Request, operation: str) -> ReceivedRequest:
        asked = (request.method, request.path, operation, request.query)
        return cls(*asked, _without_secrets(request.headers), _body(request), request.ip)


def _body(request: Request) -> Any:
    text = request.body.decode("utf-8", errors="replace")
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return text or None
    return _without_secrets(body) if isinstance(body, dict) else body


def _without_secrets(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _MASKED.get(name, value) for name, value in fields.items()}
