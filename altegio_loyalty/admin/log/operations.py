"""The log of loyalty operations in the admin: to read, and to decide what a person must decide."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.templatetags.admin_urls import add_preserved_filters
from django.core.exceptions import BadRequest, PermissionDenied
from django.db import router
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from altegio_loyalty.access import visible_to
from altegio_loyalty.admin import log_export, overview
from altegio_loyalty.admin.attempts import AttemptInline
from altegio_loyalty.admin.decisions import DECISIONS, Decision, Tally, VerdictForm, carry_out, why_not
from altegio_loyalty.admin.log_filters import AskedFilter, AttentionFilter, LocationFilter
from altegio_loyalty.admin.operation_facts import FACTS, for_person
from altegio_loyalty.admin.presentation import (
    STYLESHEET,
    BoundedPaginator,
    as_id,
    outside_transactions,
    short_time,
    status_badge,
)
from altegio_loyalty.models import LoyaltyOperation, Visit
from altegio_loyalty.states import Kind, Status
from altegio_loyalty.wording import points
from altegio_loyalty.wording import reason as in_words

#: So many operations can be decided about at once.
MOST_AT_ONCE = 500
#: So many visits are considered that a search for a name or an appointment finds.
MOST_VISITS_FOUND = 200


def _as_action(decision: Decision) -> Callable[..., HttpResponse | None]:
    def decide(
        model_admin: LoyaltyOperationAdmin, request: HttpRequest, queryset: QuerySet[Any]
    ) -> HttpResponse | None:
        # An operation that has left the filtered list meanwhile is still one that the person chose.
        chosen: Iterable[Any] = request.POST.getlist(ACTION_CHECKBOX_NAME)
        if request.POST.get("select_across", "0") not in ("", "0"):
            chosen = queryset.values_list("pk", flat=True)[: MOST_AT_ONCE + 1]
        ids = [as_id(str(value)) or 0 for value in chosen]
        return model_admin.decide(request, decision, ids)

    permission = "verdict" if decision.is_verdict else "decide"
    decide.__name__ = decision.name
    return admin.action(description=decision.label, permissions=[permission])(decide)


@admin.register(LoyaltyOperation)
class LoyaltyOperationAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Read-only for everyone. What changes an operation goes through the services, and says who did it."""

    list_display = (
        "asked_at",
        "badge",
        "kind",
        "visit_link",
        "asked",
        "applied",
        "next_try",
        "card_id",
        "location",
        "requested_by",
    )
    list_display_links = ("asked_at",)
    list_filter = (AttentionFilter, "status", "kind", LocationFilter, AskedFilter)
    list_per_page = 50
    ordering = ("-id",)
    sortable_by = ()
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = BoundedPaginator
    search_fields = ("idempotency_key",)
    search_help_text = gettext_lazy(
        "Visit, appointment, card or operation number, idempotency key, or how the client's name begins. "
        "The newest 10,000 are listed."
    )
    actions = tuple(_as_action(decision) for decision in DECISIONS.values())
    inlines = (AttemptInline,)
    change_form_template = "admin/altegio_loyalty/loyaltyoperation/change_form.html"

    class Media:
        css = {"all": [STYLESHEET]}

    # Who may do what

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: LoyaltyOperation | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: LoyaltyOperation | None = None) -> bool:
        return False

    def has_decide_permission(self, request: HttpRequest) -> bool:
        return DECISIONS["retry"].may_be_made_by(request.user)

    def has_verdict_permission(self, request: HttpRequest) -> bool:
        return DECISIONS["happened"].may_be_made_by(request.user)

    # The list

    def lookup_allowed(self, lookup: str, value: Any, request: Any = None) -> bool:
        """Only what the filters offer: anything else would let a crafted address scan a table of any size."""
        choices = {"status__exact": Status.values, "kind__exact": Kind.values}
        if lookup in choices:
            return value in choices[lookup]
        if lookup in ("visit", "visit__id__exact"):
            return as_id(value) is not None
        return lookup in (
            LocationFilter.parameter_name,
            AttentionFilter.parameter_name,
            AskedFilter.parameter_name,
        )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request).select_related("location", "visit", "requested_by")
        return visible_to(request.user, rows)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Exact on indexed columns. Visits come first, since an OR over two tables can use no index."""
        term = search_term.strip()
        if not term or not term.isprintable():
            return (queryset.none() if term else queryset), False
        found = Q(idempotency_key=term)
        visits = visible_to(request.user, Visit.objects.order_by("-pk"))
        if number := as_id(term):
            visits = visits.filter(Q(pk=number) | Q(record_id=number))
            found |= Q(pk=number) | Q(card_id=number)
        else:
            visits = visits.filter(client_name__istartswith=term)
        visit_ids = list(visits.values_list("pk", flat=True)[:MOST_VISITS_FOUND])
        return queryset.filter(found | Q(visit_id__in=visit_ids)), False

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        return for_person(request, self.list_display)

    @outside_transactions
    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The list. Its actions commit on their own, so it never runs inside a transaction of the host site."""
        if any(as_id(value) is None for value in request.POST.getlist(ACTION_CHECKBOX_NAME)):
            raise BadRequest("An operation's number is not a number.")
        title = {"title": capfirst(self.opts.verbose_name_plural)}
        return super().changelist_view(request, {**title, **(extra_context or {})})

    @admin.display(description=gettext_lazy("asked at"), ordering="-id")
    def asked_at(self, operation: LoyaltyOperation) -> str:
        return short_time(operation.created_at)

    @admin.display(description=gettext_lazy("state"))
    def badge(self, operation: LoyaltyOperation) -> SafeString:
        return status_badge(operation)

    @admin.display(description=gettext_lazy("asked"))
    def asked(self, operation: LoyaltyOperation) -> str:
        if operation.amount is not None:
            return points(operation.amount)
        return _("promotion %(id)s") % {"id": operation.program_id} if operation.program_id else ""

    @admin.display(description=gettext_lazy("applied"))
    def applied(self, operation: LoyaltyOperation) -> str:
        if operation.applied_amount is not None:
            return points(operation.applied_amount)
        if operation.returned_amount is not None:
            return _("%(points)s back") % {"points": points(operation.returned_amount)}
        return ""

    @admin.display(description=gettext_lazy("next try"))
    def next_try(self, operation: LoyaltyOperation) -> str:
        # While it is being sent the column holds the end of the lease, which is nobody's next try.
        return "" if operation.status == Status.SENDING else short_time(operation.next_attempt_at)

    @admin.display(description=gettext_lazy("visit"))
    def visit_name(self, operation: LoyaltyOperation) -> str:
        return str(operation.visit)

    @admin.display(description=gettext_lazy("visit"))
    def visit_link(self, operation: LoyaltyOperation) -> SafeString:
        url = reverse(f"{self.admin_site.name}:altegio_loyalty_visit_change", args=[operation.visit_id])
        return format_html('<a href="{}">{}</a>', url, operation.visit)

    # The page

    def get_fieldsets(self, request: HttpRequest, obj: LoyaltyOperation | None = None) -> Any:
        """What is known of this operation; a fact that there is none of takes no line."""
        if obj is None:
            return ()
        sections = []
        for title, lines in FACTS:
            known = [self._known(for_person(request, names), obj) for names in lines]
            sections.append((title, {"fields": [names for names in known if names]}))
        return sections

    def _known(self, names: tuple[str, ...], operation: LoyaltyOperation) -> tuple[str, ...]:
        return tuple(name for name in names if self._is_known(name, operation))

    def _is_known(self, name: str, operation: LoyaltyOperation) -> bool:
        fact = getattr(operation, name, None)
        if fact is None and hasattr(self, name):
            fact = getattr(self, name)(operation)
        return fact not in (None, "")

    @admin.display(description=gettext_lazy("last error"))
    def last_failure(self, operation: LoyaltyOperation) -> str:
        return in_words(operation.last_error)

    @admin.display(description=gettext_lazy("cancels"))
    def cancels_link(self, operation: LoyaltyOperation) -> SafeString | str:
        return self._link(operation.cancels) if operation.cancels else ""

    @admin.display(description=gettext_lazy("cancelled by"))
    def cancelled_by_links(self, operation: LoyaltyOperation) -> SafeString:
        later = operation.cancelled_by.order_by("pk")[:20]
        return format_html_join(", ", "{}", ((self._link(other),) for other in later))

    def _link(self, operation: LoyaltyOperation) -> SafeString:
        return format_html(
            '<a href="{}">{}</a> {}', self.page_url(operation.pk), operation, status_badge(operation)
        )

    def page_url(self, operation_id: int) -> str:
        return reverse(f"{self.admin_site.name}:altegio_loyalty_loyaltyoperation_change", args=[operation_id])

    def decide_url(self) -> str:
        return reverse(f"{self.admin_site.name}:altegio_loyalty_loyaltyoperation_decide")

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        operation = kwargs.get("obj")
        if operation is not None:
            context["title"] = capfirst(self.opts.verbose_name)
            context["operation"] = operation
            context["badge"] = status_badge(operation)
            context["decide_url"] = self._keeping_filters(request, self.decide_url())
            context["decisions"] = [
                decision
                for decision in DECISIONS.values()
                if decision.fits(operation) and decision.is_allowed(request.user, operation)
            ]
        return super().render_change_form(request, context, *args, **kwargs)

    # Decisions

    def get_urls(self) -> list[URLPattern]:
        decide = path(
            "decide/",
            self.admin_site.admin_view(self.decide_view),
            name="altegio_loyalty_loyaltyoperation_decide",
        )
        figures_and_files = (*overview.url_patterns(self), *log_export.url_patterns(self))
        return [decide, *figures_and_files, *super().get_urls()]

    @outside_transactions
    @method_decorator(require_POST)
    def decide_view(self, request: HttpRequest) -> HttpResponse:
        """Where the buttons of the page and the confirmation page lead."""
        decision = DECISIONS.get(request.POST.get("decision", ""))
        ids = [as_id(value) or 0 for value in request.POST.getlist("operation")]
        if decision is None or not all(ids):
            raise BadRequest("That is no decision about an operation.")
        if not self.has_view_permission(request) or not decision.may_be_made_by(request.user):
            raise PermissionDenied
        return self.decide(request, decision, ids) or self._back(request, ids)

    def decide(self, request: HttpRequest, decision: Decision, ids: list[int]) -> HttpResponse | None:
        """Make the decision, or ask for the reason first where it is a verdict. None once there is nothing left to ask."""
        if len(set(ids)) > MOST_AT_ONCE:
            messages.error(request, _("Choose %(most)s operations at the most.") % {"most": MOST_AT_ONCE})
            return None
        operations = self._fresh(request, ids)
        allowed = [operation for operation in operations if decision.is_allowed(request.user, operation)]
        if operations and not allowed:
            raise PermissionDenied
        reason = ""
        if decision.is_verdict and any(decision.fits(operation) for operation in allowed):
            form = VerdictForm(request.POST if "reason" in request.POST else None)
            if not form.is_valid():
                return self._ask(request, decision, operations, form)
            reason = form.cleaned_data["reason"]
        tally = Tally()
        if missing := len(set(ids)) - len(operations):
            tally.skipped[_("it is not here any more")] = missing
        for operation in operations:
            self._decide_one(request, decision, operation, reason, tally)
        tally.say(request)
        return None

    def _fresh(self, request: HttpRequest, ids: list[int]) -> list[LoyaltyOperation]:
        """The operations as they are now, where they are written: neither as the page showed them nor from a replica."""
        rows = self.get_queryset(request).using(router.db_for_write(self.model))
        return list(rows.filter(pk__in=ids).order_by("pk"))

    def _decide_one(
        self, request: HttpRequest, decision: Decision, operation: LoyaltyOperation, reason: str, tally: Tally
    ) -> None:
        if not decision.is_allowed(request.user, operation):
            tally.skipped[_("you may not decide about this kind of operation")] += 1
            return
        if not decision.fits(operation):
            tally.skipped[why_not(decision, operation)] += 1
            return
        is_done, result = carry_out(decision, operation, request.user, reason)
        if is_done:
            tally.done[result] += 1
            self.log_change(request, operation, str(decision.history) % {"reason": reason})
        else:
            tally.skipped[result] += 1

    def _ask(
        self, request: HttpRequest, decision: Decision, operations: list[LoyaltyOperation], form: VerdictForm
    ) -> HttpResponse:
        rows = [
            {
                "operation": operation,
                "badge": status_badge(operation),
                "asked": self.asked(operation),
                "url": self.page_url(operation.pk),
                "why_not": "" if decision.fits(operation) else why_not(decision, operation),
            }
            for operation in operations
        ]
        ids = [operation.pk for operation in operations]
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "media": self.media + form.media,
            "title": decision.label,
            "decision": decision,
            "rows": rows,
            "form": form,
            "decide_url": self._keeping_filters(request, self.decide_url()),
            "goes_back_to_page": request.POST.get("back") == "page",
            "cancel_url": self._back_url(request, ids),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/altegio_loyalty/loyaltyoperation/verdict.html", context)

    def _keeping_filters(self, request: HttpRequest, url: str) -> str:
        return add_preserved_filters(
            {"preserved_filters": self.get_preserved_filters(request), "opts": self.opts}, url
        )

    def _back_url(self, request: HttpRequest, ids: list[int]) -> str:
        if len(ids) == 1 and request.POST.get("back") == "page":
            return self._keeping_filters(request, self.page_url(ids[0]))
        name = f"{self.admin_site.name}:altegio_loyalty_loyaltyoperation_changelist"
        return self._keeping_filters(request, reverse(name))

    def _back(self, request: HttpRequest, ids: list[int]) -> HttpResponse:
        return HttpResponseRedirect(self._back_url(request, ids))
