"""NotSent means that no byte of the request left; everything after the first byte is in doubt."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from pathlib import Path

import pytest
import requests
from requests.adapters import HTTPAdapter

from altegio_loyalty import exceptions
from altegio_loyalty.client import AltegioClient, Limits, exchange, transport
from tests.client.rawserver import (
    QUICK,
    TOKENS,
    VISIT,
    RawServer,
    Talk,
    answering,
    answering_once,
    chunked_answer,
    client_of,
    http_answer,
    make_certificate,
    transport_to,
    withdraw,
)
from tests.waiting import wait_for


def test_a_refused_port_is_not_sent() -> None:
    held = socket.socket()
    held.bind(("127.0.0.1", 0))  # bound but not listening: callers are refused
    with (
        held,
        transport_to(f"http://127.0.0.1:{held.getsockname()[1]}") as transport,
        pytest.raises(exceptions.NotSent),
    ):
        withdraw(AltegioClient(transport, TOKENS))


def test_a_name_that_does_not_resolve_is_not_sent() -> None:
    with transport_to("http://nobody.invalid/api/v1") as transport, pytest.raises(exceptions.NotSent):
        withdraw(AltegioClient(transport, TOKENS))


def test_a_connect_timeout_is_not_sent(full_port: int) -> None:
    limits = Limits(connect_timeout=0.3, read_timeout=60, total_timeout=60)
    began = time.monotonic()
    with (
        transport_to(f"http://127.0.0.1:{full_port}", limits) as transport,
        pytest.raises(exceptions.NotSent),
    ):
        withdraw(AltegioClient(transport, TOKENS))
    assert time.monotonic() - began < 30


def test_the_total_time_bounds_the_connecting_too(full_port: int) -> None:
    limits = Limits(connect_timeout=60, read_timeout=60, total_timeout=0.5)
    began = time.monotonic()
    with (
        transport_to(f"http://127.0.0.1:{full_port}", limits) as transport,
        pytest.raises(exceptions.NotSent),
    ):
        withdraw(AltegioClient(transport, TOKENS))
    assert time.monotonic() - began < 30


def test_the_total_time_bounds_the_connecting_to_all_addresses_of_a_host(
    full_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them gets the whole connect timeout, and there may be many."""
    address = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", full_port))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: [address] * 100)
    limits = Limits(connect_timeout=3, read_timeout=60, total_timeout=1, answer_bytes=1024)
    began = time.monotonic()
    with transport_to(f"http://127.0.0.1:{full_port}/api/v1", limits) as to_nobody:
        with pytest.raises(exceptions.NotSent):
            withdraw(AltegioClient(to_nobody, TOKENS))
    assert time.monotonic() - began < 30


def test_a_lease_that_has_passed_sends_nothing() -> None:
    with client_of(answering(http_answer(VISIT))) as (client, server):
        with pytest.raises(exceptions.NotSent):
            withdraw(client, send_within=0)
        time.sleep(0.05)
        assert server.received == b""


def test_a_lease_that_has_passed_long_ago_sends_nothing() -> None:
    with client_of(answering(http_answer(VISIT))) as (client, server):
        with pytest.raises(exceptions.NotSent):
            withdraw(client, send_within=-100)
        assert server.received == b""


def test_a_lease_that_passed_sends_nothing_over_a_kept_connection() -> None:
    with client_of(answering(http_answer(VISIT))) as (client, server):
        client.visit_details(1, 2, 3)
        before = len(server.received)
        with pytest.raises(exceptions.NotSent):
            withdraw(client, send_within=0)
        time.sleep(0.05)
        assert len(server.received) == before


def test_the_connection_works_on_after_a_lease_that_passed() -> None:
    with client_of(answering(http_answer(VISIT))) as (client, _):
        with pytest.raises(exceptions.NotSent):
            withdraw(client, send_within=0)
        assert withdraw(client, send_within=60).visit is not None


def test_a_lease_that_passes_while_connecting_sends_nothing(tmp_path: Path) -> None:
    """A TLS handshake takes longer than the lease: the handshake's bytes are not the request's."""
    context, trusted = make_certificate(tmp_path)

    def slow_handshake(talk: Talk) -> None:
        time.sleep(0.4)
        talk.sock = context.wrap_socket(talk.sock, server_side=True)
        answering(http_answer(VISIT))(talk)

    with (
        RawServer(slow_handshake) as server,
        transport_to(server.url.replace("http:", "https:")) as transport,
    ):
        transport._session.verify = str(trusted)
        with pytest.raises(exceptions.NotSent):
            withdraw(AltegioClient(transport, TOKENS), send_within=0.2)
        assert b"apply_card_withdrawal" not in server.received


