"""What the log adds up to: what needs a person now, and points, outcomes and times of a period.

Each function asks the database once, whatever the size of the log. Most of it stands in the sums per day (`DaySum`, which
`retention` writes); what is not yet among them is read from the log, in the same statement: what is being added up meanwhile
counts once. A day is one of the operation's location, as known when it was added up. `seen` is what the person may see.
"""

import datetime
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import reduce
from itertools import accumulate
from operator import add, or_, sub
from typing import Any, NamedTuple, Self

from django.db import connections, transaction
from django.db.models import (
    Case,
    CharField,
    Count,
    DateField,
    DateTimeField,
    F,
    FloatField,
    Max,
    Q,
    Sum,
    Value,
    When,
    Window,
)
from django.db.models.functions import Cast, Coalesce, Concat, RowNumber, StrIndex, Substr

from altegio_loyalty import kinds
from altegio_loyalty.models import DaySum, GroupSum, LoyaltyOperation, Visit
from altegio_loyalty.moments import as_local, start_of, today
from altegio_loyalty.querysets import OperationQuerySet, by_zone, in_each_zone
from altegio_loyalty.states import Ending, Status

#: What no state follows on, so that what such an operation adds up to stays.
SETTLED = (Status.SUCCEEDED, Status.REJECTED, Status.ABANDONED)
#: What `with_points` tells of an operation, and `DaySum` of a day.
POINTS = ("taken", "given_back", "unknown_count", "apply_count", "cancel_count")
_SUMS = {f"sum_of_{name}": Sum(name) for name in POINTS}
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

    @property
    def is_known(self) -> bool:
        """Whether any amount of it was shown."""
        return self.unknown_count < max(self.apply_count + self.cancel_count, 1)


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
    summed = _sums(seen & _is_done(MOVING), period, "location_id", "day").annotate(**_SUMS)
    fresh = LoyaltyOperation.objects.filter(seen, _is_done(MOVING), is_summed__in=[False]).order_by()
    found = summed.values_list("location_id", "day", _NO_MOMENT, *_SUMS).union(
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
    taken, given_back = (Decimal(total or 0).quantize(Decimal("0.01")) for total in sums[:2])
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
    """What is told apart: by which key of an operation of which kinds, on the day of which moment."""

    key: Any
    kinds: tuple[str, ...] = MOVING
    moment: str = "moved_at"

    @property
    def key_text(self) -> Any:
        return Coalesce(Cast(self.key, CharField()), Value(""))  # as `GroupSum` has it


#: `bills.titles` puts the end of the card's number behind its title.
_NUMBER = Value(" ···")
_CARD_TYPE = Substr("card_title", 1, StrIndex(Concat("card_title", _NUMBER), _NUMBER) - 1)
#: What reports tell apart, beside what stands in `DaySum`.
GROUPINGS = {
    "person": Grouping(F("requested_by_login")),
    "client": Grouping(F("visit__client_id")),
    "card": Grouping(_CARD_TYPE),
    "promotion": Grouping(F("program_id"), PROMOTIONS, "created_at"),
}
_OF_SUMS = Grouping(None)


def made_of(rows: OperationQuerySet, by: str, period: Period, weekday: int | None = None) -> Any:
    """The operations that figures of a period are from: those that moved points in it, or promotions asked for in it."""
    grouping = GROUPINGS.get(by, _OF_SUMS)
    done = rows.alias(moved_at=MOVED_AT).filter(_is_done(grouping.kinds), _DID)
    return period.narrow(done, grouping.moment, weekday)


def groups(seen: Q, by: str, period: Period, most: int | None = None) -> dict[str, list[tuple[Any, ...]]]:
    """By currency, what `GROUPINGS[by]` tells apart: key, name, and the sums of the period and of the one before.

    With `most`, where points moved, only so many have a name, and at the end of each comes as one without a key what is
    neither among the first so many, nor waits to be added up, nor in a currency with fewer in the period. All figures come
    from one statement; from others, before and after it, which keys are first, and how clients are called.
    """
    places = {row.pk: row for row in period.locations}
    keys, rows = _of_groups(seen, by, period, most)
    found: defaultdict[tuple[str, str | None], list[Moved]] = defaultdict(lambda: [Moved(), Moved()])
    names: dict[str | None, str] = {}
    for pk, key, side, moment, name, *sums in rows:
        if pk not in places:
            continue  # one that is newer than the page
        code, day = places[pk].currency, moment and as_local(moment, places[pk].zone).date()
        if not day or day in period or day in period.before:
            number, moved = bool(side or (day and day < period.first)), _moved(sums)
            # What is done meanwhile by somebody new belongs to the others.
            told_as = key if not day or keys is None or key in keys else None
            found[code, told_as][number] += moved
            if keys is not None and not day and key is not None:
                found[code, None][number] -= moved
            names[told_as] = max(name, names.get(told_as, "")) if by == "promotion" else ""
    lines: defaultdict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for (code, key), both in found.items():
        if key is not None or both != [Moved(), Moved()]:
            lines[code].append((key, *both))
    for told_of in lines.values():
        told_of.sort(key=lambda row: (row[0] is None, *_rank(*row[1:]), row[0]))
    if by == "client":
        shown = [row[0] for told_of in lines.values() for row in told_of[:most] if row[0]]
        names |= _names_of_clients(seen, shown)
    return {
        code: [(row[0], None if row[0] is None else names[row[0]], *row[1:]) for row in told_of]
        for code, told_of in lines.items()
    }


def _of_groups(seen: Q, by: str, period: Period, most: int | None) -> tuple[set[str] | None, Any]:
    """The keys that have a name, `None` being all, and the rows: of sums by key, of all sums without one, of operations."""
    grouping, since_before = GROUPINGS[by], Q(day__range=(period.before.first, period.last))
    done = LoyaltyOperation.objects.filter(seen, _is_done(grouping.kinds), _DID, is_summed__in=[False])
    done = with_points(done.order_by().annotate(keyed=grouping.key_text), grouping.kinds)
    summed = GroupSum.objects.filter(seen, since_before, by=by)

    def told(rows: Any, key: Any, name: Any) -> Any:
        side = Case(When(day__gte=period.first, then=0), default=1)
        sums = rows.values("location_id", keyed=Cast(key, CharField()), side=side)
        sums = sums.annotate(named=Cast(name, CharField()), **_SUMS)
        return sums.values_list("location_id", "keyed", "side", _NO_MOMENT, "named", *_SUMS)

    parts, keys = [told(summed, F("key"), Max("name"))], None
    if most and grouping.kinds == MOVING:
        keys, few = _first(summed, period, most)
        keys |= set(done.values_list("keyed", flat=True))
        named = summed.filter(Q(key__in=keys) | Q(location__in=few))
        # All others are what the days came to, less what is named: far fewer rows than theirs.
        days = DaySum.objects.filter(seen, since_before, _is_done(MOVING))
        parts = [told(named, F("key"), Max("name")), told(days, Value(None), Value(""))]
    # Texts as characters of the connection: see `outcomes`.
    columns = ("location_id", "keyed", Value(0), grouping.moment, Cast("program_title", CharField()), *POINTS)
    return keys, parts[0].union(*parts[1:], done.values_list(*columns), all=True)


def _rank(now: Moved, before: Moved) -> tuple[Any, ...]:
    """As `_first` ranks, and behind it who moved points in the period before alone."""
    return -now.taken, -now.apply_count, now == Moved(), -before.taken if now == Moved() else 0


def _first(summed: Any, period: Period, most: int) -> tuple[set[str], list[int]]:
    """The keys of each currency with most points in the period, and the locations of those that have fewer keys in it."""
    # In floating point, and of the period alone, which is half of the work; no figure is made of it.
    sums = {"points": Sum(Cast("taken", FloatField())), "count": Sum("apply_count")}
    ranked = summed.filter(day__gte=period.first).values("key", code=F("location__currency")).annotate(**sums)
    order, codes = ("-points", "-count", "key"), {row.currency for row in period.locations}
    if len(codes) > 1:
        place = Window(RowNumber(), partition_by="code", order_by=order)
        first = ranked.annotate(place=place).filter(place__lte=most)
    else:
        first = ranked.order_by(*order)[:most]  # sorts no more than so many
    found = [(row["code"], row["key"]) for row in first]
    counted = Counter(code for code, _key in found)
    return {key for _code, key in found}, [row.pk for row in period.locations if counted[row.currency] < most]


def _names_of_clients(seen: Q, keys: Sequence[str]) -> dict[str | None, str]:
    known = Visit.objects.filter(seen, client_id__isnull=False).order_by().values("client_id")
    if len(keys) <= 2000:  # more than so many a statement may not bear
        known = known.filter(client_id__in=[int(key) for key in keys])
    return {str(pk): name for pk, name in known.values_list("client_id", Max("client_name"))}


def bills_by_location(seen: Q, period: Period) -> dict[int, tuple[Any, ...]]:
    """Of the visits on which points moved, as far as the log is kept: how many they are, and of how many the bill is known.

    Then what these bills come to, as last read, and the points that paid of them.
    """
    moved = made_of(LoyaltyOperation.objects.filter(seen), "location", period).order_by()
    visits = moved.values("location_id", "visit_id", total=F("visit__total_amount"))
    paid = Coalesce(Sum("applied_amount"), Decimal(0)) - Coalesce(Sum("returned_amount"), Decimal(0))
    sql, parameters = visits.annotate(paid=paid).query.get_compiler(visits.db).as_sql()
    # The ORM cannot group what is grouped already.
    figures = "COUNT(*), COUNT(total), SUM(total), SUM(CASE WHEN total > 0 THEN paid ELSE 0 END)"
    sql = f"SELECT location_id, {figures} FROM ({sql}) visits GROUP BY location_id"  # noqa: S608
    with transaction.atomic(using=visits.db), connections[visits.db].cursor() as cursor:
        if cursor.db.vendor == "postgresql":
            cursor.execute("SET LOCAL jit = off")  # compiling it takes as long as running it
        cursor.execute(sql, parameters)
        return {pk: (count, known, *_moved(sums)[:2]) for pk, count, known, *sums in cursor.fetchall()}
