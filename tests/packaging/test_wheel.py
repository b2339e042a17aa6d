"""What a host site gets when it installs the app."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

import altegio_loyalty
from tests.reachable import REPOSITORY

PACKAGE = REPOSITORY / "altegio_loyalty"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(folder),
        str(REPOSITORY),
    ]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> str:
    archive = zipfile.ZipFile(wheel)
    return archive.read(next(name for name in archive.namelist() if name.endswith("/METADATA"))).decode()


def test_the_wheel__holds_every_file_of_the_app(names: set[str]) -> None:
    """Templates, static files, translations and migrations are easily forgotten."""
    ours = {
        str(path.relative_to(REPOSITORY))
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert ours - names == set()
    assert {"altegio_loyalty/py.typed", "altegio_loyalty/migrations/0001_initial.py"} <= names


def test_the_wheel__holds_nothing_else(names: set[str]) -> None:
    """Neither the tests nor the demo site: both would land beside other people's packages of these names."""
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"altegio_loyalty", f"altegio_loyalty-{altegio_loyalty.__version__}.dist-info"}


def test_the_metadata__says_what_it_needs(metadata: str) -> None:
    """No more than the app imports, and the licence."""
    required = set(re.findall(r"^Requires-Dist: ([A-Za-z0-9-]+)[^;\n]*$", metadata, re.MULTILINE))
    assert {name.lower() for name in required} == {"django", "cryptography", "requests", "urllib3"}
    assert "Requires-Dist: celery>=5.4; extra == 'celery'" in metadata
    # The first that bounds what an answer unpacks to; and its private places are used, which a next major may move.
    assert "Requires-Dist: urllib3<3,>=2.6" in metadata
    assert "Requires-Dist: requests<3,>=2.32" in metadata
    assert "Requires-Python: >=3.11" in metadata
    assert "License-Expression: MIT" in metadata
    assert f"Version: {altegio_loyalty.__version__}" in metadata
    assert re.findall(r"^Project-URL: ([^,]+), (https:.+)$", metadata, re.MULTILINE) == [
        ("Altegio API", "https://developer.alteg.io/api"),
        ("YCLIENTS API", "https://developer.yclients.com/"),
    ]


def test_the_wheel__works_in_a_host_site(wheel: Path, tmp_path: Path) -> None:
    """From what is in the wheel alone, without the tree."""
    zipfile.ZipFile(wheel).extractall(tmp_path)
    kept = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    ran = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "host.py")],
        cwd=tmp_path,
        env={**kept, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"works from {tmp_path}" in ran.stdout


def bounds(requirements: list[str]) -> dict[str, str]:
    """The lowest version wanted of each package."""
    found = (re.match(r"([A-Za-z0-9-]+)>=([\d.]+)", line) for line in requirements)
    return {match[1].lower(): match[2] for match in found if match}


def test_requirements__ask_for_the_versions_that_the_package_asks_for() -> None:
    """The demo runs on what a host site gets."""
    project: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    declared = bounds([*project["dependencies"], *extras["celery"], *extras["demo"], *extras["xlsx"]])
    assert bounds((REPOSITORY / "requirements.txt").read_text().splitlines()) == declared
