"""What needs a person, and what a person decides about operations: the reason is asked for, and the result is told."""

import datetime
from collections import Counter, defaultdict
from dataclasses import replace
from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.contrib.admin.templatetags.admin_urls import add_preserved_filters
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import Count, Max, Min, Q
from django.http import HttpResponse, HttpResponseRedirect
from django.utils import timezone

from altegio_loyalty import database, watch
from altegio_loyalty.admin.decisions import DECISIONS, Decision, DecisionForm, carry_out, tell
from altegio_loyalty.admin.locations import locations_of, tell_apart
from altegio_loyalty.admin.overview.page import UNKNOWN
from altegio_loyalty.admin.pages import Page, as_id
from altegio_loyalty.conf import get_settings
from altegio_loyalty.models import LoyaltyOperation
from altegio_loyalty.moments import start_of, today
from altegio_loyalty.querysets import WORKS
from altegio_loyalty.states import OPEN, Status
from altegio_loyalty.texts import gettext as _
from altegio_loyalty.wording import points

#: An operation as the pages show it.
Row = dict[str, Any]
#: None once there is nothing left to ask.
Answer = HttpResponse | None
#: So many operations can be decided about at once.
MOST_AT_ONCE = 500
#: So many operations are shown that need a person; the log has the others.
MOST_SHOWN = 50
#: What is given up within this is counted apart.
SOON = datetime.timedelta(minutes=10)


def _age_of(operation: LoyaltyOperation) -> str:
    """ "over" where the day of the visit is, "late" where the app itself would have given up by now; else empty."""
    zone, starts_at, window = operation.location.zone, operation.visit.starts_at, get_settings().RETRY_WINDOW
    if starts_at and starts_at < start_of(today(zone), zone):
        return "over"
    is_late = window and operation.created_at < timezone.now() - datetime.timedelta(seconds=window)
    return "late" if is_late else ""


