"""What one call may cost: seconds to connect, between two bytes and altogether; bytes; memory. Whatever the server does."""

from __future__ import annotations

import gzip
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from itertools import repeat

import pytest

from altegio_loyalty import exceptions
from altegio_loyalty.client import Limits
from tests.chaos.clock import Clock
from tests.client.rawserver import (
    VISIT,
    Behaviour,
    RawServer,
    Talk,
    answering,
    client_of,
    http_answer,
    withdraw,
)

TOTAL = 60
PATIENT = Limits(connect_timeout=TOTAL, read_timeout=TOTAL, total_timeout=TOTAL, answer_bytes=64 * 1024)
OPEN_END = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
IN_DOUBT = (exceptions.NoAnswer, exceptions.UnreadableAnswer, exceptions.ServerError)


def sending(start: bytes, pieces: Iterator[bytes], pause: float = 0.0) -> Behaviour:
    def behave(talk: Talk) -> None:
        talk.request()
        talk.sock.sendall(start)
        for piece in pieces:
            talk.sock.sendall(piece)
            if pause:
                time.sleep(pause)

    return behave


DRIPS = {
    "status line": (b"", b"HTTP/1.1 200 " + b"O" * 500),
    "header name": (b"HTTP/1.1 200 OK\r\n", b"X" * 500),
    "many headers": (b"HTTP/1.1 200 OK\r\n", b"A: b\r\n" * 90),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 30),
    "body": (OPEN_END, b" " * 500),
    "body until the connection closes": (b"HTTP/1.1 200 OK\r\n\r\n", b" " * 500),
    "chunks": (CHUNKED, b"1\r\n \r\n" * 100),
    "chunk size": (CHUNKED, b"0" * 500),
    "chunk extension": (CHUNKED, b"1;" + b"x" * 500),
    "trailers": (CHUNKED + b"2\r\n{}\r\n0\r\n", b"A: b\r\n" * 100),
    "body of an error": (b"HTTP/1.1 500 Oops\r\nContent-Length: 100000\r\n\r\n", b" " * 500),
    "body of a redirect": (
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 100000\r\n\r\n",
        b" " * 500,
    ),
    "compressed body": (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 100000\r\n\r\n",
        gzip.compress(bytes(range(256)) * 8, 0),
    ),
}


@pytest.mark.parametrize("where", DRIPS)
def test_a_server_that_drips_bytes_is_cut_off_at_the_total_time(where: str) -> None:
    start, rest = DRIPS[where]
    sent: list[bytes] = []
    clock = Clock()

    def drip() -> Iterator[bytes]:
        for i in range(len(rest)):
            clock.passed += TOTAL / 20
            sent.append(rest[i : i + 1])
            yield sent[-1]

    with clock.running(), client_of(sending(start, drip(), 0.02), PATIENT) as (client, _):
        with pytest.raises(IN_DOUBT):
            withdraw(client)
        assert len(sent) < len(rest)


def test_the_total_time_counts_from_the_start_of_each_call() -> None:
    """A kept connection starts its next call with the whole time, not with what the last one left."""
    clock = Clock()

    def slow(talk: Talk) -> None:
        while talk.request() is not None:
            clock.passed += TOTAL * 0.4
            talk.sock.sendall(http_answer(VISIT))

    with clock.running(), client_of(slow, PATIENT) as (client, server):
        withdraw(client)
        withdraw(client)
        withdraw(client)
        assert len(server.talks) == 1


def test_silence_longer_than_the_read_timeout_ends_the_call() -> None:
    limits = Limits(connect_timeout=5, read_timeout=0.2, total_timeout=60)
    silence = sending(OPEN_END, iter([b"{", b"}"]), 40)
    with client_of(silence, limits) as (client, _):
        began = time.monotonic()
        with pytest.raises(exceptions.NoAnswer):
            withdraw(client)
        assert time.monotonic() - began < 30


def test_silence_shorter_than_the_read_timeout_does_not_end_the_call() -> None:
    answer = http_answer(VISIT)
    clock = Clock()

    def pieces() -> Iterator[bytes]:
        for i in range(0, len(answer), 10):
            clock.passed += 10
            yield answer[i : i + 10]

    limits = Limits(connect_timeout=60, read_timeout=60, total_timeout=600)
    assert len(answer) > limits.read_timeout
    with clock.running(), client_of(sending(b"", pieces(), 0.02), limits) as (client, _):
        assert withdraw(client).visit is not None


