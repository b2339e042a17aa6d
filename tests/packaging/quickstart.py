"""The page `docs/quickstart.md`, carried out as it stands: what it shows is written and run, in the order of the page."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from project.demo import leash
from tests.reachable import REDIS_URL, REPOSITORY, free_port

PAGE = REPOSITORY / "docs" / "quickstart.md"
LOGIN, PASSWORD = "owner", "only-for-this-minute"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: What installs: the tests have it all installed.
_INSTALLS = ("python -m venv", ". .venv", "pip install")
_STAYS = ("altegio_sandbox", "runserver", "celery")
#: How long a program may take to say that it runs, in seconds.
PATIENCE = 60


class Site:
    """The reader's folder, their terminals, and ports and queue of their own in place of those on the page."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.logs = folder, folder.parent / "logs"
        self.logs.mkdir()
        self.site_port, self.sandbox_port = free_port(), free_port()
        # The reader's own, and nothing that the tests have set: Celery takes its broker from a variable before all else.
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        owner = {"DJANGO_SUPERUSER_USERNAME": LOGIN, "DJANGO_SUPERUSER_PASSWORD": PASSWORD}
        mail = {"DJANGO_SUPERUSER_EMAIL": "owner@example.com"}
        self.environment = {**kept, **owner, **mail, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"}
        self.terminals: dict[str, subprocess.Popen[Any]] = {}
        self.snippets: list[str] = []
        self.place = 0

    def follow(self, *, until: str) -> None:
        """Do what the page says, from where one stands, up to this heading."""
        text = PAGE.read_text(encoding="utf-8")
        end = text.index(f"## {until}\n")
        for match in _BLOCK.finditer(text, self.place, end):
            if match[1] == "console":
                for line in match[2].splitlines():
                    self._type(line.removeprefix("$ "))
            else:
                self._keep(match[2])
        self.place = end

    def _type(self, line: str) -> None:
        if line.startswith(_INSTALLS):
            return
        words = shlex.split(line.replace("8001", str(self.sandbox_port)))
        name = next((word for word in _STAYS if word in words), None)
        command = [sys.executable, *words[1:]]
        if words[0] != "python":
            command = [sys.executable, "-m", {"django-admin": "django"}.get(words[0], words[0]), *words[1:]]
        if name is None:
            self.run(command + (["--noinput"] if "createsuperuser" in words else []))
        else:
            self._open_terminal(words[3] if name == "celery" else name, command)

    def run(self, command: list[str]) -> str:
        """What the command says. Raises `AssertionError` with all of it where the command fails."""
        ran = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"
        return ran.stdout

    def _open_terminal(self, name: str, command: list[str]) -> None:
        if name == "runserver":
            command = [*command, str(self.site_port), "--noreload"]
        with (self.logs / name).open("wb") as log:
            self.terminals[name] = leash.start(
                command, cwd=self.folder, env=self.environment, stdout=log, stderr=log
            )

    def said(self, name: str) -> str:
        return (self.logs / name).read_text(encoding="utf-8", errors="replace")

    def wait_for(self, name: str, text: str) -> str:
        """What the terminal shows, once `text` is there."""
        end = time.monotonic() + PATIENCE
        while text not in self.said(name):
            assert self.terminals[name].poll() is None, self.said(name)
            assert time.monotonic() < end, self.said(name)
            time.sleep(0.05)
        return self.said(name)

    def wait_for_address(self, address: str) -> None:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                urllib.request.urlopen(address, timeout=5).close()
            except OSError:
                assert time.monotonic() < end, address
                time.sleep(0.1)
            else:
                return

    def _keep(self, text: str) -> None:
        """A block that names its file is written there; any other is code to run once somebody asks for it."""
        text = text.replace("8001", str(self.sandbox_port)).replace("redis://127.0.0.1:6379/0", REDIS_URL)
        text = text.replace(
            '"socket_timeout": 3', f'"socket_timeout": 3, "global_keyprefix": "{self.site_port}:"'
        )
        head, _, rest = text.partition("\n")
        match = re.fullmatch(r"# (\S+\.py)(, at the end)?", head)
        if match is None:
            self.snippets.append(text)
        elif match[2]:
            with (self.folder / match[1]).open("a", encoding="utf-8") as file:
                file.write(rest)
        else:
            (self.folder / match[1]).write_text(rest, encoding="utf-8")

    def close(self) -> None:
        for terminal in self.terminals.values():
            leash.send(terminal, signal.SIGTERM)
        for terminal in self.terminals.values():
            try:
                terminal.wait(PATIENCE)
            finally:
                leash.send(terminal, signal.SIGKILL)
