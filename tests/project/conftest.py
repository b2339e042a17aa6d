"""A copy of the demo site for each test that starts its programs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.reachable import REPOSITORY

OURS = (
    "SECRET_KEY",
    "DEBUG",
    "ALLOWED_HOSTS",
    "DATABASE_URL",
    "CELERY_BROKER_URL",
    "ALTEGIO_API_URL",
    "ENV_FILE",
)
#: What the tests themselves, and the browser's, set for the process that they run in.
OF_TESTS = ("DJANGO_SETTINGS_MODULE", "DJANGO_ALLOW_ASYNC_UNSAFE")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A copy of the demo site, without anything that a demo made here."""
    shutil.copytree(
        REPOSITORY / "project", tmp_path / "project", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(REPOSITORY / "manage.py", tmp_path)
    (tmp_path / "altegio_loyalty").symlink_to(REPOSITORY / "altegio_loyalty")
    return tmp_path


def run(site: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `manage.py` there, with nothing of ours in the environment but what is given."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=site,
        env=clean(environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def clean(environment: dict[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in (*OURS, *OF_TESTS)}
    return {**kept, **environment}
