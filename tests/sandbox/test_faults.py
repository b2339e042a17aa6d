"""Every fault does to a withdrawal exactly what its description says; each of them has a test here."""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from altegio_loyalty.sandbox import FAULTS
from altegio_loyalty.sandbox.faults import Fault, FaultBoard
from tests.chaos.clock import Clock
from tests.sandbox.scene import TIMEOUT, Scene
from tests.spoilings import SPOILINGS
from tests.waiting import wait_for

HAPPENED = 100
NOT_HAPPENED = 0


def no_answer(scene: Scene) -> None:
    with pytest.raises(requests.ConnectionError):
        scene.withdraw()


def times_out(scene: Scene) -> None:
    with pytest.raises(requests.Timeout):
        scene.withdraw(timeout=0.2)


def cut_before(scene: Scene) -> None:
    scene.sandbox.fail("cut_before")
    no_answer(scene)


def cut_after(scene: Scene) -> None:
    scene.sandbox.fail("cut_after")
    no_answer(scene)


def cut_mid_answer(scene: Scene) -> None:
    scene.sandbox.fail("cut_mid_answer")
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="Incomplete"):
        scene.withdraw()


def hang(scene: Scene) -> None:
    scene.sandbox.fail("hang", seconds=60)
    times_out(scene)
    assert scene.withdrawn == 0, "the effect comes after the silence"
    scene.sandbox.heal()
    wait_for(lambda: scene.withdrawn == HAPPENED)


def hang_after(scene: Scene) -> None:
    scene.sandbox.fail("hang_after", seconds=60)
    times_out(scene)


def drip(scene: Scene) -> None:
    scene.sandbox.fail("drip", seconds=0.0001)
    answer = scene.withdraw(stream=True)
    assert answer.raw.read(1, decode_content=False) == b"{"
    answer.close()


def late_effect(scene: Scene) -> None:
    scene.sandbox.fail("late_effect", seconds=3600)
    no_answer(scene)
    assert scene.withdrawn == 0, "the effect comes later"
    scene.sandbox.advance(3000)
    assert scene.withdrawn == 0
    scene.sandbox.advance(600)


def status(name: str, number: int) -> Callable[[Scene], None]:
    def check(scene: Scene) -> None:
        scene.sandbox.fail(name)
        answer = scene.withdraw()
        assert answer.status_code == number
        assert answer.json()["success"] is False

    return check


def status_502_html(scene: Scene) -> None:
    scene.sandbox.fail("status_502_html")
    answer = scene.withdraw()
    assert answer.status_code == 502
    assert answer.text.startswith("<html>")
    assert answer.headers["Content-Type"].startswith("text/html")


def status_503(scene: Scene) -> None:
    scene.sandbox.fail("status_503", retry_after=120)
    answer = scene.withdraw()
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "120")


def rate_limited(scene: Scene) -> None:
    scene.sandbox.fail("rate_limited", times=1)
    scene.sandbox.fail("rate_limited", retry_after=7)
    first, second = scene.withdraw(), scene.withdraw()
    assert (first.status_code, second.status_code) == (429, 429)
    assert "try again in 0 seconds" in first.json()["meta"]["message"]
    assert "Retry-After" not in first.headers
    assert second.headers["Retry-After"] == "7"


def html(scene: Scene) -> None:
    scene.sandbox.fail("html")
    answer = scene.withdraw()
    assert answer.status_code == 200
    assert answer.text.startswith("<html>")


def not_json(name: str) -> Callable[[Scene], None]:
    def check(scene: Scene) -> None:
        scene.sandbox.fail(name)
        answer = scene.withdraw()
        assert answer.status_code == 200
        assert int(answer.headers["Content-Length"]) == len(answer.content)
        with pytest.raises(ValueError, match=r"."):
            answer.json()

    return check


def error_after_effect(scene: Scene) -> None:
    scene.sandbox.fail("error_after_effect")
    assert scene.withdraw().status_code == 500


def string_ids(scene: Scene) -> None:
    scene.sandbox.fail("string_ids")
    row = scene.withdraw().json()["data"]["loyalty_transactions"][0]
    assert row["card_id"] == str(scene.card.id)
    assert row["amount"] == "0.66"
    assert row["is_loyalty_withdraw"] is True


def bare(scene: Scene) -> None:
    scene.sandbox.fail("bare")
    assert "loyalty_transactions" in scene.withdraw().json()


def huge(scene: Scene) -> None:
    scene.sandbox.fail("huge", megabytes=1.5)
    answer = scene.withdraw()
    assert len(answer.content) > 1.5 * 1024 * 1024
    assert answer.json()["success"] is True


