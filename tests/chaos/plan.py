"""What is asked for: stories of requests, drawn from the seed. Knows neither Django nor the sandbox's insides."""

from __future__ import annotations

import dataclasses
import json
import random
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from altegio_loyalty.sandbox import Ledger

WITHDRAW, CANCEL = "apply_card_withdrawal", "cancel_card_withdrawal"
PROMOTE, TAKE_BACK = "apply_discount_program", "cancel_discount_program"

#: What happens on one visit, one after the other, and how often such a visit is drawn.
STORIES: list[tuple[int, tuple[str, ...]]] = [
    (8, (WITHDRAW,)),
    (5, (WITHDRAW, CANCEL)),
    (2, (WITHDRAW, CANCEL, WITHDRAW)),
    (3, (PROMOTE,)),
    (3, (PROMOTE, TAKE_BACK)),
    (2, (PROMOTE, WITHDRAW, TAKE_BACK, CANCEL)),
    (1, (CANCEL,)),
]


@dataclass
class Request:
    """One call of a service. Its key is its name, all the way through the log and the journals."""

    key: str
    kind: str
    amount: str | None
    deliver: str


@dataclass
class Story:
    """The requests on one visit and card; each waits for the one before it, whoever asks for it.

    `share`: "own" visits belong to one requester; "shared" ones are asked for by all of them at once; on "clicked" ones
    somebody clicks in Altegio's own screen too; on "taken" ones somebody clicked before anything was asked for.
    """

    share: str
    location_id: int
    visit_id: int
    record_id: int
    card_id: int
    program_id: int
    requests: list[Request] = field(default_factory=list)
    #: Each request of it is asked for a second time with the same key, by another requester.
    is_doubled: bool = False

    @property
    def is_retried(self) -> bool:
        """Whether a person may try it again after it was given up: nothing else is asked for on this visit."""
        return self.share == "own" and len(self.requests) == 1


class Planner:
    """Fills the ledger with visits and draws what is asked for on them."""

    def __init__(self, ledger: Ledger, seed: int) -> None:
        self.ledger = ledger
        self.dice = random.Random(seed)
        self.locations = [ledger.add_location(title=f"Salon {number}").id for number in range(3)]
        self.program = ledger.add_program(title="Birthday", percent=10)

    def draw(self, count: int) -> list[Story]:
        stories: list[Story] = []
        while (drawn := sum(len(story.requests) for story in stories)) < count:
            share = self.dice.choices(("own", "shared", "clicked", "taken"), (78, 12, 6, 4))[0]
            story = self._new_story(share)
            for kind in self._kinds(share)[: count - drawn]:
                story.requests.append(self._request(story, kind))
            stories.append(story)
        return stories

    def withdrawal(self) -> Story:
        """One withdrawal on a visit of its own, of less than is on the card and to be paid; never drawn."""
        client = self.ledger.add_client(name="Jane Doe")
        card = self.ledger.add_card(client, balance="5000")
        visit = self.ledger.add_visit(self.locations[0], client, lines=[("Haircut", "3000")])
        request = Request(f"own-{visit.id}-0", WITHDRAW, "10", "now")
        return Story(
            "own", visit.location_id, visit.id, visit.record_id, card.id, self.program.id, requests=[request]
        )

    def _kinds(self, share: str) -> tuple[str, ...]:
        if share in ("shared", "clicked"):
            return tuple(self.dice.choices((WITHDRAW, CANCEL, PROMOTE, TAKE_BACK), (4, 3, 2, 2), k=8))
        if share == "taken":
            return (WITHDRAW,)
        return self.dice.choices([kinds for _, kinds in STORIES], [weight for weight, _ in STORIES])[0]

    def _new_story(self, share: str) -> Story:
        client = self.ledger.add_client(name="Jane Doe")
        # Now and then there is less on the card, or to pay, than is asked for: a part is taken.
        balance = self.dice.choice(("5000", "5000", "5000", "7.77"))
        card = self.ledger.add_card(client, balance=balance, programs=[self.program])
        bills: list[list[tuple[str, str] | tuple[str, str, str]]] = [
            [("Haircut", "3000"), ("Shampoo", "20.10", "product")],
            [("Haircut", "5.55")],
            [("Spa", "900")],
        ]
        visit = self.ledger.add_visit(self.dice.choice(self.locations), client, lines=self.dice.choice(bills))
        if share == "taken":
            self.ledger.withdraw(visit, card, "3")
        return Story(
            share,
            visit.location_id,
            visit.id,
            visit.record_ids[0],
            card.id,
            self.program.id,
            is_doubled=self.dice.random() < 0.2,
        )

    def _request(self, story: Story, kind: str) -> Request:
        number = len(story.requests)
        amount = str(Decimal(self.dice.randint(100, 9000)) / 100) if kind == WITHDRAW else None
        deliver = self.dice.choices(("now", "on_commit"), (6, 4))[0]
        return Request(f"{story.share}-{story.visit_id}-{number}", kind, amount, deliver)


def save(stories: list[Story], path: Path) -> None:
    path.write_text(json.dumps([dataclasses.asdict(story) for story in stories]))


def load(path: Path) -> list[Story]:
    def story(row: dict[str, Any]) -> Story:
        return Story(**{**row, "requests": [Request(**request) for request in row["requests"]]})

    return [story(row) for row in json.loads(path.read_text())]
