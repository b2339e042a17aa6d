"""A host site, as far as a checker of types reads it: every name of `services`, and what the app promises about them.

`test_public_api` has mypy read it; nothing here is ever called. A change that breaks this page breaks hosts.
"""

from __future__ import annotations

import datetime
import uuid
from decimal import Decimal
from typing import Any, Literal, assert_type

from django.core.exceptions import ValidationError
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from altegio_loyalty import exceptions, services, signals, tasks
from altegio_loyalty.client import Hidden
from altegio_loyalty.fields import Secret
from altegio_loyalty.models import BooksItem, BooksOfDay, Location, LoyaltyOperation, Visit


def take_points(request: HttpRequest, location: Location, visit: Visit, card_id: int) -> str:
    try:
        operation = services.apply_card_withdrawal(
            location,
            visit_id=visit.pk,
            record_id=visit.record_id,
            card_id=card_id,
            amount=Decimal("99.50"),
            requested_by=request.user,
            idempotency_key="order-1",
            deliver="on_commit",
        )
    except ValidationError as error:
        return ", ".join(error.messages)
    except exceptions.OperationInProgress as error:
        return f"{error}: {error.operation}"
    except (exceptions.IdempotencyConflict, exceptions.TransactionOpen) as error:
        return str(error)
    except exceptions.AltegioLoyaltyError:
        raise
    assert_type(operation, LoyaltyOperation)
    return operation.sentence


def every_way_to_name_an_amount(location_id: int) -> list[LoyaltyOperation]:
    ids = {"visit_id": 1, "record_id": 2, "card_id": 3}
    plain: list[int | str | Decimal] = [100, "99.50", Decimal(5)]
    return [
        services.apply_card_withdrawal(
            location_id,
            visit_id=ids["visit_id"],
            record_id=ids["record_id"],
            card_id=ids["card_id"],
            amount=amount,
        )
        for amount in plain
    ]


def give_points_back(request: HttpRequest, location_id: int) -> LoyaltyOperation:
    return assert_type(
        services.cancel_card_withdrawal(
            location_id,
            visit_id=1,
            record_id=2,
            card_id=3,
            requested_by=request.user,
            idempotency_key=None,
            deliver="now",
        ),
        LoyaltyOperation,
    )


def promote(request: HttpRequest, location: Location | int, deliver: Literal["now", "on_commit"]) -> None:
    applied = services.apply_discount_program(
        location,
        visit_id=1,
        record_id=2,
        card_id=3,
        program_id=4,
        requested_by=request.user,
        idempotency_key="promotion-1",
        deliver=deliver,
    )
    taken_back = services.cancel_discount_program(
        location,
        visit_id=1,
        record_id=2,
        card_id=3,
        program_id=4,
        requested_by=None,
        idempotency_key="promotion-1-back",
        deliver=deliver,
    )
    assert_type(applied, LoyaltyOperation)
    assert_type(taken_back, LoyaltyOperation)


def the_evening(request: HttpRequest, location: Location, batch: uuid.UUID) -> None:
    withdrawal = services.request_in_batch(
        LoyaltyOperation.Kind.APPLY_CARD_WITHDRAWAL,
        location,
        batch=batch,
        visit_id=1,
        record_id=2,
        card_id=3,
        amount="12.50",
        requested_by=request.user,
        idempotency_key=None,
    )
    promotion = services.request_in_batch(
        "apply_discount_program",
        location.pk,
        batch=batch,
        visit_id=1,
        record_id=2,
        card_id=3,
        program_id=4,
    )
    assert_type(withdrawal, LoyaltyOperation)
    assert_type(promotion, LoyaltyOperation)


def decide(request: HttpRequest, operation: LoyaltyOperation) -> None:
    try:
        assert_type(services.retry_operation(operation, request.user), LoyaltyOperation)
        assert_type(services.stop_operation(operation, by=request.user), LoyaltyOperation)
        assert_type(
            services.settle_operation(operation, happened=True, reason="Altegio shows it.", by=request.user),
            LoyaltyOperation,
        )
        assert_type(
            services.close_operation(operation, reason="Put right.", by=request.user), LoyaltyOperation
        )
        for item in BooksItem.objects.filter(closed_at=None):
            services.close_books_item(item, reason="Put right.", by=request.user)
    except exceptions.OperationNotAllowed as error:
        assert_type(str(error), str)


