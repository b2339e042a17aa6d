"""The log of loyalty operations in the admin: to read, and to decide what a person must decide."""

from collections.abc import Callable, Iterable
from typing import Any

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.decorators import permission_required
from django.db.models import Q, QuerySet
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from altegio_loyalty.access import visible_to
from altegio_loyalty.admin import pages
from altegio_loyalty.admin.decisions import DECISIONS, RESOLVE, Decision
from altegio_loyalty.admin.locations import LocationFilter, tell_apart
from altegio_loyalty.admin.log.deciding import MOST_AT_ONCE, Answer, DecisionPage
from altegio_loyalty.admin.log.export import export, timeline
from altegio_loyalty.admin.log.filters import AskedFilter, AttentionFilter, ReportFilter
from altegio_loyalty.admin.looks import asked_of, in_lines, short_time, status_badge, time_at
from altegio_loyalty.admin.overview.page import BooksPage, OverviewPage
from altegio_loyalty.admin.overview.reports import ReportsPage
from altegio_loyalty.admin.pages import ACTS, READS, Page, as_id, column, outside_transactions
from altegio_loyalty.models import LoyaltyOperation, OperationAttempt, Visit
from altegio_loyalty.states import Kind, Status
from altegio_loyalty.texts import gettext as _, gettext_lazy
from altegio_loyalty.wording import exact_time, isolated, points, reason as in_words

#: So many visits are considered that a search for a name or an appointment finds.
MOST_VISITS_FOUND = 200
#: So many attempts of an operation are shown, the newest; one in doubt is looked up for days.
ATTEMPTS_SHOWN = 100
_MOMENTS = ("created_at", "sent_at", "unanswered_at", "expires_at", "finished_at")
_WITHOUT_LINKS = {"visit_link": "visit_name", "place_link": "place_name"}
#: The sections of an operation's page, with their lines.
SECTIONS: tuple[tuple[Any, tuple[tuple[str, ...], ...]], ...] = (
    (None, (
        ("kind_name", "asked", "applied"), ("visit_link", "location"), ("record", "card", "program"),
        ("requested_by_login", "created"), ("cancels_link",), ("cancelled_by_links",),
    )),
    (gettext_lazy("Delivery"), (
        ("attempt_count", "lookup_count", "next_try", "expires"), ("sent", "unanswered", "finished"),
        ("ending_name",), ("last_failure",), ("idempotency_key",),
    )),
)  # fmt: skip


def _exact(name: str) -> Callable[[Any, Any], Any]:
    """A moment of the operation as its timeline shows moments."""
    heading: Any = LoyaltyOperation._meta.get_field(name)
    return column(heading.verbose_name, lambda row: exact_time(getattr(row, name), row.location))


def _number(name: str) -> Callable[[Any, Any], Any]:
    """An id, which has no marks of thousands."""
    heading: Any = LoyaltyOperation._meta.get_field(name)
    return column(heading.verbose_name, lambda row: str(getattr(row, name) or ""))


class NewestAttempts(BaseInlineFormSet):  # type: ignore[type-arg]
    def get_queryset(self) -> Any:
        if not hasattr(self, "_queryset"):
            self._queryset = list(super().get_queryset().order_by("-pk")[:ATTEMPTS_SHOWN])[::-1]
        return self._queryset


class AttemptInline(pages.ReadOnly, admin.TabularInline):  # type: ignore[type-arg]
    """Every call made for the operation, and every decision. Who may see the operation may see them."""

    model = OperationAttempt
    formset = NewestAttempts
    template = "admin/altegio_loyalty/loyaltyoperation/attempts.html"

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("altegio_loyalty.view_loyaltyoperation")


def _as_action(decision: Decision) -> Callable[..., Answer]:
    def decide(model_admin: Any, request: HttpRequest, queryset: QuerySet[Any]) -> Answer:
        # An operation that has left the filtered list meanwhile is still one that the person chose.
        chosen: Iterable[Any] = request.POST.getlist(ACTION_CHECKBOX_NAME)
        if request.POST.get("select_across", "0") not in ("", "0"):
            chosen = queryset.values_list("pk", flat=True)[: MOST_AT_ONCE + 1]
        ids = [as_id(str(value)) or 0 for value in chosen]
        return DecisionPage(model_admin, request).decide(decision, ids, is_selection=True)

    decide.__name__ = decision.name
    return admin.action(description=decision.label)(decide)


