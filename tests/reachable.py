"""The servers and programs that some tests need: where they are expected, and whether they are there."""

from __future__ import annotations

import importlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

POSTGRES_URL = os.environ.get("POSTGRES_URL", "postgres://postgres@127.0.0.1:5432/postgres")
MARIADB_URL = os.environ.get("MARIADB_URL", "mysql://root@127.0.0.1:3306/test")
REDIS_URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/15")
RABBITMQ_URL = os.environ.get("RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672//")

REPOSITORY = Path(__file__).resolve().parent.parent
#: With it nothing may be left out.
REQUIRES_ALL = os.environ.get("REQUIRE_ALL", "") not in ("", "0")


#: Stands before a command that needs root's rights over networks of its own: many systems give them to everybody.
AS_ROOT = [] if os.name != "posix" or os.geteuid() == 0 else ["unshare", "--user", "--map-root-user"]

_held: list[socket.socket] = []


def free_port() -> int:
    """A port that nobody listens on, and that is given to nobody else as long as this process lives.

    For a server that reuses addresses. Where the system takes that to mean less than Linux does, the port is only free.
    """
    holder = socket.socket()
    holder.bind(("127.0.0.1", 0))
    # Only now: before, it could be given a port that somebody else holds in the same way.
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    port = int(holder.getsockname()[1])
    if sys.platform == "linux":
        _held.append(holder)
    else:
        holder.close()
    return port


def chromium() -> str | None:
    """The path of a Chromium or Chrome."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


def prism() -> str | None:
    """The path of Stoplight's OpenAPI mock server."""
    local = REPOSITORY / ".ci" / "node_modules" / ".bin" / "prism"
    return os.environ.get("PRISM") or (str(local) if local.exists() else shutil.which("prism"))


def axe() -> str | None:
    """The path of axe-core's one file."""
    local = REPOSITORY / ".ci" / "node_modules" / "axe-core" / "axe.min.js"
    return os.environ.get("AXE") or (str(local) if local.exists() else None)


def _connect_postgres() -> None:
    import psycopg

    psycopg.connect(POSTGRES_URL, connect_timeout=3).close()


def _connect_mariadb() -> None:
    import environ
    import MySQLdb

    at = environ.Env.db_url_config(MARIADB_URL)
    MySQLdb.connect(
        host=at["HOST"], port=at["PORT"] or 3306, user=at["USER"], password=at["PASSWORD"], connect_timeout=3
    ).close()


def _connect_redis() -> None:
    import redis

    redis.Redis.from_url(REDIS_URL, socket_connect_timeout=3, socket_timeout=3).ping()


def _connect_rabbitmq() -> None:
    import kombu

    kombu.Connection(RABBITMQ_URL, connect_timeout=3).connect().close()


def _find(what: Callable[[], str | None]) -> Callable[[], None]:
    def look() -> None:
        if what() is None:
            raise FileNotFoundError("not found")

    return look


def _make_network() -> None:
    for program in ("ip", "nsenter", "gcc"):
        if shutil.which(program) is None:
            raise FileNotFoundError(f"no {program}")
    subprocess.run([*AS_ROOT, "unshare", "--net", "true"], check=True, capture_output=True)


@dataclass(frozen=True)
class Needed:
    """Something that tests marked with `marker` need."""

    marker: str
    title: str
    way_to_enable: str
    look: Callable[[], object]

    def why_not(self) -> str:
        """Empty where it is there; otherwise what is wrong, in one line."""
        return _why_not(self)

    def refusal(self) -> str:
        """What is said of a test or a run that is left out."""
        return f"{self.title} is not there ({self.why_not()}). To enable: {self.way_to_enable}"


@cache
def _why_not(needed: Needed) -> str:
    try:
        needed.look()
    except Exception as error:  # noqa: BLE001 - whatever a driver raises, the thing cannot be used
        return " ".join(f"{type(error).__name__}: {error}".split())[:120]
    return ""


POSTGRES = Needed(
    "postgres",
    "PostgreSQL",
    "start it, or set POSTGRES_URL=postgres://user:password@host/name",
    _connect_postgres,
)
MARIADB = Needed(
    "mariadb",
    "MariaDB",
    "start it, or set MARIADB_URL=mysql://user:password@host/name; "
    "its driver needs headers: apt-get install default-libmysqlclient-dev pkg-config",
    _connect_mariadb,
)
REDIS = Needed("redis", "Redis", "start it, or set REDIS_URL=redis://host:port/number", _connect_redis)
RABBITMQ = Needed(
    "rabbitmq",
    "RabbitMQ",
    "start it, or set RABBITMQ_URL=amqp://user:password@host:port//",
    _connect_rabbitmq,
)
BROWSER = Needed(
    "browser", "the browser tests", "install Chromium, or set CHROMIUM=/path/to/it", _find(chromium)
)
CONTRACT = Needed(
    "contract",
    "the check of our requests by an OpenAPI server",
    "npm install --prefix .ci @stoplight/prism-cli, or set PRISM=/path/to/prism",
    _find(prism),
)
AXE = Needed(
    "axe",
    "the check of accessibility",
    "npm install --prefix .ci axe-core, or set AXE=/path/to/axe.min.js",
    _find(axe),
)
SPIN = Needed(
    "spin",
    "the exhaustive check of the protocol",
    "apt-get install spin gcc",
    _find(lambda: shutil.which("spin") and shutil.which("gcc")),
)
SCHEMATHESIS = Needed(
    "schemathesis",
    "the fuzz of the sandbox by its contract",
    "pip install -r requirements-dev.txt",
    lambda: importlib.import_module("schemathesis"),
)

NAMESPACES = Needed(
    "namespaces",
    "the right to make networks",
    "on Linux, as root: apt-get install iproute2 util-linux gcc",
    _make_network,
)

#: Each is a run of its own of all the tests that touch the database.
DATABASES = ((POSTGRES, POSTGRES_URL), (MARIADB, MARIADB_URL))
ALL = (POSTGRES, MARIADB, REDIS, RABBITMQ, BROWSER, CONTRACT, AXE, SPIN, SCHEMATHESIS, NAMESPACES)
