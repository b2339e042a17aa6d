"""The supervisor, with real processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from project.demo.supervisor import port_problem
from tests.reachable import REPOSITORY, free_port
from tests.waiting import PATIENCE, wait_for

SCRIPT = """
import os, signal, sys
from project.demo import leash
from project.demo.supervisor import Program, Supervisor, Timing
timing = Timing(start=float(os.environ["START"]), grace=0.6, restart_delay=0.1, stable=600, deaths_in_a_row=3)
really_start, starts = leash.start, []
def start(command, **options):
    starts.append(command)
    if len(starts) == int(os.environ["END_IN_START"]):
        os.kill(os.getpid(), signal.SIGTERM)
    process = really_start(command, **options)
    print("started", process.pid, flush=True)
    return process
leash.start = start
programs = [Program(name, [sys.executable, "-c", code], int(port) or None)
            for name, port, code in zip(*[iter(sys.argv[1:])] * 3)]
sys.exit(Supervisor(programs, lambda text: print(text, flush=True), timing).run(lambda: print("all ready", flush=True)))
"""
SLEEPS = "import os, time; print('I am', os.getpid(), flush=True); time.sleep(600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPS
HAS_A_CHILD = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {STUBBORN!r}]); " + SLEEPS


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Callable[..., Supervised]]:
    started: list[Supervised] = []

    def start(
        *programs: tuple[str, int, str], end_in_start: int = 0, seconds_to_start: float = PATIENCE
    ) -> Supervised:
        given = {"END_IN_START": str(end_in_start), "START": str(seconds_to_start)}
        started.append(Supervised(programs, tmp_path / "output", given))
        return started[-1]

    yield start
    for supervised in started:
        supervised.process.kill()
        supervised.process.wait()


class Supervised:
    """A supervisor at work in its own process."""

    def __init__(
        self, programs: tuple[tuple[str, int, str], ...], output: Path, given: dict[str, str]
    ) -> None:
        self.output = output
        arguments = [str(part) for program in programs for part in program]
        with output.open("w") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-c", SCRIPT, *arguments],
                cwd=REPOSITORY,
                env={**os.environ, **given},
                stdout=stream,
                stderr=subprocess.STDOUT,
            )

    @property
    def said(self) -> str:
        return self.output.read_text()

    def wait_for(self, text: str, count: int = 1) -> None:
        wait_for(lambda: self.said.count(text) >= count, lambda: f"{text!r} not in:\n{self.said}")

    def ids(self) -> list[int]:
        """The process ids that the programs told, in the order in which they did."""
        return [int(line.rpartition(" ")[2]) for line in self.said.splitlines() if "| I am " in line]

    def started(self) -> list[int]:
        """The process ids that the supervisor had from the system."""
        return [
            int(line.removeprefix("started "))
            for line in self.said.splitlines()
            if line.startswith("started ")
        ]

    def wait(self) -> int:
        return self.process.wait(PATIENCE)


def wait_until_none_runs(process_ids: list[int]) -> None:
    assert process_ids
    wait_for(lambda: not any(map(is_running, process_ids)))


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
    assert supervised.wait() == 0
    wait_until_none_runs(supervised.ids())


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
    assert supervised.wait() == 1
    assert "broken ended by itself with code 1. Its last lines:\n    no such thing" in supervised.said
    assert "broken died 3 times in a row. Everything ends." in supervised.said
    wait_until_none_runs(supervised.started())


def test_a_program_that_will_not_end__is_killed(supervise: Callable[..., Supervised]) -> None:
    """After its time of grace."""
    supervised = supervise(("stubborn", 0, STUBBORN))
    supervised.wait_for("I am")
    supervised.process.terminate()
    assert supervised.wait() == 0
    assert "stubborn did not end in time and is killed." in supervised.said
    wait_until_none_runs(supervised.ids())


@pytest.mark.parametrize("start", [1, 3])
def test_an_end_that_comes_while_a_program_is_started__leaves_nothing_behind(
    supervise: Callable[..., Supervised], start: int
) -> None:
    """Be it the first or one that had died: what is on its way is ended too, and nothing is started after it."""
    supervised = supervise(("frail", 0, "pass"), ("steady", 0, SLEEPS), end_in_start=start)
    assert supervised.wait() == 0
    assert len(supervised.started()) == start
    wait_until_none_runs(supervised.started())


@pytest.mark.parametrize("code", [SLEEPS, STUBBORN, HAS_A_CHILD])
def test_a_killed_supervisor__leaves_no_program_behind(
    supervise: Callable[..., Supervised], code: str
) -> None:
    """Even when it had no chance to end them, and whatever they do about it."""
    supervised = supervise(("one", 0, code), ("two", 0, SLEEPS))
    supervised.wait_for("I am", 3 if code is HAS_A_CHILD else 2)
    supervised.process.kill()
    supervised.process.wait()
    wait_until_none_runs([*supervised.ids(), *supervised.started()])


def test_what_a_dead_program_left_behind__ends_before_it_is_started_again(
    supervise: Callable[..., Supervised],
) -> None:
    """A pool's orphan would go on working beside the new one."""
    leaves_a_child = (
        f"import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', {STUBBORN!r}]); "
        "print('I am', child.pid, flush=True)"
    )
    supervised = supervise(("frail", 0, leaves_a_child), ("steady", 0, SLEEPS))
    assert supervised.wait() == 1
    wait_until_none_runs(supervised.ids())


def test_readiness__waits_for_the_ports(supervise: Callable[..., Supervised]) -> None:
    """It is ready when the slowest answers, not when it was started."""
    with bound_socket() as server:
        supervised = supervise(("quick", 0, SLEEPS), ("slow", server.getsockname()[1], SLEEPS))
        supervised.wait_for("I am", 2)
        assert "all ready" not in supervised.said
        server.listen()
        supervised.wait_for("all ready")


def test_a_port_that_does_not_answer__ends_everything(supervise: Callable[..., Supervised]) -> None:
    """It is said which program it was, and never that all is ready."""
    with bound_socket() as server:
        slow = ("slow", server.getsockname()[1], SLEEPS)
        supervised = supervise(("quick", 0, SLEEPS), slow, seconds_to_start=0.5)
        assert supervised.wait() == 1
    assert "slow did not start within 0.5 s. Everything ends." in supervised.said
    assert "all ready" not in supervised.said


def bound_socket() -> socket.socket:
    """On a port that nobody else is given, and that does not answer before it listens."""
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    return server


def test_port_problem__names_a_taken_port() -> None:
    """A port is tried before anything starts."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert port_problem(port) == f"port {port} is taken by another program"
    assert port_problem(0) == "0 is not a port; use a number from 1 to 65535"
    assert port_problem(70000).startswith("70000 is not a port")


def test_port_problem__finds_none_with_a_free_port() -> None:
    """Somebody else may take one between its choice and the question; nobody takes all of them."""
    assert "" in (port_problem(free_port()) for _ in range(50))
