"""The confirmation page of one visit: what is offered, what it leads to, and one POST that asks for it."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect

from altegio_loyalty.admin.desk.confirmation import NOT_BEGUN, Confirmation, busy_cards_of, why_not_begun
from altegio_loyalty.admin.desk.forms import OTHER, OperationForm
from altegio_loyalty.admin.kinds import TABLE, why_nothing
from altegio_loyalty.models import Visit


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
            "chosen": chosen,
            "others": self._other_cards(form),
            "nothing": why_nothing(self.kind, has_client=form.visit.client_id is not None),
            "warnings": offers.warnings(chosen),
            "token": token.hex,
            "prefix": form.prefix,
            "other_value": OTHER,
            "is_typing": form.types_ids or not offers.is_known or "typed" in self.request.GET,
            "can_submit": bool(chosen and not chosen.why_not),
        }
        return self.page("visit/operate.html", context)

    def _other_cards(self, form: OperationForm) -> list[dict[str, Any]]:
        """The cards that could be taken instead, as addresses: each has amounts of its own."""
        if not self.kind.takes_amount or form.offers is None:
            return []
        return [
            {
                "offer": offer,
                "url": self.address("visit_operate", self.kind.name, visit=form.visit.pk, choice=offer.value),
            }
            for offer in form.offers.usable
            if offer != form.chosen
        ]

    def _ask(self, form: OperationForm, token: uuid.UUID) -> None:
        """Ask for the operation; what stands against it is a message."""
        visit = form.visit
        try:
            TABLE[self.kind.name].service(
                visit.location_id,
                visit_id=visit.pk,
                record_id=visit.record_id,
                requested_by=self.request.user,
                idempotency_key=self.key(token, visit.pk),
                **form.arguments,
            )
        except NOT_BEGUN as error:
            messages.error(self.request, why_not_begun(error))
