"""Whatever a server sends, only an `ApiError` leaves the client, and none of its tokens is in what is raised or logged."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import Phase, given, settings

from altegio_loyalty import exceptions
from altegio_loyalty.client import AltegioClient, Limits, Transport
from altegio_loyalty.client.hidden import Hidden
from tests.client.anything import examples, raw_answers
from tests.client.rawserver import PARTNER, TOKENS, USER, RawServer, Sending, order_of, transport_to, withdraw

LOGIN, PASSWORD = "login-5c07e1b2d3", "password-99f2abd1"


@pytest.fixture(scope="module")
def line() -> Iterator[tuple[Sending, Transport]]:
    sending = Sending()
    limits = Limits(connect_timeout=10, read_timeout=10, total_timeout=20, answer_bytes=20_000)
    with RawServer(sending.behave) as server, transport_to(server.url, limits) as transport:
        yield sending, transport


def _told(error: BaseException) -> str:
    """All that an error says of itself and of what it came from."""
    own = [repr(error), str(error), repr(vars(error)), "".join(traceback.format_exception(error))]
    return "\n".join([*own, *(_told(below) for below in (error.__cause__, error.__context__) if below)])


def parts_of(secrets: Sequence[str], answer: bytes) -> list[str]:
    """What must not be told: the secrets, and their beginnings where the server sends none of these alone."""
    rest = answer
    for secret in secrets:
        rest = rest.replace(secret.encode(), b"")
    return [*secrets, *(secret[:8] for secret in secrets if secret[:8].encode() not in rest)]


# The server knows what is sent to it, so each call hides just that.
@settings(examples(100), derandomize=True, phases=[Phase.explicit, Phase.generate])
@given(answer=raw_answers(PARTNER, USER))
def test_any_answer_ends_every_endpoint_in_a_value_or_an_api_error_that_holds_no_token(
    line: tuple[Sending, Transport], caplog: pytest.LogCaptureFixture, answer: bytes
) -> None:
    sending, transport = line
    sending.answer = answer
    client = AltegioClient(transport, TOKENS)
    for call in (
        lambda: withdraw(client),
        lambda: client.send(order_of("cancel_card_withdrawal")),
        lambda: client.send(order_of("apply_discount_program", program_id=3)),
        lambda: client.send(order_of("cancel_discount_program", program_id=3)),
        lambda: client.visit_details(1, 2, 3),
        lambda: client.visit(1),
        lambda: client.records_page(1, start_date="2026-01-01", end_date="2026-01-01"),
        lambda: client.client_cards(1),
        lambda: client.company(1),
        lambda: client.user_permissions(1),
    ):
        check(call, parts_of((PARTNER, USER), answer), caplog)


@settings(examples(100), derandomize=True, phases=[Phase.explicit, Phase.generate])
@given(answer=raw_answers(PARTNER, LOGIN, PASSWORD))
def test_any_answer_to_a_login_ends_in_a_token_or_an_api_error_that_holds_no_password(
    line: tuple[Sending, Transport], caplog: pytest.LogCaptureFixture, answer: bytes
) -> None:
    sending, transport = line
    sending.answer = answer
    client = AltegioClient(transport, TOKENS)
    secrets = (PARTNER, LOGIN, PASSWORD)
    check(lambda: client.auth(Hidden(LOGIN), Hidden(PASSWORD)), parts_of(secrets, answer), caplog)


def check(call: Callable[[], Any], hidden: list[str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.clear()
    caplog.set_level(logging.DEBUG)
    told = ""
    try:
        call()
    except exceptions.ApiError as error:
        assert not isinstance(error, exceptions.NotSent)
        told = _told(error)
    for part in hidden:
        assert part not in told
        assert part not in caplog.text
