"""The page of a visit: what Altegio shows of it, what can be done, and what was asked for so far.

It comes up at once with what is known, and asks Altegio nothing; with `?read=1`, which its script asks for, it is read anew.
"""

from collections.abc import Iterable
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.utils.formats import date_format

from altegio_loyalty import database
from altegio_loyalty.admin.decisions import carry_out
from altegio_loyalty.admin.desk.live import STOP, VisitState, next_due, take_step
from altegio_loyalty.admin.desk.offers import OFFERS, CardOffers, Offers
from altegio_loyalty.admin.kinds import TABLE, why_nothing
from altegio_loyalty.admin.locations import currency_shown
from altegio_loyalty.admin.pages import Page, as_id
from altegio_loyalty.models import Visit
from altegio_loyalty.moments import as_local
from altegio_loyalty.texts import gettext as _
from altegio_loyalty.wording import isolated


class VisitPage(Page):
    """One request to the page of a visit, or to an address that its script and its buttons use."""

    def respond(self, visit: Visit, extra_context: dict[str, Any]) -> HttpResponse:
        state = VisitState(self, visit)
        live = self._live_context(visit, state)
        if "read" in self.request.GET:
            state = VisitState(self, visit)  # while Altegio was read, much may have happened
        context = {
            "title": _title(visit),
            "phone": self._phone(visit),
            "currency": currency_shown(self.request, visit.location),
            **live,
            **state.context(),
            **extra_context,
        }
        return self.render("visit/page.html", context)

    def state(self, visit_id: int) -> HttpResponse:
        """What the page's script asks every few seconds. Never calls Altegio."""
        return JsonResponse(self._state(self._visit(visit_id)))

    def stop(self, visit_id: int) -> HttpResponse:
        visit, number = self._visit(visit_id), as_id(self.request.POST.get("operation")) or 0
        rows = database.operations().select_related("location")
        operation = get_object_or_404(rows, visit=visit, pk=number)
        if not STOP.is_allowed(self.request.user, operation.kind):
            raise PermissionDenied
        is_done, reason = False, _("It is not waiting any more.")
        if STOP.fits(operation):
            is_done, reason = carry_out(self, STOP, operation)
        problem = "" if is_done else _("Not stopped: %(reason)s") % {"reason": reason}
        if problem and not self.wants_json:
            messages.warning(self.request, problem)
        return self._answer(visit, problem=problem)

    def step(self, visit_id: int) -> HttpResponse:
        """Do what is due on the visit, where no worker has done it: the claims make it safe beside any number of them."""
        if operation := next_due(self, VisitState(self, self._visit(visit_id)).open):
            take_step(operation)
        # The step has changed what is known of the visit.
        return self._answer(self._visit(visit_id))

    def _visit(self, visit_id: int) -> Visit:
        """The visit, if the person may see it. One of another location is as if it were not there."""
        visit: Visit = get_object_or_404(self.admin.get_queryset(self.request), pk=visit_id)
        if not self.admin.has_view_permission(self.request, visit):
            raise PermissionDenied
        return visit

    def _state(self, visit: Visit) -> dict[str, Any]:
        return VisitState(self, visit).as_json(self.request.GET.get("seen", ""))

    def _answer(self, visit: Visit, **extra: Any) -> HttpResponse:
        return self.answer(lambda: {**self._state(visit), **extra}, self.address("visit_change", visit.pk))

    def _phone(self, visit: Visit) -> str:
        """The client's phone; all but its last four digits, or all, hidden from those without the right to see it."""
        phone = visit.client_phone
        if not phone or self.may("view_client_phone"):
            return phone
        # Of a short one, the few digits left to guess would soon be found by searching.
        return f"•••{phone[-4:]}" if len(phone) > 10 else "•••"

    def _live_context(self, visit: Visit, state: VisitState) -> dict[str, Any]:
        details, cards, is_fresh = state.read()
        busy_cards = {operation.card_id for operation in state.open}
        shown = (details, cards, busy_cards, visit.location.currency)
        all_offers = [offers(*shown) for offers in OFFERS.values()]
        of_cards = next(offers for offers in all_offers if isinstance(offers, CardOffers))
        more = [offers for offers in all_offers if offers.kind.is_apply and offers != of_cards]
        typed = {kind: self._operate_url(visit, kind, typed=1) for kind in TABLE}
        return {
            "reading": details,
            "of_cards": cards,
            "details": details.details,
            "is_fresh": is_fresh,
            "to_read": not is_fresh and not details.error,
            "bill": of_cards.bill,
            "no_cards": why_nothing(of_cards.kind, has_client=visit.client_id is not None),
            "of_bill": of_cards,
            "warnings": of_cards.warnings(of_cards.best),
            "client_before": isolated(getattr(visit, "client_before", "")),
            "applied": self._choices(visit, [offers for offers in all_offers if not offers.kind.is_apply]),
            "cards": self._choices(visit, [of_cards]),
            "programs": self._choices(visit, more),
            "typed": [{"label": TABLE[kind].button, "url": url} for kind, url in typed.items() if url],
        }

    def _choices(self, visit: Visit, several: Iterable[Offers]) -> list[dict[str, Any]]:
        """The offers, each with its address where the person may choose it and it would not fail."""
        every = [(offers.kind.name, offer) for offers in several for offer in offers.all]
        return [
            {"offer": one, "url": "" if one.why_not else self._operate_url(visit, kind, choice=one.value)}
            for kind, one in every
        ]

    def _operate_url(self, visit: Visit, kind: str, **query: Any) -> str:
        """Where this is asked for; empty for who may not."""
        return self.address("visit_operate", kind, visit=visit.pk, **query) if self.may(kind) else ""


def _title(visit: Visit) -> str:
    title, starts_at = visit.client_shown or _("Visit %(id)s") % {"id": visit.pk}, visit.starts_at
    return (
        f"{title}, {date_format(as_local(starts_at, visit.location.zone), 'j E H:i')}" if starts_at else title
    )
