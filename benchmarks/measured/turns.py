"""Measuring in turn: whatever else the machine does meets everybody alike, and only ratios of one run are compared."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass
class Figure:
    """A table: what was measured, in what, the lines, and what is said below."""

    title: str
    unit: str
    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def as_markdown(self) -> str:
        lines = [f"### {self.title}", "", "| " + " | ".join(self.columns) + " |"]
        lines.append("| " + " | ".join("---" for _ in self.columns) + " |")
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        return "\n".join([*lines, "", *self.notes, ""])


def seconds_of(call: Callable[[], object]) -> tuple[float, float]:
    """On the wall, and of this process's processor time."""
    began, busy = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - began, time.process_time() - busy


def in_turn(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Each call once in each round, the order turned by one from round to round."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    names = list(calls)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            found[name].append(seconds_of(calls[name]))
    return found


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def ratio(of: Sequence[float], floor: Sequence[float]) -> float:
    """The median of the rounds' own ratios: a slow moment strikes both sides of one."""
    return statistics.median(one / other for one, other in zip(of, floor, strict=True))
