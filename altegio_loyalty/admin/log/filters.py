"""How the log is narrowed: choices that are known beforehand, none of which asks the table what there is."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from altegio_loyalty.admin.locations import locations_shown
from altegio_loyalty.moments import start_of, today
from altegio_loyalty.querysets import TO_CLOSE, in_each_zone
from altegio_loyalty.statistics import Period
from altegio_loyalty.texts import gettext_lazy


class AttentionFilter(admin.SimpleListFilter):
    title = gettext_lazy("attention")
    parameter_name = "attention"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, Any]]:
        return [
            ("needed", gettext_lazy("Needs a person")),
            ("discrepancy", gettext_lazy("At odds with the visit")),
            ("open", gettext_lazy("Not finished")),
        ]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        narrowed = {
            "needed": queryset.needing_attention(),
            "discrepancy": queryset.filter(attention=TO_CLOSE, discrepancy__gt=""),
            "open": queryset.open(),
        }
        return narrowed.get(self.value() or "", queryset)


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
        days = self.value()
        if days not in ("1", "7", "30"):
            return queryset
        locations = locations_shown(request)
        # Today is each location's own; of several days the first is the same for all, as on the overview.
        first = None if days == "1" else Period.of_days(int(days), locations).first
        begins = lambda zone: Q(created_at__gte=start_of(first or today(zone), zone))  # noqa: E731
        return queryset.filter(in_each_zone(locations, begins))
