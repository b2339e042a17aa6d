"""The public API, as a host's checker of types reads it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from altegio_loyalty import services
from tests.reachable import REPOSITORY

HOST, MISTAKES = Path(__file__).with_name("host.py"), Path(__file__).with_name("mistakes.py")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[tuple[int, str]]]:
    """What mypy says of both pages: the lines with their errors."""
    # A cache of its own: what the plugin notes of models does not survive a change of a part of them.
    words = ["-m", "mypy", "--strict", "--no-pretty", "--cache-dir", str(tmp_path_factory.mktemp("cache"))]
    files = [str(file.relative_to(REPOSITORY)) for file in (HOST, MISTAKES)]
    command = [sys.executable, *words, *files]
    said = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert said.returncode == 1, said.stdout + said.stderr
    found: dict[str, set[tuple[int, str]]] = {}
    for name, line, code in re.findall(r"^(\S+?):(\d+): error: .*\[([\w-]+)\]$", said.stdout, re.MULTILINE):
        found.setdefault(name, set()).add((int(line), code))
    assert set(found) <= set(files), said.stdout
    return {Path(name).name: lines for name, lines in found.items()}


@pytest.mark.timeout(600)  # it reads Django and the whole app, from nothing
def test_what_a_host_is_promised_has_these_types(told: dict[str, set[tuple[int, str]]]) -> None:
    assert told.get(HOST.name, set()) == set()


@pytest.mark.timeout(600)
def test_what_a_host_gets_wrong_is_seen(told: dict[str, set[tuple[int, str]]]) -> None:
    lines = enumerate(MISTAKES.read_text(encoding="utf-8").splitlines(), start=1)
    marked = {(number, code) for number, line in lines for code in re.findall(r"# error: ([\w-]+)$", line)}
    assert told[MISTAKES.name] == marked


def test_the_host_uses_every_public_name() -> None:
    used = {
        node.attr
        for node in ast.walk(ast.parse(HOST.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "services"
    }
    assert used == set(services.__all__)
