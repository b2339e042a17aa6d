"""Visits in the admin: find one, see what Altegio shows of it, act on it."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import ORDER_VAR, ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import Case, Prefetch, QuerySet, When, prefetch_related_objects
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.views.decorators.http import require_GET

from altegio_loyalty import bills, watch
from altegio_loyalty.access import visible_to
from altegio_loyalty.admin import pages
from altegio_loyalty.admin.desk import filters
from altegio_loyalty.admin.desk.batches import BatchPage
from altegio_loyalty.admin.desk.confirmation import MOST_VISITS, OneVisit
from altegio_loyalty.admin.desk.day_panel import DayPanel, only_one
from altegio_loyalty.admin.desk.page import VisitPage
from altegio_loyalty.admin.desk.several_visits import SeveralVisits
from altegio_loyalty.admin.kinds import TABLE
from altegio_loyalty.admin.locations import LocationFilter, locations_of, tell_apart
from altegio_loyalty.admin.looks import figure_of, last_operation_of, note_of, status_badge
from altegio_loyalty.admin.pages import ACTS, READS, Page, as_id, column, outside_transactions
from altegio_loyalty.models import LoyaltyOperation, Visit
from altegio_loyalty.moments import as_local, today
from altegio_loyalty.texts import gettext as _, gettext_lazy

_DUE, _APPLIED = gettext_lazy("left to pay"), gettext_lazy("applied")


def _action(kind: str) -> Callable[..., HttpResponse | None]:
    @admin.action(description=TABLE[kind].button)
    def ask_first(model_admin: Any, request: HttpRequest, queryset: QuerySet[Visit]) -> HttpResponse | None:
        visit_ids = list(queryset.values_list("pk", flat=True)[: MOST_VISITS + 1])
        if request.POST.get("select_across", "0") == "0":
            ticked = {as_id(value) or 0 for value in request.POST.getlist(ACTION_CHECKBOX_NAME)}
            if gone := list(model_admin.get_queryset(request).filter(pk__in=ticked - set(visit_ids))):
                visit_ids += [visit.pk for visit in gone]
                text = _("Ticked, though the list does not show them any more: %(visits)s.")
                messages.warning(request, text % {"visits": ", ".join(map(str, gone[:10]))})
        if len(visit_ids) > MOST_VISITS:
            messages.error(request, _("Choose %(most)s visits at the most.") % {"most": MOST_VISITS})
            return None
        return HttpResponseRedirect(model_admin.address("visit_operate", kind, visit=visit_ids))

    ask_first.__name__ = kind
    return ask_first


def _confirm(page: Page, kind: str) -> HttpResponse:
    one = OneVisit(page.admin, page.request, kind)
    visits = one.visits()
    if len(visits) == 1:
        return one.respond(visits[0])
    if visits:
        return SeveralVisits(page.admin, page.request, kind).respond(visits)
    messages.error(page.request, _("None of these visits can be found."))
    return one.to_list()


def _row(page: Page, kind: str) -> HttpResponse:
    return SeveralVisits(page.admin, page.request, kind).row()


class VisitList(ChangeList):
    """Where no name has all the words of a search, those are listed that are like it."""

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        if not self.sortable_by:
            self.params.pop(ORDER_VAR, None)  # also in an address that was kept
        return super().get_ordering(request, queryset)

    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> QuerySet[Any]:
        # Joined, SQLite would go through all visits of each location instead of the latest ones; see `tell_apart`.
        visits: QuerySet[Any] = super().get_queryset(request, *args, **kwargs)
        return visits.select_related(None)

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if not self.result_count and filters.compare_names(request, self.query):
            # More than a page of them would help nobody, so they are not counted either.
            self.result_list = list(self.get_queryset(request)[: self.list_per_page])
            self.result_count = len(self.result_list)


@admin.register(Visit)
class VisitAdmin(pages.Unchangeable, pages.Screens):
    """A list that finds the visit, and a page of its own instead of a form: a visit is changed in Altegio."""

    list_display = ("client", "time", "salon", "due", "applied", "last_operation")
    list_filter = (filters.DayFilter, LocationFilter)
    list_per_page = 50
    paginator = pages.BoundedPaginator
    show_facets = admin.ShowFacets.NEVER
    show_full_result_count = False
    search_fields = ("client_name",)
    search_help_text = gettext_lazy(
        "Name, phone or its digits that are shown, card, visit or appointment number"
    )
    actions = tuple(_action(kind) for kind in TABLE)
    fields = ("location", "id", "record_id")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Visit]:
        visits: QuerySet[Visit] = super().get_queryset(request).select_related("location")
        return visible_to(request.user, bills.noting(visits).annotate(**watch.facts()))

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        asked = filters.asked_day(request)
        if asked in ("all", "week"):
            return ("-starts_at", "-pk")
        is_earlier = Case(When(starts_at__lt=timezone.now() - filters.STILL_HERE, then=1), default=0)
        return (*((is_earlier.asc(),) if asked == "today" else ()), "starts_at", "pk")

    def get_sortable_by(self, request: HttpRequest) -> Any:
        """What a day or a search narrows; all the visits that there are have one order, which an index has."""
        is_narrowed = filters.asked_day(request) != "all" or request.GET.get(filters.SEARCH, "").strip()
        return super().get_sortable_by(request) if is_narrowed else ()

    def get_list_display(self, request: HttpRequest) -> Any:
        has_several = len(locations_of(request)) > 1
        return tuple(name for name in self.list_display if has_several or name != "salon")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return VisitList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        queryset = queryset.defer("shown")
        return filters.search(request, queryset, search_term) if search_term.strip() else queryset, False

    def lookup_allowed(self, lookup: str, value: Any, request: Any = None) -> bool:
        """Only what the filters offer: a masked phone must not be guessed letter by letter through the address."""
        return lookup in (filters.DAY, LocationFilter.parameter_name)

    def may_act(self, request: HttpRequest, action: str) -> bool:
        return action not in TABLE or Page(self, request).may(action)

    client = column(
        gettext_lazy("client"),
        lambda visit: visit.client_shown or _("visit %(id)s") % {"id": visit.pk},
        ordering="client_name",
    )
    salon = column(gettext_lazy("location"), lambda visit: visit.location.title, ordering="location__title")
    due = column(_DUE, lambda visit: figure_of(visit, visit.due_amount, _DUE), ordering="due_amount")
    applied = column(
        _APPLIED, lambda visit: figure_of(visit, visit.covered_amount, _APPLIED), ordering="covered_amount"
    )

    @outside_transactions  # a search for a phone counts, also where the request fails after it
    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The list from our own table. Altegio is only read by the POSTs of `DayPanel`."""
        locations_of(request)  # first, since they tell who may see what as well
        request.GET = given = request.GET.copy()  # type: ignore[assignment]
        is_entered = given.pop("enter", None) is not None  # by the search box, not by a link or a way back
        extra = {"title": _("Choose a visit"), **(extra_context or {})}
        response = super().changelist_view(request, extra)
        context = getattr(response, "context_data", None) or {}
        if (changelist := context.get("cl")) is not None:
            visits = list(changelist.result_list)
            is_alike = filters.is_compared(request)
            if is_entered and not is_alike and (only := only_one(visits)):
                return HttpResponseRedirect(self.address("visit_change", only.pk))
            changelist.result_list = visits
            # Only to keep Django from offering "show all" beside a list that a day narrows.
            changelist.full_result_count = changelist.result_count
            newest = LoyaltyOperation.objects.order_by("-pk")[:1]
            prefetch_related_objects(visits, Prefetch("operations", newest, "last_operations"))
            tell_apart(request, visits)
            context["figures_need_a_word"] = any(note_of(visit, visit.due_amount)[1] for visit in visits)
            context["panel"] = DayPanel(self, request).context()
            context["is_alike"], context["is_entered"] = is_alike, is_entered
        return response

    @admin.display(description=gettext_lazy("time"), ordering="starts_at")
    def time(self, visit: Visit) -> str:
        if visit.starts_at is None:
            return "–"
        zone = visit.location.zone
        starts_at = as_local(visit.starts_at, zone)
        text = date_format(starts_at, "H:i" if starts_at.date() == today(zone) else "j E Y, H:i")
        named = getattr(visit, "zone_shown", "")
        return format_html('{}<span class="altegio-zone">{}</span>', text, named) if named else text

    @admin.display(description=gettext_lazy("last operation"), empty_value="")
    def last_operation(self, visit: Any) -> str:
        if (operation := last_operation_of(visit)) is None:
            return ""
        return format_html("{} {}", operation.get_kind_display(), status_badge(operation))

    def own_pages(self) -> pages.Pages:
        asking, visit, batch = "operate/<str:kind>/", "<int:visit_id>/", "batches/<uuid:batch>/"
        return (
            (Page, asking, "operate", _confirm, (outside_transactions,)),
            (Page, f"{asking}row/", "batch_row", _row, (require_GET, outside_transactions)),
            (DayPanel, "refresh/", "refresh", DayPanel.refresh, ACTS),
            (DayPanel, "find/", "find", DayPanel.find, ACTS),
            (VisitPage, f"{visit}state/", "state", VisitPage.state, READS),
            (VisitPage, f"{visit}stop/", "stop", VisitPage.stop, ACTS),
            (VisitPage, f"{visit}step/", "step", VisitPage.step, ACTS),
            (BatchPage, "batches/", "batches", BatchPage.recent, READS),
            (BatchPage, batch, "batch", BatchPage.show, READS),
            (BatchPage, f"{batch}state/", "batch_state", BatchPage.state, READS),
            (BatchPage, f"{batch}step/", "batch_step", BatchPage.step, ACTS),
            (BatchPage, f"{batch}stop/", "batch_stop", BatchPage.stop, ACTS),
        )

    @outside_transactions
    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """The page of a visit. Reads Altegio, so it never runs inside a transaction of the host site."""
        visit = self.get_object(request, object_id)
        if visit is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[attr-defined,no-any-return]
        if not self.has_view_permission(request, visit):
            raise PermissionDenied
        return VisitPage(self, request).respond(visit, extra_context or {})
