"""Questions about the tables that read as sentences. Used by the screens, the sweep and the services alike."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import Q

if TYPE_CHECKING:
    from altegio_loyalty.models import LoyaltyOperation

PENDING, SENDING, UNCONFIRMED = "pending", "sending", "unconfirmed"
OPEN_STATUSES = (PENDING, SENDING, UNCONFIRMED)


class LocationQuerySet(models.QuerySet[Any]):
    def working(self) -> LocationQuerySet:
        """Switched on, and their tokens not refused by Altegio."""
        return self.filter(is_active=True, refused_at__isnull=True)


class OperationQuerySet(models.QuerySet["LoyaltyOperation"]):
    """Rows change by conditional updates alone: each names the state that it expects, and says whether it met it."""

    def open(self) -> OperationQuerySet:
        return self.filter(status__in=OPEN_STATUSES)

    def due(self, now: datetime) -> OperationQuerySet:
        """What can be worked on now: its time has come, and its location's tokens work."""
        return self.filter(
            next_attempt_at__lte=now, location__is_active=True, location__refused_at__isnull=True
        ).exclude(status=SENDING)

    def lease_ran_out(self, now: datetime) -> OperationQuerySet:
        """Claimed by a worker that did not report in time."""
        return self.filter(next_attempt_at__lte=now, status=SENDING)

    def out_of_time(self, now: datetime) -> OperationQuerySet:
        """Known not to have happened, and too late to be worth anything."""
        return self.filter(next_attempt_at__isnull=False, status=PENDING, expires_at__lte=now)

    def needing_attention(self) -> OperationQuerySet:
        """What a person should look at: in doubt, given up without a person's verdict, or at odds with the visit."""
        given_up = Q(status="failed") & ~Q(outcome="verdict_did_not_happen")
        return self.filter(Q(status=UNCONFIRMED) | given_up | ~Q(discrepancy=""))

    def held_by(self, operation: LoyaltyOperation) -> OperationQuerySet:
        """The row, as long as nobody has claimed or changed it since `operation` was read."""
        return self.filter(pk=operation.pk, status=operation.status, fence=operation.fence)
