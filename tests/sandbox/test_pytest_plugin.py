"""The fixtures that host sites use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from altegio_loyalty.sandbox import Sandbox
from tests.sandbox.scene import TIMEOUT

ROOT = Path(__file__).parents[2]


def test_fixture_is_a_running_sandbox_with_empty_books(altegio_sandbox: Sandbox) -> None:
    assert altegio_sandbox.ledger.books.locations == {}
    assert requests.get(altegio_sandbox.url + "/company/1", timeout=TIMEOUT).status_code == 401


def test_settings_point_at_the_sandbox(altegio_sandbox_settings: Sandbox, settings: Any) -> None:
    assert settings.ALTEGIO_LOYALTY["API_URL"] == altegio_sandbox_settings.url
    assert settings.ALTEGIO_LOYALTY["REQUESTS_PER_SECOND"] == 0


def test_settings_of_the_site_are_kept(settings: Any, request: pytest.FixtureRequest) -> None:
    settings.ALTEGIO_LOYALTY = {"MAX_ATTEMPTS": 3, "PROXY_URL": "http://proxy.example"}
    request.getfixturevalue("altegio_sandbox_settings")
    assert settings.ALTEGIO_LOYALTY["MAX_ATTEMPTS"] == 3
    assert settings.ALTEGIO_LOYALTY["PROXY_URL"] == ""


def test_plugin_works_without_django(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        'pytest_plugins = ["altegio_loyalty.sandbox.pytest_plugin"]\n'
        "import sys\n"
        "def test_it(altegio_sandbox):\n"
        "    assert altegio_sandbox.port\n"
        "    assert 'django' not in sys.modules\n"
    )
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:django",
        "-p",
        "no:cacheprovider",
        "-c",
        "/dev/null",
    ]
    words += ["--rootdir", str(tmp_path), "-o", f"pythonpath={ROOT}", str(tmp_path)]
    run = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
