"""What can be done on a visit, as Altegio shows it now: with what it would lead to, and why not where it would fail."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from typing import ClassVar

from altegio_loyalty import kinds
from altegio_loyalty.client import Card, VisitDetails, visit
from altegio_loyalty.client.types import CENT, Program
from altegio_loyalty.services import CardsReading, VisitReading
from altegio_loyalty.texts import gettext as _
from altegio_loyalty.wording import decimals_of, isolated, points

#: So many round amounts are suggested besides all and half.
ROUND_AMOUNTS = 2
#: What is known of a visit that was never read: nothing is used on it, and no amount is certain.
NEVER_READ = VisitDetails(transactions=(), lines=(), paid=None)


class Bill:
    """The bill as Altegio shows it, with `taken` more than that covered.

    `range` is the least and the most that can be left to pay, or None where that is not known; `left` is both, where they
    are equal; `over` is by how much more is covered than it costs, however it is read.
    """

    def __init__(self, details: VisitDetails, taken: Decimal = Decimal(0)) -> None:
        self.details = details
        rest, nothing = details.rest, Decimal(0)
        self.range = (max(rest[0] - taken, nothing), max(rest[1] - taken, nothing)) if rest else None
        self.left = self.range[0] if self.range and self.range[0] == self.range[1] else None
        self.over = max(taken - rest[1], nothing) if rest else nothing
        #: The most that may be asked for: what both readings allow, or what one does where the other allows nothing.
        self.most = (self.range[0] or self.range[1]) if self.range else None
        self.is_paid = self.left == 0 and bool(details.total)

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
        for (type_id, card, program), amount in self.details.covered_by().items():
            if not card or (type_id == visit.TYPE_DISCOUNT and not program):
                off = _("%(off)s off") % {"off": points(amount)}
                yield names.get(type_id, _("Something else")), off


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


class Offers(ABC):
    """What can be chosen for one kind of operation on one visit. Each kind has a class of its own."""

    kind: ClassVar[kinds.Kind]

    def __init__(
        self, visit: VisitReading, cards: CardsReading, busy_cards: Collection[int] = (), currency: str = ""
    ) -> None:
        self.visit, self.cards, self.busy_cards, self.currency = visit, cards, busy_cards, currency
        self.details = visit.details or NEVER_READ
        self.bill = Bill(self.details)
        self.all = list(self._find())
        # What can be taken back stands on the visit itself; for the rest the cards must be known.
        self.error = cards.error if self.kind.is_apply else visit.error

    @abstractmethod
    def _find(self) -> Iterator[Offer]: ...

    @property
    def usable(self) -> list[Offer]:
        """What would not fail if it were asked for now."""
        return [offer for offer in self.all if not offer.why_not]

    @property
    def why_not(self) -> str:
        """Why nothing can be done, where something stands against all that there is."""
        return "; ".join(dict.fromkeys(offer.why_not for offer in self.all))

    @property
    def choices(self) -> list[tuple[str, Offer]]:
        """What the row of one of several visits posts, the best first: with a card its most, and its balance."""
        best_first = sorted(self.usable, key=lambda offer: offer.most or 0, reverse=True)
        if not self.kind.takes_amount:
            return [(offer.value, offer) for offer in best_first]
        return [(f"{one.value}|{one.most}|{self._payable(one.balance)}", one) for one in best_first]

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

    def _afterwards(self, taken: Decimal) -> str:
        return _("Afterwards %(left)s is left to pay.") % {"left": Bill(self.details, taken)}

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


class CardOffers(Offers):
    """The client's cards, each with the most points that it and the bill allow."""

    kind = kinds.APPLY_CARD_WITHDRAWAL

    def _find(self) -> Iterator[Offer]:
        for card in self.cards.cards:
            most, balance = self._most(card), card.balance
            yield Offer(
                card.id,
                self._card_name(card.id),
                _("balance unknown")
                if balance is None
                else _("%(balance)s points") % {"balance": points(balance)},
                _("Withdraw up to %(most)s") % {"most": points(most)} if most is not None else _("Withdraw"),
                why_not=self._why_not(card),
                balance=balance,
                most=most,
            )

    def _why_not(self, card: Card) -> str:
        if busy := self._why_held(card.id):
            return busy
        if self.details.doubt_about_points(card.id):
            return _("not known whether points of this card are taken already; look in Altegio")
        if self.details.withdrawn(card.id):
            return _("already used on this visit; cancel it first to take another amount")
        if (balance := self._payable(card.balance)) is not None and balance <= 0:
            return _("the card is empty")
        return _("nothing is left to pay") if self.bill.left == 0 else ""

    def _most(self, card: Card) -> Decimal | None:
        """The most points that can be taken from the card: its balance, and no more than is left to pay.

        None where Altegio says neither.
        """
        known = [amount for amount in (card.balance, self.bill.most) if amount is not None]
        return self._payable(max(min(known), Decimal(0))) if known else None

    def parts(self, offer: Offer) -> list[Part]:
        """All that card and bill allow, half of it, and round amounts; largest first."""
        most = offer.most or Decimal(0)
        if most <= 0:
            return []
        half = (most / 2).quantize(Decimal(1), rounding=ROUND_DOWN)
        amounts = dict.fromkeys(_round_amounts_below(most, half), "")
        amounts |= {most: _("All that card and bill allow"), **({half: _("Half")} if half else {})}
        return [
            Part(amount.quantize(CENT), name, self._after_taking(offer, amount))
            for amount, name in sorted(amounts.items(), reverse=True)
        ]

    def _after_taking(self, offer: Offer, amount: Decimal) -> str:
        if offer.balance is None:
            return self._afterwards(amount)
        figures = {"card": points(offer.balance - amount), "left": Bill(self.details, amount)}
        if self.bill.range is None:
            return _("%(card)s points stay on the card.") % figures
        return _("%(card)s points stay on the card, %(left)s is left to pay.") % figures

    def warnings(self, offer: Offer | None) -> Iterator[str]:
        details = self.details
        if offer is None or self.bill.is_paid:
            return
        used = {card_id for card_id in details.used_cards if details.withdrawn(card_id)}
        for card_id in sorted(used - {offer.card_id}):
            figures = {"card": self._card_name(card_id), "taken": points(details.withdrawn(card_id))}
            yield _("Another card was already used on this visit: %(card)s, %(taken)s points.") % figures
        # While something is on its way nobody knows what will be left to pay.
        balance, left = offer.balance, details.left_to_pay
        if balance is None or left is None or offer.why_not or self.busy_cards or balance >= left:
            return
        text = _("%(card)s does not cover the bill: at least %(rest)s has to be paid otherwise.")
        yield text % {"card": offer.name, "rest": points(left - balance)}


