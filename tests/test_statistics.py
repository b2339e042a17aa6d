"""What the log adds up to: by the days of the person's time zone, in one query each, on every database."""

from __future__ import annotations

import datetime
import itertools
from collections import Counter
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db.models import Q
from django.utils import timezone

from altegio_loyalty import statistics
from altegio_loyalty.models import Location, LoyaltyOperation, Visit
from altegio_loyalty.statistics import Moved, Period
from tests.delivery.test_recording import old_charset

pytestmark = pytest.mark.django_db

Kind, Status, Ending = LoyaltyOperation.Kind, LoyaltyOperation.Status, LoyaltyOperation.Ending
DAY = datetime.date(2026, 3, 10)
NUMBERS = itertools.count(1)


def at(
    year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0, *, zone: str = "UTC"
) -> datetime.datetime:
    return datetime.datetime(year, month, day, hour, minute, second, tzinfo=ZoneInfo(zone))


@pytest.fixture
def here() -> Visit:
    location = Location.objects.create(id=1, title="Main Street")
    return Visit.objects.create(id=10, location=location, record_id=20)


def add(visit: Visit, status: str = Status.SUCCEEDED, **columns: Any) -> LoyaltyOperation:
    number = next(NUMBERS)
    defaults: dict[str, Any] = {
        "kind": Kind.APPLY_CARD_WITHDRAWAL, "location_id": visit.location_id, "visit": visit, "record_id": 20,
        "card_id": number, "status": status, "idempotency_key": f"figure-{number}", "created_at": at(2026, 3, 10, 12),
    }  # fmt: skip
    defaults |= columns
    if status == Status.SUCCEEDED:
        defaults.setdefault("finished_at", defaults["created_at"] + datetime.timedelta(seconds=2))
    return LoyaltyOperation.objects.create(**defaults)


def points(first: datetime.date = DAY, last: datetime.date | None = None) -> statistics.Points:
    return statistics.points_by_day(Q(), Period(first, last or first))


def outcomes() -> statistics.Outcomes:
    return statistics.outcomes(Q(), Period(DAY, DAY))


# Points


def test_withdrawals_count_as_taken_and_cancels_as_given_back(here: Visit) -> None:
    add(here, amount=100, applied_amount=Decimal("80.10"))
    add(here, amount=100, applied_amount=Decimal("20.20"))
    add(here, kind=Kind.CANCEL_CARD_WITHDRAWAL, returned_amount=Decimal("30.00"))
    assert points().total == Moved(Decimal("100.30"), Decimal("30.00"), 0, 2, 1)
    assert points().total.net == Decimal("70.30")


def test_promotions_move_no_points(here: Visit) -> None:
    add(here, kind=Kind.APPLY_DISCOUNT_PROGRAM, applied_amount=300)
    assert points().cells == {}


@pytest.mark.parametrize("status", [status for status in Status.values if status != Status.SUCCEEDED])
def test_only_what_is_done_moves_points(here: Visit, status: str) -> None:
    add(here, status, amount=100, applied_amount=100)
    assert points().total == Moved()


def test_what_is_done_without_shown_figures_is_counted_apart(here: Visit) -> None:
    add(here, amount=100, applied_amount=None)
    add(here, kind=Kind.CANCEL_CARD_WITHDRAWAL, returned_amount=None)
    add(here, kind=Kind.CANCEL_CARD_WITHDRAWAL, ending=Ending.NOTHING_TO_CANCEL)
    assert points().total == Moved(unknown_count=2, apply_count=1, cancel_count=1)


def test_points_are_apart_by_day_and_location(here: Visit) -> None:
    other = Visit.objects.create(id=11, record_id=21, location=Location.objects.create(id=2, title="Harbour"))
    add(here, applied_amount=1)
    add(here, applied_amount=2, created_at=at(2026, 3, 12, 12))
    add(other, applied_amount=4, created_at=at(2026, 3, 12, 13))
    found = points(DAY, datetime.date(2026, 3, 12))
    assert {key: moved.taken for key, moved in found.cells.items()} == {
        (DAY, 1): 1, (datetime.date(2026, 3, 12), 1): 2, (datetime.date(2026, 3, 12), 2): 4,
    }  # fmt: skip
    assert [moved.taken for moved in found.by_day.values()] == [1, 0, 6]
    assert {pk: moved.taken for pk, moved in found.by_location.items()} == {1: 3, 2: 4}


@pytest.mark.parametrize(
    ("moments", "moved"),
    [
        ({"finished_at": at(2026, 3, 12, 9)}, 12),
        ({"finished_at": at(2026, 3, 12, 9), "unanswered_at": at(2026, 3, 11, 9)}, 11),
        (
            {
                "finished_at": at(2026, 3, 12, 9),
                "unanswered_at": at(2026, 3, 11, 9),
                "sent_at": at(2026, 3, 10, 23),
            },
            10,
        ),
    ],
    ids=["done by then", "late effect of a call", "call that was looked up later"],
)
def test_points_belong_to_the_day_on_which_they_moved(
    here: Visit, moments: dict[str, Any], moved: int
) -> None:
    """A retry on Thursday changes nothing of Monday, nor does a doubt that is settled days later."""
    add(here, applied_amount=5, created_at=at(2026, 3, 9, 12), **moments)
    found = points(datetime.date(2026, 3, 9), datetime.date(2026, 3, 13))
    assert [day.day for day, _location in found.cells] == [moved]


