from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kombu
import pytest
from celery import Celery
from celery.app import app_or_default
from django.db import connection
from kombu import Exchange, Queue

from project.demo import leash
from tests import reachable
from tests.delivery.conftest import salon

__all__ = ["salon"]

BROKERS = {"folder": "folder://localhost", "redis": reachable.REDIS_URL, "rabbitmq": reachable.RABBITMQ_URL}


def environment_of(loyalty: dict[str, Any], broker: str, transport_options: dict[str, Any]) -> dict[str, str]:
    """What a program needs to work on the test's database, with these settings of the app."""
    given = {
        "database": str(connection.settings_dict["NAME"]),
        "loyalty": loyalty,
        "broker": broker,
        "transport_options": transport_options,
    }
    settings = "tests.processes.worker_settings"
    return {**os.environ, "DJANGO_SETTINGS_MODULE": settings, "ALTEGIO_TEST_WORKER": json.dumps(given)}


class Broker:
    """A queue of this test's own on a real broker, and the workers on it."""

    def __init__(self, name: str, folder: Path) -> None:
        self.url = BROKERS[name]
        self.folder = folder
        self.queue = f"altegio_test_{uuid.uuid4().hex}"
        options: dict[str, dict[str, Any]] = {
            "folder": {"folder": str(folder), "polling_interval": 0.05},
            # What is not acknowledged yet is kept by one name for all queues, and handed out again by any worker.
            "redis": {"global_keyprefix": f"{self.queue}:"},
        }
        self.transport_options = options.get(name, {})
        self.workers: list[subprocess.Popen[bytes]] = []

    def configure(self, app: Celery) -> None:
        app.conf.broker_transport_options = self.transport_options
        app.conf.task_default_queue = self.queue
        app.conf.task_queues = [Queue(self.queue, Exchange(self.queue), routing_key=self.queue, expires=600)]
        app.conf.update(task_default_exchange=self.queue, task_default_routing_key=self.queue)

    def start_worker(self, loyalty: dict[str, Any], *arguments: str) -> subprocess.Popen[bytes]:
        environment = {
            **environment_of(loyalty, self.url, self.transport_options),
            "ALTEGIO_TEST_QUEUE": self.queue,
        }
        command = [sys.executable, "-m", "celery", "-A", "tests.processes.worker:app", "worker"]
        command += [
            "--loglevel=WARNING",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
            # Of its own, too: what a broker keeps by a worker's name is not shared with another test's worker.
            "--hostname",
            f"{self.queue}-{len(self.workers)}@%h",
            *arguments,
        ]
        with (self.folder / "worker.log").open("ab") as log:
            worker = leash.start(command, cwd=reachable.REPOSITORY, env=environment, stdout=log, stderr=log)
        self.workers.append(worker)
        return worker

    def kill(self, worker: subprocess.Popen[bytes]) -> None:
        """kill -9, children and all."""
        leash.send(worker, signal.SIGKILL)
        worker.wait()

    def forget(self) -> None:
        """Leave nothing of the test on the server."""
        with kombu.Connection(self.url, transport_options=self.transport_options) as connection:
            channel = connection.default_channel
            Queue(self.queue, channel=channel).delete()
            Exchange(self.queue, channel=channel).delete()
        if self.url == reachable.REDIS_URL:
            import redis

            with redis.Redis.from_url(self.url) as server:
                for key in server.scan_iter(f"{self.queue}:*"):
                    server.delete(key)

    def said(self) -> str:
        log = self.folder / "worker.log"
        return log.read_text(errors="replace") if log.exists() else ""


@pytest.fixture(
    params=[
        "folder",
        pytest.param("redis", marks=pytest.mark.redis),
        pytest.param("rabbitmq", marks=pytest.mark.rabbitmq),
    ]
)
def broker(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Broker]:
    """A broker that this process's tasks go to as well."""
    broker = Broker(request.param, tmp_path)
    before = app_or_default()
    monkeypatch.setenv("CELERY_BROKER_URL", broker.url)  # Celery asks the environment first
    app = Celery("the test")
    broker.configure(app)
    app.set_current()
    yield broker
    for worker in broker.workers:
        broker.kill(worker)
    broker.forget()
    before.set_current()
    app.close()


@pytest.fixture
def start_worker(broker: Broker, salon: Any) -> Callable[..., subprocess.Popen[bytes]]:
    """A Celery worker with the settings that the salon has now."""
    return lambda *arguments: broker.start_worker(salon.settings.ALTEGIO_LOYALTY, *arguments)
