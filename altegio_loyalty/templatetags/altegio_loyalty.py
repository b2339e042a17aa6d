"""Figures as the screens show them."""

from __future__ import annotations

from decimal import Decimal

from django import template

from altegio_loyalty.wording import isolated as in_isolation
from altegio_loyalty.wording import points as in_points
from altegio_loyalty.wording import reason as in_words

register = template.Library()


@register.filter
def points(amount: Decimal | None) -> str:
    """`100` for 100.00 and `99.50` for 99.50."""
    return in_points(amount)


@register.filter
def unlocalized(number: int | None) -> str:
    """An Altegio number as it stands in Altegio, without separators of thousands."""
    return "" if number is None else str(number)


@register.filter
def reason(text: str) -> str:
    """A reason of the log in the person's language."""
    return in_words(text)


@register.filter
def isolated(name: str) -> str:
    """A name from outside that leaves the direction of what stands beside it alone."""
    return in_isolation(name)
