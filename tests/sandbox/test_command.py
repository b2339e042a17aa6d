"""manage.py altegio_sandbox, as a person starts and stops it."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from django.core.management import CommandError, call_command

from altegio_loyalty.sandbox import Sandbox, SandboxRemote
from project.demo import leash
from tests.sandbox.scene import TIMEOUT

ROOT = Path(__file__).parents[2]


class Running:
    def __init__(self, *options: str) -> None:
        words = [sys.executable, "manage.py", "altegio_sandbox", "--port", "0", *options]
        self.process = leash.start(
            words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.output = ""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line
            if "Ctrl-C" in line:
                break

    def value(self, label: str) -> str:
        line = next(line for line in self.output.splitlines() if label in line)
        return line.rpartition(" ")[2]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        leash.send(self.process, number)
        rest, _ = self.process.communicate(timeout=TIMEOUT)
        self.output += rest
        return self.process.returncode


@pytest.fixture
def start() -> Iterator[type[Running]]:
    started: list[Running] = []

    class Kept(Running):
        def __init__(self, *options: str) -> None:
            started.append(self)
            super().__init__(*options)

    yield Kept
    for running in started:
        leash.send(running.process, signal.SIGKILL)
        running.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_says_where_and_how_and_ends_cleanly(start: type[Running], number: signal.Signals) -> None:
    running = start()
    headers = {
        "Authorization": f"Bearer {running.value('Partner token')}, User {running.value('User token')}"
    }
    answer = requests.get(running.value("API URL") + "/company/4564", headers=headers, timeout=TIMEOUT)
    assert answer.json()["title"] == "Salon on Main Street"
    assert requests.get(running.value("Page"), timeout=TIMEOUT).status_code == 200
    assert running.stop(number) == 0
    assert "Traceback" not in running.output
    assert running.output.endswith("Stopped.\n")


def test_limits_the_rate_unless_told_otherwise(start: type[Running]) -> None:
    def statuses(running: Running) -> Iterator[int]:
        while True:
            yield requests.get(running.value("API URL") + "/company/1", timeout=TIMEOUT).status_code

    # At the latest the limit of a minute refuses one, so that even a slow machine sees an end.
    assert 429 in statuses(start())
    unlimited = start("--no-rate-limit")
    assert 429 not in itertools.islice(statuses(unlimited), 8)
    assert SandboxRemote(unlimited.value("Page")).state()["has_rate_limit"] is False


def test_keeps_its_books_in_a_file(start: type[Running], tmp_path: Path) -> None:
    file = str(tmp_path / "books.json")
    first = start("--state", file, "--seed", "empty")
    requests.post(first.value("Page") + "_sandbox/tokens", json={}, timeout=TIMEOUT)
    first.stop()
    second = start("--state", file)
    assert second.value("User token") == "sandbox-user-token-2"


def test_taken_port_says_what_to_do() -> None:
    with Sandbox() as sandbox, pytest.raises(CommandError, match="choose another port with --port"):
        call_command("altegio_sandbox", port=sandbox.port)


@pytest.mark.parametrize("port", [-1, 65536])
def test_port_that_is_none_says_what_to_do(port: int) -> None:
    with pytest.raises(CommandError, match="--port: a number"):
        call_command("altegio_sandbox", port=port)


def test_broken_state_file_says_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "books.json"
    file.write_text("{")
    with pytest.raises(CommandError, match="delete this one"):
        call_command("altegio_sandbox", port=0, state=str(file))


def test_unknown_host_is_an_error() -> None:
    with pytest.raises(CommandError, match="Cannot listen"):
        call_command("altegio_sandbox", port=0, host="256.0.0.1")
