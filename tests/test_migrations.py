"""The first migration is frozen, and those after it only add: the release before goes on running on the new tables."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.db import models
from django.db.migrations import operations as ops
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from altegio_loyalty import migrations

FOLDER = Path(migrations.__file__).parent
#: Sites that installed 0.1 have run exactly this.
FIRST = "9c558700ce6feb19512b94bc00ec2ee8a95c813d4837753a6ab2e2bf28348b07"
#: What no release before has to know of.
ADDS = (ops.CreateModel, ops.AddIndex, ops.AlterModelOptions, ops.AlterModelManagers)
LOADER = MigrationLoader(None)
BEFORE = LOADER.project_state(("altegio_loyalty", "0001_initial"))


def only_adds(operation: Operation, before: ProjectState) -> bool:
    """Whether rows that know nothing of it can still be written: the database itself fills a new column."""
    if isinstance(operation, ops.AlterField):
        known = before.models["altegio_loyalty", operation.model_name_lower].fields[operation.name]
        return in_the_database(known) == in_the_database(operation.field)
    if isinstance(operation, ops.AddField):
        return operation.field.null or operation.field.has_db_default()
    return isinstance(operation, ADDS)


def in_the_database(field: models.Field[Any, Any]) -> tuple[str, dict[str, Any]]:
    """What the database knows of a column: not its choices, nor its words."""
    _name, path, _args, named = field.deconstruct()
    return path, {key: value for key, value in named.items() if key not in field.non_db_attrs}


def test_first_migration__is_frozen() -> None:
    """Make a second one instead; CONTRIBUTING.md says how."""
    assert hashlib.sha256((FOLDER / "0001_initial.py").read_bytes()).hexdigest() == FIRST


def test_later_migrations__only_add_and_are_named() -> None:
    for before, name in pairwise(sorted(path.stem for path in FOLDER.glob("[0-9]*.py"))):
        state = LOADER.project_state(("altegio_loyalty", before))
        operations = LOADER.disk_migrations["altegio_loyalty", name].operations
        assert [one for one in operations if not only_adds(one, state)] == []
        assert "_auto_" not in name


KIND = BEFORE.models["altegio_loyalty", "loyaltyoperation"].fields["kind"].clone()
KIND.choices = [("apply_referral_program", "apply a referral")]


@pytest.mark.parametrize(
    ("operation", "adds"),
    [
        (ops.CreateModel("Chain", [("id", models.BigAutoField(primary_key=True))]), True),
        (ops.AddField("visit", "note", models.CharField(max_length=9, null=True)), True),
        (ops.AddField("visit", "note", models.CharField(max_length=9, default="", db_default="")), True),
        (ops.AlterField("loyaltyoperation", "kind", KIND), True),
        (ops.AddField("visit", "note", models.CharField(max_length=9, default="")), False),
        (ops.RemoveField("visit", "record_id"), False),
        (ops.AlterField("visit", "client_name", models.CharField(max_length=9)), False),
        (ops.RenameField("visit", "record_id", "record"), False),
        (ops.DeleteModel("Visit"), False),
        (ops.RunSQL("DELETE FROM altegio_loyalty_visit"), False),
        (ops.AddConstraint("visit", models.UniqueConstraint(fields=["record_id"], name="once")), False),
    ],
    ids=lambda value: value.describe() if isinstance(value, Operation) else None,
)
def test_what_the_release_before_cannot_live_with__is_refused(operation: Operation, adds: bool) -> None:
    """A default of Django's is none of the database's: workers of the release before would insert a NULL."""
    assert only_adds(operation, BEFORE) is adds