def redirect(scene: Scene) -> None:
    scene.sandbox.fail("redirect", location="http://127.0.0.1:9/elsewhere")
    answer = scene.withdraw(allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (302, "http://127.0.0.1:9/elsewhere")


def nan(scene: Scene) -> None:
    scene.sandbox.fail("nan")
    rows = scene.withdraw().json()["data"]["loyalty_transactions"]
    assert math.isnan(rows[0]["amount"])
    assert math.isinf(rows[1]["amount"])


def deep(scene: Scene) -> None:
    scene.sandbox.fail("deep")
    with pytest.raises(RecursionError):
        json.loads(scene.withdraw().text)


def nul_text(scene: Scene) -> None:
    scene.sandbox.fail("nul_text")
    title = scene.withdraw().json()["data"]["items"][0]["item_title"]
    assert title == "Shampoo\u0000\ud800<script>alert(1)</script>"


CASES: dict[str, tuple[Callable[[Scene], None], int]] = {
    "cut_before": (cut_before, NOT_HAPPENED),
    "cut_after": (cut_after, HAPPENED),
    "cut_mid_answer": (cut_mid_answer, HAPPENED),
    "hang": (hang, HAPPENED),
    "hang_after": (hang_after, HAPPENED),
    "drip": (drip, HAPPENED),
    "late_effect": (late_effect, HAPPENED),
    "status_401": (status("status_401", 401), NOT_HAPPENED),
    "status_402": (status("status_402", 402), NOT_HAPPENED),
    "status_403": (status("status_403", 403), NOT_HAPPENED),
    "status_404": (status("status_404", 404), NOT_HAPPENED),
    "status_422": (status("status_422", 422), NOT_HAPPENED),
    "status_500": (status("status_500", 500), NOT_HAPPENED),
    "status_502_html": (status_502_html, NOT_HAPPENED),
    "status_503": (status_503, NOT_HAPPENED),
    "rate_limited": (rate_limited, NOT_HAPPENED),
    "html": (html, NOT_HAPPENED),
    "broken_json": (not_json("broken_json"), HAPPENED),
    "truncated_json": (not_json("truncated_json"), HAPPENED),
    "empty": (not_json("empty"), HAPPENED),
    "success_false": (status("success_false", 200), NOT_HAPPENED),
    "error_after_effect": (error_after_effect, HAPPENED),
    "string_ids": (string_ids, HAPPENED),
    "bare": (bare, HAPPENED),
    "huge": (huge, HAPPENED),
    "redirect": (redirect, NOT_HAPPENED),
    "nan": (nan, HAPPENED),
    "deep": (deep, HAPPENED),
    "nul_text": (nul_text, HAPPENED),
}


@pytest.mark.parametrize("name", FAULTS)
def test_fault_does_what_it_says(scene: Scene, name: str) -> None:
    act, taken = CASES[name]
    act(scene)
    wait_for(lambda: scene.withdrawn == taken)
    assert len(scene.sandbox.effects) == (1 if taken else 0)


def test_late_effect_comes_by_itself(scene: Scene) -> None:
    scene.sandbox.fail("late_effect", seconds=0.01)
    no_answer(scene)
    wait_for(lambda: scene.withdrawn == HAPPENED)


def test_late_effects_come_in_the_order_in_which_they_are_due(scene: Scene) -> None:
    for amount, seconds in ((1, 7200), (2, 60)):
        scene.sandbox.fail("late_effect", seconds=seconds, times=1)
        with pytest.raises(requests.ConnectionError):
            scene.withdraw(amount)
    scene.sandbox.advance(100)
    assert scene.sandbox.has_late_effects
    scene.sandbox.advance(24 * 3600)
    assert [effect.amount for effect in scene.sandbox.effects] == [2, 1]
    assert not scene.sandbox.has_late_effects


def test_late_effects_follow_a_scripted_clock(scene: Scene) -> None:
    scene.sandbox.fail("late_effect", seconds=3600)
    no_answer(scene)
    clock = Clock()
    clock.passed = 3600
    with clock.running():
        scene.sandbox.advance()
    assert scene.withdrawn == HAPPENED


@pytest.mark.parametrize("name", FAULTS)
def test_healed_fault_does_nothing_more(scene: Scene, name: str) -> None:
    scene.sandbox.fail(name)
    scene.sandbox.heal()
    assert scene.withdraw().status_code == 200
    assert scene.withdrawn == 100


@pytest.mark.parametrize("name", FAULTS)
def test_table_says_whether_the_request_is_carried_out(name: str) -> None:
    assert FAULTS[name].effect == (CASES[name][1] == HAPPENED)


def test_documentation_lists_every_fault_with_its_description() -> None:
    text = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text(encoding="utf-8")
    told = [name for name, kind in FAULTS.items() if f"| `{name}` | {kind.description} |" in text]
    assert told == [name for name in FAULTS if name not in SPOILINGS]


def test_effect_can_be_chosen(scene: Scene) -> None:
    scene.sandbox.fail("status_502_html", effect=True)
    assert scene.withdraw().status_code == 502
    assert scene.withdrawn == 100


@pytest.mark.parametrize("name", ["hang", "hang_after", "cut_after", "empty"])
def test_effect_can_be_withheld(scene: Scene, name: str) -> None:
    options: dict[str, Any] = {"seconds": 0.05} if "seconds" in FAULTS[name].parameters else {}
    scene.sandbox.fail(name, effect=False, **options)
    with contextlib.suppress(requests.ConnectionError):
        scene.withdraw()
    assert scene.sandbox.effects == []


def test_effect_cannot_be_withheld__where_the_answer_shows_it(scene: Scene) -> None:
    with pytest.raises(ValueError, match="cannot choose"):
        scene.sandbox.fail("string_ids", effect=False)


def test_fault_is_for_matching_requests_alone(scene: Scene) -> None:
    scene.sandbox.fail("status_500", path="apply_card_withdrawal")
    assert scene.caller.get(scene.details_path).status_code == 200
    assert scene.withdraw().status_code == 500


@pytest.mark.parametrize("path", ["visit_details", "/visit/details/", "GET /api"])
def test_path_matches_method_path_and_operation(scene: Scene, path: str) -> None:
    scene.sandbox.fail("status_500", path=path)
    assert scene.caller.get(scene.details_path).status_code == 500
    assert scene.withdraw().status_code == 200


def test_fault_ends_after_its_times(scene: Scene) -> None:
    fault = scene.sandbox.fail("status_500", times=2)
    assert [scene.withdraw(0).status_code for _ in range(3)] == [500, 500, 200]
    assert fault.hits == 2


def test_faults_play_one_after_another(scene: Scene) -> None:
    scene.sandbox.fail("status_503", times=1)
    scene.sandbox.fail("html", times=1)
    assert [scene.withdraw(0).status_code for _ in range(3)] == [503, 200, 200]


def test_one_fault_can_be_healed_alone(scene: Scene) -> None:
    scene.sandbox.fail("status_500", path="details")
    scene.sandbox.fail("status_503", path="apply")
    scene.sandbox.heal("status_500")
    assert scene.caller.get(scene.details_path).status_code == 200
    assert scene.withdraw().status_code == 503


def test_probability_is_repeatable_with_a_seed() -> None:
    def drawn() -> list[bool]:
        board = FaultBoard()
        board.switch_on(Fault("status_500", probability=0.5, seed=7))
        return [board.pick("GET /") is not None for _ in range(50)]

    assert drawn() == drawn()
    assert 10 < sum(drawn()) < 40


def test_times_are_exact__many_threads() -> None:
    board = FaultBoard()
    board.switch_on(Fault("status_500", times=100))
    hits: list[object] = []

    def pick() -> None:
        hits.extend(fault for _ in range(50) if (fault := board.pick("GET /")))

    threads = [threading.Thread(target=pick) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(hits) == 100


def test_unknown_fault_is_refused_with_the_list_of_names(scene: Scene) -> None:
    with pytest.raises(ValueError, match="cut_before, cut_after") as caught:
        scene.sandbox.fail("explode")
    assert all(name in str(caught.value) for name in FAULTS)


@pytest.mark.parametrize(
    "options", [{"times": 0}, {"times": -1}, {"probability": 1.5}, {"seconds": 5}, {"speed": "slow"}]
)
def test_senseless_option_is_refused(scene: Scene, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        scene.sandbox.fail("cut_before", **options)


def test_stop_ends_a_hanging_request_without_its_effect(scene: Scene) -> None:
    scene.sandbox.fail("hang", seconds=3600)
    caught: list[Exception] = []

    def call() -> None:
        try:
            scene.withdraw()
        except requests.RequestException as error:
            caught.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    wait_for(lambda: bool(scene.sandbox.requests))
    scene.sandbox.stop()
    caller.join()
    assert isinstance(caught[0], requests.ConnectionError), "it was cut, and did not run into its timeout"
    assert scene.sandbox.effects == []


def test_stop_forgets_an_effect_that_was_still_to_come(scene: Scene) -> None:
    scene.sandbox.fail("late_effect", seconds=3600)
    no_answer(scene)
    (later,) = scene.sandbox._late
    scene.sandbox.stop()
    later.join()  # it ends before its time only where it was called off
    assert scene.sandbox.effects == []


def test_down_cuts_every_api_request_and_heal_brings_it_back(scene: Scene) -> None:
    scene.sandbox.go_down()
    no_answer(scene)
    assert scene.sandbox.requests[-1].fault == "down"
    scene.sandbox.heal()
    assert scene.withdraw().status_code == 200


def test_log_names_the_fault_and_the_missing_answer(scene: Scene) -> None:
    scene.sandbox.fail("cut_after", times=1)
    no_answer(scene)
    entry = scene.sandbox.requests[-1]
    assert (entry.fault, entry.status) == ("cut_after", None)


def test_errors_of_the_books_pass_through_spoiling_faults(scene: Scene) -> None:
    for name in ("bare", "string_ids", "nan", "nul_text", "deep", "huge"):
        scene.sandbox.fail(name, times=1)
        assert scene.caller.get("/visits/1").status_code == 404


def test_request_cut_in_the_middle_is_not_carried_out(scene: Scene) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", scene.sandbox.port, timeout=TIMEOUT)
    connection.putrequest("POST", "/api/v1" + scene.withdrawal_path)
    connection.putheader("Content-Length", "100")
    connection.endheaders(b'{"amount"')
    connection.close()
    assert scene.caller.get(scene.cards_path).status_code == 200
    assert scene.sandbox.effects == []
