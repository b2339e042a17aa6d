"""How the list of visits is narrowed and searched: by day, today's unless another is asked for, and by location."""

from __future__ import annotations

import datetime
import re
from typing import Any

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from altegio_loyalty.access import find_phone, visible_to
from altegio_loyalty.admin.locations import LocationFilter
from altegio_loyalty.admin.pages import as_id
from altegio_loyalty.models import Location, Visit
from altegio_loyalty.moments import start_of, today

DAY, SEARCH = "day", "q"
#: The days that are asked for by name: how far from today, and what they are called.
_DAYS = {
    "today": (0, gettext_lazy("Today")),
    "yesterday": (-1, gettext_lazy("Yesterday")),
    "tomorrow": (1, gettext_lazy("Tomorrow")),
}
_SEVERAL_DAYS = {"week": gettext_lazy("The last 7 days"), "all": gettext_lazy("Any day")}
_WHAT_STANDS_IN_PHONES = re.compile(r"[\s()+.\-]")
#: Fewer digits are no whole phone.
WHOLE_PHONE_DIGITS = 9
_NOTHING = Q(pk__in=[])
#: So many words of a search are looked at.
MOST_WORDS = 6


def locations_for(request: HttpRequest) -> list[Location]:
    """The locations that the person may see, by title; read once for a request, without their tokens."""
    if not hasattr(request, "_altegio_locations"):
        rows = Location.objects.only("title", "is_active", "refused_at", "visits_read_at")
        request._altegio_locations = list(visible_to(request.user, rows))  # type: ignore[attr-defined]
    locations: list[Location] = request._altegio_locations  # type: ignore[attr-defined]
    return locations


def chosen_location(request: HttpRequest) -> Location | None:
    """The location that the list is narrowed to, if the person may see it; the only one where there is only one."""
    locations = locations_for(request)
    number = as_id(request.GET.get(VisitLocationFilter.parameter_name))
    if number is None:
        return locations[0] if len(locations) == 1 else None
    return next((location for location in locations if location.pk == number), None)


def asked_day(request: HttpRequest) -> str:
    """What the list shows: "all", "week", or one day as a date. A search without a day looks at all of them."""
    asked = request.GET.get(DAY, "")
    if asked in _SEVERAL_DAYS:
        return asked
    if not asked and request.GET.get(SEARCH, "").strip():
        return "all"
    return _date_of(asked) or today().isoformat()


def _date_of(asked: str) -> str:
    """A day that is asked for by name or by its date, as a date; empty where it is neither."""
    day = today() + datetime.timedelta(days=_DAYS[asked][0]) if asked in _DAYS else _as_date(asked)
    return day.isoformat() if day else ""


def _as_date(text: str) -> datetime.date | None:
    try:
        day = datetime.date.fromisoformat(text)
    except ValueError:
        return None
    return day if 1990 <= day.year <= 2200 else None


def one_day(request: HttpRequest) -> datetime.date | None:
    """The day that the list shows, where it is one."""
    return _as_date(asked_day(request))


class DayFilter(admin.SimpleListFilter):
    title = gettext_lazy("day")
    parameter_name = DAY

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        self._is_search = bool(request.GET.get(SEARCH, "").strip())
        self._asked = asked_day(request)
        return [*((name, label) for name, (_days, label) in _DAYS.items()), *_SEVERAL_DAYS.items()]

    def choices(self, changelist: Any) -> Any:
        selected = False
        default = "all" if self._is_search else "today"
        for value, label in self.lookup_choices:
            is_this = self._asked == (_date_of(value) or value)
            selected = selected or is_this
            # The default needs no word in the address, so that a search from there looks at all days.
            query = changelist.get_query_string({DAY: None if value == default else value})
            yield {"selected": is_this, "query_string": query, "display": label}
        if not selected and (day := _as_date(self._asked)):
            query = changelist.get_query_string({DAY: self._asked})
            yield {"selected": True, "query_string": query, "display": date_format(day, "DATE_FORMAT")}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Visit]) -> QuerySet[Visit]:
        asked = asked_day(request)
        if asked == "all":
            return queryset
        last = today() if asked == "week" else datetime.date.fromisoformat(asked)
        begin = start_of(last, days=-6 if asked == "week" else 0)
        return queryset.filter(starts_at__gte=begin, starts_at__lt=start_of(last, days=1))


class VisitLocationFilter(LocationFilter):
    """Offers the person's own locations, where there are several."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        locations = locations_for(request)
        return [(str(location.pk), location.title) for location in locations] if len(locations) > 1 else []


def name_of_day(request: HttpRequest) -> str:
    """What the list shows, as a heading."""
    asked = asked_day(request)
    if asked in _SEVERAL_DAYS:
        return str(_SEVERAL_DAYS[asked])
    day, this_day = datetime.date.fromisoformat(asked), today()
    if day.year != this_day.year:
        return date_format(day, "DATE_FORMAT")
    named = dict(_DAYS.values()).get((day - this_day).days)
    # The day of the week stands at the beginning or not at all: inside a line only some languages write it large.
    return f"{named}, {date_format(day, 'j E')}" if named else date_format(day, "l, j E")


def search(request: HttpRequest, visits: QuerySet[Visit], term: str) -> QuerySet[Visit]:
    """The visits that a name, a phone, or the number of the visit or of an appointment means."""
    term = term.replace("\x00", " ").strip()
    digits = _WHAT_STANDS_IN_PHONES.sub("", term)
    if digits.isascii() and digits.isdigit():
        return visits.filter(_by_number(term) | _by_phone(request, visits, term, digits))
    for word in term.split()[:MOST_WORDS]:
        visits = visits.filter(_by_word(word[:100]))
    return visits


def _by_number(term: str) -> Q:
    number = as_id(term)
    return Q(pk=number) | Q(record_id=number) if number else _NOTHING


def _by_phone(request: HttpRequest, visits: QuerySet[Visit], term: str, digits: str) -> Q:
    """Any part of it for those who see phones. Others know the whole, or could guess at what the page hides."""
    is_whole = len(digits) >= WHOLE_PHONE_DIGITS
    if request.user.has_perm("altegio_loyalty.view_client_phone"):
        # The country's code is written in several ways, or not at all: the last ten digits tell a phone.
        return Q(client_phone__endswith=digits[-10:]) if is_whole else Q(client_phone__contains=digits)
    page = getattr(request.resolver_match, "url_name", None)
    if not is_whole or page != "altegio_loyalty_visit_changelist":  # the admin's autocomplete searches too
        return _NOTHING
    found = find_phone(request.user, visits, {term, digits, f"+{digits}"})
    if found is None:
        text = _("Phones are not searched: too many that nobody has were searched for in the last 24 hours.")
        messages.warning(request, text)
    return Q(pk__in=found or [])


def _by_word(word: str) -> Q:
    """In any case, also where the database knows upper and lower case of Latin letters only."""
    found = Q()
    for spelling in {word, word.lower(), word.upper(), word.capitalize()}:
        found |= Q(client_name__icontains=spelling)
    return found
