"""Visits in the admin: find one, see what Altegio shows of it, act on it."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from altegio_loyalty.admin.operate import BUTTONS, MOST_VISITS, Operate, operate_url
from altegio_loyalty.admin.presentation import outside_transactions, status_badge
from altegio_loyalty.admin.visit_page import VisitPage
from altegio_loyalty.models import LoyaltyOperation, Visit
from altegio_loyalty.wording import as_local

Kind = LoyaltyOperation.Kind


class DayFilter(admin.SimpleListFilter):
    title = gettext_lazy("day")
    parameter_name = "day"
    _DAYS = {"yesterday": -1, "today": 0, "tomorrow": 1}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("today", gettext_lazy("Today")),
            ("yesterday", gettext_lazy("Yesterday")),
            ("tomorrow", gettext_lazy("Tomorrow")),
            ("week", gettext_lazy("The last 7 days")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Visit]) -> QuerySet[Visit]:
        midnight = as_local(timezone.now()).replace(hour=0, minute=0, second=0, microsecond=0)
        day = datetime.timedelta(days=1)
        if self.value() == "week":
            return queryset.filter(starts_at__gte=midnight - 6 * day, starts_at__lt=midnight + day)
        if (offset := self._DAYS.get(self.value() or "")) is None:
            return queryset
        return queryset.filter(
            starts_at__gte=midnight + offset * day, starts_at__lt=midnight + (offset + 1) * day
        )


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

    list_display = ("client", "time", "salon", "id", "last_operation")
    list_display_links = ("client",)
    list_filter = (DayFilter, "location")
    list_select_related = ("location",)
    list_per_page = 50
    show_full_result_count = False
    search_fields = ("client_name", "client_phone")
    search_help_text = gettext_lazy("Name, phone, visit or appointment number")
    actions = tuple(_action(kind) for kind in Kind)
    fields = ("location", "id", "record_id")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Visit]:
        latest = LoyaltyOperation.objects.filter(visit=OuterRef("pk")).order_by("-pk").values("pk")[:1]
        visits: QuerySet[Visit] = super().get_queryset(request)
        return visits.annotate(last_operation_id=Subquery(latest))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        number = search_term.strip()
        if number.isascii() and number.isdigit() and len(number) < 19:
            ids = queryset.filter(pk=int(number)) | queryset.filter(record_id=int(number))
            return ids | queryset.filter(client_phone__contains=number), False
        return super().get_search_results(request, queryset, search_term.replace("\x00", ""))

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
        response = super().changelist_view(request, {"title": _("Choose a visit"), **(extra_context or {})})
        changelist = (
            getattr(response, "context_data", {}).get("cl") if hasattr(response, "context_data") else None
        )
        if changelist is not None:
            ids = [visit.last_operation_id for visit in changelist.result_list if visit.last_operation_id]
            operations = LoyaltyOperation.objects.in_bulk(ids)
            for visit in changelist.result_list:
                visit.last_operation_row = operations.get(visit.last_operation_id)
        return response

    @admin.display(description=gettext_lazy("when"), ordering="starts_at")
    def time(self, visit: Visit) -> str:
        return date_format(as_local(visit.starts_at), "j M H:i") if visit.starts_at else ""

    @admin.display(description=gettext_lazy("location"), ordering="location__title")
    def salon(self, visit: Visit) -> str:
        return visit.location.title

    @admin.display(description=gettext_lazy("last operation"))
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
        return [operate, *super().get_urls()]

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
