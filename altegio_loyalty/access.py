"""Who may see what: which locations, and whether a phone; and the groups that a salon begins with.

A location is given to a person, or to a group of theirs, in the admin. Superusers and whoever has the permission
"all_locations" see everything. As long as no location was ever given to anybody, the site does not use this, and everybody
with the permissions sees everything; from the first one on, or with LOCATIONS_OPEN_BY_DEFAULT off, whoever has none sees
none. Taking access away, or deleting the person, group or location that it was for, never ends that.
"""

import datetime
from operator import or_
from typing import Any, TypeVar

from django.conf import settings
from django.contrib.auth.models import Group, Permission
from django.core.exceptions import ValidationError
from django.db import models, router
from django.db.models import Q, QuerySet
from django.db.models.signals import post_delete
from django.dispatch import receiver
from django.utils import timezone

from altegio_loyalty import kinds
from altegio_loyalty.conf import get_settings
from altegio_loyalty.texts import gettext_lazy as _

Row = TypeVar("Row", bound=models.Model)

#: Among the numbers of locations: that one is seen only by those it is given to.
_CLOSED = 0
#: So many phones that no visit has may somebody search for in so long who may not see phones. The masked digits of one
#: phone are some hundred thousand possibilities.
MOST_PHONES_MISSED, PHONES_COUNT_FOR = 30, datetime.timedelta(days=1)
#: Of a key that may be empty, and that leads one way.
ONE_WAY: Any = {"blank": True, "related_name": "+"}
_SEES = ("view_visit", "view_loyaltyoperation", "view_operationattempt")
#: Each kind of operation has a permission of its own name.
_ACTS = tuple(kinds.TABLE)
_DECIDES = ("resolve_operation", "view_location", "change_location")
#: The groups: Reception, who act, and Manager, who also decide and keep the tokens.
ROLES = {"Reception": _SEES + _ACTS, "Manager": _SEES + _ACTS + _DECIDES}
_NOT_BOTH = _("Choose a person or a group, not both.")


class LocationAccess(models.Model):
    """A location given to a person or a group. As long as nobody was ever given any, nobody is bound."""

    location = models.ForeignKey(
        "altegio_loyalty.Location", models.CASCADE, related_name="access", verbose_name=_("location")
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, verbose_name=_("person"), **ONE_WAY
    )
    group = models.ForeignKey("auth.Group", models.CASCADE, null=True, verbose_name=_("group"), **ONE_WAY)

    class Meta:
        verbose_name = _("access to a location")
        verbose_name_plural = _("access to locations")
        constraints = [
            models.UniqueConstraint(fields=["location", "user"], name="altegio_access_once_user"),
            models.UniqueConstraint(fields=["location", "group"], name="altegio_access_once_group"),
            # Neither is refused by `clean` alone: where a database checks at once, as MariaDB does, Django empties the key
            # of a person or a group that is deleted before it deletes the row.
            models.CheckConstraint(
                condition=models.Q(user__isnull=True) | models.Q(group__isnull=True),
                name="altegio_access_user_or_group",
                violation_error_message=_NOT_BOTH,
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user or self.group}: {self.location}"

    def clean(self) -> None:
        super().clean()
        if self.user_id is None and self.group_id is None:
            raise ValidationError(_NOT_BOTH)


class LocationsClosed(models.Model):
    """That a location had been given to somebody when it was taken away: from then on none opens by itself."""

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.pk)


@receiver(post_delete, sender=LocationAccess)
def keep_closed(using: str, **kwargs: Any) -> None:
    """Whatever deletes an access row, also with its person, group or location, leaves the mark in the same transaction."""
    LocationsClosed.objects.using(using).get_or_create(pk=1)


