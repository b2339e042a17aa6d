"""The vendor's rate limit."""

from __future__ import annotations

import pytest

from altegio_loyalty.sandbox import Sandbox, callers
from altegio_loyalty.sandbox.callers import RateLimit
from tests.sandbox.scene import Caller, Scene


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Time stands still unless it is moved on."""
    clock = Clock()
    monkeypatch.setattr(callers, "monotonic", clock)
    return clock


def test_so_many_a_second_and_not_one_more(clock: Clock) -> None:
    limit = RateLimit()
    assert [limit.allows("a") for _ in range(6)] == [True] * 5 + [False]
    clock.now += 1
    assert limit.allows("a")


def test_so_many_a_minute_and_not_one_more(clock: Clock) -> None:
    limit = RateLimit()
    allowed = 0
    for _ in range(50):
        allowed += sum(limit.allows("a") for _ in range(5))
        clock.now += 1.0
    assert allowed == 200
    clock.now += 11
    assert limit.allows("a")


def test_each_address_has_its_own_budget() -> None:
    limit = RateLimit()
    assert [limit.allows("a") for _ in range(6)] == [True] * 5 + [False]
    assert limit.allows("b")


def test_over_the_limit_is_429_and_not_carried_out() -> None:
    with Sandbox(rate_limit=True) as sandbox:
        caller = Caller(sandbox)
        answers = [caller.get("/company/1") for _ in range(6)]
        assert [answer.status_code for answer in answers] == [404] * 5 + [429]
        assert "try again in" in answers[5].json()["meta"]["message"]
        assert "Retry-After" not in answers[5].headers


def test_no_limit_unless_asked_for(scene: Scene) -> None:
    assert {scene.caller.get(scene.cards_path).status_code for _ in range(20)} == {200}
