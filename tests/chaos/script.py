"""Runs that leave nothing to chance or to the speed of the machine: what is asked for, what goes wrong, what comes of it."""

from __future__ import annotations

import tests.spoilings  # noqa: F401  (some of the faults below)
from altegio_loyalty.sandbox import Sandbox
from tests.chaos.plan import Planner, Story

#: On a sound site nothing may be found; on a broken one, just what `HELD_BACK` says.
SCRIPTS = ("sound", "broken")

#: In none of these does time pass: what comes of them is the same on a slow machine.
TIMELESS = (
    "cut_before", "cut_after", "cut_mid_answer", "status_500", "status_502_html", "status_503", "rate_limited", "html",
    "broken_json", "truncated_json", "empty", "error_after_effect", "string_ids", "bare",
)  # fmt: skip
#: So many withdrawals are carried out when all is over, long after a site that takes an absence for a proof has
#: asked for them once more: each of them is a second effect.
HELD_BACK = 2
FOR_EVER = 24 * 3600


def write_stories(planner: Planner, name: str, count: int) -> list[Story]:
    if name == "sound":
        return planner.draw(count)
    return [planner.withdrawal() for _ in range(HELD_BACK)]


def play_faults(sandbox: Sandbox, name: str) -> None:
    if name == "broken":
        sandbox.fail("late_effect", path="apply_card_withdrawal", times=HELD_BACK, seconds=FOR_EVER)
        return
    for fault in TIMELESS:
        sandbox.fail(fault, path="POST", times=1)


def let_late_effects_arrive(sandbox: Sandbox) -> None:
    """Returns when all that was still to come has come."""
    sandbox.advance(FOR_EVER)