def test_a_wall_clock_put_forward_past_the_lease_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that slept: the monotonic clock stood still, the wall clock did not."""
    with client_of(answering(http_answer(VISIT))) as (client, server):

        class SleptClock:
            monotonic = staticmethod(time.monotonic)
            time = staticmethod(lambda: time.time() + 3600)

        monkeypatch.setattr(exchange, "time", SleptClock)
        with pytest.raises(exceptions.NotSent):
            withdraw(client, send_within=5)
        assert server.received == b""


def test_a_server_that_speaks_no_tls_is_not_sent() -> None:
    limits = Limits(connect_timeout=0.3, read_timeout=1, total_timeout=2)
    with (
        RawServer(answering(http_answer(VISIT))) as server,
        transport_to(server.url.replace("http:", "https:"), limits) as transport,
    ):
        with pytest.raises(exceptions.NotSent):
            withdraw(AltegioClient(transport, TOKENS))
        assert b"apply_card_withdrawal" not in server.received


def test_a_certificate_that_nobody_signed_is_not_sent(tmp_path: Path) -> None:
    context, _ = make_certificate(tmp_path)
    with (
        RawServer(answering(http_answer(VISIT)), tls=context) as server,
        transport_to(server.url) as transport,
    ):
        with pytest.raises(exceptions.NotSent):
            withdraw(AltegioClient(transport, TOKENS))
        assert server.received == b""


def test_a_handshake_that_never_ends_is_not_sent() -> None:
    def silent(talk: Talk) -> None:
        while talk.more():
            pass

    limits = Limits(connect_timeout=0.4, read_timeout=60, total_timeout=60)
    began = time.monotonic()
    with (
        RawServer(silent) as server,
        transport_to(server.url.replace("http:", "https:"), limits) as transport,
    ):
        with pytest.raises(exceptions.NotSent):
            withdraw(AltegioClient(transport, TOKENS))
        assert time.monotonic() - began < 30


def test_over_tls_a_call_is_made_and_the_connection_is_kept(tmp_path: Path) -> None:
    context, trusted = make_certificate(tmp_path)
    with (
        RawServer(answering(http_answer(VISIT)), tls=context) as server,
        transport_to(server.url) as transport,
    ):
        transport._session.verify = str(trusted)
        client = AltegioClient(transport, TOKENS)
        withdraw(client)
        withdraw(client)
        assert len(server.talks) == 1


def test_over_tls_a_connection_cut_after_the_request_is_in_doubt(tmp_path: Path) -> None:
    context, trusted = make_certificate(tmp_path)

    def cut(talk: Talk) -> None:
        talk.request()

    with RawServer(cut, tls=context) as server, transport_to(server.url) as transport:
        transport._session.verify = str(trusted)
        with pytest.raises(exceptions.NoAnswer):
            withdraw(AltegioClient(transport, TOKENS))


def test_a_connection_reset_before_the_request_was_read_is_in_doubt() -> None:
    """The bytes left this machine: what became of them nobody here can know."""

    def reset(talk: Talk) -> None:
        talk.sock.recv(1)
        talk.reset()

    with client_of(reset) as (client, _), pytest.raises(exceptions.NoAnswer):
        withdraw(client)


def test_a_server_that_reads_and_never_answers_is_in_doubt() -> None:
    def silent(talk: Talk) -> None:
        while talk.more():
            pass

    limits = Limits(connect_timeout=5, read_timeout=0.3, total_timeout=60)
    began = time.monotonic()
    with client_of(silent, limits) as (client, _), pytest.raises(exceptions.NoAnswer):
        withdraw(client)
    assert 0.2 < time.monotonic() - began < 30


@pytest.mark.parametrize("answers", [False, True], ids=["given up", "finished"])
def test_a_call_that_is_given_up_leaves_nothing_on_its_way(answers: bool) -> None:
    """The connection is reset: an ordinary close would go on delivering what the server has not taken yet."""
    ending: list[str] = []
    ended = threading.Event()

    def watch(talk: Talk) -> None:
        try:
            talk.request()
            if answers:
                talk.sock.sendall(http_answer(VISIT))
            ending.append("reset" if talk.more() else "closed")
        except ConnectionResetError:
            ending.append("reset")
        ended.set()

    limits = Limits(connect_timeout=60, read_timeout=60 if answers else 0.3, total_timeout=60)
    with RawServer(watch) as server:
        with transport_to(server.url, limits) as transport:
            client = AltegioClient(transport, TOKENS)
            with contextlib.nullcontext() if answers else pytest.raises(exceptions.NoAnswer):
                withdraw(client)
        assert ended.wait(60)
    assert ending == (["closed"] if answers else ["reset"])


@pytest.mark.parametrize("how", ["close", "reset"])
def test_at_every_cut_of_the_request_it_is_never_not_sent_once_a_byte_was_read(how: str) -> None:
    wanted = 0

    def cut(talk: Talk) -> None:
        while len(talk.received) < wanted:
            piece = talk.sock.recv(wanted - len(talk.received))
            if not piece:
                return
            talk.received += piece
        if how == "reset":
            talk.reset()

    with client_of(answering(http_answer(VISIT))) as (client, server):
        withdraw(client)
        size = len(server.received)
    for wanted in [*range(1, 60), *range(60, size + 1, 30)]:
        with client_of(cut) as (client, server):
            with pytest.raises(exceptions.ApiError) as caught:
                withdraw(client)
            assert not isinstance(caught.value, exceptions.NotSent), wanted
            assert isinstance(caught.value, exceptions.NoAnswer), wanted
            assert server.received.startswith(b"P")


@pytest.mark.parametrize("how", ["close", "reset"])
def test_at_every_cut_of_the_answer_it_is_in_doubt(how: str) -> None:
    whole = http_answer(
        {"success": True, "data": VISIT, "meta": []}, "200 OK", "Content-Type: application/json"
    )
    size = 0

    def cut(talk: Talk) -> None:
        talk.request()
        talk.sock.sendall(whole[:size])
        if how == "reset":
            talk.reset()

    for size in range(len(whole)):
        with client_of(cut) as (client, _):
            with pytest.raises(exceptions.ApiError) as caught:
                withdraw(client)
            in_doubt = (exceptions.NoAnswer, exceptions.UnreadableAnswer)
            assert isinstance(caught.value, in_doubt), (size, caught.value)


def test_at_every_cut_of_a_chunked_answer_it_is_in_doubt() -> None:
    whole = chunked_answer(b'{"loyalty_transactions": [], "i', b'tems":[]}')
    size = 0

    def cut(talk: Talk) -> None:
        talk.request()
        talk.sock.sendall(whole[:size])

    # Without the last chunk nobody knows whether that was all; after it only the trailer's end is missing.
    for size in range(len(whole) - len(b"0\r\n\r\n")):
        with client_of(cut) as (client, _):
            with pytest.raises(exceptions.ApiError) as caught:
                withdraw(client)
            in_doubt = (exceptions.NoAnswer, exceptions.UnreadableAnswer)
            assert isinstance(caught.value, in_doubt), (size, caught.value)


def test_a_whole_chunked_answer_is_read() -> None:
    whole = chunked_answer(b'{"loyalty_transactions": [], "i', b'tems":[]}')
    with client_of(answering(whole)) as (client, _):
        assert withdraw(client).visit is not None


def test_a_whole_answer_is_read_where_the_server_closes_after_it() -> None:
    bare = b'HTTP/1.0 200 OK\r\n\r\n{"loyalty_transactions": []}'
    with client_of(answering_once(bare)) as (client, _):
        assert withdraw(client).visit is not None


def test_a_kept_connection_that_the_server_closed_meanwhile_is_opened_anew() -> None:
    with client_of(answering_once(http_answer(VISIT))) as (client, server):
        withdraw(client)
        wait_for(lambda: server.talks[0].sock.fileno() == -1)
        withdraw(client)
        assert len(server.talks) == 2


def test_a_kept_connection_that_was_idle_for_long_is_opened_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Something on the way may have forgotten it without a word: then the next call would meet nothing but silence."""

    def forget(talk: Talk) -> None:
        talk.request()
        talk.sock.sendall(http_answer(VISIT))
        while talk.request():  # read, and never answered
            pass

    with client_of(forget) as (client, server):
        client.visit_details(1, 3, 4)
        monkeypatch.setattr(transport, "LONGEST_IDLE", 0.1)
        time.sleep(0.2)
        assert withdraw(client).visit is not None
        assert len(server.talks) == 2


