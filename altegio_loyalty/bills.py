"""What a visit costs and what covers it, kept for the lists whenever Altegio showed it."""

from __future__ import annotations

from decimal import Decimal

from django.utils import timezone

from altegio_loyalty.client import VisitDetails
from altegio_loyalty.client.types import LARGEST_AMOUNT
from altegio_loyalty.models import Visit


def keep_figures(visit_id: int, details: VisitDetails) -> None:
    """Note what a reading of the visit showed, as far as it is exact.

    Call it wherever `VisitDetails` of a visit were just read.
    """
    is_exact = details.rest is not None and details.rest[0] == details.rest[1]
    due, covered = storable(details.left_to_pay if is_exact else None), storable(details.covered)
    Visit.objects.filter(pk=visit_id).update(due_amount=due, covered_amount=covered, read_at=timezone.now())


def storable(amount: Decimal | None) -> Decimal | None:
    """The amount, or nothing where it is not known, or larger than a column holds."""
    return amount if amount is not None and amount <= LARGEST_AMOUNT else None
