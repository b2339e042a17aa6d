"""How the list of visits is narrowed: by day, today's unless another is asked for, and by location."""

import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.formats import date_format

from altegio_loyalty.admin.locations import LocationFilter, locations_of, locations_shown
from altegio_loyalty.models import Visit
from altegio_loyalty.moments import start_of, today
from altegio_loyalty.querysets import by_zone, in_each_zone
from altegio_loyalty.texts import gettext_lazy

DAY, SEARCH = "day", "q"
#: A client whose visit began no longer ago is taken to be here, or still to pay.
STILL_HERE = datetime.timedelta(hours=2)
#: The days that are asked for by name: how far from today, and what they are called.
_DAYS = {
    "today": (0, gettext_lazy("Today")),
    "yesterday": (-1, gettext_lazy("Yesterday")),
    "tomorrow": (1, gettext_lazy("Tomorrow")),
}
_SEVERAL_DAYS = {"week": gettext_lazy("The last 7 days"), "all": gettext_lazy("Any day")}


def asked_day(request: HttpRequest) -> str:
    """What the list shows: "all", "week", one day by its name, or as a date. A search without a day looks at all of them."""
    asked = request.GET.get(DAY, "")
    if asked in _SEVERAL_DAYS:
        return asked
    if not asked and request.GET.get(SEARCH, "").strip():
        return "all"
    return asked if asked in _DAYS or _as_date(asked) else "today"


def day_in(asked: str, zone: datetime.tzinfo | None) -> datetime.date | None:
    """The date that is asked for, by its name or as a date; the days that have a name begin at other times elsewhere."""
    return today(zone) + datetime.timedelta(days=_DAYS[asked][0]) if asked in _DAYS else _as_date(asked)


def zone_of_list(request: HttpRequest) -> datetime.tzinfo | None:
    """The time zone of all that the list shows; None, the reader's, where there are several."""
    zones = list(by_zone(locations_shown(request)))
    return zones[0] if len(zones) == 1 else None


def _as_date(text: str) -> datetime.date | None:
    try:
        day = datetime.date.fromisoformat(text)
    except ValueError:
        return None
    return day if 1990 <= day.year <= 2200 else None


def one_day(request: HttpRequest) -> datetime.date | None:
    """The day that the list shows, where it is one."""
    return day_in(asked_day(request), zone_of_list(request))


class DayFilter(admin.SimpleListFilter):
    title = gettext_lazy("day")
    parameter_name = DAY

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        self._default = "all" if request.GET.get(SEARCH, "").strip() else "today"
        self._zone, self._asked, self._day = zone_of_list(request), asked_day(request), one_day(request)
        return [*((name, label) for name, (_days, label) in _DAYS.items()), *_SEVERAL_DAYS.items()]

    def choices(self, changelist: Any) -> Any:
        selected = False
        for value, label in self.lookup_choices:
            is_this = value == self._asked or bool(self._day and self._day == day_in(value, self._zone))
            selected = selected or is_this
            # The default needs no word in the address, so that a search from there looks at all days.
            query = changelist.get_query_string({DAY: None if value == self._default else value})
            yield {"selected": is_this, "query_string": query, "display": label}
        if not selected and self._day:
            query = changelist.get_query_string({DAY: self._asked})
            yield {"selected": True, "query_string": query, "display": date_format(self._day, "DATE_FORMAT")}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Visit]) -> QuerySet[Visit]:
        asked = asked_day(request)
        if asked == "all":
            return queryset
        before = -6 if asked == "week" else 0

        def is_inside(zone: datetime.tzinfo | None) -> Q:
            last = day_in(asked, zone) or today(zone)
            begin, end = start_of(last, zone, days=before), start_of(last, zone, days=1)
            return Q(starts_at__gte=begin, starts_at__lt=end)

        return queryset.filter(in_each_zone(locations_shown(request), is_inside))


class VisitLocationFilter(LocationFilter):
    """Offers the person's own locations, where there are several."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        locations = locations_of(request)
        return [(str(location.pk), location.title) for location in locations] if len(locations) > 1 else []


def name_of_day(request: HttpRequest) -> str:
    """What the list shows, as a heading."""
    asked = asked_day(request)
    if asked in _SEVERAL_DAYS:
        return str(_SEVERAL_DAYS[asked])
    zones = by_zone(locations_shown(request))
    if len(days := {day_in(asked, zone) for zone in zones}) > 1:
        return str(_DAYS[asked][1])
    day = days.pop() or today()
    if day.year != today().year:
        return date_format(day, "DATE_FORMAT")
    # A date can be today's in one location and yesterday's in another; then it has no name.
    away = {(day - today(zone)).days for zone in zones}
    named = dict(_DAYS.values()).get(away.pop()) if len(away) == 1 else None
    # The day of the week stands at the beginning or not at all: inside a line only some languages write it large.
    return f"{named}, {date_format(day, 'j E')}" if named else date_format(day, "l, j E")
