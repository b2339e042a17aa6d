"""What an operator and a monitor are told: the status command, the health address, the sweep for cron."""

from __future__ import annotations

import datetime
import json
import os
import socket
import subprocess
import sys
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection
from django.http import HttpResponse
from django.test import Client, override_settings
from django.urls import include, path
from django.utils import timezone

from altegio_loyalty import watch
from altegio_loyalty.models import Location, LoyaltyOperation
from tests.delivery.conftest import salon
from tests.delivery.salon import Salon
from tests.reachable import REPOSITORY

__all__ = ["salon"]
pytestmark = pytest.mark.django_db
urlpatterns = [path("watch/", include("altegio_loyalty.urls"))]


def status(*arguments: str) -> tuple[int, str]:
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("altegio_status", *arguments, stdout=out)
    assert isinstance(ended.value.code, int)
    return ended.value.code, out.getvalue()


@override_settings(ROOT_URLCONF=__name__)
def health() -> HttpResponse:
    response: Any = Client().get("/watch/health/")
    return response  # type: ignore[no-any-return]


def deliver(**options: Any) -> str:
    out = StringIO()
    call_command("deliver_due_operations", stdout=out, **options)
    return out.getvalue()


def stall(salon: Salon) -> None:
    salon.later()
    LoyaltyOperation.objects.update(next_attempt_at=timezone.now() - datetime.timedelta(hours=1))


def refuse(*args: Any) -> Any:
    raise OperationalError("the database is away")


def test_all_is_well__is_exit_0_and_200(salon: Salon) -> None:
    salon.sweep()
    code, text = status()
    assert (code, health().status_code) == (0, 200)
    assert "status: well" in text


def test_a_person_is_needed__is_exit_1_and_200(salon: Salon) -> None:
    """The work goes on, so nobody is woken."""
    salon.later()
    Location.objects.update(refused_at=timezone.now())
    code, text = status()
    assert (code, health().status_code) == (1, 200)
    assert "1 wait in Main Street" in text
    assert "its tokens are refused" in text


def test_the_work_stands_still__is_exit_2_and_503(salon: Salon) -> None:
    stall(salon)
    code, text = status()
    assert (code, health().status_code) == (2, 503)
    assert "queue stalled since" in text


def test_a_mail_is_sent_where_only_the_monitor_is_alive(salon: Salon, mailoutbox: Any) -> None:
    salon.configure(ALERT_EMAILS=["night@example.com"])
    stall(salon)
    health()
    assert "No worker was heard of" in mailoutbox[0].body


def test_status_as_json__has_each_figure(salon: Salon) -> None:
    stall(salon)
    told = json.loads(status("--json")[1])
    assert (told["open"], told["due"], told["in_doubt"], told["paused_locations"]) == (1, 1, 0, 0)
    assert told["queue_stalled_since"] == told["due_since"]


def test_the_number_that_needs_a_person__is_that_of_the_log(salon: Salon) -> None:
    LoyaltyOperation.objects.filter(pk=salon.later().pk).update(
        status="failed", next_attempt_at=None, open_key=None
    )
    needing = LoyaltyOperation.objects.needing_attention().count()
    assert json.loads(status("--json")[1])["needs_person"] == needing == 1


def test_health__shows_nothing_personal_and_no_machine(salon: Salon) -> None:
    salon.later()
    salon.sweep()
    text = health().content.decode()
    for secret in ("Main Street", "Jane", str(salon.location.pk), socket.gethostname()):
        assert secret not in text


def test_health__costs_a_few_queries(salon: Salon, django_assert_max_num_queries: Any) -> None:
    salon.later()
    with django_assert_max_num_queries(8):
        health()


def test_health__is_never_kept_by_a_cache(salon: Salon) -> None:
    assert "no-store" in health()["Cache-Control"]


def test_a_database_that_is_away__is_exit_2_and_503(salon: Salon) -> None:
    with connection.execute_wrapper(refuse):
        assert health().status_code == 503
        assert status()[0] == 2


def test_a_database_that_nobody_listens_for__is_exit_2() -> None:
    """In a process of its own, as cron starts it."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"postgres://nobody@127.0.0.1:{closed.getsockname()[1]}/nothing"
        ran = subprocess.run(
            [sys.executable, "manage.py", "altegio_status", "--json"],
            cwd=REPOSITORY,
            env={
                **os.environ,
                "DATABASE_URL": url,
                "DEBUG": "true",
                "DJANGO_SETTINGS_MODULE": "project.settings",
            },
            capture_output=True,
            text=True,
            check=False,
        )
    assert (ran.returncode, json.loads(ran.stdout)["status"]) == (2, watch.STANDS_STILL), ran.stderr


def test_deliver_due_operations__says_what_waits_and_why(salon: Salon) -> None:
    salon.later()
    Location.objects.update(refused_at=timezone.now())
    other = salon.add_location("Second Street")
    salon.later(salon.visit(location=other))
    Location.objects.filter(pk=other.pk).update(is_active=False)
    assert deliver().splitlines() == [
        "Nothing was due.",
        f"1 wait in Main Street ({salon.location.pk}): its tokens are refused.",
        f"1 wait in Second Street ({other.pk}): it is switched off.",
    ]


def test_deliver_due_operations__says_nothing_where_it_is_to_say_nothing(salon: Salon) -> None:
    salon.later()
    assert deliver(verbosity=0) == ""
    assert salon.posts() == 1
