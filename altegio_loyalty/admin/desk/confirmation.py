"""What the confirmation pages share: who may, which visits, what is offered, and the token that makes a page count once."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.text import capfirst

from altegio_loyalty import exceptions, kinds
from altegio_loyalty.admin.desk.offers import OFFERS, Offers
from altegio_loyalty.admin.kinds import TABLE
from altegio_loyalty.admin.locations import currency_shown
from altegio_loyalty.admin.pages import Page, as_id
from altegio_loyalty.models import LoyaltyOperation, Visit
from altegio_loyalty.services.reading import read_for_screen
from altegio_loyalty.texts import gettext as _
from altegio_loyalty.texts import gettext_lazy
from altegio_loyalty.wording import clock

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
    """One request to a confirmation page."""

    def __init__(self, admin: ModelAdmin[Any], request: HttpRequest, kind: str) -> None:
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

    def offers(self, visit: Visit, busy_cards: set[int]) -> Offers:
        """What can be chosen on the visit, read from Altegio."""
        readings, currency = read_for_screen(visit, by=self.request.user), visit.location.currency
        return OFFERS[self.kind.name](*readings, busy_cards, currency)

    def token(self) -> uuid.UUID:
        """What makes the page sent twice the same page."""
        try:
            return uuid.UUID(self.request.POST.get("token", ""))
        except ValueError:
            raise PermissionDenied from None

    def begin(
        self,
        service: Callable[..., LoyaltyOperation],
        visit: Visit,
        token: uuid.UUID,
        what: object,
        **wanted: Any,
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
                idempotency_key=f"admin:{self.request.user.pk}:{token.hex}:{what}",
                **wanted,
            )
        except ValidationError as error:
            return " ".join(error.messages)
        except exceptions.IdempotencyConflict:
            return str(USED_ALREADY)
        except exceptions.TransactionOpen:
            return _("Not begun: this site keeps a database transaction open around the page.")
        except exceptions.OperationInProgress as error:
            other = error.operation
            text = _("Not begun: another operation with this card is not finished yet.")
            if other is None:
                return text
            who = f"{other.requested_by_login}, {clock(other.created_at, other.location.zone)}"
            return f"{text} {capfirst(other.get_kind_display())} ({who}): {other.sentence}"
        return ""

    def shared_context(self) -> dict[str, Any]:
        """What the templates ask about the kind."""
        words = TABLE[self.kind.name]
        return {"title": words.button, "words": words, "kind": self.kind}

    def page(self, template: str, context: dict[str, Any]) -> HttpResponse:
        """The page, with what its templates ask about the kind."""
        return self.render(template, {**self.shared_context(), **context})

    def to_list(self) -> HttpResponse:
        """Back to the list of visits."""
        return HttpResponseRedirect(self.address("visit_changelist"))
