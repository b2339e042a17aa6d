"""The figures of a period as rows, for the tables of the overview and for files."""

import datetime
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import cached_property
from itertools import accumulate
from typing import Any

from django.db.models import Q
from django.utils.formats import date_format, number_format

from altegio_loyalty import statistics
from altegio_loyalty.admin.locations import has_several_currencies
from altegio_loyalty.admin.looks import look_of_status
from altegio_loyalty.admin.overview import charts
from altegio_loyalty.models import Location
from altegio_loyalty.states import Kind, Status
from altegio_loyalty.statistics import TIME_LIMITS, Moved, Period, Points
from altegio_loyalty.texts import gettext as _

#: So many locations have a row of their own, those with the most points; the rest share one. The CSV names all.
MOST_LOCATIONS = 20
#: From the outcome that is wanted to those that a person may have to look at.
STATUSES = (
    Status.SUCCEEDED, Status.REJECTED, Status.FAILED, Status.ABANDONED, Status.UNCONFIRMED, Status.PENDING, Status.SENDING,
)  # fmt: skip
Row = dict[str, Any]
#: The rows of a file, with its header first, and with the currency last where there are amounts.
Table = Iterator[Sequence[Any]]


class Shown:
    """The figures of one period, of what the person may see, with the locations by id."""

    def __init__(self, seen: Q, period: Period, locations: Mapping[int, Location]) -> None:
        self.seen, self.period, self.locations = seen, period, locations
        self.points = statistics.points_by_day(seen, period)

    @cached_property
    def outcomes(self) -> statistics.Outcomes:
        return statistics.outcomes(self.seen, self.period)

    @cached_property
    def kinds(self) -> dict[str, str]:
        """The kinds of operation, each with the heading of its column."""
        return _with_unknown(Kind, (kind for kind, _status in self.outcomes.by_kind))

    @cached_property
    def statuses(self) -> dict[str, str]:
        return _with_unknown(STATUSES, self.outcomes.by_status)

    def title_of(self, location_id: int) -> str:
        return self.locations[location_id].title if location_id in self.locations else str(location_id)

    def currency_of(self, location_id: int) -> str:
        return self.locations[location_id].currency if location_id in self.locations else ""

    def by_currency(self) -> dict[str, Points]:
        """The points by the name of their currency, where there are several: those of two are never added up."""
        if not has_several_currencies(self.locations.values()):
            return {"": self.points} if self.points.cells else {}
        cells: defaultdict[str, dict[tuple[datetime.date, int], Moved]] = defaultdict(dict)
        for (day, location_id), moved in self.points.cells.items():
            name = self.currency_of(location_id) or _("Currency not known")
            cells[name][day, location_id] = moved
        return {name: Points(self.period, cells[name]) for name in sorted(cells)}

    def locations_by_points(self, points: Points) -> list[tuple[int, Moved]]:
        moved = points.by_location.items()
        return sorted(moved, key=lambda item: (-item[1].taken, -item[1].given_back, self.title_of(item[0])))

    def sums(self, period: str, url_of: Callable[[int], str]) -> Iterator[Row]:
        """What the points of each currency add up to, with the days as a picture too; each in words for who points at it."""
        words = _("%(day)s: %(taken)s taken, %(back)s given back")
        text = _("%(taken)s points taken and %(back)s given back, %(period)s.")
        for number, (currency, points) in enumerate(self.by_currency().items()):
            title, total = _("Points taken and given back by day"), amounts_of(points.total)
            rows = [
                {"day": date_format(day, "D j N Y"), "is_empty": moved == Moved(), **amounts_of(moved)}
                for day, moved in points.by_day.items()
            ]
            slots = [
                (
                    date_format(day, "j M"),
                    [
                        charts.Bar(float(moved.taken), words % row),
                        charts.Bar(-float(moved.given_back), words % row, "given-back"),
                    ],
                )
                for (day, moved), row in zip(points.by_day.items(), rows, strict=True)
            ]
            chart = charts.chart(
                slots,
                name=f"altegio-days-{number}",
                title=f"{title}, {currency}" if currency else title,
                description=text % {**total, "period": period},
            )
            parts = {"days": rows[::-1], "locations": list(self.location_rows(points, url_of))}
            yield {"currency": currency, "total": total, "chart": chart, **parts}

    def location_rows(self, points: Points, url_of: Callable[[int], str]) -> Iterator[Row]:
        """The locations with the most points, then one row for all the others."""
        ranked = self.locations_by_points(points)
        taken = {cell: float(moved.taken) for cell, moved in points.cells.items()}
        most = float(max((max(moved.taken, moved.given_back) for _pk, moved in ranked), default=0))
        for pk, moved in ranked[:MOST_LOCATIONS]:
            yield {
                "title": self.title_of(pk),
                "url": url_of(pk),
                "taken_bar": charts.share_bar(float(moved.taken), most),
                "given_back_bar": charts.share_bar(float(moved.given_back), most, "given-back"),
                "spark": charts.spark([taken.get((day, pk), 0.0) for day in points.by_day]),
                **amounts_of(moved),
            }
        if others := ranked[MOST_LOCATIONS:]:
            together = sum((moved for _pk, moved in others), Moved())
            yield {"title": _("%(count)s others") % {"count": len(others)}, **amounts_of(together)}

    def outcome_rows(self, url_of: Callable[[str], str]) -> Iterator[Row]:
        """A row for each state that occurs, with its count for each kind of operation."""
        by_kind, by_status = self.outcomes.by_kind, self.outcomes.by_status
        for status, title in self.statuses.items():
            if not by_status[status]:
                continue
            look = look_of_status(status)
            yield {
                "title": title,
                "symbol": look.symbol,
                "url": url_of(status),
                "bar": charts.share_bar(by_status[status], by_status.total(), look.tone),
                "count": grouped(by_status[status]),
                "percent": percent(by_status[status], by_status.total()),
                "by_kind": [grouped(by_kind[kind, status]) for kind in self.kinds],
            }

    def time_rows(self) -> Iterator[Row]:
        """A row for each slot of time, from the shortest that occurs to the longest, and how much was done by its end."""
        times, done = self.outcomes.times, list(accumulate(self.outcomes.times))
        used = [slot for slot, count in enumerate(times) if count]
        for slot in range(used[0], used[-1] + 1) if used else ():
            yield {
                "title": _slot_in_words(slot),
                "bar": charts.share_bar(times[slot], max(times)),
                "count": grouped(times[slot]),
                "done_by_then": percent(done[slot], done[-1]),
            }

    def times_in_words(self) -> dict[str, str]:
        """How long half of them took at the most, and 95 of 100. Empty where nothing was done."""
        found = {"half": self.outcomes.slot_of_share(0.5), "most": self.outcomes.slot_of_share(0.95)}
        return {name: _slot_in_words(slot) for name, slot in found.items() if slot is not None}

    def days_csv(self) -> Table:
        yield (
            _("Day"), _("Location ID"), _("Location"), _("Points taken"), _("Points given back"), _("Amount unknown"),
            _("Currency"),
        )  # fmt: skip
        for (day, pk), moved in sorted(self.points.cells.items()):
            figures = moved.taken, moved.given_back, moved.unknown_count
            yield day, pk, self.title_of(pk), *figures, self.currency_of(pk)

    def locations_csv(self) -> Table:
        yield (
            _("Location ID"), _("Location"), _("Points taken"), _("Points given back"), _("Difference"), _("Currency"),
        )  # fmt: skip
        for pk, moved in self.locations_by_points(self.points):
            yield pk, self.title_of(pk), moved.taken, moved.given_back, moved.net, self.currency_of(pk)

    def outcomes_csv(self) -> Table:
        yield _("State"), *self.kinds.values(), _("All")
        for status, title in self.statuses.items():
            counts = (self.outcomes.by_kind[kind, status] for kind in self.kinds)
            yield title, *counts, self.outcomes.by_status[status]

    def times_csv(self) -> Table:
        yield _("Time to done"), _("Operations")
        yield from ((_slot_in_words(slot), count) for slot, count in enumerate(self.outcomes.times))


