"""What can be done on a visit, as Altegio shows it now: with what it would lead to, and why not where it would fail."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal

from django.utils.translation import gettext as _

from altegio_loyalty.client import Card
from altegio_loyalty.client.types import CENT, Program
from altegio_loyalty.services import CardsReading, VisitReading
from altegio_loyalty.states import Kind
from altegio_loyalty.wording import isolated, points

WITH_PROGRAM = (Kind.APPLY_DISCOUNT_PROGRAM, Kind.CANCEL_DISCOUNT_PROGRAM)
#: So many round amounts are suggested besides all and half.
ROUND_AMOUNTS = 2


@dataclass(frozen=True)
class Offer:
    """One thing that can be chosen. `why_not` is empty, or says why it would fail if it were asked for now."""

    card_id: int
    name: str
    figure: str
    program_id: int | None = None
    after: str = ""
    why_not: str = ""
    card: Card | None = None
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

    @property
    def value(self) -> str:
        return str(self.amount)


def card_name(card_id: int, cards: CardsReading) -> str:
    """The card as staff know it: its title and the end of its number; its id where Altegio did not show the cards."""
    for card in cards.cards:
        if card.id == card_id:
            ending = f" ···{card.number[-4:]}" if card.number else ""
            return f"{isolated(card.title) or _('Card')}{isolated(ending)}"
    return _("card %(id)s") % {"id": card_id}


def program_name(program_id: int, cards: CardsReading) -> str:
    """The promotion by its title and percent; its id where Altegio did not show the cards."""
    for card in cards.cards:
        for program in card.programs:
            if program.id == program_id:
                percent = f" {points(program.value)} %" if program.is_percent and program.value else ""
                return f"{isolated(program.title) or _('Promotion')}{percent}"
    return _("promotion %(id)s") % {"id": program_id}


class Offers:
    """What can be chosen for one kind of operation on one visit."""

    def __init__(
        self, kind: str, visit: VisitReading, cards: CardsReading, busy_cards: Collection[int] = ()
    ) -> None:
        self.kind = kind
        self.visit = visit
        self.cards = cards
        self.busy_cards = busy_cards
        self.all = list(self._find())
        of_the_visit = kind in (Kind.CANCEL_CARD_WITHDRAWAL, Kind.CANCEL_DISCOUNT_PROGRAM)
        self.error = visit.error if of_the_visit else cards.error

    @property
    def is_known(self) -> bool:
        return not self.error

    @property
    def usable(self) -> list[Offer]:
        """What would not fail if it were asked for now."""
        return [offer for offer in self.all if not offer.why_not]

    def _find(self) -> Iterator[Offer]:
        finders = {
            Kind.APPLY_CARD_WITHDRAWAL: self._cards,
            Kind.CANCEL_CARD_WITHDRAWAL: self._withdrawals,
            Kind.APPLY_DISCOUNT_PROGRAM: self._programs,
            Kind.CANCEL_DISCOUNT_PROGRAM: self._promotions,
        }
        return finders[Kind(self.kind)]()

    def _cards(self) -> Iterator[Offer]:
        for card in self.cards.cards:
            yield Offer(
                card.id,
                card_name(card.id, self.cards),
                _("%(balance)s points") % {"balance": points(card.balance)},
                why_not=self._why_not_withdraw(card),
                card=card,
                most=self.most(card),
            )

    def _why_not_withdraw(self, card: Card) -> str:
        if busy := self._why_busy(card.id):
            return busy
        details = self.visit.details
        if details is not None and details.withdrawn(card.id):
            return _("already used on this visit; cancel it first to take another amount")
        if card.balance <= 0:
            return _("the card is empty")
        if details is not None and details.left_to_pay <= 0:
            return _("nothing is left to pay")
        return ""

    def _why_busy(self, card_id: int) -> str:
        return _("another operation with this card is not finished") if card_id in self.busy_cards else ""

    def _withdrawals(self) -> Iterator[Offer]:
        details = self.visit.details
        if details is None:
            return
        balances = {card.id: card.balance for card in self.cards.cards}
        for card_id in dict.fromkeys(
            row.card_id for row in details.transactions if row.is_withdrawal and row.card_id
        ):
            taken = details.withdrawn(card_id)
            yield Offer(
                card_id,
                card_name(card_id, self.cards),
                _("%(taken)s points taken") % {"taken": points(taken)},
                after=self._after_cancel(taken, balances.get(card_id)),
                why_not=self._why_busy(card_id),
            )

    def _after_cancel(self, taken: Decimal, balance: Decimal | None) -> str:
        left = self._left_after(-taken)
        if balance is None:
            return _("Afterwards %(left)s is left to pay.") % {"left": left}
        return _("Afterwards %(card)s points are on the card, and %(left)s is left to pay.") % {
            "card": points(balance + taken),
            "left": left,
        }

    def _left_after(self, taken: Decimal) -> str:
        """What is left to pay once so much more is covered; a bill never falls below nothing."""
        details = self.visit.details
        if details is None:
            return "?"
        return points(max(details.total - details.covered - details.paid - taken, Decimal(0)))

    def _programs(self) -> Iterator[Offer]:
        for card in self.cards.cards:
            for program in card.programs:
                if program.is_discount:
                    yield Offer(
                        card.id,
                        program_name(program.id, self.cards),
                        card_name(card.id, self.cards),
                        program.id,
                        after=self._after_program(program),
                        why_not=self._why_not_apply(program.id, card.id),
                    )

    def _why_not_apply(self, program_id: int, card_id: int) -> str:
        if busy := self._why_busy(card_id):
            return busy
        details = self.visit.details
        if details is not None and details.discounted(program_id, card_id) is not None:
            return _("already applied")
        if details is not None and details.total > 0 and details.left_to_pay <= 0:
            return _("nothing is left to pay")
        return ""

    def _after_program(self, program: Program) -> str:
        """An estimate: which lines a promotion covers is Altegio's to say."""
        details = self.visit.details
        if details is None or not program.is_percent or not program.value:
            return ""
        off = min((details.total * program.value / 100).quantize(CENT), details.left_to_pay)
        return _("About %(off)s off; about %(left)s is left to pay.") % {
            "off": points(off),
            "left": self._left_after(off),
        }

    def _promotions(self) -> Iterator[Offer]:
        details = self.visit.details
        if details is None:
            return
        rows = [row for row in details.transactions if row.is_discount and row.program_id and row.card_id]
        for card_id, program_id in dict.fromkeys((row.card_id, row.program_id) for row in rows):
            off = details.discounted(program_id, card_id) or Decimal(0)
            yield Offer(
                card_id,
                program_name(program_id, self.cards),
                _("%(off)s off") % {"off": points(off)},
                program_id,
                after=_("Afterwards %(left)s is left to pay.") % {"left": self._left_after(-off)},
                why_not=self._why_busy(card_id),
            )

    def most(self, card: Card) -> Decimal:
        """The most points that can be taken from the card: its balance, and no more than is left to pay."""
        left = self.visit.details.left_to_pay if self.visit.details else card.balance
        return max(min(card.balance, left), Decimal(0))

    def parts(self, offer: Offer) -> list[Part]:
        """Amounts to choose from for a card: all that card and bill allow, half of it, and round ones; largest first."""
        most = offer.most or Decimal(0)
        if most <= 0:
            return []
        half = (most / 2).quantize(Decimal(1), rounding=ROUND_DOWN)
        amounts = {most: _("All that card and bill allow"), **({half: _("Half")} if half else {})}
        for amount in _round_amounts_below(most, half):
            amounts[amount] = ""
        return [
            Part(amount.quantize(CENT), name, self.after_taking(offer, amount))
            for amount, name in sorted(amounts.items(), reverse=True)
        ]

    def after_taking(self, offer: Offer, amount: Decimal) -> str:
        """What is left on the card and to pay once the amount is taken."""
        figures = {
            "card": points(offer.card.balance - amount) if offer.card else "?",
            "left": self._left_after(amount),
        }
        if self.visit.details is None:
            return _("%(card)s points stay on the card.") % figures
        return _("%(card)s points stay on the card, %(left)s is left to pay.") % figures

    def warnings(self, offer: Offer | None) -> list[str]:
        """What a person should know before choosing this."""
        found: list[str] = []
        if self.kind == Kind.APPLY_CARD_WITHDRAWAL and self.visit.details is not None:
            found += self._warnings_of_withdrawal(offer)
        if self.busy_cards:
            found.append(
                _("Another operation on this visit is not finished; the amounts here may still change.")
            )
        return found

    def _warnings_of_withdrawal(self, offer: Offer | None) -> Iterator[str]:
        details = self.visit.details
        assert details is not None
        if details.total > 0 and details.left_to_pay <= 0:
            yield _("The visit is paid in full: there is nothing to take points for.")
            return
        if offer is None:
            return
        used = {row.card_id for row in details.transactions if row.is_withdrawal and row.card_id}
        for card_id in sorted(used - {offer.card_id}):
            yield _("Another card was already used on this visit: %(card)s, %(taken)s points.") % {
                "card": card_name(card_id, self.cards),
                "taken": points(details.withdrawn(card_id)),
            }
        # While something is on its way nobody knows what will be left to pay.
        is_short = offer.card and not offer.why_not and offer.card.balance < details.left_to_pay
        if offer.card and is_short and not self.busy_cards:
            yield _("%(card)s does not cover the bill: at least %(rest)s has to be paid otherwise.") % {
                "card": offer.name,
                "rest": points(details.left_to_pay - offer.card.balance),
            }


def _round_amounts_below(most: Decimal, half: Decimal) -> list[Decimal]:
    """The largest of 1, 2, 5, 10, 20, 50, … that are below `most` and are not its half."""
    exponent = most.adjusted()
    steps = [Decimal(digit).scaleb(power) for power in range(exponent, -1, -1) for digit in (5, 2, 1)]
    return [step for step in steps if step < most and step != half][:ROUND_AMOUNTS]
