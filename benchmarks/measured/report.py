"""Puts the tables of a run between the marks of a page, with the day and the machine."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

from measured import machine
from measured.turns import Figure

BEGINS, ENDS = "<!-- measured: `make bench` writes from here -->", "<!-- measured: to here -->"


def write(page: Path, figures: Sequence[Figure]) -> None:
    """What stands outside of the marks stays. Raises `ValueError` where the page has no marks."""
    before, begins, rest = page.read_text().partition(BEGINS)
    _old, ends, after = rest.partition(ENDS)
    if not (begins and ends):
        raise ValueError(f"{page} has no place for the tables.")
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    head = f"Measured on {day}: {machine.description()}"
    tables = "\n".join(figure.as_markdown() for figure in figures)
    page.write_text(f"{before}{BEGINS}\n\n{head}\n\n{tables}\n{ENDS}{after}")
