"""The evening's books: each location's day, as the log has it, compared with what Altegio shows. Sends nothing, ever."""

import contextlib
import datetime
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from decimal import Decimal
from operator import attrgetter, methodcaller
from typing import Any, TypeVar

from django.db.models import Min, Q
from django.utils import timezone

from altegio_loyalty import bills, database, exceptions, kinds, moments, policy, reasons, signals, throttle
from altegio_loyalty.client import AltegioClient, Order, VisitDetails
from altegio_loyalty.client.types import Malformed, to_id
from altegio_loyalty.conf import get_settings
from altegio_loyalty.daybooks import A_PROGRAM
from altegio_loyalty.delivery.drift import judge_reading, time_to_settle
from altegio_loyalty.delivery.explained import is_done, not_undone, taken_by
from altegio_loyalty.gateway import Line
from altegio_loyalty.models import BooksItem, BooksOfDay, Location, LoyaltyOperation, OperationAttempt, Visit
from altegio_loyalty.reasons import Reason
from altegio_loyalty.states import CallOutcome

Result = TypeVar("Result")
#: Rows of the chain's list, as they came.
Rows = list[Mapping[str, Any]]
logger = logging.getLogger(__name__)

#: So many days back is tried again what could not be compared.
DAYS_BACK = 7
AGAIN_AFTER = datetime.timedelta(hours=1)
#: How long one run may go on, in seconds, and how many open items it reads again, those read longest ago first.
LONGEST_RUN, MOST_READ_AGAIN = 300.0, 100
_MOST_PAGES = 500
_GOES_ON = Reason(reasons.TO_BE_CONTINUED).stored()
_NOT_OVER, _NO_LIST = Reason(reasons.DAY_NOT_OVER).stored(), Reason(reasons.LIST_NOT_READ).stored()
#: Of which nobody need be told.
_NO_TROUBLE = "", _GOES_ON, _NOT_OVER, _NO_LIST


class _NotComparable(Exception):
    """Of this visit nothing can be said now."""


def check(
    *, day: datetime.date | None = None, location_id: int | None = None, seconds: float = LONGEST_RUN
) -> list[BooksOfDay]:
    """Compare what is due: of each location the last days that were not compared yet; or `day`, once more.

    Goes on where the last run stopped, for so many seconds at the most, and uses only what others leave of the budget of
    requests. What Altegio does raises nothing. Returns the books of all these days as they are then.

    Endpoints: GET /company/{location_id}, /chain/{chain_id}/loyalty/transactions, /visits/{visit_id}, /visit/details/….
    """
    database.drop_old_connection()
    ends_at, found = time.monotonic() + seconds, []
    chosen = {} if location_id is None else {"pk": location_id}
    for location in Location.objects.filter(**chosen).order_by("pk"):
        evening = _Evening(location, ends_at)
        for each in [day] if day else _last_days(location):
            books, _is_new = location.books.get_or_create(day=each, defaults={"problem": _GOES_ON})
            if day:
                books.cursor, books.checked_at, books.next_try_at = 0, None, None
            is_due = books.next_try_at is None or books.next_try_at <= timezone.now()
            if books.checked_at is None and is_due and not evening.is_over:
                evening.compare(books)
            found.append(books)
        evening.read_again()
    return found


def _last_days(location: Location) -> list[datetime.date]:
    """The last days that are over, from the one on which the log begins."""
    first = database.operations().filter(location=location).aggregate(first=Min("created_at"))["first"]
    if first is None:
        return []
    begins, today = moments.as_local(first, location.zone).date(), moments.today(location.zone)
    days = (today - datetime.timedelta(days=count) for count in range(DAYS_BACK, 0, -1))
    return [day for day in days if day >= begins and _is_over(day, location)]


def _is_over(day: datetime.date, location: Location) -> bool:
    """Also whatever was sent on it."""
    return moments.start_of(day, location.zone, days=1) + _time_to_arrive() <= timezone.now()


