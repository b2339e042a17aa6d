"""What the log adds up to: what needs a person now, and points, outcomes and times of a period.

Each function asks the database once, whatever the size of the log. Most of it stands in the sums per day (`DaySum`, which
`retention` writes); what is not yet among them is read from the log, in the same statement: what is being added up meanwhile
counts once. A day is one of the operation's location, as known when it was added up. `seen` is what the person may see.
"""

import datetime
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate
from operator import add
from typing import Any, NamedTuple, Self

from django.db.models import Case, CharField, Count, DateField, DateTimeField, Q, Sum, Value, When
from django.db.models.functions import Cast, Coalesce

from altegio_loyalty import kinds
from altegio_loyalty.models import DaySum, LoyaltyOperation
from altegio_loyalty.moments import as_local, start_of, today
from altegio_loyalty.querysets import OperationQuerySet, by_zone, in_each_zone
from altegio_loyalty.states import Ending, Status

#: What no state follows on, so that what such an operation adds up to stays.
SETTLED = (Status.SUCCEEDED, Status.REJECTED, Status.ABANDONED)
#: What `with_points` tells of an operation, and `DaySum` of a day.
POINTS = ("taken", "given_back", "unknown_count")
_NO_MOMENT = Cast(Value(None), DateTimeField())
#: The upper ends, in seconds, of the slots that times are counted in; one more slot holds what took longer.
TIME_LIMITS = (0.5, 1, 2, 3, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 6 * 3600, 24 * 3600)


@dataclass(frozen=True)
class Period:
    """Whole days, both ends included, each location's own. Without locations they are those of the current time zone."""

    first: datetime.date
    last: datetime.date
    locations: Sequence[Any] = ()

    @classmethod
    def of_days(cls, count: int, locations: Sequence[Any] = ()) -> Self:
        """The last days up to and with today, where it has come the furthest."""
        last = latest_today(locations)
        return cls(last - datetime.timedelta(days=count - 1), last, locations)

    @property
    def days(self) -> list[datetime.date]:
        count = (self.last - self.first).days + 1
        return [self.first + datetime.timedelta(days=number) for number in range(count)]

    def narrow(self, rows: OperationQuerySet) -> OperationQuerySet:
        """The operations that were asked for in the period."""

        def is_inside(zone: datetime.tzinfo | None) -> Q:
            end = start_of(self.last, zone, days=1)
            return Q(created_at__gte=start_of(self.first, zone), created_at__lt=end)

        return rows.filter(in_each_zone(self.locations, is_inside))


def latest_today(locations: Iterable[Any]) -> datetime.date:
    """Today's date where it has come the furthest."""
    return max(today(zone) for zone in by_zone(locations))


class Moved(NamedTuple):
    """Points taken and given back. `unknown_count` operations are done, but Altegio did not show how many."""

    taken: Decimal = Decimal(0)
    given_back: Decimal = Decimal(0)
    unknown_count: int = 0

    def __add__(self, other: "Moved") -> "Moved":  # type: ignore[override]
        return Moved(*map(add, self, other))

    @property
    def net(self) -> Decimal:
        return self.taken - self.given_back


class Points:
    """Points by day and location; a day or location on which none moved is left out of `cells`."""

    def __init__(self, period: Period, cells: dict[tuple[datetime.date, int], Moved]) -> None:
        self.cells = cells
        self.by_day = dict.fromkeys(period.days, Moved())
        self.by_location: defaultdict[int, Moved] = defaultdict(Moved)
        for (day, location_id), moved in cells.items():
            self.by_day[day] += moved
            self.by_location[location_id] += moved
        self.total = sum(self.by_day.values(), Moved())


_MOVING = [kind.name for kind in kinds.TABLE.values() if kind.moves_points]
_MOVED = Q(kind__in=_MOVING, status=Status.SUCCEEDED)
_UNKNOWN = _MOVED & Q(applied_amount=None, returned_amount=None) & ~Q(ending=Ending.NOTHING_TO_CANCEL)


def _sums(seen: Q, period: Period, *by: str) -> Any:
    return DaySum.objects.filter(seen, day__range=(period.first, period.last)).values(*by)


