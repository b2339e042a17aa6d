"""A real worker and a real beat, over each kind of broker, against the sandbox."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import kombu
import pytest

from project.demo import leash
from project.demo.management.commands.demo import programs
from tests.project.conftest import clean, run
from tests.reachable import RABBITMQ_URL, REDIS_URL

ASK = """
from django.db import transaction
from altegio_loyalty.models import Location
from altegio_loyalty import services
location, _ = Location.objects.get_or_create(
    id={location}, defaults=dict(title="Salon", partner_token="{partner_token}", user_token="{user_token}"))
with transaction.atomic():
    services.apply_card_withdrawal(
        location, visit_id={visit}, record_id={record}, card_id={card}, amount="{amount}", deliver="on_commit")
"""
#: How long anything may take that happens by itself; no test waits for so long unless it fails.
PATIENCE = 100
BROKERS = [
    pytest.param("", id="folder"),
    pytest.param(REDIS_URL, id="redis", marks=pytest.mark.redis),
    pytest.param(RABBITMQ_URL, id="rabbitmq", marks=pytest.mark.rabbitmq),
]


pytestmark = pytest.mark.timeout(300)


class Salon:
    """A site with its own database and broker, in front of a sandbox with one visit."""

    def __init__(self, site: Path, sandbox: Any, broker_url: str, stack: contextlib.ExitStack) -> None:
        self.site, self.sandbox, self.stack = site, sandbox, stack
        self.environment = {
            "CELERY_QUEUE": f"altegio_loyalty_test_{uuid.uuid4().hex}",
            # Not as the demo's own sandbox: for that one the demo has less patience than a slow machine may need.
            "ALTEGIO_API_URL": sandbox.url,
            **({"CELERY_BROKER_URL": broker_url} if broker_url else {}),
        }
        ledger = sandbox.ledger
        self.location = ledger.add_location(title="Salon")
        client = ledger.add_client(name="Jane", phone="+13155550175")
        self.card = ledger.add_card(client, balance="100", title="Gold")
        self.visit = ledger.add_visit(self.location, client, lines=[("Haircut", "80")])
        migrated = run(site, "migrate", "--verbosity=0", **self.environment)
        assert migrated.returncode == 0, migrated.stderr

    def start(self, name: str) -> None:
        program = next(program for program in programs(0, 0) if program.name == name)
        output = self.stack.enter_context((self.site / f"{name}.log").open("w"))
        command = list(program.command)
        if name == "worker":  # of its own, so that no worker of another test answers to the same name
            command += ["--hostname", f"{self.environment['CELERY_QUEUE']}@%h"]
        process = leash.start(
            command,
            cwd=self.site,
            env=clean(self.environment),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        self.stack.callback(process.wait)
        # A warm end takes seconds, and there is nothing left to do.
        self.stack.callback(leash.send, process, signal.SIGKILL)

    def ask_for(self, amount: str) -> None:
        """Ask for a withdrawal in a transaction of the host site's own."""
        code = ASK.format(
            location=self.location.id,
            partner_token=self.sandbox.partner_token,
            user_token=self.sandbox.user_token,
            visit=self.visit.id,
            record=self.visit.record_id,
            card=self.card.id,
            amount=amount,
        )
        asked = run(self.site, "shell", "--no-imports", "-c", code, **self.environment)
        assert asked.returncode == 0, asked.stderr

    def taken(self) -> Decimal:
        return Decimal(self.sandbox.ledger.withdrawn(self.visit.id, self.card.id))

    def wait_until_taken(self, amount: str) -> None:
        self.wait_until(lambda: self.taken() == Decimal(amount))

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        give_up_at = time.monotonic() + PATIENCE
        while not is_so():
            logs = "\n".join(path.read_text() for path in self.site.glob("*.log"))
            assert time.monotonic() < give_up_at, f"{self.taken()} taken; the programs said:\n{logs}"
            time.sleep(0.05)


@pytest.fixture
def open_salon(site: Path, altegio_sandbox: Any) -> Iterator[Callable[[str], Salon]]:
    with contextlib.ExitStack() as stack:
        yield lambda broker_url: Salon(site, altegio_sandbox, broker_url, stack)


@pytest.mark.parametrize("broker_url", BROKERS)
def test_a_worker__delivers_what_a_transaction_asked_for(
    open_salon: Callable[[str], Salon], broker_url: str
) -> None:
    """The message that leaves at the commit reaches the worker, which takes the points once."""
    salon = open_salon(broker_url)
    if broker_url:
        salon.stack.callback(forget_queue, broker_url, salon.environment["CELERY_QUEUE"])
    salon.start("worker")
    salon.ask_for("30")
    salon.wait_until_taken("30")
    assert len(salon.sandbox.effects) == 1


def test_an_outage__is_made_good_by_beat_alone(open_salon: Callable[[str], Salon]) -> None:
    """Altegio is down when the points are asked for; nobody does anything, and they are taken once it is back."""
    salon = open_salon("")
    salon.start("worker")
    salon.start("beat")
    salon.sandbox.go_down()
    salon.ask_for("30")
    salon.wait_until(lambda: bool(salon.sandbox.requests))
    assert salon.taken() == 0
    salon.sandbox.come_back()
    salon.wait_until_taken("30")
    assert len(salon.sandbox.effects) == 1
    salon.wait_until(lambda: list((salon.site / "var" / "broker").iterdir()) == [])


def forget_queue(broker_url: str, name: str) -> None:
    """Leave nothing of the test on the server."""
    with kombu.Connection(broker_url) as connection:
        channel = connection.channel()
        kombu.Queue(name, channel=channel).delete()
        kombu.Exchange(name, channel=channel).delete()
