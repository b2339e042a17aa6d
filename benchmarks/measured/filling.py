"""Gives a contender what it is to drain: `python -m measured.filling NAME FIRST COUNT`; the name alone makes its tables."""

from __future__ import annotations

import os
import sys

import django


def make_tables(name: str) -> None:
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0)
    if name == "celery":
        from measured.models import Job

        if Job._meta.db_table not in connection.introspection.table_names():
            with connection.schema_editor() as editor:
                editor.create_model(Job)


def fill(name: str, visits: range) -> None:
    fillers = {
        "celery": _rows_and_messages,
        "procrastinate": _procrastinate,
        "django-q2": _django_q,
        "django-post_office": _mails,
        "django-tasks": _django_tasks,
    }
    fillers.get(name, operations)(visits)


def operations(visits: range) -> None:
    """As a batch that was asked for: written, due, and not sent yet."""
    from django.utils import timezone

    from altegio_loyalty.models import Location, LoyaltyOperation, Visit
    from measured.sink import CARD, LOCATION

    # What an earlier run left would be worked on as well.
    LoyaltyOperation.objects.open().update(status="abandoned", next_attempt_at=None, open_key=None)
    tokens = {"partner_token": os.environ["PARTNER_TOKEN"], "user_token": os.environ["USER_TOKEN"]}
    Location.objects.update_or_create(pk=LOCATION, defaults={"title": "Salon", **tokens})
    Visit.objects.bulk_create(Visit(id=visit, location_id=LOCATION, record_id=visit) for visit in visits)
    LoyaltyOperation.objects.bulk_create(
        LoyaltyOperation(
            kind="apply_card_withdrawal", location_id=LOCATION, visit_id=visit, record_id=visit, card_id=CARD, amount=1,
            idempotency_key=f"measured-{visit}", open_key=f"{visit}:{CARD}", next_attempt_at=timezone.now(),
        )
        for visit in visits
    )  # fmt: skip


def _rows_and_messages(visits: range) -> None:
    from measured.models import Job
    from measured.tasks import withdraw_row

    for job in Job.objects.bulk_create(Job(visit=visit) for visit in visits):
        withdraw_row.delay(job.pk)


def _procrastinate(visits: range) -> None:
    from measured.queued import withdraw_task

    withdraw_task.batch_defer(*({"visit": visit} for visit in visits))


def _django_q(visits: range) -> None:
    from django_q.tasks import async_task

    for visit in visits:
        async_task("measured.jobs.withdraw", visit)


def _mails(visits: range) -> None:
    from post_office import mail

    mail.send_many(
        [
            {"sender": "a@example.com", "recipients": ["b@example.com"], "subject": str(visit)}
            for visit in visits
        ]
    )


def _django_tasks(visits: range) -> None:
    from measured.queued import withdraw_task

    for visit in visits:
        withdraw_task.enqueue(visit)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "measured.site")
    django.setup()
    name, *numbers = sys.argv[1:]
    if numbers:
        first, count = map(int, numbers)
        fill(name, range(first, first + count))
    else:
        make_tables(name)
