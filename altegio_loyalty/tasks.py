"""Celery's part: a doorbell and a clock. What is due is in the database; a lost or doubled message changes nothing."""

import contextlib
import logging
import time
from types import SimpleNamespace
from typing import Any

from celery import current_app, shared_task
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings as django_settings
from django.core.management import call_command

import altegio_loyalty.client.connection  # noqa: F401  once, before a worker forks
from altegio_loyalty import books, database, delivery, retention
from altegio_loyalty.conf import get_settings

logger = logging.getLogger(__name__)

#: How long a broker that failed is not tried again.
SILENCE_SECONDS = 5.0
#: Of the connection to the broker, which without it would be tried anew for seconds, whatever `retry` says.
_RETRY_ONCE_AT_ONCE = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}


_broker = SimpleNamespace(silent_until=0.0)


@shared_task(name="altegio_loyalty.tasks.retry_due_operations", ignore_result=True)
def retry_due_operations() -> None:
    """Run everything that is due. The one entry for Celery beat; twice at once is harmless."""
    longest, limit = get_settings().SWEEP_SECONDS, sweep_limit()
    # The other half is for the operations that are under way then: one that is cut stays in doubt until its lease ends.
    report = delivery.run_due(longest if limit is None else min(longest, limit / 2))
    if report.is_cut_short and not current_app.conf.task_always_eager:
        _publish(retry_due_operations)  # not only at beat's next stroke
    retention.add_up()
    if books.are_to_go_on() and not current_app.conf.task_always_eager:
        _publish(check_books)


@shared_task(name="altegio_loyalty.tasks.prune_log", ignore_result=True)
def prune_log() -> None:
    """Delete what is older than KEEP_LOG_DAYS, where that is set. For beat, once a day; twice at once is harmless."""
    database.drop_old_connection()
    with contextlib.suppress(SoftTimeLimitExceeded):  # the next run takes the rest
        list(retention.prune(get_settings().KEEP_LOG_DAYS) if get_settings().KEEP_LOG_DAYS else ())


@shared_task(name="altegio_loyalty.tasks.check_books", ignore_result=True)
def check_books() -> None:
    """Compare the days that are over with Altegio's books. Each is compared once; what is left is tried again.

    Ends in time for Celery's limits, and where others leave no request: no slot is held to wait. Goes on behind what was
    compared, when `retry_due_operations` runs next.
    """
    limit = sweep_limit(check_books)
    books.check(seconds=books.LONGEST_RUN if limit is None else min(limit / 2, books.LONGEST_RUN))


@shared_task(name="altegio_loyalty.tasks.send_monthly_report", ignore_result=True)
def send_monthly_report() -> None:
    """Mail the report of the month that is over to REPORT_EMAILS, once. For beat, once a day; twice at once is harmless."""
    database.drop_old_connection()
    # It stands above the tasks, as the screens' tables do.
    call_command("send_altegio_report", verbosity=0)


def sweep_limit(task: Any = retry_due_operations) -> float | None:
    """Seconds after which Celery ends a sweep, soft or hard, as far as this process can see; None where it never does."""
    conf = current_app.conf
    hard, soft = task.request.timelimit or (None, None)
    limits = [soft or task.soft_time_limit or conf.task_soft_time_limit]
    limits.append(hard or task.time_limit or conf.task_time_limit)
    return min((float(limit) for limit in limits if limit), default=None)


def beat_entries(task: Any = retry_due_operations) -> list[dict[str, Any]] | None:
    """What runs the task by this process's settings; None without a broker, or where a database may have it."""
    conf, name = current_app.conf, task.name
    found = [entry for entry in conf.beat_schedule.values() if entry.get("task") == name]
    has_database = "django_celery_beat" in django_settings.INSTALLED_APPS
    return None if not conf.broker_url or (has_database and not found) else found


@shared_task(name="altegio_loyalty.tasks.deliver_operation", ignore_result=True)
def deliver_operation(operation_id: int) -> None:
    """Do what is due for one operation, if anything is."""
    database.drop_old_connection()
    delivery.deliver(operation_id, for_person=True)


def ring(operation_id: int) -> None:
    """Ask a worker to look at the operation soon. Never raises: without a broker the next sweep finds it.

    A site without a broker in its Celery settings has no worker to ask. After a broker failed it is left alone for a
    while, so that a person who decides about many operations does not wait for its timeout with each of them.
    """
    conf = current_app.conf
    if not conf.broker_url and not conf.task_always_eager:
        return
    _publish(deliver_operation, operation_id)


def _publish(task: Any, *args: int) -> None:
    if time.monotonic() < _broker.silent_until:
        return
    try:
        task.apply_async(args, retry=True, retry_policy=_RETRY_ONCE_AT_ONCE)
    except Exception:
        # Whatever the transport raises, and each has errors of its own: what is due is in the database already.
        _broker.silent_until = time.monotonic() + SILENCE_SECONDS
        text = "No worker could be told of operation %s; the next sweep takes it."
        logger.warning(text, *args or ("any",), exc_info=True)