def test_an_empty_log_has_each_day_with_nothing() -> None:
    found = points(DAY, DAY + datetime.timedelta(days=2))
    assert list(found.by_day.values()) == [Moved()] * 3
    assert (found.total, found.by_location) == (Moved(), {})


def test_a_period_begins_at_midnight_and_ends_before_the_next(here: Visit) -> None:
    for moment in (at(2026, 3, 9, 23, 59, 59), at(2026, 3, 11, 0, 0)):
        add(here, applied_amount=100, created_at=moment, finished_at=moment)
    for moment in (at(2026, 3, 10, 0, 0), at(2026, 3, 10, 23, 59, 59)):
        add(here, applied_amount=1, created_at=moment, finished_at=moment)
    assert points().total.taken == 2


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "America/New_York", "Pacific/Kiritimati", "Europe/Riga"])
def test_days_are_those_of_the_current_time_zone(here: Visit, zone: str) -> None:
    for hour, minute, amount in ((0, 0, 1), (23, 59, 2)):
        add(here, applied_amount=amount, created_at=at(2026, 3, 10, hour, minute, zone=zone))
    add(here, applied_amount=4, created_at=at(2026, 3, 11, 0, 0, zone=zone))
    with timezone.override(zone):
        found = points(DAY, DAY + datetime.timedelta(days=1))
    assert [moved.taken for moved in found.by_day.values()] == [3, 4]


@pytest.mark.parametrize(
    ("day", "hours"), [(datetime.date(2026, 3, 29), 23), (datetime.date(2026, 10, 25), 25)]
)
def test_a_day_on_which_the_clocks_change_has_its_own_length(
    here: Visit, day: datetime.date, hours: int
) -> None:
    begins = at(day.year, day.month, day.day, zone="Europe/Riga").astimezone(datetime.UTC)
    for hour in range(-1, 26):
        add(here, applied_amount=1, created_at=begins + datetime.timedelta(hours=hour))
    with timezone.override("Europe/Riga"):
        found = points(day - datetime.timedelta(days=1), day + datetime.timedelta(days=1))
    assert [moved.taken for moved in found.by_day.values()] == [1, hours, 26 - hours]


def test_a_day_without_a_midnight_begins_with_the_leap(here: Visit) -> None:
    leap = at(2026, 4, 23, 22, 0)  # Cairo goes from 24:00 on the 23rd to 01:00 on the 24th
    for moment in (leap - datetime.timedelta(minutes=1), leap):
        add(here, applied_amount=1, created_at=moment)
    with timezone.override("Africa/Cairo"):
        found = points(datetime.date(2026, 4, 23), datetime.date(2026, 4, 24))
    assert [moved.taken for moved in found.by_day.values()] == [1, 1]


def test_a_year_of_days_is_one_query(here: Visit, django_assert_num_queries: Any) -> None:
    last = datetime.date(2026, 12, 31)
    for month in range(1, 13):
        add(here, applied_amount=month, created_at=at(2026, month, 28, 12))
    with django_assert_num_queries(1):
        found = points(datetime.date(2025, 12, 31), last)
    assert {day.month: moved.taken for (day, _), moved in found.cells.items()} == {m: m for m in range(1, 13)}


# Outcomes and times


def test_outcomes_are_counted_by_kind_and_state(here: Visit) -> None:
    add(here)
    add(here, Status.PENDING)
    add(here, Status.FAILED, kind=Kind.APPLY_DISCOUNT_PROGRAM, finished_at=at(2026, 3, 10, 13))
    found = outcomes()
    assert found.by_status.total() == 3
    assert found.by_kind[Kind.APPLY_DISCOUNT_PROGRAM, Status.FAILED] == 1
    assert found.by_status == {Status.SUCCEEDED: 1, Status.PENDING: 1, Status.FAILED: 1}


@pytest.mark.parametrize(
    ("seconds", "slot"), [(0, 0), (0.5, 0), (0.501, 1), (1, 1), (1.2, 2), (60, 8), (61, 9), (100_000, 16)]
)
def test_a_time_is_counted_in_the_slot_that_it_ends_in(here: Visit, seconds: float, slot: int) -> None:
    begun = at(2026, 3, 10, 12, 0, 0)
    add(here, created_at=begun, finished_at=begun + datetime.timedelta(seconds=seconds))
    assert [number for number, count in enumerate(outcomes().times) if count] == [slot]


def test_only_what_is_done_has_a_time(here: Visit) -> None:
    add(here, Status.FAILED, finished_at=at(2026, 3, 10, 13))
    add(here, Status.UNCONFIRMED)
    assert sum(outcomes().times) == 0
    assert outcomes().slot_of_share(0.5) is None


@pytest.mark.parametrize(("share", "slot"), [(0.5, 2), (0.95, 2), (0.96, 4), (1, 4)])
def test_a_share_is_done_by_the_end_of_its_slot(share: float, slot: int) -> None:
    times = [0, 40, 55, 0, 5, *[0] * 12]
    assert statistics.Outcomes(Counter(), Counter(), times).slot_of_share(share) == slot


def test_outcomes_and_times_are_one_query(here: Visit, django_assert_num_queries: Any) -> None:
    add(here)
    with django_assert_num_queries(1):
        outcomes()


@pytest.mark.mariadb
@pytest.mark.django_db(transaction=True)
def test_sums_and_log_add_up_where_their_tables_were_made_with_different_charsets(here: Visit) -> None:
    """Error 1271, of a union."""
    add(here)
    with old_charset("daysum"):
        assert outcomes().by_status == {Status.SUCCEEDED: 1}
