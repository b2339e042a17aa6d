"""Visits in the admin: find one, see what Altegio shows of it, act on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from altegio_loyalty.access import visible_to
from altegio_loyalty.admin.batches import BatchPages
from altegio_loyalty.admin.operate import BUTTONS, MOST_VISITS, Operate, operate_url
from altegio_loyalty.admin.presentation import BoundedPaginator, outside_transactions, status_badge
from altegio_loyalty.admin.visit_figures import add_last_operations, figure_of
from altegio_loyalty.admin.visit_filters import (
    DAY,
    DayFilter,
    VisitLocationFilter,
    locations_for,
    one_day,
    search,
)
from altegio_loyalty.admin.visit_import import VisitImport
from altegio_loyalty.admin.visit_live import VisitLive
from altegio_loyalty.admin.visit_page import VisitPage
from altegio_loyalty.models import Location, Visit
from altegio_loyalty.moments import today_at
from altegio_loyalty.states import Kind
from altegio_loyalty.wording import as_local

_LEFT_TO_PAY, _APPLIED = gettext_lazy("left to pay"), gettext_lazy("applied")


def _action(kind: Kind) -> Callable[..., HttpResponse | None]:
    @admin.action(description=BUTTONS[kind], permissions=[kind.value])
    def ask_first(
        model_admin: VisitAdmin, request: HttpRequest, queryset: QuerySet[Visit]
    ) -> HttpResponse | None:
        visit_ids = list(queryset.values_list("pk", flat=True)[: MOST_VISITS + 1])
        if len(visit_ids) > MOST_VISITS:
            messages.error(request, _("Choose %(most)s visits at the most.") % {"most": MOST_VISITS})
            return None
        return HttpResponseRedirect(operate_url(model_admin, kind, visit_ids))

    ask_first.__name__ = kind.value
    return ask_first


@admin.register(Visit)
class VisitAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """A list that finds the visit, and a page of its own instead of a form: a visit is changed in Altegio."""

    change_list_template = "admin/altegio_loyalty/visit/change_list.html"
    list_display = ("client", "time", "salon", "due", "applied", "last_operation")
    list_display_links = ("client",)
    list_filter = (DayFilter, VisitLocationFilter)
    list_select_related = ("location",)
    list_per_page = 50
    paginator = BoundedPaginator
    show_facets = admin.ShowFacets.NEVER
    show_full_result_count = False
    search_fields = ("client_name",)
    search_help_text = gettext_lazy("Name, phone, visit or appointment number")
    actions = tuple(_action(kind) for kind in Kind)
    fields = ("location", "id", "record_id")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Visit]:
        visits: QuerySet[Visit] = super().get_queryset(request).select_related("location")
        return visible_to(request.user, visits)

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        return ("starts_at", "pk") if one_day(request) else ("-starts_at", "-pk")

    def get_list_display(self, request: HttpRequest) -> Any:
        if len(locations_for(request)) > 1:
            return self.list_display
        return tuple(name for name in self.list_display if name != "salon")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not search_term.strip():
            return queryset, False
        sees_phones = request.user.has_perm(f"{self.opts.app_label}.view_client_phone")
        return search(queryset, search_term, sees_phones=sees_phones), False

    def lookup_allowed(self, lookup: str, value: Any, request: Any = None) -> bool:
        """Only what the filters offer: a masked phone must not be guessed letter by letter through the address."""
        return lookup in (DAY, VisitLocationFilter.parameter_name)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "location":
            kwargs["queryset"] = visible_to(request.user, Location.objects.all())
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def has_change_permission(self, request: HttpRequest, obj: Visit | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Visit | None = None) -> bool:
        return False

    def may(self, request: HttpRequest, kind: str) -> bool:
        """Whether the person may ask for this kind of operation."""
        return self.has_view_permission(request) and request.user.has_perm(f"altegio_loyalty.{kind}")

    def has_apply_card_withdrawal_permission(self, request: HttpRequest) -> bool:
        return self.may(request, Kind.APPLY_CARD_WITHDRAWAL)

    def has_cancel_card_withdrawal_permission(self, request: HttpRequest) -> bool:
        return self.may(request, Kind.CANCEL_CARD_WITHDRAWAL)

    def has_apply_discount_program_permission(self, request: HttpRequest) -> bool:
        return self.may(request, Kind.APPLY_DISCOUNT_PROGRAM)

    def has_cancel_discount_program_permission(self, request: HttpRequest) -> bool:
        return self.may(request, Kind.CANCEL_DISCOUNT_PROGRAM)

    @admin.display(description=gettext_lazy("client"), ordering="client_name")
    def client(self, visit: Visit) -> str:
        return visit.client_name or _("visit %(id)s") % {"id": visit.pk}

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The list from our own table. Altegio is only read by the POSTs of `VisitImport`."""
        response = super().changelist_view(request, {"title": _("Choose a visit"), **(extra_context or {})})
        context = getattr(response, "context_data", None) or {}
        if (changelist := context.get("cl")) is not None:
            visits = list(changelist.result_list)
            changelist.result_list = visits
            # Only to keep Django from offering "show all" beside a list that a day narrows.
            changelist.full_result_count = changelist.result_count
            add_last_operations(visits)
            has_two_sorts = any(figure_of(visit, visit.due_amount).note for visit in visits)
            context["figures_need_a_word"] = has_two_sorts
            context["panel"] = VisitImport(self).panel(request, found_none=not visits)
        return response

    @admin.display(description=gettext_lazy("time"), ordering="starts_at")
    def time(self, visit: Visit) -> str:
        if visit.starts_at is None:
            return "–"
        starts_at = as_local(visit.starts_at)
        is_today = starts_at.date() == today_at(None)
        return date_format(starts_at, "H:i" if is_today else "j E Y, H:i")

    @admin.display(description=gettext_lazy("location"), ordering="location__title")
    def salon(self, visit: Visit) -> str:
        return visit.location.title

    @admin.display(description=_LEFT_TO_PAY, ordering="due_amount")
    def due(self, visit: Visit) -> str:
        return figure_of(visit, visit.due_amount).as_html(_LEFT_TO_PAY)

    @admin.display(description=_APPLIED, ordering="covered_amount")
    def applied(self, visit: Visit) -> str:
        return figure_of(visit, visit.covered_amount).as_html(_APPLIED)

    @admin.display(description=gettext_lazy("last operation"), empty_value="")
    def last_operation(self, visit: Any) -> str:
        operation = getattr(visit, "last_operation_row", None)
        if operation is None:
            return ""
        return format_html("{} {}", operation.get_kind_display(), status_badge(operation))

    def get_urls(self) -> list[URLPattern]:
        operate = path(
            "operate/<str:kind>/",
            self.admin_site.admin_view(self.operate_view),
            name="altegio_loyalty_visit_operate",
        )
        pages = (VisitImport(self), VisitLive(self), BatchPages(self))
        return [operate, *(url for page in pages for url in page.urls()), *super().get_urls()]

    def page_url(self, visit_id: int) -> str:
        return reverse(f"{self.admin_site.name}:altegio_loyalty_visit_change", args=[visit_id])

    @outside_transactions
    def operate_view(self, request: HttpRequest, kind: str) -> HttpResponse:
        return Operate(self, request, kind).respond()

    @outside_transactions
    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The page of a visit. Reads Altegio, so it never runs inside a transaction of the host site."""
        visit = self.get_object(request, object_id)
        if visit is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[attr-defined,no-any-return]
        if not self.has_view_permission(request, visit):
            raise PermissionDenied
        return VisitPage(self, request, visit).respond(extra_context or {})
