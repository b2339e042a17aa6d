"""How the list of visits is narrowed: by day, today's unless another is asked for, by location, and by one search.

The search takes a name in any order and with typos, a phone, a card, or the visit's or appointment's number.
"""

import datetime
import re
from difflib import get_close_matches
from typing import Any

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.db.models.functions import Length
from django.db.models.lookups import GreaterThan
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format

from altegio_loyalty.access import find_phone
from altegio_loyalty.admin.locations import locations_shown
from altegio_loyalty.admin.pages import as_id
from altegio_loyalty.models import LoyaltyOperation, Visit
from altegio_loyalty.moments import start_of, today
from altegio_loyalty.querysets import by_zone, in_each_zone
from altegio_loyalty.texts import gettext as _, gettext_lazy

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
_WHAT_STANDS_IN_PHONES = re.compile(r"[\s()+.\-]")
#: Fewer digits are no whole phone, nor enough of a card's number.
WHOLE_PHONE_DIGITS, CARD_DIGITS = 9, 8
#: So many digits of a phone a visit's page shows to everybody, of one that is longer than so much.
SHOWN_DIGITS, HIDES_ENOUGH = 4, 10
#: So many words of a search are looked at, and so many names, the latest, compared with them for typos.
MOST_WORDS, MOST_COMPARED = 6, 2000
#: How alike a word must be: with one letter missing, doubled, wrong or swapped in most names.
ALIKE = 0.75
#: Cards are kept with the visits whose page was opened; so far back they are searched.
CARDS_SINCE = datetime.timedelta(days=7)


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


def name_of_day(request: HttpRequest) -> str:
    """What the list shows, as a heading."""
    asked = asked_day(request)
    if asked in _SEVERAL_DAYS:
        return str(_SEVERAL_DAYS[asked])
    zones = by_zone(locations_shown(request))
    if len(days := {day_in(asked, zone) for zone in zones}) > 1:
        return str(_DAYS[asked][1])
    day = days.pop() or today()
    # A date can be today's in one location and yesterday's in another; then it has no name.
    away = {(day - today(zone)).days for zone in zones}
    named = dict(_DAYS.values()).get(away.pop()) if len(away) == 1 else None
    if not named and day.year not in {today(zone).year for zone in zones}:
        return date_format(day, "DATE_FORMAT")
    # The day of the week stands at the beginning or not at all: inside a line only some languages write it large.
    return f"{named}, {date_format(day, 'j E')}" if named else date_format(day, "l, j E")


class Term:
    """What was typed: words, or the digits of a number. `is_number` where a sign before it says that it is no phone."""

    def __init__(self, typed: str) -> None:
        self.typed = typed.replace("\x00", " ").strip()[:200]
        self.text = self.typed.lstrip("#№ ")
        bare = _WHAT_STANDS_IN_PHONES.sub("", self.text)
        self.digits = bare if bare.isascii() and bare.isdigit() else ""
        self.is_number = bool(self.digits) and self.text != self.typed
        self.number = as_id(self.text)
        self.words = [word for word in re.split(r"[\s,;]+", self.text) if word][:MOST_WORDS]


def search(request: HttpRequest, visits: QuerySet[Visit], typed: str) -> QuerySet[Visit]:
    """Those of the visits that it means; after `compare_names` those whose client is called like that."""
    term = Term(typed)
    if term.digits:
        found = Q(pk=term.number) | Q(record_id=term.number) if term.number else Q(pk__in=[])
        if not term.is_number:
            found |= _by_phone(request, visits, term) | _by_card(term)
        return visits.filter(found)
    if is_compared(request):
        return visits.filter(pk__in=_alike(visits, [word.casefold() for word in term.words]))
    for word in term.words:
        visits = visits.filter(_by_word(word))
    return visits


def compare_names(request: HttpRequest, typed: str) -> bool:
    """Look for names that are like what was typed, where it is one and no name has all its words; once."""
    if is_compared(request) or Term(typed).digits or not typed.strip():
        return False
    request._altegio_compared = True  # type: ignore[attr-defined]
    return True


def is_compared(request: HttpRequest) -> bool:
    """Whether the search of this request makes do with names that are only like what was typed."""
    return hasattr(request, "_altegio_compared")


def _alike(visits: QuerySet[Visit], words: list[str]) -> list[int]:
    latest = visits.filter(starts_at__isnull=False).order_by("-starts_at")
    rows = latest.values_list("pk", "client_name")[:MOST_COMPARED]
    names = {pk: set(re.split(r"[\s,;]+", name.casefold())) for pk, name in rows}
    known = set().union(*names.values())
    near = [
        {*get_close_matches(word, known, 20, ALIKE), *(one for one in known if word in one)} for word in words
    ]
    return [pk for pk, name in names.items() if all(name & alike for alike in near)]


def _by_card(term: Term) -> Q:
    """By Altegio's id of it, where something was asked for with it, or by its number, where its client's page was opened."""
    found = Q(pk__in=LoyaltyOperation.objects.filter(card_id=term.number or 0).values("visit"))
    if len(term.digits) >= CARD_DIGITS:
        since = timezone.now() - CARDS_SINCE
        found |= Q(starts_at__gte=since, shown__contains=f'{term.digits}"')
    return found


def _by_phone(request: HttpRequest, visits: QuerySet[Visit], term: Term) -> Q:
    """Any part of it for those who see phones. Others know the whole, or what the page shows: no more could be learnt."""
    digits, is_whole = term.digits, len(term.digits) >= WHOLE_PHONE_DIGITS
    if request.user.has_perm("altegio_loyalty.view_client_phone"):
        # The country's code is written in several ways, or not at all: the last ten digits tell a phone.
        return Q(client_phone__endswith=digits[-10:]) if is_whole else Q(client_phone__contains=digits)
    if getattr(request.resolver_match, "url_name", None) != "altegio_loyalty_visit_changelist":
        return Q(pk__in=[])  # the admin's autocomplete searches too
    if len(digits) == SHOWN_DIGITS:
        return Q(GreaterThan(Length("client_phone"), HIDES_ENOUGH), client_phone__endswith=digits)
    if not is_whole:
        return Q(pk__in=[])
    known: Any = request  # a list asks several times for one request: that is one search
    if (found := getattr(known, "_altegio_phone", ...)) is ...:
        spellings = {term.text, digits, f"+{digits}"}
        found = known._altegio_phone = find_phone(request.user, visits, spellings)
    if found is None:
        text = _(
            "Phones are not searched: too many that were not found here were searched for in the last 24 hours."
        )
        messages.warning(request, text)
    return Q(pk__in=found or [])


def _by_word(word: str) -> Q:
    """In any case, also where the database knows upper and lower case of Latin letters only."""
    found = Q()
    for spelling in {word[:100], word[:100].lower(), word[:100].upper(), word[:100].capitalize()}:
        found |= Q(client_name__icontains=spelling)
    return found
