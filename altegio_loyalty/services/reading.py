"""Live reads for the screens. An answer that cannot be had is a value that says so, never an exception or an empty list."""

import contextlib
import datetime
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeVar

from django.db.models import Exists, OuterRef
from django.utils import timezone

from altegio_loyalty import bills, conf, exceptions, policy
from altegio_loyalty.client import AltegioClient, Card, Record, VisitDetails
from altegio_loyalty.client.exchange import current
from altegio_loyalty.client.types import Cards
from altegio_loyalty.gateway import Line
from altegio_loyalty.models import ANONYMISED, Location, LoyaltyOperation, Visit
from altegio_loyalty.moments import as_local, today
from altegio_loyalty.redaction import clean
from altegio_loyalty.services import visit_rows
from altegio_loyalty.services.validation import Person, check_id, no_address
from altegio_loyalty.texts import gettext as _
from altegio_loyalty.wording import in_words

Result = TypeVar("Result")
#: So long the calls for a page may go on together; with a wait for a turn, within the 30 that servers give a request.
SECONDS_FOR_A_PAGE = 24.0
#: So long a visit's client is believed, as long as a day's list that names it; then Altegio is asked once more.
CLIENT_IS_RECENT = datetime.timedelta(minutes=5)


@dataclass(frozen=True)
class VisitReading:
    """What Altegio showed of a visit, and when. `error` is empty, or says why it could not be read now.

    `retry_after` says in how many seconds it can be asked again, where that is all that is missing.
    """

    details: VisitDetails | None = None
    error: str = ""
    retry_after: float | None = None
    read_at: datetime.datetime = field(default_factory=timezone.now)


@dataclass(frozen=True)
class CardsReading:
    """The client's cards. `error` is empty, or says why they could not be read now: no card and no answer differ.

    `unreadable_count` counts cards and promotions left out; `read_at` is set where they were not read with the bill.
    """

    cards: tuple[Card, ...] = ()
    error: str = ""
    unreadable_count: int = 0
    retry_after: float | None = None
    read_at: datetime.datetime | None = None


@dataclass(frozen=True)
class VisitFetch:
    """A visit that was fetched by its number. `error` is empty, or says why `visit` is None."""

    visit: Visit | None = None
    error: str = ""


@contextlib.contextmanager
def within_a_page() -> Iterator[None]:
    """All calls in here end before the server's patience with a request does."""
    current.ends_at = time.monotonic() + SECONDS_FOR_A_PAGE
    try:
        yield
    finally:
        current.ends_at = math.inf


def is_over() -> bool:
    """Whether the time for the calls of a page has run out."""
    return time.monotonic() >= current.ends_at


def known_for_screen(
    visit: Visit, within: datetime.timedelta = bills.READING_IS_FRESH
) -> tuple[VisitReading, CardsReading, bool]:
    """What was last shown of the visit and its cards, if anything, and whether that is as good as a reading now."""
    bill = bills.last_shown(visit)
    if bill is None:
        return VisitReading(), CardsReading(), False
    as_of = bill.read_at if bill.is_answer else None
    cards = CardsReading(bill.cards.cards, unreadable_count=bill.cards.unreadable_count, read_at=as_of)
    return VisitReading(bill.details, read_at=bill.read_at), cards, bills.is_fresh(visit, bill, within)


def read_for_screen(visit: Visit, *, by: Person | None = None) -> tuple[VisitReading, CardsReading]:
    """What Altegio shows of the visit and its client's cards, for `by`; what was read seconds ago is not read again.

    What cannot be read is as last shown, if ever, with the error. Endpoints: of `read_visit`, `find_client`, `read_cards`.
    """
    known, known_cards, is_fresh = known_for_screen(visit)
    if is_fresh:
        return known, known_cards
    client = visit.client_id
    with within_a_page():
        details, cards = _read_both(visit, by)
    if known.details is not None and cards.error and client == visit.client_id:
        if details.details is None:
            details = replace(details, details=known.details, read_at=known.read_at)
        cards = replace(known_cards, error=cards.error, retry_after=cards.retry_after, read_at=known.read_at)
    return details, cards


def _read_both(visit: Visit, by: Person | None) -> tuple[VisitReading, CardsReading]:
    turns = 2 if visit.client_id else 1
    details = read_visit(visit.location, visit_id=visit.pk, record_id=visit.record_id, turns=turns, by=by)
    if details.details is None:
        return details, CardsReading(error=details.error, retry_after=details.retry_after)
    cards = _read_cards_of(visit, by, 2 - turns)
    if cards.error:
        bills.keep_figures(visit.pk, details.details, details.read_at)
    else:
        bills.keep(visit, details.details, Cards(cards.cards, cards.unreadable_count), details.read_at)
    return details, cards


def _read_cards_of(visit: Visit, by: Person | None, turns: int) -> CardsReading:
    problem, client, name = "", visit.client_id, visit.client_name
    if client is None or not _client_is_recent(visit):
        problem = find_client(visit, by=by)
    if client not in (None, visit.client_id):
        visit.client_before = name  # type: ignore[attr-defined]
    if not visit.client_id:
        return CardsReading(error=problem)  # without one: nobody's visit, so nobody's cards
    return read_cards(visit.location, client_id=visit.client_id, turns=turns, by=by)


def _client_is_recent(visit: Visit) -> bool:
    """Whether Altegio named the visit's client moments ago: when it was first seen, or when the list of its day was read."""
    zone, seen_at = visit.location.zone, visit.created_at
    if visit.starts_at and as_local(visit.starts_at, zone).date() == today(zone):
        seen_at = max(seen_at, visit.location.visits_read_at or seen_at)
    return abs(timezone.now() - seen_at) < CLIENT_IS_RECENT  # not seen by a clock that was put back since


