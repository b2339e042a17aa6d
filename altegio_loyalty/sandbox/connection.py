"""One connection of one caller: reads its requests, meets the faults, sends or withholds the answers."""

import socket
import struct
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import NoReturn

from altegio_loyalty.sandbox.altegio import Altegio
from altegio_loyalty.sandbox.console import Console
from altegio_loyalty.sandbox.wire import Answer, Request, encode, failure

LARGEST_BODY = 1024 * 1024
# Linger switched on with no time to linger: closing sends a reset instead of a polite end.
RESET = struct.pack("ii", 1, 0)


class Connection(BaseHTTPRequestHandler):
    """Lives in a thread of its own until the caller leaves, a fault cuts it, or the server stops."""

    protocol_version = "HTTP/1.1"
    server_version = "AltegioSandbox"
    sys_version = ""

    def __init__(self, sock: socket.socket, address: tuple[str, int], altegio: Altegio) -> None:
        self.altegio = altegio
        # The base class reads and serves everything inside its own __init__.
        super().__init__(sock, address, altegio)  # type: ignore[arg-type]

    def _serve(self) -> None:
        try:
            request = self._read()
            if request.is_api:
                self._serve_api(request)
            else:
                self._send(Console(self.altegio).answer(request))
        except OSError:
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _serve

    def _read(self) -> Request:
        """The whole request. Raises ConnectionError when the caller was sent away, or has left."""
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers:
            self._send_away(411, "Send a Content-Length.")
        if not (length.isascii() and length.isdigit()):
            self._send_away(400, "The Content-Length is not a number.")
        if int(length) > LARGEST_BODY:
            self._send_away(413, "The body is too large.")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise ConnectionError("Nobody carries out half a request.")
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Request(self.command, self.path, headers, body, str(self.client_address[0]))

    def _send_away(self, status: int, why: str) -> NoReturn:
        self.close_connection = True
        self._send(failure(status, why))
        raise ConnectionError

    def _serve_api(self, request: Request) -> None:
        entry, answer, fault = self.altegio.receive(request)
        if answer is None:
            self._cut()
        elif fault is not None and fault.name == "cut_mid_answer":
            head, body = self._bytes(answer)
            self.wfile.write(head + body[: len(body) // 2])
            self.close_connection = True
        elif fault is None or fault.name != "drip":
            # Before the bytes leave: whoever has the answer may look into the log at once.
            entry.status = answer.status
            self._send(answer)
        elif self._drip(answer, fault.parameters["seconds"]):
            entry.status = answer.status

    def _drip(self, answer: Answer, seconds: float) -> bool:
        """Whether all of it was sent."""
        for byte in b"".join(self._bytes(answer)):
            if self.altegio.is_stopping:
                self._cut()
                return False
            self.wfile.write(bytes((byte,)))
            self.altegio.faults.sleep(seconds)
        return True

    def _send(self, answer: Answer) -> None:
        head, body = self._bytes(answer)
        self.wfile.write(head if self.command == "HEAD" else head + body)

    def _bytes(self, answer: Answer) -> tuple[bytes, bytes]:
        body = encode(answer.body, float_noise=self.altegio.float_noise)
        headers = {
            "Date": self.date_time_string(),
            "Server": self.server_version,
            "Content-Type": answer.content_type,
            "Content-Length": len(body),
            **answer.headers,
            **({"Connection": "close"} if self.close_connection else {}),
        }
        first = f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"
        lines = [first, *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        return "\r\n".join(lines).encode("latin-1"), body

    def _cut(self) -> None:
        """Resets the connection; the reset leaves when the thread's last file on the socket is closed."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.close_connection = True

    def log_message(self, *args: object) -> None:
        """Silent: the sandbox keeps its own log."""
