"""What `manage.py demo` refuses, and what it seeds."""

from __future__ import annotations

import fcntl
import os
import socket
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import authenticate, get_user_model
from django.core.management import CommandError, call_command

from altegio_loyalty.models import Location, Visit
from altegio_loyalty.sandbox import Sandbox
from altegio_loyalty.sandbox.seed import demo_books
from project.demo.management.commands.demo import empty_broker, programs
from project.seed import seed_visits
from tests.reachable import free_port


@pytest.fixture
def demo_site(settings: Any, tmp_path: Path) -> Any:
    settings.DEBUG = True
    settings.USES_SANDBOX = True
    settings.VAR_DIR = tmp_path
    settings.SANDBOX_STATE = tmp_path / "sandbox.json"
    return settings


def test_demo__says_which_port_is_taken_before_it_starts_anything(demo_site: Any) -> None:
    """And which command uses another."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(CommandError, match=rf"port {port} is taken .* make demo PORT={port + 1}"):
            call_command("demo", port=str(port), sandbox_port=str(free_port()))
        with pytest.raises(CommandError, match=rf"make demo SANDBOX_PORT={port + 1}"):
            call_command("demo", port=str(free_port()), sandbox_port=str(port))
    assert not (demo_site.VAR_DIR / "demo.lock").exists()


def test_demo__refuses_nonsense_for_a_port(demo_site: Any) -> None:
    """Text, and one port for two servers."""
    with pytest.raises(CommandError, match="PORT must be a number, not 'eighty'"):
        call_command("demo", port="eighty")
    port = str(free_port())
    with pytest.raises(CommandError, match="they must differ"):
        call_command("demo", port=port, sandbox_port=port)


def test_demo__runs_once_in_a_folder(demo_site: Any) -> None:
    """Two of them would write the same files."""
    with (demo_site.VAR_DIR / "demo.lock").open("w") as lock:
        lock.write("4711")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(CommandError, match=r"already runs in this folder \(process 4711\)"):
            call_command("demo", port=str(free_port()), sandbox_port=str(free_port()))


@pytest.mark.django_db
def test_demo__site_and_sandbox_go_by_the_port_that_was_asked_for(
    demo_site: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Named for the command alone, it holds for all programs, and for what is said."""
    asked, seen = free_port(), []

    class Supervisor:
        def __init__(self, started: list[Any], say: Any) -> None:
            seen.append(([one.port for one in started], os.environ["SANDBOX_PORT"]))

        def run(self, greet: Any) -> int:
            greet()
            return 0

    monkeypatch.setenv("SANDBOX_PORT", "8100")
    monkeypatch.setattr("project.demo.management.commands.demo.Supervisor", Supervisor)
    monkeypatch.setattr("project.demo.management.commands.demo.call_command", lambda *args, **kwargs: None)
    port = free_port()
    with pytest.raises(SystemExit):
        call_command("demo", port=str(port), sandbox_port=str(asked))
    assert seen == [([asked, port, None, None], str(asked))]
    assert f"http://127.0.0.1:{asked}/" in capsys.readouterr().out


def test_programs__leave_the_sandbox_out_where_the_site_talks_to_another_server(demo_site: Any) -> None:
    """Nobody needs a local Altegio beside a real one."""
    assert [program.name for program in programs(1, 2)] == ["sandbox", "site", "worker", "beat"]
    demo_site.USES_SANDBOX = False
    assert [program.name for program in programs(1, 2)] == ["site", "worker", "beat"]


def test_empty_broker__drops_old_messages(demo_site: Any) -> None:
    """And does not mind that there is no folder yet."""
    empty_broker()
    folder = demo_site.VAR_DIR / "broker"
    folder.mkdir()
    (folder / "old.message").write_text("{}")
    empty_broker()
    assert list(folder.iterdir()) == []


@pytest.mark.django_db
def test_seed_demo__makes_people_locations_and_todays_visits_once(demo_site: Any) -> None:
    """A second start changes nothing, not even what somebody has changed meanwhile."""
    call_command("seed_demo")
    assert Location.objects.count() == 3
    assert Counter(Visit.objects.values_list("location_id", flat=True)) == {4564: 8, 4565: 8, 4566: 8}
    assert Location.objects.get(id=4564).partner_token.reveal() == "sandbox-partner-token"

    Location.objects.filter(id=4564).update(title="My own title")
    admin = get_user_model().objects.get(username="admin")
    admin.set_password("changed")
    admin.save()
    call_command("seed_demo")
    assert Location.objects.get(id=4564).title == "My own title"
    assert Visit.objects.count() == 24
    assert authenticate(username="admin", password="changed") is not None


@pytest.mark.django_db
def test_seed_demo__takes_the_tokens_that_the_sandbox_takes(demo_site: Any) -> None:
    """After somebody renewed them on its page and began with a new database."""
    sandbox = Sandbox(state_file=demo_site.SANDBOX_STATE)
    sandbox.rotate_tokens()
    call_command("seed_demo")
    assert Location.objects.get(id=4564).user_token.reveal() == sandbox.user_token


@pytest.mark.django_db
def test_a_new_day__adds_its_visits_to_those_there(demo_site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Yesterday's stay."""
    for day in (date(2026, 3, 1), date(2026, 3, 2)):
        monkeypatch.setattr("django.utils.timezone.localdate", lambda day=day: day)
        seed_visits_after_locations()
    assert Visit.objects.count() == 2 * len(demo_books(date(2026, 3, 1))["visits"])


def seed_visits_after_locations() -> None:
    call_command("seed_demo")
    seed_visits()


@pytest.mark.django_db
def test_staff__have_what_their_work_needs_and_no_more(demo_site: Any) -> None:
    """The desk acts, a manager also decides; neither edits the log."""
    call_command("seed_demo")
    rights = {
        person.username: {name.removeprefix("altegio_loyalty.") for name in person.get_all_permissions()}
        for person in get_user_model().objects.filter(is_superuser=False)
    }
    acts = {
        "apply_card_withdrawal",
        "cancel_card_withdrawal",
        "apply_discount_program",
        "cancel_discount_program",
    }
    desk = acts | {"view_visit", "view_loyaltyoperation", "view_operationattempt"}
    assert rights == {
        "reception": desk,
        "manager": desk | {"resolve_operation", "view_location", "change_location"},
    }
    assert authenticate(username="reception", password="reception") is not None


@pytest.mark.django_db
def test_seed_demo__refuses_a_site_in_production(settings: Any) -> None:
    """Its passwords are known to everybody."""
    settings.DEBUG = False
    with pytest.raises(CommandError, match="only with DEBUG on"):
        call_command("seed_demo")
    assert not get_user_model().objects.exists()
