"""What an Altegio is: its books, who may call, how often, and what goes wrong. A request in, an answer out; no socket."""

import threading
import time
import traceback
from collections import deque
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple, Self, cast

from altegio_loyalty.sandbox import statefile
from altegio_loyalty.sandbox.api import Api, operation_name
from altegio_loyalty.sandbox.books import Effect
from altegio_loyalty.sandbox.callers import Access, RateLimit
from altegio_loyalty.sandbox.faults import Fault, FaultBoard
from altegio_loyalty.sandbox.ledger import Ledger
from altegio_loyalty.sandbox.wire import PREFIX, Answer, ReceivedRequest, Request, failure, put_in_envelope

KEPT_REQUESTS = 50_000


class Outcome(NamedTuple):
    """What becomes of a request. Without an answer the connection is cut; the fault may also spoil how one is sent."""

    entry: ReceivedRequest
    answer: Answer | None = None
    fault: Fault | None = None


class Altegio:
    """Guarantees: unless a fault spoils it, an answer says what the books hold; a request is carried out once or not
    at all; `effects` lists what really happened, whatever the caller was told. Safe to use from several threads.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        state_file: str | Path | None = None,
        rate_limit: bool = False,
        envelope: bool | None = None,
        float_noise: bool = True,
        partner_token: str = "sandbox-partner-token",
        user_token: str = "sandbox-user-token",
        platform: str = "Altegio",
    ) -> None:
        """`envelope` True or False forces one form of answer; None lets the caller's Accept header choose.
        `platform` is what its page calls itself.

        Raises StateFileError when the state file is there and holds no books.
        """
        self.host, self.port, self.platform = host, port, platform
        self.envelope, self.float_noise = envelope, float_noise
        self.access = Access(partner_token, user_token)
        self.limit = RateLimit() if rate_limit else None
        self.ledger = Ledger()
        if state_file is not None:
            path = Path(state_file)
            books = statefile.load(path, self.access)
            self.ledger = Ledger(books, saves=lambda: statefile.save(path, self.access, self.ledger.books))
        self.api = Api(self.ledger, self.access)
        self.faults = FaultBoard()
        self.is_down = self.is_stopping = False
        self._received: deque[ReceivedRequest] = deque(maxlen=KEPT_REQUESTS)
        self._late: dict[threading.Timer, float] = {}
        self._switch = threading.RLock()
        """Held while it starts or stops."""

    def __deepcopy__(self, memo: object) -> Self:
        """Itself: for each test Django copies what `setUpTestData` made, and a server is none to be copied."""
        return self

    # Looking

    @property
    def address(self) -> str:
        """Where the page is."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def url(self) -> str:
        """What to give a client as the API's URL."""
        return self.address + PREFIX

    @property
    def partner_token(self) -> str:
        return self.access.tokens[0]

    @property
    def user_token(self) -> str:
        return self.access.tokens[1]

    @property
    def requests(self) -> list[ReceivedRequest]:
        """The API requests received, in order; no more than the last 50,000."""
        return list(self._received)

    @property
    def effects(self) -> list[Effect]:
        """Everything that really took place, in order."""
        return self.ledger.effects

    # Trouble

    def fail(self, name: str, **options: Any) -> Fault:
        """Switches a fault on for requests whose method, path or operation holds `path`: see Fault for the options."""
        return self.faults.switch_on(Fault(name, **options))

    def heal(self, name: str | None = None) -> None:
        """Switches one fault off, or everything: faults and `down`."""
        self.faults.switch_off(name)
        if name is None:
            self.is_down = False

    def go_down(self) -> None:
        """Every API connection is cut at once, until `come_back` or `heal`; the page stays reachable."""
        self.is_down = True

    def come_back(self) -> None:
        self.is_down = False

    def advance(self, seconds: float = 0) -> None:
        """Lets so many seconds go by for late effects alone: those that are due are carried out now, in their order."""
        with self.ledger.lock:
            for timer, due_at in sorted(self._late.items(), key=itemgetter(1)):
                timer.cancel()
                del self._late[timer]
                self._later(due_at - time.monotonic() - seconds, *timer.args)

    @property
    def has_late_effects(self) -> bool:
        """Whether any is still to come."""
        return bool(self._late)

    def rotate_tokens(self) -> tuple[str, str]:
        """New partner and user tokens; the old ones answer 401 from now on."""
        with self.ledger.change():
            return self.access.rotate()

    def _close(self) -> None:
        """Cuts what hangs, and forgets what was still to come."""
        self.is_stopping = True
        self.faults.wake(for_good=True)
        with self.ledger.lock:
            while self._late:
                self._late.popitem()[0].cancel()

    # Answering

    def receive(self, request: Request) -> Outcome:
        """Notes the request, and answers it as the books, the limits and the fault that it meets will have it."""
        entry = ReceivedRequest.of(request, operation_name(request))
        self._received.append(entry)
        if self.is_down:
            entry.fault = "down"
            return Outcome(entry)
        if self.limit and not self.limit.allows(request.ip):
            return Outcome(entry, Fault("rate_limited").instead)
        fault = self.faults.pick(f"{request.method} {request.path} {entry.operation}")
        if fault is None:
            return Outcome(entry, self._finished(self._carry_out(request), request))
        entry.fault = fault.name
        return Outcome(entry, self._spoilt(fault, request), fault)

    def _spoilt(self, fault: Fault, request: Request) -> Answer | None:
        if fault.name == "late_effect":
            self._later(fault.parameters["seconds"], request)
            return None
        if fault.name == "hang":
            self.faults.sleep(fault.parameters["seconds"])
            if self.is_stopping or not fault.effect:
                return None
        real = self._carry_out(request) if fault.effect else None
        if fault.name == "hang_after":
            self.faults.sleep(fault.parameters["seconds"])
        if real is None or fault.instead or fault.name in ("cut_before", "cut_after", "hang_after"):
            return fault.instead
        return fault.spoil(real if fault.name == "bare" else self._finished(real, request))

    def _carry_out(self, request: Request) -> Answer:
        try:
            return self.api.answer(request)
        except Exception:  # noqa: BLE001  whatever it is, the caller gets an answer and the console the traceback
            traceback.print_exc()
            return failure(500, "The sandbox itself failed; see its output.")

    def _finished(self, answer: Answer, request: Request) -> Answer:
        """The answer in or out of its envelope, as the caller's Accept header or `envelope` says."""
        wants = request.wants_envelope if self.envelope is None else self.envelope
        return put_in_envelope(answer) if wants else answer

    def _later(self, seconds: float, request: Request) -> None:
        """Carries the request out some seconds from now, unless the server stops before."""
        if seconds <= 0:
            self.api.answer(request)
            return
        timer = threading.Timer(seconds, self._arrive, [request])
        timer.daemon = True
        with self.ledger.lock:
            self._late[timer] = time.monotonic() + seconds
        timer.start()

    def _arrive(self, request: Request) -> None:
        timer = cast("threading.Timer", threading.current_thread())
        with self.ledger.lock:
            if self._late.pop(timer, None) is not None:
                self.api.answer(request)
