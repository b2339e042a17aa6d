"""The forms of the confirmation page: what is offered comes from Altegio; ids can still be typed when it does not answer."""

import re
from decimal import Decimal, InvalidOperation
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from altegio_loyalty import bills
from altegio_loyalty.admin.desk.offers import Offer, Offers, Part
from altegio_loyalty.admin.pages import IdField, as_id
from altegio_loyalty.client.types import LARGEST_AMOUNT
from altegio_loyalty.kinds import Kind
from altegio_loyalty.models import Visit
from altegio_loyalty.texts import gettext as _, gettext_lazy
from altegio_loyalty.wording import decimals_of

#: The value of the choice "another amount".
OTHER = "other"
NO_DECIMALS = gettext_lazy("Write whole points: amounts in this currency have no decimals.")
#: Digits alone or in groups of three with one mark between all of them, and decimals behind another mark.
_AMOUNT = re.compile(
    r"(?P<whole>[0-9]+|[1-9][0-9]{0,2}(?P<mark>[ .,])[0-9]{3}(?:(?P=mark)[0-9]{3})*)"
    r"(?:(?!(?P=mark))[.,](?P<decimals>[0-9]+))?"
)


def plain_amount(typed: str) -> str:
    """The amount that a person typed, with a point, whichever marks of decimals and thousands they write.

    Raises `ValidationError` where it is no number, or nobody can say which one was meant.
    """
    found = _AMOUNT.fullmatch(re.sub(r"[\s'\u2019]", " ", typed.strip()))
    if not found:
        raise ValidationError(_("Write the points in digits, such as 120 or 99.50."))
    whole, decimals = re.sub("[ .,]", "", found["whole"]), found["decimals"] or "0"
    if re.fullmatch("[1-9][0-9]{0,2},[0-9]{3}", f"{whole},{decimals}") and not found["mark"]:
        text = _("%(typed)s can be read in two ways: write %(whole)s, or no more than 2 decimals.")
        raise ValidationError(text, params={"typed": typed.strip(), "whole": whole + decimals})
    return f"{whole}.{decimals}"


class AmountField(forms.DecimalField):
    """Points as a person types them: see `plain_amount`. A text field, since browsers read one for numbers as they like."""

    def to_python(self, value: Any) -> Any:
        text = "" if value is None else str(value).strip()
        return super().to_python(plain_amount(text) if text else None)


def parse_choice(kind: Kind, value: str, visit: Visit) -> tuple[int, int | None] | None:
    """Card and promotion of a posted choice, "card" or "card:promotion"; None where it is neither.

    Nor is it one where the visit was made somebody else's since the page was shown, and the card is none of theirs.
    """
    card, colon, program = value.partition(":")
    card_id, program_id = as_id(card), as_id(program)
    is_whole = bool(program_id) if kind.takes_program else not colon
    if visit.shown and kind.is_apply:
        shown = bills.last_shown(visit)
        is_whole = is_whole and any(each.id == card_id for each in (shown.cards.cards if shown else ()))
    return (card_id, program_id) if card_id and is_whole else None


class OperationForm(forms.Form):
    """Card, amount or promotion for one visit. `cleaned_data` holds card_id, program_id (or None) and amount (or None)."""

    choice = forms.CharField(label=gettext_lazy("Card"), max_length=50)
    part = forms.CharField(label=gettext_lazy("How much"), max_length=20, required=False)
    card_id = IdField(label=gettext_lazy("Card ID"))
    program_id = IdField(label=gettext_lazy("Promotion ID"))
    amount = AmountField(
        label=gettext_lazy("Points"),
        min_value=Decimal("0.01"),
        max_value=LARGEST_AMOUNT,
        max_digits=12,
        decimal_places=2,
    )

    def __init__(
        self, posted: Any = None, *, visit: Visit, kind: Kind, offers: Offers | None = None, choice: str = ""
    ) -> None:
        super().__init__(posted, prefix=f"visit{visit.pk}")
        self.visit, self.kind, self.offers, self.asked_choice = visit, kind, offers, choice
        #: Each of the page's two forms is whole in itself: one to choose from, one to type numbers into.
        self.types_ids = self.add_prefix("card_id") in self.data
        dropped = {"choice", "part"} if self.types_ids else {"card_id", "program_id"}
        if not kind.takes_program:
            dropped.add("program_id")
        if not kind.takes_amount:
            dropped |= {"part", "amount"}
        for name in dropped:
            del self.fields[name]
        if "part" in self.fields:
            self.fields["amount"].required = False

    def _posted(self, name: str) -> str:
        return str(self.data.get(self.add_prefix(name), ""))

    @property
    def chosen(self) -> Offer | None:
        """The offer that is chosen when the page comes up: the first that can be had, unless another was asked for.

        What is not offered any more is asked for again: nothing else takes its place unseen.
        """
        if self.offers is None:
            return None
        wanted = self._posted("choice") if self.is_bound else self.asked_choice
        if wanted:
            # A card is shown also with why it cannot be used.
            offers = self.offers.all if self.kind.takes_amount else self.offers.usable
            return next((offer for offer in offers if offer.value == wanted), None)
        return next(iter([*self.offers.usable, *self.offers.all]), None)

    @property
    def parts(self) -> list[tuple[Part, bool]]:
        """The amounts that are suggested for the chosen card, each with whether it is the one preset."""
        parts = self.offers.parts(self.chosen) if self.offers and self.chosen else []
        preset = self._posted("part") or (str(parts[0].amount) if parts else OTHER)
        return [(part, str(part.amount) == preset) for part in parts]

    @property
    def other_is_chosen(self) -> bool:
        return not any(is_preset for _part, is_preset in self.parts)

    @property
    def arguments(self) -> dict[str, Any]:
        """What was chosen or typed, as the kind's service takes it."""
        names = ("card_id", "program_id", "amount")
        return {name: value for name in names if (value := self.cleaned_data[name]) is not None}

    def clean_choice(self) -> tuple[int, int | None]:
        ids = parse_choice(self.kind, self.cleaned_data["choice"], self.visit)
        if ids is None:
            raise ValidationError(_("Choose one of the list."))
        return ids

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if isinstance(cleaned.get("choice"), tuple):
            cleaned["card_id"], cleaned["program_id"] = cleaned["choice"]
        if (cleaned.get("amount") or 0) % 1 and not decimals_of(self.visit.location.currency):
            self.add_error("amount", NO_DECIMALS)
        if "part" in self.fields and "amount" not in self.errors:
            self._settle_amount(cleaned)
        return {"program_id": None, "amount": None, **cleaned}

    def _settle_amount(self, cleaned: dict[str, Any]) -> None:
        """One amount out of the chosen part and the typed one; where they differ nobody may guess which was meant."""
        part, typed = cleaned.get("part") or OTHER, cleaned.get("amount")
        if part == OTHER:
            if typed is None:
                self.add_error("amount", _("Type how many points."))
            return
        try:
            amount = self.fields["amount"].clean(Decimal(part))
        except (InvalidOperation, ValidationError):
            self.add_error("part", _("Choose one of the list."))
            return
        if typed is not None and typed != amount:
            text = _("You typed another amount than the one that is chosen above. Choose one of them.")
            self.add_error("amount", text)
        else:
            cleaned["amount"] = amount
