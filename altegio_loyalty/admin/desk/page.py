"""The page of a visit: what Altegio shows of it, what can be done, what is happening, and what was asked for so far.

It comes up at once with what is known, and asks Altegio nothing; with `?read=1`, which its script asks for, it is read anew.
The script then follows what is not finished, which is stopped and taken further from there.
"""

import datetime
import hashlib
import logging
from collections.abc import Iterable
from dataclasses import replace
from operator import attrgetter
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, InterfaceError
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.formats import date_format

from altegio_loyalty import bills, database, exceptions, kinds, services
from altegio_loyalty.admin.decisions import DECISIONS, carry_out
from altegio_loyalty.admin.desk.offers import OFFERS, Bill, CardOffers, Offers
from altegio_loyalty.admin.kinds import TABLE, why_nothing
from altegio_loyalty.admin.locations import currency_shown
from altegio_loyalty.admin.pages import FOLDER, TRANSACTION, Page, as_id
from altegio_loyalty.models import LoyaltyOperation, Visit
from altegio_loyalty.moments import as_local
from altegio_loyalty.services.reading import known_for_screen, read_for_screen
from altegio_loyalty.states import Ending, Status
from altegio_loyalty.texts import gettext as _
from altegio_loyalty.wording import clock, points

logger = logging.getLogger(__name__)

#: So many of a visit's operations are shown on its page; the log has all.
OPERATIONS_SHOWN = 20
#: So long the last result stays at the top of the page, in seconds; later it only stands in the list below.
RESULT_SECONDS = 900
#: What of an operation the page shows that can change.
_FACTS = attrgetter(
    *("pk", "status", "fence", "is_stopping", "discrepancy", "undone_at", "is_looked_up_now"),
    *("location.is_paused", "location.is_active"),
)
STOP, RETRY = DECISIONS["stop"], DECISIONS["retry"]


def may_take_step(page: Page, operation: LoyaltyOperation) -> bool:
    """Whether the person's page may take the operation a step further: as much as trying it again now."""
    return operation.is_open and RETRY.is_allowed(page.request.user, operation.kind)


def next_due(page: Page, operations: list[LoyaltyOperation]) -> LoyaltyOperation | None:
    """What this person's page may take a step further, the longest waiting first."""
    due = [row for row in operations if row.is_due and may_take_step(page, row)]
    return min(due, key=lambda row: (row.next_attempt_at, row.pk), default=None)


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


