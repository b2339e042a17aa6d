"""What is happening on a visit: the verdicts on its page, followed by a script, stopped and taken further from there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import router
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from altegio_loyalty import delivery, exceptions
from altegio_loyalty.admin.decisions import DECISIONS, carry_out
from altegio_loyalty.admin.operate import visible_visits
from altegio_loyalty.admin.presentation import as_id, look_of, outside_transactions, status_badge
from altegio_loyalty.models import LoyaltyOperation, Visit
from altegio_loyalty.states import Status

if TYPE_CHECKING:
    from altegio_loyalty.admin.visits import VisitAdmin

FOLDER = "admin/altegio_loyalty/visit"

#: So many of a visit's operations are shown on its page; the log has all.
OPERATIONS_SHOWN = 20
#: So long the last verdict stays at the top of the page, in seconds; later it only stands in the list below.
VERDICT_SECONDS = 900


def wants_json(request: HttpRequest) -> bool:
    """Whether the page's script asks, and not a form without it."""
    return "application/json" in request.headers.get("Accept", "")


def seconds_left(operation: LoyaltyOperation) -> int | None:
    """Seconds until something is due; None where nothing is, or where it depends on something else than time."""
    if operation.status not in (Status.PENDING, Status.UNCONFIRMED) or operation.next_attempt_at is None:
        return None
    if operation.location.is_paused or not operation.location.is_active:
        return None
    return max(0, round((operation.next_attempt_at - timezone.now()).total_seconds()))


def is_due(operation: LoyaltyOperation) -> bool:
    """Whether a worker, or the page of a person who waits, could take the operation a step further now.

    One being sent is due when its lease is over: whoever was sending it has died.
    """
    if operation.next_attempt_at is None or operation.location.is_paused or not operation.location.is_active:
        return False
    return operation.next_attempt_at <= timezone.now()


def as_clock(seconds: int) -> str:
    return f"{seconds // 60}:{seconds % 60:02d}"


def may_stop(request: HttpRequest, operation: LoyaltyOperation) -> bool:
    stop = DECISIONS["stop"]
    return stop.fits(operation) and stop.is_allowed(request.user, operation)


def may_drive(request: HttpRequest, operation: LoyaltyOperation) -> bool:
    """Whether the person's page may take the operation a step further: as much as trying it again now."""
    return operation.is_open and DECISIONS["retry"].is_allowed(request.user, operation)


def stop_one(admin: VisitAdmin, request: HttpRequest, operation: LoyaltyOperation) -> tuple[bool, str]:
    """Stop trying, as the person wishes. Returns whether it was possible, and what stands against it where not."""
    stop = DECISIONS["stop"]
    if not stop.fits(operation):
        return False, _("It is not waiting any more.")
    is_done, result = carry_out(stop, operation, request.user, "")
    if is_done:
        admin.log_change(request, operation, str(stop.history))
    return is_done, result


class Happening:
    """The operations of a visit, newest first, as its page and the script that follows it show them."""

    def __init__(self, request: HttpRequest, visit: Visit) -> None:
        self.request = request
        self.visit = visit
        rows = LoyaltyOperation.objects.using(router.db_for_write(LoyaltyOperation)).filter(visit=visit)
        self.operations = list(
            rows.select_related("location", "requested_by").order_by("-pk")[:OPERATIONS_SHOWN]
        )
        self.open = [operation for operation in self.operations if operation.is_open]

    @property
    def told(self) -> list[LoyaltyOperation]:
        """Those with a verdict at the top of the page: what is not finished, and what has just ended."""
        newest = self.operations[:1]
        return [*(operation for operation in newest if self._is_fresh(operation)), *self.open[self._skip :]]

    @property
    def _skip(self) -> int:
        return int(bool(self.open) and self.open[0] is self.operations[0])

    @staticmethod
    def _is_fresh(operation: LoyaltyOperation) -> bool:
        ended = operation.finished_at
        return ended is None or (timezone.now() - ended).total_seconds() < VERDICT_SECONDS

    @property
    def version(self) -> str:
        """Changes when anything changes that the page shows."""
        facts = [
            (row.pk, row.status, row.fence, row.is_stopping, row.discrepancy, row.location.is_paused)
            for row in self.operations
        ]
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]

    def context(self, urls: dict[str, str]) -> dict[str, Any]:
        return {
            "verdicts": [
                {"row": operation, "badge": status_badge(operation), "tone": look_of(operation).tone}
                for operation in self.told
            ],
            "waiting": [self._waiting(operation) for operation in self.open],
            "operations": [
                {"row": operation, "badge": status_badge(operation)} for operation in self.operations
            ],
            "has_open_operation": bool(self.open),
            "version": self.version,
            "open_ids": ",".join(str(operation.pk) for operation in self.open),
            "may_see_log": self.request.user.has_perm("altegio_loyalty.view_loyaltyoperation"),
            **urls,
        }

    def _waiting(self, operation: LoyaltyOperation) -> dict[str, Any]:
        seconds = seconds_left(operation)
        return {
            "row": operation,
            "seconds": seconds,
            "clock": as_clock(seconds) if seconds is not None else "",
            "may_stop": may_stop(self.request, operation),
        }

    def as_json(self, urls: dict[str, str], seen: str) -> dict[str, Any]:
        """For the script; texts only where they are other than those it has seen."""
        state: dict[str, Any] = {
            "version": self.version,
            "open": [operation.pk for operation in self.open],
            "is_due": any(
                is_due(operation) and may_drive(self.request, operation) for operation in self.open
            ),
        }
        if seen != self.version:
            context = self.context(urls)
            for part in ("verdicts", "waiting", "history"):
                state[part] = render_to_string(f"{FOLDER}/{part}.html", context, self.request)
        return state


