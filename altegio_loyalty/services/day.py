"""A location's visits of one day, read from Altegio page by page into our own table: the screens find them there."""

import datetime
import time
from decimal import Decimal
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.formats import date_format

from altegio_loyalty import exceptions
from altegio_loyalty.client import Record
from altegio_loyalty.client.types import offset_zone
from altegio_loyalty.models import Location, Visit
from altegio_loyalty.moments import parse_moment, start_of, today
from altegio_loyalty.policy import is_outage
from altegio_loyalty.services import visit_rows
from altegio_loyalty.services.reading import ask, shown
from altegio_loyalty.services.validation import Person
from altegio_loyalty.services.visit_rows import Figures
from altegio_loyalty.texts import gettext as _
from altegio_loyalty.wording import isolated

#: Appointments in one request. Altegio takes more, but answers slowly and holds big answers against the limit.
PAGE_SIZE = 100
#: More pages than any salon's day has: a server that never stops is left here.
MOST_PAGES = 50
#: In a search the visits of so many clients are read, and those of the last days up to tomorrow's.
MOST_CLIENTS, DAYS_BACK = 3, 30


class DayReading:
    """One reading of a location's day, page by page. `error` is empty, or says why it ended early: what was read is kept."""

    def __init__(self, location: Location, day: datetime.date, by: Person | None = None) -> None:
        self.location, self.day, self.by = location, day, by
        self.began_at = timezone.now()
        self.page_count = self.new_count = self.changed_count = 0
        #: Rows that could not be kept: unreadable, of no visit, or of another location.
        self.skipped_count = 0
        #: Appointments that Altegio showed, and how many it says there are; 0 where it does not say.
        self.row_count = self.total_count = 0
        self.is_finished = False
        self.error = ""
        #: Whether `error` is about Altegio as a whole: the next location would most likely meet it as well.
        self.is_outage = False
        #: What each visit read so far costs, by its number and its appointments'.
        self.visits: dict[int, dict[int, Figures]] = {}
        #: How far the location's time is ahead of UTC, once an appointment has shown it.
        self._offset: datetime.timedelta | None = None
        #: The numbers on the last page: a server that knows no pages shows the same again.
        self._page: list[tuple[int, int]] | None = None
        self._is_whole = True

    @property
    def visit_count(self) -> int:
        """How many visits were read so far."""
        return len(self.visits)

    def read_next_page(self) -> None:
        """One call to Altegio, and what it showed is in the table. Endpoint: GET /records/{location_id}."""
        if self.is_finished:
            return
        if self.page_count >= MOST_PAGES or self.visit_count > MOST_PAGES * PAGE_SIZE:
            self._stop(_("Altegio shows more appointments for this day than a day can have."))
            return
        asked_at, place, page = timezone.now(), self.location.pk, self.page_count + 1
        one_day = _days(self.day, self.day)
        try:
            answer = ask(self.location, lambda api: api.records_page(place, page=page, **one_day), self.by)
        except exceptions.ApiError as error:
            self.is_outage = self.location.is_active and is_outage(error)
            self._stop(shown(error, "location"))
            return
        self.page_count = page
        if answer.row_count and answer.row_count == answer.unreadable_count:
            self._stop(_("Altegio's list of appointments could not be read."))
            return
        numbers = [(record.id, record.visit_id) for record in answer.records]
        is_repeated, self._page = numbers == self._page, numbers
        if not is_repeated:
            self.row_count += answer.row_count
            self.total_count = answer.total_count or self.total_count
            self.skipped_count += answer.unreadable_count
            self._is_whole = self._is_whole and not answer.unreadable_count
            self.keep(answer.records, asked_at)
        # A server may give shorter pages than it was asked for, so a short one alone says nothing. A full or a round one,
        # such as one of 25, may be the most that it gives, and the number beside it that of its own rows: the next tells.
        may_go_on = answer.row_count >= PAGE_SIZE or answer.row_count % 5 == 0
        is_whole = 0 < self.total_count <= self.row_count and not may_go_on
        if is_repeated or is_whole or not answer.row_count:
            self._end(is_repeated)

    def _end(self, is_repeated: bool) -> None:
        """No more pages. Only a whole day is taken for what there is, and only a second look for an empty one."""
        if self.row_count < self.total_count:
            figures = {"shown": self.row_count, "total": self.total_count}
            self._stop(_("Altegio shows only %(shown)s of the %(total)s appointments of this day.") % figures)
        elif self.row_count or is_repeated or not self._known().exists():
            self._finish()
        else:
            self.page_count = 0

    def _stop(self, error: str) -> None:
        self.is_finished, self.error = True, error

    def keep(self, records: tuple[Record, ...], asked_at: datetime.datetime) -> None:
        """Bring the visits of these appointments, asked for at that moment, into our table."""
        first_of: dict[int, Record | None] = {}
        changes: dict[int, str] = {}
        for record in filter(self._is_ours, records):
            moment = parse_moment(record.starts_at)
            if self._offset is None and moment:
                self._offset = moment.utcoffset()
            is_further = record.visit_id in self.visits and record.visit_id not in first_of
            self.visits.setdefault(record.visit_id, {})[record.id] = visit_rows.figures_of(record)
            # None: its first appointment stood on an earlier page.
            first_of.setdefault(record.visit_id, None if is_further else record)
            changes[record.visit_id] = max(changes.get(record.visit_id, ""), record.changed_at)
        rows = [
            visit_rows.row_from(self.location, visit_id, list(self.visits[visit_id].values()), record)
            for visit_id, record in first_of.items()
        ]
        new_count, changed_count, foreign = visit_rows.save(self.location, rows, changes, asked_at)
        for visit_id in foreign:
            del self.visits[visit_id]
        self.new_count += new_count
        self.changed_count += changed_count
        self.skipped_count += len(foreign)

    def _is_ours(self, record: Record) -> bool:
        if record.is_deleted:
            return False
        is_ours = record.id > 0 and record.visit_id > 0 and record.location_id in (0, self.location.pk)
        self.skipped_count += not is_ours
        return is_ours

    def _finish(self) -> None:
        """The whole day was read: what it no longer shows was moved or deleted, and its time is not known any more."""
        self.is_finished, zone = True, self._zone
        gone = set(self._known().values_list("pk", flat=True)) - set(self.visits)
        # A row that could not be read may be the very visit that seems to be gone.
        if gone and self._is_whole and len(gone) <= MOST_PAGES * PAGE_SIZE:
            self.changed_count += visit_rows.clear_times(self._known(), gone)
        self.changed_count += visit_rows.renew_records(self.location, self.visits)
        is_near = abs((self.day - today(zone)).days) <= 1  # another season's offset is not today's
        if zone is not self.location.zone and is_near:
            hours = (self._offset or datetime.timedelta()) / datetime.timedelta(hours=1)
            self.location.learn(time_zone=offset_zone(Decimal(hours)))
        if self.day == today(zone):
            self.location.visits_read_at = timezone.now()
            Location.objects.filter(pk=self.location.pk).update(visits_read_at=self.location.visits_read_at)

    @property
    def _zone(self) -> datetime.tzinfo:
        """Where the days are that Altegio's list is narrowed by: what its appointments show goes before what we know."""
        zone = self.location.zone
        noon = datetime.datetime.combine(self.day, datetime.time(12), zone)
        if self._offset is None or self._offset == noon.utcoffset():
            return zone
        return datetime.timezone(self._offset)

    def _known(self) -> QuerySet[Visit]:
        """The day's visits as they were before."""
        begin, end = start_of(self.day, self._zone), start_of(self.day, self._zone, days=1)
        return self.location.visits.filter(
            starts_at__gte=begin, starts_at__lt=end, created_at__lt=self.began_at
        )


