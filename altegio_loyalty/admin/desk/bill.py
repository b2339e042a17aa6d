"""What the screens say of a visit's bill: what is left to pay, as far as Altegio tells, and what covers it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from altegio_loyalty.client import VisitDetails, visit
from altegio_loyalty.wording import isolated, points

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

#: What reduces a bill without a card that it could be taken back to here.
_WITHOUT_CARD: dict[int, StrPromise] = {
    visit.TYPE_DISCOUNT: gettext_lazy("Promotion that only Altegio can take back"),
    visit.TYPE_GIFT_CARD: gettext_lazy("Gift card"),
    visit.TYPE_MEMBERSHIP: gettext_lazy("Membership"),
    visit.TYPE_ACCOUNT: gettext_lazy("Client's account"),
}


@dataclass(frozen=True)
class Bill:
    """The bill as Altegio shows it, with `taken` more than that covered. Nothing of it is known without `details`."""

    details: VisitDetails | None
    taken: Decimal = Decimal(0)

    @property
    def range(self) -> tuple[Decimal, Decimal] | None:
        """The least and the most that can be left to pay; a bill never falls below nothing."""
        if self.details is None or (rest := self.details.rest) is None:
            return None
        return max(rest.least - self.taken, Decimal(0)), max(rest.most - self.taken, Decimal(0))

    @property
    def left(self) -> Decimal | None:
        """What is left to pay; None where Altegio's answer does not tell it exactly."""
        return self.range[0] if self.range and self.range[0] == self.range[1] else None

    @property
    def most(self) -> Decimal | None:
        """The most that may be asked for: what either reading allows, or what one does where the other allows nothing."""
        return (self.range[0] or self.range[1]) if self.range else None

    @property
    def left_in_words(self) -> str:
        if self.range is None:
            return "?"
        least, most = map(points, self.range)
        return least if least == most else _("%(least)s to %(most)s") % {"least": least, "most": most}

    @property
    def over(self) -> Decimal:
        """By how much more is covered than the bill costs, however it is read."""
        rest = self.details.rest if self.details else None
        return max(-rest.most - self.taken, Decimal(0)) if rest else Decimal(0)

    @property
    def is_paid(self) -> bool:
        """Whether there is something to pay for, and nothing of it is left."""
        return self.details is not None and self.left == 0 and (self.details.total or 0) > 0

    def notes(self) -> Iterator[str]:
        """Why what is left to pay is not known, or not exactly."""
        details = self.details
        if details is None:
            return
        for line in details.lines:
            if line.cost is None:
                title = isolated(line.title) or _("a line without a name")
                yield _("Not known: Altegio gives no price for %(line)s.") % {"line": title}
        if details.paid is None:
            yield _("Not known: Altegio does not say how much one of the payments came to.")
        if details.doubt:
            yield _(
                "Not known: the visit shows points or a promotion, and nobody can say whether they count "
                "(%(row)s). Look in Altegio."
            ) % {"row": details.doubt}
        if self.range and self.left is None:
            least, most = map(points, self.range)
            yield _(
                "About: the promotion may stand in these prices already, or still come off them. "
                "Between %(least)s and %(most)s is left to pay."
            ) % {"least": least, "most": most}

    def warnings(self) -> Iterator[str]:
        """What a person must know of the bill before anything else is done."""
        if self.over:
            yield _(
                "Points, promotions and payments come to %(over)s more than the bill. "
                "Cancel what is too much, or give it back in Altegio."
            ) % {"over": points(self.over)}
        elif self.is_paid:
            yield _("The visit is paid in full: there is nothing to take points for.")

    def without_card(self) -> Iterator[tuple[str, str]]:
        """What else reduces the bill, and cannot be taken back here."""
        for (type_id, card_id, program_id), amount in (
            self.details.covered_by if self.details else {}
        ).items():
            if not card_id or (type_id == visit.TYPE_DISCOUNT and not program_id):
                name = str(_WITHOUT_CARD.get(type_id, _("Something else")))
                yield name, _("%(off)s off") % {"off": points(amount)}

    def not_known(self) -> Iterator[tuple[str, str]]:
        """The loyalty rows of which nobody can say whether they count."""
        for row in self.details.transactions if self.details else ():
            if row.covers and row.doubt:
                text = _("%(amount)s: not known whether it counts")
                yield text % {"amount": points(row.amount)}, row.doubt
