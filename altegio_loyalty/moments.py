"""A location's day and clock: Altegio's texts for a time, today, and when a day begins."""

from __future__ import annotations

import datetime

from django.conf import settings
from django.utils import timezone
from django.utils.dateparse import parse_datetime

#: Outside of these years some databases refuse a time, and none is a visit's.
_FIRST_YEAR, _LAST_YEAR = 1990, 2200


def parse_moment(text: str) -> datetime.datetime | None:
    """The moment, with the zone that the text names, if any. None where it is no time of day of a date.

    Known spellings: 2026-09-24T17:00:00+05:00, the same with +0500 or with Z, and 2026-09-24 9:00:00.
    """
    try:
        moment = parse_datetime(text.strip()) if ":" in text else None
    except ValueError:
        return None
    return moment if moment and _FIRST_YEAR <= moment.year <= _LAST_YEAR else None


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


def as_local(moment: datetime.datetime) -> datetime.datetime:
    """The moment in the current time zone; as it is where the site has USE_TZ off."""
    return timezone.localtime(moment) if timezone.is_aware(moment) else moment


def today(offset: int | None = None) -> datetime.date:
    """Today's date so many seconds ahead of UTC; None is the current time zone."""
    return datetime.datetime.now(_zone(offset)).date()


def start_of(day: datetime.date, offset: int | None = None, *, days: int = 0) -> datetime.datetime:
    """When the day begins there, or the day that many days later, as the database keeps it."""
    midnight = datetime.datetime.combine(day + datetime.timedelta(days=days), datetime.time(), _zone(offset))
    moment = stored(midnight)
    assert moment is not None
    return moment
