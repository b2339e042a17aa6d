"""Ciphertext belongs to one row and one field: copied elsewhere, it is no token there."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from django.core import serializers
from django.core.management import call_command
from django.db import connection, models, transaction
from django.db.models import F
from django.test.utils import isolate_apps

from altegio_loyalty.client.crypto import KeyRing
from altegio_loyalty.exceptions import UndecryptableToken
from altegio_loyalty.fields import EncryptedTextField, Secret, key_ring
from altegio_loyalty.models import Location
from tests.test_fields import NEW, OLD, PARTNER, USER, column, decrypted, use_keys

pytestmark = pytest.mark.django_db

TOKENS = {"partner_token": PARTNER, "user_token": USER}
ELSEWHERE = "not of this location and field"


@pytest.fixture
def location() -> Location:
    return Location.objects.create(id=1, title="Salon", **TOKENS)


def plant(stored: str, name: str = "partner_token", pk: int = 1) -> None:
    """As somebody does who can write into the database."""
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE altegio_loyalty_location SET {name} = %s WHERE id = %s", [stored, pk])


def unbound(token: str) -> str:
    """As earlier releases stored it."""
    return "fernet:" + key_ring()._fernet.encrypt(token.encode()).decode()


def assert_it_is_read(pk: int = 1) -> None:
    """By a fresh object, from ciphertext that belongs there."""
    for name, token in TOKENS.items():
        assert getattr(Location.objects.get(pk=pk), name).reveal() == token
        assert decrypted(key_ring(), name, pk) == token


# Copied by somebody who can write into the database


def assert_it_is_refused(name: str = "partner_token", pk: int = 1) -> None:
    there = Location.objects.get(pk=pk)
    with pytest.raises(UndecryptableToken, match=ELSEWHERE):
        getattr(there, name).reveal()
    with pytest.raises(UndecryptableToken, match=ELSEWHERE):
        there.credentials()


def test_ciphertext_of_another_row__is_unreadable(location: Location) -> None:
    Location.objects.create(id=2, title="Thief", **TOKENS)
    plant(column(pk=1), pk=2)
    assert_it_is_refused(pk=2)


def test_ciphertext_of_another_field__is_unreadable(location: Location) -> None:
    plant(column("user_token"), "partner_token")
    assert_it_is_refused()


def test_ciphertext_of_another_row_that_is_called_unbound__is_unreadable(location: Location) -> None:
    Location.objects.create(id=2, title="Thief", **TOKENS)
    plant(column(pk=1).replace("fernet:bound:", "fernet:"), pk=2)
    assert_it_is_refused(pk=2)


def test_ciphertext_of_a_pickle__is_unreadable_in_a_row(location: Location) -> None:
    plant(Secret(PARTNER).__reduce__()[1][1])
    assert_it_is_refused()


def test_ciphertext_of_another_row__stays_what_it_is_when_the_row_is_saved(location: Location) -> None:
    """It is no token here, and saving makes none of it."""
    Location.objects.create(id=2, title="Thief", **TOKENS)
    plant(stolen := column(pk=1), pk=2)
    thief = Location.objects.get(pk=2)
    thief.title = "Renamed"
    thief.save()
    assert column(pk=2) == stolen
    assert_it_is_refused(pk=2)


def test_ciphertext_of_another_row__is_named_by_the_rotation_and_kept(location: Location) -> None:
    Location.objects.create(id=2, title="Thief", **TOKENS)
    plant(stolen := column(pk=1), pk=2)
    with pytest.raises(Exception, match=f"Location 2: .*{ELSEWHERE}"):
        call_command("rotate_altegio_tokens", verbosity=0)
    assert column(pk=2) == stolen


@pytest.mark.parametrize("stored", ["partner-5f1c", "gAAAAA", "Fernet:x", PARTNER])
def test_what_is_no_ciphertext__is_never_a_token(location: Location, stored: str) -> None:
    plant(stored)
    with pytest.raises(UndecryptableToken, match="no encrypted token"):
        Location.objects.get().partner_token.reveal()


# Of an earlier release


def test_unbound_ciphertext__is_read(location: Location) -> None:
    plant(unbound(PARTNER))
    assert Location.objects.get().partner_token.reveal() == PARTNER


def test_unbound_ciphertext__is_bound_at_the_next_save(location: Location) -> None:
    plant(unbound(PARTNER))
    loaded = Location.objects.get()
    loaded.title = "Renamed"
    loaded.save()
    assert_it_is_read()


def test_unbound_ciphertext__is_bound_by_the_rotation(location: Location) -> None:
    plant(unbound(PARTNER))
    call_command("rotate_altegio_tokens", verbosity=0)
    assert_it_is_read()


def test_unbound_ciphertext_that_no_key_reads__stays_as_it_is(location: Location, settings: Any) -> None:
    use_keys(settings, OLD)
    plant(before := unbound(PARTNER))
    use_keys(settings, NEW)
    Location.objects.get().save()
    assert column() == before


def test_unbound_ciphertext_in_a_dump__loads_and_is_bound(location: Location) -> None:
    row = {"title": "Salon", "partner_token": unbound(PARTNER), "user_token": USER}
    load(json.dumps([{"model": "altegio_loyalty.location", "pk": 7, "fields": row}]))
    assert_it_is_read(7)


# Ways on which a token comes to its row


def load(dumped: Any) -> None:
    for entry in serializers.deserialize("json", dumped):
        entry.save()


def copy_under_a_new_key(there: Location) -> None:
    there.pk, there._state.adding = 7, True
    there.save()


def assign_from_another(there: Location) -> None:
    Location(
        id=7, title="Copy", partner_token=there.partner_token, user_token=there.user_token
    ).save()  # fmt: skip


def with_pickled_secrets(there: Location) -> None:
    tokens = {name: pickle.loads(pickle.dumps(Secret(token))) for name, token in TOKENS.items()}
    Location.objects.create(id=7, title="Copy", **tokens)


def copied_in_bulk(there: Location) -> None:
    again = copy.copy(there)
    again.pk = 7
    Location.objects.filter(pk=there.pk).delete()
    Location.objects.bulk_create([again, there])


def updated_in_bulk(there: Location) -> None:
    Location.objects.create(id=7, title="Copy")
    again = copy.copy(there)
    again.pk = 7
    Location.objects.bulk_update([again, there], ["partner_token", "user_token"])


def updated_by_one_query(there: Location) -> None:
    Location.objects.create(id=7, title="Copy")
    Location.objects.update(**TOKENS)


def updated_by_one_query_with_secrets(there: Location) -> None:
    Location.objects.create(id=7, title="Copy")
    Location.objects.update(partner_token=there.partner_token, user_token=Secret(USER))


def made_before_its_key(there: Location) -> None:
    made = Location(title="Copy", **TOKENS)
    made.pk = 7
    made.save()


def with_a_key_of_text(there: Location) -> None:
    Location.objects.create(id="007", title="Copy", **TOKENS)


def loaded_from_a_fixture_with_plain_texts(there: Location) -> None:
    load(json.dumps([{"model": "altegio_loyalty.location", "pk": 7, "fields": {"title": "Copy", **TOKENS}}]))


def pickled_and_copied(there: Location) -> None:
    copy_under_a_new_key(pickle.loads(pickle.dumps(there)))


WAYS = [copy_under_a_new_key, assign_from_another, with_pickled_secrets, copied_in_bulk, updated_in_bulk,
        updated_by_one_query, updated_by_one_query_with_secrets, made_before_its_key, with_a_key_of_text,
        loaded_from_a_fixture_with_plain_texts, pickled_and_copied]  # fmt: skip


@pytest.mark.parametrize("is_old", [False, True], ids=["bound", "unbound"])
@pytest.mark.parametrize("way", WAYS)
def test_on_every_way__a_token_is_bound_to_the_row_that_it_comes_to(
    location: Location, way: Callable[[Location], None], is_old: bool
) -> None:
    """And the row that it came from keeps its own."""
    if is_old:
        plant(unbound(PARTNER))
    there = Location.objects.get()
    way(there)
    assert_it_is_read(7)
    assert Location.objects.get(pk=1).partner_token.reveal() == PARTNER


def test_a_dump_under_another_key__is_unreadable(location: Location) -> None:
    """A dump holds the ciphertext, and that belongs to the row that was dumped."""
    rows = json.loads(serializers.serialize("json", Location.objects.all()))
    rows[0]["pk"] = 7
    load(json.dumps(rows))
    assert_it_is_refused(pk=7)


def test_a_token_that_no_key_reads__is_not_copied_to_another_row(location: Location, settings: Any) -> None:
    use_keys(settings, NEW)
    with pytest.raises(UndecryptableToken), transaction.atomic():
        copy_under_a_new_key(Location.objects.get())
    assert not Location.objects.filter(pk=7).exists()


def test_a_token_without_its_row__is_hidden_and_unreadable(location: Location) -> None:
    """`values()` and annotations do not know of which row it is."""
    for token in (
        Location.objects.values_list("partner_token", flat=True).get(),
        Location.objects.values("partner_token").get()["partner_token"],
        Location.objects.annotate(token=F("partner_token")).get().token,
    ):
        assert PARTNER not in f"{token!r}{token}"
        with pytest.raises(UndecryptableToken, match=ELSEWHERE):
            token.reveal()


def test_a_token_without_its_row__replaces_no_other(location: Location) -> None:
    token = Location.objects.values_list("user_token", flat=True).get()
    with pytest.raises(UndecryptableToken):
        location.partner_token = token
    location.save()
    assert_it_is_read()


def test_an_update__changes_no_row_that_is_no_longer_meant(
    location: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changed between the query that names the rows and the one that writes."""
    encrypt = KeyRing.encrypt

    def meanwhile(*arguments: Any) -> str:
        Location.objects.filter(pk=1).update(credentials_version=5)
        return encrypt(*arguments)

    monkeypatch.setattr(KeyRing, "encrypt", meanwhile)
    assert Location.objects.filter(credentials_version=0).update(partner_token="new") == 0
    assert Location.objects.get().partner_token.reveal() == PARTNER


