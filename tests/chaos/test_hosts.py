"""The pieces of the attack on several hosts: the budget as Altegio counts it, and machines of which nothing is left."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from altegio_loyalty.sandbox.wire import ReceivedRequest
from tests.chaos import budget
from tests.chaos.programs import Program
from tests.reachable import AS_ROOT, REPOSITORY

MACHINES = """
import json, os, socket, subprocess, sys, time
from tests.chaos.lan import OURS, Lan

with Lan(3, []) as lan, socket.create_server((OURS, 0)) as server:
    port = server.getsockname()[1]
    ask = f"import socket, time; socket.create_connection(('{OURS}', {port}), 1).send(str(time.time()).encode())"
    def call(host):
        code = subprocess.run([*host.enter, sys.executable, "-c", ask], stderr=subprocess.DEVNULL).returncode
        if code:
            return None
        with server.accept()[0] as call:
            return call.getpeername()[0], round(float(call.recv(99)) - time.time())
    told = [call(host) for host in lan.hosts]
    lan.hosts[0].cut_off()
    told += [call(lan.hosts[0]), call(lan.hosts[1])]
    lan.hosts[0].join()
    told.append(call(lan.hosts[0]))
    networks = [os.stat(f"/proc/self/fd/{host._file}").st_ino for host in lan.hosts]
    print(json.dumps({"told": told, "networks": networks, "folder": lan._folder.name}), flush=True)
    sys.stdin.read()
"""


def requests(*moments: tuple[str, float]) -> list[ReceivedRequest]:
    began = datetime(2026, 5, 4, tzinfo=UTC)
    return [
        ReceivedRequest("GET", "/", "", {}, {}, None, ip, began + timedelta(seconds=at)) for ip, at in moments
    ]


def test_the_budget__is_counted_in_any_second_by_address() -> None:
    """Not in a clock's seconds: five at the end of one and one at the beginning of the next are six."""
    crowded = requests(*[("a", 0.9)] * 5, ("a", 1.8))
    assert budget.used(crowded)["a"] == {1: 6, 60: 6}
    assert budget.exceeded(budget.used(crowded)) == ["a"]


def test_addresses__do_not_share_a_budget() -> None:
    """What all of them asked is told beside it, and forbidden by nobody."""
    figures = budget.used(requests(*[("a", 0)] * 5, *[("b", 0)] * 5, ("a", 1)))
    assert figures == {"a": {1: 5, 60: 6}, "b": {1: 5, 60: 5}, "": {1: 10, 60: 11}}
    assert budget.exceeded(figures) == []


def test_a_minute__has_a_limit_of_its_own() -> None:
    """Four a second are too many in the end."""
    even = requests(*[("a", number / 4) for number in range(201)])
    assert budget.exceeded(budget.used(even)) == ["a"]
    assert budget.exceeded(budget.used(even[1:])) == []


def test_nothing_runs__on_a_machine_without_power(tmp_path: Path) -> None:
    """Whoever keeps its programs running has to wait."""
    program = Program("one", [sys.executable, "-c", "import time; time.sleep(600)"], {}, tmp_path)
    program.is_off = True
    program.start()
    assert program.process is None
    program.is_off = False
    program.start()
    program.end()
    assert program.code is not None


@pytest.fixture
def machines() -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Three of them in a process of their own, and what was seen there."""
    process = subprocess.Popen(
        [*AS_ROOT, sys.executable, "-c", MACHINES],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())
        process.kill()


def networks_in_use() -> set[int]:
    found = set()
    for path in Path("/proc").glob("[0-9]*/ns/net"):
        try:
            found.add(path.stat().st_ino)
        except OSError:
            continue
    return found


@pytest.mark.namespaces
def test_hosts__have_addresses_and_clocks_of_their_own(machines: Any) -> None:
    """Three seconds apart, as the simulator sees them; one that is cut off is heard no more until it is back."""
    first, second, third = ["10.88.0.10", -3], ["10.88.0.11", 0], ["10.88.0.12", 3]
    assert machines[1]["told"] == [first, second, third, None, second, first]


@pytest.mark.namespaces
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_of_hosts__nothing_is_left(machines: Any, how: signal.Signals) -> None:
    """Neither networks nor their cables, whatever ended the attack; and after Ctrl-C no file."""
    process, seen = machines
    process.send_signal(how)
    process.communicate()
    assert networks_in_use() & set(seen["networks"]) == set()
    cables = subprocess.run(["ip", "-brief", "link"], capture_output=True, text=True, check=True).stdout
    assert "host0" not in cables
    assert "lan" not in cables.split()
    assert how == signal.SIGKILL or not Path(seen["folder"]).exists()
