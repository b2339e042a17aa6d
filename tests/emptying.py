"""A pytest plugin that empties the tables after a test that commits, and leaves what migrations put there.

Django's own flush takes content types and permissions along, and makes them anew after each test; on PostgreSQL it truncates
each table, which waits for the disk. Where a test changed one of those, Django's is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connections, transaction
from django.test import TransactionTestCase

#: What migrations make for the models.
STAYS = (ContentType, Permission)


def _what_stays(alias: str) -> list[Any]:
    return [list(model._base_manager.using(alias).order_by("pk").values_list()) for model in STAYS]


def _empty(alias: str) -> None:
    connection = connections[alias]
    tables = set(connection.introspection.django_table_names(only_existing=True, include_views=False))
    emptied = sorted(tables - {model._meta.db_table for model in STAYS})
    with (
        connection.constraint_checks_disabled(),
        transaction.atomic(using=alias),
        connection.cursor() as cursor,
    ):
        for table in emptied:
            cursor.execute(f"DELETE FROM {connection.ops.quote_name(table)}")


@pytest.fixture(scope="session", autouse=True)
def _tables_are_emptied() -> Iterator[None]:
    cases: Any = TransactionTestCase  # of what is private there no type is known
    flush = cases._fixture_teardown
    as_made: dict[str, list[Any]] = {}

    def tear_down(case: Any) -> None:
        aliases = case._databases_names(include_mirrors=False)
        if all(_what_stays(alias) == as_made.get(alias) for alias in aliases):
            for alias in aliases:
                _empty(alias)
        else:
            flush(case)
            as_made.update((alias, _what_stays(alias)) for alias in aliases)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", tear_down)
        yield
