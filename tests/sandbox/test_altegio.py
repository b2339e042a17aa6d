"""What an Altegio answers, without a server."""

from __future__ import annotations

import pytest

from altegio_loyalty.sandbox import callers
from altegio_loyalty.sandbox.altegio import Altegio
from altegio_loyalty.sandbox.wire import Answer, Request


@pytest.fixture
def altegio(monkeypatch: pytest.MonkeyPatch) -> Altegio:
    monkeypatch.setattr(callers, "monotonic", lambda: 1000.0)
    return Altegio(partner_token="partner", user_token="user", envelope=False, rate_limit=True)


def ask(altegio: Altegio) -> Answer | None:
    location = next(iter(altegio.ledger.books.locations), None) or altegio.ledger.add_location().id
    headers = {"authorization": "Bearer partner, User user"}
    return altegio.receive(Request("GET", f"/api/v1/company/{location}", headers)).answer


def status(altegio: Altegio) -> int | None:
    """None where the connection is to be cut."""
    answer = ask(altegio)
    return None if answer is None else answer.status


def test_a_request_is_answered_from_the_books_and_noted(altegio: Altegio) -> None:
    assert status(altegio) == 200
    assert [entry.operation for entry in altegio.requests] == ["location"]


def test_a_request_too_many_is_refused(altegio: Altegio) -> None:
    assert [status(altegio) for _ in range(6)] == [200] * 5 + [429]


def test_there_is_no_answer_while_it_is_down(altegio: Altegio) -> None:
    altegio.go_down()
    assert status(altegio) is None
    altegio.come_back()
    assert status(altegio) == 200


@pytest.mark.parametrize("name", ["cut_before", "cut_after", "late_effect"])
def test_there_is_no_answer_where_a_fault_withholds_it(altegio: Altegio, name: str) -> None:
    altegio.fail(name)
    assert status(altegio) is None
    assert altegio.requests[0].fault == name


def test_a_defect_of_its_own_is_an_answer_too(altegio: Altegio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(altegio.api, "answer", lambda request: 1 / 0)
    assert status(altegio) == 500
