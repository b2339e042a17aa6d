"""How the log is narrowed: choices that are known beforehand, none of which asks the table what there is."""

from __future__ import annotations

import datetime
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy

from altegio_loyalty.access import visible_to
from altegio_loyalty.admin.presentation import as_id
from altegio_loyalty.models import Location

#: So many locations are offered as a filter.
MOST_LOCATIONS = 300


class LocationFilter(admin.SimpleListFilter):
    title = gettext_lazy("location")
    parameter_name = "location"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        mine = visible_to(request.user, Location.objects.all())
        rows = mine.values_list("pk", "title").order_by("title", "pk")[:MOST_LOCATIONS]
        return [(str(pk), title) for pk, title in rows]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset
        if (location_id := as_id(self.value())) is None:
            raise IncorrectLookupParameters
        return queryset.filter(location_id=location_id)


class AttentionFilter(admin.SimpleListFilter):
    title = gettext_lazy("attention")
    parameter_name = "attention"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, Any]]:
        return [
            ("needed", gettext_lazy("Needs a person")),
            ("discrepancy", gettext_lazy("At odds with the visit")),
            ("open", gettext_lazy("Not finished")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        narrowed = {
            "needed": lambda rows: rows.needing_attention(),
            "discrepancy": lambda rows: rows.exclude(discrepancy=""),
            "open": lambda rows: rows.open(),
        }.get(self.value() or "")
        return narrowed(queryset) if narrowed else queryset


class AskedFilter(admin.SimpleListFilter):
    title = gettext_lazy("date asked")
    parameter_name = "asked"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, Any]]:
        return [
            ("1", gettext_lazy("Today")),
            ("7", gettext_lazy("The last 7 days")),
            ("30", gettext_lazy("The last 30 days")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() not in ("1", "7", "30"):
            return queryset
        now = timezone.now()
        now = timezone.localtime(now) if timezone.is_aware(now) else now
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        return queryset.filter(created_at__gte=midnight - datetime.timedelta(days=int(self.value() or 1) - 1))
