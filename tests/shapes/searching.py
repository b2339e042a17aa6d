"""How long the shapes are searched: SHAPES_EXAMPLES makes it longer, and other at each run."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir

set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "altegio_loyalty_hypothesis")

EXAMPLES = int(os.environ.get("SHAPES_EXAMPLES", "40"))
#: For each test, in seconds: nothing here waits, so this is for machines that stand still.
TIMEOUT = 120 + 4 * EXAMPLES
#: What people must never read: Python's own words.
_INNARDS = re.compile(
    r"\bNone\b(?! of)|Traceback|Decimal\(|datetime\.|<class|<function| object at 0x|\{'|\['|': |Error\(|\bb'|MISSING"
)


def examples(times: float = 1) -> settings:
    """So many times the examples. The same ones each time, unless somebody asked for more."""
    return settings(
        max_examples=int(EXAMPLES * times),
        deadline=None,
        database=None,
        derandomize="SHAPES_EXAMPLES" not in os.environ,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )


def innards(text: str) -> list[str]:
    """Places in a text for people where Python shows through."""
    return [text[max(0, found.start() - 60) : found.end() + 60] for found in _INNARDS.finditer(text)]
