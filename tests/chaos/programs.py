"""The site's processes: started, killed, suspended, started again."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

from tests.reachable import REPOSITORY


class Program:
    """A process in a group of its own, with all the children that it makes."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str], folder: Path) -> None:
        self.name, self.command, self.environment = name, command, environment
        self.output = folder / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.is_suspended = False
        self.lock = threading.Lock()

    def start(self) -> None:
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                cwd=REPOSITORY,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def code(self) -> int | None:
        """The exit code; None while it runs."""
        return None if self.process is None else self.process.poll()

    def signal(self, number: int) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, number)

    def kill(self) -> None:
        with self.lock:
            self.signal(signal.SIGKILL)
            if self.process is not None:
                self.process.wait()
            self.is_suspended = False

    def kill_child(self, dice: random.Random) -> bool:
        """Kill one process of a prefork pool, and leave its parent alive."""
        if self.process is None or not (children := _children(self.process.pid)):
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(dice.choice(children), signal.SIGKILL)
        return True

    def suspend(self, seconds: float) -> None:
        """SIGSTOP now, SIGCONT later; not a moment of that is seen by the process itself."""
        with self.lock:
            if self.is_suspended or self.code is not None:
                return
            self.is_suspended = True
            self.signal(signal.SIGSTOP)
        timer = threading.Timer(seconds, self.wake)
        timer.daemon = True
        timer.start()

    def wake(self) -> None:
        with self.lock:
            if self.is_suspended:
                self.signal(signal.SIGCONT)
                self.is_suspended = False


def _children(pid: int) -> list[int]:
    found = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    )
    return [int(text) for text in found.stdout.split()]


class Troupe:
    """All programs of the attack."""

    def __init__(self, environment: dict[str, str], folder: Path, *, pool: str, requesters: int) -> None:
        python, celery = sys.executable, [sys.executable, "-m", "celery", "-A", "project", "worker"]
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "ERROR"]

        def program(name: str, *command: str) -> Program:
            return Program(name, list(command), environment, folder)

        # A name of its own for each attack: a worker of another one would keep the queue that goes by the name.
        names = {n: f"{environment['CELERY_QUEUE']}-{n}@%h" for n in (1, 2)}
        self.workers = [
            program(f"worker-{n}", *celery, "--pool", pool, "--concurrency", "2", "-n", name, *quiet)
            for n, name in names.items()
        ]
        self.bell = program("bell", python, "-m", "tests.chaos.bell")
        self.requesters = [
            program(f"requester-{n}", python, "-m", "tests.chaos.requester", str(n), str(requesters))
            for n in range(requesters)
        ]
        self.cron = program("cron", python, "manage.py", "deliver_due_operations")

    @property
    def all(self) -> list[Program]:
        return [*self.workers, self.bell, *self.requesters, self.cron]

    def keep_running(self) -> None:
        """Start again what died, as systemd would; a requester that has asked for everything stays away."""
        for program in self.requesters:
            if program.process is None or (program.code is not None and not self._is_done(program)):
                program.start()
        self.keep_running_without_requesters()

    def keep_running_without_requesters(self) -> None:
        for program in [*self.workers, self.bell]:
            if program.process is None or program.code is not None:
                program.start()

    def run_cron(self) -> None:
        if self.cron.process is None or self.cron.code is not None:
            self.cron.start()

    def _is_done(self, program: Program) -> bool:
        return program in self.requesters and program.code == 0

    @property
    def has_asked_for_everything(self) -> bool:
        return all(self._is_done(program) for program in self.requesters)

    def kill_all(self) -> None:
        for program in self.all:
            program.kill()
