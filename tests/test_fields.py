"""Tokens at rest: ciphertext in the column, a mask everywhere else, and nothing lost with a key."""

from __future__ import annotations

import base64
import copy
import json
import pickle
from typing import Any

import pytest
from django.core import serializers
from django.core.exceptions import FieldError, ImproperlyConfigured, ValidationError
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models import Case, F, Func, Q, QuerySet, Subquery, TextField, Value, When
from django.db.models.expressions import RawSQL
from django.db.models.functions import Cast, Concat, Upper
from django.forms import modelform_factory

from altegio_loyalty.client.crypto import KeyRing, derive_key
from altegio_loyalty.exceptions import UndecryptableToken
from altegio_loyalty.fields import EncryptedTextField, Secret, key_ring
from altegio_loyalty.models import Location
from altegio_loyalty.redaction import MASK

PARTNER, USER = "partner-0123456789", "user-abcdef0123456789"
OLD, NEW, OTHER = (base64.urlsafe_b64encode(name * 16).decode() for name in (b"01", b"23", b"45"))

pytestmark = pytest.mark.django_db


@pytest.fixture
def location() -> Location:
    return Location.objects.create(id=1, title="Salon", partner_token=PARTNER, user_token=USER)


def use_keys(settings: Any, *keys: str) -> None:
    settings.ALTEGIO_LOYALTY = {**settings.ALTEGIO_LOYALTY, "ENCRYPTION_KEYS": list(keys)}


