"""The confirmation page of one visit: what is offered, what it leads to, one POST, and what became of it in plain words."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from altegio_loyalty import exceptions, services
from altegio_loyalty.admin.offers import WITH_PROGRAM, Offers
from altegio_loyalty.admin.presentation import as_id
from altegio_loyalty.admin.visit_forms import OTHER, OperateForm
from altegio_loyalty.models import LoyaltyOperation, Visit
from altegio_loyalty.services import CardsReading, VisitReading
from altegio_loyalty.states import Kind

if TYPE_CHECKING:
    from altegio_loyalty.admin.visits import VisitAdmin


#: So many visits can be chosen at once.
MOST_VISITS = 100

BUTTONS = {
    Kind.APPLY_CARD_WITHDRAWAL: gettext_lazy("Withdraw points"),
    Kind.CANCEL_CARD_WITHDRAWAL: gettext_lazy("Cancel the withdrawal"),
    Kind.APPLY_DISCOUNT_PROGRAM: gettext_lazy("Apply a promotion"),
    Kind.CANCEL_DISCOUNT_PROGRAM: gettext_lazy("Take a promotion back"),
}
NO_CLIENT = gettext_lazy(
    "This visit has no client in Altegio, and so no cards. Choose the client there first, then look again."
)
NOTHING = {
    Kind.APPLY_CARD_WITHDRAWAL: gettext_lazy("This client has no loyalty card."),
    Kind.CANCEL_CARD_WITHDRAWAL: gettext_lazy(
        "No points are taken on this visit, so there is nothing to cancel."
    ),
    Kind.APPLY_DISCOUNT_PROGRAM: gettext_lazy("None of the client's cards has a promotion."),
    Kind.CANCEL_DISCOUNT_PROGRAM: gettext_lazy(
        "No promotion is applied to this visit, so there is nothing to take back."
    ),
}


def operate_url(admin: VisitAdmin, kind: str, visit_ids: list[int], **query: Any) -> str:
    """The address of the confirmation page for these visits."""
    path = reverse(f"{admin.admin_site.name}:altegio_loyalty_visit_operate", args=[kind])
    return f"{path}?{urlencode([*[('visit', pk) for pk in visit_ids], *query.items()])}"


def visible_visits(admin: VisitAdmin, request: HttpRequest) -> QuerySet[Visit]:
    """The visits that the person may see, with their locations."""
    return admin.get_queryset(request)


def read_for_screen(visit: Visit) -> tuple[VisitReading, CardsReading]:
    """What Altegio shows of the visit and of its client's cards. After a failed read no second one keeps anyone waiting."""
    knows_client = visit.client_id is not None
    details = services.read_visit(
        visit.location, visit_id=visit.pk, record_id=visit.record_id, turns=2 if knows_client else 1
    )
    if details.details is None:
        return details, CardsReading(error=details.error)
    services.keep_figures(visit.pk, details.details)
    if visit.client_id is None and (problem := services.find_client(visit)):
        return details, CardsReading(error=problem)
    if visit.client_id is None:
        return details, CardsReading()  # nobody's visit, so nobody's cards
    turns = 0 if knows_client else 1
    return details, services.read_cards(visit.location, client_id=visit.client_id, turns=turns)


def busy_cards_of(visits: list[Visit]) -> dict[int, set[int]]:
    """By visit, the cards with an operation that is not finished: a second one would be turned away."""
    rows = LoyaltyOperation.objects.open().filter(visit__in=[visit.pk for visit in visits])
    busy: dict[int, set[int]] = {visit.pk: set() for visit in visits}
    for visit_id, card_id in rows.values_list("visit_id", "card_id"):
        busy[visit_id].add(card_id)
    return busy


def why_not_begun(error: Exception) -> str:
    """Why a service did not begin an operation, for the person who asked for it."""
    if isinstance(error, ValidationError):
        return " ".join(error.messages)
    if isinstance(error, exceptions.IdempotencyConflict):
        return _("This page was used already for something else. Open it again for another operation.")
    if isinstance(error, exceptions.TransactionOpen):
        return _("Not begun: this site keeps a database transaction open around the page.")
    other = error.operation if isinstance(error, exceptions.OperationInProgress) else None
    about = f" {capfirst(other.get_kind_display())}: {other.sentence}" if other else ""
    return _("Not begun: another operation with this card is not finished yet.") + about


#: What a service raises where it begins nothing.
NOT_BEGUN = (
    ValidationError,
    exceptions.IdempotencyConflict,
    exceptions.OperationInProgress,
    exceptions.TransactionOpen,
)


