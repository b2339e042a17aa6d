"""What a reading of a visit says of the log: more, fewer, gone, or in agreement. Each reading is judged anew."""

import contextlib
import datetime
import logging
from decimal import Decimal
from operator import attrgetter
from typing import Any, TypeAlias

from django.db import DatabaseError, InterfaceError
from django.db.models import Q
from django.utils import timezone

from altegio_loyalty import database, exceptions, kinds, reasons, signals
from altegio_loyalty.client import Order, VisitDetails
from altegio_loyalty.conf import get_settings
from altegio_loyalty.delivery.explained import beyond_the_log, family, is_done, not_undone, odds, taken_by
from altegio_loyalty.delivery.transitions import Moment
from altegio_loyalty.models import BooksItem, LoyaltyOperation
from altegio_loyalty.moments import CLOCKS_APART
from altegio_loyalty.states import Status

logger = logging.getLogger(__name__)
Operations: TypeAlias = list[LoyaltyOperation]


def judge_reading(visit_id: int, details: VisitDetails, known: Operations, read_at: Moment) -> None:
    """Compare a reading, begun at `read_at`, with the log: for each card, and each promotion of it, that the log knows.

    An apply that is gone from the visit counts no more. The last operation to suspect bears a mark where the visit shows
    more points than the log explains, or fewer; the mark goes as soon as both agree, and so does an open item of the books.
    A card that this site took nothing from is Altegio's affair.

    `known` are the newest operations of the visit, newest first, as they were before the visit was read; they bear what was
    found afterwards. What has changed since could explain it, and the next reading tells. Where they came
    `with_last_event`, a reading that changes nothing takes one query.
    """
    _note_changes(visit_id, details, known, read_at)
    close_agreed(visit_id, details, read_at)


def _note_changes(visit_id: int, details: VisitDetails, known: Operations, read_at: Moment) -> None:
    is_in_order = all(hasattr(row, "last_event") for row in known)
    if is_in_order and not list(_changes(details, known, read_at)):
        return
    now = list(database.operations().filter(visit_id=visit_id).with_last_event())
    newest = sorted(now, key=lambda row: -row.pk)[: len(known)]
    if [(row.pk, row.status) for row in newest] != [(row.pk, row.status) for row in known]:
        return
    same = {row.pk: row for row in known}
    for row, columns in _changes(details, now, read_at):
        before = {name: getattr(row, name) for name in columns}
        if database.operations().filter(pk=row.pk, status=row.status, **before).update(**columns):
            for each in (row, same.get(row.pk, row)):
                vars(each).update(columns)
            if columns.get("discrepancy"):
                signals.operation_needs_attention.send_robust(LoyaltyOperation, operation=row)


def _changes(details: VisitDetails, operations: Operations, read_at: Moment) -> Any:
    """The rows that a reading changes, with their columns."""
    for rows in _families(operations).values():
        if not any(row.is_open for row in rows):
            with contextlib.suppress(exceptions.RowNotKnown):  # such a reading says nothing of it
                yield from _changes_of(details, rows, read_at)


def _changes_of(details: VisitDetails, rows: Operations, read_at: Moment) -> Any:
    effect = kinds.effect_on(details, rows[-1].order)
    ended = [row for row in rows if row.finished_at]
    # An apply that ended as not done may come late where a call of it stayed without an answer.
    suspects = not_undone(row for row in ended if is_done(row) or (row.traits.is_apply and row.unanswered_at))
    done = list(filter(is_done, suspects))
    # A reading may lag behind: what it does not show yet is not gone.
    is_settled = all(row.finished_at and row.finished_at < read_at - time_to_settle() for row in done)
    if done and not effect.is_there:
        if is_settled:
            yield from ((row, {"undone_at": read_at}) for row in done)
            yield from ((row, {"discrepancy": ""}) for row in rows if row.discrepancy)
        return
    explained = taken_by(done)
    if not rows[-1].traits.moves_points:
        explained = effect.amount if done else Decimal(0)
    text = odds(effect.amount, explained) if is_settled else beyond_the_log(effect.amount, explained)
    cancels = (row.finished_at for row in rows if is_done(row) and not row.traits.is_apply)
    if text and any(moment and moment >= read_at - time_to_settle() for moment in cancels):
        return  # it may not show yet what was taken back moments ago
    if text and suspects:
        if suspects[-1].discrepancy != text:
            yield suspects[-1], {"discrepancy": text, "closed_at": None}
    elif effect.amount == explained:
        yield from ((row, {"discrepancy": ""}) for row in rows if row.discrepancy and not _took_too_much(row))


