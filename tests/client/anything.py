"""What Hypothesis draws: any JSON, as the transport reads it."""

from __future__ import annotations

import tempfile
from decimal import Decimal
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir

set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "altegio_loyalty_hypothesis")


def examples(count: int) -> settings:
    """So many examples, however long each takes on a slow machine, and no files left behind."""
    return settings(
        max_examples=count,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


ODD_NUMBERS = [
    Decimal("1e999999"),
    Decimal("-0"),
    Decimal("1e-999999"),
    Decimal("0.66000000000000003"),
    2**63,
]
ODD_TEXTS = [
    "1e1000000",
    "3",
    "",
    " 7 ",
    "1e5",
    "NaN",
    "sNaN",
    "-0",
    "1e400",
    "\ud800",
    "\x00",
    "²",
    "9" * 5000,
]
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False).map(lambda number: Decimal(repr(number)))
    | st.text(max_size=8)
    | st.sampled_from([0, 1, 3, *ODD_NUMBERS, *ODD_TEXTS])
)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