class Confirmation:
    """What the confirmation pages of one visit and of several share: who may, which visits, and the one-time token."""

    def __init__(self, admin: VisitAdmin, request: HttpRequest, kind: str) -> None:
        if kind not in Kind.values or not admin.may(request, kind):
            raise PermissionDenied
        self.admin = admin
        self.request = request
        self.kind = kind

    def visits(self) -> list[Visit]:
        given = self.request.POST if self.request.method == "POST" else self.request.GET
        ids = dict.fromkeys(number for value in given.getlist("visit") if (number := as_id(value)))
        found = visible_visits(self.admin, self.request).in_bulk(list(ids)[:MOST_VISITS])
        visits = [found[pk] for pk in ids if pk in found]
        return [visit for visit in visits if self.admin.has_view_permission(self.request, visit)]

    def token(self) -> uuid.UUID:
        try:
            return uuid.UUID(self.request.POST.get("token", ""))
        except ValueError:
            raise PermissionDenied from None

    def page(self, template: str, context: dict[str, Any]) -> HttpResponse:
        shared = {
            **self.admin.admin_site.each_context(self.request),
            "opts": self.admin.opts,
            "title": BUTTONS[Kind(self.kind)],
            "kind": self.kind,
            "is_cancel": self.kind in (Kind.CANCEL_CARD_WITHDRAWAL, Kind.CANCEL_DISCOUNT_PROGRAM),
        }
        self.request.current_app = self.admin.admin_site.name
        return TemplateResponse(
            self.request, f"admin/altegio_loyalty/visit/{template}.html", {**shared, **context}
        )

    def to_list(self) -> HttpResponse:
        return HttpResponseRedirect(reverse(f"{self.admin.admin_site.name}:altegio_loyalty_visit_changelist"))


class Operate(Confirmation):
    """One request to the confirmation page. Several visits have a page of their own."""

    def respond(self) -> HttpResponse:
        from altegio_loyalty.admin.batch_form import BatchConfirmation  # which builds on this module

        visits = self.visits()
        if not visits:
            messages.error(self.request, _("None of these visits is here any more."))
            return self.to_list()
        if len(visits) > 1:
            return BatchConfirmation(self.admin, self.request, self.kind).respond(visits)
        return self._respond_for(visits[0])

    def _respond_for(self, visit: Visit) -> HttpResponse:
        if self.request.method != "POST":
            return self._form_page(self._form(visit), uuid.uuid4())
        token = self.token()
        form = OperateForm(self.request.POST, visit=visit, kind=self.kind)
        if not form.is_valid():
            return self._form_page(self._form(visit), token)
        self._request(form, token)
        return HttpResponseRedirect(self.admin.page_url(visit.pk))

    def _form(self, visit: Visit) -> OperateForm:
        offers = Offers(self.kind, *read_for_screen(visit), busy_cards_of([visit])[visit.pk])
        posted = self.request.POST if self.request.method == "POST" else None
        choice = self.request.GET.get("choice", "")
        return OperateForm(posted, visit=visit, kind=self.kind, offers=offers, choice=choice)

    def _form_page(self, form: OperateForm, token: uuid.UUID) -> HttpResponse:
        offers, chosen = form.offers, form.chosen
        assert offers is not None
        needs_client = self.kind in (Kind.APPLY_CARD_WITHDRAWAL, Kind.APPLY_DISCOUNT_PROGRAM)
        context = {
            "form": form,
            "visit": form.visit,
            "offers": offers,
            "chosen": chosen,
            "others": self._other_cards(form),
            "nothing": NO_CLIENT
            if needs_client and form.visit.client_id is None
            else NOTHING[Kind(self.kind)],
            "warnings": offers.warnings(chosen),
            "token": token.hex,
            "prefix": form.prefix,
            "other_value": OTHER,
            "types_program": self.kind in WITH_PROGRAM,
            "types_amount": self.kind == Kind.APPLY_CARD_WITHDRAWAL,
            "is_typing": form.types_ids or not offers.is_known or "typed" in self.request.GET,
            "can_submit": bool(chosen and not chosen.why_not),
        }
        return self.page("operate", context)

    def _other_cards(self, form: OperateForm) -> list[dict[str, Any]]:
        """The cards that could be taken instead, as addresses: each has amounts of its own."""
        if self.kind != Kind.APPLY_CARD_WITHDRAWAL or form.offers is None:
            return []
        return [
            {"offer": offer, "url": operate_url(self.admin, self.kind, [form.visit.pk], choice=offer.value)}
            for offer in form.offers.usable
            if offer != form.chosen
        ]

    def _request(self, form: OperateForm, token: uuid.UUID) -> None:
        """Ask for the operation. The page of the visit shows what becomes of it; what stands against it is a message."""
        visit, wanted = form.visit, form.cleaned_data
        optional = {name: wanted[name] for name in ("program_id", "amount") if wanted[name] is not None}
        try:
            getattr(services, self.kind)(
                visit.location_id,
                visit_id=visit.pk,
                record_id=visit.record_id,
                card_id=wanted["card_id"],
                requested_by=self.request.user,
                idempotency_key=f"admin:{self.request.user.pk}:{token.hex}:{visit.pk}",
                **optional,
            )
        except NOT_BEGUN as error:
            messages.error(self.request, why_not_begun(error))
