"""A step of the delivery that a person waits for."""

from __future__ import annotations

from altegio_loyalty import delivery
from altegio_loyalty.models import LoyaltyOperation


def deliver_now(operation_id: int) -> LoyaltyOperation | None:
    """Send the operation or look it up, whichever is due, and return it as it is afterwards; None where there is none.

    Does nothing where nothing is due, and is safe beside any number of workers: the claims alone decide who acts. Failures
    of the API never raise. Raises `TransactionOpen` inside a transaction.
    """
    return delivery.deliver(operation_id, for_person=True)
