"""Instead of beat, which has no sense for hurry: `python -m tests.chaos.bell` rings for the sweep twice a second."""

# ruff: noqa: E402  Django must be set up before the models are imported.
from __future__ import annotations

import contextlib
import time

import django

django.setup()

import project.celery  # noqa: F401  the app must be there before its tasks
from altegio_loyalty.tasks import retry_due_operations
from tests.chaos.settings import APART

if __name__ == "__main__":
    while True:
        with contextlib.suppress(Exception):  # a broker that is away is one of the trials
            retry_due_operations.apply_async(expires=5 + APART, retry=False)
        time.sleep(0.5)
