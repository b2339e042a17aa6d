"""What the list of visits reads from Altegio: a day, and what a search does not find here."""

import datetime
import time
from typing import Any

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import Http404, HttpResponse, HttpResponseRedirect, JsonResponse, QueryDict
from django.utils import timezone

from altegio_loyalty import services
from altegio_loyalty.access import visible_to
from altegio_loyalty.admin.desk import filters
from altegio_loyalty.admin.desk.filters import CARD_DIGITS, WHOLE_PHONE_DIGITS, Term, search
from altegio_loyalty.admin.locations import chosen_location, locations_shown
from altegio_loyalty.admin.looks import time_at
from altegio_loyalty.admin.pages import Page, as_id
from altegio_loyalty.models import Location, Visit
from altegio_loyalty.moments import as_local, today
from altegio_loyalty.querysets import by_zone
from altegio_loyalty.services.day import find_by_client
from altegio_loyalty.services.reading import is_over, within_a_page
from altegio_loyalty.texts import gettext as _, ngettext
from altegio_loyalty.wording import zone_note

#: A reading of today's visits that is older than this is renewed when the list is opened.
FRESH = datetime.timedelta(minutes=5)
#: In more locations than this nothing is read before somebody asks for it.
MOST_READ_BY_ITSELF = 10
#: Nor is anything looked for in more than so many, unless one is chosen: each costs up to ten requests.
MOST_FOUND_IN = 3
#: How long a person without scripts waits for the reading; what is left then is said not to have been read.
SECONDS_TO_READ = 15.0
#: In the person's session: whether days were read, and when, by day and location, of which so many are kept.
_READ, _MOST_MARKS = "altegio_loyalty_read_at", 50
#: Fewer letters of a search say nothing of whom they mean.
FEWEST_LETTERS = 3


