"""deliver="now" refuses an open transaction; deliver="on_commit" joins it."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

import pytest
from celery import Celery, current_app
from celery.app import app_or_default
from django.db import connection, transaction
from django.http import HttpResponse
from django.test import Client, TestCase
from django.urls import path

from altegio_loyalty import services
from altegio_loyalty.exceptions import OperationInProgress, TransactionOpen
from altegio_loyalty.models import Location, LoyaltyOperation, Visit
from altegio_loyalty.sandbox import Sandbox
from tests.delivery.crashing import Worker
from tests.delivery.salon import KINDS, WITHDRAWAL, Salon, Status

in_real_transactions = pytest.mark.django_db(transaction=True)


@pytest.fixture
def worker(settings: Any) -> Any:
    """Tasks run where they are sent, as a worker would run them."""
    before = current_app.conf.task_always_eager
    current_app.conf.task_always_eager = True
    yield
    current_app.conf.task_always_eager = before


# deliver="now"


@in_real_transactions
@pytest.mark.parametrize("kind", KINDS)
def test_now_in_a_transaction__is_refused(salon: Salon, kind: str) -> None:
    """With an error that names the way out, and nothing written or sent."""
    with transaction.atomic(), pytest.raises(TransactionOpen, match="on_commit"):
        salon.ask(kind, salon.visit())
    assert LoyaltyOperation.objects.count() == 0
    assert salon.sandbox.requests == []


@in_real_transactions
def test_now_with_autocommit_off__is_refused(salon: Salon) -> None:
    """Whoever commits by hand has a transaction open as well."""
    connection.ensure_connection()
    transaction.set_autocommit(False)
    try:
        with pytest.raises(TransactionOpen):
            salon.withdraw()
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)
    assert LoyaltyOperation.objects.count() == 0
    assert salon.sandbox.requests == []


def take_points(request: Any, location_id: int, visit_id: int, record_id: int, card_id: int) -> HttpResponse:
    where: dict[str, Any] = {"visit_id": visit_id, "record_id": record_id, "card_id": card_id}
    deliver = request.GET.get("deliver", "now")
    operation = services.apply_card_withdrawal(location_id, amount=5, deliver=deliver, **where)
    if "break" in request.GET:
        raise RuntimeError("a bug of the host site")
    return HttpResponse(operation.status)


@transaction.non_atomic_requests
def take_points_outside(request: Any, **ids: int) -> HttpResponse:
    return take_points(request, **ids)


_IDS = "<int:location_id>/<int:visit_id>/<int:record_id>/<int:card_id>/"
urlpatterns = [path(f"take/{_IDS}", take_points), path(f"outside/{_IDS}", take_points_outside)]


@pytest.fixture
def atomic_requests(settings: Any) -> Any:
    settings.ROOT_URLCONF = __name__
    connection.settings_dict["ATOMIC_REQUESTS"] = True
    yield
    connection.settings_dict["ATOMIC_REQUESTS"] = False


def address(salon: Salon, visit: Any, view: str = "take") -> str:
    return f"/{view}/{salon.location.pk}/{visit.id}/{visit.record_ids[0]}/{salon.card.id}/"


@in_real_transactions
@pytest.mark.usefixtures("atomic_requests")
def test_now_in_a_view_with_atomic_requests__is_refused(salon: Salon) -> None:
    """Unless the view is out of it."""
    visit = salon.visit()
    with pytest.raises(TransactionOpen):
        Client().get(address(salon, visit))
    assert salon.sandbox.requests == []
    assert Client().get(address(salon, visit, "outside")).content == b"succeeded"


@in_real_transactions
@pytest.mark.usefixtures("atomic_requests", "worker")
def test_on_commit_in_a_view_with_atomic_requests__is_sent_after_the_view(salon: Salon) -> None:
    """And not at all where the view fails."""
    visit = salon.visit()
    with pytest.raises(RuntimeError):
        Client().get(address(salon, visit), {"deliver": "on_commit", "break": "1"})
    assert LoyaltyOperation.objects.count() == 0
    assert salon.sandbox.requests == []
    assert Client().get(address(salon, visit), {"deliver": "on_commit"}).content == b"pending"
    assert LoyaltyOperation.objects.get().status == Status.SUCCEEDED


class TestInTestCase(TestCase):
    """Host sites test with Django's TestCase, whose own transaction is none to refuse."""

    def setUp(self) -> None:
        self.sandbox = self.enterContext(Sandbox())
        ledger = self.sandbox.ledger
        client = ledger.add_client()
        self.card, salon = ledger.add_card(client, balance=50), ledger.add_location()
        self.visit = ledger.add_visit(salon, client)
        tokens = {"partner_token": self.sandbox.partner_token, "user_token": self.sandbox.user_token}
        Location.objects.create(pk=salon.id, title="Salon", **tokens)
        self.enterContext(self.settings(ALTEGIO_LOYALTY={"API_URL": self.sandbox.url}))

    def withdraw(self, **arguments: Any) -> LoyaltyOperation:
        where = {"visit_id": self.visit.id, "record_id": self.visit.record_ids[0], "card_id": self.card.id}
        return services.apply_card_withdrawal(self.visit.location_id, amount=5, **{**where, **arguments})

    def test_now__works(self) -> None:
        assert self.withdraw().status == Status.SUCCEEDED

    def test_now_in_an_inner_transaction__is_refused(self) -> None:
        with transaction.atomic(), pytest.raises(TransactionOpen):
            self.withdraw()

    def test_on_commit__can_be_captured(self) -> None:
        current_app.conf.task_always_eager = True
        try:
            with self.captureOnCommitCallbacks(execute=True):
                operation = self.withdraw(deliver="on_commit")
                assert operation.status == Status.PENDING
        finally:
            current_app.conf.task_always_eager = False
        operation.refresh_from_db()
        assert operation.status == Status.SUCCEEDED


