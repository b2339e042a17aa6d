"""Small servers on raw sockets, for what an honest HTTP server cannot be told to do."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

from altegio_loyalty.client import AltegioClient, Credentials, Limits, Order, Transport
from altegio_loyalty.client.hidden import Hidden

PARTNER, USER = "partner-3f9a1c77d0e2", "user-b81c5e04a6d94f21"
TOKENS = Credentials(PARTNER, USER)
VISIT: dict[str, list[Any]] = {"loyalty_transactions": [], "payment_transactions": [], "items": []}
QUICK = Limits(connect_timeout=10, read_timeout=10, total_timeout=20, answer_bytes=64 * 1024)


def http_answer(body: bytes | Any = b"{}", status: str = "200 OK", *headers: str) -> bytes:
    """A whole HTTP answer; anything but bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(content)}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + content


def chunked_answer(*chunks: bytes) -> bytes:
    """The same as `http_answer`, in these chunks."""
    pieces = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n"


@dataclass
class Talk:
    """One connection to the server: its socket, every byte received so far, and whole requests."""

    sock: socket.socket
    received: bytearray = field(default_factory=bytearray)
    _unread: bytearray = field(default_factory=bytearray)

    def more(self) -> bool:
        piece = self.sock.recv(65536)
        self.received += piece
        self._unread += piece
        return bool(piece)

    def request(self) -> bytes | None:
        """The next whole request; None where the client hung up."""
        while b"\r\n\r\n" not in self._unread:
            if not self.more():
                return None
        head = bytes(self._unread).partition(b"\r\n\r\n")[0]
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        size = len(head) + 4 + length
        while len(self._unread) < size:
            if not self.more():
                return None
        request = bytes(self._unread[:size])
        del self._unread[:size]
        return request

    def reset(self) -> None:
        """Closes with a RST, as a dying machine does."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self.sock.close()


Behaviour = Callable[[Talk], None]


def answering(*answers: bytes) -> Behaviour:
    """Answers each request of a connection with the next of these bytes, the last one for ever."""

    def behave(talk: Talk) -> None:
        waiting = list(answers)
        while talk.request() is not None:
            talk.sock.sendall(waiting.pop(0) if len(waiting) > 1 else waiting[0])

    return behave


def answering_once(answer: bytes) -> Behaviour:
    """Answers one request and closes the connection."""

    def behave(talk: Talk) -> None:
        if talk.request() is not None:
            talk.sock.sendall(answer)

    return behave


class RawServer:
    """Listens on a local port and treats each connection as `behaviour` says. A context manager."""

    def __init__(self, behaviour: Behaviour, *, tls: ssl.SSLContext | None = None) -> None:
        self._behaviour = behaviour
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.talks: list[Talk] = []
        self.is_closing = threading.Event()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/api/v1"

    @property
    def received(self) -> bytes:
        """Every byte of every connection so far."""
        return b"".join(bytes(talk.received) for talk in self.talks)

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.is_closing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for talk in self.talks:
            with contextlib.suppress(OSError):
                talk.sock.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            if self._tls:
                sock = self._tls.wrap_socket(sock, server_side=True)
            talk = Talk(sock)
            self.talks.append(talk)
            try:
                self._behaviour(talk)
            finally:
                sock.close()


class Sending:
    """A server that answers every request with these bytes, and hangs up."""

    def __init__(self) -> None:
        self.answer = b""

    def behave(self, talk: Talk) -> None:
        if talk.request() is not None:
            talk.sock.sendall(self.answer)


@contextlib.contextmanager
def transport_to(url: str, limits: Limits = QUICK, proxy_url: str | Hidden = "") -> Iterator[Transport]:
    transport = Transport(url, proxy_url=proxy_url, limits=limits)
    try:
        yield transport
    finally:
        transport.close()


@contextlib.contextmanager
def client_of(
    behaviour: Behaviour, limits: Limits = QUICK, tokens: Credentials = TOKENS
) -> Iterator[tuple[AltegioClient, RawServer]]:
    """A client that talks to a server with this behaviour."""
    with RawServer(behaviour) as server, transport_to(server.url, limits) as transport:
        yield AltegioClient(transport, tokens), server


def withdraw(client: AltegioClient, **more: Any) -> Any:
    return client.send(order_of("apply_card_withdrawal", amount=Decimal(100)), **more)


def order_of(kind: str, **more: Any) -> Order:
    return Order(kind=kind, location_id=1, card_id=2, record_id=3, visit_id=4, **more)


def make_certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS context for 127.0.0.1, and the file that a client has to trust for it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    trusted = folder / "trusted.pem"
    trusted.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    both = folder / "both.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    both.write_bytes(private + trusted.read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return context, trusted