def test_an_update_of_no_row__changes_none(location: Location) -> None:
    assert Location.objects.filter(pk=2).update(partner_token="new") == 0
    assert_it_is_read()


# A copy of the row in a table of its own, as histories keep it


@pytest.mark.django_db(transaction=True)
@isolate_apps("tests")
def test_a_history_keeps_no_token__and_what_is_made_from_it_keeps_its_rows(location: Location) -> None:
    class Past(models.Model):  # noqa: DJ008
        id = models.PositiveBigIntegerField()
        partner_token = EncryptedTextField(blank=True, default="")
        number = models.AutoField(primary_key=True)
        objects: Any = models.Manager()

        class Meta:
            app_label = "tests"

    with connection.schema_editor() as editor:
        editor.create_model(Past)
    try:
        Past._default_manager.create(id=location.pk, partner_token=location.partner_token)
        with connection.cursor() as cursor:
            cursor.execute("SELECT partner_token FROM tests_past")
            assert cursor.fetchone() == ("[hidden]",)
        past = Past._default_manager.get()
        Location(id=past.id, title="As it was", partner_token=past.partner_token).save(
            update_fields=["title", "partner_token"]
        )
    finally:
        with connection.schema_editor() as editor:
            editor.delete_model(Past)
    assert Location.objects.get().title == "As it was"
    assert Location.objects.get().partner_token.reveal() == PARTNER
