"""What `make test` says of the tests that it left out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import skips
from tests.reachable import REPOSITORY

TESTS = """
import pytest

@pytest.mark.parametrize("number", range(4))
def test_one(number):
    pytest.skip("there is no\\ngettext")

@pytest.mark.skipif(True, reason="there is no make")
def test_other():
    pass

@pytest.mark.xfail
def test_known():
    raise AssertionError
"""


@pytest.mark.parametrize("workers", ["0", "2"])
def test_every_reason__is_named_once(tmp_path: Path, workers: str) -> None:
    """However many tests, modules, processes and runs it kept from running."""
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "test_all.py").write_text("import pytest\npytest.importorskip('no_such_module')\n")
    notes = tmp_path / "skipped"
    command = [sys.executable, "-m", "pytest", "-q", "-n", workers, "-c", os.devnull, "-p", "no:django"]
    command += ["-p", "no:cacheprovider", "-p", "tests.skips", "--rootdir", str(tmp_path), str(tmp_path)]
    environment = {**os.environ, skips.VARIABLE: str(notes), "PYTHONPATH": str(REPOSITORY)}
    for _ in range(2):
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
    assert sorted(skips.read(notes)) == [
        "could not import 'no_such_module': No module named 'no_such_module'",
        "there is no gettext",
        "there is no make",
    ]


def test_nothing_skipped__names_nothing(tmp_path: Path) -> None:
    """And there need not be a file."""
    assert skips.read(tmp_path / "skipped") == []
