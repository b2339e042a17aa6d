"""A text that is encrypted in the database and hidden on the way to every page, log and traceback."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any

from django.conf import settings as django_settings
from django.core.exceptions import FieldError, ImproperlyConfigured
from django.db import models
from django.db.models.expressions import Case, Combinable, F, Value, When
from django.db.models.functions import Cast
from django.db.models.query_utils import DeferredAttribute
from django.db.models.sql import InsertQuery

from altegio_loyalty.client.crypto import KeyRing, derive_key
from altegio_loyalty.client.hidden import Hidden, hides_frames
from altegio_loyalty.conf import get_settings
from altegio_loyalty.exceptions import UndecryptableToken
from altegio_loyalty.redaction import MASK

_STORED_PREFIX = "fernet:"


@hides_frames
def key_ring() -> KeyRing:
    """The keys of ENCRYPTION_KEYS or, where that is empty, keys derived from SECRET_KEY and its fallbacks."""
    keys = list(get_settings().ENCRYPTION_KEYS)
    if not keys:
        secrets = [django_settings.SECRET_KEY, *django_settings.SECRET_KEY_FALLBACKS]
        keys = [
            derive_key(secret if isinstance(secret, str) else secret.decode("latin-1")) for secret in secrets
        ]
    try:
        return KeyRing(keys)
    except ValueError:
        raise ImproperlyConfigured(
            "ALTEGIO_LOYALTY['ENCRYPTION_KEYS'] holds a key that is not a Fernet key. "
            "Make one with: python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'"
        ) from None


class Secret(Hidden):
    """A token, plain or as it is stored. Shown as a mask everywhere; `reveal()` is the only way to its text."""

    __slots__ = ("_stored",)

    def __init__(self, plain: str | None = None, *, stored: str = "") -> None:
        super().__init__(plain)
        self._stored = stored

    @hides_frames
    def reveal(self) -> str:
        """The text. Raises `UndecryptableToken` where no key can read what is stored."""
        if self._plain is None:
            self._plain = (
                key_ring().decrypt(self._stored.removeprefix(_STORED_PREFIX)) if self._stored else ""
            )
        return self._plain

    @hides_frames
    def to_stored(self) -> str:
        """The text for the database column. What was loaded goes back as it is, readable or not."""
        if not self._stored and self._plain:
            self._stored = _STORED_PREFIX + key_ring().encrypt(self._plain)
        return self._stored

    def rotated(self) -> Secret:
        """The same text, to be encrypted anew with the first key. Raises `UndecryptableToken`."""
        return Secret(self.reveal())

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
        return _from_stored, (self.to_stored(),)


def _from_stored(stored: str) -> Secret:
    return Secret(stored=stored)


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


class _SecretAttribute(DeferredAttribute):
    def __set__(self, instance: models.Model, value: object) -> None:
        # A deferred attribute is set by Django itself while it loads.
        field: Any = self.field
        name = field.attname
        if hasattr(value, "resolve_expression"):
            field.check_expression(value)
        elif not _is_mask(value):
            value = _to_secret(value)
        elif name in instance.__dict__ or not instance._state.adding:
            return
        else:
            value = Kept(name)
        instance.__dict__[name] = value


if TYPE_CHECKING:
    _Text = models.TextField[str | Secret | Combinable, Secret]
else:
    _Text = models.TextField


class EncryptedTextField(_Text):
    """Encrypted at rest; the attribute is a `Secret`. Cannot be searched, filtered or ordered by."""

    description = "Encrypted text"
    descriptor_class = _SecretAttribute

    def from_db_value(self, value: str | None, expression: object, connection: object) -> Secret:
        return Secret(stored=value or "")

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
        if hasattr(value, "resolve_expression"):
            self.check_expression(value)
            return value
        if _is_mask(value):
            raise FieldError(f"{MASK} is how {self.name} is shown; leave it out to keep what is stored.")
        return _to_secret(value).to_stored()

    def check_expression(self, value: Any) -> None:
        """Raises FieldError for an expression by which the database would store anything but ciphertext."""
        if isinstance(value, (Case, Cast)):  # as `bulk_update` makes them
            for source in value.get_source_expressions():
                self.check_expression(source.result if isinstance(source, When) else source)
            return
        is_safe, given = isinstance(value, Kept), type(value)
        if issubclass(given, F):
            fields = self.model._meta.fields
            is_safe = value.name in [each.name for each in fields if isinstance(each, EncryptedTextField)]
        elif issubclass(given, Value):
            is_safe = value.value is None or isinstance(value._output_field_or_none, EncryptedTextField)
        if not is_safe:
            raise FieldError(
                f"{self.name} is encrypted: give a text, or F({self.name!r}) to keep what is stored."
            )

    def value_to_string(self, obj: models.Model) -> str:
        return _to_secret(self.value_from_object(obj)).to_stored()

    def get_lookup(self, lookup_name: str) -> Any:
        raise FieldError(f"{self.name} is encrypted and cannot be looked up.")


class EncryptedQuerySet(models.QuerySet[Any]):
    """Of a model with an `EncryptedTextField`: an update in the database stores no plain text either."""

    def update(self, **values: Any) -> int:
        for field in self.model._meta.concrete_fields:
            if isinstance(field, EncryptedTextField) and field.name in values:
                field.get_prep_value(values[field.name])  # refuses what cannot be stored
        return super().update(**values)

    update.alters_data = True  # type: ignore[attr-defined]
