"""What `make mutants` is told in pyproject.toml and equivalent.toml is of files that are there."""

from __future__ import annotations

import tomllib
from typing import Any

from tests.reachable import REPOSITORY

TABLE: dict[str, list[str]] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"][
    "cosmic-ray"
]["tests"]
KNOWN: list[dict[str, Any]] = tomllib.loads((REPOSITORY / "tests/mutants/equivalent.toml").read_text())[
    "mutant"
]


def test_each_module_and_each_of_its_tests_is_there() -> None:
    names = [f"altegio_loyalty/{name}" for name in TABLE]
    names += [test.removeprefix("--deselect=") for tests in TABLE.values() for test in tests]
    assert [name for name in names if not (REPOSITORY / name).exists()] == []


def test_each_known_mutant_is_of_lines_that_are_there_and_has_its_reason() -> None:
    for known in KNOWN:
        lines = " ".join(line.strip() for line in (REPOSITORY / known["path"]).read_text().splitlines())
        assert known["before"] in lines, known
        assert known["after"] != known["before"]
        assert known["why"]
