"""What an answer or failure means, and when to try again, as tables."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, strategies as st

from altegio_loyalty import exceptions, kinds, policy
from altegio_loyalty.client import Order, VisitDetails
from altegio_loyalty.exceptions import ApiError
from altegio_loyalty.kinds import Effect, effect_on
from altegio_loyalty.policy import (
    Meaning,
    RetryRules,
    Truth,
    backoff,
    is_done,
    may_try_again,
    truth_of_lookup,
)
from altegio_loyalty.wording import reason
from tests.client.anything import examples

E = exceptions
TABLE = [
    # error, after a POST, after the read before it, says something of Altegio as a whole
    (E.NotSent, Meaning.NOT_DONE, Meaning.NOT_DONE, True),
    (E.NoAnswer, Meaning.UNKNOWN, Meaning.NOT_DONE, True),
    (E.UnreadableAnswer, Meaning.UNKNOWN, Meaning.NOT_DONE, True),
    (E.RowNotKnown, Meaning.UNKNOWN, Meaning.NOT_DONE, False),
    (E.NotShown, Meaning.UNKNOWN, Meaning.NOT_DONE, True),
    (E.ServerError, Meaning.UNKNOWN, Meaning.NOT_DONE, True),
    (E.RateLimited, Meaning.NOT_DONE, Meaning.NOT_DONE, True),
    (E.Throttled, Meaning.NOT_DONE, Meaning.NOT_DONE, True),
    (E.Unauthorized, Meaning.TOKENS_REFUSED, Meaning.TOKENS_REFUSED, False),
    (E.Refused, Meaning.REFUSED, Meaning.NOT_DONE, False),
    (E.ApiError, Meaning.UNKNOWN, Meaning.NOT_DONE, True),
]


@pytest.mark.parametrize(("error", "send", "look", "is_outage"), TABLE)
def test_what_a_failure_means(error: type[ApiError], send: Meaning, look: Meaning, is_outage: bool) -> None:
    assert policy.meaning_of_send(error()) is send
    assert policy.meaning_of_look(error()) is look
    assert policy.is_outage(error()) is is_outage


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (404, Meaning.REFUSED),
        (410, Meaning.REFUSED),
        *((status, Meaning.NOT_DONE) for status in (200, 400, 402, 403, 405, 409, 422)),
    ],
)
def test_a_look_is_refused_for_good_only_where_altegio_does_not_know_the_visit(
    status: int, meaning: Meaning
) -> None:
    """Nothing was sent, so that another look costs nothing."""
    assert policy.meaning_of_look(E.Refused("no", http_status=status)) is meaning


def test_every_api_error_is_in_the_table() -> None:
    classes = {
        each for each in vars(exceptions).values() if isinstance(each, type) and issubclass(each, ApiError)
    }
    assert classes == {row[0] for row in TABLE}


def test_an_error_of_tomorrow_is_in_doubt() -> None:
    class New(ApiError):
        """Nobody thought of it yet."""

    assert policy.meaning_of_send(New()) is Meaning.UNKNOWN


def told(error: ApiError) -> str:
    """What a person reads, after the log has kept it."""
    return reason(policy.reason_of(error).stored())


# Effects


def order(kind: str, card_id: int, program_id: int | None = None, amount: Decimal | None = None) -> Order:
    return Order(
        kind=kind,
        location_id=1,
        visit_id=2,
        record_id=3,
        card_id=card_id,
        program_id=program_id,
        amount=amount,
    )


WITHDRAWAL = {"id": 1, "type_id": 3, "card_id": 5, "amount": 40}
DISCOUNT = {"id": 2, "type_id": 1, "card_id": 5, "program_id": 9, "amount": 0, "is_discount": True}


def visit(*rows: dict[str, Any]) -> VisitDetails:
    return VisitDetails.parse({"loyalty_transactions": list(rows)})


@pytest.mark.parametrize(
    ("kind", "rows", "effect", "done"),
    [
        (kinds.APPLY_CARD_WITHDRAWAL.name, [], Effect(False, Decimal(0)), False),
        (kinds.APPLY_CARD_WITHDRAWAL.name, [WITHDRAWAL], Effect(True, Decimal(40)), True),
        (
            kinds.APPLY_CARD_WITHDRAWAL.name,
            [WITHDRAWAL, {**WITHDRAWAL, "id": 3}],
            Effect(True, Decimal(80)),
            True,
        ),
        (kinds.APPLY_CARD_WITHDRAWAL.name, [{**WITHDRAWAL, "card_id": 6}], Effect(False, Decimal(0)), False),
        (kinds.APPLY_CARD_WITHDRAWAL.name, [DISCOUNT], Effect(False, Decimal(0)), False),
        (kinds.CANCEL_CARD_WITHDRAWAL.name, [], Effect(False, Decimal(0)), True),
        (kinds.CANCEL_CARD_WITHDRAWAL.name, [WITHDRAWAL], Effect(True, Decimal(40)), False),
        (kinds.APPLY_DISCOUNT_PROGRAM.name, [], Effect(False, Decimal(0)), False),
        (kinds.APPLY_DISCOUNT_PROGRAM.name, [DISCOUNT], Effect(True, Decimal(0)), True),
        (kinds.APPLY_DISCOUNT_PROGRAM.name, [{**DISCOUNT, "amount": 7}], Effect(True, Decimal(7)), True),
        (
            kinds.APPLY_DISCOUNT_PROGRAM.name,
            [{**DISCOUNT, "program_id": 8}],
            Effect(False, Decimal(0)),
            False,
        ),
        (kinds.APPLY_DISCOUNT_PROGRAM.name, [WITHDRAWAL], Effect(False, Decimal(0)), False),
        (kinds.CANCEL_DISCOUNT_PROGRAM.name, [], Effect(False, Decimal(0)), True),
        (kinds.CANCEL_DISCOUNT_PROGRAM.name, [DISCOUNT], Effect(True, Decimal(0)), False),
    ],
)
def test_what_a_visit_shows_of_a_target(kind: str, rows: list[Any], effect: Effect, done: bool) -> None:
    target = order(kind, card_id=5, program_id=9, amount=Decimal(100))
    assert effect_on(visit(*rows), target) == effect
    assert is_done(target, effect) is done


@pytest.mark.parametrize("kind", kinds.TABLE)
def test_row_that_could_be_the_effect_and_nobody_can_judge__is_no_effect(kind: str) -> None:
    """Neither there nor away: whoever asks gets an error, and can take it for neither."""
    target = order(kind, card_id=5, program_id=9, amount=Decimal(100))
    row = WITHDRAWAL if kinds.TABLE[kind].moves_points else DISCOUNT
    with pytest.raises(E.RowNotKnown, match=r"loyalty_transactions\[0\]\.status_id"):
        effect_on(visit({**row, "status_id": 7}), target)


NOTHING, SOME = Effect(False, Decimal(0)), Effect(True, Decimal(40))
NO_MONEY = Effect(True, Decimal(0))


@pytest.mark.parametrize(
    ("kind", "effect", "was_seen", "is_settled", "truth"),
    [
        (kinds.APPLY_CARD_WITHDRAWAL, SOME, True, False, Truth.HAPPENED),
        (kinds.APPLY_CARD_WITHDRAWAL, SOME, True, True, Truth.HAPPENED),
        (kinds.APPLY_CARD_WITHDRAWAL, NOTHING, True, False, Truth.STILL_OPEN),
        (kinds.APPLY_CARD_WITHDRAWAL, NOTHING, True, True, Truth.DID_NOT_HAPPEN),
        (kinds.APPLY_DISCOUNT_PROGRAM, NO_MONEY, True, False, Truth.HAPPENED),
        (kinds.APPLY_DISCOUNT_PROGRAM, NOTHING, True, True, Truth.DID_NOT_HAPPEN),
        (kinds.CANCEL_CARD_WITHDRAWAL, NOTHING, True, False, Truth.HAPPENED),
        (kinds.CANCEL_CARD_WITHDRAWAL, SOME, True, False, Truth.STILL_OPEN),
        (kinds.CANCEL_CARD_WITHDRAWAL, SOME, True, True, Truth.DID_NOT_HAPPEN),
        (kinds.CANCEL_DISCOUNT_PROGRAM, NO_MONEY, True, True, Truth.DID_NOT_HAPPEN),
        (kinds.CANCEL_DISCOUNT_PROGRAM, NOTHING, True, True, Truth.HAPPENED),
        # Nobody looked before the call: what is there may have been there already, or be somebody else's.
        (kinds.APPLY_CARD_WITHDRAWAL, SOME, False, False, Truth.STILL_OPEN),
        (kinds.APPLY_CARD_WITHDRAWAL, SOME, False, True, Truth.STILL_OPEN),
        (kinds.APPLY_CARD_WITHDRAWAL, NOTHING, False, True, Truth.DID_NOT_HAPPEN),
        (kinds.CANCEL_CARD_WITHDRAWAL, NOTHING, False, False, Truth.STILL_OPEN),
        (kinds.CANCEL_CARD_WITHDRAWAL, NOTHING, False, True, Truth.HAPPENED),
    ],
)
def test_what_a_lookup_proves(
    kind: kinds.Kind, effect: Effect, was_seen: bool, is_settled: bool, truth: Truth
) -> None:
    target = order(kind.name, card_id=5, program_id=9)
    assert truth_of_lookup(target, effect, was_seen=was_seen, is_settled=is_settled) is truth


# When

RULES = RetryRules(delay=5, delay_max=300, minute_window=60)


def highest(low: float, high: float) -> float:
    return high


def lowest(low: float, high: float) -> float:
    return low


@pytest.mark.parametrize(
    ("count", "ceiling"),
    [(-5, 5), (0, 5), (1, 5), (2, 10), (3, 20), (6, 160), (7, 300), (8, 300), (10**9, 300)],
)
def test_the_wait_doubles_up_to_its_limit(count: int, ceiling: float) -> None:
    assert backoff(count, RULES, draw=highest) == ceiling
    assert backoff(count, RULES, draw=lowest) == 0


@pytest.mark.parametrize(
    ("error", "least"),
    [
        (None, 0),
        (E.ServerError(), 0),
        (E.ServerError(retry_after=42), 42),
        (E.RateLimited(retry_after=1), 1),
        (E.RateLimited(), 60),
        (E.Throttled(retry_after=0.2), 0.2),
        (E.Throttled(), 60),
        (E.NotSent(retry_after=3600), 3600),
    ],
)
def test_the_servers_wish_and_the_minute_are_waited_for(error: ApiError | None, least: float) -> None:
    assert backoff(1, RULES, error, draw=lowest) == least
    assert backoff(1, RULES, error, draw=highest) == max(5, least)


def test_no_delay_means_none() -> None:
    assert backoff(5, RetryRules(0, 300, 0)) == 0
    assert backoff(5, RetryRules(5, 0, 0)) == 0
    assert backoff(5, RetryRules(0, 0, 0), E.RateLimited()) == 0


seconds = st.floats(0, 10**8)


@examples(300)
@given(
    count=st.integers(-(10**20), 10**20),
    delay=seconds,
    delay_max=seconds,
    minute=seconds,
    retry_after=st.none() | st.floats(0.001, 3600),
    cls=st.sampled_from([None, E.ServerError, E.RateLimited, E.Throttled, E.NotSent]),
)
def test_the_wait_is_never_negative_nor_beyond_all_its_limits(
    count: int, delay: float, delay_max: float, minute: float, retry_after: float | None, cls: Any
) -> None:
    error = cls(retry_after=retry_after) if cls else None
    wait = backoff(count, RetryRules(delay, delay_max, minute), error)
    wish = (error.retry_after if error is not None else 0) or 0
    window = minute if isinstance(error, E.RateLimited) and error.retry_after is None else 0
    assert 0 <= wait <= max(delay_max, wish, window)
    assert wait >= max(wish, window)


@pytest.mark.parametrize(
    ("count", "limit", "next_at", "expires_at", "may"),
    [
        (0, 8, 10, 20, True),
        (7, 8, 10, 20, True),
        (8, 8, 10, 20, False),
        (9, 8, 10, 20, False),
        (10**6, None, 10, 20, True),
        (0, 8, 20, 20, False),
        (0, 8, 21, 20, False),
        (0, 8, 10**9, None, True),
        (0, 0, 10, 20, False),
        (10**6, None, 10**9, None, True),
    ],
)
def test_another_attempt_must_fit_into_the_limits(
    count: int, limit: int | None, next_at: float, expires_at: float | None, may: bool
) -> None:
    assert (
        may_try_again(attempt_count=count, attempt_limit=limit, next_at=next_at, expires_at=expires_at) is may
    )


# Words


@pytest.mark.parametrize(
    ("error", "texts"),
    [
        (E.Refused("Not found", http_status=404), ["does not know", "Not found"]),
        (E.Refused("no", http_status=403), ["may not use loyalty", "no"]),
        (E.Refused("no", http_status=402), ["licence", "no"]),
        (E.Refused("too late", http_status=422), ["too late"]),
        (E.ServerError("<html>", http_status=502), ["502", "<html>"]),
        (E.ServerError("HTTP 301", http_status=301), ["API_URL", "wrong", "301"]),
        (E.NotShown("Карта не найдена", http_status=200), ["does not show the visit", "Карта не найдена"]),
        (E.NotSent("Altegio could not be reached (x)"), ["could not be reached"]),
        (
            E.Unauthorized("Authentication needed.", http_status=401),
            ["does not accept the tokens", "Authentication needed."],
        ),
        (E.Unauthorized("A token of this location is missing."), ["A token of this location is missing."]),
        (E.Throttled("Used up for 60 seconds."), ["Used up for 60 seconds."]),
    ],
)
def test_the_reason_is_a_sentence_with_the_hint_of_its_status(error: ApiError, texts: list[str]) -> None:
    for text in texts:
        assert text in told(error)


def test_the_reason_of_a_429_leaves_out_the_seconds_that_altegio_names() -> None:
    error = E.RateLimited("Request limit exceeded, try again in 0 seconds.", http_status=429)
    assert told(error) == "Altegio's limit of requests is used up."


@pytest.mark.parametrize("row", TABLE)
def test_every_failure_has_a_reason(row: Any) -> None:
    assert told(row[0]()).strip()
