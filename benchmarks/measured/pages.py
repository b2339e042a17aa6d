# ruff: noqa: T201
"""Pages of the admin with a long log, over the same pages with a thousand rows.

Two processes, each with a database of its own, show the same page in turn. What was filled once is used again.
"""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from measured.contenders import python
from measured.turns import Figure, median, ratio

SHORT = 1000
#: So many operations need a person in both logs.
NEEDING = 20
LOG, VISITS = "loyaltyoperation_changelist", "visit_changelist"
#: What is shown: the page's name, and its query.
PAGES: dict[str, tuple[str, dict[str, str]]] = {
    "the log": (LOG, {}),
    "needs a person": (LOG, {"attention": "needed"}),
    "at odds": (LOG, {"attention": "discrepancy"}),
    "not finished": (LOG, {"attention": "open"}),
    "done": (LOG, {"status__exact": "succeeded"}),
    "by key": (LOG, {"q": "key-777"}),
    "by name": (LOG, {"q": "Client 77"}),
    "by a name that nobody has": (LOG, {"q": "Nobody"}),
    "inbox": ("loyaltyoperation_inbox", {}),
    "visits of any day": (VISITS, {"day": "all"}),
    "visits by amount": (VISITS, {"day": "all", "o": "4"}),
    "overview, 366 days": ("loyaltyoperation_overview", {"days": "366"}),
}


def fill(rows: int) -> None:
    """A year of operations, what needs a person, names, amounts, and the sums per day."""
    import overview
    from django.db import connection
    from django.db.models import F, Value
    from django.db.models.fields import CharField
    from django.db.models.functions import Cast, Concat

    from altegio_loyalty import retention
    from altegio_loyalty.models import LoyaltyOperation, Visit

    if LoyaltyOperation.objects.count() < rows:
        overview.fill(rows)
        name = Concat(Value("Client "), Cast("id", CharField()))
        Visit.objects.update(client_name=name, due_amount=F("id") % 977)
        given_up = LoyaltyOperation.objects.filter(status="failed").order_by("-pk").values("pk")[:NEEDING]
        LoyaltyOperation.objects.filter(pk__in=list(given_up.values_list("pk", flat=True))).update(
            closed_at=None
        )
        retention.SUMMED_AT_ONCE = min(5000, rows)
        for _ in range(rows // retention.SUMMED_AT_ONCE):
            retention.add_up()
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE" if connection.vendor == "postgresql" else "ANALYZE")


def probe(rows: int) -> None:
    """Shows each page whose name stands on a line of the input, and prints the milliseconds that it took."""
    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from django.test import Client
    from django.urls import reverse
    from django.utils import timezone

    call_command("migrate", verbosity=0)
    fill(rows)
    person, _is_new = get_user_model().objects.get_or_create(
        username="boss", is_staff=True, is_superuser=True
    )
    browser, today = Client(), timezone.now().date()
    browser.force_login(person)
    print("ready", flush=True)
    for line in sys.stdin:
        page, query = PAGES[line.strip()]
        asked: dict[str, Any] = dict(query)
        if asked.pop("days", ""):
            asked = {"since": today - datetime.timedelta(days=365), "until": today}
        began = time.perf_counter()
        answer = browser.get(reverse(f"admin:altegio_loyalty_{page}"), asked)
        assert answer.status_code == 200, answer.status_code
        print((time.perf_counter() - began) * 1000, flush=True)


@contextmanager
def probing(url: str, rows: int) -> Iterator[Callable[[str], float]]:
    process = subprocess.Popen(
        python(["-m", "measured.pages", str(rows)]),
        env={**os.environ, "DATABASE_URL": url},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    given, said = process.stdin, process.stdout
    while (line := said.readline()).strip() != "ready":
        assert line, "The process that shows pages has ended."

    def show(page: str) -> float:
        given.write(f"{page}\n")
        given.flush()
        return float(said.readline())

    try:
        yield show
    finally:
        process.kill()
        process.wait()


def figure(rows: int, rounds: int, urls: dict[str, tuple[str, str]]) -> Figure:
    """`urls` are, for each database, those of the short log's and of the long one's."""
    found = Figure(
        "Pages of a long log",
        "ms",
        ["", *(f"{name}{what}" for name in urls for what in (", ms", ", over a thousand rows"))],
    )
    columns: dict[str, list[str]] = {page: [page] for page in PAGES}
    for short_url, long_url in urls.values():
        with ExitStack() as stack:
            short = stack.enter_context(probing(short_url, SHORT))
            long = stack.enter_context(probing(long_url, rows))
            for page in PAGES:
                short(page), long(page)
                pairs = [(long(page), short(page)) for _ in range(rounds)]
                many, few = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
                columns[page] += [f"{median(many):.0f}", f"{ratio(many, few):.2f}"]
    found.rows = list(columns.values())
    note = f"{rows} operations in a year of 20 locations, {NEEDING} of which need a person in either log; {rounds} rounds."
    found.notes = [note]
    return found


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "measured.site")
    import django

    django.setup()
    probe(int(sys.argv[1]))
