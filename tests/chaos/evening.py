"""`--books`: all that the assumptions exclude happens as well; then the books are compared, and may overlook nothing.

Effects come hours late, people click in Altegio's own screen on any visit at any moment, say of doubts what is not so, and
rows of the log are deleted behind its back.
"""

from __future__ import annotations

import contextlib
import datetime
import threading
from collections.abc import Callable
from typing import Any

from django.db import DatabaseError, close_old_connections
from django.db.models import F

from altegio_loyalty import books, services
from altegio_loyalty.exceptions import AltegioLoyaltyError
from altegio_loyalty.models import BooksOfDay, LoyaltyOperation
from altegio_loyalty.sandbox import Sandbox
from altegio_loyalty.sandbox.ledger import NotInBooks
from tests.chaos.plan import Story
from tests.chaos.trouble import Trouble

HOURS_LATE = 3600.0
LATE_SHARE, DELETED_SHARE = 0.06, 0.05
MOMENTS = ("created_at", "finished_at", "sent_at", "unanswered_at", "undone_at")


class Mischief(Trouble):
    """`Trouble`, and what no client of this API can rule out."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.stories: list[Story] = arguments[3]
        self._threads += [
            threading.Thread(target=self._every, args=(0.05, 0.3, self._click_anywhere), daemon=True),
            threading.Thread(target=self._every, args=(0.2, 1.0, self._say_what_is_not_so), daemon=True),
            threading.Thread(target=self._every, args=(3, 9, self._let_hours_go_by), daemon=True),
        ]

    def _every(self, least: float, most: float, act: Callable[[], None]) -> None:
        """A visit that was made somebody else's takes no clicks with the card of before; the clicks go on elsewhere."""

        def act_or_not() -> None:
            with contextlib.suppress(NotInBooks):
                act()

        super()._every(least, most, act_or_not)

    def _click_anywhere(self) -> None:
        ledger, dice, story = self.sandbox.ledger, self.dice, self.dice.choice(self.stories)
        with ledger.lock:
            visit = ledger.visit(story.visit_id)
            line = dice.choice(visit.lines)
            verb = dice.choice(("undo", "undo", "swap", "price", "client", "withdraw"))
            if verb == "undo" and visit.covering:
                ledger.undo_row(visit, dice.choice(visit.covering).id)
            elif verb == "swap":
                ledger.swap_line(visit, line.item_id, "Shave", dice.choice(("4", "400")))
            elif verb == "price":
                ledger.change_price(visit, line.item_id, dice.choice(("1", "2000")))
            elif verb == "client":
                ledger.change_client(visit, ledger.add_client(name="Bob"))
            elif verb == "withdraw":
                ledger.withdraw(visit, story.card_id, "1.23")
        self.counts[f"{verb} in Altegio's screen"] += 1

    def _say_what_is_not_so(self) -> None:
        try:
            operation = LoyaltyOperation.objects.filter(status="unconfirmed").order_by("?").first()
            if operation is not None:
                happened = self.dice.random() < 0.5
                services.settle_operation(operation, happened=happened, reason="I think so.")
                self.counts["words of people who did not look"] += 1
        except (AltegioLoyaltyError, DatabaseError):
            close_old_connections()

    def _let_hours_go_by(self) -> None:
        self.sandbox.advance(HOURS_LATE)
        self.counts["hours that went by for late effects"] += 1


def compare_books(sandbox: Sandbox, trouble: Mischief) -> list[BooksOfDay]:
    """Some rows are deleted, a day goes by, and the books are compared."""
    for operation in LoyaltyOperation.objects.order_by("pk"):
        if trouble.dice.random() < DELETED_SHARE:
            operation.cancelled_by.update(cancels=None)
            operation.delete()
            trouble.counts["rows deleted from the log"] += 1
    a_day = datetime.timedelta(days=1)
    LoyaltyOperation.objects.update(**{name: F(name) - a_day for name in MOMENTS})
    calls = len(sandbox.requests)
    found = books.check(seconds=float("inf"), waits=True)
    trouble.counts["requests of the books"] = len(sandbox.requests) - calls
    return found
