"""Starts a program that cannot outlive whoever started it: `start(command)`.

Between the two stands this file, run as a script. It holds one end of a pipe whose other end only the starting process
has, so it learns of that one's death however it comes, on any system, and at no moment does the program run unheld. It
and the program, with all that the program starts, are one group: a signal to the group reaches them all.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

#: What the program gets and this process does not: it ends with the program, not before it.
FOR_THE_PROGRAM = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
#: How long a program may take to end by itself after its parent has died, in seconds.
GRACE = 3


@functools.cache
def lifeline() -> int:
    """The end of a pipe that reads as closed once this process is gone. Its other end is never closed, nor handed on."""
    ours, _theirs = os.pipe()
    return ours


def start(command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
    """`subprocess.Popen` of the command, in a session of its own; the group's number is the process's.

    A program that died of a signal ends with 128 and the signal's number, as a shell says it.
    """
    held = lifeline()
    arguments = [sys.executable, "-I", "-S", __file__, str(held), *command]
    files = [held, *options.pop("pass_fds", ())]
    return subprocess.Popen(arguments, pass_fds=files, start_new_session=True, **options)


def send(process: subprocess.Popen[Any], number: int) -> None:
    """Signal the program and all that it has started, also where itself has ended already: a group outlives its leader."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def end_with_parent(held: int, is_orphaned: threading.Event, ended: threading.Event) -> None:
    """Waits for the parent's death, and then ends the whole group: nobody is left who would ask for its exit code."""
    os.read(held, 1)
    is_orphaned.set()
    os.killpg(0, signal.SIGTERM)
    ended.wait(GRACE)
    os.killpg(0, signal.SIGKILL)


def hold(held: int, command: list[str]) -> int:
    """Runs the command and returns its exit code."""
    # Blocked, not ignored: what its parent ignores, a program would ignore too.
    signal.pthread_sigmask(signal.SIG_BLOCK, FOR_THE_PROGRAM)
    os.set_inheritable(held, False)
    try:
        program = os.posix_spawnp(command[0], command, os.environ, setsigmask=())
    except OSError as error:
        sys.stderr.write(f"{command[0]} cannot be started: {error.strerror}\n")
        return 127
    for number in signal.sigpending():  # it came when there was no program yet to take it
        os.kill(program, number)
    is_orphaned, ended = threading.Event(), threading.Event()
    watch = threading.Thread(target=end_with_parent, args=(held, is_orphaned, ended), daemon=True)
    watch.start()
    code = os.waitstatus_to_exitcode(os.waitpid(program, 0)[1])
    ended.set()
    if is_orphaned.is_set():
        watch.join()  # it kills what the program leaves behind, and this process too
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(hold(int(sys.argv[1]), sys.argv[2:]))
