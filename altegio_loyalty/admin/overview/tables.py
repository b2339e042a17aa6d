"""The figures of a period as rows, for the tables of the overview and for CSV files."""

import datetime
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.utils.formats import date_format, number_format

from altegio_loyalty.admin.locations import has_several_currencies
from altegio_loyalty.admin.looks import look_of_status
from altegio_loyalty.admin.overview import charts
from altegio_loyalty.models import Location
from altegio_loyalty.states import Kind, Status
from altegio_loyalty.statistics import TIME_LIMITS, Moved, Outcomes, Period, Points
from altegio_loyalty.texts import gettext as _

#: So many locations have a row of their own, those with the most points; the rest share one. The CSV names all.
MOST_LOCATIONS = 20
#: From the outcome that is wanted to those that a person may have to look at.
STATUSES = (
    Status.SUCCEEDED, Status.REJECTED, Status.FAILED, Status.ABANDONED, Status.UNCONFIRMED, Status.PENDING, Status.SENDING,
)  # fmt: skip


@dataclass(frozen=True)
class Shown:
    """The figures of one period, with the locations by id."""

    period: Period
    locations: Mapping[int, Location]
    points: Points
    outcomes: Outcomes

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
        """The most points first."""
        moved = points.by_location.items()
        return sorted(moved, key=lambda item: (-item[1].taken, -item[1].given_back, self.title_of(item[0])))


def grouped(amount: Decimal | int) -> str:
    """The amount in the person's number format, with thousands kept apart."""
    return number_format(amount, decimal_pos=0 if amount == int(amount) else 2, force_grouping=True)


def percent(part: int, whole: int) -> str:
    """`100 %` and `0 %` only where that is exactly so."""
    if part in (0, whole):
        return f"{100 if part else 0} %"
    return f"{number_format(round(min(max(part / whole * 100, 0.1), 99.9), 1), decimal_pos=1)} %"


# Points


def amounts_of(moved: Moved) -> dict[str, str]:
    return {"taken": grouped(moved.taken), "back": grouped(moved.given_back), "net": grouped(moved.net)}


def chart(points: Points, rows: list[dict[str, Any]], name: str, title: str, period: str) -> str:
    """The points by day, as a picture, with each day's in words for who points at its bar."""
    text = _("%(day)s: %(taken)s taken, %(back)s given back")
    days = [
        charts.Day(day, float(moved.taken), float(moved.given_back), text % row)
        for (day, moved), row in zip(points.by_day.items(), rows, strict=True)
    ]
    words = {**amounts_of(points.total), "period": period}
    description = _("%(taken)s points taken and %(back)s given back, %(period)s.") % words
    return charts.day_chart(days, name=name, title=title, description=description)


def sums(shown: Shown, period: str, url_of: Callable[[int], str]) -> Iterator[dict[str, Any]]:
    """What the points of each currency add up to."""
    for number, (currency, points) in enumerate(shown.by_currency().items()):
        title = ", ".join(filter(None, [_("Points taken and given back by day"), currency]))
        rows = [
            {"day": date_format(day, "D j N Y"), "is_empty": moved == Moved(), **amounts_of(moved)}
            for day, moved in points.by_day.items()
        ]
        yield {
            "currency": currency,
            "total": amounts_of(points.total),
            "chart": chart(points, rows, f"altegio-days-{number}", title, period),
            "days": rows[::-1],
            "locations": list(location_rows(shown, points, url_of)),
        }


def location_rows(shown: Shown, points: Points, url_of: Callable[[int], str]) -> Iterator[dict[str, Any]]:
    """The locations with the most points, then one row for all the others."""
    ranked = shown.locations_by_points(points)
    taken = {cell: float(moved.taken) for cell, moved in points.cells.items()}
    most = max((max(moved.taken, moved.given_back) for _location_id, moved in ranked), default=Decimal(0))
    for location_id, moved in ranked[:MOST_LOCATIONS]:
        yield {
            "title": shown.title_of(location_id),
            "url": url_of(location_id),
            "taken_bar": charts.share_bar(float(moved.taken), float(most)),
            "given_back_bar": charts.share_bar(float(moved.given_back), float(most), "given-back"),
            "spark": charts.spark([taken.get((day, location_id), 0.0) for day in points.by_day]),
            **amounts_of(moved),
        }
    if others := ranked[MOST_LOCATIONS:]:
        together = Moved()
        for _location_id, moved in others:
            together.add(moved)
        yield {"title": _("%(count)s others") % {"count": len(others)}, **amounts_of(together)}


# Outcomes


