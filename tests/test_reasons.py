"""What the log keeps of why: a code with its figures, in no language and no number format; worded for whoever reads it."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from django.utils import translation
from hypothesis import given, strategies as st

from altegio_loyalty import exceptions, policy
from altegio_loyalty.delivery.explained import beyond_the_log
from altegio_loyalty.reasons import Reason
from altegio_loyalty.redaction import clean
from altegio_loyalty.wording import _TEMPLATES, reason
from tests.client.anything import examples

texts = st.text(max_size=700)


@examples(200)
@given(
    code=st.sampled_from([*policy._CODES.values(), *_TEMPLATES]),
    said=texts,
    detail=texts,
    limit=st.sampled_from([300, 500]),
)
def test_whatever_was_said__fits_the_column_and_is_read_again(
    code: str, said: str, detail: str, limit: int
) -> None:
    """Where it is too long, its end is lost and nothing else."""
    stored = Reason(code, {"http": "502"}, said=said, detail=detail).stored(limit)
    assert len(stored) <= limit
    kept = Reason.read(stored)
    assert kept is not None
    assert (kept.code, kept.figures) == (code, {"http": "502"})
    assert clean(said, limit).startswith(kept.said)
    assert clean(detail, limit).startswith(kept.detail)


@pytest.mark.parametrize("language", ["en", "ru", "de"])
def test_amounts_of_a_discrepancy__are_stored_without_a_number_format(language: str) -> None:
    """Whoever happened to look decides nothing about what everybody reads later."""
    with translation.override(language):
        stored = beyond_the_log(Decimal("99.50"), Decimal(10))
    assert json.loads(stored) == {"code": "beyond_the_log", "there": "99.50", "explained": "10"}


def test_amounts_of_a_discrepancy__are_shown_in_the_format_of_the_reader() -> None:
    """And in the reader's language."""
    stored = beyond_the_log(Decimal("99.50"), Decimal(10))
    assert reason(stored) == "The visit shows 99.50 from this card, the log explains 10."
    with translation.override("ru"):
        assert "99,50" in reason(stored)
        assert "The visit" not in reason(stored)


SENTENCES_OF_EARLIER_RELEASES = [
    "The visit shows 99,50 from this card, the log explains 10.",
    "Altegio answered with success, but the visit still shows 100.",
    "The worker stopped before it could report.",
    "It was not tried in time.",
    "Altegio did not answer. ReadTimeout: timed out",
    "Altegio does not know this visit, card or promotion in this location. (HTTP 404)",
    "70 of 100 were found, but nobody had looked at the visit before: they may have been there already.",
]


@pytest.mark.parametrize("sentence", SENTENCES_OF_EARLIER_RELEASES)
def test_sentence_of_an_earlier_release__is_read_in_both_languages(sentence: str) -> None:
    """As it was written, with its figures."""
    with translation.override("en"):
        assert reason(sentence) == sentence
    with translation.override("ru"):
        assert any("а" <= letter <= "я" for letter in reason(sentence))
        assert all(figure in reason(sentence) for figure in ("99,50",) if figure in sentence)


@pytest.mark.parametrize("text", ["Card is blocked", '{"code": "x"', "{}", '["code"]', '{"code": 5', ""])
def test_what_altegio_or_a_person_said__stays_as_it_is(text: str) -> None:
    """Also where it looks a little like ours."""
    assert reason(text) == text


def test_code_that_is_unknown__is_shown_with_what_was_said() -> None:
    """A newer release wrote it."""
    assert reason(Reason("moon_phase", said="Wait.").stored()) == "Wait."
    assert reason(Reason("moon_phase").stored()) == "moon_phase"
    assert reason(Reason("beyond_the_log", {"there": "1"}).stored()) == "beyond_the_log"
    assert reason(Reason("beyond_the_log", {"there": "much", "explained": "1"}).stored()) == "beyond_the_log"


def test_every_failure_of_a_call__has_words_for_its_code() -> None:
    """Whatever class it has, in the reader's language."""
    with translation.override("ru"):
        for each in policy._CODES:
            assert any("а" <= letter <= "я" for letter in reason(policy.reason_of(each()).stored()))
    for each in vars(exceptions).values():
        if isinstance(each, type) and issubclass(each, exceptions.ApiError):
            assert policy.reason_of(each()).code in policy._CODES.values()
