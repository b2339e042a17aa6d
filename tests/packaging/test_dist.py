"""What `make dist` makes, and with which versions it is tested."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.matrix import MATRIX, PROJECT, cells, constraints
from tests.reachable import REPOSITORY

WORKFLOW: dict[str, Any] = yaml.safe_load((REPOSITORY / ".github/workflows/tests.yml").read_text())


def build(tree: Path, folder: Path) -> tuple[Path, Path]:
    """The wheel and the source package that this tree makes."""
    command = [
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        "--wheel",
        "--sdist",
        "--outdir",
        str(folder),
        str(tree),
    ]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return next(folder.glob("*.whl")), next(folder.glob("*.tar.gz"))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return build(REPOSITORY, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def page(built: tuple[Path, Path]) -> str:
    """What the index shows of the package."""
    archive = zipfile.ZipFile(built[0])
    name = next(name for name in archive.namelist() if name.endswith("/METADATA"))
    return str(HeaderParser().parsestr(archive.read(name).decode()).get_payload())


def test_what_is_built_from_the_source_package__is_the_same_to_the_byte(
    built: tuple[Path, Path], tmp_path: Path
) -> None:
    """In another place, at another time, by somebody with other rights to files."""
    mask = os.umask(0o077)
    try:
        with tarfile.open(built[1]) as archive:
            archive.extractall(tmp_path, filter="data")
        again = build(next(tmp_path.glob("altegio_loyalty-*")), tmp_path / "dist")
    finally:
        os.umask(mask)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in built]


def test_the_source_package__has_all_that_its_commands_need(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    makefile = (REPOSITORY / "Makefile").read_text()
    needed = set(re.findall(r"requirements[\w-]*\.txt|project/\w+/\w+\.py|manage\.py", makefile))
    assert needed | {"tests/__main__.py", "docs/conf.py", "LICENSE", "README.md"} <= names


def test_the_page_of_the_package__has_no_link_that_leads_nowhere(page: str) -> None:
    assert "# altegio_loyalty" in page
    assert [target for target in re.findall(r"\]\(([^)]+)\)", page) if not target.startswith("https:")] == []


def test_the_classifiers__are_the_matrix() -> None:
    named = PROJECT["project"]["classifiers"]
    python = [match[1] for line in named if (match := re.search(r"Python :: (3\.\d+)$", line))]
    django = [match[1] for line in named if (match := re.search(r"Django :: (\d\.\d)$", line))]
    assert (python, django) == (MATRIX["python"], list(MATRIX["django"]))


def test_the_matrix__has_no_django_on_a_python_that_it_does_not_run_on() -> None:
    tried = {(cell["python"], cell["django"]) for cell in cells()}
    assert ("3.11", "5.2") in tried
    assert ("3.11", "6.0") not in tried
    assert len(cells()) == 2 * len(tried) == 20


def test_the_lowest_versions__are_those_that_the_package_declares() -> None:
    lowest = constraints("5.2", "lowest")
    assert {"Django==5.2.*", "requests==2.32.*", "urllib3==2.6.*", "celery==5.4.*"} <= set(lowest)
    assert constraints("5.2", "newest") == ["Django==5.2.*"]


def test_the_workflow__calls_the_gate_and_the_matrix() -> None:
    """It knows nothing that they do not."""
    ran = [step["run"] for job in WORKFLOW["jobs"].values() for step in job["steps"] if "run" in step]
    assert ".ci/run" in ran
    assert any("tests/matrix.py" in command and "GITHUB_OUTPUT" in command for command in ran)
    assert "python tests/matrix.py ${{ matrix.django }} ${{ matrix.versions }}" in ran