ENDLESS = {
    "body": (b"HTTP/1.1 200 OK\r\n\r\n", b" " * 65536),
    "body with a length": (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", b" " * 65536),
    "chunks": (CHUNKED, b"8000\r\n" + b" " * 0x8000 + b"\r\n"),
    "chunk size": (CHUNKED, b"0" * 65536),
    "chunk extension": (CHUNKED + b"1;", b"x" * 65536),
    "trailers": (CHUNKED + b"2\r\n{}\r\n0\r\n", b"A: b\r\n" * 10000),
    "one header": (b"HTTP/1.1 200 OK\r\nX: ", b"x" * 65536),
    "many headers": (b"HTTP/1.1 200 OK\r\n", b"A: b\r\n" * 10000),
    "status line": (b"", b"H" * 65536),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 3000),
    "body of an error": (b"HTTP/1.1 404 Not Found\r\n\r\n", b" " * 65536),
    "body of a redirect": (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\n\r\n", b" " * 65536),
}


@pytest.mark.parametrize("where", ENDLESS)
def test_an_answer_that_never_ends_is_read_no_further_than_its_bound(where: str) -> None:
    """Of 64 KiB allowed no more than some megabytes may be taken, socket buffers included."""
    start, piece = ENDLESS[where]
    sent = 0

    def counted() -> Iterator[bytes]:
        nonlocal sent
        for each in repeat(piece):
            yield each
            sent += len(each)

    with (
        client_of(sending(start, counted()), PATIENT) as (client, _),
        pytest.raises(exceptions.ApiError) as caught,
    ):
        withdraw(client)
    assert isinstance(caught.value, (*IN_DOUBT, exceptions.Refused))
    assert sent < 16 * 1024 * 1024


def test_an_answer_of_just_the_bound_is_read() -> None:
    body = b'{"loyalty_transactions": []}'
    body += b" " * (64 * 1024 - len(body))
    with client_of(answering(http_answer(body)), PATIENT) as (client, _):
        assert withdraw(client).visit is not None


def test_an_answer_one_byte_beyond_the_bound_is_unreadable() -> None:
    body = b'{"loyalty_transactions": []}'
    body += b" " * (64 * 1024 - len(body) + 1)
    with (
        client_of(answering(http_answer(body)), PATIENT) as (client, _),
        pytest.raises(exceptions.UnreadableAnswer),
    ):
        withdraw(client)


def test_no_compression_is_asked_for() -> None:
    with client_of(answering(http_answer(VISIT))) as (client, server):
        withdraw(client)
        assert b"accept-encoding: identity\r\n" in server.received.lower()


@pytest.mark.parametrize("name", ["gzip", "deflate", "x-gzip"])
def test_a_compressed_answer_is_read_though_nobody_asked_for_it(name: str) -> None:
    plain = b'{"loyalty_transactions": []}'
    packed = zlib.compress(plain) if name == "deflate" else gzip.compress(plain)
    with client_of(answering(http_answer(packed, "200 OK", f"Content-Encoding: {name}"))) as (client, _):
        assert withdraw(client).visit is not None


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "302 Found"])
def test_a_small_compressed_answer_that_unpacks_to_a_huge_one_costs_little_memory(status: str) -> None:
    bomb = gzip.compress(b" " * (100 * 1024 * 1024), 9)
    headers = ["Content-Encoding: gzip", "Location: http://127.0.0.1:9/"]
    limits = Limits(connect_timeout=60, read_timeout=60, total_timeout=60, answer_bytes=256 * 1024)
    with client_of(answering(http_answer(bomb, status, *headers)), limits) as (client, _):
        tracemalloc.start()
        try:
            with pytest.raises(exceptions.ApiError):
                withdraw(client)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 20 * 1024 * 1024


def test_a_bomb_within_a_bomb_costs_little_memory() -> None:
    bomb = gzip.compress(gzip.compress(b" " * (100 * 1024 * 1024), 9), 9)
    limits = Limits(connect_timeout=60, read_timeout=60, total_timeout=60, answer_bytes=256 * 1024)
    answer = http_answer(bomb, "200 OK", "Content-Encoding: gzip, gzip")
    with client_of(answering(answer), limits) as (client, _):
        tracemalloc.start()
        try:
            with pytest.raises(exceptions.UnreadableAnswer):
                withdraw(client)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 20 * 1024 * 1024


@pytest.mark.parametrize(
    "encoding", ["gzip", "deflate", "br", "zstd", "gzip, deflate", "rot13", ",".join(["gzip"] * 99)]
)
def test_an_answer_that_lies_about_its_compression_is_in_doubt(encoding: str) -> None:
    answer = http_answer(b"this is none of these", "200 OK", f"Content-Encoding: {encoding}")
    with client_of(answering(answer)) as (client, _), pytest.raises(IN_DOUBT):
        withdraw(client)


def test_the_next_call_after_a_too_large_answer_gets_its_own() -> None:
    first = True

    def behave(talk: Talk) -> None:
        nonlocal first
        if first:
            first = False
            talk.request()
            talk.sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 200_000)
        answering(http_answer({"data": {"title": "right"}}))(talk)

    with client_of(behave, PATIENT) as (client, _):
        with pytest.raises(exceptions.UnreadableAnswer):
            client.company(1)
        assert client.company(1).title == "right"


def test_a_worker_is_not_held_by_a_server_that_stops_reading() -> None:
    """A request is small: it fits into the buffers on the way, and the silence after it is bounded."""

    def deaf(talk: Talk) -> None:
        time.sleep(40)

    limits = Limits(connect_timeout=60, read_timeout=0.3, total_timeout=60)
    with RawServer(deaf), client_of(deaf, limits) as (client, _):
        began = time.monotonic()
        with pytest.raises(exceptions.NoAnswer):
            withdraw(client)
        assert time.monotonic() - began < 30
