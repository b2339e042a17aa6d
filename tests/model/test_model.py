"""SPIN looks at every state of docs/model/delivery.pml: clean as it is, and not without what it rests on."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from altegio_loyalty.delivery import transitions
from tests.reachable import REPOSITORY

FOLDER = REPOSITORY / "docs" / "model"
MODEL = FOLDER / "delivery.pml"
#: How many of what can go wrong there are; of everything at once there are more states than a gate has time for.
WORLDS = {
    "a crash, and reads that fail": {"CRASHES": 1, "BAD_READS": 1, "RETRIES": 1},
    "a crash, and a lease that ends early": {"CRASHES": 1, "EXPIRIES": 1},
    "a lease that ends early, and a person": {"EXPIRIES": 1, "RETRIES": 1},
    "clicks at Altegio, and a person": {"CLICKS": 1, "BAD_READS": 1, "RETRIES": 1},
}
HASTY, CLICKING = WORLDS["a lease that ends early, and a person"], {"CLICKS": 1}
#: What the proof rests on. Each is told of in docs/model/README.md, with what becomes of it.
DROPPED = {
    "LOST_COMMIT": HASTY,
    "LATE": HASTY,
    "LAG": HASTY,
    "HELD_UP": HASTY,
    "CLICK": CLICKING,
    "NO_FENCE": HASTY,
    "NO_LOOK": HASTY,
    "NO_SECOND_LOOK": HASTY,
    "NO_THIRD_LOOK": HASTY,
    "EARLY_WORD": HASTY,
}
SAFETY = ("-DSAFETY", "-DNOCLAIM")
Search = Callable[..., str]

pytestmark = [pytest.mark.spin, pytest.mark.timeout(900), pytest.mark.sqlite]


@pytest.fixture
def search(tmp_path: Path) -> Search:
    """What SPIN says of the model with these bounds, without what is dropped."""

    def run(bounds: dict[str, int], *options: str, compiled: tuple[str, ...], drop: str = "") -> str:
        every = {**dict.fromkeys(("CRASHES", "EXPIRIES", "CLICKS", "BAD_READS", "RETRIES"), 0), **bounds}
        defined = [f"-D{name}={count}" for name, count in every.items()] + [f"-D{drop}"] * bool(drop)
        for command in (
            ["spin", *defined, "-a", str(MODEL)],
            # Without -O: to make it faster takes longer than the search.
            ["gcc", "-w", "-DCOLLAPSE", *compiled, "-o", "pan", "pan.c"],
        ):
            subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
        command = ["./pan", "-m400000", "-w24", *options]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    return run


def violations(said: str) -> int:
    assert "max search depth too small" not in said
    return int(re.search(r"errors: (\d+)", said).group(1))  # type: ignore[union-attr]


def states(said: str) -> int:
    return int(float(re.search(r"([\d.e+]+) states, stored", said).group(1)))  # type: ignore[union-attr]


@pytest.mark.parametrize("world", WORLDS)
def test_no_effect_is_doubled_denied_or_invented(search: Search, world: str) -> None:
    """In every order of the steps of two workers, Altegio, time and people."""
    said = search(WORLDS[world], compiled=SAFETY)
    assert violations(said) == 0
    assert states(said) > 300_000


@pytest.mark.parametrize(
    "bounds", [{"CRASHES": 1, "BAD_READS": 1}, {"EXPIRIES": 1, "BAD_READS": 1, "ATTEMPTS": 1}]
)
def test_no_operation_is_open_for_ever(search: Search, bounds: dict[str, int]) -> None:
    """As long as whoever can act acts in the end."""
    said = search(bounds, "-a", "-f", "-N", "ends", compiled=("-DNFAIR=4",))
    assert violations(said) == 0
    assert states(said) > 50_000


@pytest.mark.parametrize("what", DROPPED)
def test_without_what_it_rests_on__the_model_fails(search: Search, what: str) -> None:
    """A proof that cannot fail proves nothing; and nothing is assumed, or built, that is not needed."""
    said = search(DROPPED[what], compiled=SAFETY, drop=what)
    assert violations(said) == 1
    assert "assertion violated" in said
    assert f"`{what}`" in (FOLDER / "README.md").read_text()


def test_a_worker_slower_than_its_lease_for_ever__settles_nothing(search: Search) -> None:
    """Why the check of the settings refuses a lease that one attempt can outlast."""
    said = search({"ATTEMPTS": 1}, "-a", "-f", "-N", "ends", compiled=("-DNFAIR=4",), drop="SLOW")
    assert violations(said) == 1


def test_every_change_of_state_stands_in_the_model() -> None:
    """A new one in `transitions` is put into the model first, or says there why not."""
    named = re.findall(r"step: ([\w, ]+)", MODEL.read_text())
    in_model = {name.strip() for names in named for name in names.split(",")}
    own = {
        name
        for name, value in vars(transitions).items()
        if callable(value) and value.__module__ == transitions.__name__ and not name.startswith("_")
    }
    assert in_model == own - {"is_settled", "may_not_show_yet"}  # questions, which change nothing
