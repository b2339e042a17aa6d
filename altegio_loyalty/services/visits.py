"""Visits as Altegio's lists show them, kept in our own table: the screens find them there when Altegio is away.

What is left to pay is known in two ways. A visit's own page reads it exactly, with products and payments (`keep_figures`;
`Visit.read_at` says when). The list of appointments only allows an estimate from the prices of its lines; such a row has
no `read_at`. An estimate replaces an exact figure only where that is known to be out of date: the appointment was changed
in Altegio after it, or one of our own operations on the visit ended after it.
"""

from __future__ import annotations

import datetime
import hashlib
import time
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Max, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from altegio_loyalty import exceptions
from altegio_loyalty.bills import storable
from altegio_loyalty.client import Record
from altegio_loyalty.gateway import Line
from altegio_loyalty.models import Location, LoyaltyOperation, Visit
from altegio_loyalty.moments import parse_moment, start_of, stored, today_at
from altegio_loyalty.policy import is_outage
from altegio_loyalty.redaction import clean
from altegio_loyalty.services.reading import check_may_ask, shown
from altegio_loyalty.services.validation import check_id

#: Appointments in one request. Altegio takes more, but answers slowly and holds big answers against the limit.
PAGE_SIZE = 100
#: More pages than any salon's day has: a server that never stops is left here.
MOST_PAGES = 50

_FACTS = ("client_id", "client_name", "client_phone", "starts_at")
_FIGURES = ("due_amount", "covered_amount", "read_at")

#: (applied, left to pay) of one appointment; None where the list does not say it.
Figures = tuple[Decimal | None, Decimal | None]


