"""Altegio's texts for a time, and the borders of a location's day."""

from __future__ import annotations

import datetime
import re

from django.conf import settings
from django.utils import timezone

_SHORT_HOUR = re.compile(r"([ T])(\d):")
#: Outside of these years some databases refuse a time, and none is a visit's.
_FIRST_YEAR, _LAST_YEAR = 1990, 2200


def parse_moment(text: str) -> datetime.datetime | None:
    """The moment, with the zone that the text names, if any. None where it is no time of day of a date.

    Known spellings: 2026-09-24T17:00:00+05:00, the same with +0500 or with Z, and 2026-09-24 9:00:00.
    """
    if ":" not in text:
        return None
    try:
        moment = datetime.datetime.fromisoformat(_SHORT_HOUR.sub(r"\g<1>0\2:", text.strip()))
    except ValueError:
        return None
    return moment if _FIRST_YEAR <= moment.year <= _LAST_YEAR else None


def stored(moment: datetime.datetime | None) -> datetime.datetime | None:
    """The moment as the site's database keeps it: with USE_TZ off without a zone, in the site's own time."""
    if moment is None:
        return None
    if timezone.is_naive(moment):
        moment = timezone.make_aware(moment)
    return moment if settings.USE_TZ else timezone.make_naive(moment, timezone.get_default_timezone())


def _zone(offset: int | None) -> datetime.tzinfo:
    if offset is None:
        return timezone.get_current_timezone()
    return datetime.timezone(datetime.timedelta(seconds=offset))


def today_at(offset: int | None) -> datetime.date:
    """Today's date so many seconds ahead of UTC; None is the current time zone."""
    return datetime.datetime.now(_zone(offset)).date()


def start_of(day: datetime.date, offset: int | None, *, days: int = 0) -> datetime.datetime:
    """When the day begins there, or the day that many days later, as the database keeps it."""
    midnight = datetime.datetime.combine(day + datetime.timedelta(days=days), datetime.time(), _zone(offset))
    moment = stored(midnight)
    assert moment is not None
    return moment
