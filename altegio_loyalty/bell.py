"""Rings for a worker, through Celery where a site has it; one that lives on cron has nobody to tell."""

import importlib.util
from typing import Any


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
    """`tasks.ring_on_commit`: when the open transaction commits; at once where none is open."""
    if there := tasks():
        there.ring_on_commit(operation_id, using, in_batch=in_batch)
