"""The end of an attack's processes, also where it meets their beginning."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from project.demo import leash
from tests.chaos.programs import Program, Troupe

SLEEPS = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    program = Program("one", SLEEPS, {}, tmp_path)
    yield program
    program.end()


def test_an_end_while_it_is_started__ends_it(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever ends it waits until there is something to kill."""
    is_starting, may_start = threading.Event(), threading.Event()
    really_start = leash.start

    def slow_start(*arguments: Any, **options: Any) -> subprocess.Popen[Any]:
        is_starting.set()
        may_start.wait()
        return really_start(*arguments, **options)

    monkeypatch.setattr(leash, "start", slow_start)
    starting, ending = threading.Thread(target=program.start), threading.Thread(target=program.end)
    starting.start()
    is_starting.wait()
    ending.start()
    ending.join(0.2)  # one that did not wait would be through by now
    may_start.set()
    starting.join()
    ending.join()
    assert program.process is not None
    assert program.code is not None


def test_nothing_is_started__once_it_was_ended(program: Program) -> None:
    """Whoever decided to start it before comes too late."""
    program.end()
    program.start()
    assert program.process is None


def test_a_killed_program__may_be_started_again(program: Program) -> None:
    """A kill is a trial, not the end."""
    program.start()
    program.kill()
    assert program.code is not None
    program.start()
    assert program.code is None


def test_a_troupe__starts_nothing_where_ctrl_c_could_interrupt_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is in the main thread; and when all are killed, nobody is left who starts them again."""
    really_start, threads = leash.start, set()

    def noted_start(command: Any, **options: Any) -> subprocess.Popen[Any]:
        threads.add(threading.current_thread())
        if len(started) == len(troupe.workers) + len(troupe.requesters):
            all_started.set()
        started.append(really_start(SLEEPS, **options))
        return started[-1]

    monkeypatch.setattr(leash, "start", noted_start)
    started: list[subprocess.Popen[Any]] = []
    all_started = threading.Event()
    troupe = Troupe({"CELERY_QUEUE": "none"}, tmp_path, pool="threads", requesters=2)
    troupe.keep_running()
    assert all_started.wait(60)
    troupe.kill_all()
    for thread in threads:
        thread.join()
    assert threading.main_thread() not in threads
    assert [process.poll() is None for process in started] == [False] * 5
