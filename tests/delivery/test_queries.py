"""What one operation costs in the database, and why."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from altegio_loyalty import delivery
from tests.delivery.rawserver import EMPTY_VISIT, RawServer, answer_of
from tests.delivery.salon import CANCEL, Salon, Status

pytestmark = pytest.mark.django_db(transaction=True)

#: Each of a withdrawal's statements, and the reason for it.
WITHDRAWAL_NOW = [
    (
        "SELECT",
        "visit",
        "whether it is known, with its location and the tokens as they are now, whatever object is given",
    ),
    ("INSERT", "loyaltyoperation", "write ahead: the row, claimed already"),
    ("UPDATE", "requestbudget", "both requests booked at once, where the row is as this process left it"),
    (
        "SELECT",
        "loyaltyoperation",
        "whether another apply was done moments ago, which a read may not show yet",
    ),
    ("UPDATE", "loyaltyoperation", "the mark that the POST leaves now, with what the look showed"),
    ("UPDATE", "loyaltyoperation", "the result"),
    ("INSERT", "operationattempt", "both calls, in one statement, in the transaction of the result"),
    (
        "UPDATE",
        "visit",
        "what is left to pay now, for the list of visits, once the result is committed",
    ),
]


def verb_of(query: dict[str, str]) -> str:
    """What it does; MariaDB is told before some that they are not to wait for a lock."""
    return query["sql"].removeprefix("SET STATEMENT innodb_lock_wait_timeout = 0 FOR ").split()[0].rstrip(";")


def statements(captured: Any) -> list[tuple[str, str]]:
    """(verb, table) of each statement that is not about transactions."""
    told = []
    for query in captured.captured_queries:
        verb = verb_of(query)
        if verb in ("SELECT", "INSERT", "UPDATE", "DELETE"):
            table = query["sql"].split("altegio_loyalty_")[1]
            told.append((verb, table.replace("`", '"').split('"')[0]))
    return told


def test_withdrawal_now__of_a_known_visit(salon: Salon) -> None:
    """Eight statements, each with its reason; a ninth needs one as well."""
    salon.configure(REQUESTS_PER_SECOND=1000, REQUESTS_PER_MINUTE=1000)
    visit = salon.visit()
    salon.withdraw(visit)
    salon.ask(CANCEL, visit)
    with CaptureQueriesContext(connection) as captured:
        operation = salon.withdraw(visit)
    assert operation.status == Status.SUCCEEDED
    assert statements(captured) == [(verb, table) for verb, table, reason in WITHDRAWAL_NOW]


def test_withdrawal_now__is_five_commits(salon: Salon) -> None:
    """The row, the budget, the mark, the result with its calls: each must outlive what comes next. And the figures."""
    salon.configure(REQUESTS_PER_SECOND=1000, REQUESTS_PER_MINUTE=1000)
    visit = salon.visit()
    salon.withdraw(visit)
    salon.ask(CANCEL, visit)
    with CaptureQueriesContext(connection) as captured:
        salon.withdraw(visit)
    commits, is_alone = 0, True
    for query in captured.captured_queries:
        verb = verb_of(query)
        is_alone = {"BEGIN": False, "COMMIT": True}.get(verb, is_alone)
        commits += verb == "COMMIT" or (is_alone and verb in ("INSERT", "UPDATE", "DELETE"))
    assert commits == 5


#: Of a sweep with nothing to do, and of the look around at its end.
IDLE_SWEEP = [
    ("SELECT", "watchentry", "whether everything is held"),
    ("SELECT", "loyaltyoperation", "dead workers"),
    ("SELECT", "loyaltyoperation", "late ones"),
    ("SELECT", "loyaltyoperation", "due ones"),
    ("INSERT", "watchentry", "that a worker runs"),
    ("DELETE", "watchentry", "older heartbeats"),
    ("SELECT", "location", "paused locations"),
    (
        "SELECT",
        "requestbudget",
        "whether Altegio is away, and whether a sweep ran: of a location, with subqueries",
    ),
    ("SELECT", "watchentry", "what was told already"),
]


def test_sweep_with_nothing_to_do__is_a_few_cheap_statements(salon: Salon) -> None:
    """Beat asks every few seconds, for ever."""
    salon.withdraw()
    with CaptureQueriesContext(connection) as captured:
        delivery.run_due()
    assert statements(captured) == [(verb, table) for verb, table, reason in IDLE_SWEEP]


def test_message_for_a_finished_operation__is_two_reads_at_most(salon: Salon) -> None:
    """Messages that come late or twice cost next to nothing."""
    operation = salon.withdraw()
    with CaptureQueriesContext(connection) as captured:
        delivery.deliver(operation.pk)
    assert len(statements(captured)) <= 2


def test_session__is_kept_alive(salon: Salon) -> None:
    """Ten withdrawals, twenty requests, one connection."""
    with RawServer(lambda method, path, connection: answer_of(EMPTY_VISIT)) as server:
        salon.configure(API_URL=server.url)
        for _ in range(10):
            salon.withdraw()
        assert len(server.requests) == 20
        assert server.connection_count == 1


def test_connection_that_the_server_closed__costs_no_doubt_on_the_look(salon: Salon) -> None:
    """A kept connection may be dead by the next call: the look meets that first, and looking again is harmless."""
    salon.withdraw()
    salon.sandbox.restart()
    operation = salon.withdraw()
    salon.run_to_the_end(operation) if operation.is_open else None
    assert operation.status == Status.SUCCEEDED
    assert operation.unanswered_at is None
