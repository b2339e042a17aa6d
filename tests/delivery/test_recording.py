"""An answer of Altegio is written down, whatever the database does at that very moment."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest
from django.db import DataError, OperationalError, connection, transaction
from django.utils import timezone

from altegio_loyalty import database, services
from altegio_loyalty.delivery.claims import Claim
from altegio_loyalty.models import BooksItem, BooksOfDay, Location, LoyaltyOperation, Visit
from altegio_loyalty.sandbox import FAULTS
from altegio_loyalty.sandbox.wire import failure
from altegio_loyalty.services.reading import read_for_screen
from tests.delivery.salon import CANCEL, Salon, Status

pytestmark = pytest.mark.django_db(transaction=True)

record = Claim.record


@contextlib.contextmanager
def right_before_the_result(act: Callable[[], object]) -> Iterator[None]:
    def acting(claim: Claim, **columns: Any) -> bool:
        act()
        return record(claim, **columns)

    with mock.patch.object(Claim, "record", acting):
        yield


def elsewhere(sql: str) -> None:
    """Said to the database over a connection of its own."""

    def say() -> None:
        with connection.cursor() as cursor:
            cursor.execute(sql)
        connection.close()

    thread = threading.Thread(target=say)
    thread.start()
    thread.join()


def assert_done_and_written_once(salon: Salon, visit: Any, operation: LoyaltyOperation) -> None:
    row = LoyaltyOperation.objects.get()
    assert row.status == operation.status == Status.SUCCEEDED
    assert [attempt.purpose for attempt in row.attempts.all()] == ["look", "send"]
    assert len(salon.effects(row.kind, visit)) == salon.posts(visit) == 1


def end_this_connection() -> None:
    """As by a restart, a failover or a pooler: "terminating connection", or "server has gone away"."""
    is_postgres = connection.vendor == "postgresql"
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()" if is_postgres else "SELECT CONNECTION_ID()")
        number = cursor.fetchone()[0]
    elsewhere(f"SELECT pg_terminate_backend({number})" if is_postgres else f"KILL {number}")


@pytest.mark.postgres
@pytest.mark.mariadb
def test_connection_ended_by_the_server__result_is_written_on_a_new_one(salon: Salon) -> None:
    """Nothing of the answer is lost."""
    visit = salon.visit()
    with right_before_the_result(end_this_connection):
        operation = salon.withdraw(visit)
    assert_done_and_written_once(salon, visit, operation)


@pytest.mark.parametrize("failure", [OperationalError("deadlock found"), DataError("out of range")])
def test_figures_of_the_visit_that_cannot_be_kept__take_no_result_along(
    salon: Salon, failure: Exception
) -> None:
    """They are for the list of visits alone, and are read anew with the visit."""
    visit = salon.visit()
    with mock.patch("altegio_loyalty.bills.keep_answer", side_effect=failure) as keep:
        operation = salon.withdraw(visit)
    keep.assert_called_once()
    assert_done_and_written_once(salon, visit, operation)


def test_figures_of_the_visit__are_written_when_the_result_is_committed(salon: Salon) -> None:
    """Whoever locks the visit, or ends the worker there, keeps no result from being written."""

    def end(*args: Any) -> None:
        assert not connection.in_atomic_block
        raise KeyboardInterrupt

    with mock.patch("altegio_loyalty.bills.keep_answer", end), pytest.raises(KeyboardInterrupt):
        salon.withdraw()
    row = LoyaltyOperation.objects.get()
    assert (row.status, row.attempts.count()) == (Status.SUCCEEDED, 2)


@pytest.mark.mariadb
@pytest.mark.parametrize("is_known", [False, True])
def test_transaction_of_a_host__keeps_nobody_waiting_for_what_is_best_effort(
    salon: Salon, is_known: bool
) -> None:
    """A row of it that points at location and visit locks them until it ends; whoever waits for that writes them."""
    visit, is_held, is_done = salon.visit(), threading.Event(), threading.Event()
    row = Visit.objects.create(id=visit.id, location=salon.location, record_id=visit.record_ids[0])
    if is_known:
        Visit.objects.filter(pk=row.pk).update(client_id=salon.client.id)
        read_for_screen(Visit.objects.select_related("location").get())
    Location.objects.update(credentials_worked_at=None)

    def hold() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            for model in (Location, Visit):
                cursor.execute(f"SELECT id FROM {model._meta.db_table} LOCK IN SHARE MODE")
            is_held.set()
            is_done.wait(60)
        connection.close()

    with connection.cursor() as cursor:
        cursor.execute("SET SESSION innodb_lock_wait_timeout = 100")
    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert is_held.wait(60)
        operation = salon.withdraw(visit)
    finally:
        is_done.set()
        thread.join()
    assert_done_and_written_once(salon, visit, operation)
    assert Location.objects.get().credentials_worked_at is None


@pytest.mark.sqlite
def test_sqlite_locked__result_is_written_when_it_is_free_again(salon: Salon) -> None:
    """Somebody else writes for longer than the timeout of a connection."""
    visit = salon.visit()
    name = connection.settings_dict["NAME"]
    other = sqlite3.connect(name, isolation_level=None, check_same_thread=False)

    def lock() -> None:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout = 0")
        other.execute("BEGIN IMMEDIATE")

    with (
        right_before_the_result(lock),
        mock.patch("altegio_loyalty.delivery.claims.time.sleep", side_effect=lambda seconds: other.close()),
    ):
        operation = salon.withdraw(visit)
    assert_done_and_written_once(salon, visit, operation)


@pytest.mark.parametrize("is_done", [False, True], ids=["rolled back", "done, and not confirmed"])
def test_commit_of_the_result_fails_once__it_is_written_once(salon: Salon, is_done: bool) -> None:
    """A serialization failure took everything back; a connection lost on the way back from the commit, nothing."""
    visit = salon.visit()
    commit: Any = connection._commit  # type: ignore[attr-defined]
    failures = [OperationalError("could not serialize access")]

    def fail() -> None:
        if failures and is_done:
            commit()
        if failures:
            raise failures.pop()
        commit()

    with right_before_the_result(lambda: patched.start()):
        patched = mock.patch.object(connection, "_commit", fail)
        try:
            operation = salon.withdraw(visit)
        finally:
            patched.stop()
    assert_done_and_written_once(salon, visit, operation)


@contextlib.contextmanager
def no_result_can_be_written() -> Iterator[None]:
    error = OperationalError("the database has gone away")
    patched = mock.patch("altegio_loyalty.database.change", side_effect=error)
    with contextlib.ExitStack() as stack, right_before_the_result(lambda: stack.enter_context(patched)):
        yield


def test_result_that_cannot_be_written__service_says_what_the_row_says(salon: Salon) -> None:
    """It does not raise: nobody would know that something may have been taken. After the lease it is looked up."""
    visit = salon.visit()
    with no_result_can_be_written():
        operation = salon.withdraw(visit)
    row = LoyaltyOperation.objects.get()
    assert row.status == operation.status == Status.SENDING
    salon.age(operation, 90)
    salon.run_to_the_end(operation)
    assert (operation.status, salon.posts(visit)) == (Status.SUCCEEDED, 1)


def test_result_that_cannot_be_written__is_not_tried_beyond_the_lease(
    salon: Salon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it is somebody else's to find out."""
    monkeypatch.setattr("altegio_loyalty.delivery.claims.PAUSES", (70.0,))
    with no_result_can_be_written(), mock.patch("altegio_loyalty.delivery.claims.time.sleep") as sleep:
        salon.withdraw()
    sleep.assert_not_called()


