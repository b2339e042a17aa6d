# ruff: noqa: INP001, T201
"""Whether a worker's memory stays flat: `python benchmarks/memory.py [operations]`, 100,000 by default.

One process sweeps what is due, thousand by thousand, with as many threads as a worker's sweep has; Altegio is the sandbox in
a process of its own. Says what is resident, and how many objects there are, after each tenth; fails where the last tenth
has more than the second by over 5 %. In DATABASE_URL, or a temporary file of SQLite.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from withdrawal import setup  # noqa: E402

ROWS_AT_ONCE = 1000
#: Of the second tenth: until then pools, caches and compiled queries are filled.
MOST_GROWTH = 1.05


def serve(pipe: Connection, count: int) -> None:
    """Another process: the sandbox, with a visit for each operation."""
    from altegio_loyalty.sandbox import Sandbox

    with Sandbox() as sandbox:
        ledger = sandbox.ledger
        salon, client = ledger.add_location(), ledger.add_client()
        card = ledger.add_card(client, balance="9999999")
        pipe.send((sandbox.url, sandbox.partner_token, sandbox.user_token, salon.id, card.id))
        visits = (ledger.add_visit(salon.id, client) for _ in range(count))
        for _ in range(0, count, ROWS_AT_ONCE):
            pipe.recv()
            taken = [next(visits) for _ in range(ROWS_AT_ONCE)]
            pipe.send([(visit.id, visit.record_ids[0]) for visit in taken])
        pipe.recv()


def ask(visits: list[tuple[int, int]], location_id: int, card_id: int) -> None:
    """As many operations that are due, without a call."""
    from django.utils import timezone

    from altegio_loyalty.models import LoyaltyOperation, Visit

    now = timezone.now()
    Visit.objects.bulk_create(
        Visit(id=visit, location_id=location_id, record_id=record) for visit, record in visits
    )
    LoyaltyOperation.objects.bulk_create(
        LoyaltyOperation(
            kind="apply_card_withdrawal", location_id=location_id, visit_id=visit, record_id=record, card_id=card_id,
            amount=1, idempotency_key=f"memory-{visit}", open_key=f"{visit}:{card_id}", next_attempt_at=now,
        )
        for visit, record in visits
    )  # fmt: skip


def resident() -> float:
    """MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def work_off(pipe: Connection, count: int) -> Iterator[tuple[int, float, int]]:
    """Done, MiB and objects, after each tenth."""
    from django.conf import settings

    from altegio_loyalty import delivery
    from altegio_loyalty.models import Location, LoyaltyOperation

    url, partner, user, location_id, card_id = pipe.recv()
    settings.DEBUG = False  # with it Django keeps the last 9,000 statements, those of `ask` among them
    settings.ALTEGIO_LOYALTY = {"API_URL": url, "REQUESTS_PER_SECOND": 0, "REQUESTS_PER_MINUTE": 0}
    Location.objects.create(id=location_id, title="Salon", partner_token=partner, user_token=user)
    for done in range(ROWS_AT_ONCE, count + 1, ROWS_AT_ONCE):
        pipe.send("more")
        ask(pipe.recv(), location_id, card_id)
        while LoyaltyOperation.objects.open().exists():
            delivery.run_due()
        if done % (count // 10) == 0:
            gc.collect()
            yield done, resident(), len(gc.get_objects())
    assert LoyaltyOperation.objects.filter(status="succeeded").count() == count


def main() -> None:
    count = int(sys.argv[1]) if sys.argv[1:] else 100_000
    ours, theirs = multiprocessing.Pipe()
    altegio = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, count), daemon=True)
    altegio.start()
    with tempfile.TemporaryDirectory() as folder:
        setup(os.environ.get("DATABASE_URL") or f"sqlite:///{folder}/benchmark.sqlite3")
        found = []
        for done, size, objects in work_off(ours, count):
            found.append(size)
            print(f"{done:8,} operations  {size:6.1f} MiB  {objects:8,} objects", flush=True)
    altegio.kill()
    if found[-1] > found[1] * MOST_GROWTH:
        sys.exit("The worker's memory grows.")


if __name__ == "__main__":
    main()
