"""Faults that no host needs: answers so odd that only our own client has to stand them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable

from altegio_loyalty.sandbox.faults import CHANGES, FAULTS, FaultKind

NASTY = rb"\u0000\ud800<script>alert(1)</script>"


def _deep(body: bytes, levels: int) -> bytes:
    nested = b"[" * levels + b"]" * levels
    is_wrapped = body.startswith(b'{"success":true')
    return b'{"success":true,"data":%b,"meta":[]}' % nested if is_wrapped else nested


def _nan(body: bytes) -> bytes:
    absurd = itertools.cycle((b"NaN", b"1e999", b"Infinity", b"-Infinity"))
    return re.sub(rb'("(?:amount|balance)":)[^,}]+', lambda found: found[1] + next(absurd), body)


def _nul_text(body: bytes) -> bytes:
    """Each text but for the names of fields, which end in a colon."""
    texts = rb'("(?:[^"\\]|\\.)*)(":?)'
    return re.sub(texts, lambda found: found[1] + NASTY * (found[2] == b'"') + found[2], body)


def _huge(body: bytes, megabytes: float) -> bytes:
    return body + b" " * int(megabytes * 1024 * 1024)


def _string_ids(body: bytes) -> bytes:
    return re.sub(rb'("(?:\w+_id|id|amount|balance|cost)":)(-?[0-9.]+)', rb'\1"\2"', body)


def _add(name: str, change: Callable[..., bytes], description: str, **parameters: float) -> None:
    FAULTS[name] = FaultKind(description, effect=True, parameters=parameters, can_choose=False)
    CHANGES[name] = change


_add("string_ids", _string_ids, "Carried out; ids and amounts come as strings.")
_add("huge", _huge, "Carried out; the answer is padded to some megabytes.", megabytes=8.0)
_add("nan", _nan, "Carried out; amounts and balances are NaN, Infinity and 1e999.")
_add("deep", _deep, "Carried out; the data is a list nested very deep.", levels=100_000)
_add("nul_text", _nul_text, "Carried out; texts hold NUL, a lone surrogate and a <script>.")
#: Those that are added here, by name.
SPOILINGS = ("string_ids", "huge", "nan", "deep", "nul_text")
