"""What a person decides: of an operation, try again, stop, it happened or not, closed; of a block, send again."""

import contextlib
import logging
from collections.abc import Callable
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_noop

from altegio_loyalty import bell, database, kinds, throttle
from altegio_loyalty.daybooks import A_PROGRAM
from altegio_loyalty.delivery import transitions
from altegio_loyalty.delivery.claims import announce
from altegio_loyalty.delivery.drift import end_applies
from altegio_loyalty.exceptions import OperationInProgress, OperationNotAllowed
from altegio_loyalty.models import BooksItem, LoyaltyOperation, OperationAttempt
from altegio_loyalty.querysets import TO_CLOSE
from altegio_loyalty.redaction import clean
from altegio_loyalty.services.validation import Person, check_person, login_of
from altegio_loyalty.states import CallOutcome, Purpose, Status
from altegio_loyalty.texts import gettext as _

logger = logging.getLogger(__name__)
_CHANGED = gettext_noop("The operation changed meanwhile; look at it again.")
_NOTHING_TO_CLOSE = gettext_noop("There is nothing to close, or it changed meanwhile; look at it again.")
_WHY_CLOSED = gettext_noop("Say why it can be closed, for example what was put right.")


def retry_operation(operation: LoyaltyOperation, by: Person | None = None) -> LoyaltyOperation:
    """Try again now. One that was given up gets new attempts and time; one that waits is only brought forward.

    Where a call of it stayed without an answer, it is not sent before SETTLE_SECONDS after that call.
    Raises `OperationNotAllowed` for any other state, `OperationInProgress` where the visit and card have an open operation.
    """
    now, decision = timezone.now(), _decision(operation, CallOutcome.RETRIED, by)
    if operation.status in (Status.PENDING, Status.UNCONFIRMED):
        return _change(operation, transitions.brought_forward(operation, now), decision, ring=True)
    if operation.status != Status.FAILED:
        raise OperationNotAllowed(
            _("Only an operation that waits, is in doubt or was given up can be tried again.")
        )
    key, columns = operation.make_open_key(), transitions.retried(operation, now)
    try:
        return database.once_free(key, lambda: _change(operation, columns, decision, ring=True))
    except IntegrityError:
        other = database.operations().filter(open_key=key).first()
        raise OperationInProgress(operation=other) from None


def stop_operation(operation: LoyaltyOperation, by: Person | None = None) -> LoyaltyOperation:
    """Stop trying: one that waits is abandoned, one in doubt only looked up. Raises `OperationNotAllowed` for any other."""
    now, decision = timezone.now(), _decision(operation, CallOutcome.STOPPED, by)
    # Where a call of it stayed without an answer, perhaps only a person's word says that it did not happen.
    if operation.status == Status.PENDING and operation.unanswered_at is None:
        return _change(operation, transitions.stopped(operation, now), decision)
    if operation.status in (Status.PENDING, Status.UNCONFIRMED):
        return _change(operation, transitions.stopping(operation, now), decision, ring=True)
    raise OperationNotAllowed(_("Only an operation that waits or is in doubt can be stopped."))


def settle_operation(
    operation: LoyaltyOperation, *, happened: bool, reason: str, by: Person | None = None
) -> LoyaltyOperation:
    """Settle a doubt by a person's word, kept as a row of its own with who, when and why.

    One that did not happen may be tried again; until SETTLE_SECONDS after its call, which may still arrive, its visit and
    card stay taken. Raises `OperationNotAllowed` unless it is in doubt, `ValidationError` without a reason.
    """
    if operation.status != Status.UNCONFIRMED:
        raise OperationNotAllowed(_("Only an operation in doubt can be settled."))
    why = _reason(reason, _("Say how you know, for example what Altegio's screen shows."))
    outcome = CallOutcome.HAPPENED if happened else CallOutcome.DID_NOT_HAPPEN
    decision = _decision(operation, outcome, by, why)
    return _change(operation, transitions.decided(operation, timezone.now(), happened=happened), decision)


