"""A local Altegio: a real server on a local port, with real books and switchable faults."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from altegio_loyalty.sandbox import statefile
from altegio_loyalty.sandbox.access import Access
from altegio_loyalty.sandbox.api import Api
from altegio_loyalty.sandbox.books import Books, Effect, from_plain, to_plain
from altegio_loyalty.sandbox.connection import Connection
from altegio_loyalty.sandbox.console import Console
from altegio_loyalty.sandbox.faults import Fault, FaultBoard
from altegio_loyalty.sandbox.ledger import Ledger
from altegio_loyalty.sandbox.limits import RateLimit
from altegio_loyalty.sandbox.listener import Listener, bound_socket
from altegio_loyalty.sandbox.requestlog import ReceivedRequest, RequestLog
from altegio_loyalty.sandbox.wire import PREFIX, Answer, Request, put_in_envelope


class Sandbox:
    """A local Altegio, as a context manager or with `start` and `stop`.

    Guarantees: unless a fault spoils it, an answer says what the books hold; a request is carried out once or
    not at all; `effects` lists what really happened, whatever the caller was told. Safe to use from several
    threads; several processes may call one sandbox through its URL.
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
    ) -> None:
        """`envelope` True or False forces one form of answer; None lets the caller's Accept header choose.

        Raises StateFileError when the state file is there and holds no books.
        """
        self.host = host
        self.port = port
        self.float_noise = float_noise
        self.envelope = envelope
        self.is_down = False
        self.is_stopping = False
        self.access = Access(partner_token, user_token, login, password)
        self._state_file = None if state_file is None else Path(state_file)
        self.ledger = Ledger(self._saved_books(), saves=self._save if self._state_file else None)
        self.api = Api(self.ledger, self.access)
        self.faults = FaultBoard()
        self.log = RequestLog()
        self.console = Console(self)
        limit = RateLimit(per_second=requests_per_second, per_minute=requests_per_minute)
        self._limit = limit if rate_limit else None
        self._listener: Listener | None = None
        self._held_port: socket.socket | None = None
        self._timers: set[threading.Timer] = set()
        self._switch = threading.RLock()

    # Running

    def start(self) -> Self:
        """Listens, on the same port as before if it ran before. Raises OSError when the port is taken."""
        with self._switch:
            if self._listener is None:
                if self._held_port is not None:
                    self._release_port()
                    self.faults.switch_off("refuse_connections")
                self.is_stopping = False
                self.faults.calm_down()
                self._listener = Listener(self.host, self.port, self._serve)
                self.port = self._listener.port
        return self

    def stop(self) -> None:
        """Cuts every connection and frees the port. Books, faults and log stay for another `start`."""
        with self._switch:
            self.is_stopping = True
            self._release_port()
            self.faults.wake(for_good=True)
            for timer in list(self._timers):
                timer.cancel()
            self._timers.clear()
            if self._listener is not None:
                self._listener.close()
                self._listener = None

    def restart(self) -> None:
        """Stops and starts on the same port; the books stay."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def is_running(self) -> bool:
        return self._listener is not None

    @property
    def address(self) -> str:
        """Where the page is."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def url(self) -> str:
        """What to give a client as the API's URL."""
        return self.address + PREFIX

    # Looking

    @property
    def partner_token(self) -> str:
        return self.access.tokens[0]

    @property
    def user_token(self) -> str:
        return self.access.tokens[1]

    @property
    def requests(self) -> list[ReceivedRequest]:
        """Every API request received, in order."""
        return self.log.entries

    @property
    def effects(self) -> list[Effect]:
        """Everything that really took place, in order."""
        return self.ledger.effects

    # Trouble

    def fail(
        self,
        name: str,
        *,
        path: str = "",
        times: int | None = None,
        probability: float = 1.0,
        seed: int | None = None,
        effect: bool | None = None,
        **parameters: Any,
    ) -> Fault:
        """Switches a fault on (see FAULTS) for requests whose method, path or operation holds `path`.

        `times` None means until healed; `effect` overrides whether the request is carried out all the same.
        Raises ValueError for an unknown name or parameter.
        """
        if name == "refuse_connections":
            if path or times is not None or probability != 1:
                raise ValueError(
                    "refuse_connections is the whole server; it takes no path, times or probability."
                )
            self._refuse_connections()
        return self.faults.switch_on(
            name, path=path, times=times, probability=probability, seed=seed, effect=effect, **parameters
        )

    def heal(self, name: str | None = None) -> None:
        """Switches one fault off, or everything: faults, `down`, refused connections."""
        self.faults.switch_off(name)
        if name is None:
            self.is_down = False
        if name in (None, "refuse_connections") and self._held_port is not None:
            self.start()

    def go_down(self) -> None:
        """Every API connection is cut at once, until `come_back` or `heal`; the page stays reachable."""
        self.is_down = True

    def come_back(self) -> None:
        self.is_down = False

    def rotate_tokens(self) -> tuple[str, str]:
        """New partner and user tokens; the old ones answer 401 from now on."""
        with self.ledger.change():
            return self.access.rotate()

    # For the connections

    def finished(self, answer: Answer, request: Request) -> Answer:
        """The answer in or out of its envelope, as the caller's Accept header or `envelope` says."""
        wants = request.wants_envelope if self.envelope is None else self.envelope
        return put_in_envelope(answer) if wants else answer

    @property
    def has_rate_limit(self) -> bool:
        return self._limit is not None

    def within_limits(self, ip: str) -> bool:
        return self._limit is None or self._limit.allows(ip)

    def later(self, seconds: float, request: Request) -> None:
        """Carries the request out some seconds from now, unless the server stops before."""

        def carry_out() -> None:
            self._timers.discard(timer)
            if not self.is_stopping:
                self.api.answer(request)

        timer = threading.Timer(seconds, carry_out)
        timer.daemon = True
        self._timers.add(timer)
        timer.start()

    def _serve(self, sock: socket.socket, address: tuple[str, int]) -> None:
        Connection(sock, address, self)

    def _refuse_connections(self) -> None:
        with self._switch:
            if self._held_port is None:
                self.stop()
                # Bound but not listening: callers are refused and nobody else can take the port meanwhile.
                self._held_port = bound_socket(self.host, self.port)

    def _release_port(self) -> None:
        if self._held_port is not None:
            self._held_port.close()
            self._held_port = None

    def _saved_books(self) -> Books | None:
        state = statefile.load(self._state_file) if self._state_file else None
        if state is None or self._state_file is None:
            return None
        try:
            partner_token, user_token = state["tokens"]
            self.access.restore(partner_token, user_token, state["token_pairs"])
            return from_plain(state["books"])
        except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
            raise statefile.broken(self._state_file) from error

    def _save(self) -> None:
        if self._state_file is not None:
            tokens = {"tokens": list(self.access.tokens), "token_pairs": self.access.pairs}
            statefile.save(self._state_file, {**tokens, "books": to_plain(self.ledger.books)})
