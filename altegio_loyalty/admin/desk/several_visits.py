"""The confirmation page of several visits: one choice for all, a row for each, and one POST that writes all operations.

Altegio allows 5 requests a second, and each visit takes two. So the page comes up with the rows that could be read within a
moment, and its script reads the others one by one; without scripts they follow as a page of their own.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from functools import partial

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict

from altegio_loyalty import database, services
from altegio_loyalty.admin.desk.confirmation import MOST_VISITS, USED_ALREADY, Confirmation, busy_cards_of
from altegio_loyalty.admin.desk.forms import NO_DECIMALS, parse_choice, plain_amount
from altegio_loyalty.admin.desk.offers import OFFERS, Offers
from altegio_loyalty.admin.pages import Screens, as_id
from altegio_loyalty.client.types import CENT
from altegio_loyalty.models import LoyaltyOperation, Visit
from altegio_loyalty.services.reading import read_for_screen
from altegio_loyalty.services.validation import check_amount
from altegio_loyalty.texts import gettext as _, ngettext
from altegio_loyalty.wording import decimals_of, points

#: So many visits are read before the page comes up, and for no longer than this.
MOST_READS = 20
SECONDS_FOR_READS = 3.0
#: More than the form lets anybody ask for: a visit can have several of what a batch cancels.
MOST_OPERATIONS = 4 * MOST_VISITS
MOST_PROBLEMS = 10
ALL, HALF, SAME = "all", "half", "same"
#: One operation of the batch, before it is asked for: its visit, card, promotion and amount.
Choice = tuple[Visit, int, int | None, Decimal | None]


@dataclass
class Row:
    """One visit of the page, as `posted` before, if it was. `offers` is None until Altegio was asked for it."""

    visit: Visit
    posted: QueryDict
    offers: Offers | None = None

    @property
    def prefix(self) -> str:
        return f"visit{self.visit.pk}"

    @property
    def is_included(self) -> bool:
        """Whether it is ticked; so is one that the posted page had not read yet, and had no box for."""
        return f"{self.prefix}-include" in self.posted or f"{self.prefix}-choice" not in self.posted

    @property
    def card(self) -> str:
        return self.posted.get(f"{self.prefix}-choice", "").partition("|")[0]


class SeveralVisits(Confirmation):
    def __init__(self, admin: Screens, request: HttpRequest, kind: str) -> None:
        super().__init__(admin, request, kind)
        self.posted = request.POST
        #: What about the posted page cannot be understood, or was not begun.
        self.problems: list[str] = []
        self.program = as_id(self.posted.get("program"))
        self.gives_promotion = self.kind.is_apply and self.kind.takes_program
        self.same: Decimal | None = None
        #: What the visits before have left on each card.
        self.balances: dict[int, Decimal] = {}

    def respond(self, visits: list[Visit]) -> HttpResponse:
        """Show the form, or ask for all that was chosen; the page of the batch then shows what becomes of it."""
        if self.request.method != "POST":
            return self._form_page(visits, uuid.uuid4())
        token, choices = self.token(), self._choices(visits)
        if len(choices) > MOST_OPERATIONS:
            text = _("Choose %(most)s operations at the most.")
            self.problems, choices = [text % {"most": MOST_OPERATIONS}], []
        if not choices:
            self.problems = self.problems or [_("Nothing was chosen, so nothing was done.")]
            return self._form_page(visits, token)
        # The same for the same page sent twice, and never another person's.
        batch = uuid.uuid5(token, str(self.request.user.pk))
        asked = LoyaltyOperation.objects.filter(batch=batch)
        wanted = {(visit.pk, *what) for visit, *what in choices}
        if set(asked.values_list("visit", "card_id", "program_id", "amount")) - wanted:
            messages.error(self.request, USED_ALREADY)
            return self.to_list()
        count = self._ask_for_all(choices, token, batch)
        self._tell_problems()
        return HttpResponseRedirect(self.address("visit_batch", batch)) if count else self.to_list()

    def row(self) -> HttpResponse:
        """One row, read from Altegio: what the page's script asks for."""
        visits = self.visits()
        if len(visits) != 1:
            raise Http404
        return self.page("visit/batch_row.html", {"row": self._read_some(visits)[0]})

    def _read_some(self, visits: list[Visit]) -> list[Row]:
        rows = [Row(visit, self.posted) for visit in visits]
        busy, began = busy_cards_of(visits), time.monotonic()
        for row in rows[:MOST_READS]:
            readings, currency = read_for_screen(row.visit, by=self.request.user), row.visit.location.currency
            row.offers = OFFERS[self.kind.name](*readings, busy[row.visit.pk], currency)
            if row.offers.visit.error or time.monotonic() - began > SECONDS_FOR_READS:
                break  # where one visit cannot be read, the next one most likely cannot be read either
        return rows

    def _form_page(self, visits: list[Visit], token: uuid.UUID) -> HttpResponse:
        rows = self._read_some(visits)
        unread, programs = [row.visit.pk for row in rows if row.offers is None], _programs_of(rows)
        # The only promotion is the one to apply; to take back, the choice stays every promotion of these visits.
        preset = programs[0][0] if self.gives_promotion and len(programs) == 1 else ""
        context = {
            "rows": rows,
            "token": token.hex,
            "problems": self.problems,
            "programs": programs,
            "program": self.posted.get("program", "") or preset,
            "unread_count": len(unread),
            "read_count": len(rows) - len(unread),
            "rest_url": self.address("visit_operate", self.kind.name, visit=unread) if unread else "",
        }
        return self.page("visit/batch_form.html", context)

    def _choices(self, visits: list[Visit]) -> list[Choice]:
        how = self.posted.get("how")
        if self.kind.takes_amount and how not in (ALL, HALF, SAME):
            self.problems.append(_("Choose how many points."))
        elif self.gives_promotion and self.program is None:
            self.problems.append(_("Choose the promotion first."))
        elif self.kind.takes_amount and how == SAME:
            try:
                self.same = check_amount(plain_amount(self.posted.get("same", "")))
            except ValidationError as error:
                self.problems += error.messages
        if self.problems:
            return []
        included = [visit for visit in visits if f"visit{visit.pk}-include" in self.posted]
        return [one for visit in included for one in self._chosen(visit)]

    def _chosen(self, visit: Visit) -> Iterator[Choice]:
        found: list[Choice] = []
        for value in self.posted.getlist(f"visit{visit.pk}-choice"):
            choice, most, balance = [*value.split("|"), "", ""][:3]
            if (ids := parse_choice(self.kind, choice, visit)) is None:
                self.problems.append(_("%(visit)s: choose one of the list.") % {"visit": visit})
            elif self.program is None or ids[1] in (None, self.program):
                amount = self._share_of_card(visit, ids[0], self._amount(visit, most), _points(balance))
                if amount is not None or not self.kind.takes_amount:
                    found.append((visit, *ids, amount))
        if self.gives_promotion:
            found = found[:1]  # a client with two such cards still gets the promotion once
            if not found:
                text = _("%(visit)s: left out, since this client's cards do not have the promotion.")
                self.problems.append(text % {"visit": visit})
        yield from found

    def _share_of_card(
        self, visit: Visit, card_id: int, amount: Decimal | None, balance: Decimal | None
    ) -> Decimal | None:
        """What the visits before leave of the card, which paid for them too: nothing is promised twice."""
        if amount is None or balance is None:
            return amount
        left = min(self.balances.get(card_id, balance), balance)
        self.balances[card_id] = max(left - amount, Decimal(0))
        if amount > left:
            text = _(
                "%(visit)s: its card is shared with visits above, so only %(left)s points are left for it."
            )
            self.problems.append(text % {"visit": visit, "left": points(left)})
        return min(amount, left) or None

    def _amount(self, visit: Visit, most: str) -> Decimal | None:
        """The points for one visit; `most` is what its card and bill allowed when the page was shown."""
        if not self.kind.takes_amount:
            return None
        limit, smallest = _points(most), CENT if decimals_of(visit.location.currency) else Decimal(1)
        if self.same is not None and self.same % smallest:
            self.problems.append(f"{visit}: {NO_DECIMALS}")
            return None
        if self.same is not None:
            return min(self.same, limit or self.same)
        if limit is None:
            self.problems.append(f"{visit}: {_('left out, since how much is possible is not known')}.")
        if limit is None or self.posted.get("how") != HALF:
            return limit
        return min(limit, max((limit / 2).quantize(smallest, rounding=ROUND_DOWN), smallest))

    def _ask_for_all(self, choices: list[Choice], token: uuid.UUID, batch: uuid.UUID) -> int:
        """Write all operations in one transaction; they are sent once it commits. Returns how many there are."""
        count, request = 0, partial(services.request_in_batch, self.kind.name, batch=batch)
        with transaction.atomic(using=database.alias()):
            # Always in the same order: two people with the same visits then wait for each other, and never in a circle.
            choices = sorted(choices, key=lambda choice: (choice[0].pk, choice[1], choice[2] or 0))
            for visit, card_id, program_id, amount in choices:
                # One bill is charged once by a page, whichever card; there can be several to take back.
                what = visit.pk if self.kind.is_apply else f"{visit.pk}:{card_id}:{program_id or ''}"
                wanted = {"card_id": card_id, "program_id": program_id, "amount": amount}
                if problem := self.begin(request, visit, token, what, **wanted):
                    self.problems.append(f"{visit}: {problem}")
                else:
                    count += 1
        return count

    def _tell_problems(self) -> None:
        for problem in self.problems[:MOST_PROBLEMS]:
            messages.warning(self.request, problem)
        if (more := len(self.problems) - MOST_PROBLEMS) > 0:
            text = ngettext("%(count)s more was not begun.", "%(count)s more were not begun.", more)
            messages.warning(self.request, text % {"count": more})


def _programs_of(rows: list[Row]) -> list[tuple[str, str]]:
    """The promotions that the rows offer, the most frequent first."""
    usable = [one for row in rows if row.offers for one in row.offers.usable]
    offers = [(str(one.program_id), one.name) for one in usable if one.program_id]
    names, counts = dict(offers), Counter(program for program, _name in offers)
    return [(program, names[program]) for program, _count in counts.most_common()]


def _points(text: str) -> Decimal | None:
    try:
        return check_amount(text)
    except ValidationError:
        return None
