"""How the log is narrowed: choices that are known beforehand, none of which asks the table what there is."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from altegio_loyalty.moments import start_of, today


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
        first = start_of(today(), None, days=1 - int(self.value() or 1))
        return queryset.filter(created_at__gte=first)