def _with_unknown(known: Iterable[Kind | Status], found: Iterable[str]) -> dict[str, str]:
    """The words by name, and after them what only a newer release knows, by its bare name."""
    words = {choice.value: str(choice.label) for choice in known}
    return {**words, **{name: name for name in sorted(set(found) - set(words))}}


def kinds_of(outcomes: Outcomes) -> dict[str, str]:
    """The kinds of operation, each with the heading of its column."""
    return _with_unknown(Kind, (kind for kind, _status in outcomes.by_kind))


def outcome_rows(shown: Shown, url_of: Callable[[str], str]) -> Iterator[dict[str, Any]]:
    """A row for each state that occurs, with its count for each kind of operation."""
    by_kind, by_status = shown.outcomes.by_kind, shown.outcomes.by_status
    whole, kinds = by_status.total(), kinds_of(shown.outcomes)
    for status, title in _with_unknown(STATUSES, by_status).items():
        if not by_status[status]:
            continue
        look = look_of_status(status)
        yield {
            "title": title,
            "symbol": look.symbol,
            "url": url_of(status),
            "bar": charts.share_bar(by_status[status], whole, look.tone),
            "count": grouped(by_status[status]),
            "percent": percent(by_status[status], whole),
            "by_kind": [grouped(by_kind[kind, status]) for kind in kinds],
        }


# Times


def _length(seconds: float) -> str:
    if seconds < 60:
        return _("%(count)s s") % {"count": number_format(seconds, decimal_pos=0 if seconds >= 1 else 1)}
    if seconds < 3600:
        return _("%(count)s min") % {"count": int(seconds // 60)}
    return _("%(count)s h") % {"count": int(seconds // 3600)}


def _slot_in_words(slot: int) -> str:
    if slot < len(TIME_LIMITS):
        return _("up to %(time)s") % {"time": _length(TIME_LIMITS[slot])}
    return _("longer than %(time)s") % {"time": _length(TIME_LIMITS[-1])}


def time_rows(shown: Shown) -> Iterator[dict[str, Any]]:
    """A row for each slot of time, from the shortest that occurs to the longest, and how much was done by its end."""
    times, whole = shown.outcomes.times, sum(shown.outcomes.times)
    used = [slot for slot, count in enumerate(times) if count]
    done = 0
    for slot in range(used[0], used[-1] + 1) if used else ():
        done += times[slot]
        yield {
            "title": _slot_in_words(slot),
            "bar": charts.share_bar(times[slot], max(times)),
            "count": grouped(times[slot]),
            "done_by_then": percent(done, whole),
        }


def times_in_words(shown: Shown) -> dict[str, str]:
    """How long half of them took at the most, and 95 of 100. Empty where nothing was done."""
    found = {"half": shown.outcomes.slot_of_share(0.5), "most": shown.outcomes.slot_of_share(0.95)}
    return {name: _slot_in_words(slot) for name, slot in found.items() if slot is not None}


# CSV


Table = tuple[Sequence[str], Iterator[Sequence[Any]]]


def _days_csv(shown: Shown) -> Table:
    header = (
        _("Day"), _("Location ID"), _("Location"), _("Points taken"), _("Points given back"), _("Amount unknown"),
        _("Currency"),
    )  # fmt: skip
    rows = (
        (day.isoformat(), pk, shown.title_of(pk), moved.taken, moved.given_back, moved.unknown_count, shown.currency_of(pk))
        for (day, pk), moved in sorted(shown.points.cells.items())
    )  # fmt: skip
    return header, rows


def _locations_csv(shown: Shown) -> Table:
    header = (
        _("Location ID"), _("Location"), _("Points taken"), _("Points given back"), _("Difference"), _("Currency"),
    )  # fmt: skip
    rows = (
        (pk, shown.title_of(pk), moved.taken, moved.given_back, moved.net, shown.currency_of(pk))
        for pk, moved in shown.locations_by_points(shown.points)
    )
    return header, rows


def _outcomes_csv(shown: Shown) -> Table:
    outcomes, kinds = shown.outcomes, kinds_of(shown.outcomes)
    rows = (
        (title, *(outcomes.by_kind[kind, status] for kind in kinds), outcomes.by_status[status])
        for status, title in _with_unknown(STATUSES, outcomes.by_status).items()
    )
    return (_("State"), *kinds.values(), _("All")), rows


def _times_csv(shown: Shown) -> Table:
    rows = ((_slot_in_words(slot), count) for slot, count in enumerate(shown.outcomes.times))
    return (_("Time to done"), _("Operations")), rows


#: The CSV files by the name in their address.
CSV: dict[str, Callable[[Shown], Table]] = {
    "days": _days_csv,
    "locations": _locations_csv,
    "outcomes": _outcomes_csv,
    "times": _times_csv,
}
