# ruff: noqa: INP001, T201
"""How many locations fit behind an address: `python benchmarks/franchise.py`, a simulation of some seconds.

The busiest hour of a chain's day, request by request, under the budget's own rules (those of `throttle`), for as many
locations as each address has where the chain has so many; then the same with Altegio away in its first quarter; then the
night's books. Drawn from a fixed seed, so it says the same on any machine: docs/scale.md holds it, and explains it.
"""

from __future__ import annotations

import heapq
import os
import random
import sys
from collections import deque
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ["DJANGO_SETTINGS_MODULE"], os.environ["ENV_FILE"] = "project.settings", os.devnull
os.environ.setdefault("SECRET_KEY", "a simulation keeps no secrets")

import django  # noqa: E402
from django.conf import settings  # noqa: E402

django.setup()
settings.ALTEGIO_LOYALTY = {}

from altegio_loyalty import throttle  # noqa: E402

LOCATIONS, ADDRESSES = 5000, (4, 6, 8, 12)
#: Of a location: operations a day, the share of them in the busiest hour, and appointments a day.
A_DAY, BUSIEST, APPOINTMENTS = 12, 0.15, 60
#: The requests of an operation: the list of the day, the visit's page, the look and the call; and of every second one
#: another page, on which nothing is asked for.
LIST, PAGE, PAIR, LOOKED_AT = 1, 2, 2, 0.5
THINKING, AWAY, HOUR = 10_000, 15 * 60_000, 60 * 60_000
PATIENCE = int(throttle.PATIENCE * 1000)
#: Bytes of an operation with its visit, attempts and indexes, as `sizes.py` measured them with 100,000; days kept.
BYTES = {"PostgreSQL": 3341, "MariaDB": 3300, "SQLite": 3451}
KEPT = 180
#: A day's appointments in a request, as the books and the lists read them.
A_READING = 100


HEAD = (
    "| Addresses | Locations each | Requests a minute | A wait at the desk, median / 99 % / longest | Later, by itself "
    "| Pages as last shown | 15 minutes away, made up in | The books take |"
)


class Address:
    """The budget of one address, as `throttle` keeps it, without a database. Moments are milliseconds."""

    def __init__(self) -> None:
        self.booked: list[tuple[int, str]] = []

    def book(self, now: int, count: int, mark: str) -> int:
        """0 once they are booked; otherwise how long to wait before asking again."""
        self.booked = throttle._recent(self.booked, now)
        if mark == throttle._BACKLOG and throttle._has_spare(self.booked, now):
            mark = throttle._SPARE
        missing, _ = throttle._missing(self.booked, now, count, throttle._bounds(mark, count))
        if missing <= 0:
            self.booked += [(now, mark)] * count
        return max(0, round(missing * 1000))


class Hour:
    """The busiest hour, with Altegio away in its first `away` milliseconds: what is asked for meanwhile waits."""

    def __init__(self, locations: int, seed: int, away: int = 0) -> None:
        self.locations, self.away = locations, away
        self.dice = random.Random(seed)  # noqa: S311  no secret is drawn
        self.address = Address()
        self.events: list[tuple[int, int, str, int, int, int]] = []
        self.backlog: deque[int] = deque()
        self.waits: list[int] = []
        self.read = self.refused = self.late = self.drained_at = 0
        self._draw()
        while self.events and not self.drained_at:
            self._happen(*heapq.heappop(self.events))

    def _draw(self) -> None:
        rate, at = self.locations * A_DAY * BUSIEST / HOUR, 0.0
        while (at := at + self.dice.expovariate(rate)) < HOUR:
            person, now = self.dice.randrange(self.locations), int(at)
            self._plan(now, "read", person, LIST)
            self._plan(now + 3000, "read", person, PAGE)
            self._plan(now + 3000 + THINKING, "ask", person, PAIR)
            if self.dice.random() < LOOKED_AT:
                self._plan(self.dice.randrange(HOUR), "read", self.dice.randrange(self.locations), PAGE)
        if self.away:
            self._plan(self.away, "sweep", 0, PAIR)

    def _plan(self, at: int, what: str, person: int, count: int, since: int | None = None) -> None:
        heapq.heappush(
            self.events, (at, len(self.events), what, person, count, at if since is None else since)
        )

    def _happen(self, now: int, _: int, what: str, person: int, count: int, since: int) -> None:
        if what == "sweep":
            self._sweep(now)
        elif now < self.away:
            if what == "ask":
                self.backlog.append(now)
        elif wait := self.address.book(now, count, "" if what == "ask" else f"or{person:08x}"):
            if now + wait - since <= PATIENCE:
                self._plan(now + wait, what, person, count, since)
            elif what == "read":
                self.refused += 1
            else:
                self.late += 1
        elif what == "read":
            self.read += 1
        else:
            self.waits.append(now - since)

    def _sweep(self, now: int) -> None:
        """As the one sweep works, one behind the other, until nothing is left of what waited."""
        if not self.backlog:
            self.drained_at = now
            return
        wait = self.address.book(now, PAIR, throttle._BACKLOG)
        if not wait:
            self.backlog.popleft()
        self._plan(now + wait + 20, "sweep", 0, PAIR)

    @property
    def most_in_a_minute(self) -> float:
        """Requests, if nobody ever waited."""
        an_operation = LIST + PAGE + PAIR + LOOKED_AT * PAGE
        return self.locations * A_DAY * BUSIEST / 60 * an_operation


def night(locations: int) -> float:
    """Hours in which the books read the day before, while nobody is at the desk."""
    address, now = Address(), 0
    for _ in range(locations * (-(-APPOINTMENTS // A_READING) + A_DAY)):
        while wait := address.book(now, 1, throttle._BOOKS):
            now += wait
    return now / HOUR


def share(part: int, whole: int) -> str:
    return f"{100 * part / max(whole, 1):.1f} %"


def gigabytes(locations: int, days: int, each: int) -> str:
    return f"{locations * A_DAY * days * each / 1e9:.1f} GB"


def log_rows() -> list[str]:
    """What the log takes, as docs/scale.md has it."""
    part = -(-LOCATIONS // 8)
    found = [
        f"| | An operation | {part} locations, a year | the same, {KEPT} days kept | {LOCATIONS} locations, a year |",
        "|---|---|---|---|---|",
    ]
    for database, each in BYTES.items():
        sizes = gigabytes(part, 365, each), gigabytes(part, KEPT, each), gigabytes(LOCATIONS, 365, each)
        found.append(f"| {database} | {each:,} bytes | " + " | ".join(sizes) + " |")
    return found


def rows() -> list[str]:
    """What an address can do, as docs/scale.md has it."""
    found = [HEAD, "|---|---|---|---|---|---|---|---|"]
    for addresses in ADDRESSES:
        locations = -(-LOCATIONS // addresses)
        hour, after = Hour(locations, seed=addresses), Hour(locations, seed=addresses, away=AWAY)
        waits = sorted(hour.waits)
        median, most_of, longest = (waits[int(place * (len(waits) - 1))] / 1000 for place in (0.5, 0.99, 1))
        late, refused = (
            share(hour.late, hour.late + len(waits)),
            share(hour.refused, hour.refused + hour.read),
        )
        made_up = f"{(after.drained_at - AWAY) / 60_000:.0f} min"
        found.append(
            f"| {addresses} | {locations} | {hour.most_in_a_minute:.0f} | {median:.1f} / {most_of:.1f} / {longest:.1f} s "
            f"| {late} | {refused} | {made_up} | {night(locations):.1f} h |"
        )
    return found


if __name__ == "__main__":
    print(*log_rows(), "", *rows(), sep="\n")
