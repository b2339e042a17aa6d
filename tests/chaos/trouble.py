"""Everything that goes wrong: faulty calls, outages, kills, suspensions, a flushed broker, a person who clicks."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import tests.spoilings  # noqa: F401  (some of the faults below)
from altegio_loyalty.sandbox import Sandbox
from tests.chaos.lan import Host
from tests.chaos.plan import Story
from tests.chaos.programs import Troupe
from tests.chaos.settings import APART, LEASE_SECONDS, SLOW_SECONDS
from tests.chaos.site import Site

#: How often each fault is drawn among the faulty calls, and its parameters.
FAULTS: dict[str, tuple[int, dict[str, Any]]] = {
    "cut_before": (10, {}),
    "cut_after": (14, {}),
    "cut_mid_answer": (8, {}),
    "hang": (6, {"seconds": SLOW_SECONDS}),
    "hang_after": (6, {"seconds": SLOW_SECONDS}),
    "late_effect": (10, {"seconds": SLOW_SECONDS}),
    "drip": (2, {"seconds": 0.01}),
    "error_after_effect": (8, {}),
    "status_500": (5, {}),
    "status_502_html": (4, {}),
    "status_503": (4, {}),
    "rate_limited": (5, {}),
    "broken_json": (4, {}),
    "truncated_json": (4, {}),
    "empty": (4, {}),
    "html": (3, {}),
    "redirect": (2, {}),
    "nan": (2, {}),
    "nul_text": (1, {}),
    "string_ids": (2, {}),
    "bare": (2, {}),
    "success_false": (1, {}),
    "status_422": (1, {}),
    "status_401": (1, {}),
}


def switch_on_faults(sandbox: Sandbox, share: float, seed: int) -> None:
    """The first fault that is drawn is met, so each one's chance is of what the ones before it leave over."""
    total, left = sum(weight for weight, _ in FAULTS.values()), 1.0
    for number, (name, (weight, parameters)) in enumerate(FAULTS.items()):
        chance = share * weight / total
        if chance > 0:
            sandbox.fail(name, probability=min(1.0, chance / left), seed=seed + number, **parameters)
            left -= chance


class Trouble:
    """Makes trouble in threads of its own, until it is told to stop."""

    def __init__(self, sandbox: Sandbox, site: Site, troupe: Troupe, stories: list[Story], seed: int) -> None:
        self.sandbox, self.site, self.troupe = sandbox, site, troupe
        self.clicked = [story for story in stories if story.share == "clicked"]
        self.dice = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._every, args=(0.1, 0.8, self._click), daemon=True),
            threading.Thread(target=self._every, args=(6, 15, self._outage), daemon=True),
            threading.Thread(target=self._every, args=(4, 12, self._flush), daemon=True),
            threading.Thread(target=self._every, args=(3, 5, self._cron), daemon=True),
        ]

    def start(self, kills: int) -> None:
        self._threads.append(threading.Thread(target=self._kill, args=(kills,), daemon=True))
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        for program in self.troupe.all:
            program.wake()

    def _every(self, least: float, most: float, act: Callable[[], None]) -> None:
        while not self._stop.wait(self.dice.uniform(least, most)):
            act()

    def _click(self) -> None:
        if not self.clicked:
            return
        story, ledger = self.dice.choice(self.clicked), self.sandbox.ledger
        where = (story.visit_id, story.card_id)
        verb = self.dice.choice(("withdraw", "cancel_withdrawal", "apply_program", "cancel_program"))
        if verb == "withdraw":
            ledger.withdraw(*where, "1.23")
        elif verb == "cancel_withdrawal":
            ledger.cancel_withdrawal(*where)
        else:
            getattr(ledger, verb)(*where, story.program_id)
        self.counts["clicks in Altegio's screen"] += 1

    def _outage(self) -> None:
        if self.dice.random() < 0.5:
            self.sandbox.stop()
            self._stop.wait(self.dice.uniform(0.3, 1.5))
            self.sandbox.start()
            self.counts["seconds of refused connections"] += 1
        else:
            self.sandbox.go_down()
            self._stop.wait(self.dice.uniform(0.3, 1.5))
            self.sandbox.come_back()
            self.counts["short outages"] += 1

    def _flush(self) -> None:
        with contextlib.suppress(Exception):  # there may be no queue yet
            self.site.forget_messages()
            self.counts["flushes of the broker"] += 1

    def _cron(self) -> None:
        self.troupe.run_cron()
        self.counts["runs of deliver_due_operations"] += 1

    def _kill(self, kills: int) -> None:
        while kills and not self._stop.wait(self.dice.uniform(0.2, 1.6)):
            victims = [*self.troupe.workers * 2, self.troupe.bell, *self.troupe.requesters, self.troupe.cron]
            victim = self.dice.choice([program for program in victims if program.code is None] or victims)
            kills -= 1
            draw = self.dice.random()
            if draw < 0.4:
                victim.kill()
                self.counts["SIGKILL"] += 1
            elif draw < 0.55 and victim in self.troupe.workers and victim.kill_child(self.dice):
                self.counts["SIGKILL of a worker's child"] += 1
            else:
                victim.suspend(
                    self.dice.choice((0.3, LEASE_SECONDS * 0.9, LEASE_SECONDS * 1.1, LEASE_SECONDS * 2))
                )
                self.counts["SIGSTOP, SIGCONT"] += 1


class Outages(Trouble):
    """`Trouble` on several machines: one at a time loses its power, or its network alone, and comes back."""

    hosts: Sequence[Host] = ()

    def _kill(self, kills: int) -> None:
        while kills and not self._stop.wait(self.dice.uniform(4, 10)):
            host, kills = self.dice.choice(self.hosts), kills - 1
            loses_power = self.dice.random() < 0.6
            (host.lose_power if loses_power else host.cut_off)()
            self.counts["hosts without power" if loses_power else "hosts cut off"] += 1
            self._stop.wait(self.dice.choice((1, LEASE_SECONDS, LEASE_SECONDS + APART + 3)))
            (host.come_back if loses_power else host.join)()


class Resumer:
    """The person who sees that a location is paused, tests the connection, and so resumes it."""

    def __init__(self) -> None:
        self.looked_at = 0.0

    def look(self) -> None:
        from altegio_loyalty import services
        from altegio_loyalty.models import Location

        if time.monotonic() - self.looked_at > 1:
            self.looked_at = time.monotonic()
            for location in Location.objects.exclude(refused_at=None):
                services.test_connection(location)
