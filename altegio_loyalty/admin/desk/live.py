"""What is happening on a visit: the results on its page, followed by a script, stopped and taken further from there."""

import datetime
import hashlib
import logging
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, InterfaceError
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.urls import URLPattern
from django.utils import timezone
from django.views.decorators.http import require_GET

from altegio_loyalty import bills, database, exceptions, kinds, services
from altegio_loyalty.admin.decisions import DECISIONS, carry_out
from altegio_loyalty.admin.desk.offers import Bill
from altegio_loyalty.admin.looks import look_of, status_badge
from altegio_loyalty.admin.pages import ACTS, FOLDER, Page, as_id
from altegio_loyalty.models import LoyaltyOperation, Visit
from altegio_loyalty.states import Ending, Status
from altegio_loyalty.texts import gettext as _
from altegio_loyalty.wording import clock, points

logger = logging.getLogger(__name__)

#: So many of a visit's operations are shown on its page; the log has all.
OPERATIONS_SHOWN = 20
#: So long the last result stays at the top of the page, in seconds; later it only stands in the list below.
RESULT_SECONDS = 900
STOP, RETRY = DECISIONS["stop"], DECISIONS["retry"]


def may_stop(page: Page, operation: LoyaltyOperation) -> bool:
    """Whether the person may stop the operation, and it can be stopped."""
    return STOP.fits(operation) and STOP.is_allowed(page.request.user, operation.kind)


def may_take_step(page: Page, operation: LoyaltyOperation) -> bool:
    """Whether the person's page may take the operation a step further: as much as trying it again now."""
    return operation.is_open and RETRY.is_allowed(page.request.user, operation.kind)


def next_due(page: Page, operations: list[LoyaltyOperation]) -> LoyaltyOperation | None:
    """What this person's page may take a step further, the longest waiting first."""
    due = [row for row in operations if row.is_due and may_take_step(page, row)]
    return min(due, key=lambda row: (row.next_attempt_at, row.pk), default=None)


def stop_one(page: Page, operation: LoyaltyOperation) -> tuple[bool, str]:
    """Stop trying, as the person asks. Returns whether it was possible, and what stands against it where not."""
    if not STOP.fits(operation):
        return False, _("It is not waiting any more.")
    return carry_out(page, STOP, operation)


def take_step(operation: LoyaltyOperation) -> LoyaltyOperation | None:
    """One step of delivery for a person who is looking; None where this site's transactions or database do not allow it."""
    try:
        return services.deliver_now(operation.pk)
    except exceptions.TransactionOpen:
        return None
    except (DatabaseError, InterfaceError):
        # The row says what is known, and whoever comes when its lease is over goes on from there.
        logger.exception("A step of operation %s could not be written down.", operation.pk)
        database.reconnect()
        return None


def addresses(page: Page, name: str, pk: object) -> dict[str, str]:
    """Where the page of a visit, or of a batch, asks for its state, and what its buttons lead to."""
    return {f"{what}_url": page.address(f"{name}_{what}", pk) for what in ("state", "stop", "step")}


