"""Workers that are killed, stopped or robbed of their database at a chosen point. Real processes, forked from the test."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from typing import Any

from django.db import OperationalError, connection, connections

KILLED = -signal.SIGKILL
#: Called with the number of the statement (from 1) and its SQL, before it is executed.
AtStatement = Callable[[int, str], None]


class Worker:
    """A child process that does one job. It shares the test's sandbox and database, and nothing in memory."""

    def __init__(self, job: Callable[[], Any], at_statement: AtStatement | None = None) -> None:
        connections.close_all()  # a connection must not be used on both sides of a fork
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # forking beside the sandbox's threads
            self.pid = os.fork()
        if self.pid == 0:
            self._work(job, at_statement)

    @staticmethod
    def _work(job: Callable[[], Any], at_statement: AtStatement | None) -> None:
        try:
            with connection.execute_wrapper(watching(at_statement or (lambda number, sql: None))):
                job()
            connections.close_all()
        except BaseException:  # noqa: BLE001
            traceback.print_exc(file=sys.__stderr__)
            os._exit(1)
        os._exit(0)

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)
        self.wait()

    def wait_until_stopped(self) -> None:
        _, status = os.waitpid(self.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), os.waitstatus_to_exitcode(status)

    def wait(self, seconds: float = 60) -> int:
        """The exit code; minus the signal's number for one that was killed."""
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.005)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        raise AssertionError("The worker did not end.")


def watching(at_statement: AtStatement) -> Any:
    """A wrapper for Django's `execute_wrapper` that calls `at_statement` before each statement."""
    count = 0

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal count
        count += 1
        at_statement(count, sql.replace("`", '"'))
        return execute(sql, params, many, context)

    return watch


def kill_myself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def stop_myself() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def kill_at(number: int) -> AtStatement:
    return lambda count, sql: kill_myself() if count == number else None


def database_gone_from(number: int, how_many: int = 10_000) -> AtStatement:
    """From that statement on, for so many statements, the database does not answer."""

    def refuse(count: int, sql: str) -> None:
        if number <= count < number + how_many:
            raise OperationalError("the database has gone away")

    return refuse


def at_sql(*pieces: str, act: Callable[[], None], without: str = "\0") -> AtStatement:
    """Act at the first statement that holds all the pieces."""

    def watch(count: int, sql: str) -> None:
        if all(piece in sql for piece in pieces) and without not in sql:
            act()

    return watch


def on_connect_number(number: int, act: Callable[[], None]) -> None:
    """Act when this process opens its so-many-th connection to an HTTP server of 127.0.0.1."""
    count = 0

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event == "socket.connect" and isinstance(arguments[1], tuple) and arguments[1][1] != 5432:
            count += 1
            if count == number:
                act()

    sys.addaudithook(hear)
