"""One task for each peer whose own table is the log; each defined only where that peer is measured."""

from __future__ import annotations

import importlib
import os
from typing import Any

from measured.jobs import withdraw

PEER = os.environ.get("PEER", "")


def withdraw_at(visit: int) -> str:
    return withdraw(visit)


withdraw_task: Any = withdraw_at
if PEER == "procrastinate":
    django: Any = importlib.import_module("procrastinate.contrib.django")
    withdraw_task = django.app.task(name="measured.withdraw")(withdraw_at)
if PEER == "django-tasks":
    try:
        tasks: Any = importlib.import_module("django.tasks")
    except ImportError:  # before Django 6.0
        tasks = importlib.import_module("django_tasks")
    withdraw_at = withdraw_task = tasks.task()(withdraw_at)  # found by its name