#: The CSV files by the name in their address.
CSV: dict[str, Callable[[Shown], Table]] = {
    "days": Shown.days_csv,
    "locations": Shown.locations_csv,
    "outcomes": Shown.outcomes_csv,
    "times": Shown.times_csv,
}


def _with_unknown(known: Iterable[Kind | Status], found: Iterable[str]) -> dict[str, str]:
    """The words by name, and after them what only a newer release knows, by its bare name."""
    words = {choice.value: str(choice.label) for choice in known}
    return {**words, **{name: name for name in sorted(set(found) - set(words))}}


def grouped(amount: Decimal | int) -> str:
    """The amount in the person's number format, with thousands kept apart."""
    return number_format(amount, decimal_pos=0 if amount == int(amount) else 2, force_grouping=True)


def percent(part: int, whole: int) -> str:
    """`100 %` and `0 %` only where that is exactly so."""
    if part in (0, whole):
        return f"{100 if part else 0} %"
    return f"{number_format(round(min(max(part / whole * 100, 0.1), 99.9), 1), decimal_pos=1)} %"


def amounts_of(moved: Moved) -> dict[str, str]:
    return {"taken": grouped(moved.taken), "back": grouped(moved.given_back), "net": grouped(moved.net)}


def _slot_in_words(slot: int) -> str:
    if slot < len(TIME_LIMITS):
        return _("up to %(time)s") % {"time": _length(TIME_LIMITS[slot])}
    return _("longer than %(time)s") % {"time": _length(TIME_LIMITS[-1])}


def _length(seconds: float) -> str:
    if seconds < 60:
        return _("%(count)s s") % {"count": number_format(seconds, decimal_pos=0 if seconds >= 1 else 1)}
    if seconds < 3600:
        return _("%(count)s min") % {"count": int(seconds // 60)}
    return _("%(count)s h") % {"count": int(seconds // 3600)}