def with_points(rows: OperationQuerySet) -> Any:
    """With the points that each took and gave back, and `moved_at`, when they moved: when its last call left."""
    return rows.annotate(
        moved_at=Coalesce("sent_at", "unanswered_at", "finished_at", "created_at"),
        taken=Case(When(_MOVED, then="applied_amount")),
        given_back=Case(When(_MOVED, then="returned_amount")),
        unknown_count=Case(When(_UNKNOWN, then=1), default=0),
    )


def points_by_day(seen: Q, period: Period) -> Points:
    """Points that withdrawals took and that cancels gave back, of what the person may see, by the day they moved on."""
    amounts = {"out": Sum("taken"), "back": Sum("given_back"), "unknown": Sum("unknown_count")}
    summed = _sums(seen, period, "location_id", "day").annotate(**amounts)
    fresh = LoyaltyOperation.objects.filter(seen, _MOVED, is_summed__in=[False]).order_by()
    found = summed.values_list("location_id", "day", _NO_MOMENT, *amounts).union(
        with_points(fresh).values_list("location_id", Cast(Value(None), DateField()), "moved_at", *POINTS),
        all=True,
    )
    zones = {pk: zone for zone, ids in by_zone(period.locations).items() for pk in ids}
    cells: defaultdict[tuple[datetime.date, int], Moved] = defaultdict(Moved)
    for location_id, summed_day, moved_at, taken, given_back, unknown_count in found:
        day = summed_day or as_local(moved_at, zones.get(location_id)).date()
        if period.first <= day <= period.last:
            cells[day, location_id] += Moved(_amount(taken), _amount(given_back), unknown_count)
    return Points(period, {cell: moved for cell, moved in cells.items() if moved != Moved()})


def _amount(total: Decimal | None) -> Decimal:
    # SQLite adds up in floating point.
    return (total or Decimal(0)).quantize(Decimal("0.01"))


def slot_of(status: str, asked_at: datetime.datetime, finished_at: datetime.datetime | None) -> int:
    """The slot of the time until it was done; 0 for what was not."""
    seconds = (finished_at - asked_at).total_seconds() if finished_at else 0
    return bisect_left(TIME_LIMITS, seconds) if status == Status.SUCCEEDED else 0


@dataclass(frozen=True)
class Outcomes:
    """How many operations of each kind are in which state, and how long those took that are done."""

    by_kind: Counter[tuple[str, str]]
    by_status: Counter[str]
    times: list[int]

    def slot_of_share(self, share: float) -> int | None:
        """The slot of time by whose end this share was done, such as 0.5 for the median; None if nothing was."""
        summed = list(accumulate(self.times))
        return bisect_left(summed, share * summed[-1]) if summed and summed[-1] else None


def outcomes(seen: Q, period: Period) -> Outcomes:
    """Of the operations that were asked for in the period, as they are now, and as far as the person may see them."""
    log = period.narrow(LoyaltyOperation.objects.filter(seen, is_summed__in=[False])).order_by()
    summed = _sums(seen, period, "kind", "status", "slot").annotate(count=Sum("asked_count"))
    settled = log.filter(status__in=SETTLED)
    others = log.exclude(status__in=SETTLED).values("kind", "status").annotate(count=Count("pk"))
    # As characters of the connection: MariaDB refuses a union of columns whose tables were made with different collations.
    what = (Cast("kind", CharField()), Cast("status", CharField()))
    found = summed.values_list(*what, "slot", "count", _NO_MOMENT, _NO_MOMENT).union(
        settled.values_list(*what, Value(0), Value(1), "created_at", "finished_at"),
        others.values_list(*what, Value(0), "count", _NO_MOMENT, _NO_MOMENT),
        all=True,
    )
    by_kind: Counter[tuple[str, str]] = Counter()
    by_status: Counter[str] = Counter()
    times = [0] * (len(TIME_LIMITS) + 1)
    for kind, status, slot, count, asked_at, finished_at in found:
        by_kind[kind, status] += count
        by_status[status] += count
        if status == Status.SUCCEEDED:
            # MariaDB makes decimals of whole numbers that stand in a union.
            times[slot_of(status, asked_at, finished_at) if asked_at else int(slot)] += int(count)
    return Outcomes(+by_kind, +by_status, times)