class VisitState:
    """The operations of a visit, newest first, as its page and the script that follows it show them."""

    def __init__(self, page: Page, visit: Visit) -> None:
        self.page = page
        self.visit = visit
        rows = database.operations().filter(visit=visit).with_last_event().order_by("-pk")
        self.operations = list(rows.select_related("location")[:OPERATIONS_SHOWN])
        self.open = [operation for operation in self.operations if operation.is_open]

    def read(
        self, within: datetime.timedelta = bills.READING_IS_FRESH, *, must_know: bool = False
    ) -> tuple[services.VisitReading, services.CardsReading, bool]:
        """The visit and its cards as last shown, and whether that is as good as a reading now, or what Altegio shows now.

        Altegio is asked where the address says so, and where nothing is known though the page `must_know`.
        """
        details, cards, is_fresh = known_for_screen(self.visit, within)
        if "read" not in self.page.request.GET and not (must_know and details.details is None):
            return details, cards, is_fresh
        try:
            details, cards = read_for_screen(self.visit, by=self.page.request.user)
        except exceptions.TransactionOpen:
            return replace(details, error=str(TRANSACTION)), replace(cards, error=str(TRANSACTION)), False
        # What a newer release's kind explains, nobody here can say.
        if details.details and not details.error and all(kinds.is_known(row.kind) for row in self.operations):
            services.judge_reading(self.visit.pk, details.details, self.operations, details.read_at)
        return details, cards, not details.error

    @property
    def version(self) -> str:
        """Changes when anything changes that the page shows."""
        facts = [*map(_FACTS, self.operations)]
        return hashlib.sha256(repr((facts, self.visit.read_at)).encode()).hexdigest()[:16]

    def context(self) -> dict[str, Any]:
        # With a result at the top of the page: what is not finished, and what has just ended.
        since = timezone.now() - datetime.timedelta(seconds=RESULT_SECONDS)
        newest = [row for row in self.operations[:1] if row.finished_at is None or row.finished_at > since]
        return {
            "visit": self.visit,
            "verdicts": [
                {"row": row, "before": self._done_before(row), "till": self._till(row)}
                for row in [*newest, *(row for row in self.open if row not in newest)]
            ],
            "waiting": [self._waiting(row) for row in self.open if kinds.is_known(row.kind)],
            "operations": [{"row": row, "before": self._done_before(row)} for row in self.operations],
            "is_open": bool(self.open),
            "version": self.version,
            "open_ids": ",".join(str(operation.pk) for operation in self.open),
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
            "may_stop": STOP.is_open_to(self.page.request.user, operation),
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


class VisitPage(Page):
    """One request to the page of a visit, or to an address that its script and its buttons use."""

    def respond(self, visit: Visit, extra_context: dict[str, Any]) -> HttpResponse:
        state = VisitState(self, visit)
        live = self._live_context(visit, state)
        if "read" in self.request.GET:
            state = VisitState(self, visit)  # while Altegio was read, much may have happened
        context = {
            "title": _title(visit),
            "phone": self._phone(visit),
            "currency": currency_shown(self.request, visit.location),
            **live,
            **state.context(),
            **extra_context,
        }
        return self.render("visit/page.html", context)

    def state(self, visit_id: int) -> HttpResponse:
        """What the page's script asks every few seconds. Never calls Altegio."""
        return JsonResponse(self._state(self._visit(visit_id)))

    def stop(self, visit_id: int) -> HttpResponse:
        visit, number = self._visit(visit_id), as_id(self.request.POST.get("operation")) or 0
        rows = database.operations().select_related("location")
        operation = get_object_or_404(rows, visit=visit, pk=number)
        if not STOP.is_allowed(self.request.user, operation.kind):
            raise PermissionDenied
        is_done, reason = False, _("It is not waiting any more.")
        if STOP.fits(operation):
            is_done, reason = carry_out(self, STOP, operation)
        problem = "" if is_done else _("Not stopped: %(reason)s") % {"reason": reason}
        if problem and not self.wants_json:
            messages.warning(self.request, problem)
        return self._answer(visit, problem=problem)

    def step(self, visit_id: int) -> HttpResponse:
        """Do what is due on the visit, where no worker has done it: the claims make it safe beside any number of them."""
        if operation := next_due(self, VisitState(self, self._visit(visit_id)).open):
            take_step(operation)
        # The step has changed what is known of the visit.
        return self._answer(self._visit(visit_id))

    def _visit(self, visit_id: int) -> Visit:
        """The visit, if the person may see it. One of another location is as if it were not there."""
        visit: Visit = get_object_or_404(self.admin.get_queryset(self.request), pk=visit_id)
        if not self.admin.has_view_permission(self.request, visit):
            raise PermissionDenied
        return visit

    def _state(self, visit: Visit) -> dict[str, Any]:
        return VisitState(self, visit).as_json(self.request.GET.get("seen", ""))

    def _answer(self, visit: Visit, **extra: Any) -> HttpResponse:
        return self.answer(lambda: {**self._state(visit), **extra}, self.address("visit_change", visit.pk))

    def _phone(self, visit: Visit) -> str:
        """The client's phone; all but its last four digits, or all, hidden from those without the right to see it."""
        phone = visit.client_phone
        if not phone or self.may("view_client_phone"):
            return phone
        # Of a short one, the few digits left to guess would soon be found by searching.
        return f"•••{phone[-4:]}" if len(phone) > 10 else "•••"

    def _live_context(self, visit: Visit, state: VisitState) -> dict[str, Any]:
        details, cards, is_fresh = state.read()
        busy_cards = {operation.card_id for operation in state.open}
        shown = (details, cards, busy_cards, visit.location.currency)
        all_offers = [offers(*shown) for offers in OFFERS.values()]
        of_cards = next(offers for offers in all_offers if isinstance(offers, CardOffers))
        more = [offers for offers in all_offers if offers.kind.is_apply and offers != of_cards]
        typed = {kind: self._operate_url(visit, kind, typed=1) for kind in TABLE}
        return {
            "is_fresh": is_fresh,
            "to_read": not is_fresh and not details.error,
            "no_cards": why_nothing(of_cards.kind, has_client=visit.client_id is not None),
            "of_bill": of_cards,
            # Of cards, the one that covers most of the bill.
            "warnings": of_cards.warnings(next((offer for _value, offer in of_cards.choices), None)),
            "applied": self._choices(visit, [offers for offers in all_offers if not offers.kind.is_apply]),
            "cards": self._choices(visit, [of_cards]),
            "programs": self._choices(visit, more),
            "typed": [{"label": TABLE[kind].button, "url": url} for kind, url in typed.items() if url],
        }

    def _choices(self, visit: Visit, several: Iterable[Offers]) -> list[dict[str, Any]]:
        """The offers, each with its address where the person may choose it and it would not fail."""
        every = [(offers.kind.name, offer) for offers in several for offer in offers.all]
        return [
            {"offer": one, "url": "" if one.why_not else self._operate_url(visit, kind, choice=one.value)}
            for kind, one in every
        ]

    def _operate_url(self, visit: Visit, kind: str, **query: Any) -> str:
        """Where this is asked for; empty for who may not."""
        return self.address("visit_operate", kind, visit=visit.pk, **query) if self.may(kind) else ""


def _title(visit: Visit) -> str:
    title, starts_at = visit.client_shown or _("Visit %(id)s") % {"id": visit.pk}, visit.starts_at
    if starts_at is None:
        return title
    return f"{title}, {date_format(as_local(starts_at, visit.location.zone), 'j E H:i')}"
