"""Rings for a worker, through Celery where a site has it; one that lives on cron has nobody to tell."""

import importlib.util
from typing import Any

from django.db import transaction


def tasks() -> Any:
    """The module of the tasks; None without Celery."""
    if importlib.util.find_spec("celery") is None:
        return None
    from altegio_loyalty import tasks

    return tasks


def ring(operation_id: int) -> None:
    """`tasks.ring`: ask a worker to look at the operation soon."""
    if there := tasks():
        there.ring(operation_id)


def ring_on_commit(operation_id: int, using: str, *, in_batch: bool) -> None:
    """`ring`, when the open transaction commits; at once where none is open.

    Not for one of many where tasks run eagerly: the page that asked for them would wait for all. It goes on by itself.
    """
    there, connection = tasks(), transaction.get_connection(using)
    if there is None or (in_batch and there.current_app.conf.task_always_eager):
        return
    if not connection.in_atomic_block and not connection.get_autocommit():
        return  # manual transactions have no such hook; the next sweep after the commit finds the operation
    transaction.on_commit(lambda: ring(operation_id), using=using, robust=True)
