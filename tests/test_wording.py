"""One plain sentence for every state of every kind, in the person's language, with the right figures and no secrets."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone, translation

from altegio_loyalty.models import Location, LoyaltyOperation, Visit
from altegio_loyalty.wording import clock, isolated, points, reason

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
        ("100", "150", ["more than was asked", "150", "100", "person"]),
    ],
)
def test_what_was_taken_is_told_truthfully(asked: str, taken: str, texts: list[str]) -> None:
    sentence = operation(amount=Decimal(asked), applied_amount=Decimal(taken)).sentence
    for text in texts:
        assert text in sentence


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
            "already shows 40 points",
        ),
        (PROMOTE, "rejected", {"ending": "already_there"}, "already shows this promotion"),
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
