"""What the log adds up to: what needs a person now, and points, outcomes and times of a period.

Each function takes the operations that the person may see and asks the database once, whatever their number; points once
for each time zone. A day is one of the operation's location, found by comparing moments: that needs no time-zone tables in
the database.
"""

from __future__ import annotations

import datetime
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate
from typing import Any

from django.db.models import Case, Count, F, FloatField, Func, IntegerField, Q, Sum, Value, When

from altegio_loyalty import kinds
from altegio_loyalty.moments import start_of, today
from altegio_loyalty.querysets import OperationQuerySet, by_zone, in_each_zone
from altegio_loyalty.states import Ending, Status

#: The upper ends, in seconds, of the slots that times are counted in; one more slot holds what took longer.
TIME_LIMITS = (0.5, 1, 2, 3, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 6 * 3600, 24 * 3600)


@dataclass(frozen=True)
class Period:
    """Whole days, both ends included, each location's own. Without locations they are those of the current time zone."""

    first: datetime.date
    last: datetime.date
    locations: Sequence[Any] = ()

    @classmethod
    def of_days(cls, count: int, locations: Sequence[Any] = ()) -> Period:
        """The last days up to and with today, where it has come the furthest."""
        last = latest_today(locations)
        return cls(last - datetime.timedelta(days=count - 1), last, locations)

    @property
    def days(self) -> list[datetime.date]:
        count = (self.last - self.first).days + 1
        return [self.first + datetime.timedelta(days=number) for number in range(count)]

    def narrow(self, rows: OperationQuerySet) -> OperationQuerySet:
        """The operations that were asked for in the period."""
        return rows.filter(in_each_zone(self.locations, self._is_inside))

    def _is_inside(self, zone: datetime.tzinfo | None) -> Q:
        return Q(created_at__gte=start_of(self.first, zone), created_at__lt=start_of(self.last, zone, days=1))


def latest_today(locations: Iterable[Any]) -> datetime.date:
    """Today's date where it has come the furthest."""
    return max(today(zone) for zone in by_zone(locations))


def _slot(lookup: str, limits: Sequence[Any]) -> Any:
    """The number of limits that the value fails, as a balanced tree: a year of days costs nine comparisons a row."""

    def tree(low: int, high: int) -> Any:
        if low == high:
            return Value(low)
        middle = (low + high) // 2
        below = When(**{lookup: limits[middle]}, then=tree(low, middle))
        return Case(below, default=tree(middle + 1, high), output_field=IntegerField())

    return tree(0, len(limits))


# Points


@dataclass
class Moved:
    """Points taken and given back. `unknown_count` operations are done, but Altegio did not show how many."""

    taken: Decimal = Decimal(0)
    given_back: Decimal = Decimal(0)
    unknown_count: int = 0

    def add(self, other: Moved) -> None:
        self.taken += other.taken
        self.given_back += other.given_back
        self.unknown_count += other.unknown_count

    @property
    def net(self) -> Decimal:
        return self.taken - self.given_back


class Points:
    """Points by day and location; a day or location on which none moved is left out of `cells`."""

    def __init__(self, period: Period, cells: dict[tuple[datetime.date, int], Moved]) -> None:
        self.cells = cells
        self.total = Moved()
        self.by_day = {day: Moved() for day in period.days}
        self.by_location: defaultdict[int, Moved] = defaultdict(Moved)
        for (day, location_id), moved in cells.items():
            for sum_of in (self.total, self.by_day[day], self.by_location[location_id]):
                sum_of.add(moved)

    def taken_daily(self, location_id: int) -> list[Decimal]:
        nothing = Moved()
        return [self.cells.get((day, location_id), nothing).taken for day in self.by_day]


def points_by_day(rows: OperationQuerySet, period: Period) -> Points:
    """Points that withdrawals took and that their cancels gave back, by the day on which that was asked for."""
    moving = [kind for kind in kinds.TABLE.values() if kind.moves_points]
    taking = Q(kind__in=[kind.name for kind in moving if kind.is_apply])
    giving = Q(kind__in=[kind.name for kind in moving if not kind.is_apply])
    unknown = (taking & Q(applied_amount=None)) | (
        giving & Q(returned_amount=None) & ~Q(ending=Ending.NOTHING_TO_CANCEL)
    )
    rows = period.narrow(rows).filter(taking | giving, status=Status.SUCCEEDED).order_by()
    sums = {
        "taken": Sum("applied_amount", filter=taking),
        "given_back": Sum("returned_amount", filter=giving),
        "unknown_count": Count("pk", filter=unknown),
    }
    cells, days, zones = {}, period.days, by_zone(period.locations)
    for zone, ids in zones.items():
        of_zone = rows.filter(location_id__in=ids) if len(zones) > 1 else rows
        day = _slot("created_at__lt", [start_of(day, zone) for day in days[1:]])
        for row in of_zone.annotate(day=day).values("day", "location_id").annotate(**sums):
            moved = Moved(_amount(row["taken"]), _amount(row["given_back"]), row["unknown_count"])
            if moved != Moved():
                cells[days[row["day"]], row["location_id"]] = moved
    return Points(period, cells)


def _amount(total: Decimal | None) -> Decimal:
    # SQLite adds up in floating point.
    return (total or Decimal(0)).quantize(Decimal("0.01"))


# Outcomes and times


class _Seconds(Func):
    """Seconds by which the first moment is later. Django's own difference is a Python function on SQLite, and slow."""

    output_field = FloatField()
    arity = 2
    template = "EXTRACT(EPOCH FROM (%(expressions)s))"
    arg_joiner = " - "

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = "ROUND((julianday(%(expressions)s)) * 86400.0, 3)"
        return self.as_sql(compiler, connection, template=template, arg_joiner=") - julianday(", **context)

    def as_mysql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        # Its own difference is of the second moment less the first.
        template = "TIMESTAMPDIFF(MICROSECOND, %(expressions)s) / -1000000.0"
        return self.as_sql(compiler, connection, template=template, arg_joiner=", ", **context)


@dataclass(frozen=True)
class Outcomes:
    """How many operations of each kind are in which state, and how long those took that are done."""

    by_kind: Counter[tuple[str, str]]
    times: list[int]

    @property
    def by_status(self) -> Counter[str]:
        summed: Counter[str] = Counter()
        for (_kind, status), count in self.by_kind.items():
            summed[status] += count
        return summed

    @property
    def count(self) -> int:
        return self.by_kind.total()

    def slot_of_share(self, share: float) -> int | None:
        """The slot of time by whose end this share was done, such as 0.5 for the median; None if nothing was."""
        summed = list(accumulate(self.times))
        return bisect_left(summed, share * summed[-1]) if summed and summed[-1] else None


def outcomes(rows: OperationQuerySet, period: Period) -> Outcomes:
    """Of the operations that were asked for in the period, as they are now."""
    found = (
        period.narrow(rows)
        .order_by()
        .annotate(seconds=_Seconds(F("finished_at"), F("created_at")))
        .annotate(slot=_slot("seconds__lte", TIME_LIMITS))
        .values("kind", "status", "slot")
        .annotate(operation_count=Count("pk"))
    )
    by_kind: Counter[tuple[str, str]] = Counter()
    times = [0] * (len(TIME_LIMITS) + 1)
    for row in found:
        by_kind[row["kind"], row["status"]] += row["operation_count"]
        if row["status"] == Status.SUCCEEDED:
            times[row["slot"]] += row["operation_count"]
    return Outcomes(by_kind, times)
