"""After a restore: everything is held until the books were compared, and nothing that waited is sent by itself."""

from __future__ import annotations

import datetime
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from altegio_loyalty import books, database, services, watch
from altegio_loyalty.delivery.claims import Claim
from altegio_loyalty.delivery.sweep import Sweep
from altegio_loyalty.models import BooksItem, LoyaltyOperation, Visit, WatchEntry
from tests.delivery.salon import CANCEL, WITHDRAWAL, Salon, Status, points
from tests.test_status import status

pytestmark = pytest.mark.django_db
WHY = "restored the backup of Tuesday"


def hold(*arguments: str) -> str:
    out = StringIO()
    call_command("altegio_hold", *(arguments or (WHY,)), stdout=out)
    return out.getvalue()


def restored(salon: Salon) -> LoyaltyOperation:
    """It waits in the backup; it was done since, and given back."""
    operation = salon.later()
    visit = salon.ledger.visit(operation.visit_id)
    salon.ledger.withdraw(visit, salon.card, 100)
    salon.ledger.cancel_withdrawal(visit, salon.card)
    LoyaltyOperation.objects.update(created_at=timezone.now() - datetime.timedelta(days=2))
    return operation


def test_held__nothing_is_sent_by_anybody(salon: Salon) -> None:
    visit, operation = salon.visit(), salon.later()
    salon.withdraw(visit)
    hold()
    asked = len(salon.sandbox.requests)
    assert salon.sweep(operation).stopped == "everything is held"
    services.deliver_now(operation.pk)
    new = salon.withdraw()
    known = salon.ask(CANCEL, visit)
    services.retry_operation(operation)
    services.deliver_now(new.pk)
    assert len(salon.sandbox.requests) == asked
    waiting = LoyaltyOperation.objects.filter(status=Status.PENDING)
    assert set(waiting) == {operation, new, known}


def test_held__during_a_sweep_ends_it_before_the_next_operation(salon: Salon) -> None:
    operations = [salon.later() for _ in range(3)]
    sweep = Sweep(50)
    hold()
    for operation in operations:
        sweep._take(operation.pk)
    assert salon.posts() == 0


def test_held__a_doubt_stays_one(salon: Salon) -> None:
    salon.fail("cut_before", path="apply_card_withdrawal", times=1)
    operation = salon.withdraw()
    assert operation.status == Status.UNCONFIRMED
    hold()
    salon.sweep(operation)
    assert operation.status == Status.UNCONFIRMED


def test_held__is_told_by_status_pages_and_once(salon: Salon, admin_client: Client) -> None:
    visit = salon.visit()
    salon.later(visit)
    Visit.objects.update(starts_at=timezone.now())
    assert WHY in hold()
    hold("again")
    assert WatchEntry.objects.filter(open_key=watch.HELD).count() == 1
    code, text = status()
    assert (code, "held since" in text, WHY in text) == (2, True, True)
    for page in (
        f"visit/{visit.id}/change/",
        f"visit/operate/{WITHDRAWAL}/?visit={visit.id}",
        "visit/",
        "loyaltyoperation/overview/",
        "loyaltyoperation/inbox/",
    ):
        shown = admin_client.get(f"/admin/altegio_loyalty/{page}").content.decode()
        assert f"{WHY}): nothing is sent" in shown, page


def test_release__sends_nothing_that_waited_before_it_was_held(salon: Salon) -> None:
    operation = restored(salon)
    hold()
    since = salon.later()
    assert "1 waited" in hold("--release")
    salon.sweep(operation)
    since.refresh_from_db()
    assert (operation.status, since.status) == (Status.FAILED, Status.SUCCEEDED)
    assert operation in LoyaltyOperation.objects.needing_attention()
    assert salon.effects(WITHDRAWAL, salon.ledger.visit(operation.visit_id)) == []
    assert status()[0] == 1


