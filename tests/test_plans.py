"""What is asked again and again is answered from an index, however long the log is: the plans, and no times."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from altegio_loyalty.models import DaySum, GroupSum, Location, LoyaltyOperation, Visit

#: In no transaction, since MariaDB ends it where it counts the rows of a table.
pytestmark = pytest.mark.django_db(transaction=True)

#: So many rows that no database takes the whole table for the shorter way.
ROWS = 3000
NOW, MONTH = timezone.now(), datetime.timedelta(days=30)

log = LoyaltyOperation.objects
page_of_log = log.select_related("location", "visit").order_by("-id")

#: Each question, and the index that answers it.
QUESTIONS: dict[str, tuple[Callable[[], Any], str]] = {
    "what needs a person": (lambda: page_of_log.needing_attention()[:51], "altegio_op_attention"),
    "how many need a person": (
        lambda: log.needing_attention().order_by()[:10_000].values("pk"),
        "altegio_op_attention",
    ),
    "what is at odds": (
        lambda: page_of_log.filter(attention=1, discrepancy__gt="")[:51],
        "altegio_op_attention",
    ),
    "what is not finished": (
        lambda: page_of_log.filter(attention__gt=0).open()[:51],
        "altegio_op_attention",
    ),
    "what nobody tried in time": (lambda: log.running_out(NOW), "altegio_op_status_expires"),
    "what is due": (lambda: log.due(NOW).in_turn()[:500], "altegio_op_next_attempt_at"),
    "whose client's name begins so": (
        lambda: Visit.objects.filter(client_name__istartswith="name 77").order_by("-pk").values("pk")[:200],
        "altegio_visit_name",
    ),
    "what has this key": (lambda: page_of_log.filter(idempotency_key="key 77"), "idempotency_key"),
    "what is not among the sums yet": (
        lambda: log.filter(is_summed__in=[False], status="succeeded").order_by(),
        "altegio_op_summed_status",
    ),
    "what points a month came to by person": (
        lambda: GroupSum.objects.filter(by="person", day__range=(NOW.date() - MONTH, NOW.date())).values(
            "key"
        ),
        "altegio_groups_of_day",
    ),
    "what a month came to": (
        lambda: DaySum.objects.filter(day__range=(NOW.date() - MONTH, NOW.date())).values("kind"),
        "_daysum_day_",
    ),
    "how a client is called": (
        lambda: Visit.objects.filter(client_id__in=[7, 8]).order_by().values("client_id"),
        "_client_id_",
    ),
    "what a batch holds": (lambda: log.filter(batch="0" * 32).order_by("pk"), "altegio_op_batch"),
    "what undid it": (lambda: log.filter(cancels=1).order_by("pk"), "altegio_op_cancels"),
}


@pytest.fixture
def a_long_log() -> Iterator[None]:
    """Most of it is over, as it is in a log of any length."""
    location, *_others = Location.objects.bulk_create(
        Location(id=number, title="Salon") for number in range(1, 21)
    )
    Visit.objects.bulk_create(
        Visit(
            id=number, location_id=number % 20 + 1, record_id=number, client_id=number, client_name=f"Name {number}",
            starts_at=NOW - datetime.timedelta(minutes=number),
        )
        for number in range(1, ROWS + 1)
    )  # fmt: skip
    asked: dict[str, Any] = {"kind": "apply_card_withdrawal", "location": location, "amount": 1}
    waiting = {"status": "pending", "next_attempt_at": NOW, "expires_at": NOW + datetime.timedelta(days=1)}
    over = {"status": "succeeded", "expires_at": NOW - datetime.timedelta(days=1), "is_summed": True}
    LoyaltyOperation.objects.bulk_create(
        LoyaltyOperation(
            visit_id=number,
            record_id=number,
            card_id=number,
            idempotency_key=f"key {number}",
            **asked,
            **(over if number % 10 else waiting),
        )
        for number in range(1, ROWS + 1)
    )
    days = [NOW.date() - datetime.timedelta(days=number) for number in range(ROWS)]
    DaySum.objects.bulk_create(DaySum(location=location, day=day, slot=0) for day in days)
    GroupSum.objects.bulk_create(
        GroupSum(location=location, day=day, by=by, key=str(day))
        for day in days
        for by in ("person", "client")
    )
    with connection.cursor() as cursor:
        for model in (Location, LoyaltyOperation, Visit, DaySum, GroupSum):
            table = model._meta.db_table
            cursor.execute(f"ANALYZE {'TABLE ' if connection.vendor == 'mysql' else ''}{table}")
    yield
    if connection.vendor == "sqlite":
        # What ANALYZE found outlasts the rows, and would change the plans of other tests on this database.
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM sqlite_stat1")
            cursor.execute("ANALYZE sqlite_schema")


@pytest.mark.parametrize("question", QUESTIONS)
def test_is_answered_from_an_index(a_long_log: None, question: str) -> None:
    asked, index = QUESTIONS[question]
    assert index in (plan := asked().explain()), plan


@pytest.mark.one_database
def test_list_of_all_visits__begins_at_the_latest(a_long_log: None, admin_client: Client) -> None:
    """With a table joined, SQLite begins there, and reads and sorts every visit."""
    with CaptureQueriesContext(connection) as captured:
        admin_client.get(reverse("admin:altegio_loyalty_visit_changelist"), {"day": "all"})
    (asked,) = (query["sql"] for query in captured.captured_queries if "newest_attempt" in query["sql"])
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {asked}")
        plan = str(cursor.fetchall())
    assert "_starts_at_" in plan
