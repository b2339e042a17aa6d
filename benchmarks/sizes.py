# ruff: noqa: INP001, T201
"""What an operation takes in the database: `python benchmarks/sizes.py [operations]`, 100,000 by default.

One withdrawal is asked for, read and sent against the sandbox; its rows, the visit, the operation and its attempts, are then
there as often as asked, with numbers and moments of their own. Says the bytes of an operation, indexes included, table by
table. In DATABASE_URL, which must be empty; without one, a temporary file of SQLite.
"""

from __future__ import annotations

import datetime
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from withdrawal import setup  # noqa: E402

AT_ONCE = 2000
SIZES = {
    "postgresql": "SELECT pg_total_relation_size(%s)",
    "mysql": "SELECT data_length + index_length FROM information_schema.tables "
    "WHERE table_schema = DATABASE() AND table_name = %s",
    "sqlite": "SELECT sum(pgsize) FROM dbstat WHERE name IN (SELECT name FROM sqlite_master WHERE tbl_name = %s)",
}


def one_withdrawal() -> Any:
    """An operation as the desk leaves it: its visit read before and after, both calls in the log."""
    from django.conf import settings

    from altegio_loyalty import services
    from altegio_loyalty.models import Location, Visit
    from altegio_loyalty.sandbox import Sandbox
    from altegio_loyalty.services.reading import read_for_screen

    with Sandbox() as sandbox:
        settings.ALTEGIO_LOYALTY = {"API_URL": sandbox.url}
        ledger = sandbox.ledger
        client = ledger.add_client(name="Maria Kowalska")
        card = ledger.add_card(
            client, balance="500", programs=[ledger.add_program(title="Birthday", percent=10)]
        )
        seen = ledger.add_visit(
            ledger.add_location().id, client, lines=[("Haircut", "40"), ("Shampoo", "12", "product")]
        )
        tokens = {"partner_token": sandbox.partner_token, "user_token": sandbox.user_token}
        location = Location.objects.create(id=seen.location_id, title="Salon", **tokens)
        visit = Visit.objects.create(
            id=seen.id, location=location, record_id=seen.record_ids[0], client_id=client.id, client_name=client.name,
            client_phone="+48 600 100 200", starts_at=datetime.datetime.now(datetime.UTC),
        )  # fmt: skip
        read_for_screen(visit, by=None)
        operation = services.apply_card_withdrawal(
            location, visit_id=visit.id, record_id=visit.record_id, card_id=card.id, amount=10
        )
        assert operation.status == "succeeded", operation.sentence
        return operation


def copies(row: Any, **changes: Any) -> Any:
    """The same row with other numbers."""
    fields = [field for field in row._meta.concrete_fields if not field.generated]
    values = {field.attname: getattr(row, field.attname) for field in fields}
    return type(row)(**{**values, **changes})


def multiply(operation: Any, count: int) -> None:
    from altegio_loyalty.models import LoyaltyOperation, OperationAttempt, Visit

    visit, attempts, year = (
        Visit.objects.get(pk=operation.visit_id),
        list(operation.attempts.all()),
        365 * 86400,
    )
    for first in range(1, count, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, count))
        later = {n: datetime.timedelta(seconds=n * year / count) for n in numbers}
        Visit.objects.bulk_create(
            copies(visit, id=visit.pk + n, record_id=visit.record_id + n, client_id=n,
                   **moved(visit, later[n], "starts_at", "created_at", "read_at")) for n in numbers
        )  # fmt: skip
        LoyaltyOperation.objects.bulk_create(
            copies(operation, id=operation.pk + n, visit_id=visit.pk + n, record_id=visit.record_id + n,
                   card_id=operation.card_id + n, idempotency_key=f"{operation.idempotency_key[:-9]}{n:09}",
                   **moved(operation, later[n], "created_at", "finished_at", "sent_at", "expires_at")) for n in numbers
        )  # fmt: skip
        OperationAttempt.objects.bulk_create(
            copies(attempt, id=attempts[-1].pk + len(attempts) * n + place, operation_id=operation.pk + n,
                   **moved(attempt, later[n], "started_at")) for n in numbers for place, attempt in enumerate(attempts)
        )  # fmt: skip


def moved(row: Any, later: datetime.timedelta, *names: str) -> dict[str, Any]:
    return {name: moment + later for name in names if (moment := getattr(row, name)) is not None}


def measure(count: int) -> None:
    from django.db import connection

    from altegio_loyalty.models import LoyaltyOperation, OperationAttempt, Visit

    multiply(one_withdrawal(), count)
    total = 0.0
    print(f"{connection.vendor}, {count:,} operations; bytes of each:")
    with connection.cursor() as cursor:
        for model in (Visit, LoyaltyOperation, OperationAttempt):
            table = model._meta.db_table
            if connection.vendor == "mysql":
                cursor.execute(f"ANALYZE TABLE {table}")
                cursor.fetchall()
            cursor.execute(SIZES[connection.vendor], [table])
            size = int(cursor.fetchone()[0]) / count
            total += size
            rows = model._default_manager.count() / count
            print(f"{model._meta.verbose_name!s:20} {size:6,.0f}  in {rows:.0f} rows")
    print(f"{'together':20} {total:6,.0f}")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        setup(os.environ.get("DATABASE_URL") or f"sqlite:///{folder}/benchmark.sqlite3")
        measure(int(sys.argv[1]) if sys.argv[1:] else 100_000)


if __name__ == "__main__":
    main()