class PhoneSearch(models.Model):
    """A phone that was searched for, and that no visit had, by somebody who may not see phones."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    made_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("search for a phone")
        verbose_name_plural = _("searches for phones")
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.made_at)


def is_closed() -> bool:
    """Whether a location is seen only by those it is given to; asked where it is written, since a replica may lag."""
    using = router.db_for_write(LocationAccess)
    of_any, marks = (
        table._default_manager.using(using).values("pk") for table in (LocationAccess, LocationsClosed)
    )
    return not get_settings().LOCATIONS_OPEN_BY_DEFAULT or of_any.union(marks).exists()


def hold_access() -> bool:
    """Let nobody else on the page of access go on until this transaction ends; returns whether all was open so far.

    It closes, so roll it back where no access is given.
    """
    marks = LocationsClosed._default_manager.using(router.db_for_write(LocationAccess))
    # A write comes first, since SQLite lets nobody write who has read before another one wrote.
    if marks.filter(pk=1).update(id=1):
        return False
    was_open = not is_closed()
    return marks.get_or_create(pk=1)[1] and was_open


def _bounds(user: Any) -> set[int]:
    """The locations given to the person, and `_CLOSED` where none is open to all. One query a request, or loaded user."""
    if not hasattr(user, "_altegio_bounds"):
        user._altegio_bounds = set()
        if not user.has_perm("altegio_loyalty.all_locations"):
            closed = models.Value(_CLOSED, models.BigIntegerField())
            others = (
                table._default_manager.values_list(closed) for table in (LocationAccess, LocationsClosed)
            )
            rows = given_to(user).values_list("location_id").union(*others)
            is_open = get_settings().LOCATIONS_OPEN_BY_DEFAULT
            user._altegio_bounds = {number for (number,) in rows} | (set() if is_open else {_CLOSED})
    return user._altegio_bounds  # type: ignore[no-any-return]


def locations_seen_by(user: Any, rows: QuerySet[Row]) -> list[Row]:
    """Those of the locations that the person may see; the one query tells what `_bounds` would ask for as well."""
    if hasattr(user, "_altegio_bounds") or user.has_perm("altegio_loyalty.all_locations"):
        return list(visible_to(user, rows))
    given = given_to(user).filter(location=models.OuterRef("pk"))
    marks = (models.Exists(table._default_manager.all()) for table in (LocationAccess, LocationsClosed))
    found: list[Any] = list(rows.annotate(is_given=models.Exists(given), is_closed=or_(*marks)))
    bounds = {row.pk for row in found if row.is_given}
    if any(row.is_closed for row in found) or not get_settings().LOCATIONS_OPEN_BY_DEFAULT:
        bounds.add(_CLOSED)
    if found:
        user._altegio_bounds = bounds
    return [row for row in found if row.is_given or not bounds]


def is_bound(user: Any) -> bool:
    """Whether the person sees only some of the locations."""
    return bool(_bounds(user))


def sees_no_location(user: Any) -> bool:
    """Whether the person is bound and was given no location: an empty page then says nothing of the site."""
    return _bounds(user) == {_CLOSED}


def given_to(user: Any) -> QuerySet[LocationAccess]:
    """What the person was given, themselves or through a group of theirs."""
    if user.pk is None:
        return LocationAccess.objects.none()
    given = Q(user_id=user.pk)
    if hasattr(user, "groups"):  # a user model of the host site may know none
        given |= Q(group__in=user.groups.all())
    return LocationAccess.objects.filter(given)


def visible_to(user: Any, rows: QuerySet[Row]) -> QuerySet[Row]:
    """Those of the rows, locations or rows that belong to one, that the person may see."""
    if not is_bound(user):
        return rows
    column = "pk__in" if rows.model._meta.label == "altegio_loyalty.Location" else "location_id__in"
    return rows.filter(**{column: given_to(user).values("location_id")})


def find_phone(user: Any, visits: QuerySet[Row], spellings: set[str]) -> list[Any] | None:
    """The keys of the visits with exactly this phone, for somebody who may not see it; None where they missed too often.

    It counts before anything is looked up, so that many at once get no further; what is found counts no more.
    """
    # Where they are written: a replica may lag behind.
    searches = PhoneSearch.objects.using(router.db_for_write(PhoneSearch)).filter(user_id=user.pk)
    searches.filter(made_at__lt=timezone.now() - PHONES_COUNT_FOR).delete()
    search = PhoneSearch.objects.create(user_id=user.pk)
    found = None
    if searches.count() <= MOST_PHONES_MISSED:
        found = list(visits.filter(client_phone__in=spellings).values_list("pk", flat=True))
    if found != []:
        search.delete()
    return found


def make_groups(*, complete: bool = False) -> list[tuple[Group, bool, list[Permission]]]:
    """Make those that are not there. One that is there stays as it is, or with `complete` is given what it lacks.

    Returns each, whether it is new, and what it lacked.
    """
    ours, made = Permission.objects.filter(content_type__app_label="altegio_loyalty"), []
    for name, codenames in ROLES.items():
        group, is_new = Group.objects.get_or_create(name=name)
        lacking = list(ours.filter(codename__in=codenames).exclude(group=group))
        if is_new or complete:
            group.permissions.add(*lacking)
        made.append((group, is_new, lacking))
    return made
