# ruff: noqa: INP001, T201
"""How fast the log is exported, and in how much memory: `python benchmarks/export.py [operations]`, 50,000 by default."""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import django

ROWS_AT_ONCE = 2000


def fill(count: int) -> None:
    from altegio_loyalty.models import Location, LoyaltyOperation, Visit

    location = Location.objects.create(id=1, title="Main Street")
    visit = Visit.objects.create(id=1, location=location, record_id=1, client_name="Jane Doe")
    for first in range(0, count, ROWS_AT_ONCE):
        LoyaltyOperation.objects.bulk_create(
            LoyaltyOperation(
                kind="apply_card_withdrawal",
                location=location,
                visit=visit,
                record_id=1,
                card_id=number,
                amount=100,
                applied_amount=100,
                status="succeeded",
                idempotency_key=f"key-{number}",
            )
            for number in range(first, min(first + ROWS_AT_ONCE, count))
        )


def _most_memory() -> float:
    """The most memory this process ever had, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(count: int) -> None:
    from django.core.management import call_command

    from altegio_loyalty.admin.files import as_csv
    from altegio_loyalty.admin.log.export import log_table
    from altegio_loyalty.models import LoyaltyOperation

    call_command("migrate", verbosity=0)
    fill(count)
    before, began = _most_memory(), time.monotonic()
    size = sum(len(part.encode()) for part in as_csv(*log_table(LoyaltyOperation.objects.all())))
    seconds = time.monotonic() - began
    print(f"{count} operations, {size / 1e6:.1f} MB, {seconds:.1f} s, {count / seconds:.0f} a second")
    print(f"memory: {before:.0f} MB before, {_most_memory():.0f} MB at the most")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DATABASE_URL"] = f"sqlite:///{folder}/benchmark.sqlite3"
        os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
        django.setup()
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000)
