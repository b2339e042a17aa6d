"""The faults that can be switched on: what each does to an answer, and which request meets which.

A request meets at most one fault: the first one switched on that matches it and has times left. So faults
that were switched on one after another, each with `times=1`, play one after another.
"""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from altegio_loyalty.sandbox import wire
from altegio_loyalty.sandbox.wire import Answer, Literal, failure

NASTY_TEXT = "\u0000\ud800<script>alert(1)</script>"
_HANGING = {"seconds": 60.0}
_HEADERS = {"retry_after": "Retry-After", "location": "Location"}
_REFUSED = "The whole server refuses connections (from Python only; no path, times or probability)."


@dataclass(frozen=True)
class FaultKind:
    description: str
    effect: bool
    """Whether the request is carried out all the same; `fail(..., effect=…)` says otherwise where `can_choose`."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """What else `fail` takes for this fault, with the values used when it is not given."""
    can_choose: bool = True
    """False where the answer is made from the real one, so that there must be a real one."""
    instead: Answer | None = None
    """What is answered whatever the books say."""
    change: Callable[..., Any] | None = None
    """Makes another body of the real one, an error of the books' own as well; called with the parameters."""


def _instead(description: str, answer: Answer | None = None, **parameters: Any) -> FaultKind:
    return FaultKind(f"{description}; not carried out.", False, parameters, instead=answer)


def _spoilt(description: str, change: Callable[..., Any] | None = None, **parameters: Any) -> FaultKind:
    return FaultKind(f"Carried out; {description}", True, parameters, can_choose=False, change=change)


def _then(description: str, answer: Answer) -> FaultKind:
    return FaultKind(description, True, instead=answer)


def _page(status: int, title: str) -> Answer:
    html = f"<html><head><title>{title}</title></head><body><center><h1>{title}</h1></center></body></html>"
    return Answer(status, html.encode(), content_type=wire.HTML)


