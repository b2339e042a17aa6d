"""What the app loads: with `django.setup()`, and in a worker. Modules are counted, never milliseconds."""

from __future__ import annotations

import subprocess
import sys

from tests.reachable import REPOSITORY

#: Each is needed by somebody at some moment, and by no site at its start.
HEAVY = (
    "altegio_loyalty.sandbox", "altegio_loyalty.contrib", "altegio_loyalty.tasks", "altegio_loyalty.client.connection",
    "celery", "kombu", "billiard", "requests", "urllib3", "charset_normalizer", "cryptography", "prometheus_client",
    "health_check", "openpyxl", "xlsxwriter", "pandas", "numpy", "PIL", "pytest",
)  # fmt: skip
START = """
import sys
import django
from django.conf import settings

settings.configure(
    SECRET_KEY="only for this minute",
    INSTALLED_APPS=[f"django.contrib.{name}" for name in ("admin", "auth", "contenttypes", "sessions", "messages")]
    + ["altegio_loyalty"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()
"""


def modules_after(code: str) -> set[str]:
    """What a new process has loaded, after the site's start and then this."""
    told = [sys.executable, "-c", f"{START}{code}\nprint(*sys.modules)"]
    started = subprocess.run(told, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return set(started.stdout.split())


def heavy_among(modules: set[str]) -> set[str]:
    return {name for name in HEAVY if name in modules}


def test_a_site_that_starts__loads_nothing_heavy() -> None:
    """Though its screens and services are there."""
    modules = modules_after("")
    assert {"altegio_loyalty.admin.desk", "altegio_loyalty.services", "altegio_loyalty.delivery"} <= modules
    assert heavy_among(modules) == set()


def test_a_sandbox__loads_no_seeds_unasked() -> None:
    """A host site's own tests want the books alone."""
    modules = modules_after("import altegio_loyalty.sandbox")
    assert "altegio_loyalty.sandbox.server" in modules
    assert "altegio_loyalty.sandbox.seed" not in modules


def test_a_worker__has_what_calls_need_before_it_forks() -> None:
    """Its children share the memory, and none of them loads it in its first call."""
    assert {"celery", "requests", "urllib3"} <= heavy_among(modules_after("import altegio_loyalty.tasks"))
