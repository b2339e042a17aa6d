"""The attack itself, by scripts whose end is certain: it holds, it notices a site that is broken, and it ends cleanly.

Those that are drawn are for `make chaos`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.script import HELD_BACK
from tests.reachable import REPOSITORY

#: How long anything may take that happens by itself; no test waits for so long unless it fails.
PATIENCE = 280
pytestmark = pytest.mark.timeout(900)


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


def run(folder: Path, code: int, *arguments: str) -> str:
    attack = start(folder, *arguments)
    output, _ = attack.communicate(timeout=PATIENCE)
    assert attack.returncode == code, output
    return output


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


def test_a_scripted_attack__holds_on_a_sound_site(tmp_path: Path) -> None:
    """Each fault in which no time passes is met once, and the log and the ledger agree."""
    output = run(tmp_path, 0, "--script", "sound", "--operations", "30")
    assert output.startswith("Seed 7\n")
    assert "| lost: 0 | doubled: 0 | told wrongly: 0 | open for ever: 0 |" in output, output
    assert "1 cut_before" in output, output
    assert list(tmp_path.iterdir()) == []


def test_a_scripted_attack__finds_what_a_broken_site_did(tmp_path: Path) -> None:
    """One that finds nothing proves nothing unless it finds what is there: no more, no less, and says how to see it."""
    output = run(tmp_path, 1, "--script", "broken")
    assert f"| lost: 0 | doubled: {HELD_BACK} | told wrongly: 0 | open for ever: 0 |" in output, output
    assert "To see it again: python -m tests.chaos --database sqlite" in output
    assert "--script broken" in output


@pytest.mark.skipif(
    not Path("/proc/self/environ").exists(), reason="needs Linux's /proc to look for leftovers"
)
def test_ctrl_c__leaves_nothing_behind(tmp_path: Path) -> None:
    """Every process of the attack has ended when it returns, and its folder is gone."""
    attack = start(tmp_path, "--operations", "500")
    assert attack.stdout is not None
    while "asked for" not in attack.stdout.readline():
        assert attack.poll() is None
    attack.send_signal(signal.SIGINT)
    attack.communicate(timeout=PATIENCE)
    assert attack.returncode == 130
    assert processes_of(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
