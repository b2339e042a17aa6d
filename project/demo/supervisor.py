"""Runs a few programs as one: starts them, shows what they say, starts again what dies, and ends them together."""

from __future__ import annotations

import contextlib
import ctypes
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import IO

PR_SET_PDEATHSIG = 1
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
        """Start the process and return the pipe with what it says."""
        self.process = subprocess.Popen(
            self.program.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if self.program.says_only_errors else subprocess.PIPE,
            stderr=subprocess.PIPE if self.program.says_only_errors else subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            process_group=0,  # Ctrl-C reaches the supervisor alone, which then ends the programs in order
            preexec_fn=_end_with_parent(os.getpid()),  # noqa: PLW1509 - this process has one thread
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
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # it has just ended
                os.killpg(self.process.pid, number)

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def is_ready(self) -> bool:
        if not self.is_alive:
            return False
        if self.program.port is None:
            return True
        with socket.socket() as probe:
            probe.settimeout(TICK)
            return probe.connect_ex(("127.0.0.1", self.program.port)) == 0


def _end_with_parent(parent: int) -> Callable[[], None] | None:
    """Have the kernel end the child when the supervisor is killed, where the kernel can (Linux)."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def ask_kernel() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before the kernel was asked
            os._exit(1)

    return ask_kernel


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"ended by itself with code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


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
            if child.process is not None and child.process.poll() is not None:
                self._bury(child)
            elif child.start_again_at is not None and time.monotonic() >= child.start_again_at:
                self._start(child)
                self._say(
                    f"{child.program.name} was started again (process {child.process and child.process.pid})."
                )

    def _start(self, child: Child) -> None:
        pipe = child.start()
        os.set_blocking(pipe.fileno(), False)
        self._selector.register(pipe, selectors.EVENT_READ, child)

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

    def _bury(self, child: Child) -> None:
        """Say how a program died and when it starts again; too often in a row ends everything."""
        assert child.process is not None
        self._read(0)
        how = _how_it_ended(child.process.returncode)
        is_stable = time.monotonic() - child.started_at >= self._timing.stable
        child.deaths = 1 if is_stable else child.deaths + 1
        child.process = None
        last = "".join(f"\n    {line}" for line in child.last_lines)
        self._say(f"{child.program.name} {how}." + (f" Its last lines:{last}" if last else ""))
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
        while (
            any(child.is_alive for child in self._children)
            and time.monotonic() < kill_at
            and not self._in_a_hurry
        ):
            self._read(TICK)
        for child in self._children:
            if child.is_alive:
                self._say(f"{child.program.name} did not end in time and is killed.")
                child.send(signal.SIGKILL)
            if child.process is not None:
                child.process.wait()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()
