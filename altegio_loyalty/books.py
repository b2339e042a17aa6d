"""The evening's books: each location's day, as the log has it, compared with what Altegio shows. Sends nothing, ever."""

import contextlib
import datetime
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from decimal import Decimal
from operator import attrgetter, methodcaller
from typing import Any, TypeVar

from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Min, Q
from django.utils import timezone

from altegio_loyalty import bills, database, exceptions, moments, policy, reasons, signals, throttle, watch
from altegio_loyalty.client import AltegioClient, VisitDetails
from altegio_loyalty.client.types import Malformed, to_id
from altegio_loyalty.daybooks import A_PROGRAM
from altegio_loyalty.delivery import release
from altegio_loyalty.delivery.drift import is_unsettled, judge_reading, sides, time_to_arrive, time_to_settle
from altegio_loyalty.gateway import Line
from altegio_loyalty.models import BooksItem, BooksOfDay, Location, LoyaltyOperation, OperationAttempt, Visit
from altegio_loyalty.reasons import Reason
from altegio_loyalty.redaction import clean
from altegio_loyalty.states import CallOutcome

Result = TypeVar("Result")
#: Rows of the chain's list, and the cells of one that are ever read.
_CELLS = (
    *("id", "visit_id", "item_record_id", "status_id", "type_id", "card_id", "program_id", "amount"),
    *("is_loyalty_withdraw", "is_discount"),
)
Rows = list[Mapping[str, Any]]

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
_PROGRESS = "cursor", "operation_count", "visit_count", "unread_count", "points"


class _NotComparable(Exception):
    """Of this visit nothing can be said now."""


def check(
    *,
    day: datetime.date | None = None,
    location_id: int | None = None,
    seconds: float = LONGEST_RUN,
    waits: bool = False,
) -> list[BooksOfDay]:
    """Compare what is due: of each location the last days that were not compared yet; or `day`, once more.

    Goes on where the last run stopped, for so many seconds at the most, and uses only what others leave of the budget of
    requests; where they leave none, one that `waits` does so, and any other ends. What Altegio does raises nothing. Returns
    the books of all these days as they are then. While operations are held, days on which something is open count as due,
    and once all are compared the hold ends.

    Endpoints: GET /company/{location_id}, /chain/{chain_id}/loyalty/transactions, /visits/{visit_id}, /visit/details/….
    """
    database.drop_old_connection()
    ends_at, found, hold = time.monotonic() + seconds, list[BooksOfDay](), watch.hold()
    chosen = {} if location_id is None else {"pk": location_id}
    for location in Location.objects.filter(**chosen).order_by("pk"):
        evening = _Evening(location, ends_at, waits=waits, is_held=hold is not None)
        for each in [day] if day else _last_days(location, is_held=hold is not None):
            books, _is_new = location.books.get_or_create(day=each, defaults={"problem": _GOES_ON})
            at = books.checked_at
            is_early = at and (at < hold.began_at if hold else not _is_over(each, location, at))
            if at and (day or is_early or at > timezone.now() + AGAIN_AFTER):  # the last: a wrong clock's
                books.checked_at, books.next_try_at, books.cursor, books.listing = None, None, 0, ""
            wait = books.next_try_at and books.next_try_at - timezone.now()
            is_due = day or not wait or not 0 < wait / AGAIN_AFTER <= 2
            if books.checked_at is None and is_due and not evening.is_over:
                evening.compare(books)
            found.append(books)
        evening.read_again()
    is_whole = day is None and location_id is None
    if hold and is_whole and all(each.checked_at for each in found if each.location.is_working):
        release("the books, which were compared")
    return found


def are_to_go_on() -> bool:
    """Whether a run ended for want of requests, or of time, and the next one can go on."""
    since = moments.today() - datetime.timedelta(days=DAYS_BACK)
    return BooksOfDay.objects.filter(checked_at=None, problem=_GOES_ON, day__gte=since).exists()


def _last_days(location: Location, *, is_held: bool) -> list[datetime.date]:
    """The last days that are over, from the one on which the log begins; of what is held, all, and not only the last."""
    asked, zone = database.operations().filter(visit__location=location), location.zone
    if (first := asked.aggregate(first=Min("created_at"))["first"]) is None:
        return []
    held = asked.open().values_list("created_at", flat=True) if is_held else ()
    days = {moments.as_local(moment, zone).date() for moment in held}
    days |= {moments.today(zone) - datetime.timedelta(days=count) for count in range(DAYS_BACK + 1)}
    begins = moments.as_local(first, zone).date()
    return sorted(day for day in days if day >= begins and (is_held or _is_over(day, location)))