def test_a_kept_connection_that_dies_as_the_request_arrives_is_in_doubt_and_sent_once() -> None:
    def die_on_second(talk: Talk) -> None:
        talk.request()
        talk.sock.sendall(http_answer(VISIT))
        talk.request()
        talk.reset()

    with client_of(die_on_second) as (client, server):
        withdraw(client)
        with pytest.raises(exceptions.NoAnswer):
            withdraw(client)
        time.sleep(0.1)
        assert server.received.count(b"POST ") == 2


@pytest.mark.parametrize(
    "status", ["500 Oops", "502 Bad", "503 Busy", "504 Late", "408 Slow", "429 Many", "425 Early"]
)
def test_nothing_is_sent_again_by_itself(status: str) -> None:
    with client_of(answering(http_answer(b"", status, "Retry-After: 0"))) as (client, server):
        with pytest.raises(exceptions.ApiError):
            withdraw(client)
        time.sleep(0.05)
        assert server.received.count(b"POST ") == 1
        assert len(server.talks) == 1


def test_an_answer_that_stopped_half_way_is_never_read_by_the_next_call() -> None:
    given_up, rest_is_sent = threading.Event(), threading.Event()

    def late_rest(talk: Talk) -> None:
        answer = http_answer({"success": True, "data": {"title": "of the first call"}})
        with contextlib.suppress(OSError):
            talk.request()
            talk.sock.sendall(answer[:-10])
            given_up.wait(60)
            talk.sock.sendall(answer[-10:] + http_answer({"data": {"title": "left over"}}))
        rest_is_sent.set()

    first = True

    def behave(talk: Talk) -> None:
        nonlocal first
        if first:
            first = False
            late_rest(talk)
        else:
            answering(http_answer({"data": {"title": "of the second call"}}))(talk)

    impatient = Limits(connect_timeout=60, read_timeout=0.3, total_timeout=60)
    with RawServer(behave) as server, transport_to(server.url, impatient) as transport:
        client = AltegioClient(transport, TOKENS)
        with pytest.raises(exceptions.NoAnswer):
            client.company(1)
        given_up.set()
        assert rest_is_sent.wait(60)
        transport.limits = QUICK
        assert client.company(1).title == "of the second call"


