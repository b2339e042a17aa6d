"""One withdrawal with the app's guarantees, written by hand for this one case: the floor of what they cost.

A row before the first byte, both requests booked in a shared budget, a look, another one's moments ago, a mark before the
call, and the result with both calls and the visit's figures in one transaction: eight statements, four commits.
"""

from __future__ import annotations

import datetime
import time
import uuid
from decimal import Decimal
from typing import Any

import requests
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from altegio_loyalty.models import LoyaltyOperation, OperationAttempt, RequestBudget, Visit
from measured.sink import CARD, LOCATION, Access

KIND = "apply_card_withdrawal"


class ByHand:
    """The calls and the statements, and nothing else."""

    def __init__(self, access: Access) -> None:
        self.access, self.session = access, requests.Session()
        self.session.trust_env = False
        self.session.headers.update(access.headers)
        self.budget, _is_new = RequestBudget.objects.get_or_create(host="by hand")

    def bare(self, visit_id: int) -> dict[str, Any]:
        """The two calls themselves."""
        self.session.get(self.access.look_url(visit_id), timeout=10).json()
        body = {"record_id": visit_id, "visit_id": visit_id, "amount": 1}
        taken: dict[str, Any] = self.session.post(self.access.take_url, json=body, timeout=10).json()
        return taken

    def withdraw(self, visit_id: int) -> None:
        visit = Visit.objects.select_related("location").get(pk=visit_id)
        now = timezone.now()
        lease = now + datetime.timedelta(seconds=120)
        operation = LoyaltyOperation.objects.create(
            kind=KIND, location=visit.location, visit=visit, record_id=visit_id, card_id=CARD, amount=1, status="sending",
            idempotency_key=uuid.uuid4().hex, open_key=f"{visit_id}:{CARD}", fence=1, attempt_count=1, next_attempt_at=lease,
        )  # fmt: skip
        self._book()
        began = timezone.now()
        looked = self.session.get(self.access.look_url(visit_id), timeout=10)
        seen = _points(looked.json())
        look = OperationAttempt(
            operation=operation,
            purpose="look",
            started_at=began,
            outcome="ok",
            http_status=200,
            answer=looked.text,
        )
        others = LoyaltyOperation.objects.filter(
            visit=visit_id, card_id=CARD, kind=KIND, status="succeeded", undone_at=None
        ).exclude(pk=operation.pk)
        assert others.aggregate(last=Max("finished_at"))["last"] is None
        held = LoyaltyOperation.objects.filter(pk=operation.pk, status="sending", fence=1)
        assert held.update(sent_at=timezone.now(), seen_before=seen)
        began = timezone.now()
        body = {"record_id": visit_id, "visit_id": visit_id, "amount": 1}
        taken = self.session.post(self.access.take_url, json=body, timeout=10)
        send = OperationAttempt(
            operation=operation,
            purpose="send",
            started_at=began,
            outcome="ok",
            http_status=200,
            answer=taken.text,
        )
        self._record(operation, visit_id, _points(taken.json()) - seen, [look, send])

    def _book(self) -> None:
        now_ms = int(time.time() * 1000)
        recent = [text for text in self.budget.sent_ms.split(",") if text and int(text) > now_ms - 60_000]
        sent_ms = ",".join([*recent[-200:], str(now_ms), str(now_ms)])
        row = RequestBudget.objects.filter(pk=self.budget.pk, version=self.budget.version)
        assert row.update(version=self.budget.version + 1, sent_ms=sent_ms)
        self.budget.version, self.budget.sent_ms = self.budget.version + 1, sent_ms

    @staticmethod
    def _record(
        operation: LoyaltyOperation, visit_id: int, applied: Decimal, calls: list[OperationAttempt]
    ) -> None:
        now = timezone.now()
        with transaction.atomic():
            held = LoyaltyOperation.objects.filter(pk=operation.pk, status="sending", fence=1)
            done: Any = {"status": "succeeded", "finished_at": now, "next_attempt_at": None, "open_key": None}
            assert held.update(applied_amount=applied, **done)
            OperationAttempt.objects.bulk_create(calls)
            Visit.objects.filter(pk=visit_id).update(covered_amount=applied, read_at=now)


def _points(answer: dict[str, Any]) -> Decimal:
    """What the card paid on the visit."""
    rows = answer["data"].get("payment_transactions", ())
    total = Decimal(0)
    for row in rows:
        if row.get("is_loyalty_withdraw") or row.get("type_id") == 3:
            total += round(Decimal(str(row["amount"])), 2)
    return total


def known_visits(first: int, count: int) -> None:
    """Visits that the site knows already, as those that somebody looks at."""
    Visit.objects.bulk_create(
        Visit(id=visit, location_id=LOCATION, record_id=visit) for visit in range(first, first + count)
    )
