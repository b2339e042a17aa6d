"""The demo's settings, each time in a fresh process and a folder of its own."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from project.settings import database_from
from tests.project.conftest import OURS, run
from tests.reachable import REPOSITORY

PRODUCTION = {
    "DEBUG": "false",
    "SECRET_KEY": "a-long-random-text-of-the-kind-that-nobody-guesses-0123456789",
    "ALLOWED_HOSTS": "loyalty.example.com",
    "ALTEGIO_ENCRYPTION_KEYS": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
}


def value_of(site: Path, expression: str, **environment: str) -> str:
    code = f"from django.conf import settings; print({expression})"
    ran = run(site, "shell", "--no-imports", "-c", code, **environment)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_the_site_starts__with_nothing_set(site: Path) -> None:
    """It needs nothing from the environment, keeps its key to itself, and has the same key next time."""
    ran = run(site, "check")
    assert ran.returncode == 0, ran.stderr

    key_file = site / "var" / "secret_key"
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert value_of(site, "settings.SECRET_KEY") == key_file.read_text()
    assert value_of(site, "settings.ALTEGIO_LOYALTY['API_URL']") == "http://127.0.0.1:8100/api/v1"


def test_the_secret_key__is_one_for_processes_that_start_together(site: Path) -> None:
    """Whoever makes the key first, all have it."""
    with ThreadPoolExecutor(4) as starts:
        keys = set(starts.map(lambda _: value_of(site, "settings.SECRET_KEY"), range(4)))
    assert len(keys) == 1
    assert list((site / "var").glob("tmp*")) == []


def test_the_database__is_for_its_owner_alone(site: Path) -> None:
    """So are its journals, and one that an earlier release left open."""
    (site / "var").mkdir(exist_ok=True)
    (site / "var" / "db.sqlite3").touch(mode=0o644)
    code = "import os; from django.db import connection as c; c.cursor().execute('CREATE TABLE x (y)'); "
    code += "print([oct(os.stat(f'var/{name}').st_mode & 0o777) for name in os.listdir('var') if 'sqlite' in name])"
    ran = run(site, "shell", "--no-imports", "-c", code)
    assert ran.stdout.strip() == str(["0o600"] * 3), ran.stderr


def test_the_page_of_an_error__shows_no_password_of_an_address(site: Path) -> None:
    """Whatever server it is of."""
    code = """
import sys
from django.views.debug import ExceptionReporter
try:
    1 / 0
except ZeroDivisionError:
    print(ExceptionReporter(None, *sys.exc_info()).get_traceback_html())
"""
    secret = {
        "DATABASE_URL": "postgres://joe:pa55-one@127.0.0.1:9/x",
        "CELERY_BROKER_URL": "amqp://joe:pa55-two@127.0.0.1:9/",
        "ALTEGIO_ENCRYPTION_KEYS": PRODUCTION["ALTEGIO_ENCRYPTION_KEYS"],
        "SECRET_KEY": "pa55-three",
    }
    ran = run(site, "shell", "--no-imports", "-c", code, **secret)
    assert "CELERY_TASK_PUBLISH_RETRY" in ran.stdout, ran.stderr
    assert [each for each in ("pa55", secret["ALTEGIO_ENCRYPTION_KEYS"]) if each in ran.stdout] == []


def test_production__refuses_to_start_without_a_secret_key(site: Path) -> None:
    """A key that nobody chose must not sign the sessions of a real site."""
    ran = run(site, "check", **{**PRODUCTION, "SECRET_KEY": ""})
    assert ran.returncode != 0
    assert "ImproperlyConfigured: SECRET_KEY is not set" in ran.stderr
    assert not (site / "var" / "secret_key").exists()


def test_production__passes_the_deployment_checks(site: Path) -> None:
    """`check --deploy` has nothing to say, and the API is the real one."""
    ran = run(site, "check", "--deploy", "--fail-level", "WARNING", **PRODUCTION)
    assert ran.returncode == 0, ran.stderr
    assert (
        value_of(site, "settings.ALTEGIO_LOYALTY['API_URL']", **PRODUCTION) == "https://api.alteg.io/api/v1"
    )


def test_the_env_file__is_read_and_the_environment_wins(site: Path) -> None:
    """`.env` changes what the environment does not say."""
    (site / ".env").write_text("ALLOWED_HOSTS=from.file\nALTEGIO_API_URL=https://from.file/api/v1\n")
    values = value_of(
        site,
        "settings.ALLOWED_HOSTS, settings.ALTEGIO_API_URL",
        ALTEGIO_API_URL="https://from.environment/api/v1",
    )
    assert values == "['from.file'] https://from.environment/api/v1"


def test_the_example_env_file__names_everything_the_settings_read() -> None:
    """Somebody who looks for a switch finds it there."""
    example = (REPOSITORY / ".env.example").read_text()
    missing = [name for name in OURS if name != "ENV_FILE" and f"#{name}=" not in example]
    assert missing == []


def test_the_default_database__lets_readers_and_a_writer_work_together(site: Path) -> None:
    """SQLite in WAL mode, with transactions that wait for their turn at the start."""
    code = "from django.db import connection as c; u = c.cursor(); u.execute('PRAGMA journal_mode'); print(u.fetchone())"
    ran = run(site, "shell", "--no-imports", "-c", code)
    assert ran.stdout.strip() == "('wal',)", ran.stderr
    assert value_of(site, "settings.DATABASES['default']['OPTIONS']['transaction_mode']") == "IMMEDIATE"


@pytest.mark.parametrize(
    ("url", "engine", "charset"),
    [
        ("postgres://user:pass@host/name", "django.db.backends.postgresql", None),
        ("mysql://user:pass@host/name", "django.db.backends.mysql", "utf8mb4"),
    ],
)
def test_database_from__chooses_the_engine(url: str, engine: str, charset: str | None) -> None:
    """A server's database takes every letter."""
    database = database_from(url)
    assert database["ENGINE"] == engine
    assert database["OPTIONS"].get("charset") == charset
