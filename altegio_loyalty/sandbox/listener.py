"""The listening socket and the threads of its connections."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Callable

BACKLOG = 256
JOIN_SECONDS = 5.0

Serve = Callable[[socket.socket, tuple[str, int]], None]


class Listener:
    """Accepts connections on one address, each served in a thread, until it is closed."""

    def __init__(self, host: str, port: int, serve: Serve) -> None:
        self._serve = serve
        self._socket = bound_socket(host, port)
        self._socket.listen(BACKLOG)
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
    """A socket that owns the port and does not listen yet: until it does, callers are refused."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except (OSError, OverflowError):
        sock.close()
        raise
    return sock
