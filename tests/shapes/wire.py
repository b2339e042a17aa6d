"""The sandbox's answers, spoilt on their way out while its books stay true; and what was sent although it had been done."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable
from typing import Any

from altegio_loyalty.sandbox import Sandbox
from altegio_loyalty.sandbox.altegio import Outcome
from altegio_loyalty.sandbox.wire import Request, put_in_envelope
from tests.shapes.changes import Spoiling


class Wire:
    """`coming` is used up by one request each, first those of the method; `always` spoils the answers of an operation."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox, self._receive = sandbox, sandbox.receive
        self.coming: defaultdict[str, deque[Spoiling]] = defaultdict(deque)
        self.always: dict[str, Spoiling] = {}
        #: POSTs to a visit and path where an earlier one had taken effect already.
        self.sent_again: list[tuple[str, int]] = []
        self._done: set[tuple[str, int]] = set()
        sandbox.receive = self.receive  # type: ignore[method-assign]

    def spoil(self, method: str, spoilings: Iterable[Spoiling]) -> None:
        self.coming[method] = deque(spoilings)

    def clear(self) -> None:
        """From now on everything is answered as it is."""
        self.coming.clear()
        self.always.clear()

    def leave(self) -> None:
        """The sandbox answers by itself again."""
        self.sandbox.receive = self._receive  # type: ignore[method-assign]

    def receive(self, request: Request) -> Outcome:
        count = len(self.sandbox.effects)
        if request.method == "POST":
            self._note(request)
        outcome = self._receive(request)
        if request.method == "POST" and len(self.sandbox.effects) > count:
            self._done.add(self._place(request))
        spoiling = self.always.get(outcome.entry.operation)
        if waiting := self.coming[request.method]:
            spoiling = waiting.popleft()
        if spoiling is None or outcome.answer is None:
            return outcome
        return outcome._replace(answer=spoiling.applied_to(put_in_envelope(outcome.answer)))

    def _note(self, request: Request) -> None:
        if (place := self._place(request)) in self._done:
            self.sent_again.append(place)

    @staticmethod
    def _place(request: Request) -> tuple[str, int]:
        body: Any = request.json()
        return request.api_path, body.get("visit_id", 0)
