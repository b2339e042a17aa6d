"""The log to take along: as a file, in pages by number, so that its size does not matter; and the JSON of one operation."""

import datetime
import json
import re
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import get_fields_from_path
from django.http import HttpResponse, HttpResponseBase, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import get_language, override

from altegio_loyalty import signals
from altegio_loyalty.access import visible_to
from altegio_loyalty.admin.files import FORMATS, MOST_ROWS, table_response
from altegio_loyalty.admin.pages import Page
from altegio_loyalty.models import LoyaltyOperation
from altegio_loyalty.moments import as_local, name_of, today, zone_of
from altegio_loyalty.redaction import MASK, redact, without_people
from altegio_loyalty.services.clients import stored
from altegio_loyalty.states import CallOutcome, Ending, Purpose, Status
from altegio_loyalty.texts import gettext as _
from altegio_loyalty.wording import reason

#: So many rows are read, and sent, at once.
ROWS_AT_ONCE = 1000
#: What a timeline leaves out: how the sweep keeps order among itself, and the end of a card's number.
_LEFT_OUT = {"open_key", "fence", "look_ends_at", "attention", "is_summed", "card_title"}
#: What a row holds, each under the name of its column.
COLUMNS = (
    "id", "created_at", "kind", "status", "ending", "location__id", "location__title", "location__currency", "visit__id",
    "record_id", "visit__client_name", "card_id", "program_id", "amount", "applied_amount", "returned_amount", "discrepancy",
    "last_error", "requested_by_login", "attempt_count", "lookup_count", "finished_at", "cancels", "batch",
    "idempotency_key", "location__time_zone",
)  # fmt: skip
_FIELDS = {name: get_fields_from_path(LoyaltyOperation, name)[-1] for name in COLUMNS}


def _readers() -> list[Callable[[Any, Any], Any] | None]:
    """How each column reads in a zone; None for as it is. Texts are those of the request, not of the sending."""
    language = get_language()

    def when(moment: datetime.datetime | None, zone: datetime.tzinfo) -> datetime.datetime | None:
        return None if moment is None else as_local(moment, zone)

    def reworded(text: str, _zone: datetime.tzinfo) -> str:
        with override(language):
            return reason(text)

    def word(choices: Any) -> Callable[[Any, Any], Any]:
        words = {value: str(label) for value, label in choices}
        return lambda value, _zone: words.get(value, value)

    read = {name: word(field.choices) for name, field in _FIELDS.items() if field.choices}
    read |= {"created_at": when, "finished_at": when, "discrepancy": reworded, "last_error": reworded}
    read["location__time_zone"] = lambda _name, zone: name_of(zone)
    return [read.get(name) for name in COLUMNS]


def log_table(operations: Any) -> tuple[list[Any], Iterator[list[list[Any]]]]:
    """The header, and the rows of the operations in pages, newest first, of whatever number."""
    names = {"id": _("Number"), "location__title": _("Location")}
    header = [names.get(name) or capfirst(field.verbose_name) for name, field in _FIELDS.items()]
    readers, here = _readers(), timezone.get_current_timezone()

    def cells(row: tuple[Any, ...]) -> list[Any]:
        zone = zone_of(row[-1]) if row[-1] else here
        return [read(value, zone) if read else value for value, read in zip(row, readers, strict=True)]

    def pages() -> Iterator[list[list[Any]]]:
        # By number, not with a cursor: a pooler between us and PostgreSQL may not keep one.
        rows = operations.order_by("-pk").values_list(*COLUMNS)
        page = list(rows[:ROWS_AT_ONCE])
        while page:
            yield [cells(row) for row in page]
            page = list(rows.filter(pk__lt=page[-1][0])[:ROWS_AT_ONCE])

    return header, pages()


