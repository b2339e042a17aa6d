"""An operation's timeline as JSON, to be given away: what its page shows, and nothing of who the client is."""

import datetime
import json
from decimal import Decimal
from typing import Any

from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404

from altegio_loyalty.admin.pages import Page
from altegio_loyalty.moments import as_local
from altegio_loyalty.redaction import redact, without_people
from altegio_loyalty.services.clients import stored
from altegio_loyalty.wording import reason

#: How the sweep keeps order among itself, and the end of a card's number.
_LEFT_OUT = {"open_key", "fence", "look_ends_at", "attention", "is_summed", "card_title"}


def timeline(page: Page, object_id: int) -> HttpResponse:
    """The operation with every attempt in order. Amounts have two places, times are ISO with the location's zone."""
    operation: Any = get_object_or_404(page.admin.get_queryset(page.request), pk=object_id)
    named = operation.visit.client_name, operation.visit.client_phone
    # A shorter part of a name also stands in other words.
    secrets = [*named, *(word for word in named[0].split() if word[2:])]

    def told(value: Any) -> Any:
        if isinstance(value, datetime.datetime):
            return as_local(value, operation.location.zone).isoformat()
        if isinstance(value, Decimal):
            return f"{value:.2f}"
        return redact(reason(value), secrets=secrets) if isinstance(value, str) else value

    facts = {name: told(value) for name, value in stored(operation).items() if name not in _LEFT_OUT}
    facts["sentence"], facts["requested_by"] = told(operation.sentence), operation.requested_by_login
    facts["attempts"] = []
    for row in operation.attempts.order_by("pk"):
        attempt = {name: told(value) for name, value in stored(row).items()}
        facts["attempts"].append({**attempt, "answer": _answer(row.answer), "made_by": row.made_by_login})
    return JsonResponse(facts, json_dumps_params={"indent": 1, "ensure_ascii": False})


def _answer(text: str) -> Any:
    """Null where there is none, or it was too long to be kept whole."""
    try:
        return without_people(json.loads(text))
    except ValueError:
        return None
