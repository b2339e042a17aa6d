# ruff: noqa: INP001, T201
"""What one withdrawal costs over the two HTTP calls that it makes.

    python benchmarks/withdrawal.py [--count 300] [--database sqlite:///bench.sqlite3]

Against the sandbox on this machine, in one process: bare calls (requests, one session kept alive, GET visit/details and
POST apply_card_withdrawal) and `services.apply_card_withdrawal(deliver="now")` take turns, so that whatever else the
machine does meets both. Prints medians, their ratio, the statements of the database by kind, and the number of TCP
connections. Makes its tables in the database given, which must be empty or an earlier benchmark's; without one, a
temporary SQLite file.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent


def seconds_of(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


class Benchmark:
    def __init__(self, sandbox: Any) -> None:
        import requests

        from altegio_loyalty.models import Location

        self.sandbox = sandbox
        ledger = sandbox.ledger
        salon = ledger.add_location()
        self.client = ledger.add_client()
        self.card = ledger.add_card(self.client, balance="9999999")
        self.visit: Callable[[], Any] = lambda: ledger.add_visit(salon.id, self.client)
        tokens = {"partner_token": sandbox.partner_token, "user_token": sandbox.user_token}
        self.location, _ = Location.objects.update_or_create(
            pk=salon.id, defaults={"title": "Salon", **tokens}
        )
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = f"Bearer {sandbox.partner_token}, User {sandbox.user_token}"
        self.session.headers["Accept"] = "application/vnd.api.v2+json"

    def bare(self, visit: Any) -> None:
        """The two HTTP calls themselves."""
        url, record_id = self.sandbox.url, visit.record_ids[0]
        self.session.get(f"{url}/visit/details/{self.location.pk}/{record_id}/{visit.id}", timeout=5).json()
        body = {"record_id": record_id, "visit_id": visit.id, "amount": 1}
        address = f"{url}/visit/loyalty/apply_card_withdrawal/{self.location.pk}/{self.card.id}"
        self.session.post(address, json=body, timeout=5).json()

    def service(self, visit: Any) -> None:
        """The same with a log, leases, a look, a budget and a result."""
        from altegio_loyalty import services

        where = {"visit_id": visit.id, "record_id": visit.record_ids[0], "card_id": self.card.id}
        operation = services.apply_card_withdrawal(self.location, amount=1, **where)
        assert operation.status == "succeeded", operation.sentence

    def known_visit(self) -> Any:
        from altegio_loyalty.models import Visit

        visit = self.visit()
        Visit.objects.update_or_create(
            pk=visit.id, defaults={"location": self.location, "record_id": visit.record_ids[0]}
        )
        return visit

    def statements(self) -> Counter[str]:
        from django.db import connection
        from django.test.utils import CaptureQueriesContext

        visit = self.known_visit()
        with CaptureQueriesContext(connection) as captured:
            self.service(visit)
        return Counter(query["sql"].split()[0] for query in captured.captured_queries)


def setup(database_url: str) -> None:
    os.environ |= {
        "DATABASE_URL": database_url,
        "DJANGO_SETTINGS_MODULE": "project.settings",
        "ENV_FILE": os.devnull,
    }
    os.environ.setdefault("SECRET_KEY", "a benchmark keeps no secrets")
    sys.path.insert(0, str(REPOSITORY))
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command

    settings.ALTEGIO_LOYALTY = {"REQUESTS_PER_SECOND": 0, "REQUESTS_PER_MINUTE": 0}
    call_command("migrate", verbosity=0)


def count_connections(sandbox: Any) -> Callable[[], int]:
    """How many TCP connections the sandbox has accepted since, seen from its request log: one for each peer's port."""
    ports: set[int] = set()
    serve = sandbox._listener._serve

    def note(sock: Any, address: tuple[str, int]) -> None:
        ports.add(address[1])
        serve(sock, address)

    sandbox._listener._serve = note
    return lambda: len(ports)


def run(count: int) -> None:
    from django.conf import settings
    from django.db import connection

    from altegio_loyalty.models import LoyaltyOperation, OperationAttempt, RequestBudget, Visit
    from altegio_loyalty.sandbox import Sandbox

    with Sandbox() as sandbox:
        connections = count_connections(sandbox)
        settings.ALTEGIO_LOYALTY = {**settings.ALTEGIO_LOYALTY, "API_URL": sandbox.url}
        for model in (OperationAttempt, LoyaltyOperation, Visit, RequestBudget):
            model.objects.all().delete()
        benchmark = Benchmark(sandbox)
        for _ in range(20):
            benchmark.bare(benchmark.visit())
            benchmark.service(benchmark.known_visit())
        bare, service = [], []
        for _ in range(count):
            visit, known = benchmark.visit(), benchmark.known_visit()
            bare.append(seconds_of(partial(benchmark.bare, visit)))
            service.append(seconds_of(partial(benchmark.service, known)))
        statements = benchmark.statements()
        connection_count = connections()
    bare_ms, service_ms = statistics.median(bare) * 1000, statistics.median(service) * 1000
    print(f"database             {connection.vendor}")
    print(f"withdrawals          {count}")
    print(f"two bare HTTP calls  {bare_ms:.2f} ms")
    print(f"one withdrawal       {service_ms:.2f} ms")
    print(f"over the calls       {service_ms - bare_ms:.2f} ms, ratio {service_ms / bare_ms:.2f}")
    print(f"statements           {sum(statements.values())}: {dict(statements)}")
    print(f"TCP connections      {connection_count} (the bare session's and ours)")
    if connection_count != 2:
        sys.exit("The session was not kept alive.")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--database", help="a DATABASE_URL; by default a temporary SQLite file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        setup(options.database or f"sqlite:///{folder}/benchmark.sqlite3")
        run(options.count)


if __name__ == "__main__":
    main()
