"""Requests and answers as they cross the wire: the envelope, the error bodies, and JSON as PHP writes it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cached_property
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

PREFIX = "/api/v1"
V2_MEDIA_TYPES = ("vnd.api.v2+json", "vnd.yclients.v2+json")
HTML = "text/html; charset=utf-8"


@dataclass(frozen=True)
class Literal:
    """A piece of JSON written as it stands."""

    text: str


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes = b""
    ip: str = "127.0.0.1"

    @property
    def path(self) -> str:
        """The path alone. A target that names a host as well, as sent to a proxy, works too."""
        return self._parts.path

    @property
    def query(self) -> dict[str, str]:
        return dict(self._pairs)

    def listed(self, name: str) -> list[str]:
        """The values of a list, whose name may end in `[]`."""
        return [value for key, value in self._pairs if key in (name, f"{name}[]")]

    @cached_property
    def _parts(self) -> SplitResult:
        try:
            return urlsplit(self.target)
        except ValueError:
            return SplitResult("", "", self.target, "", "")

    @cached_property
    def _pairs(self) -> list[tuple[str, str]]:
        return parse_qsl(self._parts.query, keep_blank_values=True)

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
    """The body as it is sent."""
    return body if isinstance(body, bytes) else _json(body, float_noise).encode("ascii")


def _json(value: Any, noise: bool) -> str:
    if isinstance(value, dict):
        pairs = (f"{json.dumps(str(key))}:{_json(item, noise)}" for key, item in value.items())
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(_json(item, noise) for item in value) + "]"
    if isinstance(value, Decimal):
        return _number(value, noise)
    if isinstance(value, Literal):
        return value.text
    return json.dumps(value)


def _number(value: Decimal, noise: bool) -> str:
    """Seventeen digits, as PHP writes floats: 99.34 becomes 99.340000000000003, 100.00 becomes 100."""
    if value == value.to_integral_value():
        return str(int(value))
    return f"{float(value):.17g}" if noise else str(value.normalize())


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON.")
