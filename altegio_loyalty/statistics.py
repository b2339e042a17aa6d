"""What the log adds up to: what needs a person now, and points, outcomes and times of a period.

Each function asks the database once, whatever the size of the log. Most of it stands in the sums per day (`DaySum`, which
`retention` writes); what is not yet among them is read from the log, in the same statement: what is being added up meanwhile
counts once. A day is one of the operation's location, as known when it was added up. `seen` is what the person may see.
"""

import datetime
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import reduce
from itertools import accumulate
from operator import add, or_, sub
from typing import Any, NamedTuple, Self

from django.db.models import (
    Case,
    CharField,
    Count,
    DateField,
    DateTimeField,
    F,
    Max,
    Q,
    Sum,
    Value,
    When,
    Window,
)
from django.db.models.functions import Cast, Coalesce, Concat, RowNumber, StrIndex, Substr

from altegio_loyalty import kinds
from altegio_loyalty.models import DaySum, LoyaltyOperation, Visit, WatchEntry
from altegio_loyalty.moments import as_local, start_of, today
from altegio_loyalty.querysets import OperationQuerySet, by_zone, in_each_zone
from altegio_loyalty.states import Ending, Status

#: The entry that `retention` leaves.
PRUNED = "pruned"
#: What no state follows on, so that what such an operation adds up to stays.
SETTLED = (Status.SUCCEEDED, Status.REJECTED, Status.ABANDONED)
#: What `with_points` tells of an operation, and `DaySum` of a day.
POINTS = ("taken", "given_back", "unknown_count", "apply_count", "cancel_count")
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

    def __contains__(self, day: datetime.date) -> bool:
        return self.first <= day <= self.last

    @property
    def before(self) -> Self:
        """As many days, right before it."""
        days = datetime.timedelta(days=(self.last - self.first).days + 1)
        return replace(self, first=self.first - days, last=self.last - days)

    def narrow(
        self, rows: OperationQuerySet, moment: str = "created_at", weekday: int | None = None
    ) -> OperationQuerySet:
        """The operations that were asked for in the period, or whose `moment` is in it; of a weekday, 1 to 7, alone."""
        days = [(day, day) for day in self.days if day.isoweekday() == weekday]

        def is_inside(zone: datetime.tzinfo | None) -> Q:
            spans = (
                (start_of(first, zone), start_of(last, zone, days=1))
                for first, last in ([(self.first, self.last)] if weekday is None else days)
            )
            return reduce(or_, (Q(**{f"{moment}__gte": begin, f"{moment}__lt": end}) for begin, end in spans))

        return rows.none() if weekday and not days else rows.filter(in_each_zone(self.locations, is_inside))


def latest_today(locations: Iterable[Any]) -> datetime.date:
    """Today's date where it has come the furthest."""
    return max(today(zone) for zone in by_zone(locations))


class Moved(NamedTuple):
    """Points taken and given back, by so many withdrawals and cancels; `unknown_count` of them did not show how many."""

    taken: Decimal = Decimal(0)
    given_back: Decimal = Decimal(0)
    unknown_count: int = 0
    apply_count: int = 0
    cancel_count: int = 0

    def __add__(self, other: "Moved") -> "Moved":  # type: ignore[override]
        return Moved(*map(add, self, other))

    def __sub__(self, other: "Moved") -> "Moved":
        return Moved(*map(sub, self, other))

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


APPLIES = [kind.name for kind in kinds.TABLE.values() if kind.is_apply]
MOVING = tuple(kind.name for kind in kinds.TABLE.values() if kind.moves_points)
PROMOTIONS = tuple(kind.name for kind in kinds.TABLE.values() if kind.takes_program)
#: When points moved: when the last call left.
MOVED_AT = Coalesce("sent_at", "unanswered_at", "finished_at", "created_at")


def _is_done(names: Iterable[str]) -> Q:
    return Q(kind__in=names, status=Status.SUCCEEDED)


#: Of what is done, what did something.
_DID = ~Q(ending=Ending.NOTHING_TO_CANCEL)


def _sums(seen: Q, period: Period, *by: str) -> Any:
    return DaySum.objects.filter(seen, day__range=(period.first, period.last)).values(*by)


def with_points(rows: OperationQuerySet, names: Iterable[str] = MOVING) -> Any:
    """With the points that each took and gave back, and `moved_at`, when they moved; of these kinds."""
    done = _is_done(names)
    did = {
        "unknown_count": Q(applied_amount=None, returned_amount=None),
        "apply_count": Q(kind__in=APPLIES),
        "cancel_count": ~Q(kind__in=APPLIES),
    }
    return rows.annotate(
        moved_at=MOVED_AT,
        taken=Case(When(done, then="applied_amount")),
        given_back=Case(When(done, then="returned_amount")),
        **{name: Case(When(done & _DID & which, then=1), default=0) for name, which in did.items()},
    )


def points_by_day(seen: Q, period: Period) -> Points:
    """Points that withdrawals took and that cancels gave back, of what the person may see, by the day they moved on."""
    amounts = {f"sum_of_{name}": Sum(name) for name in POINTS}
    summed = _sums(seen, period, "location_id", "day").annotate(**amounts)
    fresh = LoyaltyOperation.objects.filter(seen, _is_done(MOVING), is_summed__in=[False]).order_by()
    found = summed.values_list("location_id", "day", _NO_MOMENT, *amounts).union(
        with_points(fresh).values_list("location_id", Cast(Value(None), DateField()), "moved_at", *POINTS),
        all=True,
    )
    zones = {pk: zone for zone, ids in by_zone(period.locations).items() for pk in ids}
    cells: defaultdict[tuple[datetime.date, int], Moved] = defaultdict(Moved)
    for location_id, summed_day, moved_at, *moved in found:
        day = summed_day or as_local(moved_at, zones.get(location_id)).date()
        if day in period:
            cells[day, location_id] += _moved(moved)
    return Points(period, {cell: moved for cell, moved in cells.items() if moved != Moved()})


