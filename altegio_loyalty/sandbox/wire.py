"""Requests and answers as they cross the wire and are kept: the envelope, the error bodies, and JSON as PHP writes it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

PREFIX = "/api/v1"
V2_MEDIA_TYPES = ("vnd.api.v2+json", "vnd.yclients.v2+json")
HTML = "text/html; charset=utf-8"

_MASKED = dict.fromkeys(("authorization", "proxy-authorization", "cookie", "password"), "***")
#: A text, so that no number is seen inside one; or a number with a fraction.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?[0-9]+\.[0-9]+')


@dataclass
class Request:
    method: str
    target: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes = b""
    ip: str = "127.0.0.1"

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.target)
        except ValueError:
            parts = SplitResult("", "", self.target, "", "")
        self.path = parts.path
        """The path alone. A target that names a host as well, as sent to a proxy, works too."""
        self._pairs = parse_qsl(parts.query, keep_blank_values=True)
        self.query = dict(self._pairs)

    def listed(self, name: str) -> list[str]:
        """The values of a list, whose name may end in `[]`."""
        return [value for key, value in self._pairs if key in (name, f"{name}[]")]

    @property
    def is_api(self) -> bool:
        return self.path == PREFIX or self.path.startswith(PREFIX + "/")

    @property
    def api_path(self) -> str:
        return self.path[len(PREFIX) :].rstrip("/") or "/"

    @property
    def wants_envelope(self) -> bool:
        return any(media_type in self.headers.get("accept", "") for media_type in V2_MEDIA_TYPES)

    def json(self) -> Any:
        """The body, with decimals kept exact. Raises ValueError for what is not JSON; NaN is not."""
        return json.loads(self.body.decode("utf-8"), parse_float=Decimal, parse_constant=_refuse_constant)


@dataclass
class ReceivedRequest:
    """A request in the log, without anybody's tokens or passwords."""

    method: str
    path: str
    operation: str
    """The contract's name for it (`apply_card_withdrawal`, `visit_details`, …); "" for an unknown path."""
    query: dict[str, str]
    headers: dict[str, str]
    """Names in lower case."""
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
        text = request.body.decode("utf-8", errors="replace")
        try:
            body = json.loads(text, object_hook=_without_secrets)
        except (ValueError, RecursionError):
            body = text or None
        asked = (request.method, request.path, operation, request.query)
        return cls(*asked, _without_secrets(request.headers), body, request.ip)


def _without_secrets(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _MASKED.get(name, value) for name, value in fields.items()}


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any
    """Bytes are sent as they are, everything else as JSON."""
    meta: Any = None
    """With it the body is the bare data, put into {success, data, meta} for those who ask for format 2.0."""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json; charset=utf-8"


def success(data: Any, *, meta: Any = None, status: int = 200) -> Answer:
    return Answer(status, data, meta or [])


def failure(status: int, message: str = "", errors: dict[str, list[str]] | None = None) -> Answer:
    """An error in the vendor's usual body; without a message `meta` is an empty list."""
    meta: Any = {"message": message} if message else []
    if errors:
        meta["errors"] = errors
    return Answer(status, {"success": False, "data": None, "meta": meta})


FORBIDDEN = failure(403, "Access denied.")
NOT_FOUND = failure(404)


def invalid(errors: dict[str, list[str]]) -> Answer:
    return failure(422, "Validation failed", errors)


def put_in_envelope(answer: Answer) -> Answer:
    """The same answer with its data inside {success, data, meta}; errors always have that shape and stay."""
    if answer.meta is None:
        return answer
    return replace(answer, body={"success": True, "data": answer.body, "meta": answer.meta}, meta=None)


def encode(body: Any, *, float_noise: bool = True) -> bytes:
    """The body as it is sent. The noise is that of PHP, which writes seventeen digits: 99.340000000000003."""
    if isinstance(body, bytes):
        return body
    text = json.dumps(body, default=_number, separators=(",", ":"))
    return (_TOKEN.sub(_noisy, text) if float_noise else text).encode("ascii")


def _number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


def _noisy(token: re.Match[str]) -> str:
    return token[0] if token[0].startswith('"') else f"{float(token[0]):.17g}"


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON.")
