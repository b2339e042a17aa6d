"""What was received, without anybody's tokens or passwords."""

from __future__ import annotations

import json
import threading
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from altegio_loyalty.sandbox.wire import Request

KEPT = 50_000
_SECRET_HEADERS = ("authorization", "proxy-authorization", "cookie")
_MASK = "***"


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
    at: datetime
    ip: str
    status: int | None = None
    """None while it is not answered, and for ever when the connection was cut."""
    fault: str = ""
    """The fault that it met."""


class RequestLog:
    """The last requests, oldest first. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: deque[ReceivedRequest] = deque(maxlen=KEPT)

    def add(self, request: Request, operation: str) -> ReceivedRequest:
        secret = dict.fromkeys(_SECRET_HEADERS, _MASK)
        headers = {name: secret.get(name, value) for name, value in request.headers.items()}
        entry = ReceivedRequest(
            method=request.method,
            path=request.path,
            operation=operation,
            query=request.query,
            headers=headers,
            body=_body(request),
            at=datetime.now(UTC),
            ip=request.ip,
        )
        with self._lock:
            self._entries.append(entry)
        return entry

    @property
    def entries(self) -> list[ReceivedRequest]:
        with self._lock:
            return list(self._entries)


def _body(request: Request) -> Any:
    if not request.body:
        return None
    text = request.body.decode("utf-8", errors="replace")
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(body, dict) and "password" in body:
        return {**body, "password": _MASK}
    return body
