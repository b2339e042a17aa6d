"""Tries the mutants: each in its own run of the tests that hold its module."""

from __future__ import annotations

import contextlib
import difflib
import math
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cosmic_ray.plugins
from cosmic_ray.mutating import use_mutation
from cosmic_ray.work_db import WorkDB
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkerOutcome, WorkResult

#: A mutant that makes the tests so many times slower than they were hangs; some seconds more for a machine that is busy.
TIMES, SECONDS_MORE = 4, 60


@dataclass(frozen=True)
class Config:
    """`[tool.cosmic-ray]` of pyproject.toml, and the mutants that are known to be equivalent."""

    tests: dict[str, list[str]]
    operators: re.Pattern[str]
    equivalent: list[dict[str, str]]

    @classmethod
    def read(cls, pyproject: Path, equivalent: Path) -> Config:
        table: dict[str, Any] = tomllib.loads(pyproject.read_text())["tool"]["cosmic-ray"]
        known = tomllib.loads(equivalent.read_text()).get("mutant", [])
        return cls(table["tests"], re.compile("|".join(table["operators"])), known)

    def uses(self, operator: str) -> bool:
        return self.operators.fullmatch(operator) is not None

    def modules(self) -> list[Path]:
        found: list[Path] = []
        for name in self.tests:
            path = Path("altegio_loyalty") / name
            found += sorted(path.rglob("*.py")) if path.is_dir() else [path]
        return list(dict.fromkeys(found))

    def tests_of(self, module: Path) -> list[str]:
        """Those of the longest name of the table that the module is, or is below."""
        place = module.relative_to("altegio_loyalty")
        names = [name for name in self.tests if place.is_relative_to(name)]
        return self.tests[max(names, key=len)]

    def why_equivalent(self, diff: str) -> str:
        """The reason, where the diff is of a mutant that is known; else empty."""
        lines = diff.splitlines()
        path = next((line[6:] for line in lines if line.startswith("+++ b/")), "")
        body = [line for line in lines if not line.startswith(("---", "+++"))]
        before, after = (
            " ".join(line[1:].strip() for line in body if line.startswith(sign)) for sign in ("-", "+")
        )
        for known in self.equivalent:
            if (known["path"], known["before"], known["after"]) == (path, before, after):
                return known["why"]
        return ""


def command_of(tests: list[str]) -> list[str]:
    quick = ["-n", "0", "-x", "-q", "--no-header", "-p", "no:cacheprovider", "--timeout=60"]
    return [sys.executable, "-m", "pytest", *quick, *tests]


def run(database: WorkDB, config: Config) -> None:
    """Try what is pending, and keep each result as it comes."""
    limits: dict[str, float] = {}
    pending = sorted(database.pending_work_items, key=lambda item: item.job_id)
    for number, item in enumerate(pending, 1):
        mutation = item.mutations[0]
        tests = config.tests_of(mutation.module_path)
        if (name := " ".join(tests)) not in limits:
            limits[name] = _seconds_allowed(tests)
        began = time.monotonic()
        result = _tried(mutation, tests, limits[name])
        database.set_result(item.job_id, result)
        outcome = "survived" if result.test_outcome is TestOutcome.SURVIVED else "killed"
        place = f"{mutation.module_path}:{mutation.start_pos[0]}"
        print(f"{number}/{len(pending)} {outcome}, {time.monotonic() - began:.0f} s: {place}", flush=True)


def _tried(mutation: MutationSpec, tests: list[str], seconds: float) -> WorkResult:
    operator = cosmic_ray.plugins.get_operator(mutation.operator_name)()
    with use_mutation(mutation.module_path, operator, mutation.occurrence) as (before, after):
        diff = _diff(mutation.module_path, before, after)
        notices = not _pass(tests, seconds)
    outcome = TestOutcome.KILLED if notices else TestOutcome.SURVIVED
    return WorkResult(WorkerOutcome.NORMAL, test_outcome=outcome, diff=diff)


def _diff(path: Path, before: str, after: str) -> str:
    sides = (before.splitlines(), after.splitlines(), f"a/{path}", f"b/{path}")
    return "\n".join(difflib.unified_diff(*sides, lineterm="", n=1))


def _pass(tests: list[str], seconds: float | None = None) -> bool:
    """Whether the tests pass in so many seconds. What they started ends with them, also at Ctrl-C."""
    # A compiled file would hide a change that comes in the same second as the last one.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    command = command_of(tests)
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, start_new_session=True
    ) as run:
        try:
            return run.wait(seconds) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(run.pid, signal.SIGKILL)


def _seconds_allowed(tests: list[str]) -> float:
    """The tests must pass without any mutant, or each would seem to be killed."""
    began = time.monotonic()
    if not _pass(tests):
        raise SystemExit(f"Without any mutant these do not pass: {' '.join(tests)}")
    return math.ceil((time.monotonic() - began) * TIMES + SECONDS_MORE)


def forget_survivors(session: Path) -> None:
    """Cosmic Ray keeps no way to take a result back."""
    with contextlib.closing(sqlite3.connect(session)) as connection, connection:
        survived = TestOutcome.SURVIVED.name
        connection.execute("DELETE FROM work_results WHERE test_outcome = ?", (survived,))