def column(name: str = "partner_token", pk: int = 1) -> str:
    """What really stands in the database."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {name} FROM altegio_loyalty_location WHERE id = %s", [pk])
        return str(cursor.fetchone()[0])


def decrypted(ring: KeyRing, name: str = "partner_token", pk: int = 1) -> str:
    ciphertext = column(name, pk).removeprefix("fernet:bound:")
    return ring.decrypt(ciphertext, f"altegio_loyalty_location.{name}:{pk}")


# At rest


def test_the_column_holds_ciphertext(location: Location) -> None:
    for name, token in (("partner_token", PARTNER), ("user_token", USER)):
        stored = column(name)
        assert stored.startswith("fernet:bound:")
        assert token not in stored
        assert decrypted(key_ring(), name) == token


def test_the_same_token_is_never_stored_alike_twice(location: Location) -> None:
    Location.objects.create(id=2, title="Other", partner_token=PARTNER)
    assert column(pk=1) != column(pk=2)


def test_an_empty_token_stays_empty() -> None:
    Location.objects.create(id=1, title="Salon")
    assert column() == ""
    location = Location.objects.get()
    assert not location.partner_token
    assert location.partner_token.reveal() == ""
    assert str(location.partner_token) == ""


@pytest.mark.parametrize(
    "token", ["a", "x" * 5000, "ключ", "quote'\"\\", "%s %(x)s {0}", "\N{GRINNING FACE}", " padded "]
)
def test_any_token_comes_back_as_it_went_in(token: str) -> None:
    Location.objects.create(id=1, title="Salon", partner_token=token)
    assert Location.objects.get().partner_token.reveal() == token


def test_every_way_of_writing_encrypts(location: Location) -> None:
    Location.objects.filter(pk=1).update(partner_token="by-update")
    assert "by-update" not in column()
    assert Location.objects.get(pk=1).partner_token.reveal() == "by-update"

    Location.objects.bulk_create([Location(id=2, title="B", partner_token="by-bulk-create")])
    assert "by-bulk-create" not in column(pk=2)
    assert Location.objects.get(pk=2).partner_token.reveal() == "by-bulk-create"

    location = Location.objects.get(pk=2)
    location.partner_token = "by-bulk-update"
    Location.objects.bulk_update([location], ["partner_token"])
    assert "by-bulk-update" not in column(pk=2)
    assert Location.objects.get(pk=2).partner_token.reveal() == "by-bulk-update"

    Location.objects.update_or_create(pk=2, defaults={"partner_token": "by-update-or-create"})
    assert "by-update-or-create" not in column(pk=2)
    assert Location.objects.get(pk=2).partner_token.reveal() == "by-update-or-create"


# Reading


def test_every_way_of_reading_gives_a_secret(location: Location) -> None:
    for token in (
        Location.objects.get().partner_token,
        Location.objects.raw("SELECT * FROM altegio_loyalty_location")[0].partner_token,
        Location.objects.only("partner_token").iterator().__next__().partner_token,
    ):
        assert isinstance(token, Secret)
        assert token.reveal() == PARTNER
        assert PARTNER not in f"{token!r}{token}"


def test_a_deferred_token_is_loaded_when_it_is_needed(location: Location) -> None:
    for queryset in (Location.objects.only("title"), Location.objects.defer("partner_token")):
        deferred = queryset.get()
        assert "partner_token" in deferred.get_deferred_fields()
        assert deferred.partner_token.reveal() == PARTNER


def test_refresh_from_db_reads_the_token_anew(location: Location) -> None:
    Location.objects.update(partner_token="newer")
    location.refresh_from_db()
    assert location.partner_token.reveal() == "newer"
    Location.objects.update(partner_token="newest")
    location.refresh_from_db(fields=["partner_token"])
    assert location.partner_token.reveal() == "newest"


def test_a_save_without_a_change_keeps_the_ciphertext(location: Location) -> None:
    before = column()
    location = Location.objects.get()
    location.title = "Renamed"
    location.save()
    assert column() == before


# Lookups


@pytest.mark.parametrize(
    "lookup",
    ["partner_token", "partner_token__exact", "partner_token__in", "partner_token__contains", "partner_token__startswith",
     "partner_token__isnull", "partner_token__gt", "partner_token__regex", "partner_token__nonsense"],
)  # fmt: skip
def test_a_lookup_is_refused(lookup: str) -> None:
    value: Any = ["x"] if lookup.endswith("__in") else "x"
    for condition in (Q(**{lookup: value}), ~Q(**{lookup: value}), Q(id=1) | Q(**{lookup: value})):
        with pytest.raises(FieldError):
            list(Location.objects.filter(condition))


def test_a_lookup_over_a_relation_or_annotation_is_refused() -> None:
    from altegio_loyalty.models import Visit

    with pytest.raises(FieldError):
        list(Visit.objects.filter(location__partner_token="x"))
    with pytest.raises(FieldError):
        list(Location.objects.annotate(token=F("partner_token")).filter(token="x"))


# Keys


def test_the_first_key_encrypts_and_every_key_decrypts(settings: Any) -> None:
    use_keys(settings, OLD)
    Location.objects.create(id=1, title="Salon", partner_token=PARTNER)
    use_keys(settings, NEW, OLD)
    assert Location.objects.get().partner_token.reveal() == PARTNER
    Location.objects.create(id=2, title="Newer", partner_token=PARTNER)
    assert decrypted(KeyRing([NEW]), pk=2) == PARTNER
    with pytest.raises(UndecryptableToken):
        decrypted(KeyRing([OLD]), pk=2)


def test_a_rotated_secret_is_stored_with_the_first_key(settings: Any) -> None:
    use_keys(settings, OLD)
    Location.objects.create(id=1, title="Salon", partner_token=PARTNER)
    use_keys(settings, NEW, OLD)
    Location.objects.update(partner_token=Location.objects.get().partner_token.reveal())
    use_keys(settings, NEW)
    assert Location.objects.get().partner_token.reveal() == PARTNER


def test_without_keys_they_come_from_the_secret_key_and_its_fallbacks(settings: Any) -> None:
    settings.SECRET_KEY = "first-secret"
    Location.objects.create(id=1, title="Salon", partner_token=PARTNER)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "second-secret", ["first-secret"]
    assert Location.objects.get().partner_token.reveal() == PARTNER
    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(UndecryptableToken):
        Location.objects.get().partner_token.reveal()


def test_a_secret_key_of_bytes_works(settings: Any) -> None:
    settings.SECRET_KEY = b"bytes-\xff-secret"
    Location.objects.create(id=1, title="Salon", partner_token=PARTNER)
    assert Location.objects.get().partner_token.reveal() == PARTNER


def test_a_derived_key_is_not_the_secret_itself_and_differs_for_each() -> None:
    assert "secret" not in derive_key("secret")
    assert derive_key("secret") != derive_key("secret2")
    assert derive_key("secret") == derive_key("secret")


@pytest.mark.parametrize("key", ["", "short", "ключ", "x" * 44, OLD[:-2]])
def test_a_key_that_is_none_is_an_error_that_does_not_show_it(settings: Any, key: str) -> None:
    use_keys(settings, OLD, key)
    with pytest.raises(ImproperlyConfigured) as caught:
        key_ring()
    assert OLD not in str(caught.value)
    assert not key or key not in str(caught.value)


def test_an_empty_key_ring_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        KeyRing([])
    assert OLD not in repr(KeyRing([OLD]))


# A lost key


@pytest.fixture
def lost(settings: Any) -> Location:
    """A location whose tokens no key can read any more."""
    use_keys(settings, OLD)
    Location.objects.create(id=1, title="Salon", partner_token=PARTNER, user_token=USER)
    use_keys(settings, OTHER)
    return Location.objects.get()


def test_with_a_lost_key_the_list_still_works(lost: Location) -> None:
    assert [str(each) for each in Location.objects.all()] == ["Salon (1)"]
    assert MASK in repr(lost.partner_token)
    assert bool(lost.partner_token)


def test_with_a_lost_key_revealing_says_so(lost: Location) -> None:
    with pytest.raises(UndecryptableToken, match="ENCRYPTION_KEYS"):
        lost.partner_token.reveal()
    with pytest.raises(UndecryptableToken):
        lost.credentials()


def test_with_a_lost_key_other_columns_can_be_saved_and_the_ciphertext_stays(lost: Location) -> None:
    before = column("partner_token"), column("user_token")
    lost.title = "Renamed"
    lost.save()
    assert Location.objects.get().title == "Renamed"
    assert (column("partner_token"), column("user_token")) == before
    lost.save(update_fields=["title"])
    Location.objects.update(is_active=False)
    copy.deepcopy(lost).save()
    pickle.loads(pickle.dumps(lost)).save()
    assert (column("partner_token"), column("user_token")) == before


def test_with_a_lost_key_a_new_token_can_be_entered(lost: Location) -> None:
    """As the error says: enter it again."""
    before = column("user_token")
    lost.partner_token = "entered-again"
    lost.save()
    assert Location.objects.get().partner_token.reveal() == "entered-again"
    assert column("user_token") == before


def test_with_a_lost_key_a_new_token_ends_the_pause(lost: Location) -> None:
    from django.utils import timezone

    Location.objects.update(refused_at=timezone.now(), refused_reason="401")
    location = Location.objects.get()
    location.user_token = "entered-again"
    location.save()
    assert not Location.objects.get().is_paused


def test_with_a_lost_key_full_clean_does_not_read_the_token(lost: Location) -> None:
    lost.full_clean()


def test_with_a_lost_key_secrets_can_be_compared(lost: Location) -> None:
    again = Location.objects.get()
    assert lost.partner_token == again.partner_token
    assert lost.partner_token != "something"
    assert lost.partner_token != ""
    assert Secret("something") != lost.partner_token
    assert lost.partner_token != lost.user_token


def test_with_the_key_back_the_token_is_back(lost: Location, settings: Any) -> None:
    lost.save()
    use_keys(settings, OTHER, OLD)
    assert Location.objects.get().partner_token.reveal() == PARTNER


@pytest.mark.parametrize(
    "stored", ["fernet:", "fernet:garbage", "fernet:\u00e9", "plain text", "gAAAAA", "fernet:fernet:x"]
)
def test_a_column_that_was_damaged_does_not_break_the_list(location: Location, stored: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE altegio_loyalty_location SET partner_token = %s WHERE id = 1", [stored])
    loaded = Location.objects.get()
    with pytest.raises(UndecryptableToken):
        loaded.partner_token.reveal()
    loaded.title = "Renamed"
    loaded.save()
    assert column() == stored


# What is shown


def test_nothing_shows_the_token(location: Location) -> None:
    loaded = Location.objects.get()
    loaded.partner_token.reveal()
    for each in (location, loaded):
        shown = f"{each!r}{each}{vars(each)}{each.partner_token!r}{each.partner_token}{[each.partner_token]}"
        shown += f"{each.partner_token} {each.partner_token!r}"
        assert PARTNER not in shown
        assert USER not in shown


def test_a_pickle_holds_ciphertext(location: Location) -> None:
    for each in (location, Location.objects.get(), Secret(PARTNER)):
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            assert PARTNER.encode() not in pickle.dumps(each, protocol)
    again = pickle.loads(pickle.dumps(location))
    assert again.partner_token.reveal() == PARTNER
    assert again.credentials().user_token == USER


def test_a_copy_holds_the_same_token(location: Location) -> None:
    for again in (copy.copy(location), copy.deepcopy(location)):
        assert again.partner_token.reveal() == PARTNER
    assert copy.copy(Secret("x")).reveal() == "x"
    assert copy.deepcopy(Secret("x")).reveal() == "x"


def test_secrets_compare_by_their_text_and_cannot_be_hashed() -> None:
    assert Secret("a") == Secret("a") == "a"
    assert Secret("a") != Secret("b")
    assert Secret("a") != None  # noqa: E711 - the comparison itself is what is tested
    assert Secret("") == ""
    with pytest.raises(TypeError):
        hash(Secret("a"))


def test_json_refuses_a_secret() -> None:
    with pytest.raises(TypeError):
        json.dumps({"token": Secret("a")})


@pytest.mark.parametrize("form", ["json", "xml", "python", "jsonl"])
def test_a_dump_holds_ciphertext_and_loads_again(location: Location, form: str) -> None:
    dumped = serializers.serialize(form, Location.objects.all())
    assert PARTNER not in str(dumped)
    Location.objects.all().delete()
    for entry in serializers.deserialize(form, dumped):
        entry.save()
    assert Location.objects.get().credentials().partner_token == PARTNER


def test_dumpdata_and_loaddata_keep_the_tokens(location: Location, tmp_path: Any) -> None:
    file = tmp_path / "dump.json"
    call_command("dumpdata", "altegio_loyalty.location", output=str(file))
    assert PARTNER not in file.read_text()
    Location.objects.all().delete()
    call_command("loaddata", str(file), verbosity=0)
    assert Location.objects.get().credentials().user_token == USER


def test_a_dump_loads_where_the_key_is_lost(lost: Location) -> None:
    dumped = serializers.serialize("json", Location.objects.all())
    before = column()
    Location.objects.all().delete()
    for entry in serializers.deserialize("json", dumped):
        entry.save()
    assert column() == before


# The mask, given back


MASKED = {"partner_token": MASK, "user_token": MASK}


def assert_tokens_are_kept(pk: int = 1) -> None:
    kept = Location.objects.get(pk=pk).credentials()
    assert kept.partner_token == PARTNER
    assert kept.user_token == USER


@pytest.mark.parametrize("mask", [MASK, f" {MASK} ", Secret(MASK)])
@pytest.mark.parametrize("deferred", [(), ("partner_token", "user_token")])
def test_a_mask_set_on_a_loaded_location_keeps_its_tokens(
    location: Location, mask: Any, deferred: tuple[str, ...]
) -> None:
    """As django-import-export does it, and a PUT of Django REST framework."""
    loaded = Location.objects.defer(*deferred).get()
    loaded.partner_token = loaded.user_token = mask
    loaded.title = "Renamed"
    loaded.save()
    assert loaded.partner_token == PARTNER
    assert_tokens_are_kept()


def test_a_mask_is_no_new_token__and_ends_no_pause(location: Location) -> None:
    Location.objects.update(refused_at="2026-01-02T03:04:05Z", credentials_version=3)
    loaded = Location.objects.get()
    loaded.partner_token = MASK
    loaded.save()
    assert Location.objects.get().is_paused
    assert Location.objects.get().credentials_version == 3


def test_a_mask_in_an_object_built_over_a_row_keeps_its_tokens(location: Location) -> None:
    built = Location(pk=1, title="Renamed", **MASKED)
    built.save()
    assert Location.objects.get().title == "Renamed"
    assert built.partner_token == PARTNER
    assert_tokens_are_kept()


def test_a_mask_in_an_object_that_was_pickled_keeps_the_tokens(location: Location) -> None:
    pickle.loads(pickle.dumps(Location(pk=1, title="Renamed", **MASKED))).save()
    assert_tokens_are_kept()


def test_a_mask_in_update_or_create_keeps_the_tokens(location: Location) -> None:
    Location.objects.update_or_create(pk=1, defaults={"title": "Renamed", **MASKED})
    assert_tokens_are_kept()


def test_a_mask_in_bulk_update_keeps_the_tokens(location: Location) -> None:
    loaded, built = Location.objects.get(), Location(pk=1, title="Renamed", **MASKED)
    loaded.partner_token = MASK
    for each in (loaded, built):
        Location.objects.bulk_update([each], ["title", "partner_token", "user_token"])
        assert_tokens_are_kept()


def test_a_mask_in_bulk_create_over_a_row_is_refused(location: Location) -> None:
    with pytest.raises(FieldError, match="bulk_create"), transaction.atomic():
        Location.objects.bulk_create(
            [Location(id=1, title="x", **MASKED)],
            update_conflicts=True,
            unique_fields=["id"] if connection.features.supports_update_conflicts_with_target else None,
            update_fields=["partner_token"],
        )
    assert_tokens_are_kept()


def test_a_mask_in_a_fixture_keeps_the_tokens(location: Location) -> None:
    rows = [{"model": "altegio_loyalty.location", "pk": 1, "fields": {"title": "Renamed", **MASKED}}]
    for entry in serializers.deserialize("json", json.dumps(rows)):
        entry.save()
    assert Location.objects.get().title == "Renamed"
    assert_tokens_are_kept()


@pytest.mark.parametrize("way", ["create", "bulk", "fixture", "update_or_create"])
def test_a_mask_in_a_new_row_means_no_token(way: str) -> None:
    row = {"title": "New", **MASKED}
    if way == "create":
        assert not Location.objects.create(pk=1, **row).partner_token
    elif way == "bulk":
        Location.objects.bulk_create([Location(pk=1, **row)])
    elif way == "update_or_create":
        Location.objects.update_or_create(pk=1, defaults=row)
    else:
        data = json.dumps([{"model": "altegio_loyalty.location", "pk": 1, "fields": row}])
        for entry in serializers.deserialize("json", data):
            entry.save()
    assert column() == column("user_token") == ""


def test_a_mask_typed_into_a_form_keeps_the_token(location: Location) -> None:
    form = LocationForm({"id": 1, "title": "Salon", **MASKED}, instance=Location.objects.get())
    form.save()
    assert_tokens_are_kept()


def test_an_update_to_the_mask_is_refused(location: Location) -> None:
    with pytest.raises(FieldError, match="leave it out"):
        Location.objects.update(partner_token=MASK)
    assert_tokens_are_kept()


# Expressions

PLAIN: list[Any] = [Value("plain"), Concat(Value("x"), F("title")), F("title"), Upper("partner_token")]
PLAIN += [Case(When(pk=1, then=Value("plain"))), Cast(Value("plain"), TextField())]
PLAIN += [RawSQL("'plain'", ()), Subquery(Location.objects.values("title")[:1]), Func(function="VERSION")]
#: Ciphertext of another row or column, which would be unreadable.
MISPLACED: list[Any] = [F("user_token"), Subquery(Location.objects.values("partner_token")[:1])]
MANAGERS = {
    "objects": lambda: Location.objects.all(),
    "base manager": lambda: Location._base_manager.all(),
    "plain queryset": lambda: QuerySet(Location),
}


@pytest.mark.parametrize("manager", MANAGERS)
@pytest.mark.parametrize("expression", [*PLAIN, *MISPLACED], ids=lambda one: type(one).__name__)
def test_an_update_that_would_store_no_ciphertext_of_the_row_is_refused(
    location: Location, expression: Any, manager: str
) -> None:
    with pytest.raises(FieldError, match=r"F\('partner_token'\)"), transaction.atomic():
        MANAGERS[manager]().update(partner_token=expression)
    assert_tokens_are_kept()


@pytest.mark.parametrize("manager", ["base manager", "plain queryset"])
@pytest.mark.parametrize("text", ["plain", Value("plain", output_field=EncryptedTextField()), Secret("x")])
def test_an_update_of_a_manager_that_knows_no_rows_is_refused(
    location: Location, text: Any, manager: str
) -> None:
    with pytest.raises(FieldError, match="use save"), transaction.atomic():
        MANAGERS[manager]().update(partner_token=text)
    assert_tokens_are_kept()


@pytest.mark.parametrize("expression", [*PLAIN, *MISPLACED], ids=lambda one: type(one).__name__)
def test_an_expression_that_would_store_no_ciphertext_of_the_row_is_refused(
    location: Location, expression: Any
) -> None:
    with pytest.raises(FieldError, match=r"F\('partner_token'\)"):
        location.partner_token = expression
    with pytest.raises(FieldError, match=r"F\('partner_token'\)"):
        Location(partner_token=expression)
    assert_tokens_are_kept()


def test_an_expression_of_the_column_itself_keeps_the_token(location: Location) -> None:
    Location.objects.update(partner_token=F("partner_token"))
    location.user_token = F("user_token")
    location.save()
    assert_tokens_are_kept()


# Forms

LocationForm = modelform_factory(Location, fields=["id", "title", "partner_token", "user_token", "is_active"])


def posted(form: Any) -> dict[str, Any]:
    """What a browser sends back of a form in which nothing was touched."""
    return {name: str(form[name].value() if form[name].value() is not None else "") for name in form.fields}


def test_a_model_form_never_shows_the_token(location: Location) -> None:
    page = LocationForm(instance=Location.objects.get()).as_p()
    assert PARTNER not in page
    assert "fernet:" not in page


def test_a_model_form_sent_back_untouched_keeps_the_token(location: Location) -> None:
    shown = LocationForm(instance=Location.objects.get())
    form = LocationForm(posted(shown), instance=Location.objects.get())
    assert form.is_valid(), form.errors
    form.save()
    assert Location.objects.get().partner_token.reveal() == PARTNER


def test_a_model_form_saves_a_new_token(location: Location) -> None:
    values = {**posted(LocationForm(instance=location)), "partner_token": "typed-anew"}
    form = LocationForm(values, instance=Location.objects.get())
    assert form.is_valid(), form.errors
    form.save()
    assert Location.objects.get().partner_token.reveal() == "typed-anew"


@pytest.mark.parametrize("token", ["two words", "a,b", "ключ", "a\nb"])
def test_a_model_form_refuses_a_token_that_cannot_be_sent_without_repeating_it(
    location: Location, token: str
) -> None:
    form = LocationForm({"id": 1, "title": "Salon", "partner_token": token}, instance=location)
    assert not form.is_valid()
    assert token not in str(form.errors)


def test_clean_refuses_a_token_that_cannot_be_sent() -> None:
    with pytest.raises(ValidationError) as caught:
        Location(id=1, title="x", partner_token="a b").full_clean()
    assert "partner_token" in caught.value.message_dict


def test_a_typed_text_is_never_taken_for_ciphertext() -> None:
    """Only the database and a dump may hand in what is stored; a person types tokens."""
    form = LocationForm({"id": 1, "title": "x", "partner_token": "fernet:typed-by-hand"})
    if form.is_valid():
        form.save()
        assert Location.objects.get().partner_token.reveal() == "fernet:typed-by-hand"
