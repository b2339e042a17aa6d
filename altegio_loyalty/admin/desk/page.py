"""The page of a visit: what Altegio shows of it now, what can be done, and what was asked for so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from altegio_loyalty import services
from altegio_loyalty.admin.offers import Offer, Offers
from altegio_loyalty.admin.operate import BUTTONS, NO_CLIENT, NOTHING, operate_url, read_for_screen
from altegio_loyalty.admin.visit_live import Happening, VisitLive
from altegio_loyalty.models import Visit
from altegio_loyalty.states import Kind
from altegio_loyalty.wording import as_local, isolated

if TYPE_CHECKING:
    from altegio_loyalty.admin.visits import VisitAdmin


#: Without scripts, a page with an open operation looks again by itself after so many seconds.
LOOK_AGAIN_SECONDS = 5


def phone_for(user: Any, visit: Visit) -> str:
    """The client's phone; all but its last four digits hidden from those without the right to see it."""
    phone = visit.client_phone
    if not phone or user.has_perm("altegio_loyalty.view_client_phone"):
        return phone
    return f"•••{phone[-4:]}" if len(phone) > 7 else "•••"


class VisitPage:
    """One request to the page of a visit."""

    def __init__(self, admin: VisitAdmin, request: HttpRequest, visit: Visit) -> None:
        self.admin = admin
        self.request = request
        self.visit = visit

    def respond(self, extra_context: dict[str, Any]) -> HttpResponse:
        happening = Happening(self.request, self.visit)
        log_url = reverse(f"{self.admin.admin_site.name}:altegio_loyalty_loyaltyoperation_changelist")
        context = {
            **self.admin.admin_site.each_context(self.request),
            "opts": self.admin.opts,
            "title": self._title(),
            "visit": self.visit,
            "phone": phone_for(self.request.user, self.visit),
            **self._live_context(happening),
            **happening.context(VisitLive(self.admin).addresses(self.visit)),
            "look_again_seconds": LOOK_AGAIN_SECONDS,
            "log_url": f"{log_url}?q={self.visit.pk}",
            **extra_context,
        }
        self.request.current_app = self.admin.admin_site.name
        return TemplateResponse(self.request, "admin/altegio_loyalty/visit/page.html", context)

    def _title(self) -> str:
        title = isolated(self.visit.client_name) or _("Visit %(id)s") % {"id": self.visit.pk}
        starts_at = self.visit.starts_at
        return f"{title}, {date_format(as_local(starts_at), 'j E H:i')}" if starts_at else title

    def _live_context(self, happening: Happening) -> dict[str, Any]:
        details, cards = read_for_screen(self.visit)
        if details.details is not None:
            services.flag_surplus(self.visit.pk, details.details, happening.operations)
        busy_cards = {operation.card_id for operation in happening.open}
        offers = {kind: Offers(kind, details, cards, busy_cards) for kind in Kind}
        allowed = [kind for kind in Kind if self.admin.may(self.request, kind)]
        of_withdrawal = offers[Kind.APPLY_CARD_WITHDRAWAL]
        return {
            "details": details.details,
            "reading_error": details.error,
            "cards_error": cards.error,
            "no_cards": NO_CLIENT if self.visit.client_id is None else NOTHING[Kind.APPLY_CARD_WITHDRAWAL],
            "warnings": [] if details.error else of_withdrawal.warnings(_best(of_withdrawal)),
            "cards": self._choices(of_withdrawal, allowed),
            "withdrawals": self._choices(offers[Kind.CANCEL_CARD_WITHDRAWAL], allowed),
            "promotions": self._choices(offers[Kind.CANCEL_DISCOUNT_PROGRAM], allowed),
            "programs": self._choices(offers[Kind.APPLY_DISCOUNT_PROGRAM], allowed),
            "typed": [
                {"label": BUTTONS[kind], "url": f"{operate_url(self.admin, kind, [self.visit.pk], typed=1)}"}
                for kind in allowed
            ],
            "read_at": timezone.now(),
        }

    def _choices(self, offers: Offers, allowed: list[Kind]) -> list[dict[str, Any]]:
        """The offers, each with its address where the person may choose it and it would not fail."""
        return [
            {
                "offer": offer,
                "url": operate_url(self.admin, offers.kind, [self.visit.pk], choice=offer.value)
                if offers.kind in allowed and not offer.why_not
                else "",
            }
            for offer in offers.all
        ]


def _best(offers: Offers) -> Offer | None:
    """The card that covers most of the bill."""
    return max(offers.usable, key=lambda offer: offer.most or 0, default=None)
