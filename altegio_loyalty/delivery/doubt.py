"""Operations of which nobody knows what became of them: look until the doubt is settled; never send meanwhile."""

import datetime

from django.db.models import Q
from django.utils import timezone

from altegio_loyalty import database, exceptions, policy
from altegio_loyalty.delivery import transitions
from altegio_loyalty.delivery.claims import Claim, announce, claim_to_look
from altegio_loyalty.delivery.explained import in_force, is_anothers, last_done_at, late_effect, own_effect
from altegio_loyalty.delivery.sending import look, send
from altegio_loyalty.gateway import Line
from altegio_loyalty.kinds import Effect
from altegio_loyalty.models import LoyaltyOperation, OperationAttempt
from altegio_loyalty.policy import Truth
from altegio_loyalty.states import CallOutcome, Purpose, Status


def recover(operation: LoyaltyOperation) -> bool:
    """Put in doubt an operation whose lease, as it was read, is over; False where its worker has just reported."""
    now, may_have_left = timezone.now(), operation.sent_at is not None
    what = (Purpose.SEND, CallOutcome.UNKNOWN) if may_have_left else (Purpose.LOOK, CallOutcome.NOT_DONE)
    stopped = OperationAttempt(operation=operation, started_at=operation.sent_at or now)
    stopped.purpose, stopped.outcome, stopped.error = *what, transitions.WORKER_STOPPED
    # The mark as it was read: one that was set since then must not be overlooked.
    still_lost = Q(next_attempt_at=operation.next_attempt_at, sent_at=operation.sent_at)
    columns = transitions.recovered(operation, now)
    if not database.change(operation, columns, only_if=still_lost, attempts=[stopped]):
        return False
    announce(operation)
    return True


def send_and_look_up(claim: Claim, *, for_person: bool) -> exceptions.ApiError | None:
    """`send`; and where Altegio answered without showing the visit, a look-up at once: somebody waits for the answer."""
    operation, error = claim.operation, send(claim, for_person=for_person)
    if isinstance(error, exceptions.NotShown) and operation.status == Status.UNCONFIRMED:
        look_claim = claim_to_look(operation)
        return look_up(look_claim, for_person=for_person) if look_claim else None
    return error


def look_up(claim: Claim, *, for_person: bool) -> exceptions.ApiError | None:
    """Read the visit and settle the doubt if it can be settled. Returns the failure of the read, if it failed."""
    operation, began = claim.operation, timezone.now()
    line = Line(operation.location, for_person=for_person)
    try:
        effect = look(claim, line.open(), Purpose.LOOK_UP)
    except exceptions.ApiError as error:
        claim.record(**transitions.still_in_doubt(operation, timezone.now(), error))
        line.note(error)
        return error
    truth = _truth(operation, effect, began)
    claim.calls[-1].outcome = CallOutcome[truth.name]
    claim.record(**_settled(operation, truth, effect))
    line.note()
    return None


def _truth(operation: LoyaltyOperation, effect: Effect, began: datetime.datetime) -> Truth:
    is_settled = operation.unanswered_at is None or began >= operation.settles_at
    if operation.sent_at is not None:
        was_seen = operation.seen_before is not None
        truth = policy.truth_of_lookup(operation.order, effect, was_seen=was_seen, is_settled=is_settled)
        is_early = truth is Truth.HAPPENED and not is_settled
        return Truth.STILL_OPEN if is_early and _may_be_of_before(operation, began) else truth
    # Nothing of this claim left, or of none since the last doubt. What is there can only be of an earlier call.
    is_late = operation.unanswered_at is not None and policy.is_done(operation.order, effect)
    if not is_late or is_anothers(operation, effect.amount):
        return Truth.DID_NOT_HAPPEN if is_settled else Truth.STILL_OPEN
    return Truth.STILL_OPEN if _may_be_of_before(operation, began) else Truth.HAPPENED


def _may_be_of_before(operation: LoyaltyOperation, began: datetime.datetime) -> bool:
    """Whether a read that lags can show what was there before another one took back, or applied, the same moments ago."""
    done_at = last_done_at(operation, is_apply=not operation.traits.is_apply)
    if done_at is not None and transitions.may_not_show_yet(done_at, began):
        return True
    # Or before somebody undid it elsewhere: our look showed that it was gone, and the log does not know since when.
    return operation.traits.is_apply and operation.sent_at is not None and bool(in_force(operation))


def _settled(operation: LoyaltyOperation, truth: Truth, effect: Effect) -> transitions.Columns:
    now = timezone.now()
    if truth is Truth.HAPPENED:
        shown = own_effect if operation.sent_at is not None else late_effect
        return transitions.found(now, shown(operation, effect))
    if truth is Truth.DID_NOT_HAPPEN:
        return transitions.did_not_happen(operation, now)
    return transitions.still_in_doubt(operation, now)
