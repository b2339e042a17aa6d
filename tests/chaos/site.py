"""The servers under attack: a database of its own, a queue of its own, and nothing left behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from tests import reachable

DATABASES = ("sqlite", "postgres", "mariadb")
BROKERS = ("folder", "redis", "rabbitmq")


class Site:
    """What the processes find in their environment; a context manager that makes and removes it."""

    def __init__(self, database: str, broker: str) -> None:
        self.database, self.broker = database, broker
        self.name = f"altegio_chaos_{uuid.uuid4().hex[:10]}"
        self.folder = Path(tempfile.mkdtemp(prefix="altegio_chaos_"))

    def __enter__(self) -> Site:
        {"postgres": self._make_postgres, "mariadb": self._make_mariadb}.get(self.database, lambda: None)()
        return self

    def __exit__(self, *error: object) -> None:
        from django.db import connections

        connections.close_all()
        with contextlib.suppress(Exception):
            self.forget_messages(for_good=True)
        {"postgres": self._drop_postgres, "mariadb": self._drop_mariadb}.get(self.database, lambda: None)()
        shutil.rmtree(self.folder, ignore_errors=True)

    def environment(self, api_url: str) -> dict[str, str]:
        brokers = {"folder": "", "redis": reachable.REDIS_URL, "rabbitmq": reachable.RABBITMQ_URL}
        return {
            "DJANGO_SETTINGS_MODULE": "tests.chaos.settings",
            "CHAOS_FOLDER": str(self.folder),
            "CHAOS_API_URL": api_url,
            "DATABASE_URL": self._database_url(),
            "CELERY_BROKER_URL": brokers[self.broker],
            "CELERY_QUEUE": self.name,
            "PYTHONPATH": os.pathsep.join(
                filter(None, [str(reachable.REPOSITORY), os.environ.get("PYTHONPATH")])
            ),
        }

    def _database_url(self) -> str:
        if self.database == "sqlite":
            return f"sqlite:///{self.folder / 'db.sqlite3'}"
        given = reachable.POSTGRES_URL if self.database == "postgres" else reachable.MARIADB_URL
        return urlunsplit(urlsplit(given)._replace(path=f"/{self.name}"))

    # The servers

    def _postgres(self, statement: str) -> None:
        import psycopg

        with psycopg.connect(reachable.POSTGRES_URL, autocommit=True) as connection:
            connection.execute(statement)

    def _make_postgres(self) -> None:
        self._postgres(f"CREATE DATABASE {self.name}")

    def _drop_postgres(self) -> None:
        self._postgres(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")

    def _mariadb(self, statement: str) -> None:
        import environ
        import MySQLdb

        at = environ.Env.db_url_config(reachable.MARIADB_URL)
        connection = MySQLdb.connect(
            host=at["HOST"], port=at["PORT"] or 3306, user=at["USER"], password=at["PASSWORD"]
        )
        with contextlib.closing(connection):
            connection.cursor().execute(statement)

    def _make_mariadb(self) -> None:
        self._mariadb(f"CREATE DATABASE {self.name} CHARACTER SET utf8mb4")

    def _drop_mariadb(self) -> None:
        self._mariadb(f"DROP DATABASE IF EXISTS {self.name}")

    def forget_messages(self, *, for_good: bool = False) -> None:
        """Flush the broker: every message that nobody has taken yet is gone."""
        if self.broker == "folder":
            for path in (self.folder / "broker").glob("*.message"):
                path.unlink(missing_ok=True)
        elif self.broker == "redis":
            import redis

            with redis.Redis.from_url(reachable.REDIS_URL) as server:
                pattern = f"{self.name}:*" if for_good else f"{self.name}:{self.name}"
                if names := list(server.scan_iter(pattern)):
                    server.delete(*names)
        else:
            self._purge_rabbitmq(for_good=for_good)

    def _purge_rabbitmq(self, *, for_good: bool) -> None:
        import kombu

        with kombu.Connection(reachable.RABBITMQ_URL, connect_timeout=3) as connection:
            channel: Any = connection.channel()
            if for_good:
                channel.queue_delete(self.name)
                channel.exchange_delete(self.name)
            else:
                channel.queue_purge(self.name)