class DecisionPage(Page):
    def inbox(self) -> HttpResponse:
        """What needs a person: each thing with its age and cause, what the app still does about it, and what can be done."""
        rows: Any = self.admin.get_queryset(self.request)
        # In this order the index leads to them on every database.
        needing = list(rows.needing_attention().order_by("attention", "pk")[:MOST_SHOWN])
        locations: Any = locations_of(self.request, **watch.facts(), unknown_count=UNKNOWN)
        ends = WORKS & Q(status=Status.PENDING)
        soon = Q(expires_at__lte=timezone.now() + SOON)
        queue = rows.queue(
            oldest=Min("created_at", filter=WORKS & Q(status__in=OPEN)),
            ending=Count("expires_at", filter=ends),
            ending_soon=Count("expires_at", filter=ends & soon),
            first_end=Min("expires_at", filter=ends),
            last_end=Max("expires_at", filter=ends),
        )
        if off := [row for row in locations if not row.is_active]:
            waits = rows.filter(attention__gt=0, status__in=OPEN, location__in=off)
            held = set(waits.order_by().values_list("location", flat=True).distinct())
            off = [row for row in off if row.pk in held]
        context = {
            "notices": watch.notices(known=next(map(vars, locations), None)),
            "title": _("What needs a person"),
            "rows": self.rows(needing),
            "queue": queue,
            "unknown_count": sum(row.unknown_count for row in locations),
            "paused": [row for row in locations if row.is_active and row.is_paused],
            "off": off,
            "decide_url": self.decide_url,
        }
        return self.render("loyaltyoperation/inbox.html", context)

    def post(self) -> HttpResponse:
        decision = DECISIONS.get(self.request.POST.get("decision", ""))
        ids = [as_id(value) or 0 for value in self.request.POST.getlist("operation")]
        if decision is None or not all(ids):
            raise BadRequest("That is no decision about an operation.")
        if not decision.may_be_made_by(self.request.user):
            raise PermissionDenied
        return self.decide(decision, ids) or HttpResponseRedirect(self._back_url(ids))

    def decide(self, decision: Decision, ids: list[int], *, is_selection: bool = False) -> Answer:
        """Make the decision, or ask first: for the reason, or which of a selection are worth another try."""
        if len(set(ids)) > MOST_AT_ONCE:
            text = _("Choose %(most)s operations at the most.")
            messages.error(self.request, text % {"most": MOST_AT_ONCE})
            return None
        # As they are now, where they are written: neither as the page showed them nor from a replica.
        rows = self.admin.get_queryset(self.request).using(database.alias())
        operations = list(rows.filter(pk__in=ids).order_by("pk"))
        allowed = [row for row in operations if decision.is_allowed(self.request.user, row.kind)]
        if operations and not allowed:
            raise PermissionDenied
        is_fitting, reason = any(map(decision.fits, allowed)), ""
        if is_selection and decision.name == "retry" and is_fitting:
            return self._ask_which(decision, self.rows(operations, decision))
        if decision.asks and is_fitting:
            form = DecisionForm(self.request.POST if "reason" in self.request.POST else None)
            form.fields["reason"].label = decision.asks
            if not form.is_valid():
                return self._question("decision", decision, self.rows(operations, decision), form=form)
            reason = form.cleaned_data["reason"]
        tally: Counter[tuple[bool, str]] = Counter()
        if missing := len(set(ids)) - len(operations):
            tally[False, _("it is not here any more")] = missing
        tally.update(self._carry_out(decision, operation, reason) for operation in operations)
        if ids:
            tell(self.request, tally)
        else:
            messages.error(self.request, _("Nothing was chosen, so nothing was done."))
        return None

    def _carry_out(self, decision: Decision, operation: LoyaltyOperation, reason: str) -> tuple[bool, str]:
        if not decision.is_allowed(self.request.user, operation.kind):
            return False, _("you may not decide about this kind of operation")
        # As the page that asked showed it: what is odd since, or was sent once more, nobody has seen.
        operation.discrepancy = self.request.POST.get(f"seen-{operation.pk}", operation.discrepancy)
        count = str(operation.attempt_count)
        if self.request.POST.get(f"attempts-{operation.pk}", count) != count:
            return False, decision.why_not(operation) or _("it changed meanwhile, look at it again")
        return carry_out(self, decision, operation, reason)

    def _ask_which(self, decision: Decision, rows: list[Row]) -> HttpResponse:
        """What a retry of these would do. Those whose client has most likely left are not chosen beforehand."""
        fitting = [row for row in rows if not row["why_not"]]
        amounts: defaultdict[str, Decimal] = defaultdict(Decimal)
        for row in fitting:
            amounts[row["operation"].currency_shown] += row["operation"].amount or 0
        sums = ", ".join(points(amount, currency) for currency, amount in amounts.items() if amount)
        over_count = sum(row["age"] == "over" for row in fitting)
        return self._question("retry", decision, rows, fitting=fitting, sums=sums, over_count=over_count)

    def _question(self, name: str, decision: Decision, rows: list[Row], **more: Any) -> HttpResponse:
        context = {
            "title": decision.label,
            "decision": decision,
            "rows": rows,
            "decide_url": self.decide_url,
            "now": timezone.now(),
            "back": self.request.POST.get("back", ""),
            "cancel_url": self._back_url([row["operation"].pk for row in rows]),
        }
        return self.render(f"loyaltyoperation/{name}.html", {**context, **more})

    def rows(self, operations: list[LoyaltyOperation], decision: Decision | None = None) -> list[Row]:
        tell_apart(self.request, operations)
        return [
            {
                "operation": operation,
                "age": _age_of(operation),
                "url": self.address("loyaltyoperation_change", operation.pk),
                "visit_url": self.address("visit_change", operation.visit_id) if self.sees_visits else "",
                "why_not": decision.why_not(operation) if decision else "",
                "decisions": self.decisions_for(operation),
            }
            for operation in operations
        ]

    def decisions_for(self, operation: LoyaltyOperation) -> list[Decision]:
        """Those open to the person; a retry of what must not be repeated is called what it is, another look."""
        found = [each for each in DECISIONS.values() if each.is_open_to(self.request.user, operation)]
        if operation.status != Status.UNCONFIRMED:
            return found
        look = _("Look again now")
        return [replace(each, label=look) if each.name == "retry" else each for each in found]

    @property
    def decide_url(self) -> str:
        """Where the buttons lead; the filters of the list come back afterwards."""
        return self._keeping_filters(self.address("loyaltyoperation_decide"))

    def _back_url(self, ids: list[int]) -> str:
        if len(ids) == 1 and self.request.POST.get("back") == "page":
            return self._keeping_filters(self.address("loyaltyoperation_change", ids[0]))
        if self.request.POST.get("back") == "inbox":
            return self.address("loyaltyoperation_inbox")
        return self._keeping_filters(self.address("loyaltyoperation_changelist"))

    def _keeping_filters(self, url: str) -> str:
        filters = self.admin.get_preserved_filters(self.request)
        return add_preserved_filters({"preserved_filters": filters, "opts": self.admin.opts}, url)
