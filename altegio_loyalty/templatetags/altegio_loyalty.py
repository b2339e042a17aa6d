"""Figures as the screens show them."""

from __future__ import annotations

from django import template

from altegio_loyalty import services
from altegio_loyalty.access import sees_no_location
from altegio_loyalty.wording import isolated, points, reason

register = template.Library()
register.filter(isolated)
register.filter(points)
register.filter(reason)
register.filter(sees_no_location)
register.simple_tag(services.find_blocks)


@register.filter
def unlocalized(number: int | None) -> str:
    """An Altegio number as it stands in Altegio, without separators of thousands."""
    return "" if number is None else str(number)