@admin.register(LoyaltyOperation)
class LoyaltyOperationAdmin(pages.ReadOnly, pages.Screens):
    """Read-only for everyone. What changes an operation goes through the services, and says who did it."""

    list_display = ("asked_at", "state", "what", "place_link", "taken")
    list_filter = (ReportFilter, AttentionFilter, "status", "kind", LocationFilter, AskedFilter)
    list_per_page = 50
    sortable_by = ()
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = pages.BoundedPaginator
    search_fields = ("idempotency_key",)
    search_help_text = gettext_lazy(
        "Visit, appointment, card or operation number, idempotency key, or how the client's name begins. "
        "The newest 10,000 are listed."
    )
    actions = tuple(_as_action(decision) for decision in DECISIONS.values())
    inlines = (AttemptInline,)

    def lookup_allowed(self, lookup: str, value: Any, request: Any = None) -> bool:
        """Only what the filters offer: anything else would let a crafted address scan a table of any size."""
        choices = {"status__exact": Status.values, "kind__exact": Kind.values}
        if lookup in choices:
            return value in choices[lookup]
        if lookup in ("visit", "visit__id__exact"):
            return as_id(value) is not None
        filters = (LocationFilter, AttentionFilter, AskedFilter)
        return lookup in ReportFilter.names or lookup in [row.parameter_name for row in filters]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request).select_related("location", "visit").defer("visit__shown")
        return visible_to(request.user, rows)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Exact on indexed columns. Visits come first, since an OR over two tables can use no index."""
        term = search_term.strip()
        if not term or not term.isprintable():
            return (queryset.none() if term else queryset), False
        of_key, number = queryset.filter(idempotency_key=term), as_id(term.lstrip("#№ "))
        if number is None and of_key.exists():
            return of_key, False
        found = Q(pk__in=list(of_key.values_list("pk", flat=True)) if number else [])
        visits = visible_to(request.user, Visit.objects.order_by("-pk"))
        if number:
            visits = visits.filter(Q(pk=number) | Q(record_id=number))
            found |= Q(pk=number) | Q(card_id=number)
        else:
            visits = visits.filter(client_name__istartswith=term)
        visit_ids = list(visits.values_list("pk", flat=True)[:MOST_VISITS_FOUND])
        return queryset.filter(found | Q(visit_id__in=visit_ids)), False

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        return self._for_person(request, self.list_display)

    def _for_person(self, request: HttpRequest, names: tuple[str, ...]) -> tuple[str, ...]:
        """The columns, without a link to where the person may not go."""
        others = {} if Page(self, request).sees_visits else _WITHOUT_LINKS
        return tuple(others.get(name, name) for name in names)

    def may_act(self, request: HttpRequest, action: str) -> bool:
        return action not in DECISIONS or DECISIONS[action].may_be_made_by(request.user)

    @outside_transactions
    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        extra = {"title": capfirst(self.opts.verbose_name_plural), **(extra_context or {})}
        response = super().changelist_view(request, extra)
        if (changelist := (getattr(response, "context_data", None) or {}).get("cl")) is not None:
            changelist.result_list = list(changelist.result_list)
            tell_apart(request, changelist.result_list)
        return response

    asked_at = column(
        gettext_lazy("asked at"),
        lambda row: in_lines(time_at(row.location, row.created_at), row.requested_by_login),
    )
    what = column(
        gettext_lazy("operation"),
        lambda row: in_lines(
            row.get_kind_display(), asked_of(row), isolated(row.card_title) or f"{_('Card')} {row.card_id}"
        ),
    )
    place_name = column(gettext_lazy("visit"), lambda row: in_lines(row.visit, row.location.title))
    # Django shows a kind, or an ending, that only a newer release knows as if there were none.
    kind_name = column(gettext_lazy("operation"), LoyaltyOperation.get_kind_display)
    ending_name = column(gettext_lazy("how"), LoyaltyOperation.get_ending_display)
    asked = column(gettext_lazy("asked"), asked_of)
    visit_name = column(gettext_lazy("visit"), lambda row: str(row.visit))
    created, sent, unanswered, expires, finished = map(_exact, _MOMENTS)
    record, card, program = map(_number, ("record_id", "card_id", "program_id"))
    last_failure = column(gettext_lazy("last error"), lambda row: in_words(row.last_error))

    @admin.display(description=gettext_lazy("applied"))
    def applied(self, operation: LoyaltyOperation) -> str:
        currency = getattr(operation, "currency_shown", "")
        if operation.applied_amount is not None:
            return points(operation.applied_amount, currency)
        back = operation.returned_amount
        return "" if back is None else _("%(points)s back") % {"points": points(back, currency)}

    @admin.display(description=gettext_lazy("next try"))
    def next_try(self, operation: LoyaltyOperation) -> str:
        # While it is being sent the column holds the end of the lease, which is nobody's next try.
        moment = None if operation.status == Status.SENDING else operation.next_attempt_at
        return short_time(moment, operation.location.zone)

    @admin.display(description=gettext_lazy("state"))
    def state(self, operation: LoyaltyOperation) -> SafeString:
        due = self.next_try(operation)
        return in_lines(status_badge(operation), due and _("next try %(time)s") % {"time": due})

    @admin.display(description=gettext_lazy("applied"), empty_value="")
    def taken(self, operation: LoyaltyOperation) -> SafeString | str:
        # Narrow screens show no heading.
        text, label = self.applied(operation), '<span class="altegio-cell-label">{}</span> {}'
        return text and format_html(label, _("applied"), text)

    @admin.display(description=gettext_lazy("visit"))
    def place_link(self, operation: LoyaltyOperation) -> SafeString:
        return in_lines(self.visit_link(operation), operation.location.title)

    @admin.display(description=gettext_lazy("visit"))
    def visit_link(self, operation: LoyaltyOperation) -> SafeString | str:
        url = self.address("visit_change", operation.visit_id)
        return format_html('<a href="{}">{}</a>', url, operation.visit) if url else str(operation.visit)

    def get_fieldsets(self, request: HttpRequest, obj: LoyaltyOperation | None = None) -> Any:
        """What is known of this operation; a fact that there is none of takes no line."""
        if obj is None:
            return ()

        def is_known(name: str) -> bool:
            fact = getattr(obj, name, None)
            if fact is None and hasattr(self, name):
                fact = getattr(self, name)(obj)
            return fact not in (None, "")

        sections = []
        for title, lines in SECTIONS:
            known = [tuple(filter(is_known, self._for_person(request, names))) for names in lines]
            sections.append((title, {"fields": [names for names in known if names]}))
        return sections

    @admin.display(description=gettext_lazy("cancels"))
    def cancels_link(self, operation: LoyaltyOperation) -> SafeString | str:
        return self._link(operation.cancels) if operation.cancels else ""

    @admin.display(description=gettext_lazy("cancelled by"))
    def cancelled_by_links(self, operation: LoyaltyOperation) -> SafeString:
        later = operation.cancelled_by.order_by("pk")[:20]
        return format_html_join(", ", "{}", ((self._link(other),) for other in later))

    def _link(self, operation: LoyaltyOperation) -> SafeString:
        url = self.address("loyaltyoperation_change", operation.pk)
        return format_html('<a href="{}">{}</a> {}', url, operation, status_badge(operation))

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **more: Any) -> HttpResponse:
        operation = more.get("obj")
        if operation is not None:
            page = DecisionPage(self, request)
            context |= {
                "title": capfirst(self.opts.verbose_name),
                "operation": operation,
                "decide_url": page.decide_url,
                "decisions": page.decisions_for(operation),
            }
        return super().render_change_form(request, context, *args, **more)

    def own_pages(self) -> pages.Pages:
        decides = (permission_required(RESOLVE, raise_exception=True), *ACTS)
        return (
            (DecisionPage, "decide/", "decide", DecisionPage.post, ACTS),
            (DecisionPage, "inbox/", "inbox", DecisionPage.inbox, READS),
            (OverviewPage, "overview/", "overview", OverviewPage.show, READS),
            (OverviewPage, "overview/lift/", "lift", OverviewPage.lift, decides),
            (ReportsPage, "overview/reports/", "reports", ReportsPage.show, READS),
            (ReportsPage, "overview/reports.csv", "report", ReportsPage.table, READS),
            (OverviewPage, "overview/<slug:name>.csv", "figure", OverviewPage.table, READS),
            (BooksPage, "overview/books/", "books", BooksPage.show, READS),
            (BooksPage, "overview/books/<int:pk>/", "close_item", BooksPage.close, decides),
            (Page, "export/", "export", export, READS),
            (Page, "<int:object_id>/timeline/", "timeline", timeline, READS),
        )
