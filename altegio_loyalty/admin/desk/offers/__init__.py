"""What can be done on a visit, as Altegio shows it now: with what it would lead to, and why not where it would fail."""

from altegio_loyalty import kinds
from altegio_loyalty.admin.desk.offers.base import Offer, Offers, Part
from altegio_loyalty.admin.desk.offers.promotions import PromotionOffers, PromotionsToTakeBack
from altegio_loyalty.admin.desk.offers.withdrawals import CardOffers, WithdrawalsToCancel

__all__ = ["OFFERS", "Offer", "Offers", "Part"]

_ALL = (CardOffers, WithdrawalsToCancel, PromotionOffers, PromotionsToTakeBack)
OFFERS = kinds.one_for_each("admin.desk.offers", {offers.kind.name: offers for offers in _ALL})
