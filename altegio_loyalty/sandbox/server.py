"""A local Altegio that listens: a real server on a local port, and a thread for each of its connections."""

import contextlib
import errno
import random
import selectors
import socket
import threading
import weakref
from typing import Self

from altegio_loyalty.sandbox.altegio import Altegio
from altegio_loyalty.sandbox.connection import Connection

BACKLOG = 256
JOIN_SECONDS = 5.0
#: Below those from which systems give ports to outgoing connections.
QUIET_PORTS = range(20_000, 32_768)


class Sandbox(Altegio):
    """A local Altegio on a port of its own, as a context manager or with `start` and `stop`.

    Several processes may call one sandbox through its URL.
    """

    _listener: "Listener | None" = None
    _held_port: socket.socket | None = None

    def start(self) -> Self:
        """Listens, on the same port as before if it ran before. Raises OSError when the port is taken."""
        with self._switch:
            if self._listener is None:
                self.is_stopping = False
                self.faults.wake()
                bound, self._held_port = self._held_port or bound_socket(self.host, self.port), None
                self._listener = Listener(bound, self)
                self.port = self._listener.port
        return self

    def stop(self) -> None:
        """Cuts every connection, and refuses new ones. Books, faults, log and port stay its own, for another `start`."""
        with self._switch:
            self._close()
            if self._listener is not None:
                self._listener.close()
                self._listener = None
                # Bound but not listening: callers are refused, and no other server is given the port meanwhile.
                with contextlib.suppress(OSError):
                    self._held_port = bound_socket(self.host, self.port)
                    weakref.finalize(self, self._held_port.close)

    def restart(self) -> None:
        """Stops and starts on the same port; the books stay."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()
        if self._held_port is not None:
            self._held_port.close()
            self._held_port = None


class Listener:
    """Accepts connections on one address, each served in a thread, until it is closed."""

    def __init__(self, bound: socket.socket, altegio: Altegio) -> None:
        self._altegio, self._socket = altegio, bound
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
                Connection(sock, address, self._altegio)
        finally:
            sock.close()
            self._open.pop(threading.current_thread(), None)


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket that owns the port and does not listen yet: until it does, callers are refused.

    For 0, a port that no outgoing connection is given, if there is one: a server that stops must find its own again.
    """
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    ports = [port] if port else [*random.sample(QUIET_PORTS, 50), 0]
    try:
        if port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for each in ports:
            try:
                sock.bind((host, each))
                break
            except OSError as error:
                if error.errno != errno.EADDRINUSE or each == ports[-1]:
                    raise
        # Of any port only now: before, it would share it with another socket that is bound and does not listen.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    except (OSError, OverflowError):
        sock.close()
        raise
    return sock
