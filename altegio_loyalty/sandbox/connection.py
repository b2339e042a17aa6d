"""One connection of one caller: reads its requests, meets the faults, sends or withholds the answers."""

from __future__ import annotations

import socket
import struct
import traceback
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING

from altegio_loyalty.sandbox import spoiling
from altegio_loyalty.sandbox.api import operation_name
from altegio_loyalty.sandbox.faults import Fault
from altegio_loyalty.sandbox.requestlog import ReceivedRequest
from altegio_loyalty.sandbox.wire import Answer, Request, encode, failure

if TYPE_CHECKING:
    from altegio_loyalty.sandbox.server import Sandbox

LARGEST_BODY = 1024 * 1024
# Linger switched on with no time to linger: closing sends a reset instead of a polite end.
RESET = struct.pack("ii", 1, 0)


class Connection(BaseHTTPRequestHandler):
    """Lives in a thread of its own until the caller leaves, a fault cuts it, or the server stops."""

    protocol_version = "HTTP/1.1"
    server_version = "AltegioSandbox"
    sys_version = ""

    def __init__(self, sock: socket.socket, address: tuple[str, int], sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        # The base class reads and serves everything inside its own __init__.
        super().__init__(sock, address, sandbox)  # type: ignore[arg-type]

    def _serve(self) -> None:
        try:
            request = self._read()
            if request is None:
                return
            if request.is_api:
                self._serve_api(request)
            else:
                self._send(self.sandbox.console.answer(request))
        except OSError:
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _serve

    def _read(self) -> Request | None:
        """The whole request; None when the caller was sent away or has left."""
        length = self.headers.get("Content-Length", "0")
        problem = _unreadable(length, chunked="Transfer-Encoding" in self.headers)
        if problem is not None:
            self.close_connection = True
            self._send(problem)
            return None
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            # The caller left in the middle of its request; nobody carries out half a request.
            self.close_connection = True
            return None
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Request(self.command, self.path, headers, body, str(self.client_address[0]))

    def _serve_api(self, request: Request) -> None:
        sandbox = self.sandbox
        operation = operation_name(request)
        entry = sandbox.log.add(request, operation)
        if sandbox.is_down:
            entry.fault = "down"
            self._cut()
        elif not sandbox.within_limits(request.ip):
            self._reply(spoiling.rate_limit_answer(), entry)
        elif fault := sandbox.faults.pick(f"{request.method} {request.path} {operation}"):
            entry.fault = fault.name
            act = _ACTS.get(fault.name, Connection._spoil)
            act(self, fault, request, entry)
        else:
            self._reply(self._real_answer(request), entry)

    def _carry_out(self, request: Request) -> Answer:
        try:
            return self.sandbox.api.answer(request)
        except Exception:  # noqa: BLE001  whatever it is, the caller gets an answer and the console the traceback
            traceback.print_exc()
            return failure(500, "The sandbox itself failed; see its output.")

    def _real_answer(self, request: Request) -> Answer:
        return self.sandbox.finished(self._carry_out(request), request)

    # The faults

    def _spoil(self, fault: Fault, request: Request, entry: ReceivedRequest) -> None:
        instead = spoiling.replacement(fault)
        if instead is None:
            real = self._carry_out(request)
            instead = spoiling.spoil(fault, real, lambda answer: self.sandbox.finished(answer, request))
        elif fault.effect:
            self._carry_out(request)
        self._reply(instead, entry)

    def _cut_before(self, fault: Fault, request: Request, entry: ReceivedRequest) -> None:
        if fault.effect:
            self._carry_out(request)
        self._cut()

    def _cut_mid_answer(self, fault: Fault, request: Request, entry: ReceivedRequest) -> None:
        answer = self._real_answer(request)
        head, body = self._bytes(answer)
        self.wfile.write(head + body[: len(body) // 2])
        self.close_connection = True

    def _hang(self, fault: Fault, request: Request, entry: ReceivedRequest) -> None:
        self.sandbox.faults.sleep(float(fault.parameters["seconds"]))
        if self.sandbox.is_stopping or not fault.effect:
            self._cut()
        else:
            self._reply(self._real_answer(request), entry)

    def _hang_after(self, fault: Fault, request: Request, entry: ReceivedRequest) -> None:
        if fault.effect:
            self._carry_out(request)
        self.sandbox.faults.sleep(float(fault.parameters["seconds"]))
        self._cut()

    def _drip(self, fault: Fault, request: Request, entry: ReceivedRequest) -> None:
        answer = self._real_answer(request)
        head, body = self._bytes(answer)
        for byte in head + body:
            if self.sandbox.is_stopping:
                self._cut()
                return
            self.wfile.write(bytes((byte,)))
            self.sandbox.faults.sleep(float(fault.parameters["seconds"]))
        entry.status = answer.status

    def _late_effect(self, fault: Fault, request: Request, entry: ReceivedRequest) -> None:
        self.sandbox.later(float(fault.parameters["seconds"]), request)
        self._cut()

    # Sending

    def _reply(self, answer: Answer, entry: ReceivedRequest) -> None:
        # Before the bytes leave: whoever has the answer may look into the log at once.
        entry.status = answer.status
        self._send(answer)

    def _send(self, answer: Answer) -> None:
        head, body = self._bytes(answer)
        self.wfile.write(head if self.command == "HEAD" else head + body)

    def _bytes(self, answer: Answer) -> tuple[bytes, bytes]:
        body = encode(answer.body, float_noise=self.sandbox.float_noise)
        headers = {
            "Date": self.date_time_string(),
            "Server": self.server_version,
            "Content-Type": answer.content_type,
            "Content-Length": str(len(body)),
            **answer.headers,
        }
        if self.close_connection:
            headers["Connection"] = "close"
        lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1"), body

    def _cut(self) -> None:
        """Resets the connection; the reset leaves when the thread's last file on the socket is closed."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.close_connection = True

    def log_message(self, *args: object) -> None:
        """Silent: the sandbox keeps its own log."""


def _unreadable(length: str, *, chunked: bool) -> Answer | None:
    if chunked:
        return failure(411, "Send a Content-Length.")
    if not (length.isascii() and length.isdigit()):
        return failure(400, "The Content-Length is not a number.")
    if int(length) > LARGEST_BODY:
        return failure(413, "The body is too large.")
    return None


_ACTS: dict[str, Callable[[Connection, Fault, Request, ReceivedRequest], None]] = {
    "cut_before": Connection._cut_before,
    "cut_after": Connection._cut_before,
    "cut_mid_answer": Connection._cut_mid_answer,
    "hang": Connection._hang,
    "hang_after": Connection._hang_after,
    "drip": Connection._drip,
    "late_effect": Connection._late_effect,
}
