"""A worker and a web server that end a call while it waits, and Sentry beside them: its report holds no secret."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography.fernet import Fernet
from django.conf import settings
from django.test import Client
from django.urls import reverse

from altegio_loyalty.models import Location, LoyaltyOperation, Visit
from project.demo import leash
from tests import reachable
from tests.client.trackers import Tracker, spellings
from tests.delivery.salon import Salon
from tests.processes.conftest import environment_of
from tests.processes.reporting import reports_in
from tests.processes.test_workers import PATIENT

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

#: The limit that ends a call: long enough to be on the way to Altegio by then, mostly; see `Reports`.
LIMIT = 4
#: No test waits for so long unless it fails.
PATIENCE = 200
WHERE_IT_WAITED = "Transport.request:"


class Reports:
    """What Sentry was sent. On a slow machine a limit may strike before the call waits: then it is tried again."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def all(self) -> list[str]:
        return reports_in(self._file)

    def of_a_call(self, try_it: Callable[[], object], kind: str, said: Callable[[], str]) -> list[str]:
        """All reports, once one is of a call that was ended while it waited."""
        ends_at = time.monotonic() + PATIENCE
        while time.monotonic() < ends_at:
            reports = self.all()
            if any(WHERE_IT_WAITED in report and kind in report for report in reports):
                return reports
            try_it()
            time.sleep(0.05)
        raise AssertionError(f"No such report among {self.all()}. The program said:\n{said()}")


@pytest.fixture
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reports:
    pytest.importorskip("sentry_sdk")
    monkeypatch.setenv("ALTEGIO_TEST_REPORTS", str(tmp_path / "reports"))
    return Reports(tmp_path / "reports")


@pytest.fixture
def secrets(salon: Salon) -> set[str]:
    """Nothing answers, and what the calls are made with."""
    key = Fernet.generate_key().decode()
    salon.configure(**PATIENT, ENCRYPTION_KEYS=[key])
    tokens = {"partner_token": salon.sandbox.partner_token, "user_token": salon.sandbox.user_token}
    Location.objects.update(**tokens)
    salon.sandbox.fail("hang", seconds=600)
    return {way for secret in (*tokens.values(), key, settings.SECRET_KEY) for way in spellings(secret)}


def assert_nothing_is_told(reports: list[str], secrets: set[str]) -> None:
    assert any('"vars"' in report for report in reports)
    assert Tracker().show(reports).finds(secrets) == []


@pytest.mark.parametrize("broker", ["folder"], indirect=True)
def test_a_workers_time_limit_while_a_call_waits__reports_no_secret(
    salon: Salon, secrets: set[str], reports: Reports, broker: Any, start_worker: Callable[..., Any]
) -> None:
    """With the pool that forks, which alone has soft limits."""
    start_worker("--pool=prefork", "--concurrency=1", f"--soft-time-limit={LIMIT}")

    def ring() -> None:
        """Another operation, where none is under way."""
        if len(reports.all()) >= LoyaltyOperation.objects.count():
            salon.later()

    found = reports.of_a_call(ring, "SoftTimeLimitExceeded", broker.said)
    assert_nothing_is_told(found, secrets)
    salon.sandbox.heal()


@pytest.fixture
def web_server(salon: Salon, secrets: set[str], reports: Reports, tmp_path: Path) -> Iterator[str]:
    """gunicorn with one worker, which it ends when a request takes too long; and where its log is."""
    pytest.importorskip("gunicorn")
    port = reachable.free_port()
    command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "1"]
    # Preloaded, or a worker whose start took longer than the limit would be ended before it ever served.
    command += [
        "--preload",
        "--timeout",
        str(LIMIT),
        "--worker-tmp-dir",
        str(tmp_path),
        "project.wsgi:application",
    ]
    environment = {**environment_of(salon.settings.ALTEGIO_LOYALTY, "memory://", {}), "HOME": str(tmp_path)}
    with (tmp_path / "gunicorn.log").open("wb") as log:
        server = leash.start(command, cwd=reachable.REPOSITORY, env=environment, stdout=log, stderr=log)
    yield f"http://127.0.0.1:{port}"
    leash.send(server, signal.SIGKILL)
    server.wait()


def test_a_web_servers_timeout_while_a_call_waits__reports_no_secret(
    salon: Salon, secrets: set[str], reports: Reports, web_server: str, admin_user: Any, tmp_path: Path
) -> None:
    """The page of a visit, which is read while the person waits."""
    there = salon.visit()
    row = {"location": salon.location, "record_id": there.record_ids[0], "client_id": salon.client.id}
    page = reverse("admin:altegio_loyalty_visit_change", args=[Visit.objects.create(id=there.id, **row).pk])
    client = Client()
    client.force_login(admin_user)
    cookies = {"sessionid": client.cookies["sessionid"].value}

    def open_it() -> None:
        with contextlib.suppress(requests.RequestException):
            requests.get(f"{web_server}{page}?read=1", cookies=cookies, timeout=PATIENCE)

    found = reports.of_a_call(open_it, "SystemExit", (tmp_path / "gunicorn.log").read_text)
    assert_nothing_is_told(found, secrets)
    salon.sandbox.heal()