def test_bytes_after_an_answer_are_never_taken_for_the_next_answer() -> None:
    smuggled = http_answer({"data": {"title": "smuggled"}})

    def behave(talk: Talk) -> None:
        talk.request()
        talk.sock.sendall(http_answer({"data": {"title": "first"}}) + smuggled)
        while talk.request() is not None:
            talk.sock.sendall(http_answer({"data": {"title": "second"}}))

    with client_of(behave) as (client, _):
        assert client.company(1).title == "first"
        time.sleep(0.05)
        assert client.company(1).title == "second"


def test_two_threads_never_read_each_others_answers() -> None:
    """Each thread asks for its own location over its own transport at the same time."""

    def echo(talk: Talk) -> None:
        while (request := talk.request()) is not None:
            number = request.split(b" ")[1].rsplit(b"/", 1)[1].partition(b"?")[0].decode()
            talk.sock.sendall(http_answer({"data": {"title": number}}))

    with RawServer(echo) as server:
        wrong: list[str] = []

        def ask(location_id: int) -> None:
            with transport_to(server.url) as transport:
                client = AltegioClient(transport, TOKENS)
                wrong.extend(
                    title
                    for _ in range(30)
                    if (title := client.company(location_id).title) != str(location_id)
                )

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(1, 7)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []


def test_an_api_url_that_no_request_can_go_to_is_not_sent() -> None:
    for url in ("http://", "http://[::1", "nonsense", "ftp://127.0.0.1/", "http://exa mple/", "http://a..b/"):
        with transport_to(url) as transport, pytest.raises(exceptions.NotSent):
            withdraw(AltegioClient(transport, TOKENS))


@pytest.mark.parametrize("way", [HTTPAdapter, requests.Session])
def test_a_failure_that_no_connection_of_ours_saw_is_in_doubt(
    monkeypatch: pytest.MonkeyPatch, way: type
) -> None:
    """As where a mock of HTTP in a host's tests stands in for it."""

    def mocked(*args: object, **kwargs: object) -> None:
        raise requests.ReadTimeout("mocked")

    monkeypatch.setattr(way, "send", mocked)
    with transport_to("http://127.0.0.1:9/api/v1") as transport, pytest.raises(exceptions.NoAnswer):
        withdraw(AltegioClient(transport, TOKENS))
