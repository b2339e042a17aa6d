"""A server that answers the two calls of a withdrawal at once, so that what is measured is never the sink.

Its answers are the sandbox's own, with the numbers of the visit that is asked for put in. It counts the calls for points,
and the most of one visit, which tells whether anything was sent twice.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import urlsplit

import requests

from altegio_loyalty.sandbox import Sandbox

LOCATION, CARD = 910_001, 920_001
_PLACE = b"000000000"


def first_visit() -> int:
    """From here on no visit was in any run before. A visit's appointment has the visit's number."""
    return time.time_ns() // 1000


@dataclass(frozen=True)
class Access:
    """Where the sink listens, and with which tokens it is asked."""

    url: str
    partner_token: str
    user_token: str

    @property
    def headers(self) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {self.partner_token}, User {self.user_token}",
            "Accept": "application/vnd.api.v2+json",
        }

    def look_url(self, visit: int) -> str:
        return f"{self.url}/visit/details/{LOCATION}/{visit}/{visit}"

    @property
    def take_url(self) -> str:
        return f"{self.url}/visit/loyalty/apply_card_withdrawal/{LOCATION}/{CARD}"

    def counted(self) -> dict[str, Any]:
        """How many withdrawals there were, the most of one visit, and the moments of the first and the last."""
        found: dict[str, Any] = requests.get(f"{self.url}/counted", timeout=10).json()
        return found

    def forget(self) -> None:
        requests.get(f"{self.url}/forget", timeout=10)


def _templates(sandbox: Sandbox) -> tuple[bytes, bytes]:
    """What the sandbox answers to a look and to a withdrawal of 1 point, with a place for the visit's number."""
    ledger = sandbox.ledger
    salon, client = ledger.add_location(), ledger.add_client()
    card, visit = ledger.add_card(client, balance="9999999"), ledger.add_visit(salon.id, client)
    record = visit.record_ids[0]
    headers = Access(sandbox.url, sandbox.partner_token, sandbox.user_token).headers
    look_url = f"{sandbox.url}/visit/details/{salon.id}/{record}/{visit.id}"
    looked = requests.get(look_url, headers=headers, timeout=10).content
    body = {"record_id": record, "visit_id": visit.id, "amount": 1}
    take_url = f"{sandbox.url}/visit/loyalty/apply_card_withdrawal/{salon.id}/{card.id}"
    taken = requests.post(take_url, json=body, headers=headers, timeout=10).content
    places = {
        visit.id: _PLACE,
        record: _PLACE,
        salon.id: str(LOCATION).encode(),
        card.id: str(CARD).encode(),
    }
    numbers = re.compile(rb"\b(" + b"|".join(str(number).encode() for number in places) + rb")\b")
    looked, taken = (
        numbers.sub(lambda found: places[int(found[0])], re.sub(rb":\s+", b":", text))
        for text in (looked, taken)
    )
    return looked, taken


class _Line(asyncio.Protocol):
    def __init__(self, books: _Books) -> None:
        self.books, self.waiting = books, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.waiting += data
        while b"\r\n\r\n" in self.waiting:
            head, _, rest = self.waiting.partition(b"\r\n\r\n")
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            size = int(length[1]) if length else 0
            if len(rest) < size:
                return
            self.waiting = rest[size:]
            answer = self.books.answer(head.split(b" ", 2)[1].decode(), rest[:size])
            if self.books.seconds and b"/visit/" in head:
                asyncio.get_running_loop().call_later(self.books.seconds, self.transport.write, answer)
            else:
                self.transport.write(answer)


class _Books:
    """What was taken, and how each request is answered."""

    def __init__(self, looked: bytes, taken: bytes, seconds: float) -> None:
        self.looked, self.taken, self.seconds = looked, taken, seconds
        self.forget()

    def forget(self) -> None:
        self.taken_from: Counter[int] = Counter()
        self.moments: list[float] = []

    def answer(self, path: str, body: bytes) -> bytes:
        if "/visit/details/" in path:
            visit = int(path.rpartition("/")[2])
            text = self.taken if visit in self.taken_from else self.looked
        elif "/apply_card_withdrawal/" in path:
            visit, text = int(json.loads(body)["visit_id"]), self.taken
            self.taken_from[visit] += 1
            self.moments.append(time.monotonic())
        else:
            return self._told(path)
        return self._framed(text.replace(_PLACE, str(visit).encode()))

    def _told(self, path: str) -> bytes:
        if path.endswith("/forget"):
            self.forget()
        moments = self.moments or [0.0]
        most = max(self.taken_from.values(), default=0)
        told = {"count": len(self.moments), "most": most, "first": moments[0], "last": moments[-1]}
        return self._framed(json.dumps(told).encode())

    @staticmethod
    def _framed(body: bytes) -> bytes:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        return head % len(body) + body


def _serve(pipe: Connection, seconds: float) -> None:
    with Sandbox() as sandbox:
        books = _Books(*_templates(sandbox), seconds)
        tokens = sandbox.partner_token, sandbox.user_token

    async def listen() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Line(books), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        pipe.send(Access(f"http://127.0.0.1:{port}/api/v1", *tokens))
        await server.serve_forever()

    asyncio.run(listen())


@contextmanager
def sink(seconds: float = 0) -> Iterator[Access]:
    """The sink in a process of its own; it answers after so many seconds."""
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_serve, args=(theirs, seconds), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.kill()
        process.join()


def most_a_second(access: Access, pairs: int = 4000, clients: int = 4) -> float:
    """How many pairs of calls the sink answers a second to as many clients, which send bytes and read none of them."""
    address = urlsplit(access.url)
    visit = first_visit()
    body = b'{"visit_id": %d}' % visit
    look = f"GET {urlsplit(access.look_url(visit)).path} HTTP/1.1\r\n\r\n".encode()
    take = (
        f"POST {urlsplit(access.take_url).path} HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )

    def ask() -> None:
        with socket.create_connection((address.hostname, address.port or 80)) as line:
            for _ in range(pairs // clients):
                for request in (look, take):
                    line.sendall(request)
                    left = 1
                    while left > 0:
                        part = line.recv(1 << 16)
                        if part.startswith(b"HTTP/1.1"):
                            head, _, rest = part.partition(b"\r\n\r\n")
                            left = int(head.rpartition(b" ")[2]) - len(rest)
                        else:
                            left -= len(part)

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - began
    access.forget()
    return pairs / seconds
