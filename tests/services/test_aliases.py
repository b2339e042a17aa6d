"""A host site may keep the app's tables in a database of their own."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction

from altegio_loyalty import delivery, exceptions, services
from altegio_loyalty.models import Location, LoyaltyOperation, OperationAttempt, Visit
from tests.delivery.salon import QUICK

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "second"])

Status = LoyaltyOperation.Status


class InSecond:
    """Routes the app's models, and nothing else, to the second database."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "second" if model._meta.app_label == "altegio_loyalty" else None

    db_for_write = db_for_read


@pytest.fixture
def sandbox(altegio_sandbox: Any, settings: Any) -> Any:
    settings.DATABASE_ROUTERS = ["tests.services.test_aliases.InSecond"]
    settings.ALTEGIO_LOYALTY = {**QUICK, "API_URL": altegio_sandbox.url}
    return altegio_sandbox


@pytest.fixture
def asked(sandbox: Any) -> dict[str, Any]:
    """The arguments of a withdrawal."""
    there = sandbox.ledger.add_location(title="Main Street")
    client = sandbox.ledger.add_client(name="Jane", phone="+13155550175")
    card = sandbox.ledger.add_card(client, balance="500")
    visit = sandbox.ledger.add_visit(there, client, lines=[("Haircut", "300")])
    tokens = {"partner_token": sandbox.partner_token, "user_token": sandbox.user_token}
    location = Location.objects.create(id=there.id, title="Main Street", **tokens)
    return {
        "location": location,
        "visit_id": visit.id,
        "record_id": visit.record_id,
        "card_id": card.id,
        "amount": 100,
    }


def test_all_rows_are_written_to_the_database_of_the_router(asked: dict[str, Any]) -> None:
    operation = services.apply_card_withdrawal(**asked)
    assert operation.status == Status.SUCCEEDED
    for model in (Location, Visit, LoyaltyOperation, OperationAttempt):
        assert model.objects.using("second").exists()
        assert not model.objects.using("default").exists()


def test_a_lost_answer_is_settled_there(asked: dict[str, Any], sandbox: Any) -> None:
    sandbox.fail("cut_after", path="apply_card_withdrawal", times=1)
    operation = services.apply_card_withdrawal(**asked)
    assert operation.status == Status.UNCONFIRMED
    delivery.run_due()
    operation.refresh_from_db()
    assert operation.status == Status.SUCCEEDED
    assert len(sandbox.effects) == 1


def test_a_transaction_on_that_database_refuses_a_call_at_once(asked: dict[str, Any], sandbox: Any) -> None:
    with transaction.atomic(using="second"), pytest.raises(exceptions.TransactionOpen):
        services.apply_card_withdrawal(**asked)
    assert sandbox.effects == []


def test_a_transaction_on_another_database_is_no_hindrance(asked: dict[str, Any]) -> None:
    with transaction.atomic(using="default"):
        assert services.apply_card_withdrawal(**asked).status == Status.SUCCEEDED


def test_on_commit_joins_the_transaction_of_that_database(asked: dict[str, Any], sandbox: Any) -> None:
    with transaction.atomic(using="second"):
        operation = services.apply_card_withdrawal(**asked, deliver="on_commit")
        assert sandbox.effects == []
    delivery.run_due()
    operation.refresh_from_db()
    assert operation.status == Status.SUCCEEDED
