"""The listening socket and the threads of its connections."""

from __future__ import annotations

import contextlib
import errno
import random
import selectors
import socket
import threading
from collections.abc import Callable

BACKLOG = 256
JOIN_SECONDS = 5.0
#: Below those from which systems give ports to outgoing connections.
QUIET_PORTS = range(20_000, 32_768)

Serve = Callable[[socket.socket, tuple[str, int]], None]


class Listener:
    """Accepts connections on one address, each served in a thread, until it is closed."""

    def __init__(self, bound: socket.socket, serve: Serve) -> None:
        self._serve = serve
        self._socket = bound
        try:
            bound.listen(BACKLOG)
        except OSError:
            bound.close()
            raise
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._lock = threading.Lock()
        self._open: dict[threading.Thread, socket.socket] = {}
        self._thread = threading.Thread(target=self._accept, name="altegio-sandbox", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    def close(self) -> None:
        """Stops listening, cuts every open connection and waits for the threads."""
        self._wake_writer.send(b"x")
        self._thread.join(JOIN_SECONDS)
        self._socket.close()
        self._wake_reader.close()
        self._wake_writer.close()
        with self._lock:
            open_connections = dict(self._open)
        for sock in open_connections.values():
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in open_connections:
            if thread is not threading.current_thread():
                thread.join(JOIN_SECONDS)

    def _accept(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            selector.register(self._wake_reader, selectors.EVENT_READ)
            while True:
                ready = [key.fileobj for key, _ in selector.select()]
                if self._wake_reader in ready:
                    return
                try:
                    sock, address = self._socket.accept()
                except OSError:
                    continue
                self._start(sock, address)

    def _start(self, sock: socket.socket, address: tuple[str, int]) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        thread = threading.Thread(
            target=self._run, args=(sock, address), name="altegio-sandbox-call", daemon=True
        )
        with self._lock:
            self._open[thread] = sock
        thread.start()

    def _run(self, sock: socket.socket, address: tuple[str, int]) -> None:
        try:
            with contextlib.suppress(OSError):
                self._serve(sock, address)
        finally:
            sock.close()
            with self._lock:
                self._open.pop(threading.current_thread(), None)


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket that owns the port, or for 0 any free one, and does not listen yet: until it does, callers are refused."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        if port == 0:
            _bind_to_any(sock, host)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port))
    except (OSError, OverflowError):
        sock.close()
        raise
    return sock


def _bind_to_any(sock: socket.socket, host: str) -> None:
    """A free port that no outgoing connection is given, if there is one: a server that stops must find its own again."""
    if not any(_is_bound(sock, host, port) for port in random.sample(QUIET_PORTS, 50)):
        sock.bind((host, 0))
    # Only now: before, it would share the port with another one that is bound and does not listen.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def _is_bound(sock: socket.socket, host: str, port: int) -> bool:
    try:
        sock.bind((host, port))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return False
    return True