def _is_over(day: datetime.date, location: Location, at: datetime.datetime | None = None) -> bool:
    """Also whatever was sent on it."""
    return moments.start_of(day, location.zone, days=1) + time_to_arrive() <= (at or timezone.now())


def _kept(row: Mapping[str, Any]) -> dict[str, Any]:
    """What is ever read of a row of the list, as any database holds it."""
    kind = row.get("type")
    cells = {name: row[name] for name in _CELLS if row.get(name) is not None}
    if "type_id" not in cells and isinstance(kind, Mapping):
        cells["type_id"] = kind.get("id")
    is_plain = {name: isinstance(value, (int, Decimal)) for name, value in cells.items()}
    return {name: value if is_plain[name] else clean(str(value), 100) for name, value in cells.items()}


class _Evening:
    def __init__(self, location: Location, ends_at: float, *, waits: bool, is_held: bool) -> None:
        self.location, self.ends_at, self.began = location, ends_at, timezone.now()
        self.waits, self.is_held = waits, is_held
        self.line = Line(location, reads_for=throttle.FOR_BOOKS, patience=0.0)
        self.items = BooksItem.objects.using(database.alias()).filter(location=location)
        self.listing: dict[str, Any] = {}

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self.ends_at

    def compare(self, books: BooksOfDay) -> None:
        """Compare the day from its cursor on, and keep what was found, or why it could not be."""
        had_problem, self.listing = books.problem not in _NO_TROUBLE, json.loads(books.listing or "{}")
        # The list is tried again; what was compared without it, once more when it is there.
        if books.problem != _GOES_ON:
            self.listing = {"lacked": bool(books.cursor and self.listing.keys() & {"why", "lacked"})}
        try:
            books.problem = self._why_not(books.day) or self._compare_visits(books)
        except exceptions.ApiError as error:
            self.ends_at = 0.0  # the next one would most likely meet it as well
            is_ours = isinstance(error, exceptions.Throttled)
            books.problem = _GOES_ON if is_ours else policy.reason_of(error).stored(300)
        now = timezone.now()
        books.checked_at = None if books.problem not in ("", _NO_LIST) else now
        books.next_try_at = now if books.problem == _GOES_ON else now + AGAIN_AFTER
        # In ASCII, which a column of any charset holds.
        books.listing = json.dumps(self.listing, cls=DjangoJSONEncoder)
        books.save()
        if books.checked_at or (books.problem not in _NO_TROUBLE and not had_problem):
            signals.books_checked.send_robust(BooksOfDay, books=books)

    def _why_not(self, day: datetime.date) -> str:
        """Why nothing of the day can be compared now; empty where it can."""
        if not self.location.is_working:
            return self.location.refused_reason or Reason(reasons.SWITCHED_OFF).stored()
        return "" if self.is_held or _is_over(day, self.location) else _NOT_OVER

    def _compare_visits(self, books: BooksOfDay) -> str:
        """Returns why not all could be compared, or an empty text."""
        listed, own = self._listed(books), self._asked_on(books.day)
        if listed is not None and self.listing.pop("lacked", False):
            books.cursor = 0
        if not books.cursor:
            books.operation_count = books.visit_count = books.unread_count = 0
            books.points = Decimal(0)
        for visit_id in sorted({*(listed or ()), *own}):
            if visit_id <= books.cursor:
                continue
            if self.is_over:
                return _GOES_ON
            rows = None if listed is None else listed.get(visit_id, [])
            self._compare_visit(books, visit_id, rows, own[visit_id])
            books.cursor = visit_id
            books.save(update_fields=_PROGRESS)
        if books.unread_count:
            books.cursor = 0
            return Reason(reasons.VISITS_NOT_READ, {"count": str(books.unread_count)}).stored()
        why = str(self.listing.get("why", ""))
        self.listing = {"why": why} if why else {}
        return why

    def _compare_visit(self, books: BooksOfDay, visit_id: int, rows: Rows | None, count: int = 0) -> None:
        """Of a visit that the log has so many operations of on the day."""
        found: list[BooksItem] | None = None
        with contextlib.suppress(_NotComparable):
            found = self._by_list(books.day, visit_id, rows) or self._confirmed(visit_id, rows or [])
        books.operation_count += count
        books.visit_count += bool(count)
        if found is None:
            # Where the log has nothing on this day, another day tells, or another location.
            books.unread_count += bool(count)
            return
        self._keep(books, visit_id, found)
        agreed = [side.by_log for side in found if count and not side.is_odd and not side.program_id]
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
        here = asked.filter(visit__location=self.location).order_by()
        return Counter(here.values_list("visit_id", flat=True))

    def _known(self, visit_id: int) -> list[LoyaltyOperation]:
        """The operations of the visit, newest first; `_NotComparable` where one may still take effect."""
        rows = list(database.operations().filter(visit_id=visit_id).with_last_event().order_by("-pk"))
        if is_unsettled([row for row in rows if not (self.is_held and row.is_open)]):
            raise _NotComparable
        return rows

    def _ask(self, question: Callable[[AltegioClient], Result], *, proves: bool = True) -> Result:
        """One read. Where others leave no request for it now, a run that waits does so, and any other is over."""
        while True:
            try:
                return self.line.ask(question, proves=proves)
            except exceptions.Throttled as error:
                wait = error.retry_after or 1.0
                if not self.waits or time.monotonic() + wait >= self.ends_at:
                    self.ends_at = 0.0
                    raise
            time.sleep(wait)

    def _listed(self, books: BooksOfDay) -> dict[int, Rows] | None:
        """The rows of the chain's list by visit, kept page by page until the day is done; None where it cannot be read.

        In whose time its days are, nobody says: those beside it are asked for as well.
        """
        here, one_day, kept = self.location.pk, datetime.timedelta(days=1), self.listing
        listed, rows = defaultdict[int, Rows](list), kept.setdefault("rows", {})
        try:
            while not (kept.get("is_whole") or kept.get("why")):
                if "chain" not in kept:
                    kept["chain"] = self._ask(lambda client: client.company(here), proves=False).chain_id
                page = kept.get("page", 0) + 1
                asked = kept["chain"], here, str(books.day - one_day), str(books.day + one_day), page
                found = self._ask(methodcaller("chain_transactions", *asked), proves=False)
                new = {str(to_id(row.get("id"))): _kept(row) for row in found}
                kept["page"], kept["is_whole"] = page, new.keys() <= rows.keys()
                if page == _MOST_PAGES:
                    raise Malformed("it has no end")
                rows.update({number: row for number, row in new.items() if number not in rows})
            for row in rows.values():
                listed[to_id(row.get("visit_id"))].append(row)
        except exceptions.Refused:
            kept["why"] = _NO_LIST
        except (exceptions.UnreadableAnswer, Malformed) as error:
            kept["why"] = Reason(reasons.LIST_UNREADABLE, detail=str(error)).stored(300)
        listed.pop(0, None)
        return None if kept.get("why") else listed

    def _by_list(self, day: datetime.date, visit_id: int, rows: Rows | None) -> list[BooksItem]:
        """Both sides by the chain's list; empty where that does not settle it: it only knows some days."""
        known, found = self._known(visit_id), list[BooksItem]()
        begins, ends = (moments.start_of(day, self.location.zone, days=count) for count in (-1, 2))
        if any(row.created_at < begins or (row.finished_at or ends) >= ends for row in known):
            return []
        with contextlib.suppress(Malformed, exceptions.RowNotKnown):
            found = sides(VisitDetails.parse({"loyalty_transactions": rows}), known)
        return [] if any(side.is_odd for side in found) else found

    def _confirmed(self, visit_id: int, rows: Rows) -> list[BooksItem]:
        """Both sides by a reading of the visit, which is judged as any other is."""
        known, read_at = self._known(visit_id), timezone.now()
        try:
            where = self.location.pk, self._record_id(visit_id, rows), visit_id
            details = self._ask(lambda client: client.visit_details(*where)).visit
            before = [(row.pk, row.status) for row in known]
            judge_reading(visit_id, details, known, read_at)
            bills.keep_figures(visit_id, details, read_at)
            after, settled = self._known(visit_id), read_at - time_to_settle()
            found = sides(details, after)
        except (exceptions.Refused, exceptions.UnreadableAnswer):  # RowNotKnown is one of the latter
            raise _NotComparable from None
        lags = any(row.finished_at and row.finished_at > settled for row in after)
        has_changed = before != [(row.pk, row.status) for row in after]
        if has_changed or (lags and any(side.is_odd for side in found)):
            raise _NotComparable
        return found

    def _record_id(self, visit_id: int, rows: Rows) -> int:
        """An appointment of the visit, which a reading needs; `_NotComparable` where it is another location's."""
        if visit := Visit.objects.filter(pk=visit_id).only("location_id", "record_id").first():
            if visit.location_id != self.location.pk:
                raise _NotComparable
            return int(visit.record_id)
        with contextlib.suppress(Malformed, StopIteration):
            return next(filter(None, (to_id(row.get("item_record_id")) for row in rows)))
        records = self._ask(lambda client: client.visit(visit_id))
        return next((record.id for record in sorted(records, key=attrgetter("is_deleted"))), 0)

    def _keep(self, books: BooksOfDay, visit_id: int, found: list[BooksItem]) -> None:
        """Open and renew the items of what is at odds, and close the others of the visit."""
        now = timezone.now()
        for side in (side for side in found if side.is_odd):
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
