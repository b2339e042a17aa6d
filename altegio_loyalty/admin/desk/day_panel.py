"""Reading visits from Altegio on the list of visits: a day, page by page or in one go, and one visit by its number."""

from __future__ import annotations

import datetime
import time
from typing import Any

from django.contrib import messages
from django.core import signing
from django.core.exceptions import BadRequest
from django.http import Http404, HttpResponse, HttpResponseRedirect, JsonResponse, QueryDict
from django.urls import URLPattern
from django.utils import timezone
from django.utils.formats import date_format

from altegio_loyalty import services
from altegio_loyalty.access import visible_to
from altegio_loyalty.admin.desk import filters
from altegio_loyalty.admin.locations import chosen_location, locations_shown
from altegio_loyalty.admin.pages import ACTS, Page, as_id
from altegio_loyalty.models import Location
from altegio_loyalty.moments import as_local, today
from altegio_loyalty.querysets import by_zone
from altegio_loyalty.texts import gettext as _
from altegio_loyalty.texts import ngettext
from altegio_loyalty.wording import zone_note

#: A reading of today's visits that is older than this is renewed when the list is opened.
FRESH = datetime.timedelta(minutes=5)
#: In more locations than this nothing is read before somebody asks for it.
MOST_READ_BY_ITSELF = 10
#: How long a person without scripts waits for the reading; what is left then is said not to have been read.
SECONDS_TO_READ = 15.0
#: A reading whose next step comes later than this begins anew.
SECONDS_BETWEEN_STEPS = 300
_SALT = "altegio_loyalty.day_reading"


class Freshness:
    """When the locations' visits of today were read, the least recently read one counting."""

    def __init__(self, locations: list[Location]) -> None:
        self.count = len(locations)
        moments = ((row.visits_read_at, row.pk, row) for row in locations if row.visits_read_at)
        #: Those that were read on their own today.
        self.read = sorted(
            each for each in moments if as_local(each[0], each[2].zone).date() == today(each[2].zone)
        )

    @property
    def is_fresh(self) -> bool:
        return 0 < len(self.read) == self.count and timezone.now() - self.read[0][0] < FRESH

    def sentence(self) -> str:
        if not self.read:
            return _("Not read from Altegio yet today.")
        moment, _pk, location = self.read[0]
        clock = _clock(moment, location)
        if len(self.read) < self.count:
            figures = {"read": len(self.read), "count": self.count, "time": clock}
            return _("%(read)s of %(count)s locations read from Altegio, the first at %(time)s.") % figures
        return _("Read from Altegio at %(time)s.") % {"time": clock}


