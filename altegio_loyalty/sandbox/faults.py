"""The faults that can be switched on: their names, and which request meets which.

A request meets at most one fault: the first one switched on that matches it and has times left. So faults
that were switched on one after another, each with `times=1`, play one after another.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field
from typing import Any

_HANGING = {"seconds": 60.0}
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


def _instead(description: str, **parameters: Any) -> FaultKind:
    return FaultKind(f"{description}; not carried out.", False, parameters)


def _spoilt(description: str, **parameters: Any) -> FaultKind:
    return FaultKind(f"Carried out; {description}", True, parameters, can_choose=False)


FAULTS: dict[str, FaultKind] = {
    "cut_before": _instead("The connection is reset once the request was read"),
    "cut_after": FaultKind("Carried out, then the connection is reset without an answer.", True),
    "cut_mid_answer": _spoilt("the connection closes after half of the answer's bytes."),
    "hang": FaultKind("Silence for some seconds, then carried out and answered.", True, _HANGING),
    "hang_after": FaultKind("Carried out, then silence for some seconds, then a reset.", True, _HANGING),
    "drip": _spoilt("the answer comes one byte at a time, some seconds apart.", seconds=0.05),
    "late_effect": FaultKind("Reset at once; carried out some seconds later.", True, {"seconds": 2.0}, False),
    "status_401": _instead("401, as after a changed password"),
    "status_402": _instead("402, the location's licence has expired"),
    "status_403": _instead("403, the user may not"),
    "status_404": _instead("404 without a message"),
    "status_422": _instead("422 with a map of fields"),
    "status_500": _instead("500 with the vendor's error body"),
    "status_502_html": _instead("502 with a gateway's HTML page"),
    "status_503": _instead("503 with plain text", retry_after=None),
    "rate_limited": _instead("429 whose message names a useless number of seconds", retry_after=None),
    "html": _instead("200 with an HTML page, as from a captive portal"),
    "broken_json": FaultKind("Carried out; 200 with something that only begins like JSON.", True),
    "truncated_json": _spoilt("a complete HTTP answer whose JSON stops half-way."),
    "empty": FaultKind("Carried out; 200 with no body at all.", True),
    "success_false": _instead("200 with success: false"),
    "error_after_effect": FaultKind("Carried out, then 500.", True),
    "string_ids": _spoilt("ids and amounts come as strings."),
    "bare": _spoilt("the data comes without its envelope."),
    "huge": _spoilt("the answer is padded to some megabytes.", megabytes=8.0),
    "redirect": _instead("302 to another host", location="http://127.0.0.1:9/somewhere-else"),
    "nan": _spoilt("amounts and balances are NaN, Infinity and 1e999."),
    "deep": _spoilt("the data is a list nested very deep.", levels=100_000),
    "nul_text": _spoilt("texts hold NUL, a lone surrogate and a <script>."),
    "refuse_connections": FaultKind(_REFUSED, False, can_choose=False),
}
"""Every fault by name."""


@dataclass
class Fault:
    """A fault that is switched on. Raises ValueError for an unknown name or parameter, or a senseless number."""

    name: str
    parameters: dict[str, Any]
    path: str = ""
    times: int | None = None
    probability: float = 1.0
    seed: InitVar[int | None] = None
    effect: bool | None = None
    hits: int = 0
    """How many requests have met it."""

    def __post_init__(self, seed: int | None) -> None:
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
        self.dice = random.Random(seed)

    @property
    def is_spent(self) -> bool:
        return self.times is not None and self.hits >= self.times

    @property
    def seconds(self) -> float:
        return float(self.parameters["seconds"])

    def meets(self, subject: str) -> bool:
        return not self.is_spent and self.path in subject and self.dice.random() < self.probability


class FaultBoard:
    """The switches. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._wake = threading.Event()

    def switch_on(self, name: str, parameters: Mapping[str, Any] | None = None, **options: Any) -> Fault:
        """Switches a fault on; the options are fields of `Fault`, and it raises what that raises."""
        fault = Fault(name, dict(parameters or {}), **options)
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
            for fault in self._faults:
                if fault.meets(subject):
                    fault.hits += 1
                    return fault
            return None

    @property
    def switched_on(self) -> list[Fault]:
        """The faults that can still be met."""
        with self._lock:
            return [fault for fault in self._faults if not fault.is_spent]

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