class _Evening:
    """One location's turn."""

    def __init__(self, location: Location, ends_at: float) -> None:
        self.location, self.ends_at, self.began = location, ends_at, timezone.now()
        self.line = Line(location, reads_for=throttle.FOR_BOOKS)
        self.items = BooksItem.objects.using(database.alias()).filter(location=location)

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self.ends_at

    def compare(self, books: BooksOfDay) -> None:
        """Compare the day from its cursor on, and keep what was found, or why it could not be."""
        had_problem = books.problem not in _NO_TROUBLE
        if not books.cursor:
            books.operation_count = books.visit_count = books.unread_count = 0
            books.points = Decimal(0)
        try:
            books.problem = self._why_not(books.day) or self._compare_visits(books)
        except exceptions.ApiError as error:
            self.ends_at = 0.0  # the next one would most likely meet it as well
            is_ours = isinstance(error, exceptions.Throttled)
            books.problem = _GOES_ON if is_ours else policy.reason_of(error).stored(300)
        now = timezone.now()
        books.checked_at = None if books.problem not in ("", _NO_LIST) else now
        books.next_try_at = now if books.problem == _GOES_ON else now + AGAIN_AFTER
        books.save()
        if books.checked_at or (books.problem not in _NO_TROUBLE and not had_problem):
            signals.books_checked.send_robust(BooksOfDay, books=books)

    def _why_not(self, day: datetime.date) -> str:
        """Why nothing of the day can be compared now; empty where it can."""
        if not self.location.is_working:
            return self.location.refused_reason or Reason(reasons.SWITCHED_OFF).stored()
        return "" if _is_over(day, self.location) else _NOT_OVER

    def _compare_visits(self, books: BooksOfDay) -> str:
        """Returns why not all could be compared, or an empty text."""
        listed, own = self._listed(books.day), self._asked_on(books.day)
        for visit_id in sorted({*(listed or ()), *own}):
            if visit_id <= books.cursor:
                continue
            if self.is_over:
                return _GOES_ON
            rows = None if listed is None else listed.get(visit_id, [])
            self._compare_visit(books, visit_id, rows, own[visit_id])
            books.cursor = visit_id
            books.save()
        if not books.unread_count:
            return _NO_LIST if listed is None else ""
        books.cursor = 0
        return Reason(reasons.VISITS_NOT_READ, {"count": str(books.unread_count)}).stored()

    def _compare_visit(self, books: BooksOfDay, visit_id: int, rows: Rows | None, count: int = 0) -> None:
        """Of a visit that the log has so many operations of on the day."""
        books.operation_count += count
        books.visit_count += bool(count)
        try:
            sides = self._by_list(books.day, visit_id, rows) or self._confirmed(visit_id, rows or [])
        except _NotComparable:
            # Where the log has nothing on this day, another day tells, or another location.
            books.unread_count += bool(count)
            return
        self._keep(books, visit_id, sides)
        agreed = [side.by_log for side in sides if count and not side.is_odd and not side.program_id]
        books.points += sum(agreed)

    def read_again(self) -> None:
        """Read the visits of open items that this run did not come by: both sides may agree by now."""
        again = self.items.filter(closed_at=None, read_at__lt=self.began).select_related("books")
        for item in again.order_by("read_at")[:MOST_READ_AGAIN]:
            if self.is_over or not self.location.is_working:
                return
            # Also one that cannot be read waits for its turn.
            self.items.filter(pk=item.pk).update(read_at=timezone.now())
            with contextlib.suppress(exceptions.ApiError):
                self._compare_visit(item.books, item.visit_id, None)

    def _asked_on(self, day: datetime.date) -> Counter[int]:
        """How many operations each visit has that were asked for on the day, or ended on it."""
        within = [moments.start_of(day, self.location.zone, days=count) for count in (0, 1)]
        asked = database.operations().filter(Q(created_at__range=within) | Q(finished_at__range=within))
        return Counter(asked.filter(location=self.location).order_by().values_list("visit_id", flat=True))

    def _known(self, visit_id: int) -> list[LoyaltyOperation]:
        """The operations of the visit, newest first; `_NotComparable` where one may still take effect."""
        rows = list(database.operations().filter(visit_id=visit_id).with_last_event().order_by("-pk"))
        since = timezone.now() - _time_to_arrive()
        if any(row.is_open or (row.unanswered_at and row.unanswered_at > since) for row in rows):
            raise _NotComparable
        return rows

    def _ask(self, question: Callable[[AltegioClient], Result], *, proves: bool = True) -> Result:
        """One read, as soon as others leave a request for it. Raises `Throttled` where that is after the end."""
        while True:
            try:
                return self.line.ask(question, proves=proves)
            except exceptions.Throttled as error:
                wait = error.retry_after or 1.0
                if time.monotonic() + wait >= self.ends_at:
                    raise
            time.sleep(wait)

    def _listed(self, day: datetime.date) -> dict[int, Rows] | None:
        """The rows of the chain's list by visit; None where it is refused, or nobody can read it.

        In whose time its days are, nobody says: those beside it are asked for as well.
        """
        here, one_day = self.location.pk, datetime.timedelta(days=1)
        listed, seen = defaultdict[int, Rows](list), set[int]()
        try:
            chain_id = self._ask(lambda client: client.company(here), proves=False).chain_id
            asked = chain_id, here, str(day - one_day), str(day + one_day)
            for page in range(1, _MOST_PAGES):
                found = self._ask(methodcaller("chain_transactions", *asked, page), proves=False)
                new = {to_id(row.get("id")): row for row in found}
                if new.keys() <= seen:
                    listed.pop(0, None)
                    return listed
                for number in (number for number in new if number not in seen):
                    listed[to_id(new[number].get("visit_id"))].append(new[number])
                seen |= new.keys()
        except (exceptions.Refused, exceptions.UnreadableAnswer, Malformed) as error:
            logger.info("The chain's list of location %s cannot be read: %s", here, error)
        return None

    def _by_list(self, day: datetime.date, visit_id: int, rows: Rows | None) -> list[BooksItem]:
        """Both sides by the chain's list; empty where that does not settle it: it only knows some days."""
        known, sides = self._known(visit_id), list[BooksItem]()
        begins, ends = (moments.start_of(day, self.location.zone, days=count) for count in (-1, 2))
        if any(row.created_at < begins or (row.finished_at or ends) >= ends for row in known):
            return []
        with contextlib.suppress(Malformed, _NotComparable):
            sides = _sides(VisitDetails.parse({"loyalty_transactions": rows}), known)
        return [] if any(side.is_odd for side in sides) else sides

    def _confirmed(self, visit_id: int, rows: Rows) -> list[BooksItem]:
        """Both sides by a reading of the visit, which is judged as any other is."""
        known, read_at = self._known(visit_id), timezone.now()
        try:
            where = self.location.pk, self._record_id(visit_id, rows), visit_id
            details = self._ask(lambda client: client.visit_details(*where)).visit
        except (exceptions.Refused, exceptions.UnreadableAnswer):
            raise _NotComparable from None
        before = [(row.pk, row.status) for row in known]
        judge_reading(visit_id, details, known, read_at)
        bills.keep_figures(visit_id, details, read_at)
        after, settled = self._known(visit_id), read_at - time_to_settle()
        sides = _sides(details, after)
        lags = any(row.finished_at and row.finished_at > settled for row in after)
        has_changed = before != [(row.pk, row.status) for row in after]
        if has_changed or (lags and any(side.is_odd for side in sides)):
            raise _NotComparable
        return sides

    def _record_id(self, visit_id: int, rows: Rows) -> int:
        """An appointment of the visit, which a reading needs; `_NotComparable` where it is another location's."""
        if visit := Visit.objects.filter(pk=visit_id).only("location_id", "record_id").first():
            if visit.location_id != self.location.pk:
                raise _NotComparable
            return int(visit.record_id)
        with contextlib.suppress(Malformed, StopIteration):
            return next(filter(None, (to_id(row.get("item_record_id")) for row in rows)))
        return next((record.id for record in self._ask(lambda client: client.visit(visit_id))), 0)

    def _keep(self, books: BooksOfDay, visit_id: int, sides: list[BooksItem]) -> None:
        """Open and renew the items of what is at odds, and close the others of the visit."""
        now = timezone.now()
        for side in (side for side in sides if side.is_odd):
            what = {"visit_id": visit_id, "card_id": side.card_id, "program_id": side.program_id}
            figures = {"by_log": side.by_log, "by_altegio": side.by_altegio}
            if not self.items.filter(**what, **figures).exclude(closed_by_login="").exists():
                renewed = {**figures, **_closing(side.operation), "read_at": now, "operation": side.operation}
                new = {**renewed, "books": books, "location": self.location}
                self.items.filter(**what).exclude(closed_at=None).update(books=books)
                self.items.update_or_create(**what, defaults=renewed, create_defaults=new)
        self.items.filter(visit_id=visit_id, closed_at=None, read_at__lt=now).update(closed_at=now)


