"""What is kept of one client: shown to whom it is about, and made anonymous on request. No sum, count or state changes."""

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db.models import Model, Q, QuerySet

from altegio_loyalty import bills, database
from altegio_loyalty.exceptions import OperationNotAllowed
from altegio_loyalty.models import ANONYMISED, BooksItem, GroupSum, LoyaltyOperation, OperationAttempt, Visit
from altegio_loyalty.reasons import Reason
from altegio_loyalty.redaction import MASK
from altegio_loyalty.retention import DONE_WITH
from altegio_loyalty.texts import gettext as _
from altegio_loyalty.wording import reason

#: So many visits are made anonymous in one transaction.
VISITS_AT_ONCE = 100
_OF_STAFF = {"requested_by", "requested_by_login", "made_by", "made_by_login", "closed_by_login", "user"}


def visits_of(client_id: int | None, visit_id: int | None, location_id: int | None) -> QuerySet[Visit]:
    """The visits of the client of that number, or of whoever's visit it is, there or anywhere; one of nobody known alone."""
    visits = Visit.objects.using(database.alias()).order_by("pk")
    if location_id is not None:
        visits = visits.filter(location=location_id)
    if visit_id is not None:
        client_id = visits.filter(pk=visit_id).values_list("client_id", flat=True).first()
    return visits.filter(client_id=client_id) if client_id else visits.filter(pk=visit_id or 0)


def kept_of(visits: QuerySet[Visit]) -> Iterator[dict[str, Any]]:
    """Each of the visits with all that stands here of it, as stored, but for who of the staff did it; then the sums."""
    for visit in (visit for batch in _batches(visits) for visit in batch):
        asked = database.operations().filter(visit=visit).order_by("pk").prefetch_related("attempts")
        yield {
            **stored(visit),
            "shown": json.loads(visit.shown or "null"),
            "operations": [{**stored(row), "attempts": [*map(stored, row.attempts.all())]} for row in asked],
            "books": [*map(stored, BooksItem.objects.using(database.alias()).filter(visit_id=visit.pk))],
            "history": [*map(stored, _history_of([visit.pk], [row.pk for row in asked]))],
        }
    if sums := [*map(stored, _sums_of(visits))]:
        yield {"sums": sums}


def _sums_of(visits: QuerySet[Visit]) -> QuerySet[GroupSum]:
    """What points of their clients were added up to, where the visits are."""
    known = visits.filter(client_id__gt=ANONYMISED).order_by()
    keys = [str(client) for client in known.values_list("client_id", flat=True).distinct()]
    sums = GroupSum.objects.using(database.alias()).filter(by="client", key__in=keys)
    return sums.filter(location__in=known.values("location_id")).order_by("pk")


def _batches(visits: QuerySet[Visit]) -> Iterator[list[Visit]]:
    # By number, not with a cursor: a pooler between us and PostgreSQL may not keep one.
    last = 0
    while batch := list(visits.filter(pk__gt=last)[:VISITS_AT_ONCE]):
        yield batch
        last = batch[-1].pk


def stored(row: Model) -> dict[str, Any]:
    """The row's columns, but for who of the staff it names."""
    fields = (field for field in row._meta.concrete_fields if field.name not in _OF_STAFF)
    return {field.attname: getattr(row, field.attname) for field in fields}


def _history_of(visits: list[int], operations: list[int]) -> Any:
    """The admin's own entries: they name a visit as it was called, and say why somebody decided; none without the admin."""
    if not apps.is_installed("django.contrib.admin"):
        return []
    of_app = apps.get_model("admin.LogEntry").objects.filter(content_type__app_label="altegio_loyalty")
    of_operations = Q(content_type__model="loyaltyoperation", object_id__in=operations)
    return of_app.filter(of_operations | Q(content_type__model="visit", object_id__in=visits))


def anonymise(visits: QuerySet[Visit], *, dry_run: bool = False) -> Iterator[tuple[int, int]]:
    """Make the client of the visits anonymous, for good; yields how many visits and operations are done, batch by batch.

    Each batch is a transaction: whoever stops, or is stopped, begins again, and the rest follows. Raises
    `OperationNotAllowed`, before anything of a batch is written, while an operation of theirs is not done with.
    """
    _refuse_unfinished(Q(visit__in=visits.order_by()))
    visit_count = operation_count = 0
    for batch in _batches(visits):
        ids = [visit.pk for visit in batch]
        with database.committed():
            # First the visits: whoever asks for something on one of them now waits.
            list(Visit.objects.using(database.alias()).select_for_update().filter(pk__in=ids).values("pk"))
            # Also what a card of the client did on a visit that Altegio has given to somebody else since.
            cards = {card.id for bill in map(bills.last_shown, batch) if bill for card in bill.cards.cards}
            theirs = Q(visit__in=ids) | Q(card_id__in=cards)
            rows = list(database.operations().filter(theirs).select_for_update().order_by("pk"))
            _refuse_unfinished(Q(pk__in=[row.pk for row in rows]))
            if not dry_run:
                _forget(ids, rows)
        visit_count, operation_count = visit_count + len(batch), operation_count + len(rows)
        yield visit_count, operation_count


def _refuse_unfinished(theirs: Q) -> None:
    unfinished = database.operations().filter(theirs).exclude(DONE_WITH).order_by("pk")
    if (first := unfinished.select_related("location", "visit").first()) is not None:
        text = _(
            "Nothing was made anonymous: operations of this client (%(count)s) are not done with. Wait for what goes on by "
            "itself, decide about or close the others, then try again. %(operation)s. %(sentence)s"
        )
        told = {"count": unfinished.count(), "operation": first, "sentence": first.sentence}
        raise OperationNotAllowed(f"{text % told} {reason(first.discrepancy)}".strip())


def _forget(ids: list[int], rows: list[LoyaltyOperation]) -> None:
    visits, numbers = Visit.objects.using(database.alias()), [row.pk for row in rows]
    for row in rows:
        row.card_title = row.card_title.partition(bills.NUMBER_ENDS)[0].strip()
    database.operations().bulk_update(rows, ["card_title"])
    attempts = OperationAttempt.objects.using(database.alias()).filter(operation__in=rows)
    attempts.exclude(answer="").update(answer=MASK)
    _keep_codes(database.operations().filter(pk__in=numbers), "last_error")
    _keep_codes(attempts, "error")
    _keep_codes(BooksItem.objects.using(database.alias()).filter(visit_id__in=ids), "reason")
    if history := _history_of(ids, numbers):
        history.update(object_repr=_("Anonymised"), change_message=MASK)
    _sums_of(visits.filter(pk__in=ids)).order_by().update(key=str(ANONYMISED))
    visits.filter(pk__in={row.visit_id for row in rows}).update(shown="")
    visits.filter(pk__in=ids).update(client_id=ANONYMISED, client_name="", client_phone="", shown="")


def _keep_codes(rows: QuerySet[Any], column: str) -> None:
    """Of a reason its code and figures: whom somebody's own words are about, no program can tell."""
    written = list(rows.exclude(**{column: ""}))
    for row in written:
        kept = Reason.read(getattr(row, column))
        text = dataclasses.replace(kept, said=kept.said and MASK, detail="").stored() if kept else MASK
        setattr(row, column, text)
    rows.bulk_update(written, [column])
