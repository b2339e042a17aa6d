"""What the screens say of a visit's bill: what is left to pay, as far as Altegio tells, and what covers it."""

from collections.abc import Iterator
from decimal import Decimal

from altegio_loyalty.client import VisitDetails, visit
from altegio_loyalty.texts import gettext as _
from altegio_loyalty.wording import points


class Bill:
    """The bill as Altegio shows it, with `taken` more than that covered.

    `range` is the least and the most that can be left to pay, or None where that is not known; `left` is both, where they
    are equal; `over` is by how much more is covered than it costs, however it is read.
    """

    def __init__(self, details: VisitDetails | None, taken: Decimal = Decimal(0)) -> None:
        self.details = details
        rest, nothing = details.rest if details else None, Decimal(0)
        self.range = (max(rest[0] - taken, nothing), max(rest[1] - taken, nothing)) if rest else None
        self.left = self.range[0] if self.range and self.range[0] == self.range[1] else None
        self.over = max(taken - rest[1], nothing) if rest else nothing
        #: The most that may be asked for: what both readings allow, or what one does where the other allows nothing.
        self.most = (self.range[0] or self.range[1]) if self.range else None
        self.is_paid = self.left == 0 and bool(details and details.total)

    def __str__(self) -> str:
        if self.range is None or self.left is not None:
            return points(self.left)
        least, most = map(points, self.range)
        return _("%(least)s to %(most)s") % {"least": least, "most": most}

    def without_card(self) -> Iterator[tuple[str, str]]:
        """What else reduces the bill, and cannot be taken back here."""
        names = {
            visit.TYPE_DISCOUNT: _("Promotion that only Altegio can take back"),
            visit.TYPE_GIFT_CARD: _("Gift card"),
            visit.TYPE_MEMBERSHIP: _("Membership"),
            visit.TYPE_ACCOUNT: _("Client's account"),
        }
        for (type_id, card, program), amount in (self.details.covered_by() if self.details else {}).items():
            if not card or (type_id == visit.TYPE_DISCOUNT and not program):
                off = _("%(off)s off") % {"off": points(amount)}
                yield names.get(type_id, _("Something else")), off
