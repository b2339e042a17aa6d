"""The page of a visit: what Altegio shows of it, what can be done, and what was asked for so far.

It comes up at once with what is known, and asks Altegio nothing; with `?read=1`, which its script asks for, it is read anew.
"""

from collections.abc import Iterable
from typing import Any

from django.http import HttpResponse
from django.utils.formats import date_format

from altegio_loyalty import kinds
from altegio_loyalty.admin.desk.live import VisitState
from altegio_loyalty.admin.desk.offers import OFFERS, CardOffers, Offers
from altegio_loyalty.admin.kinds import TABLE, why_nothing
from altegio_loyalty.admin.locations import currency_shown
from altegio_loyalty.admin.pages import Page
from altegio_loyalty.models import Visit
from altegio_loyalty.moments import as_local
from altegio_loyalty.services.reading import known_for_screen, read_for_screen
from altegio_loyalty.texts import gettext as _
from altegio_loyalty.wording import isolated


class VisitPage(Page):
    """One request to the page of a visit."""

    visit: Visit

    def respond(self, visit: Visit, extra_context: dict[str, Any]) -> HttpResponse:
        self.visit, state = visit, VisitState(self, visit)
        live = self._live_context(state)
        if "read" in self.request.GET:
            state = VisitState(self, visit)  # while Altegio was read, much may have happened
        context = {
            "title": self._title(),
            "visit": visit,
            "phone": self._phone(),
            "currency": currency_shown(self.request, visit.location),
            **live,
            **state.context(),
            "log_url": state.may_see_log and self.address("loyaltyoperation_changelist", q=visit.pk),
            **extra_context,
        }
        return self.render("visit/page.html", context)

    def _title(self) -> str:
        title = self.visit.client_shown or _("Visit %(id)s") % {"id": self.visit.pk}
        starts_at, zone = self.visit.starts_at, self.visit.location.zone
        return f"{title}, {date_format(as_local(starts_at, zone), 'j E H:i')}" if starts_at else title

    def _phone(self) -> str:
        """The client's phone; all but its last four digits, or all, hidden from those without the right to see it."""
        phone = self.visit.client_phone
        if not phone or self.may("view_client_phone"):
            return phone
        # Of a short one, the few digits left to guess would soon be found by searching.
        return f"•••{phone[-4:]}" if len(phone) > 10 else "•••"

    def _live_context(self, state: VisitState) -> dict[str, Any]:
        details, cards, is_fresh = known_for_screen(self.visit)
        if "read" in self.request.GET:
            details, cards = read_for_screen(self.visit, by=self.request.user)
            is_fresh = not details.error
            state.judge(details)
        busy_cards = {operation.card_id for operation in state.open}
        shown = (details, cards, busy_cards, self.visit.location.currency)
        all_offers = [offers(*shown) for offers in OFFERS.values()]
        of_cards = next(offers for offers in all_offers if isinstance(offers, CardOffers))
        more = (offers for offers in all_offers if offers.kind.is_apply and offers != of_cards)
        typed = {kind: self._operate_url(kind, typed=1) for kind in kinds.TABLE}
        return {
            "reading": details,
            "of_cards": cards,
            "details": details.details,
            "is_fresh": is_fresh,
            "to_read": not is_fresh and not details.error,
            "bill": of_cards.bill,
            "no_cards": why_nothing(of_cards.kind, has_client=self.visit.client_id is not None),
            "of_bill": of_cards,
            "warnings": of_cards.warnings(of_cards.best),
            "client_before": isolated(getattr(self.visit, "client_before", "")),
            "applied": self._choices(offers for offers in all_offers if not offers.kind.is_apply),
            "cards": self._choices([of_cards]),
            "programs": self._choices(more),
            "typed": [{"label": TABLE[kind].button, "url": url} for kind, url in typed.items() if url],
        }

    def _choices(self, several: Iterable[Offers]) -> list[dict[str, Any]]:
        """The offers, each with its address where the person may choose it and it would not fail."""
        every = [(offers.kind.name, offer) for offers in several for offer in offers.all]
        return [
            {"offer": offer, "url": "" if offer.why_not else self._operate_url(kind, choice=offer.value)}
            for kind, offer in every
        ]

    def _operate_url(self, kind: str, **query: Any) -> str:
        """Where this is asked for; empty for who may not."""
        return self.address("visit_operate", kind, visit=self.visit.pk, **query) if self.may(kind) else ""
