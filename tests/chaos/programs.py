"""The site's processes: started, killed, suspended, started again."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from project.demo import leash
from tests.chaos.lan import Host
from tests.reachable import REPOSITORY


class Program:
    """A process in a group of its own, with all the children that it makes."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str], folder: Path) -> None:
        self.name, self.command, self.environment = name, command, environment
        self.output = folder / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.is_suspended = self.is_over = False
        #: As long as the machine that it runs on has no power.
        self.is_off = False
        self.lock = threading.Lock()

    def start(self) -> None:
        """Nothing, once it was ended. It cannot be ended between this question and the process's being known."""
        with self.lock, self.output.open("ab") as output:
            if not (self.is_over or self.is_off):
                # Closed when the last of its processes has gone, whom nobody could wait for.
                self._held_by_all, theirs = os.pipe()
                self.process = leash.start(
                    self.command,
                    cwd=REPOSITORY,
                    env={**os.environ, **self.environment},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    pass_fds=[theirs],
                )
                os.close(theirs)

    @property
    def code(self) -> int | None:
        """The exit code; None while it runs."""
        return None if self.process is None else self.process.poll()

    def signal(self, number: int) -> None:
        if self.process is not None:
            leash.send(self.process, number)

    def end(self) -> None:
        """Kill it, and never start it again."""
        with self.lock:
            self.is_over = True
        self.kill()

    def kill(self) -> None:
        """Returns when none of its processes runs any more."""
        with self.lock:
            self.signal(signal.SIGKILL)
            if self.process is not None:
                self.process.wait()
                os.read(self._held_by_all, 1)
            self.is_suspended = False

    def kill_child(self, dice: random.Random) -> bool:
        """Kill one process of a prefork pool, and leave its parent alive."""
        if self.process is None:
            return False
        children = [pid for parent in _children(self.process.pid) for pid in _children(parent)]
        if not children:
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
            if self.process is not None:  # who holds it must still see that we are gone
                with contextlib.suppress(ProcessLookupError):
                    self.process.send_signal(signal.SIGCONT)
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

    def __init__(
        self, environment: dict[str, str], folder: Path, *, pool: str, requesters: int, workers: int = 2
    ) -> None:
        python, celery = sys.executable, [sys.executable, "-m", "celery", "-A", "project", "worker"]
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "ERROR"]

        def program(name: str, *command: str) -> Program:
            return Program(name, list(command), environment, folder)

        # A name of its own for each attack: a worker of another one would keep the queue that goes by the name.
        names = {n: f"{environment['CELERY_QUEUE']}-{n}@%h" for n in range(1, workers + 1)}
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
        self._is_over = threading.Event()
        # In a thread, since Ctrl-C interrupts only the main one: there it could come between a process and its name.
        self._keeper = threading.Thread(target=self._keep_running, daemon=True)

    def spread_over(self, hosts: Sequence[Host]) -> None:
        """A worker and an asker on each; the clock that rings and the cron, which a site has once, on two of them."""
        for host, worker, requester in zip(hosts, self.workers, self.requesters, strict=True):
            host.take(worker)
            host.take(requester)
        hosts[0].take(self.bell)
        hosts[-1].take(self.cron)

    @property
    def all(self) -> list[Program]:
        return [*self.workers, self.bell, *self.requesters, self.cron]

    def keep_running(self) -> None:
        """From now on what died is started again, as systemd would; a requester that has asked for everything stays away."""
        self._keeper.start()

    def _keep_running(self) -> None:
        while not self._is_over.wait(0.2):
            for program in [*self.workers, self.bell, *self.requesters]:
                if program.process is None or (program.code is not None and not self._is_done(program)):
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
        """And nothing is started any more."""
        self._is_over.set()
        for program in self.all:
            program.end()
