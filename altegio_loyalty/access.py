"""Which locations a person may see and act in.

A location is given to a person, or to a group of theirs, in the admin. Superusers and whoever has the permission
"all_locations" see everything. As long as no location is given to anybody, the site does not use this, and everybody with
the permissions sees everything; from the first one on, or with LOCATIONS_OPEN_BY_DEFAULT off, whoever has none sees none.
"""

from __future__ import annotations

from typing import Any, TypeVar

from django.db import models
from django.db.models import Q, QuerySet

from altegio_loyalty.conf import get_settings
from altegio_loyalty.models import Location, LocationAccess

Row = TypeVar("Row", bound=models.Model)


def is_bound(user: Any) -> bool:
    """Whether the person sees only some of the locations. Asked once for each request, that is, each loaded user."""
    if not hasattr(user, "_altegio_is_bound"):
        user._altegio_is_bound = not user.has_perm("altegio_loyalty.all_locations") and (
            not get_settings().LOCATIONS_OPEN_BY_DEFAULT or LocationAccess.objects.exists()
        )
    return bool(user._altegio_is_bound)


def visible_to(user: Any, rows: QuerySet[Row]) -> QuerySet[Row]:
    """Those of the rows, locations or rows that belong to one, that the person may see."""
    if not is_bound(user):
        return rows
    given = Q(user_id=user.pk)
    if hasattr(user, "groups"):  # a user model of the host site may know none
        given |= Q(group__in=user.groups.all())
    column = "pk__in" if rows.model is Location else "location_id__in"
    return rows.filter(**{column: LocationAccess.objects.filter(given).values("location_id")})
