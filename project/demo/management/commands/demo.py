"""`manage.py demo`: the site, the sandbox, a Celery worker and Celery beat, as one program. `make demo` calls it."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from argparse import ArgumentParser
from typing import IO, Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from project.demo.supervisor import Program, Supervisor, port_problem


class Command(BaseCommand):
    """Prepares the database, then supervises the programs until Ctrl-C."""

    help = "Runs the whole demo: site, sandbox, Celery worker and beat."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", default="8000", help="of the site")
        parser.add_argument("--sandbox-port", default=str(urlsplit(settings.SANDBOX_URL).port))

    def handle(self, *args: Any, **options: Any) -> None:
        started_at = time.monotonic()
        port, sandbox_port = self._ports(options)
        lock = self._lock()
        os.environ["SANDBOX_PORT"] = str(sandbox_port)  # where the site and its workers look for it
        call_command("migrate", verbosity=0)
        call_command("seed_demo")
        empty_broker()
        supervisor = Supervisor(programs(port, sandbox_port), self._say)
        code = supervisor.run(lambda: self._greet(port, sandbox_port, time.monotonic() - started_at))
        lock.close()
        self._say(
            "The demo has ended. Its data stays in var/."
            if code == 0
            else "The demo has ended with an error."
        )
        sys.exit(code)

    def _ports(self, options: dict[str, Any]) -> tuple[int, int]:
        ports = []
        for name, value in (("PORT", options["port"]), ("SANDBOX_PORT", options["sandbox_port"])):
            if not value.isascii() or not value.isdigit():
                raise CommandError(f"{name} must be a number, not {value!r}.")
            if problem := port_problem(int(value)):
                raise CommandError(
                    f"The demo cannot start: {problem}, for example: make demo {name}={int(value) + 1}"
                )
            ports.append(int(value))
        if ports[0] == ports[1]:
            raise CommandError(f"PORT and SANDBOX_PORT are both {ports[0]}; they must differ.")
        return ports[0], ports[1]

    def _lock(self) -> IO[str]:
        """Keep a second demo out of this folder, whose files both would write."""
        settings.VAR_DIR.mkdir(exist_ok=True)
        lock = (settings.VAR_DIR / "demo.lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            number = lock.read().strip() or "unknown"
            lock.close()
            raise CommandError(
                f"The demo already runs in this folder (process {number}). End that one first."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        return lock

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()

    def _greet(self, port: int, sandbox_port: int, seconds: float) -> None:
        sandbox = (
            f"  Sandbox   http://127.0.0.1:{sandbox_port}/   the local Altegio: its books, and faults to switch on"
            if settings.USES_SANDBOX
            else f"  Altegio   {settings.ALTEGIO_API_URL}   (the sandbox is not running)"
        )
        self._say(f"""
Altegio loyalty demo, ready in {seconds:.1f} s

  Site      http://127.0.0.1:{port}/
              reception / reception   at the desk: takes points off a card, gives them back, applies promotions
              manager / manager       decides what is in doubt, keeps the locations
              admin / admin           may do everything
{sandbox}

  Ctrl-C ends it. Kill one of its programs, and watch it come back and the work go on.
""")


def programs(port: int, sandbox_port: int) -> list[Program]:
    """What the demo runs. The sandbox only where the site talks to it."""
    manage = [sys.executable, str(settings.BASE_DIR / "manage.py")]
    # Celery warns about root, which is who one is in a container; nothing here unpickles what it did not write.
    celery = [
        sys.executable,
        "-W",
        "ignore:You're running the worker with superuser privileges",
        "-m",
        "celery",
        "--quiet",
        "-A",
        "project",
    ]
    pid_file = ["--pidfile="]
    site = Program("site", [*manage, "serve", "--noreload", "--skip-checks", f"127.0.0.1:{port}"], port)
    worker = Program(
        "worker",
        [*celery, "worker", "--pool=threads", "--concurrency=2", "--loglevel=WARNING",
         "--without-gossip", "--without-mingle", "--without-heartbeat", *pid_file],
    )  # fmt: skip
    beat = Program("beat", [*celery, "beat", "--loglevel=WARNING", *pid_file])
    if not settings.USES_SANDBOX:
        return [site, worker, beat]
    state = str(settings.SANDBOX_STATE)
    sandbox = [*manage, "altegio_sandbox", "--port", str(sandbox_port), "--state", state, "--seed", "demo"]
    return [Program("sandbox", sandbox, sandbox_port, says_only_errors=True), site, worker, beat]


def empty_broker() -> None:
    """Drop the messages of the last time: what was due then is still due in the database."""
    folder = settings.VAR_DIR / "broker"
    for path in folder.glob("*") if folder.is_dir() else ():
        path.unlink(missing_ok=True)
