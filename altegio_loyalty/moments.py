"""A location's day and clock: Altegio's texts for a time, today, and when a day begins."""

import datetime
import zoneinfo

from django.conf import settings
from django.utils import timezone
from django.utils.dateparse import parse_datetime

#: Outside of these years some databases refuse a time, and none is a visit's.
_FIRST_YEAR, _LAST_YEAR = 1990, 2200
#: So far the clocks of two machines may be apart; what stands further ahead was written by one that was wrong.
CLOCKS_APART = datetime.timedelta(minutes=10)


def parse_moment(text: str) -> datetime.datetime | None:
    """The moment, with the zone that the text names, if any. None where it is no time of day of a date.

    Known spellings: 2026-09-24T17:00:00+05:00, the same with +0500 or with Z, and 2026-09-24 9:00:00.
    """
    try:
        moment = parse_datetime(text.strip()) if ":" in text else None
    except ValueError:
        return None
    return moment if moment and _FIRST_YEAR <= moment.year <= _LAST_YEAR else None


def stored(moment: datetime.datetime | None, zone: datetime.tzinfo | None = None) -> datetime.datetime | None:
    """The moment as the site's database keeps it: with USE_TZ off without a zone, in the site's own time.

    `zone` is that of a text that names none.
    """
    if moment is None:
        return None
    if timezone.is_naive(moment):
        moment = timezone.make_aware(moment, zone)
    return moment if settings.USE_TZ else timezone.make_naive(moment, timezone.get_default_timezone())


# A zone is a location's, see `Location.zone`; None stands for the current one, the reader's.


def zone_called(name: str) -> datetime.tzinfo | None:
    """The IANA time zone of that name; None where this machine knows none."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None


def zone_of(name: str) -> datetime.tzinfo:
    """The time zone of that name; the current one where it is empty or not known, or where the site has USE_TZ off."""
    return (settings.USE_TZ and name and zone_called(name)) or timezone.get_current_timezone()


def is_offset_zone(name: str) -> bool:
    """Whether the zone says no more than how far from UTC it is: nothing of a summer time."""
    return name.startswith("Etc/GMT")


def name_of(zone: datetime.tzinfo) -> str:
    """What people call the zone. The signs in IANA's own names of offsets are the other way round."""
    name = str(zone)
    return f"UTC{datetime.datetime.now(zone).isoformat()[-6:]}" if is_offset_zone(name) else name


def as_local(moment: datetime.datetime, zone: datetime.tzinfo | None = None) -> datetime.datetime:
    """The moment in the zone; as it is where the site has USE_TZ off."""
    return timezone.localtime(moment, zone) if timezone.is_aware(moment) else moment


def today(zone: datetime.tzinfo | None = None) -> datetime.date:
    """Today's date in the zone."""
    return timezone.localtime(datetime.datetime.now(datetime.UTC), zone).date()


def start_of(day: datetime.date, zone: datetime.tzinfo | None = None, *, days: int = 0) -> datetime.datetime:
    """When the day begins in the zone, or the day that many days later, as the database keeps it."""
    begin = datetime.datetime.combine(day + datetime.timedelta(days=days), datetime.time())
    moment = stored(timezone.make_aware(begin, zone))
    assert moment is not None
    return moment
