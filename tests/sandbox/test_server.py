"""Starting, stopping, and what happens to connections meanwhile."""

from __future__ import annotations

import contextlib
import copy
import http.client
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import requests

from altegio_loyalty.sandbox import Sandbox
from tests.sandbox.scene import TIMEOUT, Caller, Scene, open_scene

ROOT = Path(__file__).parents[2]

SPEND = """
import sys
import requests

url, authorization, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
body = {"visit_id": int(sys.argv[4]), "record_id": int(sys.argv[5]), "amount": 0.25}
with requests.Session() as session:
    session.trust_env = False
    session.headers["Authorization"] = authorization
    for _ in range(times):
        try:
            session.post(url, json=body, timeout=60)
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
            pass
"""


def test_a_sandbox_of_a_whole_test_case__is_the_same_in_each_test() -> None:
    """Django copies what `setUpTestData` made, for each test."""
    with Sandbox() as sandbox:
        for each in (sandbox, sandbox.ledger):
            assert copy.deepcopy(each) is each


def listens(sandbox: Sandbox) -> bool:
    try:
        socket.create_connection((sandbox.host, sandbox.port), TIMEOUT).close()
    except ConnectionRefusedError:
        return False
    return True


def test_any_port_is_one_that_no_outgoing_connection_is_given() -> None:
    """Else a connection of somebody else's could take it while the sandbox is stopped, and it could not come back."""
    with Sandbox() as one, Sandbox() as other:
        assert one.port != other.port
        assert all(20_000 <= sandbox.port < 32_768 for sandbox in (one, other))


def test_a_port_that_another_one_holds_back_is_not_shared() -> None:
    with Sandbox() as sandbox:
        sandbox.stop()
        with pytest.raises(OSError, match="in use"), socket.socket() as stranger:
            stranger.bind(("127.0.0.1", sandbox.port))


def test_restart_keeps_port_books_and_tokens(scene: Scene) -> None:
    scene.withdraw(100)
    port = scene.sandbox.port
    scene.sandbox.restart()
    assert scene.sandbox.port == port
    assert scene.withdrawn == 100
    assert scene.caller.get(scene.cards_path).status_code == 200


def test_stop_cuts_an_idle_connection_at_once(scene: Scene) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", scene.sandbox.port, timeout=TIMEOUT)
    connection.connect()
    assert connection.sock is not None
    scene.sandbox.stop()
    connection.sock.setblocking(False)  # it is cut by now, so there is nothing to wait for
    with contextlib.suppress(ConnectionResetError):
        assert connection.sock.recv(1) == b""
    connection.close()


def test_stop_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    with Sandbox() as sandbox:
        scene = open_scene(sandbox)
        scene.withdraw()
        assert set(threading.enumerate()) - before
    assert set(threading.enumerate()) - before == set()


def test_stop_twice_and_start_twice_are_harmless() -> None:
    sandbox = Sandbox()
    sandbox.stop()
    assert sandbox.start() is sandbox.start()
    sandbox.stop()
    sandbox.stop()
    assert not listens(sandbox)


def test_stopped_server_refuses_connections(scene: Scene) -> None:
    scene.sandbox.stop()
    with pytest.raises(requests.ConnectionError):
        scene.caller.get("/company/1")


def test_taken_port_is_an_error() -> None:
    with Sandbox() as sandbox, pytest.raises(OSError, match="in use"):
        Sandbox(port=sandbox.port).start()


def test_a_stopped_sandbox_keeps_its_port() -> None:
    """Else another one that is started meanwhile could be given it, and answer in its place."""
    with Sandbox() as sandbox:
        sandbox.stop()
        with pytest.raises(OSError, match="in use"), socket.socket() as stranger:
            stranger.bind(("127.0.0.1", sandbox.port))
        sandbox.heal()
        assert not listens(sandbox)
        assert listens(sandbox.start())


def test_a_sandbox_that_is_left_gives_its_port_back() -> None:
    """Somebody may take one of them in between, nobody takes all."""

    def is_free_afterwards() -> bool:
        with Sandbox() as sandbox:
            pass
        with contextlib.suppress(OSError), socket.socket() as stranger:
            stranger.bind(("127.0.0.1", sandbox.port))
            return True
        return False

    assert any(is_free_afterwards() for _ in range(50))


def test_two_sandboxes_know_nothing_of_each_other() -> None:
    with Sandbox() as first, Sandbox() as second:
        assert first.port != second.port
        location = first.ledger.add_location()
        assert Caller(first).get(f"/company/{location.id}").status_code == 200
        assert Caller(second).get(f"/company/{location.id}").status_code == 404


def test_address_in_use_by_ipv6() -> None:
    try:
        sandbox = Sandbox(host="::1").start()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with sandbox:
        assert requests.get(sandbox.address + "/", timeout=TIMEOUT).status_code == 200


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST /api/v1/auth HTTP/1.1\r\nHost: x\r\nContent-Length: ten\r\n\r\n", b"400"),
        (b"POST /api/v1/auth HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n", b"413"),
        (b"POST /api/v1/auth HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"411"),
        (b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n", b"404"),
        (b"NONSENSE\r\n\r\n", b"400"),
    ],
)
def test_senseless_request_is_answered_and_the_server_lives(scene: Scene, head: bytes, status: bytes) -> None:
    with socket.create_connection(("127.0.0.1", scene.sandbox.port), timeout=TIMEOUT) as raw:
        raw.sendall(head)
        assert status in raw.recv(4096)
    assert scene.caller.get(scene.cards_path).status_code == 200


def test_needs_neither_django_nor_anything_else_installed() -> None:
    code = (
        "import sys; import altegio_loyalty.sandbox as s; s.Sandbox().start().stop(); "
        "print([m for m in sys.modules if m.split('.')[0] in ('django', 'celery', 'requests', 'cryptography')])"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    out = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_several_processes_under_fire__books_and_effects_agree(scene: Scene) -> None:
    for seed, name in enumerate(
        ("cut_before", "cut_after", "cut_mid_answer", "error_after_effect", "status_500")
    ):
        scene.sandbox.fail(name, probability=0.1, seed=seed)
    authorization = str(scene.caller.session.headers["Authorization"])
    url = scene.sandbox.url + scene.withdrawal_path
    words = [url, authorization, "60", str(scene.visit.id), str(scene.visit.record_id)]
    workers = [subprocess.Popen([sys.executable, "-c", SPEND, *words]) for _ in range(3)]
    assert [worker.wait() for worker in workers] == [0, 0, 0]
    effects = scene.sandbox.effects
    assert len(scene.sandbox.requests) == 180
    assert 60 < len(effects) < 180
    assert sum(effect.amount for effect in effects) == scene.withdrawn == 1000 - scene.balance


def test_hundred_connections_at_once(scene: Scene) -> None:
    def call() -> None:
        caller = Caller(scene.sandbox)
        statuses.extend([caller.get(scene.cards_path).status_code for _ in range(5)])
        caller.session.close()

    statuses: list[int] = []
    threads = [threading.Thread(target=call) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 500
