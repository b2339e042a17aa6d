"""The faults that can be switched on: what each does to an answer, and which request meets which.

A request meets at most one fault: the first one switched on that matches it and has times left. So faults
that were switched on one after another, each with `times=1`, play one after another.
"""

import itertools
import json
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from altegio_loyalty.sandbox.wire import Answer, Literal, encode

NASTY = "\u0000\ud800<script>alert(1)</script>"
_HEADERS = {"retry_after": "Retry-After", "location": "Location"}


@dataclass(frozen=True)
class FaultKind:
    """A row of faults.json."""

    description: str
    effect: bool
    """Whether the request is carried out all the same; `fail(..., effect=…)` says otherwise where `can_choose`."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """What else `fail` takes for this fault, with the values used when it is not given."""
    can_choose: bool = True
    """False where the answer is made from the real one, so that there must be a real one."""
    instead: Answer | None = None
    """What is answered whatever the books say."""


def _kind_of(description: str, effect: bool, *, instead: Any = None, **more: Any) -> FaultKind:
    if instead and isinstance(instead["body"], str):
        instead = {**instead, "body": instead["body"].encode()}
    return FaultKind(description, effect, instead=instead and Answer(**instead), **more)


_ROWS: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("faults.json").read_bytes())
FAULTS = {name: _kind_of(**row) for name, row in _ROWS.items()}
"""Every fault by name."""


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


def _changed(value: Any, change: Callable[[str, Any], Any], key: str = "") -> Any:
    """The same JSON with every plain value passed through `change`, together with the key it stands under."""
    if isinstance(value, dict):
        return {name: _changed(item, change, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_changed(item, change, key) for item in value]
    return change(key, value)


_CHANGES: dict[str, Callable[..., Any]] = {
    "truncated_json": lambda body: encode(body)[: len(encode(body)) // 2],
    "huge": _huge,
    "deep": _deep,
    "nan": _nan,
    "string_ids": lambda body: _changed(body, _as_text),
    "nul_text": lambda body: _changed(
        body, lambda key, text: text + NASTY if isinstance(text, str) else text
    ),
}
"""Another body instead of the real one, an error of the books' own as well; called with the fault's parameters."""


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
        if unknown := sorted(set(self.parameters) - set(kind.parameters)):
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
        change = _CHANGES.get(self.name)
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
            for fault in self._faults:
                if fault.meets(subject):
                    fault.hits += 1
                    return fault
        return None

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
