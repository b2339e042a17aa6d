"""`python -m tests [pytest's arguments]`: everything on SQLite, then what touches the database on each other database.

What is left out is named at the end, with its reason; with REQUIRE_ALL=1 it fails the run. With COVERAGE=1 the run on SQLite
measures which branches of the app are taken, and fails below the floor in pyproject.toml; nobody else waits for that.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests import reachable, skips
from tests.matrix import DEVELOPMENT, pytest_in_parallel

NOTHING_COLLECTED = 5
MEASURING = ("--cov", "--cov-report=term")
MEASURES_COVERAGE = os.environ.get("COVERAGE", "") not in {"", "0"}


def run(title: str, arguments: list[str], measuring: Sequence[str] = (), **environment: str) -> bool:
    """Whether the run passed. A selection of the caller's may leave a database without a test."""
    print(f"\n== {title}", flush=True)
    started_at = time.monotonic()
    command = [*pytest_in_parallel(sys.executable), *measuring, *arguments]
    code = subprocess.run(
        command,
        cwd=reachable.REPOSITORY,
        env={**os.environ, **DEVELOPMENT, **environment},
        check=False,
    ).returncode
    print(
        f"== {title}: {'passed' if code == 0 else f'ended with {code}'}, {time.monotonic() - started_at:.0f} s",
        flush=True,
    )
    return code == 0 or (code == NOTHING_COLLECTED and bool(arguments))


def main(arguments: list[str]) -> int:
    missing = [needed for needed in reachable.ALL if needed.why_not()]
    if missing and reachable.REQUIRES_ALL:
        lines = "".join(f"\n  {needed.refusal()}" for needed in missing)
        print(f"REQUIRE_ALL is set, and these are missing:{lines}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder) / "skipped"
        os.environ[skips.VARIABLE] = str(notes)
        try:
            passed = [run("SQLite: all tests", arguments, MEASURING if MEASURES_COVERAGE else ())]
            for needed, url in reachable.DATABASES:
                if needed not in missing:
                    title = f"{needed.title}: the tests that touch the database"
                    passed.append(run(title, ["--only-database", *arguments], DATABASE_URL=url))
        except KeyboardInterrupt:
            return 130
        left_out = dict.fromkeys([*(needed.refusal() for needed in missing), *skips.read(notes)])
    if left_out:
        print("\nLeft out:", *left_out, sep="\n  ")
    print(f"\nAll {len(passed)} runs passed." if all(passed) else "\nThe tests failed.")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
