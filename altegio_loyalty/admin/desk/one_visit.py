"""The confirmation page of one visit: what is offered, what it leads to, and one POST that asks for it."""

from __future__ import annotations

import uuid
from functools import partial

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect

from altegio_loyalty.admin.desk.confirmation import Confirmation, busy_cards_of
from altegio_loyalty.admin.desk.forms import OTHER, OperationForm
from altegio_loyalty.admin.desk.offers import Offer
from altegio_loyalty.admin.kinds import TABLE, why_nothing
from altegio_loyalty.models import Visit
from altegio_loyalty.wording import decimals_of


class OneVisit(Confirmation):
    """One request to the confirmation page of one visit."""

    def respond(self, visit: Visit) -> HttpResponse:
        """Show the form, or ask for what was chosen; the visit's page then shows what becomes of it."""
        if self.request.method != "POST":
            return self._form_page(self._form(visit), uuid.uuid4())
        token = self.token()
        form = OperationForm(self.request.POST, visit=visit, kind=self.kind)
        if not form.is_valid():
            return self._form_page(self._form(visit), token)
        self._ask(form, token)
        return HttpResponseRedirect(self.address("visit_change", visit.pk))

    def _form(self, visit: Visit) -> OperationForm:
        offers = self.offers(visit, busy_cards_of([visit])[visit.pk])
        posted = self.request.POST if self.request.method == "POST" else None
        choice = self.request.GET.get("choice", "")
        return OperationForm(posted, visit=visit, kind=self.kind, offers=offers, choice=choice)

    def _form_page(self, form: OperationForm, token: uuid.UUID) -> HttpResponse:
        offers, chosen = form.offers, form.chosen
        assert offers is not None
        context = {
            "form": form,
            "visit": form.visit,
            "offers": offers,
            "smallest": "0.01" if decimals_of(form.visit.location.currency) else "1",
            "chosen": chosen,
            "others": self._other_cards(form),
            "nothing": why_nothing(self.kind, has_client=form.visit.client_id is not None),
            "warnings": offers.warnings(chosen),
            "token": token.hex,
            "other_value": OTHER,
            "is_typing": form.types_ids or bool(offers.error) or "typed" in self.request.GET,
        }
        return self.page("visit/operate.html", context)

    def _other_cards(self, form: OperationForm) -> list[tuple[str, Offer]]:
        """The cards that could be taken instead, with their addresses: each has amounts of its own."""
        if not self.kind.takes_amount or form.offers is None:
            return []
        others = [offer for offer in form.offers.usable if offer != form.chosen]
        here = partial(self.address, "visit_operate", self.kind.name, visit=form.visit.pk)
        return [(here(choice=offer.value), offer) for offer in others]

    def _ask(self, form: OperationForm, token: uuid.UUID) -> None:
        """Ask for the operation; what stands against it is a message."""
        service = TABLE[self.kind.name].service
        if problem := self.begin(service, form.visit, token, form.visit.pk, **form.arguments):
            messages.error(self.request, problem)
