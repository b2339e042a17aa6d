"""A local Altegio that listens: a real server on a local port."""

import contextlib
import socket
import weakref
from typing import Self

from altegio_loyalty.sandbox.altegio import Altegio
from altegio_loyalty.sandbox.connection import Connection
from altegio_loyalty.sandbox.listener import Listener, bound_socket


class Sandbox(Altegio):
    """A local Altegio on a port of its own, as a context manager or with `start` and `stop`.

    Several processes may call one sandbox through its URL.
    """

    _listener: Listener | None = None
    _held_port: socket.socket | None = None
    _is_refusing = False

    def start(self) -> Self:
        """Listens, on the same port as before if it ran before. Raises OSError when the port is taken."""
        with self._switch:
            if self._listener is None:
                self._is_refusing = False
                self.faults.switch_off("refuse_connections")
                self._open()
                bound, self._held_port = self._held_port or bound_socket(self.host, self.port), None
                self._listener = Listener(bound, self._serve)
                self.port = self._listener.port
        return self

    def stop(self) -> None:
        """Cuts every connection. Books, faults, log and the port stay its own, for another `start`."""
        with self._switch:
            self._close()
            self._is_refusing = False
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

    @property
    def is_running(self) -> bool:
        return self._listener is not None

    def heal(self, name: str | None = None) -> None:
        super().heal(name)
        if name in (None, "refuse_connections") and self._is_refusing:
            self.start()

    def _serve(self, sock: socket.socket, address: tuple[str, int]) -> None:
        Connection(sock, address, self)

    def _refuse_connections(self) -> None:
        with self._switch:
            self.stop()
            self._is_refusing = True
