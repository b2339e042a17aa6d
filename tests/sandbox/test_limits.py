"""The vendor's rate limit."""

from __future__ import annotations

from altegio_loyalty.sandbox import Sandbox
from altegio_loyalty.sandbox.callers import RateLimit
from tests.sandbox.scene import Caller, Scene


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_so_many_a_second_and_not_one_more() -> None:
    clock = Clock()
    limit = RateLimit(per_second=5, per_minute=200, clock=clock)
    assert [limit.allows("a") for _ in range(6)] == [True] * 5 + [False]
    clock.now += 1
    assert limit.allows("a")


def test_so_many_a_minute_and_not_one_more() -> None:
    clock = Clock()
    limit = RateLimit(per_second=5, per_minute=200, clock=clock)
    allowed = 0
    for _ in range(50):
        allowed += sum(limit.allows("a") for _ in range(5))
        clock.now += 1.0
    assert allowed == 200
    clock.now += 11
    assert limit.allows("a")


def test_each_address_has_its_own_budget() -> None:
    limit = RateLimit(per_second=1, clock=Clock())
    assert limit.allows("a")
    assert limit.allows("b")
    assert not limit.allows("a")


def test_over_the_limit_is_429_and_not_carried_out() -> None:
    with Sandbox(rate_limit=True) as sandbox:
        sandbox.limit = RateLimit(per_second=2, clock=Clock())  # all in one second, however long it takes
        caller = Caller(sandbox)
        answers = [caller.get("/company/1") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [404, 404, 429]
        assert "try again in" in answers[2].json()["meta"]["message"]
        assert "Retry-After" not in answers[2].headers


def test_no_limit_unless_asked_for(scene: Scene) -> None:
    assert {scene.caller.get(scene.cards_path).status_code for _ in range(20)} == {200}
