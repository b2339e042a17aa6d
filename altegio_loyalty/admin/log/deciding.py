"""A decision about operations, from the log or from the page of one: the reason is asked for, and the result is told."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.admin.templatetags.admin_urls import add_preserved_filters
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import HttpResponse, HttpResponseRedirect

from altegio_loyalty import database
from altegio_loyalty.admin.decisions import DECISIONS, Decision, DecisionForm, Tally, carry_out
from altegio_loyalty.admin.looks import status_badge
from altegio_loyalty.admin.pages import Page, as_id
from altegio_loyalty.models import LoyaltyOperation
from altegio_loyalty.texts import gettext as _
from altegio_loyalty.wording import points

#: So many operations can be decided about at once.
MOST_AT_ONCE = 500


def asked_of(operation: LoyaltyOperation) -> str:
    """What was asked for: an amount, or which promotion."""
    if operation.amount is not None:
        return points(operation.amount, getattr(operation, "currency_shown", ""))
    return _("promotion %(id)s") % {"id": operation.program_id} if operation.program_id else ""


class DecisionPage(Page):
    """One request to decide about operations."""

    def post(self) -> HttpResponse:
        """Where the buttons of the page and the confirmation page lead."""
        decision = DECISIONS.get(self.request.POST.get("decision", ""))
        ids = [as_id(value) or 0 for value in self.request.POST.getlist("operation")]
        if decision is None or not all(ids):
            raise BadRequest("That is no decision about an operation.")
        if not decision.may_be_made_by(self.request.user):
            raise PermissionDenied
        return self.decide(decision, ids) or HttpResponseRedirect(self._back_url(ids))

    def decide(self, decision: Decision, ids: list[int]) -> HttpResponse | None:
        """Make the decision, or ask for the reason first where it needs one. None once there is nothing left to ask."""
        if len(set(ids)) > MOST_AT_ONCE:
            text = _("Choose %(most)s operations at the most.") % {"most": MOST_AT_ONCE}
            messages.error(self.request, text)
            return None
        operations = self._fresh(ids)
        allowed = [row for row in operations if decision.is_allowed(self.request.user, row.kind)]
        if operations and not allowed:
            raise PermissionDenied
        reason = ""
        if decision.needs_reason and any(decision.fits(operation) for operation in allowed):
            form = DecisionForm(self.request.POST if "reason" in self.request.POST else None)
            form.fields["reason"].label = decision.asks
            if not form.is_valid():
                return self._ask(decision, operations, form)
            reason = form.cleaned_data["reason"]
        tally = Tally()
        if missing := len(set(ids)) - len(operations):
            tally.skipped[_("it is not here any more")] = missing
        for operation in operations:
            if decision.is_allowed(self.request.user, operation.kind):
                tally.note(*carry_out(self, decision, operation, reason))
            else:
                tally.note(False, _("you may not decide about this kind of operation"))
        tally.tell(self.request)
        return None

    def _fresh(self, ids: list[int]) -> list[LoyaltyOperation]:
        """The operations as they are now, where they are written: neither as the page showed them nor from a replica."""
        rows = self.admin.get_queryset(self.request).using(database.alias())
        return list(rows.filter(pk__in=ids).order_by("pk"))

    def _ask(
        self, decision: Decision, operations: list[LoyaltyOperation], form: DecisionForm
    ) -> HttpResponse:
        rows = [
            {
                "operation": operation,
                "badge": status_badge(operation),
                "asked": asked_of(operation),
                "url": self.address("loyaltyoperation_change", operation.pk),
                "why_not": decision.why_not(operation),
            }
            for operation in operations
        ]
        context = {
            "title": decision.label,
            "decision": decision,
            "rows": rows,
            "form": form,
            "decide_url": self.decide_url,
            "goes_back_to_page": self.request.POST.get("back") == "page",
            "cancel_url": self._back_url([operation.pk for operation in operations]),
        }
        return self.render("loyaltyoperation/decision.html", context)

    @property
    def decide_url(self) -> str:
        """Where the buttons lead; the filters of the list come back afterwards."""
        return self._keeping_filters(self.address("loyaltyoperation_decide"))

    def _back_url(self, ids: list[int]) -> str:
        if len(ids) == 1 and self.request.POST.get("back") == "page":
            return self._keeping_filters(self.address("loyaltyoperation_change", ids[0]))
        return self._keeping_filters(self.address("loyaltyoperation_changelist"))

    def _keeping_filters(self, url: str) -> str:
        filters = self.admin.get_preserved_filters(self.request)
        return add_preserved_filters({"preserved_filters": filters, "opts": self.admin.opts}, url)
