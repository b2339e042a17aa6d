"""With which Python, Django and other packages the app is tested: `[tool.matrix]` of pyproject.toml, and nowhere else.

`python tests/matrix.py` prints the cells as JSON, for a workflow. `python tests/matrix.py 6.1 newest [pytest's arguments]`
makes an environment with the Python that it is run by and runs the tests in it on SQLite. It needs nothing but that Python.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
PROJECT: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
MATRIX: dict[str, Any] = PROJECT["tool"]["matrix"]
#: Every warning is heard; checking the memory of what is written in C as well would make each test half as slow again.
DEVELOPMENT = {"PYTHONDEVMODE": "1", "PYTHONMALLOC": "pymalloc"}
#: More than there are cores, since more than half of the time goes by in waiting; no more, since timings should stay true.
WORKERS_FOR_EACH_CORE = 1.5
MOST_WORKERS = 4


def pytest_in_parallel(python: str) -> list[str]:
    workers = min(round((os.cpu_count() or 1) * WORKERS_FOR_EACH_CORE), MOST_WORKERS)
    return [python, "-m", "pytest", "-n", str(workers), "--dist", "worksteal"]


def cells() -> list[dict[str, str]]:
    """Each Python with each Django that runs on it, with the lowest and the newest of the other packages."""
    return [
        {"python": python, "django": django, "versions": versions}
        for python in MATRIX["python"]
        for django, oldest in MATRIX["django"].items()
        for versions in MATRIX["versions"]
        if _number(python) >= _number(oldest)
    ]


def constraints(django: str, versions: str) -> list[str]:
    """For pip. The lowest is the newest fix of the lowest release that the package declares."""
    lines = [f"Django=={django}.*"]
    if versions == "lowest":
        extras = PROJECT["project"]["optional-dependencies"].values()
        needed = [*PROJECT["project"]["dependencies"], *(line for extra in extras for line in extra)]
        found = (re.match(r"(?!Django>)([A-Za-z0-9-]+)>=(\d+(?:\.\d+)?)", line) for line in needed)
        lines += [f"{match[1]}=={match[2]}.*" for match in found if match]
    return lines


def test(django: str, versions: str, arguments: list[str]) -> int:
    """Exit code of the first command of that cell that fails, or 0."""
    folder = f".venv-django{django}-{versions}"
    file = REPOSITORY / "var" / f"django{django}-{versions}.txt"
    file.parent.mkdir(exist_ok=True)
    file.write_text("\n".join(constraints(django, versions)) + "\n", encoding="utf-8")
    python = f"{folder}/bin/python"
    commands = [
        [sys.executable, "project/demo/bootstrap.py", folder, "requirements-dev.txt"],
        [python, "manage.py", "check", "--fail-level", "WARNING"],
        [python, "manage.py", "makemigrations", "--check", "--dry-run"],
        [*pytest_in_parallel(python), *arguments],
    ]
    kept = {**os.environ, **DEVELOPMENT, "PIP_CONSTRAINT": str(file)}
    codes = (
        subprocess.run(command, cwd=REPOSITORY, env=kept, check=False).returncode for command in commands
    )
    return next((code for code in codes if code), 0)


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


if __name__ == "__main__":
    if len(sys.argv) == 1:
        print(json.dumps({"include": cells()}))
    else:
        sys.exit(test(sys.argv[1], sys.argv[2], sys.argv[3:]))