@contextlib.contextmanager
def old_charset(*tables: str) -> Iterator[None]:
    """Tables that were made when MySQL's UTF-8 had three bytes: copies, so that the others are as they were afterwards."""
    with contextlib.ExitStack() as undone:
        for name in (f"altegio_loyalty_{table}" for table in tables):
            execute(f"RENAME TABLE {name} TO {name}_kept")
            undone.callback(execute, f"RENAME TABLE {name}_kept TO {name}")
            execute(f"CREATE TABLE {name} LIKE {name}_kept")
            undone.callback(execute, f"DROP TABLE {name}")
            execute(f"ALTER TABLE {name} CONVERT TO CHARACTER SET utf8mb3")
            execute(f"INSERT INTO {name} SELECT * FROM {name}_kept")
        yield


def execute(statement: str) -> None:
    """With a cursor of its own, since the app closes a connection that it mistrusts."""
    with connection.cursor() as cursor:
        cursor.execute(statement)


def altegio_says(text: str) -> Any:
    """In the fault `success_false`."""
    said = vars(failure(200, text))
    return mock.patch.dict(FAULTS, {"success_false": replace(FAULTS["success_false"], instead=said)})


@pytest.mark.mariadb
@pytest.mark.parametrize("kind", ["apply_card_withdrawal", CANCEL])
def test_answer_with_an_emoji_in_old_tables__does_not_keep_the_result_from_being_written(
    salon: Salon, kind: str
) -> None:
    """Error 1366, about what is only kept for reading."""
    visit = salon.prepared(kind)
    salon.fail("success_false", path=kind)
    says = altegio_says("Карта не найдена \N{GRINNING FACE}")
    with old_charset("loyaltyoperation", "operationattempt"), says:
        operation = salon.ask(kind, visit)
        row = LoyaltyOperation.objects.get()
        assert row.status == operation.status == Status.REJECTED
        assert row.last_error == operation.last_error
        assert "Карта не найдена ?" in row.last_error
        assert "Карта не найдена ?" in row.attempts.get(purpose="send").error


