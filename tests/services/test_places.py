"""A location's own time and money: learnt from Altegio, never over what a person set, and used for its days."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from altegio_loyalty import services
from altegio_loyalty.client.types import Company, offset_zone
from altegio_loyalty.models import Location, Visit
from altegio_loyalty.moments import name_of, today
from altegio_loyalty.services import visit_rows
from tests.delivery.salon import Salon

VLADIVOSTOK = "Asia/Vladivostok"
#: 25 hours apart: it is never the same day in both.
EARLIEST, LATEST = "Pacific/Kiritimati", "Pacific/Niue"


def again(location: Location) -> Location:
    return Location.objects.get(pk=location.pk)


@pytest.fixture
def shows(salon: Salon) -> Callable[..., None]:
    """What the sandbox's location is to show of itself."""

    def shows(**facts: str) -> None:
        there = salon.ledger.books.locations[salon.location.pk]
        for name, value in facts.items():
            setattr(there, name, value)

    return shows


# Reading them


@pytest.mark.parametrize(
    ("row", "time_zone", "currency"),
    [
        ({"timezone_name": VLADIVOSTOK, "timezone": 3, "currency_short_title": "RUB"}, VLADIVOSTOK, "RUB"),
        ({"timezone": 10}, "Etc/GMT-10", ""),
        ({"timezone": "-5"}, "Etc/GMT+5", ""),
        ({"timezone": 0}, "Etc/GMT+0", ""),
        ({"timezone": 5.5}, "", ""),  # IANA names no such offset
        ({"timezone": "local"}, "", ""),
        ({"timezone_name": None, "currency_short_title": None}, "", ""),
        ({"currency_short_title": "Kč"}, "", ""),
        ({"currency_short_title": "руб."}, "", ""),
        ({"currency_short_title": ["EUR"]}, "", ""),
    ],
)
def test_time_zone_and_currency_are_read_as_far_as_they_can_be(
    row: dict[str, Any], time_zone: str, currency: str
) -> None:
    found = Company.parse({"id": "7", "title": "Salon", **row})
    assert (found.id, found.title, found.time_zone, found.currency) == (7, "Salon", time_zone, currency)


@pytest.mark.parametrize("hours", [-12, -11, 0, 3, 14])
def test_the_zone_of_an_offset_is_one_that_is_so_far_ahead(hours: int) -> None:
    there = datetime.datetime(2026, 7, 1, tzinfo=ZoneInfo(offset_zone(Decimal(hours))))
    assert there.utcoffset() == datetime.timedelta(hours=hours)


def test_the_name_of_an_offset_has_the_sign_that_people_write() -> None:
    assert name_of(ZoneInfo("Etc/GMT-10")) == "UTC+10:00"
    assert name_of(ZoneInfo(VLADIVOSTOK)) == VLADIVOSTOK


# Keeping them


def test_a_connection_test_fills_in_what_nobody_has_set(salon: Salon, shows: Callable[..., None]) -> None:
    shows(timezone=VLADIVOSTOK, currency="RUB")
    assert services.test_connection(salon.location).is_good
    assert (again(salon.location).time_zone, again(salon.location).currency) == (VLADIVOSTOK, "RUB")


def test_what_a_person_set_is_never_overwritten(salon: Salon, shows: Callable[..., None]) -> None:
    shows(timezone=VLADIVOSTOK, currency="RUB")
    Location.objects.update(time_zone="Europe/Prague", currency="CZK")
    services.test_connection(again(salon.location))
    assert (again(salon.location).time_zone, again(salon.location).currency) == ("Europe/Prague", "CZK")


def test_what_a_person_sets_meanwhile_is_not_overwritten(salon: Salon, shows: Callable[..., None]) -> None:
    shows(timezone=VLADIVOSTOK, currency="RUB")
    read_before = again(salon.location)
    Location.objects.update(time_zone="Europe/Prague", currency="CZK")
    services.test_connection(read_before)
    assert (again(salon.location).time_zone, again(salon.location).currency) == ("Europe/Prague", "CZK")


def test_a_zone_that_this_machine_does_not_know_is_not_kept(salon: Salon) -> None:
    for name in ("Mars/Olympus", "../../etc/passwd", "Asia", "\0", "Etc/GMT-99"):
        salon.location.learn(time_zone=name)
    assert again(salon.location).time_zone == ""


def test_an_offset_gives_way_to_the_name(salon: Salon) -> None:
    salon.location.learn(time_zone="Etc/GMT-10")
    salon.location.learn(time_zone=VLADIVOSTOK)
    salon.location.learn(time_zone="Etc/GMT-9")
    assert again(salon.location).time_zone == salon.location.time_zone == VLADIVOSTOK


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("time_zone", ["", VLADIVOSTOK, "UTC"], ["Vladivostok", "UTC+10", "Asia", "../x"]),
        ("currency", ["", "EUR", "JPY"], ["eur", "EURO", "Kč", "€", "EUR\n"]),
    ],
)
def test_a_person_can_only_set_what_there_is(field: str, good: list[str], bad: list[str]) -> None:
    column: Any = Location._meta.get_field(field)
    for value in good:
        column.clean(value, None)
    for value in bad:
        with pytest.raises(ValidationError):
            column.clean(value, None)


# Using them


def test_a_days_reading_learns_the_offset_that_the_appointments_show(
    salon: Salon, shows: Callable[..., None]
) -> None:
    shows(timezone=VLADIVOSTOK)
    salon.visit()
    services.read_day(salon.location, today(ZoneInfo(VLADIVOSTOK)))
    assert again(salon.location).time_zone == "Etc/GMT-10"


def test_a_days_reading_of_long_ago_teaches_nothing(salon: Salon, shows: Callable[..., None]) -> None:
    """The offset of another season is not today's."""
    shows(timezone=VLADIVOSTOK)
    long_ago = timezone.now() - datetime.timedelta(days=100)
    salon.ledger.add_visit(salon.location.pk, salon.client, starts_at=long_ago)
    reading = services.read_day(salon.location, long_ago.astimezone(ZoneInfo(VLADIVOSTOK)).date())
    assert reading.visit_count == 1
    assert again(salon.location).time_zone == ""


def test_a_days_reading_is_of_today_there(salon: Salon, shows: Callable[..., None]) -> None:
    for zone in (EARLIEST, LATEST):
        shows(timezone=zone)
        salon.location.time_zone = zone
        assert services.read_day(salon.location).day == today(ZoneInfo(zone))


def test_a_time_without_an_offset_is_the_locations() -> None:
    from altegio_loyalty.client import Record

    location = Location(id=1, title="Salon", time_zone=VLADIVOSTOK)
    record = Record(1, 1, 1, "", 0, "", "", local_start="2026-09-24 09:00:00")
    row: Visit = visit_rows.row_from(location, 1, [], record)
    assert row.starts_at == datetime.datetime(2026, 9, 24, 9, tzinfo=ZoneInfo(VLADIVOSTOK))


def test_without_a_zone_of_its_own_a_location_has_the_sites() -> None:
    location = Location(id=1, title="Salon")
    assert location.zone == timezone.get_current_timezone()
    location.time_zone = "Mars/Olympus"  # kept while this machine still knew it
    assert location.zone == timezone.get_current_timezone()