class VisitLive:
    """The addresses below a visit's page that its script and its buttons use."""

    def __init__(self, admin: VisitAdmin) -> None:
        self.admin = admin

    def urls(self) -> list[URLPattern]:
        def at(name: str, view: Callable[..., HttpResponse]) -> URLPattern:
            return path(
                f"<int:visit_id>/{name}/",
                self.admin.admin_site.admin_view(view),
                name=f"altegio_loyalty_visit_{name}",
            )

        return [at("state", self.state), at("stop", self.stop), at("step", self.step)]

    def addresses(self, visit: Visit) -> dict[str, str]:
        site = self.admin.admin_site.name
        return {
            f"{name}_url": reverse(f"{site}:altegio_loyalty_visit_{name}", args=[visit.pk])
            for name in ("state", "stop", "step")
        }

    def _visit(self, request: HttpRequest, visit_id: int) -> Visit:
        """The visit, if the person may see it. One of another location is as if it were not there."""
        if not self.admin.has_view_permission(request):
            raise PermissionDenied
        visit = get_object_or_404(visible_visits(self.admin, request), pk=visit_id)
        if not self.admin.has_view_permission(request, visit):
            raise PermissionDenied
        return visit

    def _answer(self, request: HttpRequest, visit: Visit, **extra: Any) -> JsonResponse:
        seen = request.GET.get("seen", "")
        request.current_app = self.admin.admin_site.name
        return JsonResponse({**Happening(request, visit).as_json(self.addresses(visit), seen), **extra})

    @method_decorator([never_cache, require_GET])
    def state(self, request: HttpRequest, visit_id: int) -> HttpResponse:
        """What the page's script asks every few seconds. Never calls Altegio."""
        return self._answer(request, self._visit(request, visit_id))

    @outside_transactions
    @method_decorator(require_POST)
    def stop(self, request: HttpRequest, visit_id: int) -> HttpResponse:
        """Stop trying one operation of the visit."""
        visit = self._visit(request, visit_id)
        operation = _operation_of(visit, request.POST.get("operation"))
        if not DECISIONS["stop"].is_allowed(request.user, operation):
            raise PermissionDenied
        is_done, result = stop_one(self.admin, request, operation)
        problem = "" if is_done else _("Not stopped: %(reason)s") % {"reason": result}
        if wants_json(request):
            return self._answer(request, visit, problem=problem)
        if problem:
            messages.warning(request, problem)
        return HttpResponseRedirect(self.admin.page_url(visit.pk))

    @outside_transactions
    @method_decorator(require_POST)
    def step(self, request: HttpRequest, visit_id: int) -> HttpResponse:
        """Do what is due on the visit, where no worker has done it: the claims make it safe beside any number of them."""
        visit = self._visit(request, visit_id)
        for operation in Happening(request, visit).open:
            if is_due(operation) and may_drive(request, operation):
                drive(operation)
                break
        if wants_json(request):
            return self._answer(request, visit)
        return HttpResponseRedirect(self.admin.page_url(visit.pk))


def drive(operation: LoyaltyOperation) -> LoyaltyOperation | None:
    """One step of delivery for a person who is looking; None where this site's transactions do not allow it."""
    try:
        return delivery.deliver(operation.pk, for_person=True)
    except exceptions.TransactionOpen:
        return None


def _operation_of(visit: Visit, number: str | None) -> LoyaltyOperation:
    rows = LoyaltyOperation.objects.using(router.db_for_write(LoyaltyOperation)).select_related("location")
    operation = rows.filter(visit=visit, pk=as_id(number) or 0).first()
    if operation is None:
        raise Http404
    return operation
