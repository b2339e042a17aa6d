# ruff: noqa: INP001, S608, T201
"""How fast the overview and its reports are: `python benchmarks/overview.py [operations]`, 1,000,000 by default.

On DATABASE_URL, or on a file of SQLite below `var/`. What it filled once it uses again.
"""

from __future__ import annotations

import datetime
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import django
from django.db import connection, models

HERE = Path(__file__).resolve().parent.parent
LOCATIONS, DAYS, CLIENTS = 20, 366, 79_999
SECONDS = DAYS * 86400
#: A moment of the period that row n of `count` has, and one that is n % 7 seconds later.
MOMENTS = {
    "postgresql": "now() - interval '1 second' * ({seconds} * (1 - n.n::float / {count}) - {later})",
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f', 'now', ({later} - {seconds} * (1 - n.n * 1.0 / {count})) || ' seconds')",
}


def multiply(row: models.Model, first: int, last: int, **columns: str) -> None:
    """Rows like this one, made by the database; `columns` are SQL of a row's number, `n.n`."""
    table = row._meta.db_table
    names = [field.column for field in row._meta.concrete_fields if not field.generated]
    names = [name for name in names if name != "id" or "id" in columns]
    values = [f"({columns[name]})" if name in columns else f't."{name}"' for name in names]
    numbers = f"WITH RECURSIVE n(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM n WHERE n < {last})"
    listed = ", ".join(f'"{name}"' for name in names)
    with connection.cursor() as cursor:
        cursor.execute(
            f'INSERT INTO "{table}" ({listed}) {numbers} '
            f'SELECT {", ".join(values)} FROM "{table}" t, n WHERE t.id = {row.pk}'
        )


def fill(count: int) -> None:
    from altegio_loyalty.models import Location, LoyaltyOperation, Visit

    for number in range(1, LOCATIONS + 1):
        Location.objects.get_or_create(
            id=number, defaults={"title": f"Salon {number}", "time_zone": "Europe/Riga"}
        )
    there = LoyaltyOperation.objects.count()
    if there >= count:
        return
    visit, _made = Visit.objects.get_or_create(
        id=10**9, location_id=1, record_id=1, defaults={"shown": "A bill as long as this. " * 60}
    )
    row, _made = LoyaltyOperation.objects.get_or_create(
        idempotency_key="first", kind="apply_card_withdrawal", status="succeeded", location_id=1, visit=visit,
        record_id=1, card_id=1, amount=100, finished_at=visit.created_at,
    )  # fmt: skip
    at, later = (
        MOMENTS[connection.vendor].format(seconds=SECONDS, count=count, later=text)
        for text in ("0", "n.n % 7")
    )
    client, team = f"1 + n.n * 61 % {CLIENTS}", f"n.n / 10 % {LOCATIONS}"
    where = {"record_id": "n.n", "location_id": f"1 + {team}", "created_at": at}
    multiply(
        visit, there + 1, count, id="n.n", starts_at=at, client_id=client, client_name=f"'Client ' || ({client})",
        total_amount="CASE WHEN n.n % 11 > 0 THEN 1000 + n.n % 4000 END", **where,
    )  # fmt: skip
    kind = (
        "CASE WHEN n.n % 10 < 6 THEN 'apply_card_withdrawal' WHEN n.n % 10 < 7 THEN 'cancel_card_withdrawal' "
    )
    kind += "WHEN n.n % 10 < 9 THEN 'apply_discount_program' ELSE 'cancel_discount_program' END"
    status = "CASE n.n % 97 WHEN 0 THEN 'failed' WHEN 1 THEN 'abandoned' WHEN 2 THEN 'rejected' ELSE 'succeeded' END"
    multiply(
        row, there + 1, count, kind=kind, status=status, visit_id="n.n", card_id="n.n", finished_at=later,
        idempotency_key="'key-' || n.n", applied_amount="CASE WHEN n.n % 10 < 6 THEN n.n % 900 END",
        requested_by_login=f"'person-' || ({team}) || '-' || (n.n / 200 % 5)",
        card_title="'Card ' || (n.n % 4) || ' ···' || (1000 + n.n % 9000)",
        program_id="CASE WHEN n.n % 10 > 6 THEN 1 + n.n / 10 % 12 END",
        program_title="CASE WHEN n.n % 10 > 6 THEN 'Promotion ' || (n.n / 10 % 12) ELSE '' END",
        returned_amount="CASE WHEN n.n % 10 = 6 THEN n.n % 900 END", closed_at=at, **where,
    )  # fmt: skip


def measure(name: str, days: int, page: str = "overview", **query: Any) -> None:
    from django.contrib.auth import get_user_model
    from django.test import Client
    from django.test.utils import CaptureQueriesContext
    from django.urls import reverse
    from django.utils import timezone

    person, _made = get_user_model().objects.get_or_create(
        username="manager", is_staff=True, is_superuser=True
    )
    browser, until = Client(), timezone.now().date()
    browser.force_login(person)
    query = {"since": until - datetime.timedelta(days=days - 1), "until": until, **query}
    address, times = reverse(f"admin:altegio_loyalty_loyaltyoperation_{page}"), []
    used: list[float] = []
    for _ in range(6):
        began, busy = time.monotonic(), time.process_time()
        assert browser.get(address, query).status_code == 200
        times.append((time.monotonic() - began) * 1000)
        used.append((time.process_time() - busy) * 1000)
    with CaptureQueriesContext(connection) as captured:
        browser.get(address, query)
    slowest = sorted(captured.captured_queries, key=lambda one: -float(one["time"]))[:3]
    told = ", ".join(f"{float(one['time']) * 1000:.0f} ms {len(one['sql'])} letters" for one in slowest)
    wall, cpu = statistics.median(times[1:]), statistics.median(used[1:])
    print(
        f"{name}, {days} days: {wall:.0f} ms, {cpu:.0f} of them Python, {len(captured)} queries; slowest: {told}; "
        f"load {os.getloadavg()[0]:.0f}"
    )


def main(count: int) -> None:
    from django.core.management import call_command

    from altegio_loyalty import retention
    from altegio_loyalty.admin.overview.reports import REPORTS
    from altegio_loyalty.models import DaySum, GroupSum, LoyaltyOperation

    retention.SUMMED_AT_ONCE = 5000
    call_command("migrate", verbosity=0)
    fill(count)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
    began, waiting = time.monotonic(), LoyaltyOperation.objects.filter(is_summed=False).count()
    for _ in range(waiting // retention.SUMMED_AT_ONCE + 1):
        retention.add_up()
    retention.SUMMED_AT_ONCE = 1000  # as a site has it: fewer wait, and are read from the log
    for _ in range(5):
        retention.add_up()
    sums = [table.objects.count() for table in (DaySum, GroupSum)]
    print(f"{waiting} operations added up in {time.monotonic() - began:.0f} s, {sums} sums")
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
    for days in (30, 366):
        measure(connection.vendor, days)
    for by in REPORTS:
        measure(f"by {by}", 30, "reports", by=by)
    measure("by location, with bills", 30, "reports", by="location", bills=1)


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    (HERE / "var").mkdir(exist_ok=True)
    os.environ.setdefault("DATABASE_URL", f"sqlite:///{HERE}/var/overview.sqlite3")
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
