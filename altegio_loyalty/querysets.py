"""Questions about the tables that read as sentences. Used by the screens, the sweep and the services alike."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, tzinfo
from functools import reduce
from operator import or_
from typing import Any, Self

from django.db import connections, models, router
from django.db.models import Case, Count, Exists, F, Max, OuterRef, Q, When, Window
from django.db.models.functions import Coalesce, RowNumber

from altegio_loyalty import kinds
from altegio_loyalty.client.transport import LONGEST_RETRY_AFTER
from altegio_loyalty.conf import get_settings
from altegio_loyalty.moments import CLOCKS_APART
from altegio_loyalty.states import OPEN, CallOutcome, Ending, Purpose, Status

KNOWN_KINDS = tuple(kinds.TABLE)
#: A row of a kind that only a newer release knows is not touched.
_KNOWN = Q(kind__in=KNOWN_KINDS)
#: Nothing is sent for their locations.
HELD_UP = Q(location__is_active=False) | Q(location__refused_at__isnull=False)
WORKS = Q(location__is_active=True, location__refused_at__isnull=True)
#: Given up without a person's verdict, or at odds with the visit, until somebody closes it.
_TO_CLOSE = Q(closed_at__isnull=True) & (
    Q(discrepancy__gt="") | (Q(status=Status.FAILED) & ~Q(ending=Ending.DECIDED_DID_NOT_HAPPEN))
)
#: What `attention` is of an operation that can need a person; of all others it is NULL.
TO_CLOSE, UNFINISHED = 1, 2
ATTENTION = Case(
    When(_TO_CLOSE, then=TO_CLOSE),
    When(Q(status__in=OPEN) | Q(next_attempt_at__isnull=False), then=UNFINISHED),
    default=None,
)


def is_over(wait_ends: datetime | None, now: datetime) -> bool:
    """Whether a lease or a wait is over, or ends later than any can: whoever wrote it went by a clock that was wrong."""
    return wait_ends is not None and not now < wait_ends <= _latest_end(now)


def _is_over(now: datetime) -> Q:
    return Q(next_attempt_at__lte=now) | Q(next_attempt_at__gt=_latest_end(now))


def _latest_end(now: datetime) -> datetime:
    settings = get_settings()
    waits = settings.LEASE_SECONDS, settings.RETRY_DELAY_MAX, settings.SETTLE_SECONDS + settings.TOTAL_TIMEOUT
    return now + timedelta(seconds=max(LONGEST_RETRY_AFTER, *waits)) + CLOCKS_APART


def by_zone(locations: Iterable[Any]) -> dict[tzinfo | None, list[int]]:
    """The locations' ids by time zone; the reader's zone where there is no location."""
    zones: dict[tzinfo | None, list[int]] = {}
    for location in locations:
        zones.setdefault(location.zone, []).append(location.pk)
    return zones or {None: []}


def in_each_zone(locations: Iterable[Any], condition: Callable[[tzinfo | None], Q]) -> Q:
    """Rows of the locations that meet the condition for their own location's zone, since days differ between zones."""
    zones = by_zone(locations)
    if len(zones) == 1:
        return condition(*zones)
    return reduce(or_, (Q(location_id__in=ids) & condition(zone) for zone, ids in zones.items()))


def update_if_free(rows: models.QuerySet[Any], **columns: Any) -> int:
    """Update the rows, for what is best effort: MariaDB locks what a foreign key points at to the end of a transaction.

    There it raises `OperationalError` at once where somebody holds one of them.
    """
    rows = rows.using(using := router.db_for_write(rows.model))
    connection: Any = connections[using]
    if connection.vendor != "mysql" or not connection.mysql_is_mariadb:
        return rows.update(**columns)
    with connection.execute_wrapper(_without_waiting):
        return rows.update(**columns)


