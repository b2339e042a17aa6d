"""Who drains a queue of withdrawals: how each is given them, how its workers are started, and what it promises less."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Contender:
    """`workers` are arguments of Python for each process; `less` is what is not promised that the app promises."""

    name: str
    workers: Sequence[Sequence[str]]
    less: str
    module: str = "django"
    #: More of them work until nothing waits, and then end by themselves.
    needs_postgresql: bool = False
    keeps_running: bool = True
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def is_installed(self) -> bool:
        return importlib.util.find_spec(self.module.partition(".")[0]) is not None


MANAGE = ("-m", "django")
OURS = "altegio_loyalty"


def contenders(at_a_time: int) -> list[Contender]:
    """The app first. Each has as many calls under way at a time, by the means that it offers for that."""
    many = str(at_a_time)
    return [
        Contender(OURS, [(*MANAGE, "deliver_due_operations", "-v", "0")], "", keeps_running=False),
        Contender(
            "celery",
            [
                ("-m", "celery", "-A", "measured.tasks", "worker", "--pool=threads", f"--concurrency={many}",
                 "--loglevel=ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat"),
            ],
            "A row that is lost between database and broker waits for ever, and a worker that dies after the call makes it "
            "again: the points are taken twice.",
            module="celery",
        ),
        Contender(
            "procrastinate",
            [(*MANAGE, "procrastinate", "worker", f"--concurrency={many}", "--delete-jobs=never")],
            "Done at least once: a job whose worker died is marked as stalled, and made again by whoever retries it. What a "
            "call answered is not kept.",
            module="procrastinate",
            needs_postgresql=True,
        ),
        Contender(
            "django-q2",
            [(*MANAGE, "qcluster")],
            "A task that is not acknowledged within `retry` seconds is made again, whatever its call did.",
            module="django_q",
        ),
        Contender(
            "django-post_office",
            [(*MANAGE, "send_queued_mail", "-l", "1")],
            "Up to 100 are marked as done together when all of them were made: a process that dies before makes all of "
            "them again. What a call answered is not kept.",
            module="post_office",
            keeps_running=False,
        ),
        Contender(
            "django-tasks",
            [(*MANAGE, "db_worker", "--batch", "--no-startup-delay", "-v", "0")] * at_a_time,
            "A task whose worker died stays “running” for ever; nobody is told, and nothing looks what its call did.",
            module="django_tasks_db",
            keeps_running=False,
        ),
    ]  # fmt: skip


def python(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, *arguments]
