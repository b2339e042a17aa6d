"""The figures of docs/scale.md."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.reachable import REPOSITORY


@pytest.mark.timeout(300)
def test_the_docs__hold_what_the_simulation_gives() -> None:
    """Line by line: a budget with other shares, or a longer log, changes the page."""
    command = [sys.executable, "benchmarks/franchise.py"]
    told = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    page = (REPOSITORY / "docs" / "scale.md").read_text().splitlines()
    assert len(told) > 8
    assert [line for line in told if line not in page] == []
