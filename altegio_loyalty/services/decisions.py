"""What a person decides about an operation: try again, stop trying, it happened, it did not."""

from __future__ import annotations

import datetime
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.utils import timezone
from django.utils.translation import gettext as _

from altegio_loyalty import tasks
from altegio_loyalty.conf import get_settings
from altegio_loyalty.delivery.claims import announce, committed, database
from altegio_loyalty.exceptions import OperationInProgress, OperationNotAllowed
from altegio_loyalty.models import LoyaltyOperation, OperationAttempt, finished
from altegio_loyalty.redaction import clean
from altegio_loyalty.states import CallOutcome, Ending, Purpose, Status


def retry_operation(operation: LoyaltyOperation, by: AbstractBaseUser | None = None) -> LoyaltyOperation:
    """Try again now. One that was given up gets new attempts and time; one that waits is only brought forward.

    Where a call of it stayed without an answer, it is not sent before SETTLE_SECONDS after that call.
    Raises `OperationNotAllowed` for any other state, `OperationInProgress` where the visit and card have an open operation.
    """
    now = timezone.now()
    if operation.status in (Status.PENDING, Status.UNCONFIRMED):
        return _change(operation, ring=True, next_attempt_at=max(now, _first_possible(operation, now)))
    if operation.status != Status.FAILED:
        raise OperationNotAllowed(
            _("Only an operation that waits, is in doubt or was given up can be tried again.")
        )
    settings = get_settings()
    window = datetime.timedelta(seconds=settings.RETRY_WINDOW)
    try:
        return _change(
            operation,
            ring=True,
            status=Status.PENDING,
            ending="",
            finished_at=None,
            is_stopping=False,
            open_key=operation.make_open_key(),
            attempt_limit=operation.attempt_count + settings.MAX_ATTEMPTS if settings.MAX_ATTEMPTS else None,
            expires_at=now + window if settings.RETRY_WINDOW else None,
            next_attempt_at=_first_possible(operation, now),
        )
    except IntegrityError:
        other = LoyaltyOperation.objects.using(database()).filter(open_key=operation.make_open_key()).first()
        raise OperationInProgress(operation=other) from None


def _first_possible(operation: LoyaltyOperation, now: datetime.datetime) -> datetime.datetime:
    if operation.status == Status.UNCONFIRMED or operation.unanswered_at is None:
        return now
    return max(now, operation.unanswered_at + datetime.timedelta(seconds=get_settings().SETTLE_SECONDS))


def stop_operation(operation: LoyaltyOperation, by: AbstractBaseUser | None = None) -> LoyaltyOperation:
    """Stop trying. One that waits is abandoned; one in doubt is still looked up, but never sent again.

    Raises `OperationNotAllowed` for any other state.
    """
    if operation.status == Status.PENDING:
        return _change(operation, **finished(Status.ABANDONED, timezone.now()))
    if operation.status == Status.UNCONFIRMED:
        # Due now: a look-up under way has just lost its claim, and somebody waits for the answer.
        return _change(operation, ring=True, is_stopping=True, next_attempt_at=timezone.now())
    raise OperationNotAllowed(_("Only an operation that waits or is in doubt can be stopped."))


def settle_operation(
    operation: LoyaltyOperation, *, happened: bool, reason: str, by: AbstractBaseUser | None = None
) -> LoyaltyOperation:
    """Settle a doubt by a person's word, kept as a row of its own with who, when and why.

    One that did not happen is given up and may be tried again. Raises `OperationNotAllowed` unless the operation is in
    doubt, and `ValidationError` without a reason.
    """
    if operation.status != Status.UNCONFIRMED:
        raise OperationNotAllowed(_("Only an operation in doubt can be settled."))
    if not reason.strip():
        raise ValidationError({"reason": [_("Say how you know, for example what Altegio's screen shows.")]})
    verdict = OperationAttempt(
        operation=operation,
        purpose=Purpose.DECISION,
        outcome=CallOutcome.HAPPENED if happened else CallOutcome.DID_NOT_HAPPEN,
        error=clean(reason.strip(), 500),
        made_by=by,  # type: ignore[misc]
    )
    status = Status.SUCCEEDED if happened else Status.FAILED
    ending = Ending.DECIDED_HAPPENED if happened else Ending.DECIDED_DID_NOT_HAPPEN
    return _change(operation, verdict=verdict, **finished(status, timezone.now(), ending=ending))


def _change(
    operation: LoyaltyOperation,
    *,
    ring: bool = False,
    verdict: OperationAttempt | None = None,
    **columns: Any,
) -> LoyaltyOperation:
    """Write the decision unless the operation changed meanwhile; a worker that is on it loses its claim."""
    using = database()
    columns = {**columns, "fence": operation.fence + 1}
    with committed():
        if not LoyaltyOperation.objects.using(using).held_by(operation).update(**columns):
            raise OperationNotAllowed(_("The operation changed meanwhile; look at it again."))
        if verdict:
            verdict.save(force_insert=True, using=using)
    was_open = operation.is_open
    for name, value in columns.items():
        setattr(operation, name, value)
    if was_open and not operation.is_open:
        announce(operation)
    if ring:
        tasks.ring(operation.pk)
    return operation
