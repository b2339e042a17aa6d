"""What is stored and shown of a text from outside: bounded, storable, without secrets."""

from __future__ import annotations

import json
import tracemalloc
from itertools import product
from typing import Any

import pytest
from hypothesis import given, strategies as st

from altegio_loyalty.redaction import MASK, clean, redact
from tests.client.anything import examples

any_text = st.text(st.characters(exclude_categories=[]), max_size=200)


@examples(200)
@given(any_text, st.integers(1, 100))
def test_any_text_becomes_bounded_and_storable(text: str, limit: int) -> None:
    for cleaned in (clean(text, limit), redact(text, limit=limit)):
        assert len(cleaned) <= limit
        assert "\x00" not in cleaned
        cleaned.encode()
        json.dumps(cleaned)


@examples(100)
@given(st.text(st.characters(categories=["L", "N", "P", "Zs"]), max_size=50))
def test_a_harmless_short_text_stays_as_it_is(text: str) -> None:
    assert clean(text, 50) == text


def test_a_text_of_just_the_limit_is_not_cut() -> None:
    assert clean("a" * 10, 10) == "a" * 10
    assert clean("a" * 11, 10) == "a" * 9 + "…"


def test_line_breaks_and_tabs_stay() -> None:
    assert clean("a\n\tb\r", 10) == "a\n\tb\r"


secret_texts = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=12, max_size=60)


@examples(200)
@given(secret_texts, any_text, any_text, st.integers(5, 300))
def test_a_known_secret_never_stays_wherever_it_stands(
    secret: str, before: str, after: str, limit: int
) -> None:
    if MASK in secret or secret in MASK:
        return
    text = before + secret + after
    assert secret not in redact(text, secrets=[secret], limit=limit)
    # No half of it either: with a cut in the middle of what was the secret only the mask is cut.
    cut = redact("x" * (limit - 6) + secret, secrets=[secret], limit=limit)
    assert secret[:5] not in cut or secret[:5] in "x" * 5


@examples(100)
@given(secret_texts, st.integers(6, 11))
def test_of_two_secrets_of_which_one_begins_like_the_other_nothing_stays(secret: str, size: int) -> None:
    for secrets in ([secret, secret[:size]], [secret[:size], secret]):
        shown = redact(f"«{secret}»", secrets=secrets)
        assert secret[size:] not in shown.replace(MASK, "")


@pytest.mark.parametrize("size", range(8, 20))
def test_no_beginning_of_a_secret_stays_in_a_text_that_somebody_else_has_cut(size: int) -> None:
    """Python's own errors show 200 characters of what they could not read."""
    secret, other = "3f9a1c77d0e2b45a6c81", "3f9a1c77d0e2zzzzzzzz"
    for before in ("", other, secret):
        shown = redact(f"ValueError: {before}{secret[:size]}", secrets=[secret, other])
        assert shown.replace(MASK, "") == "ValueError: "


def test_empty_secrets_hide_nothing() -> None:
    assert redact("plain", secrets=["", ""]) == "plain"


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer SECRET12345678901, User SECRET98765432109",
        "authorization: bearer SECRET12345678901,User SECRET98765432109",
        '{"header": "Bearer SECRET12345678901, User SECRET98765432109"}',
        "Bearer\tSECRET12345678901",
        "<p>Bearer SECRET12345678901</p>",
        '{"user_token":"SECRET1"}',
        '{"user_token" : "SECRET1"}',
        '{"partner_token":"SECRET1","password":"SECRET2","login":"SECRET3"}',
        '{"USER_TOKEN":"SECRET1"}',
        '{"data":{"user_token":"SECRET-cut-off-in-the-midd',
        '{"password":"with \\"quotes\\" SECRET"}',
    ],
)
def test_tokens_nobody_told_us_of_are_hidden(text: str) -> None:
    assert "SECRET" not in redact(text)


VALUES = ["Ann", "Пётр/Ann", "back\\slash Ann", "tab\tAnn", 'The "Ann" salon', 'ends in quotes "Ann"']


@pytest.mark.parametrize(
    "name", ["phone", "client_phone", "email", "name", "surname", "patronymic", "display_name"]
)
def test_personal_fields_are_hidden(name: str) -> None:
    for value, separators, ascii_only in product(VALUES, [(",", ":"), (", ", ": ")], [True, False]):
        row = {"id": 1, name: value, "title": "stays"}
        shown = redact(json.dumps(row, separators=separators, ensure_ascii=ascii_only))
        assert "Ann" not in shown, value
        assert "stays" in shown


@pytest.mark.parametrize("value", [79991234567, 7.9991234567e10])
def test_a_phone_that_comes_as_a_number_is_hidden(value: Any) -> None:
    assert "9991234567" not in redact(json.dumps({"phone": value, "referrer_phone": value}))


def test_ordinary_words_stay() -> None:
    text = "User may not do that: user permissions are missing, the user id is 12345."
    assert redact(text) == text


# The cost


@pytest.mark.parametrize(
    "begin",
    [
        '{"name":"',
        '{"success":true,"data":{"loyalty_transactions":[],"name":"',
        '{"phone":',
        "User 1",
        "Bearer ",
        '"name":"' * 9,
    ],
)
@pytest.mark.parametrize("piece", ["a", "\\", '\\"', "1", '"name":"', "\0"])
def test_what_an_answer_costs_is_bounded_by_what_is_kept_of_it(begin: str, piece: str) -> None:
    """Four megabytes that a server can send in a few kilobytes once cost 600 MB."""
    text = begin + piece * (4 * 1024 * 1024 // len(piece))
    tracemalloc.start()
    try:
        redact(text, secrets=["partner-token-1234", "user-token-5678"], limit=500)
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1024 * 1024


@pytest.mark.parametrize("known", [True, False])
def test_no_half_of_a_secret_stays_where_a_long_text_is_cut(known: bool) -> None:
    """Also where what stands before it shrank to masks, so that the end of what was looked at is kept."""
    secret, filler = "0123456789abcdefghijklmnopqrstuvwxyz", "F1" * 200
    for distance in range(270):
        text = filler * 26 + "x" * distance + f" User {secret}" + " c" * 5_000
        kept = redact(text, secrets=[filler, secret] if known else [filler], limit=500)
        assert MASK in kept
        assert secret[:5] not in kept


@pytest.mark.parametrize(
    "how",
    ["+1 315 555-01-75", "+7 (999) 123 - 45 - 67", "+13155550175", "+123456789", "jane.doe@example.com"],
)
def test_a_phone_or_an_address_in_somebodys_words_is_masked(how: str) -> None:
    assert redact(f"No card of {how} here.") == f"No card of {MASK} here."


@pytest.mark.parametrize(
    "text",
    [
        *("2026-11-27T19:38:35+03:00", "visit 118389447", "1e+10", "100 + 200 = 300"),
        *("+10 000.00 points", "+1 000 000 points", "+250 000.00"),
    ],
)
def test_a_moment_an_id_and_a_sum_are_no_phone(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize("how", ["jane@example.com", "Hi\njane@example.com\nBye", "+13155550175"])
def test_what_is_masked_in_json_in_json__leaves_it_json(how: str) -> None:
    assert MASK in json.loads(json.loads(redact(json.dumps(json.dumps({"text": how})))))["text"]
