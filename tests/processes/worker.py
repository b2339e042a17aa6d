"""The demo's Celery app on a queue of the test's own: `celery -A tests.processes.worker:app worker`."""

from __future__ import annotations

import os

from kombu import Exchange, Queue

from project.celery import app

__all__ = ["app"]

_queue = os.environ["ALTEGIO_TEST_QUEUE"]
# By the project's own names for them, which in older Celerys go before what is set without the prefix.
app.conf.update(
    CELERY_TASK_DEFAULT_QUEUE=_queue,
    CELERY_TASK_DEFAULT_EXCHANGE=_queue,
    CELERY_TASK_DEFAULT_ROUTING_KEY=_queue,
    CELERY_TASK_QUEUES=[Queue(_queue, Exchange(_queue), routing_key=_queue, expires=600)],
)
