"""Amounts in the list of visits, and what is known of how good they are."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.db.models import Max
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from altegio_loyalty.models import LoyaltyOperation, Visit
from altegio_loyalty.wording import points

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise


@dataclass(frozen=True)
class Figure:
    """An amount as the list shows it; `note` says in words what the sign before it means."""

    text: str
    sign: str = ""
    note: StrPromise | str = ""

    def as_html(self, label: StrPromise) -> SafeString:
        """`label` repeats the heading of the column, for narrow screens, which show none."""
        heading = format_html('<span class="altegio-cell-label">{}</span> ', label)
        if not self.note:
            return format_html('{}<span class="altegio-figure">{}</span>', heading, self.text)
        return format_html(
            '{}<span class="altegio-figure" title="{}"><span aria-hidden="true">{}</span> {}'
            '<span class="altegio-only-read"> ({})</span></span>',
            heading,
            self.note,
            self.sign,
            self.text,
            self.note,
        )


def figure_of(visit: Any, amount: Decimal | None) -> Figure:
    """The amount, marked where it is an estimate, or where something was done to the visit after it was read."""
    if amount is None:
        return Figure("–")
    text = points(amount)
    if _is_out_of_date(visit):
        return Figure(text, "↻", _("before the last operation"))
    return Figure(text) if visit.read_at else Figure(text, "≈", _("as the list of appointments shows it"))


def _is_out_of_date(visit: Any) -> bool:
    operation: LoyaltyOperation | None = getattr(visit, "last_operation_row", None)
    if operation is None:
        return False
    read_at = visit.read_at or visit.location.visits_read_at
    changed_at = operation.finished_at or operation.sent_at
    return bool(changed_at and (read_at is None or read_at < changed_at))


def add_last_operations(visits: list[Visit]) -> None:
    """Each visit's newest operation, as `last_operation_row`, in one query."""
    newest = (
        LoyaltyOperation.objects.filter(visit__in=[visit.pk for visit in visits])
        .order_by()
        .values("visit")
        .annotate(newest=Max("pk"))
        .values("newest")
    )
    operations = LoyaltyOperation.objects.filter(pk__in=newest).order_by() if visits else []
    by_visit = {operation.visit_id: operation for operation in operations}
    for visit in visits:
        visit.last_operation_row = by_visit.get(visit.pk)  # type: ignore[attr-defined]