def close_operation(
    operation: LoyaltyOperation, *, reason: str, by: Person | None = None
) -> LoyaltyOperation:
    """Close what was given up, or is at odds with the visit: it needs nobody until either is so anew.

    Raises `OperationNotAllowed` where there is nothing to close, `ValidationError` without a reason.
    """
    decision = _decision(operation, CallOutcome.CLOSED, by, _reason(reason, _(_WHY_CLOSED)))
    columns = transitions.closed(timezone.now())
    only_if = Q(attention=TO_CLOSE, discrepancy=operation.discrepancy, finished_at__isnull=False)
    _change(operation, columns, decision, only_if=only_if, if_not=_NOTHING_TO_CLOSE)
    for item in BooksItem.objects.filter(operation=operation.pk, closed_at=None):
        with contextlib.suppress(OperationNotAllowed):
            close_books_item(item, reason=reason, by=by)
    return operation


def close_books_item(item: BooksItem, *, reason: str, by: Person | None = None) -> None:
    """Close an item of the books, open or not: it comes back where a later reading shows that either side has changed.

    Raises `OperationNotAllowed` where that has happened since `item` was read, `ValidationError` without a reason.
    """
    check_person("by", by)
    why = _reason(reason, _(_WHY_CLOSED), 400)
    by_whom = {"closed_by_login": login_of(by) or A_PROGRAM, "closed_at": timezone.now()}
    as_seen = BooksItem.objects.filter(pk=item.pk, by_log=item.by_log, by_altegio=item.by_altegio)
    if not database.in_old_tables(lambda fitting: as_seen.update(reason=fitting(why), **by_whom)):
        raise OperationNotAllowed(_(_NOTHING_TO_CLOSE))
    item.refresh_from_db(using=database.alias())


def _reason(given: str, question: str, limit: int = 500) -> str:
    """As it is kept. Raises `ValidationError` with the question where none is given."""
    if not given.strip():
        raise ValidationError({"reason": [question]})
    return clean(given.strip(), limit)


def lift_block(by: Person | None = None) -> bool:
    """Send requests again although Altegio's limit holds them back, and log who decided so; False where nothing does.

    What waits goes on at its own time. Where Altegio still refuses, its answer blocks anew.
    """
    check_person("by", by)
    if is_lifted := throttle.lift_block():
        logger.warning("%s lifted the block by Altegio's limit.", login_of(by) or A_PROGRAM)
    return is_lifted


def _decision(
    operation: LoyaltyOperation, outcome: CallOutcome, by: Person | None, reason: str = ""
) -> OperationAttempt:
    """A row among the attempts: who, what, when, why. Raises `OperationNotAllowed` for a kind unknown to this release."""
    if not kinds.is_known(operation.kind):
        raise OperationNotAllowed(_("This release of the site does not know this kind of operation."))
    check_person("by", by)
    who: dict[str, Any] = {"purpose": Purpose.DECISION, "made_by": by, "made_by_login": login_of(by)}
    return OperationAttempt(operation=operation, outcome=outcome, error=reason, **who)


def _change(
    operation: LoyaltyOperation,
    columns: transitions.Columns,
    decision: OperationAttempt,
    *,
    ring: bool = False,
    only_if: Q = Q(),  # noqa: B008 - nobody changes it
    if_not: str = _CHANGED,
) -> LoyaltyOperation:
    """Write the decision unless the operation changed meanwhile; a worker that is on it loses its claim."""
    was_open = operation.is_open

    def write(fitting: Callable[[str], str]) -> bool:
        decision.error = fitting(decision.error)
        return database.change(operation, columns, only_if=only_if, attempts=[decision])

    if not database.in_old_tables(write):
        raise OperationNotAllowed(_(if_not))
    if was_open and not operation.is_open:
        end_applies(operation)
        announce(operation)
    if ring:
        bell.ring(operation.pk)
    return operation