def export(page: Page) -> HttpResponseBase:
    """The operations that the list shows with these filters, as a file."""
    asked = page.request.GET
    page.request.GET = narrowed = asked.copy()  # type: ignore[assignment]
    for name in FORMATS:
        narrowed.pop(name, None)  # the list knows no such filter
    try:
        listed = page.admin.get_changelist_instance(page.request).queryset
    except IncorrectLookupParameters:
        # As the list does with filters that make no sense: back to it, with its message.
        return HttpResponseRedirect(page.address("loyaltyoperation_changelist", e=1))
    page.request.GET = asked
    header, pages = log_table(visible_to(page.request.user, listed))
    known = {
        "row_count": listed.order_by()[: MOST_ROWS + 1].count(),
        "currency_at": COLUMNS.index("location__currency"),
    }
    return table_response(page.request, f"loyalty-operations-{today().isoformat()}", header, pages, **known)


def with_signals(operation: LoyaltyOperation, attempts: Iterable[Any]) -> list[tuple[Any, list[str]]]:
    """Each attempt with the signal of the doubt that it left; behind what ended the operation None, with the ending's.

    As `announce` sends them, and as far as columns tell: not what went out before somebody tried again, nor for a flag.
    """
    attention = ["operation_needs_attention"]
    rows = [(row, attention if _leaves_doubt(row) else []) for row in attempts]
    if operation.finished_at is None or operation.status not in signals.OF_STATE:
        return rows
    is_given_up = operation.status == Status.FAILED and operation.ending != Ending.DECIDED_DID_NOT_HAPPEN
    ending = [f"operation_{operation.status}", *(attention if is_given_up else [])]
    behind = [
        n for n, (row, _names) in enumerate(rows, 1) if not row.is_late and row.outcome != CallOutcome.CLOSED
    ]
    rows.insert(max(behind, default=0), (None, ending))
    return rows


def _leaves_doubt(attempt: Any) -> bool:
    """Its call got no answer, or its worker stopped, before or behind the send."""
    left = (Purpose.SEND, CallOutcome.UNKNOWN), (Purpose.LOOK, CallOutcome.NOT_DONE)
    return not attempt.is_late and (attempt.purpose, attempt.outcome) in left


def timeline(page: Page, object_id: int) -> HttpResponse:
    """The operation as its page shows it, with nothing of who the client is, and every attempt in order.

    Amounts have two places, times are ISO with the location's zone."""
    operation: Any = get_object_or_404(page.admin.get_queryset(page.request), pk=object_id)
    name, digits = operation.visit.client_name, re.sub(r"\D", "", operation.visit.client_phone)[-10:]
    # In any case and with any marks. Words alone: what is left of another around a part of it would tell the name.
    words = [re.escape(text) for text in (name, *(word for word in name.split() if word[2:])) if text]
    spelt = [rf"(?<![^\W\d_])(?:{'|'.join(words)})(?![^\W\d_])"] if words else []
    spelt += [r"(?:\+?\d{1,3}\W{0,2})?" + r"\W*".join(digits)] if digits[5:] else []  # fewer stand in amounts
    client = re.compile("|".join(spelt) or "(?!)", re.IGNORECASE)

    def told(value: Any) -> Any:
        if isinstance(value, datetime.datetime):
            return as_local(value, operation.location.zone).isoformat()
        if isinstance(value, Decimal):
            return f"{value:.2f}"
        return redact(client.sub(MASK, reason(value))) if isinstance(value, str) else value

    facts = {name: told(value) for name, value in stored(operation).items() if name not in _LEFT_OUT}
    facts["sentence"], facts["requested_by"] = told(operation.sentence), operation.requested_by_login
    facts["attempts"], facts["signals"] = [], []
    for row, names in with_signals(operation, operation.attempts.order_by("pk")):
        if row is None:
            facts["signals"] = names
            continue
        attempt = {name: told(value) for name, value in stored(row).items()}
        more = {"answer": _answer(row.answer), "made_by": row.made_by_login, "signals": names}
        facts["attempts"].append({**attempt, **more})
    return JsonResponse(facts, json_dumps_params={"indent": 1, "ensure_ascii": False})


def _answer(text: str) -> Any:
    """Null where there is none, or it was too long to be kept whole."""
    try:
        return without_people(json.loads(text))
    except ValueError:
        return None
