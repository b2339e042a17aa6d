"""Puts the tables of a run between the marks of a page, each with its day and machine; those of other runs stay."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from pathlib import Path

from measured import machine
from measured.turns import Figure

BEGINS, ENDS = "<!-- measured: `make bench` writes from here -->", "<!-- measured: to here -->"


def write(page: Path, figures: Sequence[Figure]) -> None:
    """A table takes the place of the one with its title. Raises `ValueError` where the page has no marks."""
    before, begins, rest = page.read_text().partition(BEGINS)
    old, ends, after = rest.partition(ENDS)
    if not (begins and ends):
        raise ValueError(f"{page} has no place for the tables.")
    tables = {
        part.partition("\n")[0]: part for part in re.split(r"(?m)^(?=### )", old) if part.startswith("###")
    }
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    for figure in figures:
        text = f"{figure.as_markdown()}\nMeasured on {day}: {machine.description()}\n\n"
        tables[text.partition("\n")[0]] = text
    page.write_text(f"{before}{BEGINS}\n\n{''.join(tables.values())}{ENDS}{after}")
