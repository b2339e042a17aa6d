"""A short attack, so that the long one cannot rot: it holds, it notices a site that is broken, and it ends cleanly."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.reachable import REPOSITORY

pytestmark = pytest.mark.timeout(300)


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    small = ["--pool", "threads", "--requesters", "2", "--seed", "7", *arguments]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.chaos", *small],
        cwd=REPOSITORY,
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def processes_of(folder: Path) -> list[str]:
    """The processes whose environment names the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if str(folder).encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return [pid for pid in found if pid != str(os.getpid())]


def test_a_short_attack__holds(tmp_path: Path) -> None:
    """Faulty calls, kills and pauses, and the log and the ledger agree."""
    output, _ = start(tmp_path, "--operations", "30", "--kills", "8").communicate(timeout=240)
    assert output.startswith("Seed 7\n")
    assert "| lost: 0 | doubled: 0 | told wrongly: 0 | open for ever: 0 |" in output, output
    assert list(tmp_path.iterdir()) == []


def test_a_broken_site__is_noticed(tmp_path: Path) -> None:
    """An attack that finds nothing proves nothing unless it finds what is there."""
    attack = start(tmp_path, "--operations", "60", "--kills", "0", "--faults", "0.7", "--sabotage")
    output, _ = attack.communicate(timeout=240)
    assert attack.returncode == 1, output
    assert "To see it again: python -m tests.chaos --database sqlite" in output
    # A second effect or an effect denied: which of them an absence taken for a proof leads to is chance.
    found = re.search(r"\| doubled: (\d+) \| told wrongly: (\d+) \|", output)
    assert found is not None, output
    assert any(int(count) for count in found.groups()), output


@pytest.mark.skipif(
    not Path("/proc/self/environ").exists(), reason="needs Linux's /proc to look for leftovers"
)
def test_ctrl_c__leaves_nothing_behind(tmp_path: Path) -> None:
    """Every process of the attack has ended when it returns, and its folder is gone."""
    attack = start(tmp_path, "--operations", "500")
    assert attack.stdout is not None
    while "asked for" not in attack.stdout.readline():
        assert attack.poll() is None
    time.sleep(1)
    attack.send_signal(signal.SIGINT)
    attack.communicate(timeout=60)
    assert attack.returncode == 130
    assert processes_of(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
