"""Whatever a server sends instead of Altegio's answers, no page breaks, and no token gets into the log or the database."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from hypothesis import Phase, given, settings

from altegio_loyalty.models import OperationAttempt
from tests.admin.addresses import KINDS, House, ask, undone
from tests.client.anything import examples, raw_answers
from tests.client.rawserver import RawServer, Sending
from tests.delivery.salon import QUICK

# What a page does with an answer is the same on every database.
pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]

TOKENS = ("PartnerAmber", "UserAmber")  # of the salon that is asked about


@pytest.fixture
def line(settings: Any) -> Iterator[Sending]:
    sending = Sending()
    with RawServer(sending.behave) as server:
        settings.ALTEGIO_LOYALTY = {**QUICK, "API_URL": server.url, "MAX_ANSWER_BYTES": 20_000}
        yield sending


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def browser(house: House) -> Client:
    return house.browser("superuser")


#: The addresses that read Altegio or send to it.
READING = [
    ("GET", "visit/<path:object_id>/change/"),
    ("GET", "visit/operate/<str:kind>/row/"),
    ("POST", "visit/operate/<str:kind>/"),
    ("POST", "visit/refresh/"),
    ("POST", "visit/find/"),
    ("POST", "visit/<int:visit_id>/step/"),
    ("POST", "visit/batches/<uuid:batch>/step/"),
    ("POST", "loyaltyoperation/decide/"),
    ("POST", "location/<path:object_id>/test-connection/"),
]


@settings(examples(25), derandomize=True, phases=[Phase.explicit, Phase.generate])
@given(answer=raw_answers(*TOKENS))
def test_no_answer_breaks_a_page_or_gets_a_token_into_the_log(
    line: Sending, house: House, browser: Client, caplog: pytest.LogCaptureFixture, answer: bytes
) -> None:
    line.answer = answer
    caplog.clear()
    caplog.set_level(logging.DEBUG)
    with undone():
        for kind in KINDS:
            assert ask(browser, "GET", "visit/operate/<str:kind>/", house.mine, kind).status_code == 200
        for method, route in READING:
            # What the page raises is raised here as well.
            assert ask(browser, method, route, house.mine).status_code in (200, 302), route
        kept = " ".join(f"{row.error} {row.answer}" for row in OperationAttempt.objects.all())
    for token in TOKENS:
        assert token not in kept
        assert token not in caplog.text
