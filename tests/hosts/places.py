"""A database for one host, as the lines of its settings; gone afterwards."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import environ

from project.demo import leash
from tests import reachable

_SQLITE = 'DATABASES["default"]["OPTIONS"] = {"transaction_mode": "IMMEDIATE", "timeout": 20}'


@contextlib.contextmanager
def database_of(kind: str) -> Iterator[str]:
    """`kind` is sqlite, postgres, postgres behind PgBouncer, mariadb, or mariadb and a charset."""
    engine, _, charset = kind.partition(" ")
    name = f"altegio_host_{uuid.uuid4().hex[:10]}"
    if engine == "sqlite":
        yield _SQLITE
    else:
        make = {"postgres": _behind_pgbouncer if charset else _postgres, "mariadb": _mariadb}[engine]
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
def _behind_pgbouncer(name: str, charset: str) -> Iterator[dict[str, Any]]:
    """Each transaction may get another connection, and nothing of a session outlives one."""
    with _postgres(name, charset) as at, tempfile.TemporaryDirectory() as folder:
        port, ini = reachable.free_port(), Path(folder) / "pgbouncer.ini"
        behind = f"host={at['HOST']} port={at['PORT'] or 5432} user={at['USER']}"
        ini.write_text(
            f"[databases]\n* = {behind}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
            f"auth_type = any\npool_mode = transaction\nunix_socket_dir =\n"
        )
        Path(folder).chmod(0o755)
        bouncer = leash.start(
            ["pgbouncer", "--quiet", *(["--user", "postgres"] if os.geteuid() == 0 else []), str(ini)]
        )
        try:
            _wait_for(port)
            yield at | {"HOST": "127.0.0.1", "PORT": port, "DISABLE_SERVER_SIDE_CURSORS": True}
        finally:
            leash.send(bouncer, signal.SIGKILL)
            bouncer.wait()


def _wait_for(port: int) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
        else:
            return


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
