"""The four operations, and their next step. Each writes its row, commits it, and only then calls Altegio."""

import logging
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from decimal import Decimal
from functools import partial
from typing import Any

from django.db import DatabaseError, IntegrityError, InterfaceError, transaction
from django.utils import timezone

from altegio_loyalty import bell, bills, database, delivery, kinds
from altegio_loyalty.delivery import transitions
from altegio_loyalty.delivery.claims import Claim
from altegio_loyalty.delivery.doubt import send_and_look_up
from altegio_loyalty.delivery.explained import in_force
from altegio_loyalty.exceptions import IdempotencyConflict, OperationInProgress
from altegio_loyalty.models import Location, LoyaltyOperation, Visit
from altegio_loyalty.services import validation
from altegio_loyalty.services.validation import Amount, Deliver, Person
from altegio_loyalty.states import Kind, Status

logger = logging.getLogger(__name__)


def apply_card_withdrawal(
    location: Location | int,
    *,
    visit_id: int,
    record_id: int,
    card_id: int,
    amount: Amount,
    requested_by: Person | None = None,
    idempotency_key: str | None = None,
    deliver: Deliver = "now",
) -> LoyaltyOperation:
    """Take up to `amount` points off a card for a visit; it takes effect once or is truthfully reported as not done.

    `location` is a `Location` or its ID; all ids are Altegio's. `amount` is in points, more than 0, at most 2 decimals.
    With `deliver="now"` the first call is made before this returns; with "on_commit" the operation joins the open
    transaction and is sent when that commits. The returned operation says what happened: failures of the API never raise.
    Nor does a database that fails once the row is written: the operation is then still "sending", which is a doubt.
    The same `idempotency_key` with the same arguments returns the first operation and calls nothing.

    Raises `ValidationError` for bad arguments, before anything is written; `IdempotencyConflict` for a key used with other
    arguments; `OperationInProgress` while another operation on this visit and card is open; `TransactionOpen` for
    `deliver="now"` inside a transaction. Endpoint: POST /visit/loyalty/apply_card_withdrawal.
    """
    ids = {"visit_id": visit_id, "record_id": record_id, "card_id": card_id}
    points = validation.check_amount(amount)
    kind = Kind.APPLY_CARD_WITHDRAWAL
    return _request(kind, location, ids, requested_by, idempotency_key, deliver, amount=points)


def cancel_card_withdrawal(
    location: Location | int,
    *,
    visit_id: int,
    record_id: int,
    card_id: int,
    requested_by: Person | None = None,
    idempotency_key: str | None = None,
    deliver: Deliver = "now",
) -> LoyaltyOperation:
    """Give back all points that the card paid on the visit. Arguments, guarantees and errors as `apply_card_withdrawal`.

    Altegio knows no cancel of a part. Endpoint: POST /visit/loyalty/cancel_card_withdrawal.
    """
    ids = {"visit_id": visit_id, "record_id": record_id, "card_id": card_id}
    return _request(Kind.CANCEL_CARD_WITHDRAWAL, location, ids, requested_by, idempotency_key, deliver)


def apply_discount_program(
    location: Location | int,
    *,
    visit_id: int,
    record_id: int,
    card_id: int,
    program_id: int,
    requested_by: Person | None = None,
    idempotency_key: str | None = None,
    deliver: Deliver = "now",
) -> LoyaltyOperation:
    """Apply a promotion of the card to the visit. Arguments, guarantees and errors as `apply_card_withdrawal`.

    Endpoint: POST /visit/loyalty/apply_discount_program.
    """
    ids = {"visit_id": visit_id, "record_id": record_id, "card_id": card_id, "program_id": program_id}
    return _request(Kind.APPLY_DISCOUNT_PROGRAM, location, ids, requested_by, idempotency_key, deliver)


def cancel_discount_program(
    location: Location | int,
    *,
    visit_id: int,
    record_id: int,
    card_id: int,
    program_id: int,
    requested_by: Person | None = None,
    idempotency_key: str | None = None,
    deliver: Deliver = "now",
) -> LoyaltyOperation:
    """Take a promotion back off the visit. Arguments, guarantees and errors as `apply_card_withdrawal`.

    Endpoint: POST /visit/loyalty/cancel_discount_program.
    """
    ids = {"visit_id": visit_id, "record_id": record_id, "card_id": card_id, "program_id": program_id}
    return _request(Kind.CANCEL_DISCOUNT_PROGRAM, location, ids, requested_by, idempotency_key, deliver)


#: Each kind has a service that bears its name.
_SERVICES = (apply_card_withdrawal, cancel_card_withdrawal, apply_discount_program, cancel_discount_program)
kinds.one_for_each("services.operations", {service.__name__: service for service in _SERVICES})


def request_in_batch(
    kind: str,
    location: Location | int,
    *,
    batch: uuid.UUID,
    visit_id: int,
    record_id: int,
    card_id: int,
    program_id: int | None = None,
    amount: Amount | None = None,
    requested_by: Person | None = None,
    idempotency_key: str | None = None,
) -> LoyaltyOperation:
    """One of several operations that are asked for together and share `batch`; always with `deliver="on_commit"`.

    A promotion needs its `program_id`, a withdrawal its `amount`. Guarantees and errors as `apply_card_withdrawal`.
    """
    ids: dict[str, Any] = {"visit_id": visit_id, "record_id": record_id, "card_id": card_id}
    traits = validation.check_kind(kind)
    if traits.takes_program:
        ids["program_id"] = program_id
    points = validation.check_amount(amount) if traits.takes_amount else None
    who = requested_by, idempotency_key
    return _request(kind, location, ids, *who, "on_commit", amount=points, batch=batch)


