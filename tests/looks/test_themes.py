"""Our pages in the themes that replace the admin's templates: each in a process of its own, with its own settings."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

from tests import reachable

THEMES = ("unfold", "jazzmin", "grappelli")


@pytest.mark.browser
@pytest.mark.axe
@pytest.mark.sqlite
@pytest.mark.timeout(900)
@pytest.mark.parametrize("theme", THEMES)
def test_the_pages_work_in(theme: str) -> None:
    """`theme_stories.py` with the theme's settings."""
    if importlib.util.find_spec(theme) is None:
        refuse = pytest.fail if reachable.REQUIRES_ALL else pytest.skip
        refuse(f"django-{theme} is not there. To enable: pip install -r requirements-dev.txt")
    ours = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "DATABASE_"))
    }
    if pictures := os.environ.get("SCREENSHOTS"):
        ours["SCREENSHOTS"] = f"{pictures}/{theme}"
    command = [
        *(
            sys.executable,
            "-m",
            "pytest",
            "tests/looks/theme_stories.py",
            f"--ds=tests.looks.settings_{theme}",
        ),
        *("-p", "no:xdist", "-p", "no:cacheprovider"),
    ]
    ran = subprocess.run(
        command, cwd=reachable.REPOSITORY, env=ours, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout[-8000:] + ran.stderr[-2000:]
