"""A local Altegio that listens: a real server on a local port."""

from __future__ import annotations

import contextlib
import socket
import threading
import weakref
from pathlib import Path
from typing import Self

from altegio_loyalty.sandbox.access import Access
from altegio_loyalty.sandbox.altegio import Altegio
from altegio_loyalty.sandbox.connection import Connection
from altegio_loyalty.sandbox.console import Console
from altegio_loyalty.sandbox.limits import RateLimit
from altegio_loyalty.sandbox.listener import Listener, bound_socket


class Sandbox(Altegio):
    """A local Altegio on a port of its own, as a context manager or with `start` and `stop`.

    Several processes may call one sandbox through its URL.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        state_file: str | Path | None = None,
        rate_limit: bool = False,
        requests_per_second: int = 5,
        requests_per_minute: int = 200,
        envelope: bool | None = None,
        float_noise: bool = True,
        partner_token: str = "sandbox-partner-token",
        user_token: str = "sandbox-user-token",
        login: str = "jane@example.com",
        password: str = "sandbox-password",
        platform: str = "Altegio",
    ) -> None:
        """`envelope` True or False forces one form of answer; None lets the caller's Accept header choose.
        `platform` is what its page calls itself.

        Raises StateFileError when the state file is there and holds no books.
        """
        access = Access(partner_token, user_token, login, password)
        limit = RateLimit(per_second=requests_per_second, per_minute=requests_per_minute)
        super().__init__(
            access,
            limit if rate_limit else None,
            host=host,
            port=port,
            state_file=state_file,
            envelope=envelope,
            float_noise=float_noise,
            platform=platform,
        )
        self.console = Console(self)
        self._listener: Listener | None = None
        self._held_port: socket.socket | None = None
        self._is_refusing = False
        self._switch = threading.RLock()

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
        Connection(sock, address, self, self.console)

    def _refuse_connections(self) -> None:
        with self._switch:
            self.stop()
            self._is_refusing = True
