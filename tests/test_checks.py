"""The system checks: each fires where it should, says what to do, and is silent otherwise. No query, no network."""

from __future__ import annotations

import base64
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from celery import Celery, current_app
from celery.app import app_or_default
from django.core import checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import OperationalError, connection

from altegio_loyalty.checks import check_database, check_deployment, check_settings
from tests.delivery.conftest import salon
from tests.delivery.salon import Salon
from tests.delivery.test_recording import old_charset

__all__ = ["salon"]

KEY = base64.urlsafe_b64encode(b"0123456789abcdef" * 2).decode()
SOUND = {"API_URL": "https://api.alteg.io/api/v1", "ENCRYPTION_KEYS": [KEY]}


def ids(settings: Any, **values: Any) -> list[str]:
    """The ids of all the messages, those of a deployment included."""
    settings.ALTEGIO_LOYALTY = {**SOUND, **values}
    messages = [*check_settings(), *check_deployment()]
    for message in messages:
        assert message.msg
        assert KEY not in f"{message.msg}{message.hint}"
    return [str(message.id).removeprefix("altegio_loyalty.") for message in messages]


def test_sound_settings_are_silent(settings: Any) -> None:
    assert ids(settings) == []


@pytest.mark.parametrize(
    "values", [{"API_ULR": "x"}, {"API_URL": "nonsense"}, {"READ_TIMEOUT": -1}, {"LEASE_SECONDS": float("nan")},
               {"CA_BUNDLE": "/no/such/file"}, {"CA_BUNDLE": __file__}, {"CA_BUNDLE": "/"},
               {"ENCRYPTION_KEYS": KEY}, {"PROXY_URL": "http://[::1"}]
)  # fmt: skip
def test_e001_an_unknown_or_bad_key(settings: Any, values: dict[str, Any]) -> None:
    assert ids(settings, **values) == ["E001"]
    assert next(iter(values)) in check_settings()[0].msg
    assert check_settings()[0].hint


def test_e001_a_setting_that_is_no_dict(settings: Any) -> None:
    settings.ALTEGIO_LOYALTY = ["API_URL"]
    assert [message.id for message in [*check_settings(), *check_deployment()]] == ["altegio_loyalty.E001"]


@pytest.mark.parametrize("keys", [["short"], [KEY, "x"], ["ключ"], [""]])
def test_e002_a_key_that_is_no_fernet_key(settings: Any, keys: list[str]) -> None:
    assert ids(settings, ENCRYPTION_KEYS=keys) == ["E002"]
    assert "generate_key" in check_settings()[0].msg


class Apart:
    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return "loyalty" if model._meta.app_label == "altegio_loyalty" else None


def test_e004_a_log_in_another_database_than_the_people(settings: Any) -> None:
    """Before the first withdrawal fails for it."""
    settings.DATABASE_ROUTERS = [Apart()]
    assert ids(settings) == ["E004"]
    assert "'loyalty'" in check_settings()[0].msg
    assert "router" in (check_settings()[0].hint or "")


@pytest.mark.parametrize("version", ["v3", "v01", "V1", ""])
def test_e003_a_version_of_the_api_that_is_not_known(settings: Any, version: str) -> None:
    assert ids(settings, API_URL=f"https://api.alteg.io/api/{version}") == ["E003"]
    assert "v1" in (check_settings()[0].hint or "")


def test_e001_the_look_cannot_be_switched_off_any_more(settings: Any) -> None:
    assert ids(settings, LOOK_BEFORE_SEND=False) == ["E001"]
    assert "points were taken twice" in check_settings()[0].msg


@pytest.mark.parametrize(
    ("lease", "total", "threads", "found"),
    [
        (66, 30, 1, []),
        (65, 30, 1, ["W001"]),
        (61, 30, 1, ["W001"]),
        (60, 30, 1, ["E005"]),
        (300, 200, 1, ["E005"]),
        (120, 30, 8, []),
        (101, 30, 8, []),
        (100, 30, 8, ["W001"]),
    ],
)
def test_e005_w001_a_lease_that_ends_before_the_calls_can(
    settings: Any, lease: float, total: float, threads: int, found: list[str]
) -> None:
    """The last of a sweep's threads waits for its turn behind all others, each as long as its patience allows."""
    assert ids(settings, LEASE_SECONDS=lease, TOTAL_TIMEOUT=total, SWEEP_THREADS=threads) == found