def deliver_now(operation_id: int) -> LoyaltyOperation | None:
    """Send the operation or look it up, whichever is due, and return it as it is afterwards; None where there is none.

    Does nothing where nothing is due, and is safe beside any number of workers: the claims alone decide who acts. Failures
    of the API never raise. Raises `TransactionOpen` inside a transaction.
    """
    return delivery.deliver(operation_id, for_person=True)


def _request(
    kind: str,
    location: Location | int,
    ids: dict[str, Any],
    requested_by: Person | None,
    idempotency_key: str | None,
    deliver: Deliver,
    *,
    amount: Decimal | None = None,
    batch: uuid.UUID | None = None,
) -> LoyaltyOperation:
    checked_ids = {name: validation.check_id(name, value) for name, value in ids.items()}
    validation.check_deliver(deliver)
    validation.check_idempotency_key(idempotency_key)
    validation.check_person("requested_by", requested_by)
    found, visit = validation.find_places(location, checked_ids["visit_id"])
    login = validation.login_of(requested_by)
    who: dict[str, Any] = {"requested_by": requested_by, "requested_by_login": login}
    operation = LoyaltyOperation(kind=kind, location=found, amount=amount, batch=batch, **checked_ids, **who)
    operation.idempotency_key = idempotency_key or uuid.uuid4().hex
    if idempotency_key and (first := _first_with_key(operation)):
        return first  # whatever has become of its location since
    validation.check_settings()
    validation.check_location(found)
    validation.check_visit(found, visit)
    titles = bills.titles(visit, operation.card_id, operation.program_id)
    operation.card_title, operation.program_title = titles
    return _write(operation, visit, is_now=deliver == "now")


def _write(operation: LoyaltyOperation, visit: Visit | None, *, is_now: bool) -> LoyaltyOperation:
    """Insert the row and go on: one sent now as claimed already, so that nothing else picks it up before the call."""
    began, now = time.monotonic(), timezone.now()  # before: a slow commit must not lengthen the lease here
    using = database.alias()
    columns = {"created_at": now, **transitions.asked(operation, now)}
    if is_now and not (operation.location.is_paused or vars(visit or operation.location)["is_held"]):
        columns |= transitions.claimed_to_send(operation, now)
    for name, value in columns.items():
        setattr(operation, name, value)
    at_once = partial(database.committed, is_one_statement=visit is not None)
    block = at_once if is_now else partial(transaction.atomic, using)

    def insert(fitting: Callable[[str], str]) -> None:
        titles = operation.card_title, operation.program_title
        operation.card_title, operation.program_title = map(fitting, titles)
        database.once_free(operation.make_open_key(), lambda: _insert(block(), operation, visit))

    try:
        database.in_old_tables(insert)
    except IntegrityError:
        return _explain_conflict(operation)
    if not is_now:
        bell.ring_on_commit(operation.pk, using, in_batch=operation.batch is not None)
    if operation.status == Status.SENDING:
        try:
            send_and_look_up(Claim(operation, began), for_person=True)
        except (DatabaseError, InterfaceError):
            # The row is written, and the object says what it says: being sent, until its lease ends and it is looked up.
            text = "What became of operation %s could not be written down."
            logger.exception(text, operation.pk, extra=operation.log_fields)
            database.reconnect()
    if operation.status == Status.UNCONFIRMED:
        bell.ring(operation.pk)
    return operation


def _insert(block: AbstractContextManager[None], operation: LoyaltyOperation, visit: Visit | None) -> None:
    with block:
        if visit is None:
            visits = Visit.objects.using(database.alias())
            defaults = {"location": operation.location, "record_id": operation.record_id}
            visit = visits.get_or_create(pk=operation.visit_id, defaults=defaults)[0]
            validation.check_visit(operation.location, visit)
        operation.visit = visit
        if not operation.traits.is_apply:
            operation.cancels = next(reversed(in_force(operation)), None)
        operation.save(force_insert=True, using=database.alias())


def _first_with_key(operation: LoyaltyOperation) -> LoyaltyOperation | None:
    """The operation that has this key already. Raises `IdempotencyConflict` where it was for something else."""
    same_key = database.operations().filter(idempotency_key=operation.idempotency_key)
    first: LoyaltyOperation | None = same_key.select_related("location").first()
    if first is None:
        return None
    # The key is one of them: a database may take keys that differ only in case for the same.
    asked, before = vars(operation.order), vars(first.order)
    if different := ", ".join(name for name in asked if asked[name] != before[name]):
        raise IdempotencyConflict(f"This idempotency key was used before with another {different}.")
    return first


def _explain_conflict(operation: LoyaltyOperation) -> LoyaltyOperation:
    """The same request once more; or raises, for another one on the visit and card, or what was deleted meanwhile."""
    if first := _first_with_key(operation):
        return first
    other = database.operations().filter(open_key=operation.open_key).first()
    if other is None:
        validation.find_location(operation.location)
        validation.check_is_still_there(operation.requested_by)
    raise OperationInProgress(operation=other) from None