class DayReading:
    """One reading of a location's day, a page at a time. Nothing that Altegio answers raises.

    `error` is empty, or says why the reading ended early; what was read until then is kept. `pack` and `unpack` carry a
    reading from one request of a screen to the next.
    """

    def __init__(self, location: Location, day: datetime.date) -> None:
        self.location = location
        self.day = day
        self.began_at = timezone.now()
        self.page_count = 0
        self.new_count = 0
        self.changed_count = 0
        #: Rows that could not be kept: unreadable, of no visit, or of another location.
        self.skipped_count = 0
        self.is_finished = False
        self.error = ""
        #: Whether `error` is about Altegio as a whole: the next location would most likely meet it as well.
        self.is_outage = False
        self._figures: dict[int, dict[int, Figures]] = {}
        self._offset: int | None = None
        self._fingerprint = ""
        self._is_whole = True

    @property
    def visit_count(self) -> int:
        """How many visits were read so far."""
        return len(self._figures)

    def read_next_page(self) -> None:
        """One call to Altegio, and what it showed is in the table. Endpoint: GET /records/{location_id}."""
        if self.is_finished:
            return
        if self.page_count >= MOST_PAGES:
            self._stop(_("Altegio shows more appointments for this day than a day can have."))
            return
        asked_at = timezone.now()
        day, page = self.day.isoformat(), self.page_count + 1
        try:
            check_may_ask(self.location)
            answer = Line(self.location, for_person=True).ask(
                lambda client: client.records_page(
                    self.location.pk, start_date=day, end_date=day, page=page, count=PAGE_SIZE
                ),
            )
        except exceptions.ApiError as error:
            self.is_outage = self.location.is_active and is_outage(error)
            self._stop(shown(error))
            return
        self.page_count = page
        if answer.row_count and answer.row_count == answer.unreadable_count:
            self._stop(_("Altegio's list of appointments could not be read."))
            return
        fingerprint = _fingerprint_of(answer.records)
        if fingerprint != self._fingerprint:
            self.skipped_count += answer.unreadable_count
            self._is_whole = self._is_whole and not answer.unreadable_count
            self._keep(answer.records, asked_at)
        if answer.row_count < PAGE_SIZE or fingerprint == self._fingerprint:
            self._finish()
        self._fingerprint = fingerprint

    def _stop(self, error: str) -> None:
        self.is_finished, self.error = True, error

    def _keep(self, records: tuple[Record, ...], asked_at: datetime.datetime) -> None:
        usable = [record for record in records if self._is_ours(record)]
        first_of: dict[int, Record] = {}
        for record in usable:
            self._offset = _offset_of(record) if self._offset is None else self._offset
            is_further = record.visit_id in self._figures and record.visit_id not in first_of
            self._figures.setdefault(record.visit_id, {})[record.id] = _figures_of(record)
            first_of.setdefault(record.visit_id, record)
            if is_further:  # its first appointment stood on an earlier page
                first_of[record.visit_id] = Record(0, 0, record.visit_id, "", 0, "", "")
        rows = [_row_from(self.location, record, self._figures) for record in first_of.values()]
        changes: dict[int, str] = {}
        for record in usable:
            changes[record.visit_id] = max(changes.get(record.visit_id, ""), record.changed_at)
        new_count, changed_count, foreign = _save(self.location, rows, changes, asked_at)
        for visit_id in foreign:
            del self._figures[visit_id]
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
        self.is_finished = True
        begin, end = start_of(self.day, self._offset), start_of(self.day, self._offset, days=1)
        of_the_day = self.location.visits.filter(
            starts_at__gte=begin, starts_at__lt=end, created_at__lt=self.began_at
        )
        gone = set(of_the_day.values_list("pk", flat=True)) - set(self._figures)
        # A row that could not be read may be the very visit that seems to be gone.
        if gone and self._is_whole and len(gone) <= MOST_PAGES * PAGE_SIZE:
            self.changed_count += _clear_times(self.location, gone, begin, end)
        self.changed_count += _renew_records(self.location, self._figures)
        if self.day == today_at(self._offset):
            self.location.visits_read_at = timezone.now()
            Location.objects.filter(pk=self.location.pk).update(visits_read_at=self.location.visits_read_at)

    def pack(self) -> dict[str, Any]:
        """The reading as plain values, for `unpack`."""
        return {
            "location": self.location.pk,
            "day": self.day.isoformat(),
            "began": self.began_at.isoformat(),
            "counts": [self.page_count, self.new_count, self.changed_count, self.skipped_count],
            "offset": self._offset,
            "whole": self._is_whole,
            "fingerprint": self._fingerprint,
            "figures": {
                visit_id: {
                    record_id: [amount if amount is None else str(amount) for amount in pair]
                    for record_id, pair in figures.items()
                }
                for visit_id, figures in self._figures.items()
            },
        }

    @classmethod
    def unpack(cls, location: Location, packed: dict[str, Any]) -> DayReading:
        """The reading goes on where it was packed. Only ever from what this site has packed and signed itself."""
        reading = cls(location, datetime.date.fromisoformat(packed["day"]))
        reading.began_at = datetime.datetime.fromisoformat(packed["began"])
        reading.page_count, reading.new_count, reading.changed_count, reading.skipped_count = packed["counts"]
        reading._offset, reading._fingerprint = packed["offset"], packed["fingerprint"]
        reading._is_whole = packed["whole"]
        for visit_id, figures in packed["figures"].items():
            reading._figures[int(visit_id)] = {
                int(record_id): (_decimal(pair[0]), _decimal(pair[1])) for record_id, pair in figures.items()
            }
        return reading


@dataclass(frozen=True)
class VisitFetch:
    """A visit that was fetched by its number. `error` is empty, or says why `visit` is None."""

    visit: Visit | None = None
    error: str = ""


def read_day(
    location: Location, day: datetime.date | None = None, *, seconds: float | None = None
) -> DayReading:
    """Read the location's visits of a day, in its own local date, into our table; by default today's.

    Each page is one call within the site's budget of requests. After `seconds` no further page is begun: the reading is
    then neither finished nor has it an error, and `read_next_page` goes on. A success sets `Location.visits_read_at`, if the
    day is today. Never raises for anything that Altegio answers. Endpoint: GET /records/{location_id}.
    """
    reading = DayReading(location, day or today_at(None))
    began = time.monotonic()
    while not reading.is_finished and (seconds is None or time.monotonic() - began < seconds):
        reading.read_next_page()
    return reading


