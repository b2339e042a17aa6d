"""What is kept of the log: sums per day for good, its rows as long as the site wants.

An operation counts in the sums or by its row, never both: what adds it to them marks the row in the same transaction.
"""

import contextlib
import datetime
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from django.db import IntegrityError, OperationalError, connections, transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from altegio_loyalty import database
from altegio_loyalty.conf import FEWEST_DAYS
from altegio_loyalty.models import DaySum, GroupSum, Location, Visit
from altegio_loyalty.moments import as_local
from altegio_loyalty.querysets import KNOWN_KINDS
from altegio_loyalty.states import Status
from altegio_loyalty.statistics import GROUPINGS, MOVING, POINTS, SETTLED, slot_of, with_points

logger = logging.getLogger(__name__)

#: So many settled operations are added up at once; fewer wait, and pages read them from the log.
SUMMED_AT_ONCE = 1000
VISITS_AT_ONCE = 500
#: Of an operation that is done with: nothing of it can change or arrive, and it can need nobody.
DONE_WITH = Q(attention=None, open_key=None, kind__in=KNOWN_KINDS, status__in=(*SETTLED, Status.FAILED))
_KEY = ("location_id", "day", "kind", "status", "slot")
_OF_GROUP = ("location_id", "day", "by", "key", "name")


def add_up() -> None:
    """Add what is settled to the sums per day, if enough of it waits; nothing where another one adds to the same days."""
    # One of a newer release's kind waits for that release, which knows what points it moved.
    settled = database.operations().filter(is_summed__in=[False], status__in=SETTLED, kind__in=KNOWN_KINDS)
    waiting = settled.order_by("status", "pk")
    if waiting.order_by().values_list("pk")[SUMMED_AT_ONCE - 1 : SUMMED_AT_ONCE]:
        # Whoever has one of them, such as a person who makes a client anonymous, is never waited for.
        can_skip = connections[waiting.db].features.has_select_for_update_skip_locked
        rows = waiting.select_for_update(skip_locked=can_skip)[:SUMMED_AT_ONCE]
        _committed_or_left(lambda: _is_added(rows))


def _committed_or_left(work: Callable[[], int]) -> int:
    """What `work` returns, committed; 0 where the database undid it, since another one was at the same rows."""
    try:
        with database.committed():
            return work()
    except OperationalError as error:
        logger.warning("Sums of the log are left to the next run: %s", type(error).__name__)
        return 0


def _is_added(rows: Any) -> bool:
    """Add rows, locked by the caller, to the sums of their days, and mark them; False where another adds to these days."""
    # The lock first, and on the operations alone: what is read behind it is as it is now, also who was made anonymous.
    found = database.operations().filter(pk__in=list(rows.values_list("pk", flat=True)))
    locations, table = Location.objects.using(rows.db).in_bulk(), DaySum.objects.using(rows.db)
    sums: defaultdict[tuple[Any, ...], Counter[str]] = defaultdict(Counter)
    groups: defaultdict[tuple[Any, ...], Counter[str]] = defaultdict(Counter)
    keys = {f"by_{by}": grouping.key_text for by, grouping in GROUPINGS.items()}
    for row in with_points(found, KNOWN_KINDS).annotate(**keys):
        zone, slot = locations[row.location_id].zone, slot_of(row.status, row.created_at, row.finished_at)
        asked, moved = (as_local(at, zone).date() for at in (row.created_at, row.moved_at))
        sums[row.location_id, asked, row.kind, row.status, slot]["asked_count"] += 1
        points = {name: getattr(row, name) for name in POINTS if getattr(row, name)}
        if points and row.kind in MOVING:
            sums[row.location_id, moved, row.kind, row.status, slot].update(points)
        for by, grouping in GROUPINGS.items():
            if points and row.kind in grouping.kinds:
                day = as_local(getattr(row, grouping.moment), zone).date()
                groups[row.location_id, day, by, getattr(row, f"by_{by}"), row.program_title].update(points)
    days = table.filter(location_id__in={key[0] for key in sums}, day__in={key[1] for key in sums})
    with contextlib.suppress(IntegrityError), transaction.atomic(using=rows.db):
        there = {
            tuple(getattr(row, name) for name in _KEY): row for row in days.order_by("pk").select_for_update()
        }
        for key in sums.keys() & there.keys():
            sums[key].update({name: getattr(there[key], name) for name in ("asked_count", *POINTS)})
        table.filter(pk__in=[there[key].pk for key in sums.keys() & there.keys()]).delete()
        table.bulk_create(DaySum(**dict(zip(_KEY, key, strict=True)), **added) for key, added in sums.items())
        told = (GroupSum(**dict(zip(_OF_GROUP, key, strict=True)), **added) for key, added in groups.items())
        GroupSum.objects.using(rows.db).bulk_create(told)
        found.update(is_summed=True)
        return True
    return False


def prune(days: int, *, dry_run: bool = False) -> Iterator[int]:
    """Delete the operations of visits on which nothing happened for so many days; yields the count of each batch.

    Each batch is a transaction: whoever stops, or is stopped, leaves the log whole. A visit's operations go together, since
    each explains the others. With `dry_run` they are only counted. Nothing younger than `FEWEST_DAYS` goes.
    """
    before = timezone.now() - datetime.timedelta(days=max(days, FEWEST_DAYS))
    over, last = _over(before), 0
    while visits := list(over.filter(pk__gt=last).order_by("pk")[:VISITS_AT_ONCE]):
        rows, last = database.operations().filter(visit__in=visits), visits[-1]
        yield rows.count() if dry_run else _committed_or_left(partial(_delete, rows, over, visits))


def _delete(rows: Any, over: Any, visits: list[int]) -> int:
    locked = set(rows.select_for_update().values_list("pk", flat=True))
    # Asked again behind the lock: somebody may have tried one again meanwhile, or asked for another.
    judged = rows.filter(visit__in=list(over.filter(pk__in=visits))).values_list("pk", "visit")
    newer = {visit for pk, visit in judged if pk not in locked}
    rows = database.operations().filter(pk__in=[pk for pk, visit in judged if visit not in newer])
    if not _is_added(rows.filter(is_summed=False)):
        return 0
    rows.update(cancels=None)  # which would keep another row from being deleted
    return int(rows.delete()[1].get(rows.model._meta.label, 0))


def _over(before: datetime.datetime) -> Any:
    """The numbers of the visits whose operations can go: all are settled and old, and none can need a person.

    Not of one that is, or was read, of late: whoever has it open may act on what is in force there, as the log explains it.
    """
    operations = database.operations().filter(visit=OuterRef("pk"))
    over = DONE_WITH & Q(finished_at__lt=before, created_at__lt=before)
    visits = Visit.objects.using(database.alias()).filter(Exists(operations), created_at__lt=before)
    for name in ("starts_at", "read_at"):
        visits = visits.filter(Q(**{name: None}) | Q(**{f"{name}__lt": before}))
    return visits.exclude(Exists(operations.exclude(over))).values_list("pk", flat=True)