@pytest.mark.mariadb
def test_emoji_in_a_title_or_a_reason_in_old_tables__stops_nobody(salon: Salon) -> None:
    visit, smile = salon.visit(), "\N{GRINNING FACE}"
    salon.card.title = f"Gold {smile}"
    salon.fail("cut_before", path="apply_card_withdrawal", times=1)
    with old_charset("loyaltyoperation", "operationattempt", "booksitem"):
        services.fetch_visit(salon.location, visit.id)
        read_for_screen(Visit.objects.get())
        operation = salon.withdraw(visit)
        assert operation.card_title.startswith("Gold ?")
        services.settle_operation(operation, happened=True, reason=f"Seen {smile}")
        assert operation.attempts.get(purpose="decision").error == "Seen ?"
        books = BooksOfDay.objects.create(location=salon.location, day=timezone.now().date())
        sides: dict[str, Any] = {
            "by_log": 1,
            "by_altegio": 2,
            "visit_id": visit.id,
            "card_id": 1,
            "program_id": 0,
        }
        item = BooksItem.objects.create(books=books, location=salon.location, read_at=timezone.now(), **sides)
        services.close_books_item(item, reason=smile)
        assert item.reason == "?"


def test_text_that_no_column_holds__is_written_in_ascii(salon: Salon) -> None:
    """The last resort, on any database: what is only for reading never stands against the result."""
    salon.fail("success_false", path="apply_card_withdrawal")
    change = database.change

    def in_ascii_only(operation: LoyaltyOperation, columns: Any, **options: Any) -> bool:
        texts = [*columns.values(), *(row.error for row in options.get("calls", ()))]
        if not all(text.isascii() for text in texts if isinstance(text, str)):
            raise DataError("character with byte sequence 0xd0 0x9a has no equivalent in encoding")
        return change(operation, columns, **options)

    says = altegio_says("Нет карты")
    with mock.patch.object(database, "change", in_ascii_only), says:
        operation = salon.withdraw()
    assert operation.status == Status.REJECTED
    assert "??? ?????" in operation.last_error