class WithdrawalsToCancel(Offers):
    """The cards that paid something on the visit."""

    kind = kinds.CANCEL_CARD_WITHDRAWAL

    def _find(self) -> Iterator[Offer]:
        balances = {card.id: card.balance for card in self.cards.cards}
        for card_id in self.details.used_cards:
            taken, doubt = self.details.withdrawn(card_id), self.details.doubt_about_points(card_id)
            yield Offer(
                card_id,
                self._card_name(card_id),
                _("%(taken)s points taken") % {"taken": points(None if doubt else taken)},
                _("Cancel"),
                after=self._after_cancel(taken, balances.get(card_id)),
                why_not=self._why_held(card_id, doubt),
            )

    def _after_cancel(self, taken: Decimal, balance: Decimal | None) -> str:
        if balance is None:
            return self._afterwards(-taken)
        text = _("Afterwards %(card)s points are on the card, and %(left)s is left to pay.")
        return text % {"card": points(balance + taken), "left": Bill(self.details, -taken)}


class PromotionOffers(Offers):
    """The promotions of the client's cards."""

    kind = kinds.APPLY_DISCOUNT_PROGRAM

    def _find(self) -> Iterator[Offer]:
        for card in self.cards.cards:
            for program in card.programs:
                if program.is_discount:
                    yield Offer(
                        card.id,
                        self._program_name(program.id),
                        self._card_name(card.id),
                        _("Apply"),
                        program.id,
                        after=self._after(program),
                        why_not=self._why_not(program.id, card.id),
                    )

    def _why_not(self, program_id: int, card_id: int) -> str:
        if busy := self._why_held(card_id):
            return busy
        if self.details.doubt_about_promotion(program_id, card_id):
            return _("not known whether it is applied already; look in Altegio")
        if self.details.discounted(program_id, card_id) is not None:
            return _("already applied")
        return _("nothing is left to pay") if self.bill.is_paid else ""

    def _after(self, program: Program) -> str:
        """An estimate: which lines a promotion covers is Altegio's to say."""
        total, left = self.details.total, self.details.left_to_pay
        if total is None or left is None or not program.is_percent or not program.value:
            return ""
        off = min((total * program.value / 100).quantize(CENT), left)
        text = _("About %(off)s off; about %(left)s is left to pay.")
        return text % {"off": points(off), "left": Bill(self.details, off)}


class PromotionsToTakeBack(Offers):
    """The promotions that are applied to the visit."""

    kind = kinds.CANCEL_DISCOUNT_PROGRAM

    def _find(self) -> Iterator[Offer]:
        for card_id, program_id in self.details.applied_promotions:
            off = self.details.discounted(program_id, card_id) or Decimal(0)
            doubt = self.details.doubt_about_promotion(program_id, card_id)
            yield Offer(
                card_id,
                self._program_name(program_id),
                _("%(off)s off") % {"off": points(None if doubt else off)},
                _("Take back"),
                program_id,
                after=self._afterwards(-off),
                why_not=self._why_held(card_id, doubt),
            )


def _round_amounts_below(most: Decimal, half: Decimal) -> list[Decimal]:
    """The largest of 1, 2, 5, 10, 20, 50, … that are below `most` and are not its half."""
    exponent = most.adjusted()
    steps = [Decimal(digit).scaleb(power) for power in range(exponent, -1, -1) for digit in (5, 2, 1)]
    return [step for step in steps if step < most and step != half][:ROUND_AMOUNTS]


_ALL = (CardOffers, WithdrawalsToCancel, PromotionOffers, PromotionsToTakeBack)
OFFERS = kinds.one_for_each("admin.desk.offers", {offers.kind.name: offers for offers in _ALL})
