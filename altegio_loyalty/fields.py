"""A text that is encrypted for its row in the database, and hidden on the way to every page, log and traceback."""

import hmac
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from django.conf import settings as django_settings
from django.core.exceptions import FieldError, ImproperlyConfigured, ValidationError
from django.db import models
from django.db.models.expressions import Case, Col, Combinable, F, Value, When
from django.db.models.functions import Cast
from django.db.models.query_utils import DeferredAttribute
from django.db.models.sql import InsertQuery
from django.utils.encoding import force_str

from altegio_loyalty.client.hidden import Hidden, hides_frames
from altegio_loyalty.conf import get_settings
from altegio_loyalty.exceptions import UndecryptableToken
from altegio_loyalty.redaction import MASK

if TYPE_CHECKING:
    from altegio_loyalty.client.crypto import KeyRing

_STORED_PREFIX = "fernet:"
#: Whose place is in the ciphertext; without the second word it is of an earlier release, and bound when it is saved.
_BOUND_PREFIX = "fernet:bound:"


@hides_frames
def key_ring() -> "KeyRing":
    """The keys of ENCRYPTION_KEYS or, where that is empty, keys derived from SECRET_KEY and its fallbacks."""
    from altegio_loyalty.client.crypto import KeyRing, derive_key  # heavy, and of no use before a token is

    keys = list(get_settings().ENCRYPTION_KEYS)
    if not keys:
        secrets = [django_settings.SECRET_KEY, *django_settings.SECRET_KEY_FALLBACKS]
        keys = [derive_key(force_str(secret, "latin-1")) for secret in secrets]
    try:
        return KeyRing(keys)
    except ValueError:
        raise ImproperlyConfigured(
            "ALTEGIO_LOYALTY['ENCRYPTION_KEYS'] holds a key that is not a Fernet key. "
            "Make one with: python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'"
        ) from None


class Secret(Hidden):
    """A token, plain or as it is stored. Shown as a mask everywhere; `reveal()` is the only way to its text.

    `place` is the row and field where it goes to, `origin` where the ciphertext came from; None where nobody knows.
    """

    __slots__ = ("_origin", "_place", "_stored")

    def __init__(
        self, plain: str | None = None, stored: str = "", place: str = "", origin: str | None = None
    ) -> None:
        super().__init__(plain)
        self._stored, self._place, self._origin = stored, place, origin

    @hides_frames
    def reveal(self) -> str:
        """The text. Raises `UndecryptableToken` where no key can read what is stored, or where it belongs elsewhere."""
        if self._plain is None and self._stored:
            if not self._stored.startswith(_STORED_PREFIX):
                raise UndecryptableToken("What is stored is no encrypted token. Enter it again.")
            ciphertext = self._stored.removeprefix(_BOUND_PREFIX).removeprefix(_STORED_PREFIX)
            self._plain = key_ring().decrypt(ciphertext, self._origin or "")
        return self._plain or ""

    reveal.alters_data = True  # type: ignore[attr-defined]  # as in `Hidden`

    @hides_frames
    def to_stored(self) -> str:
        """The text for the column; what came from there stays, readable or not. Raises `UndecryptableToken` elsewhere."""
        is_at_home = self._origin in (None, self._place)
        if self._stored and not (is_at_home and self._stored.startswith(_BOUND_PREFIX)):
            try:
                self.reveal()
                self._stored = ""
            except UndecryptableToken:
                if not is_at_home:
                    raise
        if not self._stored and self._plain:
            self._origin = self._place
            self._stored = _BOUND_PREFIX + key_ring().encrypt(self._plain, self._place)
        return self._stored

    def going_to(self, place: str) -> "Secret":
        """The same, to be stored at `place`, where it is taken to be from if nobody knows better."""
        if place == self._place:
            return self
        return Secret(self._plain, self._stored, place, place if self._origin is None else self._origin)

    def __bool__(self) -> bool:
        return bool(self._plain or self._stored)

    def __eq__(self, other: object) -> bool:
        """Whether the texts are the same. One that cannot be read is like nothing but itself."""
        if isinstance(other, str):
            other = Secret(other)
        if not isinstance(other, Secret):
            return NotImplemented
        if not self or not other or (self._stored and self._stored == other._stored):
            return bool(self) == bool(other)
        try:
            return hmac.compare_digest(self.reveal().encode(), other.reveal().encode())
        except UndecryptableToken:
            return False

    __hash__ = None

    def __reduce__(self) -> tuple[Any, ...]:
        # A pickle (cache, session, task argument) carries the ciphertext, never the token.
        return Secret, (None, self.to_stored(), self._place, self._origin)


