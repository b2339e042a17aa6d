"""What a visit costs and what covers it, kept for the lists whenever Altegio showed it."""

from __future__ import annotations

from decimal import Decimal

from django.utils import timezone

from altegio_loyalty.client import VisitDetails
from altegio_loyalty.client.types import LARGEST_AMOUNT
from altegio_loyalty.models import Visit


def keep_figures(visit_id: int, details: VisitDetails) -> None:
    """Note what a reading of the visit showed. Call it wherever `VisitDetails` of a visit were just read."""
    due, covered = storable(details.left_to_pay), storable(details.covered)
    Visit.objects.filter(pk=visit_id).update(due_amount=due, covered_amount=covered, read_at=timezone.now())


def storable(amount: Decimal) -> Decimal | None:
    """The amount, or nothing where it is larger than a column holds."""
    return amount if amount <= LARGEST_AMOUNT else None
