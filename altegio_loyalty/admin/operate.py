"""The confirmation page of the visits: one form for each visit, one POST, and what became of it in plain words."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from altegio_loyalty import exceptions, services
from altegio_loyalty.admin.presentation import message_level
from altegio_loyalty.admin.visit_forms import Offers, OperateForm
from altegio_loyalty.models import LoyaltyOperation, Visit
from altegio_loyalty.services import CardsReading, VisitReading

if TYPE_CHECKING:
    from altegio_loyalty.admin.visits import VisitAdmin

Kind = LoyaltyOperation.Kind

#: More visits at once would keep a person waiting for Altegio's answers, at 5 requests a second.
MOST_VISITS = 20
#: How long a person waits for calls of several visits; what is left then is sent by the worker.
SECONDS_AT_THE_DESK = 10.0

BUTTONS = {
    Kind.APPLY_CARD_WITHDRAWAL: gettext_lazy("Withdraw points"),
    Kind.CANCEL_CARD_WITHDRAWAL: gettext_lazy("Cancel the withdrawal"),
    Kind.APPLY_DISCOUNT_PROGRAM: gettext_lazy("Apply a promotion"),
    Kind.CANCEL_DISCOUNT_PROGRAM: gettext_lazy("Take a promotion back"),
}
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


def read_for_screen(visit: Visit) -> tuple[VisitReading, CardsReading]:
    """What Altegio shows of the visit and of its client's cards. After a failed read no second one keeps anyone waiting."""
    details = services.read_visit(visit.location, visit_id=visit.pk, record_id=visit.record_id)
    if details.error:
        return details, CardsReading(error=details.error)
    if visit.client_id is None and (problem := services.find_client(visit)):
        return details, CardsReading(error=problem)
    return details, services.read_cards(visit.location, client_id=visit.client_id or 0)


class Operate:
    """One request to the confirmation page."""

    def __init__(self, admin: VisitAdmin, request: HttpRequest, kind: str) -> None:
        if kind not in Kind.values or not admin.may(request, kind):
            raise PermissionDenied
        self.admin = admin
        self.request = request
        self.kind = kind

    def respond(self) -> HttpResponse:
        visits = self._visits()
        if not visits:
            messages.error(self.request, _("None of these visits is here any more."))
            return self._to_list()
        if self.request.method != "POST":
            return self._page([self._fresh_form(visit) for visit in visits], uuid.uuid4().hex)
        token = self._token()
        forms = [OperateForm(self.request.POST, visit=visit, kind=self.kind) for visit in visits]
        chosen = [form for form in forms if not self._is_left_out(form)]
        if not chosen:
            messages.info(self.request, _("Nothing was chosen, so nothing was done."))
            return self._after(visits)
        if any(form.errors for form in chosen):
            return self._page([self._bound_form(form) for form in forms], token)
        self._carry_out(chosen, token)
        return self._after(visits)

    def _visits(self) -> list[Visit]:
        given = self.request.POST if self.request.method == "POST" else self.request.GET
        ids = [
            int(value)
            for value in given.getlist("visit")
            if value.isascii() and value.isdigit() and len(value) < 19
        ]
        allowed = self.admin.get_queryset(self.request).select_related("location")
        visits = list(allowed.filter(pk__in=ids[:MOST_VISITS]))
        return [visit for visit in visits if self.admin.has_view_permission(self.request, visit)]

    def _token(self) -> str:
        try:
            return uuid.UUID(self.request.POST.get("token", "")).hex
        except ValueError:
            raise PermissionDenied from None

    def _fresh_form(self, visit: Visit) -> OperateForm:
        initial = {"choice": self.request.GET.get("choice", "")}
        offers = Offers(self.kind, *read_for_screen(visit))
        return OperateForm(visit=visit, kind=self.kind, offers=offers, initial=initial)

    def _bound_form(self, form: OperateForm) -> OperateForm:
        offers = Offers(self.kind, *read_for_screen(form.visit))
        return OperateForm(self.request.POST, visit=form.visit, kind=self.kind, offers=offers)

    def _is_left_out(self, form: OperateForm) -> bool:
        """A visit for which there was nothing to choose sends no field of its own."""
        return not any(name.startswith(f"{form.prefix}-") for name in self.request.POST)

    def _page(self, forms: list[OperateForm], token: str) -> HttpResponse:
        context = {
            **self.admin.admin_site.each_context(self.request),
            "opts": self.admin.opts,
            "title": BUTTONS[Kind(self.kind)],
            "kind": self.kind,
            "forms": forms,
            "token": token,
            "nothing": NOTHING[Kind(self.kind)],
            "can_submit": any(not form.has_nothing_to_choose for form in forms),
            "visit": forms[0].visit if len(forms) == 1 else None,
        }
        self.request.current_app = self.admin.admin_site.name
        return TemplateResponse(self.request, "admin/altegio_loyalty/visit/operate.html", context)

    def _carry_out(self, forms: list[OperateForm], token: str) -> None:
        began = time.monotonic()
        waiting_count = 0
        for form in forms:
            at_the_desk = time.monotonic() - began < SECONDS_AT_THE_DESK
            operation = self._request(form, token, "now" if at_the_desk else "on_commit")
            if operation is None:
                continue
            if at_the_desk:
                prefix = "" if len(forms) == 1 else f"{form.visit}: "
                messages.add_message(self.request, message_level(operation), f"{prefix}{operation.sentence}")
            else:
                waiting_count += 1
        if waiting_count:
            text = ngettext(
                "%(count)s more operation is on its way; the log shows what becomes of it.",
                "%(count)s more operations are on their way; the log shows what becomes of them.",
                waiting_count,
            )
            messages.info(self.request, text % {"count": waiting_count})

    def _request(self, form: OperateForm, token: str, deliver: str) -> LoyaltyOperation | None:
        """Ask for the operation; what stands against it becomes a message."""
        wanted = form.cleaned_data
        arguments: dict[str, Any] = {"card_id": wanted["card_id"]}
        if wanted["program_id"] is not None:
            arguments["program_id"] = wanted["program_id"]
        if wanted["amount"] is not None:
            arguments["amount"] = wanted["amount"]
        ask = getattr(services, self.kind)
        try:
            operation: LoyaltyOperation = ask(
                form.visit.location_id,
                visit_id=form.visit.pk,
                record_id=form.visit.record_id,
                requested_by=self.request.user,
                idempotency_key=f"admin:{self.request.user.pk}:{token}:{form.visit.pk}",
                deliver=deliver,
                **arguments,
            )
        except ValidationError as error:
            self._complain(form.visit, " ".join(error.messages))
        except exceptions.IdempotencyConflict:
            self._complain(
                form.visit,
                _("This page was used already for something else. Open it again for another operation."),
            )
        except exceptions.OperationInProgress as error:
            other = (
                f" {error.operation.get_kind_display()}: {error.operation.sentence}"
                if error.operation
                else ""
            )
            self._complain(
                form.visit, _("Not begun: another operation with this card is not finished yet.") + other
            )
        else:
            return operation
        return None

    def _complain(self, visit: Visit, text: str) -> None:
        messages.error(self.request, f"{visit}: {text}")

    def _after(self, visits: list[Visit]) -> HttpResponse:
        if len(visits) > 1:
            return self._to_list()
        return HttpResponseRedirect(self.admin.page_url(visits[0].pk))

    def _to_list(self) -> HttpResponse:
        return HttpResponseRedirect(reverse(f"{self.admin.admin_site.name}:altegio_loyalty_visit_changelist"))
