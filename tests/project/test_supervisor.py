"""The supervisor, with real processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from project.demo.supervisor import port_problem
from tests.reachable import REPOSITORY, free_port

SCRIPT = """
import sys
from project.demo.supervisor import Program, Supervisor, Timing
timing = Timing(start=5, grace=0.6, restart_delay=0.1, stable=60, deaths_in_a_row=3)
programs = [Program(name, [sys.executable, "-c", code], int(port) or None)
            for name, port, code in zip(*[iter(sys.argv[1:])] * 3)]
sys.exit(Supervisor(programs, lambda text: print(text, flush=True), timing).run(lambda: print("all ready", flush=True)))
"""
SLEEPS = "import os, time; print('I am', os.getpid(), flush=True); time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPS


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Callable[..., Supervised]]:
    started: list[Supervised] = []

    def start(*programs: tuple[str, int, str]) -> Supervised:
        started.append(Supervised(programs, tmp_path / "output"))
        return started[-1]

    yield start
    for supervised in started:
        supervised.process.kill()
        supervised.process.wait()


class Supervised:
    """A supervisor at work in its own process."""

    def __init__(self, programs: tuple[tuple[str, int, str], ...], output: Path) -> None:
        self.output = output
        arguments = [str(part) for program in programs for part in program]
        with output.open("w") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-c", SCRIPT, *arguments],
                cwd=REPOSITORY,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )

    @property
    def said(self) -> str:
        return self.output.read_text()

    def wait_for(self, text: str, count: int = 1) -> None:
        wait_until(lambda: self.said.count(text) >= count, lambda: f"{text!r} not in:\n{self.said}")

    def ids(self) -> list[int]:
        """The process ids that the programs told, in the order in which they did."""
        return [int(line.rpartition(" ")[2]) for line in self.said.splitlines() if "| I am " in line]


def wait_until(is_so: Callable[[], bool], complaint: Callable[[], str] = lambda: "") -> None:
    give_up_at = time.monotonic() + 15
    while not is_so():
        assert time.monotonic() < give_up_at, complaint()
        time.sleep(0.02)


def is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return (
        not Path(f"/proc/{process_id}/stat").exists()
        or ") Z " not in Path(f"/proc/{process_id}/stat").read_text()
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal__ends_everything_cleanly(
    supervise: Callable[..., Supervised], number: signal.Signals
) -> None:
    """Ctrl-C, a kill and a closed window: nothing is left, and that is no error."""
    supervised = supervise(("one", 0, SLEEPS), ("two", 0, SLEEPS))
    supervised.wait_for("I am", 2)
    supervised.process.send_signal(number)
    assert supervised.process.wait(10) == 0
    assert not any(map(is_running, supervised.ids()))


def test_a_program_that_dies__is_started_again(supervise: Callable[..., Supervised]) -> None:
    """It is said which, how, and what it said last."""
    supervised = supervise(("steady", 0, SLEEPS), ("frail", 0, SLEEPS))
    supervised.wait_for("I am", 2)
    frail = next(int(line.split()[-1]) for line in supervised.said.splitlines() if line.startswith("frail "))
    os.kill(frail, signal.SIGKILL)
    supervised.wait_for("| I am", 3)
    assert "frail was ended by SIGKILL. Its last lines:\n    I am" in supervised.said
    supervised.wait_for("frail was started again")
    assert is_running(supervised.ids()[-1])


def test_a_program_that_keeps_dying__ends_everything(supervise: Callable[..., Supervised]) -> None:
    """What cannot run is not started for ever, and the supervisor says that it failed."""
    supervised = supervise(("steady", 0, SLEEPS), ("broken", 0, "raise SystemExit('no such thing')"))
    assert supervised.process.wait(15) == 1
    assert "broken ended by itself with code 1. Its last lines:\n    no such thing" in supervised.said
    assert "broken died 3 times in a row. Everything ends." in supervised.said
    assert not any(map(is_running, supervised.ids()))


def test_a_program_that_will_not_end__is_killed(supervise: Callable[..., Supervised]) -> None:
    """After its time of grace."""
    supervised = supervise(("stubborn", 0, STUBBORN))
    supervised.wait_for("I am")
    supervised.process.terminate()
    assert supervised.process.wait(10) == 0
    assert "stubborn did not end in time and is killed." in supervised.said
    assert not any(map(is_running, supervised.ids()))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_a_killed_supervisor__leaves_no_program_behind(supervise: Callable[..., Supervised]) -> None:
    """Even when it had no chance to end them."""
    supervised = supervise(("one", 0, SLEEPS), ("two", 0, SLEEPS))
    supervised.wait_for("I am", 2)
    supervised.process.kill()
    supervised.process.wait()
    wait_until(lambda: not any(map(is_running, supervised.ids())))


def test_readiness__waits_for_the_ports(supervise: Callable[..., Supervised], tmp_path: Path) -> None:
    """It is ready when the slowest answers, not when it was started."""
    may_open, port = tmp_path / "may-open", free_port()
    waits = f"import pathlib, socket, time\nwhile not pathlib.Path({str(may_open)!r}).exists(): time.sleep(0.02)\n"
    serves = f"server = socket.create_server(('127.0.0.1', {port}))\ntime.sleep(60)"
    supervised = supervise(("quick", 0, SLEEPS), ("slow", port, waits + serves))
    supervised.wait_for("I am")
    time.sleep(0.3)
    assert "all ready" not in supervised.said
    may_open.touch()
    supervised.wait_for("all ready")


def test_port_problem__names_a_taken_port_and_none_for_a_free_one() -> None:
    """A port is tried before anything starts."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert port_problem(port) == f"port {port} is taken by another program"
    assert port_problem(free_port()) == ""
    assert port_problem(0) == "0 is not a port; use a number from 1 to 65535"
    assert port_problem(70000).startswith("70000 is not a port")
