"""Where the log lives, and the one door for writing what becomes of an operation."""

import contextlib
import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from django.db import DatabaseError, DataError, IntegrityError, router, transaction
from django.db.models import Q

from altegio_loyalty import exceptions
from altegio_loyalty.models import LoyaltyOperation, OperationAttempt
from altegio_loyalty.querysets import OperationQuerySet
from altegio_loyalty.redaction import within
from altegio_loyalty.states import Status

Result = TypeVar("Result")
#: The last character of each: UTF-8 in three bytes, as old tables of MySQL have it, and ASCII.
OLD_CHARSETS = ("\uffff", "\x7f")


def alias() -> str:
    """The name of the database that the log is written to."""
    return router.db_for_write(LoyaltyOperation)


def operations() -> OperationQuerySet:
    """The rows of the log where they are written: never a replica that may lag."""
    return LoyaltyOperation.objects.using(alias())


@contextlib.contextmanager
def committed(*, is_one_statement: bool = False) -> Iterator[None]:
    """A transaction that is committed at the end of the block, for certain; one statement is a transaction by itself.

    Raises `exceptions.TransactionOpen` inside another one, or with autocommit off, where the end of the block commits
    nothing.
    """
    refuse_transaction(alias())
    # In a TestCase's transaction a statement that fails must not end it.
    is_alone = is_one_statement and not transaction.get_connection(alias()).in_atomic_block
    with contextlib.nullcontext() if is_alone else transaction.atomic(using=alias(), durable=True):
        yield


def refuse_transaction(using: str) -> None:
    """Raises `exceptions.TransactionOpen` inside a transaction, or with autocommit off; the one of a TestCase is none."""
    connection = transaction.get_connection(using)
    blocks = connection.atomic_blocks
    if not blocks[-1]._from_testcase if blocks else not connection.get_autocommit():
        raise exceptions.TransactionOpen


def reconnect() -> None:
    """After an error: the next query opens a new connection. One in a transaction, such as a TestCase's, is left alone."""
    connection = transaction.get_connection(alias())
    if not connection.in_atomic_block:
        connection.close()


def drop_old_connection() -> None:
    """Where a connection is kept from task to task, one that broke would end all of them. Nothing in a transaction."""
    connection = transaction.get_connection(alias())
    if connection.autocommit:
        connection.close_if_unusable_or_obsolete()


def is_about_text(error: Exception) -> bool:
    """Whether a column cannot hold what was written, as one of an old charset cannot hold an emoji."""
    return isinstance(error, (DataError, UnicodeError)) or error.args[:1] in ((1366,), (3988,))


def in_old_tables(write: Callable[[Callable[[str], str]], Result]) -> Result:
    """What `write` returns. It is given what makes a text fit its column: question marks, where its charset is old."""
    try:
        return write(str)
    except (DatabaseError, UnicodeError) as error:
        if not is_about_text(error):
            raise
    return write(lambda text: within(text, OLD_CHARSETS[0]))


def once_free(open_key: str, write: Callable[[], Result]) -> Result:
    """What `write` returns; once more where only an early verdict still held visit and card, and nothing can arrive now.

    Raises `IntegrityError` where something else holds them.
    """
    try:
        return write()
    except IntegrityError:
        holder = operations().filter(open_key=open_key).first()
        if holder is None or holder.status != Status.FAILED or holder.holds_card_until:
            raise
        if not operations().held_by(holder).update(open_key=None):
            raise
    return write()


def change(
    operation: LoyaltyOperation,
    columns: Mapping[str, Any],
    *,
    only_if: Q = Q(),  # noqa: B008 - nobody changes it
    attempts: Sequence[OperationAttempt] = (),
    calls: Sequence[OperationAttempt] = (),
) -> bool:
    """Commit the columns, unless somebody claimed or changed the row since `operation` was read; returns whether it did.

    `attempts` are written with the columns or not at all, `calls` in any case: they were made. The object bears the new
    values only once they are committed: where the commit fails, it still says what the row says.
    """
    with committed(is_one_statement=not (calls or attempts)):
        row = operations().held_by(operation).filter(only_if)
        is_changed = bool(row.update(**columns))
        for call in calls:
            call.is_late = not is_changed
        if rows := [*calls, *(attempts if is_changed else ())]:
            OperationAttempt.objects.using(alias()).bulk_create(rows)
    if is_changed:
        _bear(operation, columns)
    return is_changed


def was_committed(operation: LoyaltyOperation, columns: Mapping[str, Any]) -> bool:
    """Whether a `change` that failed was committed all the same: the database just could not say so any more."""
    moments = {name: value for name, value in columns.items() if isinstance(value, datetime.datetime)}
    found = operations().filter(pk=operation.pk, fence=operation.fence, **moments).exists()
    if found:
        _bear(operation, columns)
    return found


def _bear(operation: LoyaltyOperation, columns: Mapping[str, Any]) -> None:
    for name, value in columns.items():
        setattr(operation, name, value)