def _without_waiting(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
    return execute(f"SET STATEMENT innodb_lock_wait_timeout = 0 FOR {sql}", *rest)


class OperationQuerySet(models.QuerySet[Any]):
    """Rows change by conditional updates alone: each names the state that it expects, and says whether it met it."""

    def open(self) -> Self:
        return self.filter(status__in=OPEN)

    def due(self, now: datetime) -> Self:
        """What can be worked on now: its wait `is_over`, its location's tokens work, and this release knows what it is."""
        waiting = (Status.PENDING, Status.UNCONFIRMED)
        return self.filter(_KNOWN, WORKS, _is_over(now), status__in=waiting)

    def in_turn(self) -> Any:
        """Their numbers: one of each location in turn; there singles before those of a batch, and the oldest first."""
        in_batch = Case(When(batch=None, then=0), default=1)
        turn = Window(RowNumber(), [F("location_id")], [in_batch, F("next_attempt_at"), F("pk")])
        ordered = self.annotate(in_batch=in_batch, turn=turn)
        return ordered.order_by("turn", "in_batch", "next_attempt_at", "pk").values_list("pk", flat=True)

    def lease_ran_out(self, now: datetime) -> Self:
        """Claimed by a worker that did not report in time."""
        return self.filter(_KNOWN, _is_over(now), status=Status.SENDING)

    def running_out(self, now: datetime) -> Self:
        """What nobody tried in time, and what of a location that does not work has less than half of its time left."""
        half = now + timedelta(seconds=get_settings().RETRY_WINDOW / 2)
        late = Q(status=Status.PENDING, expires_at__lte=now) | HELD_UP
        waits = {"status__in": (Status.PENDING, Status.UNCONFIRMED), "expires_at__lte": half}
        return self.filter(_KNOWN, late, **waits).order_by("expires_at")

    def needing_attention(self) -> Self:
        """What needs a person; see `needs_person`."""
        return self.filter(self.needs_person())

    def needs_person(self) -> Q:
        """The one condition that each screen's number of it is from.

        What is to be closed; a doubt that nothing settles by itself; and what waits for a release that knows what it is. The
        index of `attention` leads to those that can be, however long the log is.
        """
        is_unknown = ~_KNOWN | ~Q(status__in=Status.values)
        is_stuck = HELD_UP | Exists(self._looked_up_in_vain())
        in_vain = (Q(status=Status.UNCONFIRMED) & is_stuck) | is_unknown
        return Q(attention__gt=0) & (Q(attention=TO_CLOSE) | in_vain)

    def queue(self, **more: Any) -> dict[str, Any]:
        """How many wait, are in doubt, and need a person, and what more is asked of what is not done with: one query."""
        return self.filter(attention__gt=0).aggregate(
            needing=Count("pk", filter=self.needs_person()),
            waiting=Count("pk", filter=WORKS & Q(status__in=(Status.PENDING, Status.SENDING))),
            in_doubt=Count("pk", filter=WORKS & Q(status=Status.UNCONFIRMED)),
            **more,
        )

    def _looked_up_in_vain(self) -> models.QuerySet[Any]:
        """The look-ups of an operation that Altegio answered after the time to settle, and that ended no doubt."""
        attempts: Any = self.model._meta.get_field("attempts").related_model
        since = Coalesce(OuterRef("unanswered_at"), OuterRef("created_at"))
        settle = timedelta(seconds=get_settings().SETTLE_SECONDS)
        is_answered = Q(outcome__in=(CallOutcome.STILL_OPEN, CallOutcome.REFUSED))
        is_answered |= Q(outcome=CallOutcome.NOT_READ, http_status__range=(200, 299))
        return attempts._default_manager.filter(  # type: ignore[no-any-return]
            is_answered,
            operation=OuterRef("pk"),
            purpose=Purpose.LOOK_UP,
            started_at__gte=models.ExpressionWrapper(since + settle, models.DateTimeField()),
        )

    def with_last_event(self) -> Any:
        """With `last_event`, a number by which operations stand in the order in which what became of them was written.

        The numbers of the attempts only grow, and at most one operation of a visit and card is open at a time; a clock may
        be put back. Only calls, and a person's word that it happened, can change what is in force.
        """
        said = Q(attempts__purpose=Purpose.DECISION)
        counts = Q(attempts__is_late=False) & (~said | Q(attempts__outcome=CallOutcome.HAPPENED))
        return self.annotate(last_event=Coalesce(Max("attempts__pk", filter=counts), 0))

    def held_by(self, operation: Any) -> Self:
        """The row, as long as nobody has claimed or changed it since `operation` was read."""
        return self.filter(pk=operation.pk, status=operation.status, fence=operation.fence)