def read_visit(
    location: Location, *, visit_id: int, record_id: int, turns: int = 1, by: Person | None = None
) -> VisitReading:
    """What the visit holds now. Endpoint: GET /visit/details/{location_id}/{record_id}/{visit_id}.

    `turns` is how many requests of the budget it takes: 2 where `read_cards` follows, with 0. `by` is who waits for it.
    """
    asked_at = timezone.now()
    try:
        reply = ask(location, lambda api: api.visit_details(location.pk, record_id, visit_id), by, turns)
    except exceptions.ApiError as error:
        return VisitReading(error=shown(error), retry_after=error.retry_after)
    return VisitReading(reply.visit, read_at=asked_at)


def read_cards(
    location: Location, *, client_id: int, turns: int = 1, by: Person | None = None
) -> CardsReading:
    """The client's cards with their promotions. `turns`, `by`: see `read_visit`. GET /loyalty/client_cards/{client_id}."""
    try:
        # Tokens may be good for visits and not for cards.
        found = ask(location, lambda client: client.client_cards(client_id), by, turns, proves=False)
    except exceptions.ApiError as error:
        return CardsReading(error=shown(error, "cards"), retry_after=error.retry_after)
    return CardsReading(found.cards, unreadable_count=found.unreadable_count)


def find_client(visit: Visit, *, by: Person | None = None) -> str:
    """Fill in the visit's client, if any, as Altegio names it now; returns why it did not tell, or an empty text.

    One who was made anonymous stays so, and is not asked for. Endpoint: GET /visits/{visit_id}.
    """
    if visit.is_anonymised:
        return ""
    try:
        records = ask(visit.location, lambda client: client.visit(visit.pk), by)
    except exceptions.ApiError as error:
        return shown(error)
    ours = [record for record in records if record.location_id in (0, visit.location_id)]
    if not ours:
        return _("Altegio names no client for this visit.")
    # A deleted appointment may have been somebody else's.
    record = min(ours, key=lambda one: (one.is_deleted, not one.client_id))
    if record.client_id != (visit.client_id or 0):
        visit.client_id = record.client_id or None
        visit.client_name = clean(record.client_name, 200)
        visit.client_phone = clean(record.client_phone, 40)
        columns = ("client_id", "client_name", "client_phone")
        row = Visit.objects.filter(pk=visit.pk).exclude(client_id=ANONYMISED)
        visit_rows.write([visit], lambda: row.update(**{name: getattr(visit, name) for name in columns}))
    return ""


def fetch_visit(location: Location, visit_id: int, *, by: Person | None = None) -> VisitFetch:
    """Fetch one visit by its number into our table. A visit of another location is as if there were none.

    One that Altegio has moved here is this location's from now on, as soon as nothing of it is open.

    Raises `ValidationError` where `visit_id` is no positive whole number. Endpoint: GET /visits/{visit_id}.
    """
    check_id("visit_id", visit_id)
    none_here = VisitFetch(error=_("There is no visit %(visit)s in this location.") % {"visit": visit_id})
    asked_at = timezone.now()
    try:
        records = ask(location, lambda client: client.visit(visit_id), by)
    except exceptions.ApiError as error:
        return none_here if error.http_status == 404 else VisitFetch(error=shown(error))
    # One that was moved may leave deleted appointments behind in another location.
    records = [record for record in records if not record.is_deleted] or records
    if any(record.location_id != location.pk for record in records):
        return none_here
    mine = [record for record in records if record.id and record.visit_id in (0, visit_id)]
    if not mine:
        return none_here
    if mine[0].is_deleted:
        return VisitFetch(error=_("Visit %(visit)s is deleted in Altegio.") % {"visit": visit_id})
    visit = _kept(location, visit_id, mine, asked_at)
    return VisitFetch(visit) if visit else none_here


def _kept(
    location: Location, visit_id: int, records: list[Record], asked_at: datetime.datetime
) -> Visit | None:
    elsewhere = Visit.objects.filter(pk=visit_id).exclude(location=location)
    is_open = Exists(LoyaltyOperation.objects.open().filter(visit=OuterRef("pk")))
    elsewhere.filter(~is_open).update(location=location, record_id=records[0].id, shown="", read_at=None)
    figures = {record.id: visit_rows.figures_of(record) for record in records}
    row = visit_rows.row_from(location, visit_id, list(figures.values()), records[0])
    visit_rows.save(location, [row], {visit_id: max(record.changed_at for record in records)}, asked_at)
    visit_rows.renew_records(location, {visit_id: figures})
    return location.visits.filter(pk=visit_id).first()


def ask(
    location: Location,
    question: Callable[[AltegioClient], Result],
    by: Person | None,
    turns: int = 1,
    *,
    proves: bool = True,
) -> Result:
    """One read that `by` waits for; `turns`, `proves` as in `Line.ask`. Raises a subclass of `exceptions.ApiError`."""
    if not location.is_active:
        raise exceptions.NotSent(_("This location is switched off."))
    check_api_url()
    line = Line(location, reads_for=str(by.pk) if by else "")
    return line.ask(question, turns=turns, proves=proves)


def check_api_url() -> None:
    if not conf.is_http_url(conf.get_settings().API_URL):
        raise exceptions.NotSent(no_address())


def shown(error: exceptions.ApiError, about: str = "") -> str:
    """The failure in the person's language; `about` is what was read, as far as a refusal means something else there."""
    return in_words(policy.reason_of(error), about)
