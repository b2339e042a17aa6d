"""How visits that Altegio's lists show are brought into our own table, and which of two figures is the better one.

A visit's own page reads exactly what is left to pay (`bills.keep_figures`; `Visit.read_at` says when). The list of
appointments only allows an estimate, from the prices of its lines: such a row has no `read_at`, and replaces an exact
figure only where that is out of date, since the appointment was changed, or an operation of ours ended, after it.
"""

import datetime
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal

from django.db.models import Max, Q, QuerySet

from altegio_loyalty import database
from altegio_loyalty.bills import storable
from altegio_loyalty.client import Record
from altegio_loyalty.client.types import sum_of
from altegio_loyalty.models import ANONYMISED, Location, LoyaltyOperation, Visit
from altegio_loyalty.moments import CLOCKS_APART, parse_moment, stored
from altegio_loyalty.redaction import clean

_FACTS = ("client_id", "client_name", "client_phone", "starts_at")
_FIGURES = ("due_amount", "covered_amount", "read_at")
#: So many rows are written or asked for in one statement.
_ROWS_AT_ONCE = 500

#: (applied, left to pay) of one appointment; None where the list does not say it.
Figures = tuple[Decimal | None, Decimal | None]


def figures_of(record: Record) -> Figures:
    covered = None
    if record.cost is not None and record.to_pay is not None:
        covered = max(record.cost - record.to_pay, Decimal(0))
    return covered, Decimal(0) if record.is_paid else record.to_pay


def row_from(location: Location, visit_id: int, pairs: list[Figures], record: Record | None = None) -> Visit:
    """The visit as Altegio's list shows it; without a record it only brings new figures."""
    row = Visit(id=visit_id, location=location)
    row.covered_amount = storable(sum_of(covered for covered, _due in pairs))
    row.due_amount = storable(sum_of(due for _covered, due in pairs))
    if record is not None:
        row.record_id, row.client_id = record.id, record.client_id or None
        row.client_name, row.client_phone = clean(record.client_name, 200), clean(record.client_phone, 40)
        starts_at = parse_moment(record.starts_at) or parse_moment(record.local_start)
        row.starts_at = stored(starts_at, location.zone)
    return row


def save(
    location: Location, rows: list[Visit], changes: dict[int, str], asked_at: datetime.datetime
) -> tuple[int, int, list[int]]:
    """Write the rows, in a few queries: how many are new, how many changed, and which, left alone, another location's."""
    known = Visit.objects.defer("shown").in_bulk([row.pk for row in rows])
    foreign = [pk for pk, there in known.items() if there.location_id != location.pk]
    new = [row for row in rows if row.pk not in known and row.record_id]
    write(new, lambda: Visit.objects.bulk_create(new, ignore_conflicts=True))
    mine = [(known[row.pk], row) for row in rows if row.pk in known and row.pk not in foreign]
    latest = asked_at + CLOCKS_APART
    figured = [there for there, _row in mine if there.read_at and there.read_at <= latest]
    exact = _still_exact(figured, changes, asked_at, location.zone)
    renamed = [there for there, row in mine if row.record_id and _take_facts(there, row)]
    refigured = [there for there, row in mine if there.pk not in exact and _take(there, row, _FIGURES)]
    if renamed:
        # One that was made anonymous since it was read just now stays so.
        known_as_such = [there.pk for there in renamed if there.is_anonymised]
        as_known = Visit.objects.filter(~Q(client_id=ANONYMISED) | Q(pk__in=known_as_such))
        write(renamed, lambda: as_known.bulk_update(renamed, _FACTS))
    if refigured:
        # Somebody may have opened the visit's page while Altegio was answering: that reading is later and better.
        is_earlier = Q(read_at__isnull=True) | Q(read_at__lt=asked_at)
        not_later = Visit.objects.filter(is_earlier | Q(read_at__gt=latest))
        not_later.bulk_update(refigured, _FIGURES)
    return len(new), len({*(row.pk for row in renamed), *(row.pk for row in refigured)}), foreign


def write(rows: Iterable[Visit], save_them: Callable[[], object]) -> None:
    """Save the rows; where a column of an old charset cannot hold a client's name, with question marks in it."""

    def save_as(fitting: Callable[[str], str]) -> None:
        for row in rows:
            row.client_name = fitting(row.client_name)
        save_them()

    database.in_old_tables(save_as)


def _take_facts(there: Visit, row: Visit) -> bool:
    """What the list does not say of the same client or of the time stays as it was; so does who is anonymous."""
    if there.is_anonymised:
        row.client_id, row.client_name, row.client_phone = ANONYMISED, "", ""
    elif row.client_id == there.client_id:
        row.client_name = row.client_name or there.client_name
        row.client_phone = row.client_phone or there.client_phone
    row.starts_at = row.starts_at or there.starts_at
    return _take(there, row, _FACTS)


def _take(there: Visit, row: Visit, names: tuple[str, ...]) -> bool:
    """Copy the columns; whether anything differed."""
    changed = [name for name in names if getattr(there, name) != getattr(row, name)]
    for name in changed:
        setattr(there, name, getattr(row, name))
    return bool(changed)


def _still_exact(
    visits: list[Visit], changes: dict[int, str], asked_at: datetime.datetime, zone: datetime.tzinfo
) -> set[int]:
    """Those of the visits whose exact figures nothing is known to have changed since."""
    ended = LoyaltyOperation.objects.filter(visit__in=visits, finished_at__isnull=False)
    ends = dict(ended.order_by().values_list("visit_id").annotate(last=Max("finished_at"))) if visits else {}
    exact = set()
    for visit in visits:
        assert visit.read_at is not None
        changed_at = stored(parse_moment(changes.get(visit.pk, "")), zone)
        # A change in the future is no change: some lists show the time of the appointment there.
        was_changed = changed_at is not None and visit.read_at < changed_at <= asked_at
        ended_at = ends.get(visit.pk)
        if not was_changed and (ended_at is None or ended_at <= visit.read_at):
            exact.add(visit.pk)
    return exact


def _in_parts(ids: Iterable[int]) -> Iterator[list[int]]:
    in_order = sorted(ids)
    return (in_order[start : start + _ROWS_AT_ONCE] for start in range(0, len(in_order), _ROWS_AT_ONCE))


def renew_records(location: Location, figures: dict[int, dict[int, Figures]]) -> int:
    """Name a living appointment where the one that we know has been replaced; calls for a dead one would be refused."""
    count = 0
    for some in _in_parts(figures):
        known = location.visits.filter(pk__in=some)
        replaced = [visit for visit in known if visit.record_id not in figures[visit.pk]]
        for visit in replaced:
            visit.record_id = next(iter(figures[visit.pk]))
        count += Visit.objects.bulk_update(replaced, ["record_id"])
    return count


def clear_times(known: QuerySet[Visit], gone: set[int]) -> int:
    """Forget when these visits are, so that no day lists them; a search finds them still, and so does their log."""
    return sum(known.filter(pk__in=some).update(starts_at=None) for some in _in_parts(gone))
