"""A process that asks for operations, as a host site does: `python -m tests.chaos.requester NUMBER OF`.

It may be killed at any moment. Started again it reads its journal and asks for the rest; what it had asked for without
having noted the answer, it asks for again, with the same key.
"""

# ruff: noqa: E402  Django must be set up before the models are imported.
from __future__ import annotations

import json
import random
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

import django

django.setup()

from django.conf import settings as django_settings
from django.db import DatabaseError, close_old_connections, transaction

from altegio_loyalty import services
from altegio_loyalty.exceptions import OperationInProgress, OperationNotAllowed
from altegio_loyalty.models import LoyaltyOperation
from tests.chaos.plan import Request, Story, load

settings: Any = django_settings  # with names of its own, from tests.chaos.settings


class Requester:
    def __init__(self, number: int, of: int) -> None:
        self.number = number
        self.folder = Path(settings.FOLDER)
        self.stories = load(self.folder / "plan.json")
        self.path = self.folder / f"journal-{number}"
        self.noted = self._read_journal()
        self.dice = random.Random()
        self.mine = deque(
            (story, request)
            for index, story in enumerate(self.stories)
            for turn, request in enumerate(story.requests)
            if self._is_mine(index, turn, story, of) and request.key not in self.noted
        )

    def _is_mine(self, index: int, turn: int, story: Story, of: int) -> bool:
        if story.share in ("shared", "clicked"):
            index += turn  # everybody asks for something on this visit
        return index % of == self.number or (story.is_doubled and (index + 1) % of == self.number)

    def _read_journal(self) -> set[str]:
        if not self.path.exists():
            return set()
        lines = self.path.read_text().splitlines()
        return {line.partition(" ")[0] for line in lines if line.endswith("}")}

    def run(self) -> None:
        while self.mine:
            story, request = self.mine.popleft()
            if not self._is_its_turn(story, request) or not self._ask(story, request):
                self.mine.append((story, request))
                time.sleep(0.02)
            if not settings.SCRIPT and self.dice.random() < 0.05:
                self._decide()

    def _is_its_turn(self, story: Story, request: Request) -> bool:
        """In a story of one's own each step follows the one before; elsewhere everybody asks when they like."""
        place = story.requests.index(request)
        if story.share != "own" or place == 0:
            return True
        try:
            before = LoyaltyOperation.objects.filter(idempotency_key=story.requests[place - 1].key).first()
        except DatabaseError:
            close_old_connections()
            return False
        return before is not None and not before.is_open

    def _ask(self, story: Story, request: Request) -> bool:
        where: dict[str, Any] = {
            "visit_id": story.visit_id,
            "record_id": story.record_id,
            "card_id": story.card_id,
        }
        if request.amount is not None:
            where["amount"] = request.amount
        if "program" in request.kind:
            where["program_id"] = story.program_id
        arguments = {**where, "idempotency_key": request.key, "deliver": request.deliver}
        service = getattr(services, request.kind)
        try:
            if request.deliver == "on_commit":
                with transaction.atomic():
                    operation = service(story.location_id, **arguments)
            else:
                operation = service(story.location_id, **arguments)
        except (OperationInProgress, DatabaseError):
            close_old_connections()
            return False
        told = {"pk": operation.pk, "status": str(operation.status)}
        with self.path.open("a") as journal:
            journal.write(f"{request.key} {json.dumps(told)}\n")
        return True

    def _decide(self) -> None:
        """A person looks at the log and presses a button."""
        retried = [story.requests[0].key for story in self.stories if story.is_retried]
        try:
            given_up = LoyaltyOperation.objects.filter(
                status__in=("failed", "pending", "unconfirmed"),
                idempotency_key__in=self.dice.sample(retried, min(50, len(retried))),
            )
            if operation := given_up.order_by("?").first():
                services.retry_operation(operation)
            elif self.dice.random() < 0.3:
                waiting = LoyaltyOperation.objects.filter(status__in=("pending", "unconfirmed"))
                if operation := waiting.order_by("?").first():
                    services.stop_operation(operation)
        except (OperationNotAllowed, OperationInProgress, DatabaseError):
            close_old_connections()


if __name__ == "__main__":
    Requester(int(sys.argv[1]), int(sys.argv[2])).run()
