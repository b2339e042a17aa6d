"""Which facts of an operation its page and the log show, and in which order."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext_lazy

#: The sections of an operation's page, in lines.
FACTS: tuple[tuple[Any, tuple[tuple[str, ...], ...]], ...] = (
    (
        None,
        (
            ("kind", "asked", "applied"),
            ("visit_link", "location"),
            ("record_id", "card_id", "program_id"),
            ("requested_by", "created_at"),
            ("cancels_link",),
            ("cancelled_by_links",),
        ),
    ),
    (
        gettext_lazy("Delivery"),
        (
            ("attempt_count", "lookup_count", "next_try", "expires_at"),
            ("sent_at", "unanswered_at", "finished_at"),
            ("ending",),
            ("last_failure",),
            ("idempotency_key",),
        ),
    ),
)


def for_person(request: HttpRequest, names: tuple[str, ...]) -> tuple[str, ...]:
    """The columns, without a link to where the person may not go."""
    permissions = ("altegio_loyalty.view_visit", "altegio_loyalty.change_visit")
    if any(request.user.has_perm(permission) for permission in permissions):
        return names
    return tuple("visit_name" if name == "visit_link" else name for name in names)
