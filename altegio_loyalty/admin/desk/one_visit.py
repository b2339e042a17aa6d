"""The confirmation page of one visit: what is offered, what it leads to, and one POST that asks for it."""

import uuid
from functools import partial

from django.contrib import messages
from django.http import HttpResponse

from altegio_loyalty.admin.desk.confirmation import Confirmation, busy_cards_of
from altegio_loyalty.admin.desk.forms import OTHER, OperationForm
from altegio_loyalty.admin.desk.offers import OFFERS, Offer
from altegio_loyalty.admin.kinds import TABLE, why_nothing
from altegio_loyalty.bills import READING_IS_RECENT
from altegio_loyalty.models import Visit
from altegio_loyalty.services.reading import known_for_screen, read_for_screen


class OneVisit(Confirmation):
    """One request to the confirmation page of one visit."""

    #: Whether what the form goes by was read moments ago.
    is_fresh: bool

    def respond(self, visit: Visit) -> HttpResponse:
        """Show the form, or ask for what was chosen; the visit's page then shows what becomes of it."""
        if self.request.method != "POST":
            return self._form_page(self._form(visit), uuid.uuid4())
        token = self.token()
        form = OperationForm(self.request.POST, visit=visit, kind=self.kind)
        if not form.is_valid():
            return self._form_page(self._form(visit), token)
        service = TABLE[self.kind.name].service
        if problem := self.begin(service, visit, token, visit.pk, **form.arguments):
            messages.error(self.request, problem)
        url = self.address("visit_change", visit.pk)
        return self.answer(lambda: {"url": url}, url)

    def _form(self, visit: Visit) -> OperationForm:
        details, cards, self.is_fresh = known_for_screen(visit, READING_IS_RECENT)
        is_posted = self.request.method == "POST"
        if "read" in self.request.GET or (is_posted and details.details is None):
            details, cards = read_for_screen(visit, by=self.request.user)
            self.is_fresh = not details.error
        busy, currency = busy_cards_of([visit])[visit.pk], visit.location.currency
        offers = OFFERS[self.kind.name](details, cards, busy, currency)
        posted = self.request.POST if is_posted else None
        choice = self.request.GET.get("choice", "")
        return OperationForm(posted, visit=visit, kind=self.kind, offers=offers, choice=choice)

    def _form_page(self, form: OperationForm, token: uuid.UUID) -> HttpResponse:
        offers, chosen = form.offers, form.chosen
        assert offers is not None
        context = {
            "form": form,
            "visit": form.visit,
            "offers": offers,
            "is_fresh": self.is_fresh,
            "to_read": not (self.is_fresh or offers.visit.error or form.is_bound),
            "state_url": self.address("visit_state", form.visit.pk),
            "chosen": chosen,
            "others": self._other_cards(form),
            "nothing": why_nothing(self.kind, has_client=form.visit.client_id is not None),
            "warnings": offers.warnings(chosen),
            "token": token.hex,
            "other_value": OTHER,
            "is_typing": form.types_ids
            or (bool(offers.error) and not offers.all)
            or "typed" in self.request.GET,
        }
        return self.page("visit/operate.html", context)

    def _other_cards(self, form: OperationForm) -> list[tuple[str, Offer]]:
        """The cards that could be taken instead, with their addresses: each has amounts of its own."""
        if not self.kind.takes_amount or form.offers is None:
            return []
        others = [offer for offer in form.offers.usable if offer != form.chosen]
        here = partial(self.address, "visit_operate", self.kind.name, visit=form.visit.pk)
        return [(here(choice=offer.value), offer) for offer in others]
