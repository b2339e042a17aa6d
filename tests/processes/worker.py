"""The demo's Celery app on a queue of the test's own: `celery -A tests.processes.worker:app worker`."""

from __future__ import annotations

import os

from kombu import Exchange, Queue

from project.celery import app

__all__ = ["app"]

_queue = os.environ["ALTEGIO_TEST_QUEUE"]
app.conf.update(task_default_queue=_queue, task_default_exchange=_queue, task_default_routing_key=_queue)
app.conf.task_queues = [Queue(_queue, Exchange(_queue), routing_key=_queue, expires=600)]
