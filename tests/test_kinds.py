"""One table of kinds: whoever tells them apart has a place for each, or does not start."""

from __future__ import annotations

import importlib.util
from typing import Any
from unittest import mock

import pytest

from altegio_loyalty import kinds
from altegio_loyalty.states import Kind

#: Every module with a table of its own.
PLACES = ["altegio_loyalty.states", "altegio_loyalty.wording"]


def import_anew(place: str) -> None:
    """The module as a new process would import it, beside the one that is in use."""
    found = importlib.util.find_spec(place)
    assert found is not None
    assert found.loader is not None
    found.loader.exec_module(importlib.util.module_from_spec(found))


@pytest.fixture
def fifth_kind() -> Any:
    fifth = kinds.Kind("apply_referral_program", kinds.APPLY_CARD_WITHDRAWAL.effect_on)
    with mock.patch.dict(kinds.TABLE, {fifth.name: fifth}):
        yield fifth


@pytest.mark.parametrize("place", PLACES)
def test_fifth_kind__is_refused_at_import_until_the_place_has_it(place: str, fifth_kind: kinds.Kind) -> None:
    """A kind that is missing somewhere stops the start, not a call about points."""
    with pytest.raises(TypeError, match=fifth_kind.name):
        import_anew(place)


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