def _closing(operation: LoyaltyOperation | None) -> dict[str, Any]:
    """As the operation's mark was closed, an item opens."""
    closings = OperationAttempt.objects.filter(operation=operation, outcome=CallOutcome.CLOSED)
    said = closings.order_by("pk").last() if operation and operation.closed_at else None
    if operation is None or said is None:
        return {"closed_at": None, "closed_by_login": "", "reason": ""}
    login, reason = said.made_by_login or A_PROGRAM, said.error[:400]
    return {"closed_at": operation.closed_at, "closed_by_login": login, "reason": reason}


def _time_to_arrive() -> datetime.timedelta:
    """How long after its end a call can still take effect, its longest duration included."""
    return time_to_settle() + datetime.timedelta(seconds=get_settings().TOTAL_TIMEOUT)


def _sides(details: VisitDetails, operations: list[LoyaltyOperation]) -> list[BooksItem]:
    """For each card, and each promotion of it, that either side knows. Raises `_NotComparable` over a row in doubt."""
    shown: list[tuple[str, int, int | None]] = [
        (kinds.APPLY_CARD_WITHDRAWAL.name, card, None) for card in details.used_cards
    ]
    shown += [(kinds.APPLY_DISCOUNT_PROGRAM.name, *pair) for pair in details.applied_promotions]
    families = {what: list[LoyaltyOperation]() for what in shown}
    for row in sorted(operations, key=attrgetter("last_event", "pk")):
        if kinds.is_known(row.kind):
            what = kinds.family_of(row.kind)[0], row.card_id, row.program_id
            families.setdefault(what, []).append(row)
    try:
        return [_side(details, *what, rows) for what, rows in families.items()]
    except exceptions.RowNotKnown:
        raise _NotComparable from None


def _side(
    details: VisitDetails, name: str, card: int, program: int | None, rows: list[LoyaltyOperation]
) -> BooksItem:
    order = Order(kind=name, location_id=0, visit_id=0, record_id=0, card_id=card, program_id=program)
    kind, effect = kinds.TABLE[name], kinds.effect_on(details, order)
    done = not_undone(filter(is_done, rows))
    by_log, by_altegio = taken_by(done), effect.amount
    if not kind.moves_points:
        # How much a promotion takes off is Altegio's affair, but not whether it is there.
        by_log, by_altegio = Decimal(bool(done)), Decimal(effect.is_there)
    marked = next((row for row in reversed(rows) if row.discrepancy), None)
    figures = {"by_log": by_log, "by_altegio": by_altegio}
    return BooksItem(card_id=card, program_id=program or 0, operation=marked, **figures)
