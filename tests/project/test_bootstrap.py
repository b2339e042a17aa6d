"""Setting up on a machine that lacks something: a clear word instead of a stack."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from project.demo import bootstrap
from tests.reachable import REPOSITORY


@pytest.fixture
def requirements(tmp_path: Path) -> Path:
    path = tmp_path / "requirements.txt"
    path.write_text("a-package\n")
    return path


@pytest.fixture
def this_python(tmp_path: Path) -> Path:
    """A virtual environment, in which pip is whatever the test makes of it."""
    folder = tmp_path / "venv"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys.executable)
    return folder


def pip_that_says(monkeypatch: pytest.MonkeyPatch, text: str, code: int) -> list[str]:
    """Replace pip with a program that says `text` and ends with `code`; returns what it was asked to install."""
    asked: list[str] = []
    monkeypatch.setattr(
        bootstrap, "PIP", ("-c", f"import sys; print({text!r}, file=sys.stderr); sys.exit({code})")
    )
    before = bootstrap.pip_install

    def noted(python: Path, folder: Path, requirements: Path) -> Any:
        asked.append(requirements.name)
        return before(python, folder, requirements)

    monkeypatch.setattr(bootstrap, "pip_install", noted)
    monkeypatch.setattr(bootstrap, "works", lambda python: True)
    return asked


def test_install__happens_when_the_requirements_changed_and_only_then(
    this_python: Path, requirements: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second start asks nobody."""
    asked = pip_that_says(monkeypatch, "", 0)
    bootstrap.main(this_python, requirements, [])
    bootstrap.main(this_python, requirements, [])
    assert asked == ["requirements.txt"]
    requirements.write_text("a-package\nanother\n")
    bootstrap.main(this_python, requirements, [])
    assert asked == ["requirements.txt"] * 2


def test_works__only_for_an_environment_of_this_python(tmp_path: Path) -> None:
    """Neither for one that is not there, nor for one of another version."""
    other = tmp_path / "python"
    other.write_text("#!/bin/sh\nexit 1\n")
    other.chmod(0o755)
    assert bootstrap.works(Path(sys.executable))
    assert not bootstrap.works(other)
    assert not bootstrap.works(tmp_path / "nothing")


def test_fingerprint__follows_included_files(tmp_path: Path, requirements: Path) -> None:
    """A change in the included file is a change."""
    outer = tmp_path / "requirements-dev.txt"
    outer.write_text("-r requirements.txt\n")
    before = bootstrap.fingerprint(outer)
    requirements.write_text("something-else\n")
    assert bootstrap.fingerprint(outer) != before


def test_no_network__is_said_in_plain_words(
    this_python: Path, requirements: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing is taken for installed."""
    pip_that_says(
        monkeypatch, "WARNING: Retrying ... NewConnectionError: [Errno 101] Network is unreachable", 1
    )
    with pytest.raises(bootstrap.CannotSetUp, match="Is there a network"):
        bootstrap.main(this_python, requirements, [])
    assert not (this_python / "requirements.installed").exists()


def test_another_failure_of_pip__shows_its_last_errors(
    this_python: Path, requirements: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What pip itself says is the best there is."""
    pip_that_says(monkeypatch, "ERROR: No matching distribution found for a-package", 1)
    with pytest.raises(bootstrap.CannotSetUp, match="No matching distribution found"):
        bootstrap.main(this_python, requirements, [])


def test_what_is_optional__may_fail(
    this_python: Path, requirements: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A driver that cannot be compiled leaves the rest alone, and says so."""
    pip_that_says(monkeypatch, "ERROR: no compiler", 1)
    monkeypatch.setattr(bootstrap, "has_mariadb_headers", lambda: True)
    bootstrap.install_if_possible(this_python / "bin" / "python", this_python, requirements)
    assert "is left out" in capsys.readouterr().out


def test_a_python_without_venv__is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Debian's is, until its package is there."""
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "ensurepip" else found(name)
    )
    with pytest.raises(
        bootstrap.CannotSetUp, match=r"lacks the module ensurepip.*apt-get install python3\.\d+-venv"
    ):
        bootstrap.make_environment(tmp_path / "venv")


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
@pytest.mark.parametrize("named", [True, False])
def test_make__names_the_python_that_it_found_and_the_one_it_needs(tmp_path: Path, named: bool) -> None:
    """An old Python is no reason for a stack."""
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\ncase "$2" in *print*) echo 3.9;; *) exit 1;; esac\n')
    old.chmod(0o755)
    for tool in ("sh", "bash"):
        (tmp_path / tool).symlink_to(shutil.which(tool) or "/bin/sh")
    arguments = [f"PYTHON={old}"] if named else []
    made = subprocess.run(
        [str(shutil.which("make")), "-C", str(REPOSITORY), "demo", *arguments],
        env={"PATH": str(tmp_path), "HOME": os.environ.get("HOME", "/")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode != 0
    assert "Python 3.11 or newer is needed." in made.stderr
    assert "is Python 3.9." in made.stderr
    assert "make demo PYTHON=" in made.stderr
