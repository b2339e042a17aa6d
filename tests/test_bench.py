"""`make bench` runs, also where no peer is installed, and what it calls answers as an Altegio does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.reachable import REPOSITORY

BENCH = REPOSITORY / "benchmarks" / "measured"


def run(*arguments: str, url: str) -> str:
    environment = {**os.environ, "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "measured.site"}
    done = subprocess.run(
        [sys.executable, str(BENCH), "--quick", *arguments], env=environment, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_withdrawal_by_hand_and_the_apps_are_both_done_and_compared(tmp_path: Path) -> None:
    """By hand each statement is asserted, and the app's operation says that it is done."""
    told = run("withdrawal", url=f"sqlite:///{tmp_path}/bench.sqlite3")
    rows = [line.split(" | ") for line in told.splitlines() if line.startswith("| ")][2:]
    assert [row[0] for row in rows] == ["| two bare calls", "| by hand", "| the app"]
    assert float(rows[0][2]) < 1 < float(rows[2][1])


def test_a_table_replaces_the_one_with_its_title_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCH.parent))
    from measured import machine, report
    from measured.turns import Figure

    monkeypatch.setattr(machine, "description", lambda: "A machine.")
    page = tmp_path / "page.md"
    tables = "### Draining\n\nold\n\n### Other\n\nkept\n\n"
    page.write_text(f"before\n{report.BEGINS}\n\n{tables}{report.ENDS}\nafter\n")
    report.write(page, [Figure("Draining", "a second", ["", "rate"], [["ours", "9"]], ["A note."])])
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("### Other\n\nkept\n\n" + report.ENDS + "\nafter\n")
    assert "old" not in text
    assert "### Draining\n\n|  | rate |\n| --- | --- |\n| ours | 9 |\n\nA note.\n\nMeasured on " in text


def test_a_page_without_a_place_for_tables_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCH.parent))
    from measured import report

    (page := tmp_path / "page.md").write_text("no marks")
    with pytest.raises(ValueError, match="no place"):
        report.write(page, [])