def fetch_visit(location: Location, visit_id: int) -> VisitFetch:
    """Fetch one visit by its number into our table. A visit of another location is refused, and nothing of it is kept.

    Raises `ValidationError` where `visit_id` is no positive whole number. Endpoint: GET /visits/{visit_id}.
    """
    check_id("visit_id", visit_id)
    elsewhere = VisitFetch(error=_("Visit %(visit)s belongs to another location.") % {"visit": visit_id})
    known = Visit.objects.filter(pk=visit_id).first()
    if known is not None and known.location_id != location.pk:
        return elsewhere
    asked_at = timezone.now()
    try:
        check_may_ask(location)
        records = Line(location, for_person=True).ask(lambda client: client.visit(visit_id))
    except exceptions.ApiError as error:
        if error.http_status == 404:
            return VisitFetch(error=_("Altegio knows no visit %(visit)s.") % {"visit": visit_id})
        return VisitFetch(error=shown(error))
    if any(record.location_id != location.pk for record in records):
        return elsewhere
    mine = [record for record in records if record.id and record.visit_id in (0, visit_id)]
    present = [record for record in mine if not record.is_deleted]
    if not present:
        reason = (
            _("Visit %(visit)s is deleted in Altegio.") if mine else _("Altegio knows no visit %(visit)s.")
        )
        return VisitFetch(error=reason % {"visit": visit_id})
    return _kept(location, visit_id, present, asked_at) or elsewhere


def _kept(
    location: Location, visit_id: int, records: list[Record], asked_at: datetime.datetime
) -> VisitFetch | None:
    figures = {visit_id: {record.id: _figures_of(record) for record in records}}
    row = _row_from(location, records[0], figures, visit_id=visit_id)
    _save(location, [row], {visit_id: max(record.changed_at for record in records)}, asked_at)
    visit = Visit.objects.filter(pk=visit_id, location=location).first()
    if visit is None:
        return None
    if (
        visit.record_id not in figures[visit_id]
    ):  # that appointment is gone, and with it every call that names it
        visit.record_id = records[0].id
        visit.save(update_fields=["record_id"])
    return VisitFetch(visit)


def _fingerprint_of(records: tuple[Record, ...]) -> str:
    return hashlib.sha256(repr([(record.id, record.visit_id) for record in records]).encode()).hexdigest()


def _offset_of(record: Record) -> int | None:
    """How many seconds the location's time is ahead of UTC, where the appointment shows it."""
    moment = parse_moment(record.starts_at)
    offset = moment.utcoffset() if moment else None
    return None if offset is None else int(offset.total_seconds())


def _figures_of(record: Record) -> Figures:
    covered = None
    if record.cost is not None and record.to_pay is not None:
        covered = max(record.cost - record.to_pay, Decimal(0))
    return covered, Decimal(0) if record.is_paid else record.to_pay


def _sum(amounts: list[Decimal | None]) -> Decimal | None:
    known = [amount for amount in amounts if amount is not None]
    return storable(sum(known, Decimal(0))) if len(known) == len(amounts) else None


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _row_from(
    location: Location, record: Record, figures: dict[int, dict[int, Figures]], visit_id: int = 0
) -> Visit:
    """The visit as Altegio's list shows it. Where the record has no number the row only brings new figures."""
    visit_id = visit_id or record.visit_id
    pairs = list(figures[visit_id].values())
    return Visit(
        id=visit_id,
        location=location,
        record_id=record.id,
        client_id=record.client_id or None,
        client_name=clean(record.client_name, 200),
        client_phone=clean(record.client_phone, 40),
        starts_at=stored(parse_moment(record.starts_at) or parse_moment(record.local_start)),
        covered_amount=_sum([covered for covered, _due in pairs]),
        due_amount=_sum([due for _covered, due in pairs]),
    )


