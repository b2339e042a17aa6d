"""What a program is held by, with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from project.demo import leash


@pytest.mark.parametrize(
    ("code", "ends_with"),
    [
        ("pass", 0),
        ("raise SystemExit(7)", 7),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 128 + signal.SIGKILL),
    ],
)
def test_a_program__ends_with_its_own_code(code: str, ends_with: int) -> None:
    """Or, as a shell tells it, with 128 and its signal."""
    assert leash.start([sys.executable, "-c", code]).wait() == ends_with


def test_a_program_that_is_not_there__is_named() -> None:
    """In one line."""
    process = leash.start(["no-such-program"], stderr=subprocess.PIPE, text=True)
    _, said = process.communicate()
    assert (process.returncode, said) == (
        127,
        "no-such-program cannot be started: No such file or directory\n",
    )


def test_a_signal_that_comes_before_the_program_is_there__reaches_it() -> None:
    """One that was already waiting when the leash began: it is taken for neither lost nor the leash's own."""
    early = (
        "import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]); "
        "os.kill(os.getpid(), signal.SIGTERM); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    held = leash.lifeline()
    program = [sys.executable, "-c", "import time; time.sleep(600)"]
    command = [sys.executable, "-c", early, leash.__file__, str(held), *program]
    process = subprocess.Popen(command, pass_fds=[held], start_new_session=True)
    try:
        assert process.wait(60) == 128 + signal.SIGTERM
    finally:
        leash.send(process, signal.SIGKILL)


def test_a_program__inherits_neither_the_lifeline_nor_blocked_signals() -> None:
    """It could hold itself alive with the one, and would not end by the others."""
    code = "import os, signal; print(sorted(os.listdir('/dev/fd'))); print(signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    plain = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    held, _ = leash.start([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True).communicate()
    assert held == plain.stdout


def test_a_closed_lifeline__ends_what_the_program_started_too() -> None:
    """Also what does not mind being asked, and outlives the program. All of them hold what is read here."""
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print('stays', flush=True); time.sleep(600)"
    )
    starts_it = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {stubborn!r}]); time.sleep(600)"
    held, lifeline = os.pipe()
    command = [sys.executable, leash.__file__, str(held), sys.executable, "-c", starts_it]
    process = subprocess.Popen(command, pass_fds=[held], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == b"stays\n"
    os.close(lifeline)
    assert process.stdout.read() == b""
    assert process.wait() == -signal.SIGKILL
    os.close(held)
    process.stdout.close()


def test_send__minds_no_process_that_is_gone() -> None:
    """It may have ended just now."""
    process = leash.start([sys.executable, "-c", "pass"])
    process.wait()
    leash.send(process, signal.SIGTERM)
