"""How the log is narrowed: choices that are known beforehand, none of which asks the table what there is."""

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from altegio_loyalty.admin.locations import locations_of, locations_shown
from altegio_loyalty.admin.overview.reports import ReportForm
from altegio_loyalty.admin.pages import Page
from altegio_loyalty.moments import start_of, today
from altegio_loyalty.querysets import TO_CLOSE, in_each_zone
from altegio_loyalty.statistics import Period
from altegio_loyalty.texts import gettext as _, gettext_lazy


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
            "open": queryset.filter(attention__gt=0).open(),  # few in any log, and an index leads to them
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


class ReportFilter(admin.ListFilter):
    """The operations that a figure of a report is from; offered by the reports alone, and taken away here."""

    title = gettext_lazy("figure of a report")
    names = ("by", "since", "until", "of", "weekday", "currency")

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        self.used_parameters = {name: params.pop(name) for name in self.names if name in params}
        sees_clients = Page(model_admin, request).sees_visits
        locations = {row.pk: row for row in locations_of(request)}
        self.form = ReportForm(request.GET, locations, sees_clients=sees_clients)
        if self.used_parameters and self.form.problems:
            raise IncorrectLookupParameters

    def has_output(self) -> bool:
        return bool(self.used_parameters)

    def expected_parameters(self) -> list[str | None]:
        return list(self.names)

    def choices(self, changelist: Any) -> Iterator[Any]:
        everything = changelist.get_query_string(remove=self.names)
        yield {"selected": False, "query_string": everything, "display": _("All")}
        yield {"selected": True, "query_string": "?", "display": self.form.in_words}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return self.form.narrow(queryset)  # type: ignore[no-any-return]
