"""What a host may get wrong, each on a line that a checker of types refuses. Never run."""

from __future__ import annotations

from typing import assert_type

from django.http import HttpRequest

from altegio_loyalty import services
from altegio_loyalty.models import Location, LoyaltyOperation, Visit


def in_the_call(request: HttpRequest, location: Location, way: str) -> None:
    services.apply_card_withdrawal(
        location,
        visit_id="1",  # error: arg-type
        record_id=2.5,  # error: arg-type
        card_id=None,  # error: arg-type
        amount=object(),  # error: arg-type
        requested_by="joe",  # error: arg-type
        idempotency_key=5,  # error: arg-type
        deliver="later",  # error: arg-type
    )
    services.cancel_card_withdrawal(
        "4564",  # error: arg-type
        visit_id=1,
        record_id=2,
        card_id=3,
        requested_by=request,  # error: arg-type
        deliver=way,  # error: arg-type
    )
    services.apply_card_withdrawal(location, 1, 2, 3, 100)  # error: call-arg
    services.apply_card_withdrawal(location, visit_id=1, record_id=2, card_id=3)  # error: call-arg
    services.apply_discount_program(location, visit_id=1, record_id=2, card_id=3)  # error: call-arg
    services.cancel_card_withdrawal(location, visit_id=1, record_id=2, card_id=3, amount=5)  # error: call-arg
    services.cancel_discount_program(
        location,
        visit_id=1,
        record_id=2,
        card_id=3,
        program_id="4",  # error: arg-type
        deliver=None,  # error: arg-type
    )
    services.request_in_batch(
        LoyaltyOperation.Kind.APPLY_CARD_WITHDRAWAL,
        location,
        batch="morning",  # error: arg-type
        visit_id=1,
        record_id=2,
        card_id=3,
        amount=[5],  # error: arg-type
    )


def in_a_decision(operation: LoyaltyOperation) -> None:
    services.retry_operation(operation.pk)  # error: arg-type
    services.stop_operation(operation, by="joe")  # error: arg-type
    services.settle_operation(operation, happened=True)  # error: call-arg
    services.close_operation(operation)  # error: call-arg
    services.settle_operation(operation, True, "I saw it.")  # error: call-arg


def in_the_answer(location: Location, visit: Visit) -> None:
    reading = services.read_visit(location, visit_id=visit.pk, record_id=visit.record_id)
    reading.details.paid  # error: union-attr
    services.deliver_now(5).status  # error: union-attr
    services.fetch_visit(location, 5).visit.pk  # error: union-attr
    services.test_connection(location).is_fine  # error: attr-defined
    LoyaltyOperation.Status.LOST  # error: attr-defined
    assert_type(location.user_token, str)  # error: assert-type
    location.user_token = 5  # error: assignment


def in_a_name() -> None:
    services.withdraw  # error: attr-defined
