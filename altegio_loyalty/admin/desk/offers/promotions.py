"""Promotions that can be applied, and those that can be taken back."""

from collections.abc import Iterator
from decimal import Decimal

from altegio_loyalty import kinds
from altegio_loyalty.admin.desk.offers.base import Offer, Offers
from altegio_loyalty.client.types import CENT, Program
from altegio_loyalty.texts import gettext as _
from altegio_loyalty.wording import points


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
        details = self.visit.details
        if details is not None and details.doubt_about_promotion(program_id, card_id):
            return _("not known whether it is applied already; look in Altegio")
        if details is not None and details.discounted(program_id, card_id) is not None:
            return _("already applied")
        return _("nothing is left to pay") if self.bill.is_paid else ""

    def _after(self, program: Program) -> str:
        """An estimate: which lines a promotion covers is Altegio's to say."""
        details = self.visit.details
        total, left = (details.total, details.left_to_pay) if details else (None, None)
        if total is None or left is None or not program.is_percent or not program.value:
            return ""
        off = min((total * program.value / 100).quantize(CENT), left)
        text = _("About %(off)s off; about %(left)s is left to pay.")
        return text % {"off": points(off), "left": self._left_after(off)}


class PromotionsToTakeBack(Offers):
    """The promotions that are applied to the visit."""

    kind = kinds.CANCEL_DISCOUNT_PROGRAM

    def _find(self) -> Iterator[Offer]:
        details = self.visit.details
        if details is None:
            return
        for card_id, program_id in details.applied_promotions:
            off = details.discounted(program_id, card_id) or Decimal(0)
            doubt = details.doubt_about_promotion(program_id, card_id)
            yield Offer(
                card_id,
                self._program_name(program_id),
                _("%(off)s off") % {"off": points(None if doubt else off)},
                _("Take back"),
                program_id,
                after=_("Afterwards %(left)s is left to pay.") % {"left": self._left_after(-off)},
                why_not=self._why_held(card_id, doubt),
            )
