"""What stands in for what nobody has set: a secret key, a database, a broker, and a local Altegio."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from celery.schedules import crontab
from django.core.exceptions import ImproperlyConfigured

from project.demo.secret_key import read_or_make

BROKER_URL = "folder://localhost"

#: Nobody who tries out what happens when Altegio is down wants to wait as long as a salon should.
IMPATIENCE = {
    "READ_TIMEOUT": 5,
    "TOTAL_TIMEOUT": 10,
    "SETTLE_SECONDS": 15,
    "LEASE_SECONDS": 30,
    "SWEEP_THREADS": 1,
}

BEAT_SCHEDULE: dict[str, Any] = {
    "seed today's visits": {
        "task": "project.demo.tasks.seed_todays_visits",
        "schedule": crontab(minute=1, hour=0),
    },
}


def secret_key(folder: Path, *, is_allowed: bool) -> str:
    """A key of this folder's own. Raises ImproperlyConfigured where a key that nobody chose must sign nothing."""
    if not is_allowed:
        raise ImproperlyConfigured(
            "SECRET_KEY is not set. With DEBUG off it must come from the environment or .env; make one with: "
            'python -c "from django.core.management.utils import get_random_secret_key as k; print(k())"'
        )
    return read_or_make(folder / "secret_key")


def database_url(folder: Path) -> str:
    """SQLite in the folder, which is made where it is missing. Only their owner may read the database and its journals."""
    folder.mkdir(exist_ok=True)
    file = folder / "db.sqlite3"
    file.touch(mode=0o600)
    file.chmod(0o600)  # one of an earlier release
    return f"sqlite:///{file}"


def broker_options(folder: Path) -> dict[str, Any]:
    """What the broker in a folder needs."""
    return {"folder": str(folder / "broker"), "polling_interval": 0.2}