@pytest.mark.parametrize(("limit", "fires"), [(None, False), (100, False), (99, True), (30, True)])
def test_w004_a_time_limit_of_celery_under_that_of_a_sweep(
    settings: Any, monkeypatch: pytest.MonkeyPatch, limit: int | None, fires: bool
) -> None:
    monkeypatch.setitem(current_app.conf, "task_soft_time_limit", limit)
    assert ids(settings, SWEEP_SECONDS=50) == (["W004"] if fires else [])


def test_w005_a_middleware_that_keeps_a_transaction_open(settings: Any) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "reversion.middleware.RevisionMiddleware"]
    assert ids(settings) == ["W005"]


def test_w002_keys_that_come_from_the_secret_key(settings: Any) -> None:
    assert ids(settings, ENCRYPTION_KEYS=[]) == ["W002"]
    assert ids(settings, ENCRYPTION_KEYS=()) == ["W002"]


@pytest.mark.parametrize(
    "url",
    [
        "http://api.alteg.io/api/v1",
        "HTTP://api.alteg.io/api/v1",
        "http://10.0.0.1/api/v1",
        "http://127.0.0.1.example.com/api/v1",
        "http://localhost.example.com/api/v1",
        "http://localhostess/api/v1",
    ],
)
def test_w003_an_api_without_tls(settings: Any, url: str) -> None:
    assert ids(settings, API_URL=url) == ["W003"]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000/api/v1",
        "http://127.0.0.1/api/v1",
        "http://localhost:1/api/v1",
        "http://localhost/v1",
        "http://[::1]:1/x/v1",
    ],
)
def test_w003_is_silent_for_this_machine(settings: Any, url: str) -> None:
    assert ids(settings, API_URL=url) == []


def test_e001_a_password_in_the_address_of_the_proxy(settings: Any) -> None:
    """Django's page of an error would show it."""
    assert ids(settings, PROXY_URL="http://joe:secret@proxy:3128") == ["E001"]
    assert "secret" not in check_settings()[0].msg
    assert "PROXY_PASSWORD" in check_settings()[0].msg


TASK = "altegio_loyalty.tasks.retry_due_operations"


@pytest.mark.parametrize(
    ("schedule", "found"),
    [
        ({}, ["W006"]),
        ({"other": {"task": "other"}}, ["W006"]),
        ({"sweep": {"task": TASK}}, ["W007"]),
        ({"sweep": {"task": TASK, "options": {"queue": "slow"}}}, ["W007"]),
        ({"sweep": {"task": TASK, "options": {"expires": 10}}}, []),
    ],
)
def test_w006_w007_beat_runs_the_sweep_and_its_messages_expire(
    settings: Any, monkeypatch: pytest.MonkeyPatch, schedule: dict[str, Any], found: list[str]
) -> None:
    monkeypatch.setitem(current_app.conf, "broker_url", "redis://127.0.0.1:1")
    # By the project's own name for it, which in older Celerys goes before what is set without the prefix.
    monkeypatch.setitem(current_app.conf, "CELERY_BEAT_SCHEDULE", schedule)
    assert ids(settings) == found


@pytest.mark.parametrize(("name", "found"), [("expires", ["W007"]), ("expire_seconds", [])])
def test_w007_an_expiry_that_the_database_scheduler_drops(
    settings: Any, monkeypatch: pytest.MonkeyPatch, name: str, found: list[str]
) -> None:
    installed = SimpleNamespace(INSTALLED_APPS=["django_celery_beat"], MIDDLEWARE=[], USE_TZ=True)
    for module in ("checks", "tasks"):
        monkeypatch.setattr(f"altegio_loyalty.{module}.django_settings", installed)
    monkeypatch.setitem(current_app.conf, "broker_url", "redis://127.0.0.1:1")
    schedule = {"sweep": {"task": TASK, "options": {name: 10}}}
    monkeypatch.setitem(current_app.conf, "CELERY_BEAT_SCHEDULE", schedule)
    assert ids(settings) == found
    assert all(f'"{name}"' not in str(each.hint) for each in check_deployment())


