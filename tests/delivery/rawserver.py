"""A server that says exactly the bytes it is told to, and tells when a request is there."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from typing import Any

#: Given the method, the path and the socket: the bytes of the answer, or None to leave without one.
Answerer = Callable[[str, str, socket.socket], bytes | None]

EMPTY_VISIT: dict[str, list[Any]] = {"loyalty_transactions": [], "items": [], "payment_transactions": []}


def answer_of(body: Any, status: int = 200, headers: str = "") -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n{headers}\r\n"
    return head.encode() + content


class RawServer:
    def __init__(self, answer: Answerer) -> None:
        self._answer = answer
        self.requests: list[tuple[str, str]] = []
        self.connection_count = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/api/v1"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> RawServer:
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.connection_count += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), connection, connection.makefile("rb") as stream:
            while line := stream.readline():
                method, path, _ = line.decode().split()
                length = 0
                while (header := stream.readline().strip()) and header:
                    name, _, value = header.decode().partition(":")
                    length = int(value) if name.lower() == "content-length" else length
                stream.read(length)
                self.requests.append((method, path))
                if (answer := self._answer(method, path, connection)) is None:
                    return
                connection.sendall(answer)