def read_day(
    location: Location,
    day: datetime.date | None = None,
    *,
    seconds: float | None = None,
    by: Person | None = None,
) -> DayReading:
    """Read the location's visits of a day, in its own local date, into our table; by default today's.

    Each page is one call within the site's budget of requests. After `seconds` no further page is begun: the reading is
    then neither finished nor has it an error, and `read_next_page` goes on. A success sets `Location.visits_read_at`, if the
    day is today. Never raises for anything that Altegio answers. Endpoint: GET /records/{location_id}.
    """
    reading = DayReading(location, day or today(location.zone), by=by)
    began = time.monotonic()
    while not reading.is_finished and (seconds is None or time.monotonic() - began < seconds):
        reading.read_next_page()
    return reading


def find_by_client(
    location: Location, *, text: str = "", card: str = "", by: Person | None = None
) -> tuple[list[int], str]:
    """The visits, now in our table, of clients with `text` in name or phone, or `card` in a card's number.

    Or why there is none, in the person's language. Nothing that Altegio answers raises.
    Endpoints: POST /company/{location_id}/clients/search or GET /clients/{location_id}; GET /records/{location_id}.
    """
    place, asked_at, day = location.pk, timezone.now(), today(location.zone)
    first, last = day - datetime.timedelta(days=DAYS_BACK), day + datetime.timedelta(days=1)
    days = _days(first, last)
    reading = DayReading(location, day, by=by)
    try:
        # Tokens may be good for visits and not for clients.
        clients = ask(location, lambda api: api.clients(place, text=text, card=card), by, proves=False)
        some = list(clients)[:MOST_CLIENTS]
        for one in some:
            page = ask(location, lambda api, one=one: api.records_page(place, client_id=one, **days), by)  # type: ignore[misc]
            reading.keep(tuple(each for each in page.records if each.client_id == one), asked_at)
    except exceptions.ApiError as error:
        return list(reading.visits), shown(error)
    if not clients:
        return [], _("No client has such a card.") if card else _("No client is called so.")
    figures = {"first": date_format(first, "j E"), "last": date_format(last, "j E")}
    figures["clients"] = ", ".join(isolated(clients[one]) for one in some)
    said = [] if reading.visits else [_("%(clients)s: no visit from %(first)s to %(last)s.") % figures]
    if len(clients) > len(some):
        text = _(
            "Altegio knows more such clients, only these were looked at: %(clients)s. Type more of the name."
        )
        said.append(text % figures)
    return list(reading.visits), " ".join(said)


def _days(first: datetime.date, last: datetime.date) -> dict[str, Any]:
    return {"start_date": first.isoformat(), "end_date": last.isoformat(), "count": PAGE_SIZE}
