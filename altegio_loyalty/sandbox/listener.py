"""The listening socket and the threads of its connections."""

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
        self._serve, self._socket = serve, bound
        try:
            bound.listen(BACKLOG)
        except OSError:
            bound.close()
            raise
        self.port = int(bound.getsockname()[1])
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._open: dict[threading.Thread, socket.socket] = {}
        self._thread = threading.Thread(target=self._accept, name="altegio-sandbox", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops listening, cuts every open connection and waits for the threads."""
        self._wake_writer.send(b"x")
        self._thread.join(JOIN_SECONDS)
        for sock in (self._socket, self._wake_reader, self._wake_writer):
            sock.close()
        still_open = dict(self._open)
        for sock in still_open.values():
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in still_open:
            if thread is not threading.current_thread():
                thread.join(JOIN_SECONDS)

    def _accept(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            selector.register(self._wake_reader, selectors.EVENT_READ)
            while self._wake_reader not in [key.fileobj for key, _ in selector.select()]:
                with contextlib.suppress(OSError):
                    sock, address = self._socket.accept()
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    thread = threading.Thread(target=self._run, args=(sock, address), daemon=True)
                    self._open[thread] = sock
                    thread.start()

    def _run(self, sock: socket.socket, address: tuple[str, int]) -> None:
        try:
            with contextlib.suppress(OSError):
                self._serve(sock, address)
        finally:
            sock.close()
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
    for port in [*random.sample(QUIET_PORTS, 50), 0]:
        try:
            sock.bind((host, port))
            break
        except OSError as error:
            if error.errno != errno.EADDRINUSE or port == 0:
                raise
    # Only now: before, it would share the port with another one that is bound and does not listen.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