# deliver="on_commit"


@in_real_transactions
@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("kind", KINDS)
def test_on_commit__joins_the_transaction(salon: Salon, kind: str) -> None:
    """Nothing is sent before the commit; then it is delivered."""
    visit = salon.prepared(kind)
    with transaction.atomic():
        operation = salon.ask(kind, visit, deliver="on_commit")
        assert (operation.status, operation.attempt_count) == (Status.PENDING, 0)
        assert salon.sandbox.requests == []
    operation.refresh_from_db()
    assert operation.status == Status.SUCCEEDED
    assert len(salon.effects(kind, visit)) == 1


@in_real_transactions
@pytest.mark.usefixtures("worker")
def test_on_commit_rolled_back__leaves_and_sends_nothing(salon: Salon) -> None:
    """Not even the visit's row."""
    with contextlib.suppress(RuntimeError), transaction.atomic():
        salon.later()
        raise RuntimeError
    assert LoyaltyOperation.objects.count() == Visit.objects.count() == 0
    assert salon.sandbox.requests == []


@in_real_transactions
@pytest.mark.usefixtures("worker")
def test_on_commit_in_a_savepoint__goes_with_it(salon: Salon) -> None:
    """Rolled back with its savepoint, kept with the rest."""
    kept, gone = salon.visit(), salon.visit()
    with transaction.atomic():
        with transaction.atomic():
            salon.later(kept)
        with contextlib.suppress(RuntimeError), transaction.atomic():
            salon.later(gone)
            raise RuntimeError
    assert LoyaltyOperation.objects.get().visit_id == kept.id
    assert [effect.visit_id for effect in salon.sandbox.effects] == [kept.id]


@in_real_transactions
@pytest.mark.usefixtures("worker")
def test_on_commit__several_in_one_transaction(salon: Salon) -> None:
    """Each is delivered once; a second one on the same visit and card is refused and harms nothing."""
    visits = [salon.visit() for _ in range(3)]
    with transaction.atomic():
        for visit in visits:
            salon.later(visit)
        with pytest.raises(OperationInProgress):
            salon.later(visits[0])
        assert Visit.objects.count() == 3  # the transaction is not broken
    assert {operation.status for operation in LoyaltyOperation.objects.all()} == {Status.SUCCEEDED}
    assert sorted(effect.visit_id for effect in salon.sandbox.effects) == [visit.id for visit in visits]


@in_real_transactions
@pytest.mark.usefixtures("worker")
def test_on_commit_outside_a_transaction__is_delivered_at_once(salon: Salon) -> None:
    """There is nothing to wait for."""
    operation = salon.later()
    operation.refresh_from_db()
    assert operation.status == Status.SUCCEEDED


@in_real_transactions
@pytest.mark.usefixtures("worker")
def test_on_commit_with_autocommit_off__is_found_by_the_next_sweep(salon: Salon) -> None:
    """Manual transactions have no hook; what is due is in the database."""
    connection.ensure_connection()
    transaction.set_autocommit(False)
    try:
        operation = salon.later()
        transaction.commit()
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)
    salon.sweep(operation)
    assert operation.status == Status.SUCCEEDED
    assert salon.posts() == 1


@in_real_transactions
def test_on_commit__the_same_key_twice_in_one_transaction(salon: Salon) -> None:
    """The first row is seen before it is committed."""
    visit = salon.visit()
    with transaction.atomic():
        first = salon.later(visit, idempotency_key="row-1")
        assert salon.later(visit, idempotency_key="row-1") == first
    assert LoyaltyOperation.objects.count() == 1


# Rule 9


@pytest.fixture
def broker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A site whose broker is not there, or is there and says nothing."""
    transport, state = request.param.split()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        if state == "closed":
            silent.close()
        before = app_or_default()
        url = {"redis": f"redis://127.0.0.1:{port}/0", "amqp": f"amqp://guest:guest@127.0.0.1:{port}//"}[
            transport
        ]
        app = Celery("elsewhere")
        app.config_from_object("django.conf:settings", namespace="CELERY")
        monkeypatch.setenv("CELERY_BROKER_URL", url)  # Celery asks the environment first
        app.set_current()
        yield
        before.set_current()
        app.close()


@in_real_transactions
@pytest.mark.parametrize(
    "broker", ["redis closed", "amqp closed", "redis silent", "amqp silent"], indirect=True
)
@pytest.mark.usefixtures("broker")
def test_broker_absent__neither_raises_nor_blocks(salon: Salon) -> None:
    """The row is committed; the person does not wait for it; the next sweep finds it."""
    visit = salon.visit()

    def request_in_a_transaction() -> None:
        with transaction.atomic():
            salon.later(visit)

    # In a process of its own: where it does block, it may do so for ever.
    assert Worker(request_in_a_transaction).wait(seconds=60) == 0
    operation = LoyaltyOperation.objects.get()
    salon.sweep(operation)
    assert operation.status == Status.SUCCEEDED
    assert len(salon.effects(WITHDRAWAL, visit)) == 1
