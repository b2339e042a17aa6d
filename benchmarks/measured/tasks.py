"""One task a row, with Celery, as most sites begin: the row is read, the calls are made, the row is written."""

from __future__ import annotations

import os

import django
from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "measured.site")
django.setup()

app = Celery("measured", broker=os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/9"))
app.conf.update(
    task_default_queue="measured",
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
)


@app.task
def withdraw_row(pk: int) -> None:
    from measured.jobs import withdraw
    from measured.models import Job

    job = Job.objects.get(pk=pk)
    if job.status == "pending":
        answer = withdraw(job.visit)
        Job.objects.filter(pk=pk, status="pending").update(status="done", answer=answer)
