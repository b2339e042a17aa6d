"""One plain sentence for every state of every kind, in the person's language, with the right figures and no secrets."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone, translation

from altegio_loyalty.models import Location, LoyaltyOperation, Visit
from altegio_loyalty.wording import clock, isolated, points, reason

pytestmark = pytest.mark.one_database

APPLY, CANCEL, PROMOTE, DEMOTE = (
    "apply_card_withdrawal",
    "cancel_card_withdrawal",
    "apply_discount_program",
    "cancel_discount_program",
)
NOW = datetime.datetime(2026, 1, 1, 12, 34, 56, tzinfo=datetime.UTC)
TOKEN, PHONE = "partner-0123456789", "+79991234567"


def operation(kind: str = APPLY, status: str = "succeeded", **columns: Any) -> LoyaltyOperation:
    location = Location(id=1, title="Salon", partner_token=TOKEN, user_token=TOKEN)
    if columns.pop("is_paused", False):
        location.refused_at = NOW
    location.is_active = columns.pop("is_active", True)
    visit = Visit(id=2, location=location, record_id=3, client_name="Anna", client_phone=PHONE)
    defaults = {"amount": Decimal(100) if kind == APPLY else None, "last_error": "Altegio did not answer (x)"}
    return LoyaltyOperation(
        pk=1, kind=kind, status=status, location=location, visit=visit, card_id=4, **{**defaults, **columns}
    )


AMOUNTS = [
    None,
    Decimal(0),
    Decimal("0.5"),
    Decimal(30),
    Decimal(100),
    Decimal("100.00"),
    Decimal(150),
    Decimal("9999999999.99"),
]


@pytest.mark.parametrize("language", ["en", "ru", "de", "ar"])
@pytest.mark.parametrize("status", LoyaltyOperation.Status.values)
@pytest.mark.parametrize("kind", LoyaltyOperation.Kind.values)
def test_every_state_of_every_kind_has_a_sentence(kind: str, status: str, language: str) -> None:
    with translation.override(language):
        for ending in ["", *LoyaltyOperation.Ending.values]:
            for amount in AMOUNTS:
                for more in (
                    {},
                    {"is_paused": True},
                    {"next_attempt_at": NOW},
                    {"is_stopping": True},
                    {"last_error": ""},
                    {"last_error": "100 % of {x} %(y)s %s <b>"},
                ):
                    sentence = operation(
                        kind,
                        status,
                        ending=ending,
                        applied_amount=amount,
                        returned_amount=amount,
                        seen_before=amount,
                        **more,
                    ).sentence
                    assert isinstance(sentence, str)
                    assert len(sentence.strip()) > 5
                    assert TOKEN not in sentence
                    assert PHONE not in sentence
                    assert "None" not in sentence
                    assert "%(taken)" not in sentence


@pytest.mark.parametrize(
    ("asked", "taken", "texts"),
    [
        ("100", "100", ["Done", "100 points taken"]),
        ("100", "100.00", ["Done", "100 points taken"]),
        ("99.5", "99.5", ["Done", "99.50 points taken"]),
        ("100", "30", ["Less than asked", "30 of 100"]),
        ("100", "99.99", ["Less than asked", "99.99 of 100"]),
        ("100", "0", ["Nothing was taken", "0 of 100"]),
        ("100", "150", ["showed more than was asked", "150", "100"]),
    ],
)
def test_what_was_taken_is_told_truthfully(asked: str, taken: str, texts: list[str]) -> None:
    sentence = operation(amount=Decimal(asked), applied_amount=Decimal(taken)).sentence
    for text in texts:
        assert text in sentence


def test_only_what_nobody_has_closed_asks_for_a_person() -> None:
    columns: dict[str, Any] = {"applied_amount": Decimal(150), "discrepancy": "More than the log explains."}
    assert operation(**columns).sentence.endswith("A person must look.")
    assert "person" not in operation(**columns, closed_at=NOW).sentence


@pytest.mark.parametrize("kind", [CANCEL, DEMOTE])
def test_a_cancel_whose_effect_the_answer_did_not_show_is_not_called_done(kind: str) -> None:
    odd = '{"code": "still_shown", "there": "30"}'
    sentence = operation(kind, returned_amount=Decimal(0), discrepancy=odd).sentence
    assert "still showed" in sentence
    assert "Done" not in sentence


def test_a_cancel_whose_effect_a_later_reading_showed_names_no_figure_that_the_answer_did_not() -> None:
    assert operation(CANCEL, returned_amount=Decimal(0)).sentence == "Done: the points are back on the card."


def test_nobody_guesses_why_nothing_was_taken() -> None:
    """The answer does not say it: a card may have limits of its own."""
    assert "(0 of 100 points): this happens when" in operation(applied_amount=Decimal(0)).sentence


def test_a_promotion_that_took_nothing_off_is_not_said_to_be_gone() -> None:
    assert "no longer" in operation(PROMOTE, applied_amount=Decimal(1), undone_at=NOW).sentence
    assert "no longer" not in operation(PROMOTE, applied_amount=Decimal(0), undone_at=NOW).sentence


def test_a_success_without_figures_claims_none() -> None:
    assert "does not show" in operation(applied_amount=None).sentence


@pytest.mark.parametrize(
    ("kind", "status", "columns", "text"),
    [
        (CANCEL, "succeeded", {"returned_amount": Decimal(30)}, "30 points given back"),
        (CANCEL, "succeeded", {}, "back on the card"),
        (CANCEL, "succeeded", {"ending": "nothing_to_cancel"}, "Nothing to cancel"),
        (PROMOTE, "succeeded", {"applied_amount": Decimal(20)}, "20 off the bill"),
        (PROMOTE, "succeeded", {"applied_amount": Decimal(0)}, "Nothing was taken off"),
        (PROMOTE, "succeeded", {}, "promotion is applied"),
        (DEMOTE, "succeeded", {}, "taken back"),
        (DEMOTE, "succeeded", {"ending": "nothing_to_cancel"}, "Nothing to take back"),
        (APPLY, "succeeded", {"ending": "decided_happened"}, "person confirmed"),
        (
            APPLY,
            "rejected",
            {"ending": "already_there", "seen_before": Decimal(40)},
            "already showed 40 points",
        ),
        (PROMOTE, "rejected", {"ending": "already_there"}, "already showed this promotion"),
        (
            APPLY,
            "rejected",
            {"last_error": "No such card."},
            "Refused by Altegio, nothing was changed: No such card.",
        ),
        (APPLY, "pending", {"last_error": ""}, "Waiting to be sent"),
        (APPLY, "pending", {"next_attempt_at": NOW}, "goes on by itself"),
        (APPLY, "pending", {"is_paused": True}, "tokens"),
        (APPLY, "sending", {}, "Being sent"),
        (APPLY, "unconfirmed", {"unanswered_at": NOW}, "we are checking, do not repeat it"),
        (APPLY, "unconfirmed", {"sent_at": NOW, "is_stopping": True}, "will not send it again"),
        (APPLY, "unconfirmed", {}, "stopped before anything was sent"),
        (APPLY, "unconfirmed", {"is_paused": True}, "stopped before anything was sent"),
        (APPLY, "failed", {"last_error": "Out of time."}, "no longer tried: Out of time."),
        (APPLY, "failed", {"ending": "decided_did_not_happen"}, "did not happen"),
        (APPLY, "abandoned", {}, "nothing was changed"),
    ],
)
def test_the_sentence_of_a_state(kind: str, status: str, columns: dict[str, Any], text: str) -> None:
    assert text in operation(kind, status, **columns).sentence


def test_nothing_in_doubt_is_called_done_or_not_done() -> None:
    sentence = operation(status="unconfirmed", unanswered_at=NOW).sentence
    assert "Done" not in sentence
    assert "Not done" not in sentence
    assert "nothing was" not in sentence


@pytest.mark.parametrize(
    ("language", "amount", "text"),
    [
        ("en", "100.00", "100"),
        ("en", "99.5", "99.50"),
        ("en", "0.01", "0.01"),
        ("ru", "99.5", "99,50"),
        ("de", "0.5", "0,50"),
    ],
)
def test_points_are_written_as_the_person_writes_them(language: str, amount: str, text: str) -> None:
    with translation.override(language):
        assert points(Decimal(amount)) == text
    assert points(None) == "?"


def test_the_time_is_that_of_the_current_time_zone() -> None:
    with timezone.override(datetime.timezone(datetime.timedelta(hours=5))):
        assert clock(NOW) == "17:34:56"
    assert clock(NOW.replace(tzinfo=None)) == "12:34:56"


@pytest.mark.parametrize("status", LoyaltyOperation.Status.values)
def test_a_sentence_asks_the_database_for_nothing_more(
    status: str, django_assert_num_queries: Any, db: None
) -> None:
    one = operation(status=status)
    with django_assert_num_queries(0):
        assert one.sentence


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("Altegio did not answer.", "Altegio не ответил."),
        ("Altegio did not answer. ReadTimeout: x", "Altegio не ответил. ReadTimeout: x"),
        ("Altegio refused. (Not (yet) open)", "Altegio отказал. (Not (yet) open)"),
        (
            "This site has used up its requests to Altegio for 60 seconds.",
            "Лимит запросов этого сайта к Altegio исчерпан, подождите 60 с.",
        ),
        (
            "The visit shows 99,50 from this card, the log explains 20.",
            "В визите списано с этой карты 99,50, по журналу должно быть 20.",
        ),
        (
            "Altegio answered with success, but the visit still shows 30.",
            "Altegio ответил, что всё выполнено, но в визите по-прежнему 30.",
        ),
        (
            "Altegio's answer could not be read: id is missing. (x)",
            "Ответ Altegio не удалось прочитать: id is missing. (x)",
        ),
        ("Altegio refused.Not", "Altegio refused.Not"),
        ("The client has left. (422)", "The client has left. (422)"),
        ("100% %(there)s", "100% %(there)s"),
        ("", ""),
    ],
)
def test_what_the_log_keeps_in_english_is_shown_in_the_persons_language(stored: str, shown: str) -> None:
    with translation.override("ru"):
        assert reason(stored) == shown
    with translation.override("en"):
        assert reason(stored) == stored


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Jane Miller", "Jane Miller"),
        ("Анна", "Анна"),
        ("", ""),
        ("\u202e50 Gold", "50 Gold"),
        ("a\u2069\u202eb", "ab"),
        ("محمد", "\u2068محمد\u2069"),
        ("\u202eעברית", "\u2068עברית\u2069"),
    ],
)
def test_no_name_turns_around_what_stands_beside_it(name: str, shown: str) -> None:
    assert isolated(name) == shown


@pytest.mark.parametrize(
    ("columns", "told", "not_told"),
    [
        ({"is_active": False}, "switched off", "tokens"),
        ({"is_paused": True}, "tokens", "switched off"),
        ({"is_active": False, "is_paused": True}, "switched off", "renewed"),
    ],
)
def test_what_waits_for_its_location_says_for_what(columns: Any, told: str, not_told: str) -> None:
    """New tokens help nobody while the location is switched off."""
    sentence = operation(APPLY, "pending", next_attempt_at=NOW, **columns).sentence
    assert told in sentence
    assert not_told not in sentence
    assert "by itself" not in sentence


@pytest.mark.parametrize("columns", [{"is_active": False}, {"is_paused": True}])
@pytest.mark.parametrize("is_stopping", [True, False])
def test_a_doubt_that_nobody_can_check_says_so(columns: Any, is_stopping: bool) -> None:
    """Nothing is sent for a location that is switched off, so nobody is "checking"."""
    sentence = operation(APPLY, "unconfirmed", unanswered_at=NOW, is_stopping=is_stopping, **columns).sentence
    assert "nobody can check" in sentence
    assert "we are checking" not in sentence


LONG_AGO, SOON = NOW, datetime.datetime(2126, 1, 1, tzinfo=datetime.UTC)


def _works(row: LoyaltyOperation) -> bool:
    return row.location.is_working


def _was_sent(row: LoyaltyOperation) -> bool:
    return row.unanswered_at is not None


def _took(row: LoyaltyOperation, low: int, high: int) -> bool:
    is_plain = row.status == "succeeded" and not row.ending and row.kind == APPLY
    return is_plain and row.applied_amount is not None and low <= row.applied_amount <= high


#: Each sentence, and what in the row makes it true: it is said then, and at no other time.
WHEN_SAID: dict[str, Callable[[LoyaltyOperation], Any]] = {
    "Waiting to be sent.": lambda row: row.status == "pending" and _works(row) and not row.last_error,
    "goes on by itself at": lambda row: row.status == "pending" and _works(row) and row.last_error,
    "at the latest; then a person decides": lambda row: (
        row.status == "pending" and _works(row) and row.last_error and row.expires_at
    ),
    "goes on when it is switched on": lambda row: row.status == "pending" and not row.location.is_active,
    "goes on when this location's tokens": lambda row: (
        row.status == "pending" and row.location.is_active and row.location.is_paused
    ),
    "Being sent now. Without a result by": lambda row: (
        row.status == "sending" and (row.next_attempt_at is None or row.next_attempt_at > timezone.now())
    ),
    "It is not written down what became of it": lambda row: (
        row.status == "sending" and row.next_attempt_at is not None and row.next_attempt_at <= timezone.now()
    ),
    "stopped before anything was sent": lambda row: row.status == "unconfirmed" and not _was_sent(row),
    "nobody can check": lambda row: row.status == "unconfirmed" and _was_sent(row) and not _works(row),
    "we are checking, do not repeat it": lambda row: (
        row.status == "unconfirmed" and _was_sent(row) and _works(row) and not row.is_stopping
    ),
    "will not send it again": lambda row: (
        row.status == "unconfirmed" and _was_sent(row) and _works(row) and row.is_stopping
    ),
    "It is clear at": lambda row: (
        row.status == "unconfirmed" and _was_sent(row) and _works(row) and row.settles_at > timezone.now()
    ),
    "It is clear as soon as": lambda row: (
        row.status == "unconfirmed" and _was_sent(row) and _works(row) and row.settles_at <= timezone.now()
    ),
    "take only what is left to pay there": lambda row: (
        row.status == "unconfirmed" and _was_sent(row) and _works(row)
    ),
    "Done: 100 points taken.": lambda row: _took(row, 100, 100),
    "Less than asked": lambda row: _took(row, 1, 99),
    "Nothing was taken (0 of": lambda row: _took(row, 0, 0),
    "The visit showed more than was asked": lambda row: _took(row, 101, 10**9),
    "does not show how many points were taken": lambda row: (
        row.status == "succeeded" and row.kind == APPLY and not row.ending and row.applied_amount is None
    ),
    "a person confirmed that it happened": lambda row: row.ending == "decided_happened",
    "Done: 30 points given back.": lambda row: (
        row.status == "succeeded" and row.kind == CANCEL and not row.ending and row.returned_amount == 30
    ),
    "Done: the points are back": lambda row: (
        row.status == "succeeded" and row.kind == CANCEL and not row.ending and row.returned_amount is None
    ),
    "Nothing to cancel": lambda row: row.kind == CANCEL and row.ending == "nothing_to_cancel",
    "Not done again": lambda row: row.ending == "already_there",
    "Refused by Altegio, nothing was changed": lambda row: row.status == "rejected" and not row.ending,
    "Not done, and no longer tried": lambda row: row.status == "failed" and not row.ending,
    "a person confirmed that it did not happen": lambda row: row.ending == "decided_did_not_happen",
    "Its call may still arrive": lambda row: row.holds_card_until is not None,
    "Stopped before it took effect": lambda row: row.status == "abandoned",
    "It is no longer on the visit since": lambda row: (
        row.status == "succeeded" and row.undone_at is not None and row.applied_amount != 0
    ),
}


def _open_rows() -> Any:
    for status, place, error, until, sent, ends, stopping in itertools.product(
        ("pending", "sending", "unconfirmed"),
        ({}, {"is_paused": True}, {"is_active": False}),
        ("", "Altegio did not answer."),
        (None, SOON),
        (None, LONG_AGO, SOON),
        (LONG_AGO, SOON),
        (False, True),
    ):
        moments = {
            "expires_at": until,
            "unanswered_at": sent,
            "next_attempt_at": ends,
            "is_stopping": stopping,
        }
        yield operation(APPLY, status, last_error=error, **moments, **place)


def _ended_rows() -> Any:
    for taken in (None, 0, 40, 100, 150):
        yield operation(applied_amount=taken if taken is None else Decimal(taken))
        yield operation(applied_amount=taken if taken is None else Decimal(taken), undone_at=NOW)
    yield operation(ending="decided_happened")
    yield operation(CANCEL, returned_amount=Decimal(30))
    yield operation(CANCEL)
    yield operation(CANCEL, ending="nothing_to_cancel")
    for kind in (APPLY, PROMOTE):
        yield operation(kind, "rejected", ending="already_there", seen_before=Decimal(40))
        yield operation(kind, "rejected")
        for ending, held, since in itertools.product(
            ("", "decided_did_not_happen"), (None, "2:4"), (NOW, SOON)
        ):
            yield operation(kind, "failed", ending=ending, open_key=held, unanswered_at=since)
    yield operation(APPLY, "abandoned")


def test_each_sentence_is_said_when_the_row_makes_it_true__and_at_no_other_time() -> None:
    said: set[str] = set()
    for row in (*_open_rows(), *_ended_rows()):
        told = {text for text in WHEN_SAID if text in row.sentence}
        assert told, row.sentence
        assert told == {text for text, is_true in WHEN_SAID.items() if is_true(row)}, row.sentence
        said |= told
    assert said == set(WHEN_SAID)


def test_the_desk_reads_whole_sentences__and_no_details_for_developers() -> None:
    kept = '{"code": "not_sent", "said": "Altegio could not be reached; nothing was sent.", "detail": "[Errno 111]"}'
    told = operation(status="pending", last_error=kept, next_attempt_at=NOW, expires_at=NOW).sentence
    assert "nothing was sent. It is tried until" in told
    assert "Errno" not in told
    assert operation(status="rejected", last_error="No such card").sentence.endswith("No such card.")
