"""The demo's own task."""

from __future__ import annotations

from celery import shared_task
from django.conf import settings

from project.seed import seed_visits


@shared_task(name="project.demo.tasks.seed_todays_visits")
def seed_todays_visits() -> None:
    """A demo left running gets the new day's visits too, as its sandbox does."""
    if settings.DEBUG and settings.USES_SANDBOX:
        seed_visits()
