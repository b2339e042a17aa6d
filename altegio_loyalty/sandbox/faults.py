"""The faults that can be switched on: what each does to an answer, and which request meets which.

A request meets at most one fault: the first one switched on that matches it and has times left. So faults
that were switched on one after another, each with `times=1`, play one after another.
"""

import json
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from altegio_loyalty.sandbox.wire import Answer, encode


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
    instead: Mapping[str, Any] | None = None
    """What is answered whatever the books say. A header's value is the parameter of that name, where it is given."""


_ROWS: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("faults.json").read_bytes())
FAULTS = {name: FaultKind(**row) for name, row in _ROWS.items()}
"""Every fault by name."""


CHANGES: dict[str, Callable[..., bytes]] = {"truncated_json": lambda body: body[: len(body) // 2]}
"""Other bytes instead of the real ones, an error of the books' own as well; called with the fault's parameters."""


class Fault:
    """A fault that is switched on. Raises ValueError for an unknown name or parameter, or a senseless number.

    `times` None means until healed; `effect` overrides whether the request is carried out all the same.
    """

    def __init__(
        self,
        name: str,
        *,
        path: str = "",
        times: int | None = None,
        probability: float = 1.0,
        seed: int | None = None,
        effect: bool | None = None,
        **parameters: Any,
    ) -> None:
        kind = _kind(name)
        if unknown := sorted(set(parameters) - set(kind.parameters)):
            takes = ", ".join(kind.parameters) or "none of its own"
            raise ValueError(f"The fault {name} takes no {', '.join(unknown)}; it takes {takes}.")
        if effect not in (None, kind.effect) and not kind.can_choose:
            raise ValueError(f"The fault {name} cannot choose its effect.")
        # A form sends texts.
        self.times, self.probability = times if times is None else int(times), float(probability)
        if self.times is not None and self.times < 1:
            raise ValueError("times must be at least 1, or None for until it is healed.")
        if not 0 <= self.probability <= 1:
            raise ValueError("probability must be between 0 and 1.")
        self.name, self.path = name, path
        self.effect = kind.effect if effect is None else effect
        given = {key: value for key, value in parameters.items() if value is not None}
        self.parameters = {key: type(usual)(given.get(key, usual)) for key, usual in kind.parameters.items()}
        self.hits = 0
        """How many requests have met it."""
        self._dice = random.Random(seed)

    @property
    def state(self) -> dict[str, Any]:
        """As plain values."""
        shown = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        return shown | {"times_left": self.times_left}

    @property
    def times_left(self) -> int | None:
        return None if self.times is None else self.times - self.hits

    def meets(self, subject: str) -> bool:
        return self.times_left != 0 and self.path in subject and self._dice.random() < self.probability

    @property
    def instead(self) -> Answer | None:
        """The answer that it gives whatever the books say; None when it spoils the real one."""
        if (shown := FAULTS[self.name].instead) is None:
            return None
        given = {header: self.parameters[name] for header, name in shown.get("headers", {}).items()}
        body = shown["body"].encode() if isinstance(shown["body"], str) else shown["body"]
        return Answer(
            **{**shown, "body": body, "headers": {name: given[name] for name in given if given[name]}}
        )

    def spoil(self, answer: Answer) -> Answer:
        """The real answer, spoilt; an error of the books' own (404, 422, …) as well."""
        if change := CHANGES.get(self.name):
            return replace(answer, body=change(encode(answer.body, float_noise=False), **self.parameters))
        return answer


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
