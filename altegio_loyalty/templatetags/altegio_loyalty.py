"""Figures as the screens show them, and what a page must know of the person before it says that there is nothing."""

from __future__ import annotations

from typing import Any

from django import template

from altegio_loyalty import access
from altegio_loyalty.wording import isolated, points, reason

register = template.Library()
register.filter(isolated)
register.filter(points)
register.filter(reason)


@register.filter
def unlocalized(number: int | None) -> str:
    """An Altegio number as it stands in Altegio, without separators of thousands."""
    return "" if number is None else str(number)


@register.simple_tag(takes_context=True)
def sees_no_location(context: Any) -> bool:
    """Whether the person at the screen was given no location where they are needed."""
    return access.sees_no_location(context["request"].user)
