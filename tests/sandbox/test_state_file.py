"""Books that outlive their server."""

from __future__ import annotations

import json
import stat
from decimal import Decimal
from pathlib import Path

import pytest

from altegio_loyalty.sandbox import Sandbox
from altegio_loyalty.sandbox.statefile import StateFileError
from tests.sandbox.scene import Caller, open_scene


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "books.json"


def test_new_server_goes_on_where_the_old_one_stopped(file: Path) -> None:
    with Sandbox(state_file=file) as first:
        scene = open_scene(first)
        scene.withdraw(100.01)
        scene.apply_program()
        first.ledger.pay(scene.visit, "0.99")
        details = scene.caller.get(scene.details_path).json()
    with Sandbox(state_file=file) as second:
        assert Caller(second).get(scene.details_path).json() == details
        assert second.ledger.balance(scene.card.id) == Decimal("899.99")
        assert second.effects == first.effects
        assert second.ledger.books == first.ledger.books


def test_new_ids_do_not_meet_the_old_ones(file: Path) -> None:
    first = Sandbox(state_file=file).ledger.add_location()
    assert Sandbox(state_file=file).ledger.add_location().id == first.id + 1


def test_rotated_tokens_are_kept(file: Path) -> None:
    first = Sandbox(state_file=file)
    tokens = first.rotate_tokens()
    second = Sandbox(state_file=file)
    assert (second.partner_token, second.user_token) == tokens
    assert second.rotate_tokens() != tokens


def test_every_change_is_saved_at_once(file: Path) -> None:
    sandbox = Sandbox(state_file=file)
    card = sandbox.ledger.add_card(sandbox.ledger.add_client(), balance=5)
    sandbox.ledger.set_balance(card, 7)
    assert json.loads(file.read_text())["books"]["cards"][0]["balance"] == "7.00"


def test_saving_leaves_no_other_file(file: Path) -> None:
    Sandbox(state_file=file).ledger.add_location()
    assert list(file.parent.iterdir()) == [file]


def test_nobody_else_may_read_the_tokens_in_it(file: Path) -> None:
    Sandbox(state_file=file).ledger.add_location()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_failed_save_leaves_the_old_books(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox = Sandbox(state_file=file)
    sandbox.ledger.add_location(title="Kept")

    def full(*args: object, **options: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(json, "dump", full)
    with pytest.raises(StateFileError, match="No space left"):
        sandbox.ledger.add_location(title="Lost")
    assert [location["title"] for location in json.loads(file.read_text())["books"]["locations"]] == ["Kept"]
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"tokens":["a","b"],"token_pairs":1,"books":{"visits":1}}']
)
def test_file_that_holds_something_else_is_refused_and_left_alone(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(StateFileError, match=r"books\.json"):
        Sandbox(state_file=file)
    assert file.read_text() == text


def test_directory_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    sandbox = Sandbox(state_file=tmp_path / "nowhere" / "books.json")
    with pytest.raises(StateFileError, match="nowhere"):
        sandbox.ledger.add_location()
