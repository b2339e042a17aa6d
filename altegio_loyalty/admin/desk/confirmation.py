"""The confirmation page of one visit, and what that of several shares: who may, which visits, what makes it count once."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.text import capfirst

from altegio_loyalty import exceptions, kinds
from altegio_loyalty.admin.desk.forms import OTHER, OperationForm
from altegio_loyalty.admin.desk.offers import OFFERS
from altegio_loyalty.admin.desk.page import VisitState
from altegio_loyalty.admin.kinds import TABLE, why_nothing
from altegio_loyalty.admin.locations import currency_shown
from altegio_loyalty.admin.pages import Page, Screens, as_id
from altegio_loyalty.bills import READING_IS_RECENT
from altegio_loyalty.models import LoyaltyOperation, Visit
from altegio_loyalty.texts import gettext as _, gettext_lazy
from altegio_loyalty.wording import clock, reason

#: So many visits can be chosen at once.
MOST_VISITS = 100
USED_ALREADY = gettext_lazy(
    "This page was used already for something else. Open it again for another operation."
)


def busy_cards_of(visits: list[Visit]) -> dict[int, set[int]]:
    """By visit, the cards with an operation that is not finished: a second one would be turned away."""
    rows = LoyaltyOperation.objects.open().filter(visit__in=[visit.pk for visit in visits])
    busy: dict[int, set[int]] = {visit.pk: set() for visit in visits}
    for visit_id, card_id in rows.values_list("visit_id", "card_id"):
        busy[visit_id].add(card_id)
    return busy


class Confirmation(Page):
    def __init__(self, admin: Screens, request: HttpRequest, kind: str) -> None:
        super().__init__(admin, request)
        if not kinds.is_known(kind) or not self.may(kind):
            raise PermissionDenied
        self.kind = kinds.TABLE[kind]

    def visits(self) -> list[Visit]:
        """The visits that were chosen, as far as the person may see them."""
        given = self.request.POST if self.request.method == "POST" else self.request.GET
        ids = dict.fromkeys(number for value in given.getlist("visit") if (number := as_id(value)))
        found = self.admin.get_queryset(self.request).in_bulk(list(ids)[:MOST_VISITS])
        visits = [found[pk] for pk in ids if pk in found]
        seen = [visit for visit in visits if self.admin.has_view_permission(self.request, visit)]
        for visit in seen:
            visit.currency_shown = currency_shown(self.request, visit.location)
        return seen

    def token(self) -> uuid.UUID:
        """What makes the page sent twice the same page."""
        try:
            return uuid.UUID(self.request.POST.get("token", ""))
        except ValueError:
            raise PermissionDenied from None

    def begin(
        self, service: Callable[..., Any], visit: Visit, token: uuid.UUID, what: object, **wanted: Any
    ) -> str:
        """Ask the service for an operation; returns why it was not begun, for the person who asked, or an empty text.

        `token` and `what` tell one operation of the page from all others, however often the page is sent.
        """
        try:
            service(
                visit.location_id,
                visit_id=visit.pk,
                record_id=visit.record_id,
                requested_by=self.request.user,
                # A person's key can be a text, and longer than what the column has left.
                idempotency_key=f"admin:{uuid.uuid5(token, str(self.request.user.pk)).hex}:{what}",
                **wanted,
            )
        except ValidationError as error:
            return " ".join(error.messages)
        except exceptions.IdempotencyConflict:
            return str(USED_ALREADY)
        except exceptions.OperationInProgress as error:
            text = _("Not begun: another operation with this card is not finished yet.")
            if (other := error.operation) is None:
                return text
            who = f"{other.requested_by_login}, {clock(other.created_at, other.location.zone)}"
            return f"{text} {capfirst(other.get_kind_display())} ({who}): {other.sentence}"
        return ""

    def page(self, template: str, context: dict[str, Any]) -> HttpResponse:
        words = TABLE[self.kind.name]
        return self.render(template, {"title": words.button, "words": words, "kind": self.kind, **context})

    def to_list(self) -> HttpResponse:
        return HttpResponseRedirect(self.address("visit_changelist"))


class OneVisit(Confirmation):
    """The page of one: what is offered, what it leads to, and one POST that asks for it."""

    def respond(self, visit: Visit) -> HttpResponse:
        """Show the form, or ask for what was chosen; the visit's page then shows what becomes of it."""
        if self.request.method != "POST":
            return self._form_page(visit, uuid.uuid4())
        token, form = self.token(), OperationForm(self.request.POST, visit=visit, kind=self.kind)
        if not form.is_valid():
            return self._form_page(visit, token)
        service = TABLE[self.kind.name].service
        if problem := self.begin(service, visit, token, visit.pk, **form.arguments):
            messages.error(self.request, problem)
        url = self.address("visit_change", visit.pk)
        return self.answer(lambda: {"url": url}, url)

    def _form_page(self, visit: Visit, token: uuid.UUID) -> HttpResponse:
        state, given, is_posted = VisitState(self, visit), self.request.GET, self.request.method == "POST"
        details, cards, is_fresh = state.read(READING_IS_RECENT, must_know=is_posted)
        busy, currency = busy_cards_of([visit])[visit.pk], visit.location.currency
        offers = OFFERS[self.kind.name](details, cards, busy, currency)
        posted, choice = self.request.POST if is_posted else None, given.get("choice", "")
        form = OperationForm(posted, visit=visit, kind=self.kind, offers=offers, choice=choice)
        here = partial(self.address, "visit_operate", self.kind.name, visit=visit.pk)
        # A cancel gives back, as well, what the log does not explain, or finds less.
        odd = [row for row in state.operations if form.chosen and row.card_id == form.chosen.card_id]
        # Each card has amounts of its own.
        others = [offer for offer in offers.usable if self.kind.takes_amount and offer != form.chosen]
        context = {
            "form": form,
            "visit": visit,
            "offers": offers,
            "is_fresh": is_fresh,
            "to_read": not (is_fresh or details.error or is_posted),
            "chosen": form.chosen,
            "others": [(here(choice=offer.value), offer) for offer in others],
            "nothing": why_nothing(self.kind, has_client=visit.client_id is not None),
            "warnings": [
                *offers.warnings(form.chosen),
                *(reason(row.discrepancy) for row in odd if row.is_flagged),
            ],
            "token": token.hex,
            "other_value": OTHER,
            "is_typing": form.types_ids or (offers.error and not offers.all) or "typed" in given,
        }
        return self.page("visit/operate.html", context)
