"""The system checks: each fires where it should, says what to do, and is silent otherwise. No query, no network."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from celery import current_app
from django.core import checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError

from altegio_loyalty.checks import check_deployment, check_settings

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
    ("lease", "total", "threads", "fires"),
    [
        (66, 30, 1, False),
        (65, 30, 1, True),
        (60, 30, 1, True),
        (300, 200, 1, True),
        (120, 30, 8, False),
        (101, 30, 8, False),
        (100, 30, 8, True),
    ],
)
def test_w001_a_lease_that_ends_before_the_calls_can(
    settings: Any, lease: float, total: float, threads: int, fires: bool
) -> None:
    """The last of a sweep's threads waits for its turn behind all others, each as long as its patience allows."""
    found = ids(settings, LEASE_SECONDS=lease, TOTAL_TIMEOUT=total, SWEEP_THREADS=threads)
    assert found == (["W001"] if fires else [])


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
