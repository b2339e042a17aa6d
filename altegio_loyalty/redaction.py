"""What may be stored and shown of a text that came from outside: bounded, storable on every database, no secrets."""

import json
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

MASK = "[hidden]"
#: So many times the length that is kept is looked at.
_LOOKED_AT = 20
#: No half of a token that is known by its surroundings alone stays, if it is not longer than this.
_LONGEST_UNKNOWN = 200
#: So many letters that a known secret begins with are hidden also without the rest.
_SHORTEST_PART = 8
_UNSTORABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_AUTHORIZATION = re.compile(r"\bBearer\s+[^\s\"'<>,]+", re.IGNORECASE)
_USER_TOKEN = re.compile(r"\bUser\s+(?=[^\s\"'<>]*\d)[^\s\"'<>,]{16,}", re.IGNORECASE)
#: A phone behind its plus, with more digits than a sum has, or an address of mail, in somebody's words.
_REACHED_BY = re.compile(r"\+(?:\d[\s().-]{0,3}){8,14}\d|[^\s@\"'<>,;:]{1,64}@[^\s@\"'<>,;:\\]{1,255}")
# A JSON string up to its end, or to the end of the text where that was cut; or a number.
_VALUE = r"\"\s*:\s*)(?:\"(?:[^\"\\]|\\.)*+(?:\"|\\?\Z)|-?\d[\d.eE+-]*)"
_NAMES = "partner_token|user_token|password|login|(?:client_|referrer_)?phone|email|(?:display_)?name|surname|patronymic"
_HIDDEN_FIELD = re.compile(rf"(\"(?:{_NAMES})" + _VALUE, re.IGNORECASE | re.DOTALL)

_PERSONAL = re.compile(
    "name|phone|number|mail|login|birth|card$|comment|address|zip|coord|token|password", re.IGNORECASE
)
_TELLING = {"timezone_name", "currency_short_title", "slug"}
_PLAIN = re.compile(r"-?\d{1,9}(\.\d+)?|\d{4}-\d\d-\d\d([T ]\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d:?\d\d|Z)?)?")


def clean(text: str, limit: int) -> str:
    """`text` without what a database refuses (NUL, control characters, lone surrogates), at most `limit` characters."""
    text = _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text)
    return text if len(text) <= limit else text[: limit - 1] + "\N{HORIZONTAL ELLIPSIS}"


def within(text: str, last_character: str) -> str:
    """`text` for a column of an old charset: each character beyond the last one that it holds is a question mark."""
    return "".join(each if each <= last_character else "?" for each in text)


def _in_json(text: str) -> tuple[str, str]:
    written = json.dumps(text)[1:-1]
    return written, written.replace("/", "\\/")


def redact(text: str, *, secrets: Iterable[str] = (), limit: int = 500) -> str:
    """`clean(text)` with tokens, passwords and personal fields masked.

    `secrets` are the values known to be secret here; they are masked wherever they stand, before the text is cut, so
    that no half of one is left at the end.
    """
    # As it is and as JSON writes it; the longest first, since one may begin like another.
    spellings = {way for secret in secrets if secret for way in (secret, *_in_json(secret))}
    longest = max(map(len, spellings), default=0) + _LONGEST_UNKNOWN
    # What an answer costs is bounded by what is kept of it; what was cut may have left half of a secret at the end.
    is_cut = len(text) > _LOOKED_AT * limit + longest
    text = text[: _LOOKED_AT * limit + longest]
    for secret in sorted(spellings, key=len, reverse=True):
        text = text.replace(secret, MASK)
    # Whoever wrote the text may have cut it: Python's own errors show 200 characters of what they could not read.
    begun = [secret for secret in spellings if secret[:_SHORTEST_PART] in text]
    parts = {secret[:size] for secret in begun for size in range(_SHORTEST_PART, len(secret))}
    for part in sorted(parts, key=len, reverse=True):
        text = text.replace(part, MASK)
    if is_cut:
        text = text[: len(text) - longest] + "\N{HORIZONTAL ELLIPSIS}"
    text = _AUTHORIZATION.sub(f"Bearer {MASK}", text)
    text = _USER_TOKEN.sub(f"User {MASK}", text)
    text = _HIDDEN_FIELD.sub(rf'\1"{MASK}"', text)
    text = _REACHED_BY.sub(MASK, text)
    return clean(text, limit)


def without_people(value: Any, key: str = "") -> Any:
    """An answer's JSON as it may be given away: its shape, ids, amounts, flags and times; every other text is masked.

    So is a number that may be a phone's or a card's. What is not known to be harmless is taken to be personal.
    """
    if isinstance(value, Mapping):
        shown = {name if re.fullmatch(r"[A-Za-z_]{1,50}|\d{1,9}", name) else MASK: name for name in value}
        return {to: without_people(value[name], name) for to, name in shown.items()}
    if isinstance(value, list):
        return [without_people(each, key) for each in value]
    text = str(value)
    if value is None or isinstance(value, bool) or text in ("", "0"):
        return value
    is_id = re.fullmatch("id|.*_id", key) and re.fullmatch("[0-9]{1,10}", text)
    is_plain = _PLAIN.fullmatch(text) and not _PERSONAL.search(key)
    if is_id or is_plain or (key in _TELLING and len(text) <= 40):
        return float(value) if isinstance(value, Decimal) else value
    return MASK