@pytest.mark.parametrize(("wanted", "task", "found"), [
    ({"REPORT_EMAILS": ["boss@example.com"]}, "other", ["W013"]),
    ({"REPORT_EMAILS": ["boss@example.com"]}, "altegio_loyalty.tasks.send_monthly_report", []),
    ({"KEEP_LOG_DAYS": 365}, "other", ["W013"]),
    ({"KEEP_LOG_DAYS": 365}, "altegio_loyalty.tasks.prune_log", []),
    ({}, "other", []),
])  # fmt: skip
def test_w013_what_is_wanted_each_day_and_beat_does_not_run(
    settings: Any, monkeypatch: pytest.MonkeyPatch, wanted: dict[str, Any], task: str, found: list[str]
) -> None:
    monkeypatch.setitem(current_app.conf, "broker_url", "redis://127.0.0.1:1")
    schedule = {"sweep": {"task": TASK, "options": {"expires": 10}}, "more": {"task": task}}
    monkeypatch.setitem(current_app.conf, "CELERY_BEAT_SCHEDULE", schedule)
    assert ids(settings, **wanted) == found


def test_w006_is_silent_where_another_scheduler_or_no_broker_is(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)
    before, app = app_or_default(), Celery("elsewhere")
    app.set_current()
    try:
        assert ids(settings) == []
        app.conf["broker_url"] = "redis://127.0.0.1:1"
        assert ids(settings) == ["W006"]
        installed = SimpleNamespace(INSTALLED_APPS=["django_celery_beat"])
        monkeypatch.setattr("altegio_loyalty.tasks.django_settings", installed)
        assert ids(settings) == []
    finally:
        before.set_current()
        app.close()


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("options", "found"),
    [({"transaction_mode": "immediate"}, []), ({"transaction_mode": None}, ["W008"]), ({}, ["W008"])],
)
def test_w008_a_sqlite_whose_transactions_are_not_immediate(
    settings: Any, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], found: list[str]
) -> None:
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)
    assert ids(settings) == found


def test_w009_times_without_a_zone(settings: Any) -> None:
    settings.USE_TZ = False
    assert ids(settings) == ["W009"]


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://api.alteg.io/api/v1", []),
        ("https://api.yclients.com/api/v1", []),
        ("https://api.altegio.example/api/v1", ["W011"]),
        ("https://notalteg.io/api/v1", ["W011"]),
        ("https://127.0.0.1:1/v1", []),
    ],
)
def test_w011_tokens_that_go_to_somebody_else(settings: Any, url: str, found: list[str]) -> None:
    assert ids(settings, API_URL=url) == found


def of_the_database() -> list[str]:
    return [str(message.id) for message in checks.run_checks(tags=["database"], databases=["default"])]


@pytest.mark.mariadb
@pytest.mark.django_db(transaction=True)
def test_w010_a_table_that_holds_no_emoji() -> None:
    assert of_the_database() == []
    with old_charset("loyaltyoperation"):
        assert of_the_database() == ["altegio_loyalty.W010"]


def test_w012_nobody_runs_the_sweep(salon: Salon) -> None:
    """Only where the database is asked at all, as `migrate` and `check --database` do."""
    assert of_the_database() == []
    operation = salon.later()
    salon.age(operation, 600)
    assert of_the_database() == ["altegio_loyalty.W012"]
    assert checks.run_checks() == []


def test_a_database_without_our_tables_is_no_error(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first `migrate`."""
    monkeypatch.setattr(
        "altegio_loyalty.watch.stalled", mock.Mock(side_effect=OperationalError("no such table"))
    )
    assert check_database(databases=["default"]) == []


@pytest.mark.django_db
def test_migrate_passes_its_own_checks(capsys: pytest.CaptureFixture[str]) -> None:
    """They ask the database, before there are tables and afterwards."""
    call_command("migrate", skip_checks=False)
    call_command("check", databases=["default"])
    assert "altegio_loyalty.W" not in capsys.readouterr().err


def test_bad_settings_are_told_without_the_database(salon: Salon, settings: Any) -> None:
    settings.ALTEGIO_LOYALTY = {"API_URL": 7}
    assert of_the_database() == []


def test_the_warnings_of_a_deployment_come_only_with_deploy(settings: Any) -> None:
    settings.ALTEGIO_LOYALTY = {"API_URL": "http://api.alteg.io/api/v1"}
    ours = {"altegio_loyalty.W002", "altegio_loyalty.W003"}
    assert ours <= {message.id for message in checks.run_checks(include_deployment_checks=True)}
    assert not ours & {message.id for message in checks.run_checks()}


def test_manage_py_check_fails_on_a_misspelt_key(settings: Any) -> None:
    settings.ALTEGIO_LOYALTY = {"API_ULR": "x"}
    with pytest.raises(SystemCheckError, match="API_ULR"):
        call_command("check")


@pytest.mark.django_db
def test_no_check_asks_the_database(settings: Any, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        ids(settings, ENCRYPTION_KEYS=[], API_URL="http://x/")
