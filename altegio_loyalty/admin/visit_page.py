"""The page of a visit: what Altegio shows of it now, what can be done, and what was asked for so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from altegio_loyalty.admin.operate import BUTTONS, operate_url, read_for_screen
from altegio_loyalty.admin.presentation import status_badge
from altegio_loyalty.admin.visit_forms import Offers
from altegio_loyalty.models import LoyaltyOperation, Visit
from altegio_loyalty.wording import as_local

if TYPE_CHECKING:
    from altegio_loyalty.admin.visits import VisitAdmin

Kind = LoyaltyOperation.Kind

#: So many of a visit's operations are shown on its page; the log has all.
OPERATIONS_SHOWN = 20
#: While an operation is open its page looks again by itself, in seconds.
LOOK_AGAIN_SECONDS = 5


class VisitPage:
    """One request to the page of a visit."""

    def __init__(self, admin: VisitAdmin, request: HttpRequest, visit: Visit) -> None:
        self.admin = admin
        self.request = request
        self.visit = visit

    def respond(self, extra_context: dict[str, Any]) -> HttpResponse:
        context = {
            **self.admin.admin_site.each_context(self.request),
            "opts": self.admin.opts,
            "title": self._title(),
            "visit": self.visit,
            **self._live_context(),
            **self._log_context(),
            **extra_context,
        }
        self.request.current_app = self.admin.admin_site.name
        return TemplateResponse(self.request, "admin/altegio_loyalty/visit/page.html", context)

    def _title(self) -> str:
        title = self.visit.client_name or _("Visit %(id)s") % {"id": self.visit.pk}
        starts_at = self.visit.starts_at
        return f"{title}, {date_format(as_local(starts_at), 'j M H:i')}" if starts_at else title

    def _live_context(self) -> dict[str, Any]:
        visit = self.visit
        details, cards = read_for_screen(visit)
        allowed = {kind: self.admin.may(self.request, kind) for kind in Kind}
        offers = {kind: Offers(kind, details, cards) for kind in Kind}

        def choices(kind: Kind) -> list[dict[str, str]]:
            return [
                {
                    "label": label,
                    "url": operate_url(self.admin, kind, [visit.pk], choice=value) if allowed[kind] else "",
                }
                for value, label in offers[kind].choices
            ]

        return {
            "details": details.details,
            "reading_error": details.error,
            "cards": self._cards(choices(Kind.APPLY_CARD_WITHDRAWAL), cards.cards),
            "cards_error": cards.error,
            "withdrawals": choices(Kind.CANCEL_CARD_WITHDRAWAL),
            "promotions": choices(Kind.CANCEL_DISCOUNT_PROGRAM),
            "programs": choices(Kind.APPLY_DISCOUNT_PROGRAM),
            "buttons": [
                {"label": BUTTONS[kind], "url": operate_url(self.admin, kind, [visit.pk])}
                for kind in Kind
                if allowed[kind]
            ],
            "read_at": timezone.now(),
        }

    @staticmethod
    def _cards(choices: list[dict[str, str]], cards: Sequence[Any]) -> list[dict[str, Any]]:
        return [{**choice, "card": card} for choice, card in zip(choices, cards, strict=True)]

    def _log_context(self) -> dict[str, Any]:
        newest = self.visit.operations.select_related("location", "requested_by").order_by("-pk")
        operations = list(newest[:OPERATIONS_SHOWN])
        log_url = reverse(f"{self.admin.admin_site.name}:altegio_loyalty_loyaltyoperation_changelist")
        return {
            "operations": [{"row": operation, "badge": status_badge(operation)} for operation in operations],
            "has_open_operation": any(operation.is_open for operation in operations),
            "look_again_seconds": LOOK_AGAIN_SECONDS,
            "log_url": f"{log_url}?q={self.visit.pk}",
        }
