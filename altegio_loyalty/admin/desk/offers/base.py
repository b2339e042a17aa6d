"""What the offers of all kinds share: what one of them is, which can be had, and how they are named."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from typing import ClassVar

from altegio_loyalty.admin.desk.bill import Bill
from altegio_loyalty.kinds import Kind
from altegio_loyalty.services import CardsReading, VisitReading
from altegio_loyalty.texts import gettext as _
from altegio_loyalty.wording import decimals_of, isolated, points


@dataclass(frozen=True)
class Offer:
    """One thing that can be chosen. `why_not` is empty, or says why it would fail if it were asked for now.

    `button` is what its button says on the visit's page.
    """

    card_id: int
    name: str
    figure: str
    button: str
    program_id: int | None = None
    after: str = ""
    why_not: str = ""
    balance: Decimal | None = None
    most: Decimal | None = None

    @property
    def value(self) -> str:
        return str(self.card_id) if self.program_id is None else f"{self.card_id}:{self.program_id}"


@dataclass(frozen=True)
class Part:
    """An amount that is suggested, with what is left afterwards."""

    amount: Decimal
    name: str
    after: str


class Offers:
    """What can be chosen for one kind of operation on one visit. Each kind has a class of its own."""

    kind: ClassVar[Kind]

    def __init__(
        self, visit: VisitReading, cards: CardsReading, busy_cards: Collection[int] = (), currency: str = ""
    ) -> None:
        self.visit, self.cards, self.busy_cards, self.currency = visit, cards, busy_cards, currency
        self.bill = Bill(visit.details)
        self.all = list(self._find())
        # What can be taken back stands on the visit itself; for the rest the cards must be known.
        self.error = cards.error if self.kind.is_apply else visit.error

    def _find(self) -> Iterator[Offer]:
        raise NotImplementedError

    @property
    def usable(self) -> list[Offer]:
        """What would not fail if it were asked for now."""
        return [offer for offer in self.all if not offer.why_not]

    @property
    def why_not(self) -> str:
        """Why nothing can be done, where something stands against all that there is."""
        return "; ".join(dict.fromkeys(offer.why_not for offer in self.all))

    @property
    def selectable(self) -> list[Offer]:
        """What the page can come up with when it is asked for by name: a card also with why it cannot be used."""
        return self.all if self.kind.takes_amount else self.usable

    @property
    def choices(self) -> list[tuple[str, Offer]]:
        """What the row of one of several visits posts, the best first: with a card its most, and its balance."""
        best_first = sorted(self.usable, key=lambda offer: offer.most or 0, reverse=True)
        if not self.kind.takes_amount:
            return [(offer.value, offer) for offer in best_first]
        return [(f"{one.value}|{one.most}|{self._payable(one.balance)}", one) for one in best_first]

    @property
    def best(self) -> Offer | None:
        """Of cards, the one that covers most of the bill."""
        return next((offer for _value, offer in self.choices), None)

    def parts(self, offer: Offer) -> list[Part]:
        """Amounts to choose from, for a kind that takes one."""
        return []

    def warnings(self, offer: Offer | None) -> Iterable[str]:
        """What a person should know before choosing this, besides what is to be said of the bill."""
        return ()

    def _payable(self, amount: Decimal | None) -> Decimal | None:
        """As much of it as can be asked for: whole points, where the currency has no decimals."""
        if amount is None or decimals_of(self.currency):
            return amount
        return amount.quantize(Decimal(1), rounding=ROUND_DOWN)

    def _why_held(self, card_id: int, doubt: str = "") -> str:
        """`doubt` is of a row that could be part of what would be taken back, and cannot be judged."""
        if card_id in self.busy_cards:
            return _("what was asked for with this card is not finished yet")
        return _("not known whether, and how much of it, is in force; look in Altegio") if doubt else ""

    def _left_after(self, taken: Decimal) -> str:
        """What is left to pay once so much more is covered."""
        return str(Bill(self.visit.details, taken))

    def _card_name(self, card_id: int) -> str:
        """The card as staff know it: its title and the end of its number; its id where Altegio did not show the cards."""
        for card in self.cards.cards:
            if card.id == card_id:
                ending = f" ···{card.number[-4:]}" if card.number else ""
                return f"{isolated(card.title) or _('Card')}{isolated(ending)}"
        # Another client's, as where the visit was made somebody else's in Altegio: before points go there, it is said.
        is_known = self.cards.cards and not self.cards.error and not self.cards.unreadable_count
        text = _("card %(id)s, none of this client's cards") if is_known else _("card %(id)s")
        return text % {"id": card_id}

    def _program_name(self, program_id: int) -> str:
        """The promotion by its title and percent; its id where Altegio did not show the cards."""
        for card in self.cards.cards:
            for program in card.programs:
                if program.id == program_id:
                    percent = f" {points(program.value)} %" if program.is_percent and program.value else ""
                    return f"{isolated(program.title) or _('Promotion')}{percent}"
        return _("promotion %(id)s") % {"id": program_id}
