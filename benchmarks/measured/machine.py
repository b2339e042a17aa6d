"""On what it was measured: the machine, the versions, the database."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

PACKAGES = (
    "Django", "psycopg", "mysqlclient", "requests", "urllib3", "celery", "procrastinate", "django-q2", "django-post-office",
    "django-tasks-db",
)  # fmt: skip


def is_postgresql() -> bool:
    return os.environ.get("DATABASE_URL", "").startswith("postgres")


def beside(name: str) -> str:
    """The address of another database of the same PostgreSQL, made where it is missing."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
        if cursor.fetchone() is None:
            cursor.execute(f'CREATE DATABASE "{name}"')
    return f"{os.environ['DATABASE_URL'].rpartition('/')[0]}/{name}"


def database() -> str:
    """Its name and version, and whether a commit waits for the disk."""
    from django.db import connection

    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT current_setting('server_version'), current_setting('synchronous_commit')")
            version, waits = cursor.fetchone()
            return f"PostgreSQL {version} (synchronous_commit {waits})"
        cursor.execute("SELECT sqlite_version()" if connection.vendor == "sqlite" else "SELECT VERSION()")
        version = cursor.fetchone()[0]
    return f"{'SQLite' if connection.vendor == 'sqlite' else 'MariaDB'} {version}"


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return None


def description() -> str:
    """One paragraph."""
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    versions = ", ".join(filter(None, map(_version, PACKAGES)))
    return (
        f"{os.cpu_count()} cores of {_processor()}, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, {database()}; {versions}. "
        f"Load of the machine at the end, over 1, 5 and 15 minutes: {load}."
    )