def _to_secret(value: object) -> Secret:
    return value if isinstance(value, Secret) else Secret("" if value is None else str(value))


def _is_mask(value: object) -> bool:
    """Whether it is what a page, an export or a serializer shows in place of a token."""
    plain = value._plain if isinstance(value, Secret) and not value._stored else value
    return isinstance(plain, str) and plain.strip() == MASK


class Kept(Secret):
    """The mask in an object that was not loaded: whatever token its row has, and none where it makes a new row."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def resolve_expression(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        if getattr(query, "on_conflict", None) is not None:
            raise FieldError(
                f"{self._name}: bulk_create over existing rows cannot keep what {MASK} stands for."
            )
        stored: Any = Value("") if isinstance(query, InsertQuery) else F(self._name)
        return stored.resolve_expression(query, *args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return Kept, (self._name,)


class _LeftOut(Value):
    """What a copy keeps of a token: nothing. Whatever is made from it keeps the token of its row."""


class _SecretAttribute(DeferredAttribute):
    def __get__(self, instance: Any, cls: Any = None) -> Any:
        value, field = super().__get__(instance, cls), cast("EncryptedTextField", self.field)
        return value.going_to(field.place_in(instance)) if type(value) is Secret else value

    def __set__(self, instance: models.Model, value: object) -> None:
        # A deferred attribute is set by Django itself while it loads.
        field: Any = self.field
        name = field.attname
        if _is_mask(value):
            if name in instance.__dict__ or not instance._state.adding:
                return
            value = Kept(name)
        elif not field.is_expression(value):
            value = _to_secret(value)
            if type(instance.__dict__.get(name)) is Secret and value._stored and value._origin is None:
                value = Secret(value.reveal())  # of `values()`: what cannot be read here replaces nothing
            value = value.going_to(field.place_in(instance))
        instance.__dict__[name] = value


if TYPE_CHECKING:
    _Text = models.TextField[str | Secret | Combinable, Secret]
else:
    _Text = models.TextField


class EncryptedTextField(_Text):
    """Encrypted for its row, so declared behind the primary key; the attribute is a `Secret`. Cannot be looked up by."""

    description = "Encrypted text"
    descriptor_class = _SecretAttribute

    def place(self, pk: Any) -> str:
        """Where the token of this row stands; empty where the row has no primary key yet."""
        meta = self.model._meta
        with suppress(ValidationError):  # no row has a key that is none
            pk = meta.pk.to_python(pk)
        return "" if pk is None else f"{meta.db_table}.{self.column}:{pk}"

    def place_in(self, instance: models.Model) -> str:
        return self.place(instance.__dict__.get(self.model._meta.pk.attname))

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        value = super().pre_save(model_instance, add)
        # A copy that counts its own rows, such as a history's: bound to no row, a token would be anybody's.
        is_copy = add and self.model._meta.auto_field is not None and not self.place_in(model_instance)
        return _LeftOut(MASK) if is_copy and value else value

    def from_db_value(self, value: str | None, expression: object, connection: object) -> Secret:
        return Kept(self.attname) if value == MASK else Secret(stored=value or "")

    def to_python(self, value: object) -> Any:
        """A dump holds what is stored, so that it shows no token and can be loaded again."""
        if isinstance(value, str) and value.startswith(_STORED_PREFIX):
            return Secret(stored=value)
        return value if _is_mask(value) else _to_secret(value)

    def save_form_data(self, instance: models.Model, data: Any) -> None:
        """A form shows no token, so an empty or untouched field means the one that is there."""
        if data and not _is_mask(data):
            super().save_form_data(instance, _to_secret(data))

    def get_prep_value(self, value: Any) -> Any:
        if self.is_expression(value):
            return value
        secret = _to_secret(value)
        if secret and not secret._place:
            raise FieldError(
                "A token is bound to its row, and this names none: use save(), bulk_update() or objects.update()."
            )
        return secret.to_stored()

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        if hasattr(value, "as_sql"):
            self.is_expression(value)  # resolved by now, on whatever manager
        return super().get_db_prep_save(value, connection)

    def is_expression(self, value: Any) -> bool:
        """Whether the database makes what is stored. Raises FieldError for the mask, and for what makes no ciphertext."""
        if _is_mask(value):
            raise FieldError(f"{MASK} is how {self.name} is shown; leave it out to keep what is stored.")
        if not hasattr(value, "resolve_expression"):
            return False
        if isinstance(value, (Case, Cast)):  # as `bulk_update` makes them
            sources = value.get_source_expressions()
            return all(self.is_expression(one.result if isinstance(one, When) else one) for one in sources)
        is_safe, given = isinstance(value, (Kept, _LeftOut)), type(value)
        if given is F:
            is_safe = value.name == self.name
        elif given is Col:
            is_safe = value.target == self
        elif issubclass(given, Value) and given is not _LeftOut:
            is_safe = value.value in (None, "") or isinstance(value._output_field_or_none, EncryptedTextField)
        if not is_safe:
            raise FieldError(
                f"{self.name} is encrypted: give a text, or F({self.name!r}) to keep what is stored."
            )
        return True

    def value_to_string(self, obj: models.Model) -> str:
        return _to_secret(self.value_from_object(obj)).to_stored()

    def get_lookup(self, lookup_name: str) -> Any:
        raise FieldError(f"{self.name} is encrypted and cannot be looked up.")


class IndexByVendor(models.Index):
    """An index on `fields`; in a database that `sql` names, on what that says."""

    def __init__(self, *, sql: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sql = dict(sql)

    def create_sql(self, model: Any, schema_editor: Any, using: str = "", **kwargs: Any) -> Any:
        statement: Any = super().create_sql(model, schema_editor, using, **kwargs)
        if covered := self.sql.get(schema_editor.connection.vendor):
            statement.template = f"CREATE INDEX %(name)s ON %(table)s {covered}"
        return statement

    def deconstruct(self) -> Any:
        path, arguments, options = super().deconstruct()
        return path, arguments, {**options, "sql": self.sql}


class EncryptedQuerySet(models.QuerySet[Any]):
    """Of a model with an `EncryptedTextField`: an update in the database encrypts a text for each row by itself."""

    def update(self, **values: Any) -> int:
        given = [field for field in self.model._meta.concrete_fields if field.name in values]
        ours = [field for field in given if isinstance(field, EncryptedTextField)]
        texts = [field for field in ours if not field.is_expression(values[field.name])]
        if not texts:
            return super().update(**values)
        self._for_write = True
        pks = list(self.values_list("pk", flat=True))
        for field in texts:
            text = _to_secret(values[field.name])
            each = [When(pk=pk, then=Value(text.going_to(field.place(pk)), output_field=field)) for pk in pks]
            values[field.name] = Case(*each, output_field=field)
        # What was asked for still holds: a row that changed meanwhile is left alone.
        return models.QuerySet.update(self.filter(pk__in=pks), **values)

    update.alters_data = True  # type: ignore[attr-defined]
