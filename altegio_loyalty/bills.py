"""A visit's bill and cards as Altegio last showed them, kept, aged, offered again: for the screens, never for delivery."""

import datetime
import json
import types
import typing
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from decimal import Decimal
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import router
from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from altegio_loyalty.client import VisitDetails
from altegio_loyalty.client.types import LARGEST_AMOUNT, Card, Cards
from altegio_loyalty.models import LONGEST_TITLE, LoyaltyOperation, OperationAttempt, Visit
from altegio_loyalty.moments import CLOCKS_APART
from altegio_loyalty.querysets import update_if_free
from altegio_loyalty.redaction import clean
from altegio_loyalty.states import Status

#: What was read no longer ago than this is shown again instead of being read anew.
READING_IS_FRESH = datetime.timedelta(seconds=5)
#: So long a form goes by what its visit's page showed, and a balance by what was read before the call.
READING_IS_RECENT = datetime.timedelta(minutes=1)
#: Between a card's title and the last digits of its number, where the log names it.
NUMBER_ENDS = "···"
#: In letters of JSON; what is larger is not kept.
_LARGEST = 100_000


@dataclass(frozen=True)
class Bill:
    """What Altegio showed of a visit, with the cards of the client whom the visit had then, and when the reading began.

    `after` is the newest attempt of the log before Altegio was asked; `is_answer` says that a call was answered then, and
    the balances follow from it and the reading before.
    """

    details: VisitDetails
    cards: Cards
    client_id: int | None
    after: int
    read_at: datetime.datetime
    kept_at: datetime.datetime
    is_answer: bool = False


def keep_figures(visit_id: int, details: VisitDetails, read_at: datetime.datetime | None = None) -> None:
    """Note what a reading of the visit, begun at `read_at` or just now, showed, as far as it is exact.

    Call it wherever `VisitDetails` of a visit were just read. What was read or answered after that beginning stays.
    """
    _not_read_since(visit_id, read_at := read_at or timezone.now()).update(**_figures(details, read_at))


def _not_read_since(visit_id: int, moment: datetime.datetime) -> QuerySet[Visit]:
    """A slow reading does not replace what was read, or answered, after it had begun; unless a clock was wrong then."""
    ahead = Q(read_at__gt=timezone.now() + CLOCKS_APART)
    return Visit.objects.filter(Q(read_at__isnull=True) | Q(read_at__lte=moment) | ahead, pk=visit_id)


def _figures(details: VisitDetails, read_at: datetime.datetime) -> dict[str, Any]:
    is_exact = details.rest is not None and details.rest[0] == details.rest[1]
    due, covered = storable(details.left_to_pay if is_exact else None), storable(details.covered)
    # Without any line there is nothing to say what it costs.
    total = storable(details.total or None)
    return {"due_amount": due, "covered_amount": covered, "total_amount": total, "read_at": read_at}


def storable(amount: Decimal | None) -> Decimal | None:
    """The amount, or nothing where it is not known, or beyond what a column holds."""
    return amount if amount is not None and abs(amount) <= LARGEST_AMOUNT else None


def noting(visits: QuerySet[Visit]) -> QuerySet[Visit]:
    """With `newest_attempt`, by which can be told, whatever the machines' clocks say, whether anything was sent since."""
    newest = OperationAttempt.objects.order_by("-pk").values("pk")[:1]
    return visits.annotate(newest_attempt=Subquery(newest))


def keep(visit: Visit, details: VisitDetails, cards: Cards, read_at: datetime.datetime) -> None:
    """Note what a reading begun at `read_at` showed of the visit, fetched before by `noting`, and of its client's cards."""
    after = getattr(visit, "newest_attempt", 0) or 0
    _write(visit, Bill(details, cards, visit.client_id, after, read_at, timezone.now()))


