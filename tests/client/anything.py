"""What Hypothesis draws: any JSON, as the transport reads it, and any answer as it goes over the line."""

from __future__ import annotations

import json
import tempfile
from decimal import Decimal
from pathlib import Path

from hypothesis import HealthCheck, settings, strategies as st
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


# Whole answers


def _json_of(texts: list[str]) -> st.SearchStrategy[str]:
    """JSON with the names that the client looks for, around any values; these texts among them."""
    names = (
        "success data meta errors message loyalty_transactions items payment_transactions records id type_id card_id "
        "amount balance programs visit_id company_id client user_token title loyalty cost datetime code"
    )
    values = st.recursive(
        scalars | st.floats() | st.sampled_from(texts),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(names.split()), inner, max_size=6)
            | st.dictionaries(st.text(max_size=8) | st.sampled_from(texts), inner, max_size=2)
        ),
        max_leaves=12,
    )
    # Half of them shaped like a visit, or like a list of anything, so that there is something to read.
    rows = st.lists(st.dictionaries(st.sampled_from(names.split()), values, max_size=8), max_size=3)
    lists = ("items", "payment_transactions", "records")
    visits = st.fixed_dictionaries(
        {"loyalty_transactions": rows | values}, optional=dict.fromkeys(lists, rows | values)
    )
    wrapped = st.fixed_dictionaries({"success": st.just(True) | scalars, "data": rows | visits | values})
    return (values | wrapped | rows | visits).map(lambda value: json.dumps(value, default=str))


def raw_answers(*texts: str) -> st.SearchStrategy[bytes]:
    """What a server could send: HTTP of any status with any headers and body, or any bytes. It may echo these texts."""
    echo = [*texts, *(f"Bearer {text}" for text in texts), *(text * 40 for text in texts)]
    any_text = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40) | st.sampled_from(
        echo
    )
    any_bytes = st.binary(max_size=120) | st.sampled_from([text.encode() for text in echo])
    names = "Retry-After Location Set-Cookie Content-Encoding Content-Type WWW-Authenticate Connection X-Odd"
    header = st.builds("{}: {}".format, st.sampled_from(names.split()), any_text)
    bodies = _json_of(echo).map(str.encode) | any_bytes | st.builds(bytes.__add__, any_bytes, any_bytes)
    lines = st.builds("{} {}".format, st.integers(100, 999) | st.sampled_from([200, 401, 429]), any_text)
    whole = st.builds(
        lambda body, line, headers: (
            "\r\n".join([f"HTTP/1.1 {line}", f"Content-Length: {len(body)}", *headers]).encode(
                "latin-1", "replace"
            )
            + b"\r\n\r\n"
            + body
        ),
        bodies,
        lines,
        st.lists(header, max_size=3),
    )
    starts = [b"", b"HTTP/1.1 ", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"]
    return whole | st.builds(bytes.__add__, st.sampled_from(starts), any_bytes)