@pytest.mark.parametrize("was", ["in doubt", "being sent"])
def test_release__looks_up_what_was_in_doubt_and_does_not_send_it_again(salon: Salon, was: str) -> None:
    operation = restored(salon)
    long_ago = timezone.now() - datetime.timedelta(days=2)
    state = {"status": "unconfirmed", "unanswered_at": long_ago}
    if was == "being sent":
        state = {"status": "sending", "sent_at": long_ago}
    LoyaltyOperation.objects.update(next_attempt_at=long_ago, seen_before=0, **state)
    hold()
    hold("--release")
    LoyaltyOperation.objects.exclude(unanswered_at=None).update(unanswered_at=long_ago)
    salon.run_to_the_end(operation)
    assert (operation.status, salon.posts()) == (Status.ABANDONED, 0)


def test_held__during_the_look_the_post_does_not_leave(salon: Salon, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = Claim.mark_sent

    def hold_meanwhile(*args: Any) -> bool:
        hold()
        return mark(*args)

    monkeypatch.setattr(Claim, "mark_sent", hold_meanwhile)
    operation = salon.withdraw()
    assert (operation.sent_at, salon.posts()) == (None, 0)


def test_release__meets_somebody_who_just_decided(salon: Salon, monkeypatch: pytest.MonkeyPatch) -> None:
    """What he brought forward is given up all the same."""
    operation = restored(salon)
    hold()
    change = database.change

    def once_late(*args: Any, **options: Any) -> bool:
        monkeypatch.setattr(database, "change", change)
        services.retry_operation(LoyaltyOperation.objects.get())
        return change(*args, **options)

    monkeypatch.setattr(database, "change", once_late)
    assert "1 waited" in hold("--release")
    operation.refresh_from_db()
    assert operation.status == Status.FAILED


def test_release__of_nothing_is_told(salon: Salon) -> None:
    with pytest.raises(CommandError, match="Nothing is held"):
        hold("--release")


def test_books_that_were_compared__release_and_show_what_was_done_since_the_backup(salon: Salon) -> None:
    """Also today's, and a day compared before; each visit with an open operation is laid beside what Altegio shows."""
    operation = salon.later()
    visit = salon.ledger.visit(operation.visit_id)
    salon.ledger.withdraw(visit, salon.card, 100)
    LoyaltyOperation.objects.update(created_at=timezone.now() - datetime.timedelta(days=12))
    hold()
    posts = salon.posts()
    books.check()
    [item] = BooksItem.objects.filter(closed_at=None)
    assert (item.visit_id, item.by_log, item.by_altegio) == (visit.id, points(0), points(100))
    assert watch.hold() is None
    salon.sweep(operation)
    assert (operation.status, salon.posts()) == (Status.FAILED, posts)


def test_books_that_could_not_be_compared__release_nothing(salon: Salon) -> None:
    restored(salon)
    hold()
    salon.fail("status_500")
    books.check()
    assert watch.hold() is not None


def test_day_compared_while_it_was_held__is_compared_again_when_it_is_over(salon: Salon) -> None:
    salon.withdraw()
    hold()
    [today] = books.check()
    assert today.checked_at is not None
    assert watch.hold() is None
    assert books.check() == []
    yesterday = today.day - datetime.timedelta(days=1)
    type(today).objects.update(day=yesterday, checked_at=timezone.now() - datetime.timedelta(days=1))
    LoyaltyOperation.objects.update(created_at=timezone.now() - datetime.timedelta(days=1))
    visit = salon.visit()
    salon.ledger.withdraw(visit, salon.card, 25)
    [again] = books.check()
    assert [item.visit_id for item in again.open_items] == [visit.id]


def test_release_by_the_books__is_none_of_one_location_or_day(salon: Salon) -> None:
    salon.withdraw()
    hold()
    books.check(location_id=salon.location.pk)
    assert watch.hold() is not None


def test_what_is_asked_for_while_held__is_sent_after_the_release(salon: Salon) -> None:
    hold()
    visit = salon.visit()
    operation = salon.withdraw(visit)
    assert operation.status == Status.PENDING
    hold("--release")
    salon.sweep(operation)
    assert operation.status == Status.SUCCEEDED
    assert salon.ask(CANCEL, visit).status == Status.SUCCEEDED
