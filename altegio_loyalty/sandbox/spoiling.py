"""The faults that replace or spoil the answer itself. What happens to the connection is in `connection`."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

from altegio_loyalty.sandbox.faults import Fault
from altegio_loyalty.sandbox.wire import (
    FORBIDDEN,
    HTML,
    NOT_FOUND,
    UNAUTHORIZED,
    Answer,
    Literal,
    encode,
    failure,
    invalid,
)

ABSURD_NUMBERS = ("NaN", "1e999", "Infinity", "-Infinity")
NASTY_TEXT = "\u0000\ud800<script>alert(1)</script>"

Finish = Callable[[Answer], Answer]
"""Puts an answer into its envelope if the one who asks is to get it so."""


def replacement(fault: Fault) -> Answer | None:
    """The answer that the fault gives whatever the books say; None when it spoils the real one."""
    make = _REPLACEMENTS.get(fault.name)
    return make(fault) if make else None


def spoil(fault: Fault, real: Answer, finish: Finish) -> Answer:
    """The real answer, spoilt; an error of the books' own (404, 422, …) as well, where that makes sense."""
    if fault.name == "bare":
        return replace(real, has_envelope=False)
    if change := _CHANGES_OF_THE_DATA.get(fault.name):
        real = replace(real, body=change(fault, real.body))
    change_whole = _CHANGES_OF_THE_WHOLE.get(fault.name)
    return change_whole(fault, finish(real)) if change_whole else finish(real)


def _page(status: int, title: str) -> Answer:
    html = f"<html><head><title>{title}</title></head><body><center><h1>{title}</h1></center></body></html>"
    return Answer(status, html.encode(), content_type=HTML)


def rate_limit_answer() -> Answer:
    """The vendor's 429. The number of seconds it names is as unreliable as the real one."""
    return failure(429, "Request limit exceeded, try again in 0 seconds.")


def _unavailable(fault: Fault) -> Answer:
    return Answer(503, b"Service Unavailable", headers=_retry_after(fault), content_type="text/plain")


def _retry_after(fault: Fault) -> dict[str, str]:
    value = fault.parameters["retry_after"]
    return {} if value is None else {"Retry-After": str(value)}


def _redirect(fault: Fault) -> Answer:
    return Answer(302, b"", headers={"Location": str(fault.parameters["location"])}, content_type=HTML)


_REPLACEMENTS: dict[str, Callable[[Fault], Answer]] = {
    "status_401": lambda fault: UNAUTHORIZED,
    "status_402": lambda fault: failure(402, "The location's licence has expired."),
    "status_403": lambda fault: FORBIDDEN,
    "status_404": lambda fault: NOT_FOUND,
    "status_422": lambda fault: invalid({"record_id": ["The record cannot be changed."]}),
    "status_500": lambda fault: failure(500, "An error occurred"),
    "status_502_html": lambda fault: _page(502, "502 Bad Gateway"),
    "status_503": _unavailable,
    "rate_limited": lambda fault: replace(rate_limit_answer(), headers=_retry_after(fault)),
    "html": lambda fault: _page(200, "Welcome to the hotel's network"),
    "success_false": lambda fault: failure(200, "An error occurred"),
    "error_after_effect": lambda fault: failure(500, "An error occurred"),
    "redirect": _redirect,
    "empty": lambda fault: Answer(200, b""),
    "broken_json": lambda fault: Answer(200, b'{"success":true,"data":{"loyalty_transactions":[{"id":1,}'),
}


def _truncated(fault: Fault, whole: Answer) -> Answer:
    text = encode(whole.body)
    return replace(whole, body=text[: len(text) // 2])


def _huge(fault: Fault, whole: Answer) -> Answer:
    padding = "x" * int(float(fault.parameters["megabytes"]) * 1024 * 1024)
    padded = {**whole.body, "padding": padding} if isinstance(whole.body, dict) else [*whole.body, padding]
    return replace(whole, body=padded)


_CHANGES_OF_THE_WHOLE = {"truncated_json": _truncated, "huge": _huge}


def _deep(fault: Fault, body: Any) -> Literal:
    levels = int(fault.parameters["levels"])
    return Literal("[" * levels + "]" * levels)


def _nan(fault: Fault, body: Any) -> Any:
    numbers = itertools.cycle(ABSURD_NUMBERS)

    def absurd(key: str, value: Any) -> Any:
        return Literal(next(numbers)) if key in ("amount", "balance") else value

    return _changed(body, absurd)


def _as_text(key: str, value: Any) -> Any:
    is_number = isinstance(value, int | Decimal) and not isinstance(value, bool)
    wanted = key == "id" or key.endswith("_id") or key in ("amount", "balance", "cost")
    return str(value) if is_number and wanted else value


def _nasty(key: str, value: Any) -> Any:
    return value + NASTY_TEXT if isinstance(value, str) else value


_CHANGES_OF_THE_DATA: dict[str, Callable[[Fault, Any], Any]] = {
    "deep": _deep,
    "nan": _nan,
    "string_ids": lambda fault, body: _changed(body, _as_text),
    "nul_text": lambda fault, body: _changed(body, _nasty),
}


def _changed(value: Any, change: Callable[[str, Any], Any], key: str = "") -> Any:
    """The same JSON with every plain value passed through `change`, together with the key it stands under."""
    if isinstance(value, dict):
        return {name: _changed(item, change, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_changed(item, change, key) for item in value]
    return change(key, value)
