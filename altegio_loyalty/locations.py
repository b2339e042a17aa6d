"""A location: the tokens with which this site speaks for it, their health, its time zone and currency."""

import datetime
from typing import Any, Self

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models, router, transaction
from django.utils.translation import gettext_lazy as _

from altegio_loyalty.client import Credentials
from altegio_loyalty.fields import EncryptedQuerySet, EncryptedTextField, Kept, Secret
from altegio_loyalty.moments import is_offset_zone, zone_called, zone_of

TOKENS = ("partner_token", "user_token")
_HEALTH_FIELDS = frozenset({"credentials_version", "credentials_worked_at", "refused_at", "refused_reason"})
check_currency = RegexValidator(r"^[A-Z]{3}\Z", _("Three capital letters, such as EUR."))


def check_time_zone(name: str) -> None:
    """Raises `ValidationError` unless it is an IANA time zone."""
    if zone_called(name) is None:
        raise ValidationError(_("This is no time zone. Write it as Europe/Prague or Asia/Vladivostok."))


class Location(models.Model):
    """A salon, and the tokens with which this site speaks for it; a row knows which of them were given a new text."""

    id = models.PositiveBigIntegerField(
        _("location ID"),
        primary_key=True,
        validators=[MinValueValidator(1)],
        help_text=_("The number of the location in its own screens."),
    )
    title = models.CharField(_("title"), max_length=200)
    partner_token = EncryptedTextField(_("partner token"), blank=True, default="")
    user_token = EncryptedTextField(_("user token"), blank=True, default="")
    is_active = models.BooleanField(
        _("active"), default=True, help_text=_("Nothing is sent for a location that is switched off.")
    )
    time_zone = models.CharField(
        _("time zone"),
        max_length=64,
        blank=True,
        default="",
        validators=[check_time_zone],
        help_text=_("Such as Europe/Prague. A connection test fills it in; empty is the site's."),
    )
    currency = models.CharField(
        _("currency"),
        max_length=3,
        blank=True,
        default="",
        validators=[check_currency],
        help_text=_("Such as EUR. A connection test fills it in."),
    )
    credentials_version = models.PositiveIntegerField(editable=False, default=0)
    credentials_worked_at = models.DateTimeField(
        _("tokens last worked at"), null=True, blank=True, editable=False
    )
    refused_at = models.DateTimeField(_("tokens refused at"), null=True, blank=True, editable=False)
    refused_reason = models.CharField(
        _("reason of the refusal"), max_length=300, blank=True, default="", editable=False
    )
    visits_read_at = models.DateTimeField(_("visits last read at"), null=True, blank=True, editable=False)

    objects = EncryptedQuerySet.as_manager()

    class Meta:
        verbose_name = _("location")
        verbose_name_plural = _("locations")
        ordering = ["title", "id"]
        permissions = [("all_locations", _("Can work in all locations"))]

    def __str__(self) -> str:
        return f"{self.title} ({self.pk})"

    def save(self, *args: Any, update_fields: Any = None, **kwargs: Any) -> None:
        """Saves; where a token changed, the location is no longer paused and its operations go on.

        Any other save leaves the health of the tokens as it stands in the database: it may be newer than what was read.
        """
        is_update = not self._state.adding and hasattr(self, "_loaded_tokens")
        if is_update and self._has_new_token(update_fields):
            self.refused_at, self.refused_reason = None, ""
            if update_fields is not None:
                update_fields = {*update_fields, "credentials_version", "refused_at", "refused_reason"}
            using = kwargs.get("using") or router.db_for_write(Location, instance=self)
            with transaction.atomic(using=using):
                row = Location.objects.using(using).filter(pk=self.pk)
                # Counted by the database, whose lock lasts to the end; but receivers of the signals see a plain number.
                row.update(credentials_version=models.F("credentials_version") + 1)
                self.credentials_version = row.values_list("credentials_version", flat=True).first() or 0
                super().save(*args, update_fields=update_fields, **kwargs)
        else:
            if is_update and update_fields is None and not args and not kwargs.get("force_insert"):
                fields = self._meta.concrete_fields
                loaded = {field.name for field in fields if field.attname in self.__dict__}
                update_fields = loaded - _HEALTH_FIELDS - {"id"}
            super().save(*args, update_fields=update_fields, **kwargs)
        self.note_tokens(update_fields)

    @classmethod
    def from_db(cls, db: str | None, field_names: Any, values: Any, **kwargs: Any) -> Self:
        row = super().from_db(db, field_names, values, **kwargs)
        row.note_tokens()
        return row

    def refresh_from_db(self, using: Any = None, fields: Any = None, from_queryset: Any = None) -> None:
        super().refresh_from_db(using, fields, from_queryset)
        self.note_tokens(fields)  # also where Django loads a deferred token

    def note_tokens(self, among: Any = None) -> None:
        """What stands in the database, as far as this object knows."""
        self._loaded_tokens = {**getattr(self, "_loaded_tokens", {})}
        for name in TOKENS if among is None else set(TOKENS) & set(among):
            if isinstance(self.__dict__.get(name), Kept):
                del self.__dict__[name]  # saved by now, so it is loaded when it is needed
            if name in self.__dict__:
                self._loaded_tokens[name] = self.__dict__[name]

    def _has_new_token(self, among: Any) -> bool:
        # Identity first: loaded and untouched tokens are not decrypted, so a lost key does not stop a change of title.
        names = TOKENS if among is None else set(TOKENS) & set(among)
        pairs = [(self.__dict__.get(name), self._loaded_tokens.get(name)) for name in names]
        return any(new is not old and new != old for new, old in pairs)

    def clean(self) -> None:
        super().clean()
        for name in TOKENS:
            token = self.__dict__.get(name)
            # Only what was typed anew is looked at: a stored token that no key can read must not lock the form.
            if isinstance(token, Secret) and token._plain and not Credentials(token, "").are_sendable:
                raise ValidationError({name: _("A token has no spaces, commas or letters outside ASCII.")})

    @property
    def is_paused(self) -> bool:
        """Whether Altegio refused the tokens, so that the location's operations wait for new ones."""
        return self.refused_at is not None

    @property
    def is_working(self) -> bool:
        """Whether anything is sent for it: switched on, and its tokens not refused."""
        return self.is_active and not self.is_paused

    @property
    def zone(self) -> datetime.tzinfo:
        """Its time zone; the current one, usually the site's, where none is known."""
        return zone_of(self.time_zone)

    def learn(self, *, time_zone: str = "", currency: str = "") -> None:
        """Keep what a reading shows of them and nobody has set. An offset gives way to whatever is shown later."""
        known = time_zone if zone_called(time_zone or "?") else ""
        for name, value in (("time_zone", known), ("currency", currency)):
            there = getattr(self, name)
            if value and value != there and (not there or is_offset_zone(there)):
                setattr(self, name, value)
                Location.objects.filter(pk=self.pk, **{name: there}).update(**{name: value})

    def credentials(self) -> Credentials:
        """Raises `UndecryptableToken` where a stored token cannot be read."""
        for token in (self.partner_token, self.user_token):
            token.reveal()
        return Credentials(self.partner_token, self.user_token)