class DayPanel(Page):
    """The panel above the list, and the addresses that its buttons and its script use."""

    def context(self) -> dict[str, Any]:
        """What the list's template needs. Reads nothing from Altegio."""
        request = self.request
        locations, asked = locations_shown(request), filters.asked_day(request)
        readable = [location for location in locations if location.is_active]
        day, read, since = filters.one_day(request), _read_today(readable), timezone.now() - FRESH
        is_all_read = 0 < len(read) == len(readable)
        is_today = all(filters.day_in(asked, zone) == today(zone) for zone in by_zone(readable))
        is_spread = len(by_zone(locations)) > 1 or not locations
        paused = [location for location in readable if location.is_paused]
        is_fresh = is_all_read and since < read[0][0] < since + 2 * FRESH
        is_stale = is_today and bool(readable) and not is_fresh
        kept, working_count = request.session.get(_READ, {}), len(readable) - len(paused)
        chosen, find = chosen_location(request), request.GET.get(filters.SEARCH, "").strip()
        found = [kept.get(f"{filters.day_in(asked, one.zone)}:{one.pk}", (None, 0)) for one in readable]
        marks = [was_read if moment > since.timestamp() else None for was_read, moment in found]
        return {
            "is_read": bool(readable) and (all(marks) or (is_today and is_all_read)),
            "is_unreadable": not working_count or False in marks,
            "heading": filters.name_of_day(request),
            "zone": "" if is_spread else zone_note(locations[0]).strip(),
            "asked": asked,
            "day": day.isoformat() if day else "",
            "is_today": is_today,
            "hidden": [each for each in request.GET.items() if each[0] not in (filters.DAY, "p", "e")],
            "refresh_url": self.address("visit_refresh") if day and readable else "",
            "locations": readable,
            "read": read,
            "read_at": time_at(read[0][2], read[0][0]) if read else "",
            "is_stale": is_stale,
            "reads_by_itself": is_stale and not find and 0 < working_count <= MOST_READ_BY_ITSELF,
            "fresh_seconds": int(FRESH.total_seconds()),
            "paused": paused,
            "chosen": chosen,
            "find": find,
            "finds_by_itself": bool(chosen) or len(readable) <= MOST_FOUND_IN,
        }

    @within_a_page()
    def refresh(self) -> HttpResponse:
        """Read the day of these locations, as far as a person can be kept waiting; the script asks for one at a time."""
        asked, locations = self._asked()
        ends_at, readings = time.monotonic() + SECONDS_TO_READ, []
        for location in locations:
            day, left = filters.day_in(asked, location.zone), max(ends_at - time.monotonic(), 0)
            readings.append(services.read_day(location, day, seconds=left, by=self.request.user))
            if readings[-1].is_outage:
                break
        now = timezone.now().timestamp()
        marks = {f"{one.day}:{one.location.pk}": (one.is_finished and not one.error, now) for one in readings}
        kept = {**self.request.session.get(_READ, {}), **marks}
        self.request.session[_READ] = dict(list(kept.items())[-_MOST_MARKS:])
        problems = [told_of(reading) for reading in readings if reading.error or not reading.is_finished]
        count = sum(reading.visit_count for reading in readings)
        text = ngettext("%(count)s visit read from Altegio.", "%(count)s visits read from Altegio.", count)
        read = text % {"count": count}
        if self.wants_json:
            state = {
                "changed": sum(reading.new_count + reading.changed_count for reading in readings),
                "error": " ".join(problems),
                "stop": readings[-1].is_outage,
                "text": f"{locations[0].title}: {read}",
                "done": _("Read from Altegio at %(time)s.") % {"time": time_at(locations[0], timezone.now())},
            }
            return JsonResponse(state)
        for problem in problems[:5]:
            messages.warning(self.request, problem)
        messages.info(self.request, read)
        query = QueryDict(self.request.POST.get("query", "")[:2000]).urlencode()
        url = self.address("visit_changelist")
        return HttpResponseRedirect(f"{url}?{query}" if query else url)

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
        rows = Location.objects.filter(pk__in=numbers, is_active=True)
        locations = list(visible_to(self.request.user, rows))
        if not locations or len(locations) != len(numbers):
            raise Http404
        return asked, locations

    @within_a_page()
    def find(self) -> HttpResponse:
        """Read today anew, then look by number, card and client; open the only visit that is found, or list them."""
        term = Term(self.request.POST.get("q", ""))
        found: list[int] = []
        rows = self.admin.get_queryset(self.request).defer("shown")
        for location in self._locations_to_look_in() if term.words else []:
            seconds = 0 if is_over() else SECONDS_TO_READ / MOST_FOUND_IN
            reading = services.read_day(location, seconds=seconds, by=self.request.user)
            if reading.error or not reading.is_finished:
                messages.warning(self.request, told_of(reading))
            if reading.is_outage or is_over():
                break
            there = search(self.request, rows.filter(location=location), term.typed)
            found += there.values_list("pk", flat=True) or self._ask(location, term)
        if is_over() and not found:
            messages.warning(self.request, _("The search took too long and was ended. Look once more."))
        # Who is anonymous here is not named by what Altegio still knows.
        visits = [row for row in rows.filter(pk__in=found) if row.pk == term.number or not row.is_anonymised]
        if (only := only_one(visits)) is not None:
            return HttpResponseRedirect(self.address("visit_change", only.pk))
        names = {visit.client_name for visit in visits}
        # A number that Altegio knows and the list does not is shown by the client's name, if that is one.
        asked = names.pop() if term.digits and len(names) == 1 and all(names) else term.typed
        location_id = self.request.POST.get("location") or None
        return HttpResponseRedirect(self.address("visit_changelist", q=asked, location=location_id))

    def _locations_to_look_in(self) -> list[Location]:
        """The one that was chosen, or all where there are few. One that the person may not see is not there."""
        rows = visible_to(self.request.user, Location.objects.filter(is_active=True))
        if chosen := self.request.POST.get("location", ""):
            rows = rows.filter(pk=as_id(chosen) or 0)
        if not (locations := list(rows[: MOST_FOUND_IN + 1])):
            raise Http404
        if len(locations) <= MOST_FOUND_IN:
            return locations
        messages.error(self.request, _("Choose the location in which to look."))
        return []

    def _ask(self, location: Location, term: Term) -> list[int]:
        """What Altegio finds; what was done for it is a message."""
        text, found = _("Looked in Altegio, %(location)s, and at today anew."), []
        said = [text % {"location": location.title}]
        if term.number:
            fetch = services.fetch_visit(location, term.number, by=self.request.user)
            found = [fetch.visit.pk] if fetch.visit else []
            said.append(fetch.error)
        for wanted in self._clients_meant_by(term):
            if not found and not is_over():
                found, problem = find_by_client(location, by=self.request.user, **wanted)
                said.append(problem)
        messages.info(self.request, " ".join(filter(None, said)))
        return found

    def _clients_meant_by(self, term: Term) -> list[dict[str, str]]:
        """Altegio's own search finds a phone by any part of it, so digits are only for those who may see phones."""
        if term.is_number:
            return []
        clients = [{"card": term.digits}] if len(term.digits) >= CARD_DIGITS else []
        may_search = self.may("view_client_phone") or not any(map(str.isdigit, term.text))
        fewest = WHOLE_PHONE_DIGITS if term.digits else FEWEST_LETTERS
        if may_search and len(term.digits or term.text) >= fewest:
            clients.append({"text": term.digits or " ".join(term.words)})
        return clients


def _is_today(moment: datetime.datetime, location: Location) -> bool:
    return as_local(moment, location.zone).date() == today(location.zone)


def _read_today(locations: list[Location]) -> list[tuple[datetime.datetime, int, Location]]:
    """When those were read that were read on their own today, the least recently read first."""
    moments = ((row.visits_read_at, row.pk, row) for row in locations if row.visits_read_at)
    return sorted(each for each in moments if _is_today(each[0], each[2]))


def told_of(reading: services.DayReading) -> str:
    """Why a day could not be read, and what the list shows then."""
    if not reading.is_finished:
        text = _("%(location)s was not read completely, since it takes long. Refresh once more.")
    elif reading.is_outage:
        text = _("Altegio cannot be read at the moment; the list shows what was read before. %(reason)s")
    elif reading.page_count:
        text = _("%(location)s could not be read completely; the list shows what is known. %(reason)s")
    else:
        text = _("%(location)s cannot be read at the moment; the list shows what was read before. %(reason)s")
    return text % {"location": reading.location.title, "reason": reading.error}


def only_one(visits: list[Visit]) -> Visit | None:
    """The only one of the visits, or the only one of today; None where a person has to choose."""
    todays = [visit for visit in visits if visit.starts_at and _is_today(visit.starts_at, visit.location)]
    return next((one[0] for one in (todays, visits) if len(one) == 1), None)
