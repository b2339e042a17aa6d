"""Runs a few programs as one: starts them, shows what they say, starts again what dies, and ends them together."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import IO

from project.demo import leash

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LAST_LINES = 8
TICK = 0.1


@dataclass(frozen=True)
class Program:
    """What to run. With a port it is ready once it accepts a connection there, otherwise at once."""

    name: str
    command: Sequence[str]
    port: int | None = None
    says_only_errors: bool = False  # what it prints besides, such as a greeting, is not shown


@dataclass(frozen=True)
class Timing:
    """How patient the supervisor is, in seconds."""

    start: float = 60  # until every port answers
    grace: float = 12  # between asking a program to end and killing it
    restart_delay: float = 1  # doubles with each death in a row
    restart_delay_max: float = 30
    stable: float = 20  # a program that lived this long is not failing in a row
    deaths_in_a_row: int = 5  # then everything ends


def port_problem(port: int) -> str:
    """Why nothing can listen on `port` of this machine; empty where it can."""
    if not 1 <= port <= 65535:
        return f"{port} is not a port; use a number from 1 to 65535"
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen()
        except PermissionError:
            return f"port {port} is reserved for root; use one above 1023"
        except OSError:
            return f"port {port} is taken by another program"
    return ""


class Child:
    """One program and its present process, if it has one."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0
        self.start_again_at: float | None = None
        self.deaths = 0
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._half_line = b""

    def start(self) -> IO[bytes]:
        """Start the process and return the pipe with what it says. It cannot outlive this one."""
        self.process = leash.start(
            self.program.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if self.program.says_only_errors else subprocess.PIPE,
            stderr=subprocess.PIPE if self.program.says_only_errors else subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self.started_at = time.monotonic()
        self.start_again_at = None
        self.last_lines.clear()
        pipe = self.process.stderr or self.process.stdout
        assert pipe is not None
        return pipe

    def take(self, piece: bytes) -> list[str]:
        """The whole lines that `piece` completes."""
        *lines, self._half_line = (self._half_line + piece).split(b"\n")
        texts = [line.decode(errors="replace").rstrip() for line in lines]
        shown = [text for text in texts if text]
        self.last_lines.extend(shown)
        return shown

    def send(self, number: signal.Signals) -> None:
        if self.process is not None:
            leash.send(self.process, number)

    def reap(self) -> int | None:
        """The exit code, once, when the process has ended. What it may have left in its group is killed with it."""
        if self.process is None or (code := self.process.poll()) is None:
            return None
        leash.send(self.process, signal.SIGKILL)
        self.process = None
        return code

    @property
    def is_ready(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            return False
        if self.program.port is None:
            return True
        with socket.socket() as probe:
            probe.settimeout(TICK)
            return probe.connect_ex(("127.0.0.1", self.program.port)) == 0


def _how_it_ended(code: int) -> str:
    number = -code if code < 0 else code - 128
    if number <= 0:
        return f"ended by itself with code {code}"
    try:
        return f"was ended by {signal.Signals(number).name}"
    except ValueError:
        return f"was ended by signal {number}"


class Supervisor:
    """Call `run` once, from a process with a single thread."""

    def __init__(
        self, programs: Sequence[Program], say: Callable[[str], None], timing: Timing | None = None
    ) -> None:
        self._children = [Child(program) for program in programs]
        self._say = say
        self._timing = timing or Timing()
        self._selector = selectors.DefaultSelector()
        self._width = max(len(program.name) for program in programs)
        self._ending = False
        self._in_a_hurry = False
        self._gave_up = False

    def run(self, on_ready: Callable[[], None]) -> int:
        """Run until a signal asks to end (0) or a program cannot be kept alive (1). Leaves no process behind.

        A second signal kills what takes too long to end.
        """
        before = {number: signal.signal(number, self._ask_to_end) for number in ENDING_SIGNALS}
        try:
            for child in self._children:
                self._start(child)
            self._wait_until_ready(on_ready)
            while not self._ending:
                self._tick()
        finally:
            self._end_all()
            for number, action in before.items():
                signal.signal(number, action)
        return 1 if self._gave_up else 0

    def _ask_to_end(self, number: int, frame: FrameType | None) -> None:
        self._in_a_hurry = self._ending
        self._ending = True

    def _wait_until_ready(self, on_ready: Callable[[], None]) -> None:
        give_up_at = time.monotonic() + self._timing.start
        while not self._ending:
            self._tick()
            late = [child.program.name for child in self._children if not child.is_ready]
            if not late:
                on_ready()
                return
            if time.monotonic() > give_up_at:
                self._give_up(f"{', '.join(late)} did not start within {self._timing.start:g} s.")

    def _tick(self) -> None:
        self._read(TICK)
        for child in self._children:
            if (code := child.reap()) is not None:
                self._bury(child, code)
            elif child.start_again_at is not None and time.monotonic() >= child.start_again_at:
                self._start(child)
                if child.process is not None:
                    self._say(f"{child.program.name} was started again (process {child.process.pid}).")

    def _start(self, child: Child) -> None:
        """Nothing, once the end has begun. It cannot begin between this question and the process's being known."""
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
        try:
            if not self._ending:
                pipe = child.start()
                os.set_blocking(pipe.fileno(), False)
                self._selector.register(pipe, selectors.EVENT_READ, child)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING_SIGNALS)

    def _read(self, wait: float) -> None:
        if not self._selector.get_map():
            time.sleep(wait)
            return
        for key, _ in self._selector.select(wait):
            pipe, child = key.fileobj, key.data
            piece = os.read(key.fd, 65536)
            for line in child.take(piece or b"\n"):
                self._say(f"{child.program.name:<{self._width}} | {line}")
            if not piece:
                self._selector.unregister(pipe)
                pipe.close()  # type: ignore[union-attr]

    def _bury(self, child: Child, code: int) -> None:
        """Say how a program died and when it starts again; too often in a row ends everything."""
        self._read(0)
        is_stable = time.monotonic() - child.started_at >= self._timing.stable
        child.deaths = 1 if is_stable else child.deaths + 1
        last = "".join(f"\n    {line}" for line in child.last_lines)
        self._say(
            f"{child.program.name} {_how_it_ended(code)}." + (f" Its last lines:{last}" if last else "")
        )
        if child.deaths >= self._timing.deaths_in_a_row:
            self._give_up(f"{child.program.name} died {child.deaths} times in a row.")
            return
        delay = min(self._timing.restart_delay * 2 ** (child.deaths - 1), self._timing.restart_delay_max)
        child.start_again_at = time.monotonic() + delay
        self._say(f"{child.program.name} starts again in {delay:g} s.")

    def _give_up(self, why: str) -> None:
        self._say(f"{why} Everything ends.")
        self._gave_up = self._ending = True

    def _end_all(self) -> None:
        for child in self._children:
            child.send(signal.SIGTERM)
        kill_at = time.monotonic() + self._timing.grace
        while self._are_left() and time.monotonic() < kill_at and not self._in_a_hurry:
            self._read(TICK)
        for child in self._are_left():
            self._say(f"{child.program.name} did not end in time and is killed.")
            child.send(signal.SIGKILL)
            if child.process is not None:
                child.process.wait()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()

    def _are_left(self) -> list[Child]:
        return [child for child in self._children if child.reap() is None and child.process is not None]