def _truncated(body: Any) -> bytes:
    whole = wire.encode(body)
    return whole[: len(whole) // 2]


def _huge(body: Any, megabytes: float) -> Any:
    padding = "x" * int(float(megabytes) * 1024 * 1024)
    return {**body, "padding": padding} if isinstance(body, dict) else [*body, padding]


def _deep(body: Any, levels: int) -> Any:
    data = Literal("[" * int(levels) + "]" * int(levels))
    return {**body, "data": data} if isinstance(body, dict) and body.get("success") else data


def _nan(body: Any) -> Any:
    absurd = itertools.cycle(map(Literal, ("NaN", "1e999", "Infinity", "-Infinity")))
    return _changed(body, lambda key, value: next(absurd) if key in ("amount", "balance") else value)


def _as_text(key: str, value: Any) -> Any:
    is_number = isinstance(value, int | Decimal) and not isinstance(value, bool)
    wanted = key.endswith(("_id", "_access")) or key in ("id", "amount", "balance", "cost")
    return str(value) if is_number and wanted else value


def _nasty(key: str, value: Any) -> Any:
    return value + NASTY_TEXT if isinstance(value, str) else value


def _changed(value: Any, change: Callable[[str, Any], Any], key: str = "") -> Any:
    """The same JSON with every plain value passed through `change`, together with the key it stands under."""
    if isinstance(value, dict):
        return {name: _changed(item, change, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_changed(item, change, key) for item in value]
    return change(key, value)


_EXPIRED = failure(402, "The location's licence has expired.")
_PORTAL = _page(200, "Welcome to the hotel's network")
_BROKEN = Answer(200, b'{"success":true,"data":{"loyalty_transactions":[{"id":1,}')
_INVALID = wire.invalid({"record_id": ["The record cannot be changed."]})
_UNAVAILABLE = Answer(503, b"Service Unavailable", content_type="text/plain")
_ELSEWHERE = Answer(302, b"", content_type=wire.HTML)

FAULTS: dict[str, FaultKind] = {
    "cut_before": _instead("The connection is reset once the request was read"),
    "cut_after": FaultKind("Carried out, then the connection is reset without an answer.", True),
    "cut_mid_answer": _spoilt("the connection closes after half of the answer's bytes."),
    "hang": FaultKind("Silence for some seconds, then carried out and answered.", True, _HANGING),
    "hang_after": FaultKind("Carried out, then silence for some seconds, then a reset.", True, _HANGING),
    "drip": _spoilt("the answer comes one byte at a time, some seconds apart.", seconds=0.05),
    "late_effect": FaultKind("Reset at once; carried out some seconds later.", True, {"seconds": 2.0}, False),
    "status_401": _instead("401, as after a changed password", wire.UNAUTHORIZED),
    "status_402": _instead("402, the location's licence has expired", _EXPIRED),
    "status_403": _instead("403, the user may not", wire.FORBIDDEN),
    "status_404": _instead("404 without a message", wire.NOT_FOUND),
    "status_422": _instead("422 with a map of fields", _INVALID),
    "status_500": _instead("500 with the vendor's error body", failure(500, "An error occurred")),
    "status_502_html": _instead("502 with a gateway's HTML page", _page(502, "502 Bad Gateway")),
    "status_503": _instead("503 with plain text", _UNAVAILABLE, retry_after=None),
    "rate_limited": _instead(
        "429 whose message names a useless number of seconds", wire.RATE_LIMITED, retry_after=None
    ),
    "html": _instead("200 with an HTML page, as from a captive portal", _PORTAL),
    "broken_json": _then("Carried out; 200 with something that only begins like JSON.", _BROKEN),
    "truncated_json": _spoilt("a complete HTTP answer whose JSON stops half-way.", _truncated),
    "empty": _then("Carried out; 200 with no body at all.", Answer(200, b"")),
    "success_false": _instead("200 with success: false", failure(200, "An error occurred")),
    "error_after_effect": _then("Carried out, then 500.", failure(500, "An error occurred")),
    "string_ids": _spoilt("ids and amounts come as strings.", lambda body: _changed(body, _as_text)),
    "bare": _spoilt("the data comes without its envelope."),
    "huge": _spoilt("the answer is padded to some megabytes.", _huge, megabytes=8.0),
    "redirect": _instead("302 to another host", _ELSEWHERE, location="http://127.0.0.1:9/somewhere-else"),
    "nan": _spoilt("amounts and balances are NaN, Infinity and 1e999.", _nan),
    "deep": _spoilt("the data is a list nested very deep.", _deep, levels=100_000),
    "nul_text": _spoilt(
        "texts hold NUL, a lone surrogate and a <script>.", lambda body: _changed(body, _nasty)
    ),
    "refuse_connections": FaultKind(_REFUSED, False, can_choose=False),
}
"""Every fault by name."""


@dataclass
class Fault:
    """A fault that is switched on. Raises ValueError for an unknown name or parameter, or a senseless number."""

    name: str
    parameters: dict[str, Any] = field(default_factory=dict)
    path: str = ""
    times: int | None = None
    probability: float = 1.0
    seed: int | None = None
    effect: bool | None = None
    hits: int = 0
    """How many requests have met it."""

    def __post_init__(self) -> None:
        kind = _kind(self.name)
        unknown = sorted(set(self.parameters) - set(kind.parameters))
        if unknown:
            takes = ", ".join(kind.parameters) or "none of its own"
            raise ValueError(f"The fault {self.name} takes no {', '.join(unknown)}; it takes {takes}.")
        if self.effect not in (None, kind.effect) and not kind.can_choose:
            raise ValueError(f"The fault {self.name} cannot choose its effect.")
        if self.times is not None and self.times < 1:
            raise ValueError("times must be at least 1, or None for until it is healed.")
        if not 0 <= self.probability <= 1:
            raise ValueError("probability must be between 0 and 1.")
        self.effect = kind.effect if self.effect is None else self.effect
        self.parameters = {**kind.parameters, **self.parameters}
        self._dice = random.Random(self.seed)

    @property
    def times_left(self) -> int | None:
        return None if self.times is None else self.times - self.hits

    @property
    def seconds(self) -> float:
        return float(self.parameters["seconds"])

    def meets(self, subject: str) -> bool:
        return self.times_left != 0 and self.path in subject and self._dice.random() < self.probability

    @property
    def instead(self) -> Answer | None:
        """The answer that it gives whatever the books say; None when it spoils the real one."""
        answer = FAULTS[self.name].instead
        given = {_HEADERS.get(name): value for name, value in self.parameters.items()}
        headers = {name: str(value) for name, value in given.items() if name and value is not None}
        return answer and replace(answer, headers=headers)

    def spoil(self, answer: Answer) -> Answer:
        """The real answer, spoilt; an error of the books' own (404, 422, …) as well."""
        change = FAULTS[self.name].change
        return replace(answer, body=change(answer.body, **self.parameters)) if change else answer


class FaultBoard:
    """The switches. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._wake = threading.Event()

    def switch_on(self, fault: Fault) -> Fault:
        with self._lock:
            self._faults.append(fault)
        return fault

    def switch_off(self, name: str | None = None) -> None:
        """Switches one fault off, or all, and wakes every request that hangs."""
        if name is not None:
            _kind(name)
        with self._lock:
            self._faults = [fault for fault in self._faults if name not in (None, fault.name)]
        self.wake()

    def pick(self, subject: str) -> Fault | None:
        """The fault that this request meets, counted as a hit."""
        with self._lock:
            fault = next((fault for fault in self._faults if fault.meets(subject)), None)
            if fault is not None:
                fault.hits += 1
            return fault

    @property
    def switched_on(self) -> list[Fault]:
        """The faults that can still be met."""
        with self._lock:
            return [fault for fault in self._faults if fault.times_left != 0]

    def sleep(self, seconds: float) -> None:
        """Waits, but no longer than until somebody switches a fault off or the server stops."""
        self._wake.wait(seconds)

    def wake(self, *, for_good: bool = False) -> None:
        """Ends every wait now. Later ones wait again, or with `for_good` not before the next `wake`."""
        with self._lock:
            sleeping = self._wake
            if not for_good:
                self._wake = threading.Event()
        sleeping.set()


def _kind(name: str) -> FaultKind:
    try:
        return FAULTS[name]
    except KeyError:
        raise ValueError(f"There is no fault {name!r}. There are: {', '.join(FAULTS)}.") from None
