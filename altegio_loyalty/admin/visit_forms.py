"""The forms of the confirmation page: what is offered comes from Altegio; ids can still be typed when it does not answer."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from altegio_loyalty.client import Card
from altegio_loyalty.client.types import LARGEST_AMOUNT, LARGEST_ID
from altegio_loyalty.models import LoyaltyOperation, Visit
from altegio_loyalty.services import CardsReading, VisitReading
from altegio_loyalty.wording import points

Kind = LoyaltyOperation.Kind
WITH_PROGRAM = (Kind.APPLY_DISCOUNT_PROGRAM, Kind.CANCEL_DISCOUNT_PROGRAM)


def card_name(card_id: int, cards: CardsReading) -> str:
    """The card as staff know it: its title and the end of its number; its id where Altegio did not show the cards."""
    for card in cards.cards:
        if card.id == card_id:
            ending = f" ···{card.number[-4:]}" if card.number else ""
            return f"{card.title or _('Card')}{ending}"
    return _("card %(id)s") % {"id": card_id}


def program_name(program_id: int, cards: CardsReading) -> str:
    for card in cards.cards:
        for program in card.programs:
            if program.id == program_id:
                return program.title
    return _("promotion %(id)s") % {"id": program_id}


class Offers:
    """What can be chosen for one kind of operation on one visit, as (value, label); a value is "card" or "card:program"."""

    def __init__(self, kind: str, visit: VisitReading, cards: CardsReading) -> None:
        self.kind = kind
        self.visit = visit
        self.cards = cards
        self.choices = list(self._find())
        reads = (
            [visit.error]
            if kind in (Kind.CANCEL_CARD_WITHDRAWAL, Kind.CANCEL_DISCOUNT_PROGRAM)
            else [cards.error]
        )
        self.is_known = not any(reads)

    def _find(self) -> Iterator[tuple[str, str]]:
        finders = {
            Kind.APPLY_CARD_WITHDRAWAL: self._cards_with_balance,
            Kind.CANCEL_CARD_WITHDRAWAL: self._withdrawals,
            Kind.APPLY_DISCOUNT_PROGRAM: self._programs,
            Kind.CANCEL_DISCOUNT_PROGRAM: self._promotions,
        }
        return finders[Kind(self.kind)]()

    def _cards_with_balance(self) -> Iterator[tuple[str, str]]:
        for card in self.cards.cards:
            label = _("%(card)s: %(balance)s points") % {
                "card": card_name(card.id, self.cards),
                "balance": points(card.balance),
            }
            yield str(card.id), label

    def _withdrawals(self) -> Iterator[tuple[str, str]]:
        if self.visit.details is None:
            return
        rows = self.visit.details.transactions
        for card_id in dict.fromkeys(row.card_id for row in rows if row.is_withdrawal and row.card_id):
            taken = points(self.visit.details.withdrawn(card_id))
            yield (
                str(card_id),
                _("%(card)s: %(taken)s points to give back")
                % {
                    "card": card_name(card_id, self.cards),
                    "taken": taken,
                },
            )

    def _programs(self) -> Iterator[tuple[str, str]]:
        for card in self.cards.cards:
            for program in card.programs:
                if program.is_discount:
                    value = f" {points(program.value)} %" if program.is_percent and program.value else ""
                    yield (
                        f"{card.id}:{program.id}",
                        f"{program.title}{value} ({card_name(card.id, self.cards)})",
                    )

    def _promotions(self) -> Iterator[tuple[str, str]]:
        if self.visit.details is None:
            return
        rows = [
            row
            for row in self.visit.details.transactions
            if row.is_discount and row.program_id and row.card_id
        ]
        for card_id, program_id in dict.fromkeys((row.card_id, row.program_id) for row in rows):
            off = self.visit.details.discounted(program_id, card_id)
            yield (
                f"{card_id}:{program_id}",
                _("%(promotion)s: %(off)s off")
                % {
                    "promotion": program_name(program_id, self.cards),
                    "off": points(off),
                },
            )

    def most(self, card: Card) -> Decimal:
        """The most points that can be taken from the card: its balance, and no more than is left to pay."""
        if self.visit.details is None:
            return card.balance
        return min(card.balance, self.visit.details.left_to_pay)


class OperateForm(forms.Form):
    """Card, amount or promotion for one visit. `cleaned_data` holds card_id, program_id (or None) and amount (or None)."""

    choice = forms.CharField(label=gettext_lazy("Card"), max_length=50)
    card_id = forms.IntegerField(label=gettext_lazy("Card ID"), min_value=1, max_value=LARGEST_ID)
    program_id = forms.IntegerField(label=gettext_lazy("Promotion ID"), min_value=1, max_value=LARGEST_ID)
    amount = forms.DecimalField(
        label=gettext_lazy("Points"),
        min_value=Decimal("0.01"),
        max_value=LARGEST_AMOUNT,
        max_digits=12,
        decimal_places=2,
    )

    def __init__(
        self,
        posted: Any = None,
        *,
        visit: Visit,
        kind: str,
        offers: Offers | None = None,
        initial: Any = None,
    ) -> None:
        super().__init__(posted, prefix=f"visit{visit.pk}", initial=initial)
        self.visit = visit
        self.kind = kind
        self.offers = offers
        self.types_ids = offers is not None and not offers.is_known
        if self.is_bound:
            self.types_ids = self.add_prefix("choice") not in self.data
        self._keep_fields()
        if offers is not None and not self.types_ids:
            self._offer(offers)

    @property
    def has_nothing_to_choose(self) -> bool:
        """Whether Altegio answered and there is nothing to do for this visit."""
        return self.offers is not None and self.offers.is_known and not self.offers.choices

    def _keep_fields(self) -> None:
        if self.types_ids:
            del self.fields["choice"]
        else:
            del self.fields["card_id"], self.fields["program_id"]
        if self.kind not in WITH_PROGRAM:
            self.fields.pop("program_id", None)
        elif "choice" in self.fields:
            self.fields["choice"].label = _("Promotion")
        if self.kind != Kind.APPLY_CARD_WITHDRAWAL:
            del self.fields["amount"]

    def _offer(self, offers: Offers) -> None:
        self.fields["choice"].widget = forms.Select(choices=offers.choices)
        if "amount" not in self.fields:
            return
        chosen = str(self.initial.get("choice") or (offers.choices[0][0] if offers.choices else ""))
        for card in offers.cards.cards:
            if str(card.id) == chosen:
                most = offers.most(card)
                self.fields["amount"].initial = most if most > 0 else None
                self.fields["amount"].help_text = self._most_text(offers, card)

    def _most_text(self, offers: Offers, card: Card) -> str:
        if offers.visit.details is None:
            return _("The card has %(balance)s points.") % {"balance": points(card.balance)}
        return _("The card has %(balance)s points; %(left)s is left to pay.") % {
            "balance": points(card.balance),
            "left": points(offers.visit.details.left_to_pay),
        }

    def clean_choice(self) -> tuple[int, int | None]:
        parts = self.cleaned_data["choice"].split(":")
        expected = 2 if self.kind in WITH_PROGRAM else 1
        if len(parts) != expected or not all(
            part.isascii() and part.isdigit() and len(part) < 19 for part in parts
        ):
            raise ValidationError(_("Choose one of the list."))
        return int(parts[0]), int(parts[1]) if expected == 2 else None

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if isinstance(cleaned.get("choice"), tuple):
            cleaned["card_id"], cleaned["program_id"] = cleaned["choice"]
        return {"program_id": None, "amount": None, **cleaned}