def close_agreed(visit_id: int, details: VisitDetails, read_at: Moment, own_pk: int | None = None) -> None:
    """Close the open items of the books about which a reading of the visit, as of then, and the log agree. Best effort.

    Where it is the answer to an operation's own call, `own_pk` is that one's: it ended after the call began.
    """
    items = BooksItem.objects.using(database.alias()).filter(visit_id=visit_id, closed_at=None)
    # Where the database fails, the next reading tells; and what is recorded stays so.
    with contextlib.suppress(exceptions.RowNotKnown, DatabaseError, InterfaceError):
        if not (still_open := list(items)):
            return
        rows = list(database.operations().filter(visit_id=visit_id).with_last_event())
        if not is_unsettled(rows) and all(
            row.pk == own_pk or (row.finished_at and row.finished_at <= read_at) for row in rows
        ):
            odd = {(side.card_id, side.program_id) for side in sides(details, rows) if side.is_odd}
            agreed = [item.pk for item in still_open if (item.card_id, item.program_id) not in odd]
            items.filter(pk__in=agreed).update(closed_at=timezone.now())


def is_unsettled(rows: Operations) -> bool:
    """Whether something of the visit is not finished, or may still take effect."""
    now, time = timezone.now(), time_to_arrive()
    since, latest = now - time, now + time + CLOCKS_APART  # a later doubt was noted by a clock that was wrong
    return any(row.is_open or (row.unanswered_at and since < row.unanswered_at < latest) for row in rows)


def sides(details: VisitDetails, operations: Operations) -> list[BooksItem]:
    """Both sides of each card, and each promotion of it, that either knows. Raises `exceptions.RowNotKnown`."""
    shown: list[tuple[str, int, int | None]] = [
        (kinds.APPLY_CARD_WITHDRAWAL.name, card, None) for card in details.used_cards
    ]
    shown += [(kinds.APPLY_DISCOUNT_PROGRAM.name, *pair) for pair in details.applied_promotions]
    families: dict[Any, Operations] = {what: [] for what in shown}
    families.update(_families(operations))
    return [_side(details, *what) for what in families.items()]


def _side(details: VisitDetails, what: tuple[str, int, int | None], rows: Operations) -> BooksItem:
    name, card, program = what
    order = Order(kind=name, location_id=0, visit_id=0, record_id=0, card_id=card, program_id=program)
    effect, done = kinds.effect_on(details, order), not_undone(filter(is_done, rows))
    by_log, by_altegio = taken_by(done), effect.amount
    if not kinds.TABLE[name].moves_points:
        # How much a promotion takes off is Altegio's affair, but not whether it is there.
        by_log, by_altegio = Decimal(bool(done)), Decimal(effect.is_there)
    marked = next((row for row in reversed(rows) if row.discrepancy), None)
    figures = {"by_log": by_log, "by_altegio": by_altegio}
    return BooksItem(card_id=card, program_id=program or 0, operation=marked, **figures)


def _families(operations: Operations) -> dict[Any, Operations]:
    """By the apply, its card and promotion, in the order of what became of them."""
    families: dict[Any, Operations] = {}
    for row in sorted(operations, key=attrgetter("last_event", "pk")):
        if kinds.is_known(row.kind):
            what = kinds.family_of(row.kind)[0], row.card_id, row.program_id
            families.setdefault(what, []).append(row)
    return families


def time_to_settle() -> datetime.timedelta:
    return datetime.timedelta(seconds=get_settings().SETTLE_SECONDS)


def time_to_arrive() -> datetime.timedelta:
    """How long after its end a call can still take effect, its longest duration included."""
    return time_to_settle() + datetime.timedelta(seconds=get_settings().TOTAL_TIMEOUT)


def _took_too_much(operation: LoyaltyOperation) -> bool:
    """Its own figures are at odds with what was asked: no agreement of the visit with them makes that right."""
    taken, asked = operation.applied_amount, operation.amount
    return taken is not None and asked is not None and taken > asked


def end_applies(cancel: LoyaltyOperation) -> None:
    """What a cancel took back, or found gone, is no longer in force."""
    odd = reasons.Reason.read(cancel.discrepancy)
    if not is_done(cancel) or cancel.traits.is_apply or (odd and odd.code == reasons.STILL_SHOWN):
        return
    try:
        done = family(cancel).filter(kind=cancel.traits.undoes, status=Status.SUCCEEDED, undone_at=None)
        took_nothing = Q(applied_amount=0) if cancel.traits.moves_points else Q(pk=cancel.pk)
        # As soon as the cancel was recorded, another apply can have begun: it stands behind the cancel.
        cancelled = family(cancel).with_last_event().get(pk=cancel.pk).last_event
        before = done.exclude(took_nothing).with_last_event().filter(last_event__lt=cancelled)
        family(cancel).filter(pk__in=[row.pk for row in before]).update(undone_at=timezone.now())
    except (DatabaseError, InterfaceError):
        # The cancel is recorded, and the order of the log says the same.
        text = "What operation %s took back could not be marked."
        logger.warning(text, cancel.pk, exc_info=True, extra=cancel.log_fields)
