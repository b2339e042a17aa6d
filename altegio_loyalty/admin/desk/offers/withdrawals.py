"""Points that can be taken off a card, and withdrawals that can be cancelled."""

from collections.abc import Iterator
from decimal import ROUND_DOWN, Decimal

from altegio_loyalty import kinds
from altegio_loyalty.admin.desk.offers.base import Offer, Offers, Part
from altegio_loyalty.client import Card
from altegio_loyalty.client.types import CENT
from altegio_loyalty.texts import gettext as _
from altegio_loyalty.wording import points

#: So many round amounts are suggested besides all and half.
ROUND_AMOUNTS = 2


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
        details = self.visit.details
        if details is not None and details.doubt_about_points(card.id):
            return _("not known whether points of this card are taken already; look in Altegio")
        if details is not None and details.withdrawn(card.id):
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
        """Amounts to choose from for a card: all that card and bill allow, half of it, and round ones; largest first."""
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
        """What is left on the card and to pay once the amount is taken."""
        figures = {"card": points(offer.balance and offer.balance - amount), "left": self._left_after(amount)}
        if offer.balance is None:
            return _("Afterwards %(left)s is left to pay.") % figures
        if self.bill.range is None:
            return _("%(card)s points stay on the card.") % figures
        return _("%(card)s points stay on the card, %(left)s is left to pay.") % figures

    def warnings(self, offer: Offer | None) -> Iterator[str]:
        details = self.visit.details
        if details is None or offer is None or self.bill.is_paid:
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
        details = self.visit.details
        if details is None:
            return
        balances = {card.id: card.balance for card in self.cards.cards}
        for card_id in details.used_cards:
            taken, doubt = details.withdrawn(card_id), details.doubt_about_points(card_id)
            yield Offer(
                card_id,
                self._card_name(card_id),
                _("%(taken)s points taken") % {"taken": points(None if doubt else taken)},
                _("Cancel"),
                after=self._after_cancel(taken, balances.get(card_id)),
                why_not=self._why_held(card_id, doubt),
            )

    def _after_cancel(self, taken: Decimal, balance: Decimal | None) -> str:
        left = self._left_after(-taken)
        if balance is None:
            return _("Afterwards %(left)s is left to pay.") % {"left": left}
        text = _("Afterwards %(card)s points are on the card, and %(left)s is left to pay.")
        return text % {"card": points(balance + taken), "left": left}


def _round_amounts_below(most: Decimal, half: Decimal) -> list[Decimal]:
    """The largest of 1, 2, 5, 10, 20, 50, … that are below `most` and are not its half."""
    exponent = most.adjusted()
    steps = [Decimal(digit).scaleb(power) for power in range(exponent, -1, -1) for digit in (5, 2, 1)]
    return [step for step in steps if step < most and step != half][:ROUND_AMOUNTS]
