"""A pytest plugin that notes what was skipped and why, once each, so that several runs can be told of in the end."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

#: Names the file that the reasons are added to, one a line.
VARIABLE = "TESTS_SKIPPED"


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Called where the results come together: with pytest-xdist that is in none of its workers."""
    if path := os.environ.get(VARIABLE):
        with Path(path).open("a") as notes:
            notes.writelines(f"{reason}\n" for reason in reasons(terminalreporter.stats.get("skipped", [])))


def reasons(reports: list[Any]) -> list[str]:
    """Why these tests, or whole modules, were skipped: each reason once, in one line."""
    found = (report.longrepr[2] for report in reports if isinstance(report.longrepr, tuple | list))
    return list(dict.fromkeys(" ".join(str(text).split()).removeprefix("Skipped: ") for text in found))


def read(path: Path) -> list[str]:
    """The reasons of all runs, each once."""
    return list(dict.fromkeys(path.read_text().splitlines())) if path.exists() else []