def _save(
    location: Location, rows: list[Visit], changes: dict[int, str], asked_at: datetime.datetime
) -> tuple[int, int, list[int]]:
    """Bring the rows into the table in a few queries, however many. A visit of another location is left alone.

    Returns how many are new, how many changed, and which visits are another location's.
    """
    known = Visit.objects.in_bulk([row.pk for row in rows])
    foreign = [pk for pk, there in known.items() if there.location_id != location.pk]
    new = [row for row in rows if row.pk not in known and row.record_id]
    Visit.objects.bulk_create(new, ignore_conflicts=True)
    mine = [(known[row.pk], row) for row in rows if row.pk in known and row.pk not in foreign]
    exact = _still_exact([there for there, _row in mine if there.read_at], changes, asked_at)
    renamed = [there for there, row in mine if row.record_id and _take_facts(there, row)]
    refigured = [there for there, row in mine if there.pk not in exact and _take(there, row, _FIGURES)]
    if renamed:
        Visit.objects.bulk_update(renamed, _FACTS)
    if refigured:
        # Somebody may have opened the visit's page while Altegio was answering: that reading is later and better.
        not_later = Visit.objects.filter(Q(read_at__isnull=True) | Q(read_at__lt=asked_at))
        not_later.bulk_update(refigured, _FIGURES)
    return len(new), len({*(row.pk for row in renamed), *(row.pk for row in refigured)}), foreign


def _take_facts(there: Visit, row: Visit) -> bool:
    """What the list does not say of the same client or of the time stays as it was."""
    if row.client_id == there.client_id:
        row.client_name = row.client_name or there.client_name
        row.client_phone = row.client_phone or there.client_phone
    row.starts_at = row.starts_at or there.starts_at
    return _take(there, row, _FACTS)


def _take(there: Visit, row: Visit, names: tuple[str, ...]) -> bool:
    """Copy the columns; whether anything differed."""
    changed = False
    for name in names:
        if getattr(there, name) != getattr(row, name):
            setattr(there, name, getattr(row, name))
            changed = True
    return changed


def _still_exact(visits: list[Visit], changes: dict[int, str], asked_at: datetime.datetime) -> set[int]:
    """Those of the visits whose exact figures nothing is known to have changed since."""
    ended = LoyaltyOperation.objects.filter(
        visit__in=[visit.pk for visit in visits], finished_at__isnull=False
    )
    ends = dict(ended.order_by().values_list("visit_id").annotate(last=Max("finished_at"))) if visits else {}
    exact = set()
    for visit in visits:
        assert visit.read_at is not None
        changed_at = stored(parse_moment(changes.get(visit.pk, "")))
        # A change in the future is no change: some lists show the time of the appointment there.
        was_changed = changed_at is not None and visit.read_at < changed_at <= asked_at
        ended_at = ends.get(visit.pk)
        if not was_changed and (ended_at is None or ended_at <= visit.read_at):
            exact.add(visit.pk)
    return exact


def _renew_records(location: Location, figures: dict[int, dict[int, Figures]]) -> int:
    """Name a living appointment where the one that we know has been replaced; calls for a dead one would be refused."""
    count, ids = 0, sorted(figures)
    for start in range(0, len(ids), PAGE_SIZE):
        known = location.visits.filter(pk__in=ids[start : start + PAGE_SIZE])
        replaced = [visit for visit in known if visit.record_id not in figures[visit.pk]]
        for visit in replaced:
            visit.record_id = next(iter(figures[visit.pk]))
        Visit.objects.bulk_update(replaced, ["record_id"])
        count += len(replaced)
    return count


def _clear_times(location: Location, gone: set[int], begin: datetime.datetime, end: datetime.datetime) -> int:
    """Forget when these visits are, so that no day lists them; a search finds them still, and so does their log."""
    count = 0
    ids = sorted(gone)
    for start in range(0, len(ids), 500):
        some = location.visits.filter(
            pk__in=ids[start : start + 500], starts_at__gte=begin, starts_at__lt=end
        )
        count += some.update(starts_at=None)
    return count