def _moved(sums: Sequence[Any]) -> Moved:
    """Of the sums in the order of `POINTS`."""
    # SQLite adds up in floating point, and MariaDB makes decimals of whole numbers that stand in a union.
    taken, given_back = ((total or Decimal(0)).quantize(Decimal("0.01")) for total in sums[:2])
    return Moved(taken, given_back, *(int(count or 0) for count in sums[2:]))


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


class Grouping(NamedTuple):
    """What the log is told apart by: its key, and what that is called."""

    key: Any
    name: Any
    kinds: tuple[str, ...] = MOVING
    moment: str = "moved_at"


#: `bills.titles` puts the end of the card's number behind its title.
_NUMBER = Value(" ···")
_CARD_TYPE = Substr("card_title", 1, StrIndex(Concat("card_title", _NUMBER), _NUMBER) - 1)
#: What only the log tells apart, since `DaySum` does not keep it.
GROUPINGS = {
    "person": Grouping(F("requested_by_login"), F("requested_by_login")),
    "client": Grouping(F("visit__client_id"), F("visit__client_name")),
    "card": Grouping(_CARD_TYPE, _CARD_TYPE),
    "promotion": Grouping(F("program_id"), F("program_title"), PROMOTIONS, "created_at"),
}
_OF_SUMS = Grouping(None, None)


def made_of(rows: OperationQuerySet, by: str, period: Period, weekday: int | None = None) -> Any:
    """The operations that figures of a period are from: those that moved points in it, or promotions asked for in it."""
    grouping = GROUPINGS.get(by, _OF_SUMS)
    done = rows.alias(moved_at=MOVED_AT).filter(_is_done(grouping.kinds), _DID)
    return period.narrow(done, grouping.moment, weekday)


def groups(
    seen: Q, by: str, period: Period, *, most: int | None = None, apart: bool = False
) -> Iterator[tuple[Any, str, str, Moved, Moved]]:
    """The log by one of `GROUPINGS`, as far as it is kept, or the `most` first; with `apart` in each currency.

    Key, name and currency, with the sums of the period and of the one before.
    """
    grouping = GROUPINGS[by]
    rows = made_of(LoyaltyOperation.objects.filter(seen), by, replace(period, first=period.before.first))
    since = f"{grouping.moment}__gte"
    now = in_each_zone(period.locations, lambda zone: Q(**{since: start_of(period.first, zone)}))
    columns = _sums_of("now", now) | _sums_of("both", Q())
    currency = F("location__currency") if apart else Value("")
    found = (
        rows.order_by()
        .values(key=grouping.key, currency=currency)
        .annotate(name=Max(grouping.name), **columns)
    )
    order = F("now_taken").desc(), F("now_apply_count").desc(), F("both_taken").desc(), F("key").asc()
    found = found.annotate(rank=Window(RowNumber(), partition_by=F("currency"), order_by=order)).order_by(
        "rank"
    )
    told = (found.filter(rank__lte=most) if most else found).values_list("key", "name", "currency", *columns)
    for key, name, code, *sums in told:
        now_moved, both = _moved(sums[: len(POINTS)]), _moved(sums[len(POINTS) :])
        yield key, name, code, now_moved, both - now_moved


def _sums_of(name: str, rows: Q) -> dict[str, Any]:
    """In the order of `POINTS`, of operations that are done and did something."""
    counted = Q(applied_amount=None, returned_amount=None), Q(kind__in=APPLIES), ~Q(kind__in=APPLIES)
    amounts = (
        Sum(column, filter=rows, default=Decimal(0)) for column in ("applied_amount", "returned_amount")
    )
    counts = (Count("pk", filter=rows & which) for which in counted)
    return {f"{name}_{what}": column for what, column in zip(POINTS, (*amounts, *counts), strict=True)}


def bills_by_location(seen: Q, period: Period) -> dict[int, tuple[int, int, Decimal, Decimal]]:
    """Of the visits on which points moved, as far as the log is kept: how many they are, and of how many the bill is known.

    Then what these bills come to, as last read, and the points that paid of them.
    """
    moved = made_of(LoyaltyOperation.objects.filter(seen), "location", period).order_by()
    visits = Visit.objects.filter(pk__in=moved.values("visit_id")).order_by().values("location_id")
    known = moved.filter(visit__total_amount__gt=0).values("location_id")
    sums = known.values_list("location_id", Sum("applied_amount"), Sum("returned_amount"))
    paid = {pk: _moved(amounts).net for pk, *amounts in sums}
    found = visits.values_list(
        "location_id", Count("pk"), Count("total_amount"), Sum("total_amount", default=Decimal(0))
    )
    return {pk: (*bills, paid.get(pk, Decimal(0))) for pk, *bills in found}


def whole_since() -> datetime.datetime | None:
    """From when on the log is whole; None where none of it was ever pruned."""
    return WatchEntry.objects.filter(open_key=PRUNED).values_list("began_at", flat=True).first()