class VisitState:
    """The operations of a visit, newest first, as its page and the script that follows it show them."""

    def __init__(self, page: Page, visit: Visit) -> None:
        self.page = page
        self.visit = visit
        rows = database.operations().filter(visit=visit).with_last_event().order_by("-pk")
        self.operations = list(rows.select_related("location")[:OPERATIONS_SHOWN])
        self.open = [operation for operation in self.operations if operation.is_open]
        #: Whether the person may follow a link into the log.
        self.may_see_log = page.may("view_loyaltyoperation")

    def judge(self, reading: services.VisitReading) -> None:
        """Mark what the reading shows to be at odds; what a newer release's kind explains, nobody here can say."""
        if reading.details and not reading.error and all(kinds.is_known(row.kind) for row in self.operations):
            services.judge_reading(self.visit.pk, reading.details, self.operations, reading.read_at)

    @property
    def shown_results(self) -> list[LoyaltyOperation]:
        """Those with a result at the top of the page: what is not finished, and what has just ended."""
        since = timezone.now() - datetime.timedelta(seconds=RESULT_SECONDS)
        newest = [row for row in self.operations[:1] if row.finished_at is None or row.finished_at > since]
        return [*newest, *(operation for operation in self.open if operation not in newest)]

    @property
    def version(self) -> str:
        """Changes when anything changes that the page shows."""
        facts = [
            (
                *(row.pk, row.status, row.fence, row.is_stopping, row.discrepancy, row.undone_at),
                *(row.location.is_paused, row.location.is_active, row.is_looked_up_now),
            )
            for row in self.operations
        ]
        return hashlib.sha256(repr((facts, self.visit.read_at)).encode()).hexdigest()[:16]

    def context(self) -> dict[str, Any]:
        return {
            "verdicts": [{**self._told(row), "till": self._till(row)} for row in self.shown_results],
            "waiting": [self._waiting(row) for row in self.open if kinds.is_known(row.kind)],
            "operations": [self._told(operation) for operation in self.operations],
            "is_open": bool(self.open),
            "version": self.version,
            "open_ids": ",".join(str(operation.pk) for operation in self.open),
            **addresses(self.page, "visit", self.visit.pk),
        }

    def _waiting(self, operation: LoyaltyOperation) -> dict[str, Any]:
        """With the seconds until something is due; without, where it is on its way or depends on more than time."""
        waits = operation.status in (Status.PENDING, Status.UNCONFIRMED) and not operation.is_looked_up_now
        seconds = None
        if waits and operation.location.is_working and operation.next_attempt_at is not None:
            seconds = max(0, round((operation.next_attempt_at - timezone.now()).total_seconds()))
        return {
            "row": operation,
            "seconds": seconds,
            "clock": "" if seconds is None else f"{seconds // 60}:{seconds % 60:02d}",
            "may_stop": may_stop(self.page, operation),
        }

    def _till(self, operation: Any) -> str:
        """What is left to pay and on the card, where Altegio was read after all that was done for the operation."""
        shown = bills.last_shown(self.visit)
        if shown is None or operation.is_open or not 0 < operation.last_event <= shown.after:
            return ""
        bill = Bill(shown.details)
        balance = next((card.balance for card in shown.cards.cards if card.id == operation.card_id), None)
        if bill.range is None or balance is None:
            return ""
        figures = {"card": points(balance), "time": clock(shown.read_at, operation.location.zone)}
        text = _("%(left)s is left to pay, %(card)s points are on the card, as of %(time)s.")
        return text % {"left": bill, **figures}

    def _done_before(self, operation: LoyaltyOperation) -> LoyaltyOperation | None:
        """What did it, from here, where the visit showed it already."""
        if operation.ending != Ending.ALREADY_THERE:
            return None
        mine = (operation.card_id, operation.program_id, operation.kind)
        seen_at = operation.finished_at or operation.created_at
        done = (row for row in self.operations if row.pk < operation.pk and row.status == Status.SUCCEEDED)
        there = (row for row in done if row.undone_at is None or row.undone_at > seen_at)
        return next((row for row in there if (row.card_id, row.program_id, row.kind) == mine), None)

    def _told(self, operation: LoyaltyOperation) -> dict[str, Any]:
        return {
            "row": operation,
            "badge": status_badge(operation),
            "tone": look_of(operation).tone,
            "before": self._done_before(operation),
            "url": self.may_see_log and self.page.address("loyaltyoperation_change", operation.pk),
            "batch_url": operation.batch and self.page.address("visit_batch", operation.batch),
        }

    def as_json(self, seen: str) -> dict[str, Any]:
        """For the script; texts only where they are other than those it has seen."""
        state: dict[str, Any] = {
            "version": self.version,
            "open": [operation.pk for operation in self.open],
            "is_due": next_due(self.page, self.open) is not None,
        }
        if seen != self.version:
            context = self.context()
            for part in ("verdicts", "waiting", "history"):
                template = f"{FOLDER}/visit/{part}.html"
                state[part] = render_to_string(template, context, self.page.request)
        return state


class LivePage(Page):
    """The addresses below a visit's page that its script and its buttons use."""

    @classmethod
    def urls(cls, admin: Any) -> list[URLPattern]:
        where = "<int:visit_id>/{}/".format
        return [
            cls.at(admin, where("state"), "visit_state", cls.state, require_GET),
            cls.at(admin, where("stop"), "visit_stop", cls.stop, *ACTS),
            cls.at(admin, where("step"), "visit_step", cls.step, *ACTS),
        ]

    def _visit(self, visit_id: int) -> Visit:
        """The visit, if the person may see it. One of another location is as if it were not there."""
        visit: Visit = get_object_or_404(self.admin.get_queryset(self.request), pk=visit_id)
        if not self.admin.has_view_permission(self.request, visit):
            raise PermissionDenied
        return visit

    def _state(self, visit: Visit) -> dict[str, Any]:
        return VisitState(self, visit).as_json(self.request.GET.get("seen", ""))

    def state(self, visit_id: int) -> HttpResponse:
        """What the page's script asks every few seconds. Never calls Altegio."""
        return JsonResponse(self._state(self._visit(visit_id)))

    def stop(self, visit_id: int) -> HttpResponse:
        visit, number = self._visit(visit_id), as_id(self.request.POST.get("operation")) or 0
        rows = database.operations().select_related("location")
        operation = get_object_or_404(rows, visit=visit, pk=number)
        if not STOP.is_allowed(self.request.user, operation.kind):
            raise PermissionDenied
        is_done, result = stop_one(self, operation)
        problem = "" if is_done else _("Not stopped: %(reason)s") % {"reason": result}
        if problem and not self.wants_json:
            messages.warning(self.request, problem)
        return self._answer(visit, problem=problem)

    def step(self, visit_id: int) -> HttpResponse:
        """Do what is due on the visit, where no worker has done it: the claims make it safe beside any number of them."""
        if operation := next_due(self, VisitState(self, self._visit(visit_id)).open):
            take_step(operation)
        # The step has changed what is known of the visit.
        return self._answer(self._visit(visit_id))

    def _answer(self, visit: Visit, **extra: Any) -> HttpResponse:
        return self.answer(lambda: {**self._state(visit), **extra}, self.address("visit_change", visit.pk))