class DayPanel(Page):
    """The panel above the list, and the addresses that its buttons and its script use."""

    @classmethod
    def urls(cls, admin: Any) -> list[URLPattern]:
        """Their patterns."""
        return [
            cls.at(admin, "refresh/", "visit_refresh", cls.refresh, *ACTS),
            cls.at(admin, "refresh/step/", "visit_refresh_step", cls.step, *ACTS),
            cls.at(admin, "fetch/", "visit_fetch", cls.fetch, *ACTS),
        ]

    # The panel

    def context(self, *, found_none: bool) -> dict[str, Any]:
        """What the list's template needs. Reads nothing from Altegio."""
        request = self.request
        chosen = chosen_location(request)
        locations, asked = locations_shown(request), filters.asked_day(request)
        readable = [location for location in locations if location.is_active]
        day, freshness = filters.one_day(request), Freshness(readable)
        is_today = all(filters.day_in(asked, zone) == today(zone) for zone in by_zone(readable))
        is_spread = len(by_zone(locations)) > 1 or not locations
        number = as_id(request.GET.get(filters.SEARCH)) if found_none else None
        paused = [location for location in readable if location.is_paused]
        is_stale = is_today and bool(readable) and not freshness.is_fresh
        is_search, working_count = bool(request.GET.get(filters.SEARCH)), len(readable) - len(paused)
        return {
            "heading": filters.name_of_day(request),
            "zone": "" if is_spread else zone_note(locations[0]).strip(),
            "asked": asked,
            "day": day.isoformat() if day else "",
            "is_today": is_today,
            "hidden": [
                (name, value) for name, value in request.GET.items() if name not in (filters.DAY, "p", "e")
            ],
            "query": request.GET.urlencode(),
            "any_day_query": self._any_day_query(),
            "refresh_url": self.address("visit_refresh") if day and readable else "",
            "step_url": self.address("visit_refresh_step"),
            "batches_url": self.address("visit_batches"),
            "locations": readable,
            "read": freshness.sentence() if is_today and readable else "",
            "is_stale": is_stale,
            "reads_by_itself": is_stale and not is_search and 0 < working_count <= MOST_READ_BY_ITSELF,
            "fresh_seconds": int(FRESH.total_seconds()),
            "paused": paused,
            "chosen": chosen,
            "fetch_number": str(number or ""),
            "fetch_url": self.address("visit_fetch"),
        }

    def _any_day_query(self) -> str:
        """The same search on all days, where it is narrowed to one."""
        given = self.request.GET
        if not given.get(filters.SEARCH, "").strip() or given.get(filters.DAY, "all") == "all":
            return ""
        query = given.copy()
        query[filters.DAY] = "all"
        return query.urlencode()

    # A day

    def refresh(self) -> HttpResponse:
        """Without scripts: the day of all locations in one request, as far as a person can be kept waiting."""
        asked, locations = self._asked()
        began = time.monotonic()
        visit_count, unread = 0, []
        for location in locations:
            left = SECONDS_TO_READ - (time.monotonic() - began)
            day = filters.day_in(asked, location.zone)
            reading = services.read_day(location, day, seconds=max(left, 0), by=self.request.user)
            visit_count += reading.visit_count
            if reading.error:
                messages.warning(self.request, _failed(reading))
            elif not reading.is_finished:
                unread.append(location.title)
            if reading.is_outage:
                break
        messages.info(self.request, _read_so_far(visit_count))
        if unread:
            text = _(
                "Not read completely, since it takes long: %(locations)s. Refresh once more, or choose one."
            )
            messages.warning(self.request, text % {"locations": ", ".join(unread[:5])})
        return self._to_list()

    def step(self) -> HttpResponse:
        """One page of one location's day, for the list's script."""
        asked, locations = self._asked()
        if len(locations) != 1:
            raise BadRequest("One location at a time.")
        day = filters.day_in(asked, locations[0].zone)
        assert day is not None
        reading = self._reading(locations[0], day)
        reading.read_next_page()
        packed = {**reading.pack(), "user": str(self.request.user.pk)}
        state = "" if reading.is_finished else signing.dumps(packed, salt=_SALT, compress=True)
        clock = _clock(timezone.now(), locations[0])
        return JsonResponse(
            {
                "state": state,
                "visits": reading.visit_count,
                "changed": reading.new_count + reading.changed_count,
                "error": _failed(reading) if reading.error else "",
                "stop": reading.is_outage,
                "text": f"{locations[0].title}: {_read_so_far(reading.visit_count)}",
                "done": _("Read from Altegio at %(time)s.") % {"time": clock},
            }
        )

    def _asked(self) -> tuple[str, list[Location]]:
        """The day and the locations of a request to read; a location that the person may not see is not there.

        A day that is asked for by its name is each location's own.
        """
        asked = self.request.POST.get("day", "")
        if (day := filters.day_in(asked, None)) is None:
            raise BadRequest("No such day.")
        if abs((day - today()).days) > 366:
            raise BadRequest("That day is too far away.")
        numbers = {as_id(text) or 0 for text in self.request.POST.getlist("location")}
        locations = list(
            visible_to(self.request.user, Location.objects.filter(pk__in=numbers, is_active=True))
        )
        if not locations or len(locations) != len(numbers):
            raise Http404
        return asked, locations

    def _reading(self, location: Location, day: datetime.date) -> services.DayReading:
        """The reading that the state of the last step belongs to, or a new one."""
        text = self.request.POST.get("state", "")
        if not text:
            return services.DayReading(location, day, by=self.request.user)
        try:
            state = signing.loads(text, salt=_SALT, max_age=SECONDS_BETWEEN_STEPS)
        except signing.BadSignature:
            raise BadRequest("This reading is too old to go on.") from None
        asked = (str(self.request.user.pk), location.pk, day.isoformat())
        if (state["user"], state["location"], state["day"]) != asked:
            raise BadRequest("This is another reading.")
        return services.DayReading.unpack(location, state, by=self.request.user)

    # One visit

    def fetch(self) -> HttpResponse:
        """Fetch a visit by its number and go to its page."""
        number = as_id(self.request.POST.get("visit"))
        location = self._fetch_location() if number else None
        if number is None:
            problem = _("A visit's number consists of digits only.")
        elif location is None:
            problem = _("Choose the location in which visit %(visit)s is.") % {"visit": number}
        else:
            fetch = services.fetch_visit(location, number, by=self.request.user)
            if fetch.visit is not None:
                return HttpResponseRedirect(self.address("visit_change", fetch.visit.pk))
            problem = fetch.error
        messages.error(self.request, problem)
        return self._to_list()

    def _fetch_location(self) -> Location | None:
        """The location that was chosen, or the only one. One that the person may not see is not there."""
        rows = visible_to(self.request.user, Location.objects.filter(is_active=True))
        text = self.request.POST.get("location", "")
        if not text:
            several = list(rows[:2])
            return several[0] if len(several) == 1 else None
        location: Location | None = rows.filter(pk=as_id(text) or 0).first()
        if location is None:
            raise Http404
        return location

    def _to_list(self) -> HttpResponse:
        query = QueryDict(self.request.POST.get("query", "")[:2000]).urlencode()
        url = self.address("visit_changelist")
        return HttpResponseRedirect(f"{url}?{query}" if query else url)


def _clock(moment: datetime.datetime, location: Location) -> str:
    return date_format(as_local(moment, location.zone), "H:i") + zone_note(location)


def _failed(reading: services.DayReading) -> str:
    if reading.is_outage:
        text = _("Altegio cannot be read at the moment; the list shows what was read before. %(reason)s")
    elif reading.page_count:
        text = _("%(location)s could not be read completely; the list shows what is known. %(reason)s")
    else:
        text = _("%(location)s cannot be read at the moment; the list shows what was read before. %(reason)s")
    return text % {"location": reading.location.title, "reason": reading.error}


def _read_so_far(count: int) -> str:
    text = ngettext("%(count)s visit read from Altegio.", "%(count)s visits read from Altegio.", count)
    return text % {"count": count}
