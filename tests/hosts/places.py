"""A database for one host, as the lines of its settings; gone afterwards."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from typing import Any

import environ

from tests import reachable

_SQLITE = 'DATABASES["default"]["OPTIONS"] = {"transaction_mode": "IMMEDIATE", "timeout": 20}'


@contextlib.contextmanager
def database_of(kind: str) -> Iterator[str]:
    """`kind` is sqlite, postgres, mariadb, or mariadb and a charset."""
    engine, _, charset = kind.partition(" ")
    name = f"altegio_host_{uuid.uuid4().hex[:10]}"
    if engine == "sqlite":
        yield _SQLITE
    else:
        make = _postgres if engine == "postgres" else _mariadb
        with make(name, charset or "utf8mb4") as at:
            yield f'DATABASES = {{"default": {at!r}}}'


def _at(url: str, name: str) -> dict[str, Any]:
    found = environ.Env.db_url_config(url)
    return {key: found[key] for key in ("ENGINE", "USER", "PASSWORD", "HOST", "PORT")} | {"NAME": name}


@contextlib.contextmanager
def _postgres(name: str, charset: str) -> Iterator[dict[str, Any]]:
    import psycopg

    with psycopg.connect(reachable.POSTGRES_URL, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            yield _at(reachable.POSTGRES_URL, name)
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextlib.contextmanager
def _mariadb(name: str, charset: str) -> Iterator[dict[str, Any]]:
    import MySQLdb

    at = environ.Env.db_url_config(reachable.MARIADB_URL)
    connection = MySQLdb.connect(
        host=at["HOST"], port=at["PORT"] or 3306, user=at["USER"], password=at["PASSWORD"], autocommit=True
    )
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name} CHARACTER SET {charset}")
        try:
            yield _at(reachable.MARIADB_URL, name) | {"OPTIONS": {"charset": charset}}
        finally:
            cursor.execute(f"DROP DATABASE {name}")