def push(operation: LoyaltyOperation) -> str:
    now = services.deliver_now(operation.pk)
    if now is None:
        return "gone"
    if (
        now.kind == LoyaltyOperation.Kind.APPLY_DISCOUNT_PROGRAM
        and now.status == LoyaltyOperation.Status.SUCCEEDED
    ):
        return "Promotion applied"
    assert_type(now.applied_amount, Decimal | None)
    assert_type(now.returned_amount, Decimal | None)
    return now.status


def look(location: Location, visit: Visit) -> Decimal | None:
    read_at = timezone.now()
    reading = services.read_visit(location, visit_id=visit.pk, record_id=visit.record_id)
    assert_type(reading, services.VisitReading)
    if reading.details is None:
        raise RuntimeError(reading.error)
    services.keep_figures(visit.pk, reading.details)
    services.keep_figures(visit.pk, reading.details, read_at)
    rows = list(LoyaltyOperation.objects.filter(visit=visit))
    services.judge_reading(visit.pk, reading.details, rows, read_at)
    return reading.details.left_to_pay


def go_on(request: HttpRequest) -> str:
    block = services.find_blocks().first()
    if block is None or block.blocked_until is None:
        return "nothing is held back"
    return "lifted" if assert_type(services.lift_block(by=request.user), bool) else str(block.blocked_until)


def cards(location: Location, visit: Visit) -> list[str]:
    problem = services.find_client(visit)
    if problem or visit.client_id is None:
        return [assert_type(problem, str)]
    answer = assert_type(services.read_cards(location, client_id=visit.client_id), services.CardsReading)
    return [card.number for card in answer.cards] or [answer.error]


def fetch(location: Location) -> Visit | None:
    fetched = assert_type(services.fetch_visit(location, 5), services.VisitFetch)
    return fetched.visit if not fetched.error else None


def read_today(location: Location) -> tuple[int, str]:
    reading = services.read_day(location, datetime.date(2026, 1, 31), seconds=2.5)
    assert_type(reading, services.DayReading)
    if not reading.is_finished:
        reading.read_next_page()
    return reading.visit_count, reading.error


def connect(partner: str, login: str, password: str) -> dict[int, str]:
    found = services.log_in(Secret(partner), login, Hidden(password))
    assert_type(found, services.Login)
    assert_type(found.user_token, Secret)
    return {company.id: company.title for company in found.companies} if not found.error else {}


def try_tokens(location: Location) -> services.ConnectionReport:
    report = services.test_connection(location)
    lines: list[services.Check] = report.checks
    assert_type(report.is_good, bool)
    assert_type([line.title + line.detail for line in lines], list[str])
    return report


def tokens_are_hidden(location: Location) -> str:
    location.user_token = "a new one"
    return assert_type(location.partner_token.reveal(), str)


@receiver(signals.operation_succeeded, sender=LoyaltyOperation)
@receiver(signals.operation_rejected, sender=LoyaltyOperation)
@receiver(signals.operation_failed, sender=LoyaltyOperation)
@receiver(signals.operation_abandoned, sender=LoyaltyOperation)
@receiver(signals.operation_needs_attention, sender=LoyaltyOperation)
def note(sender: type[LoyaltyOperation], operation: LoyaltyOperation, **kwargs: Any) -> None:
    assert_type(operation.amount, Decimal | None)


@receiver(signals.books_checked, sender=BooksOfDay)
def note_books(sender: type[BooksOfDay], books: BooksOfDay, **kwargs: Any) -> None:
    assert_type(books.day, datetime.date)


BEAT = [tasks.retry_due_operations, tasks.deliver_operation, tasks.check_books, tasks.send_monthly_report]
