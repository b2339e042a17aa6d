"""One table of kinds: whoever tells them apart has a place for each, or does not start."""

from __future__ import annotations

import importlib.util
from typing import Any
from unittest import mock

import pytest

from altegio_loyalty import kinds
from altegio_loyalty.client.v1 import REQUESTS
from altegio_loyalty.sandbox.api import ROUTES
from altegio_loyalty.states import Kind
from tests.reachable import REPOSITORY

APP = REPOSITORY / "altegio_loyalty"
#: Every module with a table of its own, but the client's: it is below the kinds, so they check it.
PLACES = [
    "altegio_loyalty.states",
    "altegio_loyalty.wording",
    "altegio_loyalty.models",
    "altegio_loyalty.services.operations",
    "altegio_loyalty.admin.kinds",
    "altegio_loyalty.admin.desk.offers",
]


def import_anew(place: str) -> None:
    """The module as a new process would import it, beside the one that is in use."""
    found = importlib.util.find_spec(place)
    assert found is not None
    assert found.loader is not None
    found.loader.exec_module(importlib.util.module_from_spec(found))


@pytest.fixture
def fifth_kind() -> Any:
    fifth = kinds.Kind("apply_what_is_not_there_yet", kinds.APPLY_CARD_WITHDRAWAL.effect_on)
    with mock.patch.dict(kinds.TABLE, {fifth.name: fifth}):
        yield fifth


@pytest.mark.parametrize("place", PLACES)
def test_fifth_kind__is_refused_at_import_until_the_place_has_it(place: str, fifth_kind: kinds.Kind) -> None:
    """A kind that is missing somewhere stops the start, not a call about points."""
    with pytest.raises(TypeError, match=fifth_kind.name):
        import_anew(place)


@pytest.mark.parametrize("change", [{"apply_what_is_not_there_yet": None}, {"apply_card_withdrawal": None}])
def test_request_of_the_client__is_there_for_each_kind_and_no_other(change: dict[str, Any]) -> None:
    """The client knows no kinds, so the table of kinds looks whether each has a request."""
    changed: dict[str, Any] = {**REQUESTS, **change}
    if "apply_card_withdrawal" in change:
        del changed["apply_card_withdrawal"]
    with mock.patch("altegio_loyalty.client.v1.REQUESTS", changed):
        with pytest.raises(TypeError, match=rf"client\.v1.*{next(iter(change))}"):
            import_anew("altegio_loyalty.kinds")


def test_each_table_of_kinds__is_among_the_places() -> None:
    """Whoever adds a table proves here that it refuses."""
    with_a_table = {
        ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")
        for path in APP.rglob("*.py")
        if "one_for_each(" in path.read_text()
    }
    assert with_a_table == {*PLACES, "altegio_loyalty.kinds"}


def test_sandbox__carries_each_kind_out() -> None:
    """It stands alone and knows no table of ours; without its route each test of a new kind would meet a 404."""
    assert set(kinds.TABLE) <= {operation.__name__ for _method, _pattern, operation in ROUTES}


def test_table_with_a_kind_that_is_none__is_refused() -> None:
    """A place that outlived its kind is as wrong as a missing one."""
    with pytest.raises(TypeError, match=r"here.*apply_nothing"):
        kinds.one_for_each("here", {**kinds.TABLE, "apply_nothing": kinds.APPLY_CARD_WITHDRAWAL})


def test_each_kind__has_its_word(fifth_kind: kinds.Kind) -> None:
    """What the table holds is what the models offer."""
    assert {*Kind.values, fifth_kind.name} == set(kinds.TABLE)


def test_each_cancel__undoes_a_kind_that_applies() -> None:
    """And the other way round: a family is the same whichever of them is asked."""
    for name, kind in kinds.TABLE.items():
        apply = kinds.TABLE[kind.undoes or name]
        assert apply.is_apply
        assert kinds.family_of(name) == kinds.family_of(apply.name)
        assert kind.takes_program == apply.takes_program
