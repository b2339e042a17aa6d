# ruff: noqa: INP001, T201
"""What one person who reloads ten tabs costs everybody else.

    python benchmarks/fairness.py [--count 20] [--latency 0.3] [--database sqlite:///bench.sqlite3]

Against the sandbox on this machine, with its limits and ours on, and with answers that take `--latency` seconds, as they do
over the internet. First withdrawals at the desk on an idle site; then the same while one person reloads ten tabs of ten
visits as fast as they come up, and while a batch is delivered by sweeps beside it. Everything meets in the one budget of
requests: the pages are read as the screens read them, on threads with connections of their own. Prints medians, their ratio,
what the reloads read, and how far the batch went; fails where a withdrawal takes more than twice as long, or where the batch
stands still. Makes its tables in the database given, which must be empty or an earlier benchmark's.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from withdrawal import Benchmark, seconds_of, setup

TABS = 10


class Crowd:
    """Threads that do the same again and again until the block ends, each with a database connection of its own."""

    def __init__(self, *jobs: Callable[[], Any]) -> None:
        self.is_over = threading.Event()
        self.counts: Counter[str] = Counter()
        self.threads = [threading.Thread(target=self.repeat, args=(job,)) for job in jobs]

    def repeat(self, job: Callable[[], Any]) -> None:
        from django.db import connections

        try:
            while not self.is_over.is_set():
                self.counts[job() or "nothing"] += 1
                time.sleep(0.01)
        finally:
            connections.close_all()

    def __enter__(self) -> Crowd:
        for thread in self.threads:
            thread.start()
        time.sleep(5)  # the burst at the beginning is over, and everybody waits for the budget
        return self

    def __exit__(self, *error: object) -> None:
        self.is_over.set()
        for thread in self.threads:
            thread.join()


def reload(visit_id: int, person: Any) -> str:
    """One reload of a visit's page, as far as Altegio is asked for it."""
    from altegio_loyalty import bills
    from altegio_loyalty.models import Visit
    from altegio_loyalty.services.reading import read_for_screen

    visit = bills.noting(Visit.objects.select_related("location")).get(pk=visit_id)
    details, _cards = read_for_screen(visit, by=person)
    return "shown" if details.details else "refused"


def sweep() -> str:
    from altegio_loyalty import delivery

    delivery.run_due()
    time.sleep(1)
    return "swept"


def measured(benchmark: Benchmark, count: int) -> list[float]:
    """Seconds of each withdrawal; between them a pause, since a person at the desk does not ask all the time."""
    found = []
    for _ in range(count):
        found.append(seconds_of(partial(benchmark.service, benchmark.known_visit())))
        time.sleep(1.5)
    return found


def run(count: int, latency: float) -> None:
    from django.conf import settings
    from django.contrib.auth import get_user_model
    from django.db import connection

    from altegio_loyalty import services
    from altegio_loyalty.models import LoyaltyOperation, OperationAttempt, RequestBudget, Visit
    from altegio_loyalty.sandbox import Sandbox

    with Sandbox() as sandbox:
        settings.ALTEGIO_LOYALTY = {"API_URL": sandbox.url}
        for model in (OperationAttempt, LoyaltyOperation, Visit, RequestBudget):
            model.objects.all().delete()
        benchmark = Benchmark(sandbox)
        sandbox.fail("hang", seconds=latency)
        idle = measured(benchmark, count)
        person, _ = get_user_model().objects.get_or_create(username="reloader")
        Visit.objects.update(client_id=benchmark.client.id)
        tabs = [benchmark.known_visit() for _ in range(TABS)]
        Visit.objects.update(client_id=benchmark.client.id)
        batch = uuid.uuid4()
        for _ in range(500):
            visit = benchmark.known_visit()
            where = {"visit_id": visit.id, "record_id": visit.record_ids[0], "card_id": benchmark.card.id}
            services.request_in_batch(
                "apply_card_withdrawal", benchmark.location, batch=batch, amount=1, **where
            )
        jobs = [partial(reload, visit.id, person) for visit in tabs]
        began, before = time.monotonic(), len(sandbox.requests)
        with Crowd(*jobs, sweep) as crowd:
            busy = measured(benchmark, count)
            minutes = (time.monotonic() - began) / 60
            done = LoyaltyOperation.objects.filter(batch=batch, status="succeeded").count()
            cards = sum("client_cards" in request.path for request in sandbox.requests[before:])
    ratio = statistics.median(busy) / statistics.median(idle)
    print(f"database             {connection.vendor}")
    print(f"withdrawals          {count} each, answers after {latency:g} s")
    print(f"on an idle site      {statistics.median(idle):.2f} s, the slowest {max(idle):.2f} s")
    print(
        f"beside ten tabs      {statistics.median(busy):.2f} s, the slowest {max(busy):.2f} s, ratio {ratio:.2f}"
    )
    print(f"reloads              {crowd.counts['shown']} shown, {crowd.counts['refused']} refused")
    print(f"read for them        {cards / minutes:.0f} pages a minute")
    print(f"the batch            {done / minutes:.0f} operations a minute")
    if ratio > 2 or not done:
        sys.exit("One person who reloads stands in everybody's way.")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--latency", type=float, default=0.3)
    parser.add_argument("--database", help="a DATABASE_URL; by default a temporary SQLite file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        setup(options.database or f"sqlite:///{folder}/benchmark.sqlite3")
        run(options.count, options.latency)


if __name__ == "__main__":
    main()