def keep_answer(operation: LoyaltyOperation, details: VisitDetails, call: OperationAttempt) -> None:
    """Note what the call's answer showed. It shows no card: a balance follows from a reading moments before, if any."""
    visit, card_id, now = operation.visit, operation.card_id, timezone.now()
    if (known := last_shown(visit)) is None:
        update_if_free(_not_read_since(visit.pk, now), **_figures(details, now))
        return
    is_recent = known.read_at <= now <= known.read_at + READING_IS_RECENT
    is_known = is_recent and not (known.details.doubt or details.doubt)
    moved = known.details.withdrawn(card_id) - details.withdrawn(card_id)
    others = _touching(Q(), known).exclude(pk=operation.pk)
    touched = set(others.values_list("card_id", flat=True)) if is_known else set()

    def after_it(card: Card) -> Card:
        if card.balance is None or not is_known or card.id in touched:
            return replace(card, balance=None)
        return replace(card, balance=card.balance + moved) if card.id == card_id else card

    cards = replace(known.cards, cards=tuple(map(after_it, known.cards.cards)))
    after = call.pk if is_known and call.pk else 0
    _write(visit, Bill(details, cards, known.client_id, after, now, now, is_answer=True))


def _write(visit: Visit, bill: Bill) -> None:
    text = json.dumps(asdict(bill), cls=DjangoJSONEncoder)
    figures = {**_figures(bill.details, bill.read_at), "shown": text if len(text) <= _LARGEST else ""}
    # Of another client nothing is kept, nor of one who was made anonymous meanwhile.
    rows = _not_read_since(visit.pk, bill.read_at).filter(client_id=bill.client_id)
    # After a call somebody may have the visit locked for long; a reading is kept in any case.
    if update_if_free(rows, **figures) if bill.is_answer else rows.update(**figures):
        visit.shown, visit.read_at = figures["shown"], bill.read_at


def last_shown(visit: Visit) -> Bill | None:
    """What was kept last; None where nothing was, the visit has another client by now, or a release wrote it otherwise."""
    try:
        bill: Bill = _formed(Bill, json.loads(visit.shown))
    except (TypeError, KeyError, ValueError, ArithmeticError):
        return None
    return bill if bill.client_id == visit.client_id else None


def titles(visit: Visit | None, card_id: int, program_id: int | None) -> tuple[str, str]:
    """What the card, with the end of its number, and the promotion are called, as last shown; empty where unknown."""
    bill = last_shown(visit) if visit else None
    cards = bill.cards.cards if bill else ()
    card = next((f"{card.title} {NUMBER_ENDS}{card.number[-4:]}" for card in cards if card.id == card_id), "")
    programs = (program for card in cards for program in card.programs)
    program = next((program.named for program in programs if program.id == program_id), "")
    return clean(card.removesuffix(NUMBER_ENDS).strip(), LONGEST_TITLE), clean(program, LONGEST_TITLE)


def is_fresh(visit: Visit, bill: Bill, within: datetime.timedelta = READING_IS_FRESH) -> bool:
    """Whether it was read so short a time ago, and nothing was sent since on the visit, or for one of its cards."""
    if not bill.kept_at <= timezone.now() < bill.kept_at + within:
        return False
    return not _touching(Q(visit=visit.pk), bill).exists()


def _touching(these: Q, bill: Bill) -> QuerySet[LoyaltyOperation]:
    """These, and those with one of the bill's cards, that have moved points since the bill, or may."""
    operations = LoyaltyOperation.objects.using(router.db_for_write(LoyaltyOperation))
    later = OperationAttempt.objects.filter(operation=OuterRef("pk"), pk__gt=bill.after)
    # A call that is on its way, or in doubt, may take effect at any moment.
    may_move = Q(status__in=(Status.SENDING, Status.UNCONFIRMED)) | Exists(later)
    with_a_card = Q(card_id__in=[card.id for card in bill.cards.cards])
    return operations.filter(these | with_a_card).filter(may_move)


def _formed(form: Any, value: Any) -> Any:
    """The value of this type that the JSON stands for."""
    if isinstance(form, types.UnionType):
        return None if value is None else _formed(form.__args__[0], value)
    if typing.get_origin(form) is tuple:
        return tuple(_formed(form.__args__[0], one) for one in value)
    if is_dataclass(form):
        hints = typing.get_type_hints(form)
        known: Any = {field.name: _formed(hints[field.name], value[field.name]) for field in fields(form)}
        return typing.cast("Any", form)(**known)
    if form is datetime.datetime:
        return form.fromisoformat(value)
    return Decimal(value) if form is Decimal else value
