"""The evening's books: each day of the log against what Altegio shows, and what becomes of each difference."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.core.management import CommandError, call_command, execute_from_command_line
from django.core.serializers.json import DjangoJSONEncoder
from django.test import Client
from django.utils import timezone

from altegio_loyalty import books, services, signals, tasks, throttle
from altegio_loyalty.delivery.drift import close_agreed
from altegio_loyalty.models import BooksItem, BooksOfDay, Location, LoyaltyOperation, Visit
from altegio_loyalty.moments import today
from altegio_loyalty.sandbox import answers
from tests.delivery.salon import CANCEL, PROMOTION, WITHDRAWAL, Salon, points

pytestmark = pytest.mark.django_db
ONE_DAY = datetime.timedelta(days=1)
LIST = "/chain/"


def yesterday() -> datetime.date:
    return today() - ONE_DAY


def a_day_goes_by() -> None:
    """What was asked for and done until now was so yesterday, and all of it long ago."""
    noon = timezone.now() - ONE_DAY
    LoyaltyOperation.objects.update(created_at=noon, finished_at=noon)
    for operation in LoyaltyOperation.objects.exclude(unanswered_at=None):
        LoyaltyOperation.objects.filter(pk=operation.pk).update(unanswered_at=noon)


def compare(day: datetime.date | None = None, **arguments: Any) -> BooksOfDay:
    [found] = books.check(day=day, **arguments)
    return found


def asked(salon: Salon, part: str) -> int:
    return sum(part in request.path for request in salon.sandbox.requests)


def item_of(salon: Salon, visit: Any) -> BooksItem:
    """What the evening found on the visit, whatever the log says of it: 25 points that nobody here took."""
    a_day_goes_by()
    salon.ledger.withdraw(visit, salon.card, 25)
    [item] = compare().open_items
    return item


def page_of(visit: Any) -> str:
    return f"/admin/altegio_loyalty/visit/{visit.id}/change/?read=1"


def without_list(salon: Salon) -> None:
    salon.fail("status_403", path=LIST)


@pytest.fixture(params=["by the chain's list", "by each visit"])
def way(request: pytest.FixtureRequest, salon: Salon) -> str:
    if request.param == "by each visit":
        without_list(salon)
    return str(request.param)


@pytest.mark.usefixtures("way")
def test_day_on_which_both_sides_agree__says_so_with_its_figures(salon: Salon) -> None:
    one, other = salon.visit(), salon.visit()
    salon.withdraw(one, amount=100)
    salon.withdraw(other, amount=30)
    salon.ask(CANCEL, other)
    salon.ask(PROMOTION, other)
    a_day_goes_by()
    found = compare()
    assert found.verdict == found.verdict.AGREES, str(found)
    assert (found.operation_count, found.visit_count) == (4, 2)
    assert found.sides == (points(100), points(100))
    assert "4 operations on 2 visits, 100 points on both sides." in str(found)


def test_day_that_agrees_by_the_list__reads_no_visit(salon: Salon) -> None:
    for _ in range(3):
        salon.withdraw()
    a_day_goes_by()
    before = len(salon.sandbox.requests)
    compare()
    assert [r.path.split("?")[0].split("/")[3] for r in salon.sandbox.requests[before:]] == [
        "company",
        "chain",
        "chain",
    ]


@pytest.mark.usefixtures("way")
def test_less_than_the_log_says__is_flagged_and_told_with_both_sides(salon: Salon) -> None:
    visit = salon.visit()
    operation = salon.withdraw(visit, amount=100)
    salon.ledger.cancel_withdrawal(visit, salon.card)
    salon.ledger.withdraw(visit, salon.card, 40)
    a_day_goes_by()
    found = compare()
    [item] = found.open_items
    assert (item.visit_id, item.card_id, item.by_log, item.by_altegio) == (
        visit.id,
        salon.card.id,
        points(100),
        points(40),
    )
    assert item.operation == operation
    operation.refresh_from_db()
    assert operation.discrepancy
    assert found.verdict == found.verdict.AT_ODDS


def test_withdrawal_that_the_log_does_not_know__is_an_item_of_its_own(salon: Salon) -> None:
    """Its row is gone from the log, with all that it knew of the visit."""
    salon.withdraw()
    lost = salon.visit()
    operation = salon.withdraw(lost, amount=70)
    operation.attempts.all().delete()
    operation.delete()
    lost_visit = lost.id
    a_day_goes_by()
    [item] = compare().open_items
    assert (item.visit_id, item.by_log, item.by_altegio, item.operation) == (
        lost_visit,
        points(0),
        points(70),
        None,
    )


def test_withdrawal_on_a_visit_that_the_site_never_saw__is_told_too(salon: Salon) -> None:
    salon.withdraw()
    a_day_goes_by()
    visit = salon.visit()
    salon.ledger.withdraw(visit, salon.card, 25)
    [item] = compare().open_items
    assert (item.visit_id, item.by_altegio) == (visit.id, points(25))


@pytest.mark.parametrize("lives", [True, False])
def test_visit_that_the_site_never_saw__is_read_by_a_living_appointment_and_else_by_a_deleted_one(
    salon: Salon, monkeypatch: pytest.MonkeyPatch, lives: bool
) -> None:
    salon.withdraw()
    a_day_goes_by()
    visit = salon.visit(lines=[("Shampoo", "20", "product")])  # whose rows name no appointment
    salon.ledger.withdraw(visit, salon.card, 20)
    real = answers.visit

    def with_a_deleted_one(*arguments: Any) -> Any:
        [own] = (shown := real(*arguments))["records"]
        dead = {**own, "id": 1 if lives else own["id"], "deleted": True}
        return {**shown, "records": [dead, own] if lives else [dead]}

    monkeypatch.setattr(answers, "visit", with_a_deleted_one)
    [item] = compare().open_items
    assert (item.visit_id, item.by_altegio) == (visit.id, points(20))


def test_item__closes_by_itself_when_both_sides_agree(salon: Salon) -> None:
    salon.withdraw()
    a_day_goes_by()
    visit = salon.visit()
    salon.ledger.withdraw(visit, salon.card, 25)
    compare()
    salon.ledger.cancel_withdrawal(visit, salon.card)
    found = compare()
    assert found.verdict == found.verdict.AGREES
    assert BooksItem.objects.get().closed_at is not None


def test_item__closes_as_soon_as_a_page_shows_that_both_sides_agree(
    salon: Salon, admin_client: Client
) -> None:
    visit = salon.visit()
    salon.withdraw(visit, amount=10)
    item = item_of(salon, visit)
    admin_client.get(page_of(visit))
    item.refresh_from_db()
    assert item.closed_at is None
    salon.ledger.cancel_withdrawal(visit, salon.card)
    salon.ledger.withdraw(visit, salon.card, 10)
    Visit.objects.update(shown="")
    admin_client.get(page_of(visit))
    item.refresh_from_db()
    assert (item.closed_at is not None, item.closed_by_login) == (True, "")


def test_item__closes_with_the_call_that_mends_it(salon: Salon) -> None:
    """A person gives back here what the log knew nothing of: its own answer shows it."""
    visit = salon.visit()
    salon.withdraw()
    item = item_of(salon, visit)
    salon.ask(CANCEL, visit)
    item.refresh_from_db()
    assert item.closed_at is not None


def test_item__closes_with_the_look_of_an_operation_that_finds_it_mended(salon: Salon) -> None:
    visit = salon.visit()
    salon.withdraw()
    item = item_of(salon, visit)
    salon.ledger.cancel_withdrawal(visit, salon.card)
    salon.ask(CANCEL, visit)
    item.refresh_from_db()
    assert item.closed_at is not None


def test_item__stays_open_while_something_is_under_way_on_its_visit(
    salon: Salon, admin_client: Client
) -> None:
    visit = salon.visit()
    salon.withdraw()
    item = item_of(salon, visit)
    salon.ledger.cancel_withdrawal(visit, salon.card)
    salon.later(visit)
    admin_client.get(page_of(visit))
    item.refresh_from_db()
    assert item.closed_at is None


def test_item_that_a_person_closed__stays_closed_while_both_sides_say_the_same(salon: Salon) -> None:
    salon.withdraw()
    a_day_goes_by()
    visit = salon.visit()
    salon.ledger.withdraw(visit, salon.card, 25)
    compare()
    BooksItem.objects.update(closed_at=timezone.now(), closed_by_login="mary", reason="taken by hand")
    assert not compare(yesterday()).open_items
    salon.ledger.withdraw(visit, salon.card, 5)
    [item] = compare(yesterday()).open_items
    assert (item.by_altegio, item.closed_by_login, item.reason) == (points(30), "", "")


@pytest.mark.usefixtures("way")
def test_what_was_undone_in_altegio__is_recognised_and_not_flagged(salon: Salon) -> None:
    visit = salon.visit()
    operation = salon.withdraw(visit)
    salon.ledger.cancel_withdrawal(visit, salon.card)
    a_day_goes_by()
    found = compare()
    operation.refresh_from_db()
    assert (found.verdict, operation.discrepancy) == (found.verdict.AGREES, "")
    assert operation.undone_at is not None


def test_promotion_that_is_gone__is_noted(salon: Salon) -> None:
    visit = salon.visit()
    operation = salon.ask(PROMOTION, visit)
    salon.ledger.cancel_program(visit, salon.card, salon.program)
    a_day_goes_by()
    assert compare().verdict == 0
    operation.refresh_from_db()
    assert operation.undone_at is not None


@pytest.mark.parametrize("change", [{"is_active": False}, {"refused_at": timezone.now()}])
def test_location_that_does_not_work__could_not_be_checked_and_is_tried_again(
    salon: Salon, change: dict[str, Any]
) -> None:
    salon.withdraw()
    a_day_goes_by()
    Location.objects.update(**change)
    before = len(salon.sandbox.requests)
    found = compare()
    assert (found.verdict, len(salon.sandbox.requests)) == (found.verdict.UNCHECKED, before)
    assert found.next_try_at is not None
    Location.objects.update(is_active=True, refused_at=None)
    BooksOfDay.objects.update(next_try_at=timezone.now())
    assert compare().verdict == found.verdict.AGREES


def test_altegio_away__could_not_be_checked(salon: Salon) -> None:
    salon.withdraw()
    a_day_goes_by()
    salon.fail("status_500")
    found = compare()
    assert found.verdict == found.verdict.UNCHECKED
    assert "could not be checked: Altegio had an error of its own." in str(found)


@pytest.mark.parametrize("name", ["next_try_at", "checked_at"])
def test_day_that_a_clock_a_year_ahead_wrote__is_compared_now(salon: Salon, name: str) -> None:
    salon.withdraw()
    a_day_goes_by()
    year = timezone.now() + 365 * ONE_DAY
    BooksOfDay.objects.create(location=salon.location, day=yesterday(), **{name: year})
    found = compare()
    assert (found.verdict, found.points) == (found.verdict.AGREES, points(100))


def test_doubt_that_a_clock_a_year_ahead_noted__keeps_no_day_from_being_compared(salon: Salon) -> None:
    salon.fail("cut_before", path="apply_card", times=1)
    operation = salon.withdraw()
    salon.run_to_the_end(operation)
    a_day_goes_by()
    LoyaltyOperation.objects.update(unanswered_at=timezone.now() + 365 * ONE_DAY)
    found = compare()
    assert found.verdict == found.verdict.AGREES, str(found)


@pytest.mark.parametrize(("name", "ahead"), [("next_try_at", books.AGAIN_AFTER), ("checked_at", ONE_DAY * 0)])
def test_day_of_a_machine_whose_clock_is_minutes_ahead__is_not_compared_at_once_again(
    salon: Salon, name: str, ahead: datetime.timedelta
) -> None:
    salon.withdraw()
    a_day_goes_by()
    at = timezone.now() + datetime.timedelta(minutes=9) + ahead
    BooksOfDay.objects.create(location=salon.location, day=yesterday(), **{name: at})
    assert getattr(compare(), name) == at
    assert asked(salon, LIST) == 0


@pytest.mark.parametrize("path", ["", LIST])
def test_list_that_does_not_answer__leaves_the_day_to_be_tried_again(salon: Salon, path: str) -> None:
    salon.withdraw()
    long_ago = timezone.now() - 9 * ONE_DAY
    LoyaltyOperation.objects.update(created_at=long_ago, finished_at=long_ago)
    salon.ledger.withdraw(salon.visit(), salon.card, 70)
    salon.fail("status_500", path=path)
    assert {row.verdict for row in books.check()} == {2}
    salon.sandbox.heal()
    BooksOfDay.objects.update(next_try_at=None)
    assert [item.by_altegio for row in books.check() for item in row.open_items] == [points(70)]


@pytest.mark.parametrize("fault", ["html", "truncated_json"])
def test_list_that_nobody_can_read__is_told_and_tried_again(salon: Salon, fault: str) -> None:
    """A success that shows nothing is no missing right: it may be readable tomorrow, and the visits are read meanwhile."""
    salon.withdraw()
    a_day_goes_by()
    unknown = salon.visit()
    salon.ledger.withdraw(unknown, salon.card, 25)
    salon.fail(fault, path=LIST)
    found = compare()
    assert (found.verdict, found.points, found.visit_count) == (found.verdict.UNCHECKED, points(100), 1)
    assert "nobody can read it" in str(found)
    assert asked(salon, "/visit/details/") == 2  # the withdrawal's own look, and the books'
    BooksOfDay.objects.update(next_try_at=timezone.now())
    compare()
    assert asked(salon, "/visit/details/") == 2  # they were compared already
    salon.sandbox.heal()
    BooksOfDay.objects.update(next_try_at=timezone.now())
    found = compare()
    assert [item.visit_id for item in found.open_items] == [unknown.id]
    assert found.checked_at is not None


def test_list_that_is_refused__is_told_with_the_day(salon: Salon) -> None:
    salon.withdraw()
    a_day_goes_by()
    without_list(salon)
    found = compare()
    assert found.verdict == found.verdict.AGREES
    assert "those that the log does not know were not looked for." in str(found)
    salon.sandbox.heal()
    assert "not looked for" not in str(compare(yesterday()))


def test_effect_older_than_the_list__is_looked_for_on_the_visit(salon: Salon) -> None:
    """A person said of it, days later, that it did not happen."""
    operation = salon.withdraw(amount=50)
    verdict_at = timezone.now() - 5 * ONE_DAY
    LoyaltyOperation.objects.update(
        status="failed",
        ending="decided_did_not_happen",
        applied_amount=None,
        created_at=verdict_at - 7 * ONE_DAY,
        sent_at=verdict_at - 7 * ONE_DAY,
        finished_at=verdict_at,
    )
    [item] = compare(today() - 5 * ONE_DAY).open_items
    assert (item.visit_id, item.by_log, item.by_altegio) == (operation.visit_id, points(0), points(50))


@pytest.mark.usefixtures("way")
def test_promotion_that_a_person_said_happened__is_not_taken_for_one_that_is_there(salon: Salon) -> None:
    operation = salon.later(kind=PROMOTION)
    then = timezone.now() - ONE_DAY
    LoyaltyOperation.objects.update(
        status="succeeded",
        ending="decided_happened",
        created_at=then,
        finished_at=then,
        unanswered_at=then,
        open_key=None,
        next_attempt_at=None,
    )
    found = compare()
    operation.refresh_from_db()
    assert found.open_items or operation.undone_at, str(found)


@pytest.mark.usefixtures("way")
def test_promotion_of_no_money_that_the_log_does_not_know__is_at_odds(salon: Salon) -> None:
    visit = salon.visit()
    salon.withdraw(visit)
    a_day_goes_by()
    salon.ledger.apply_program(visit, salon.card, salon.program)
    for row in visit.rows:
        if row.program_id:
            row.amount = points(0)
    [item] = compare().open_items
    assert (item.program_id, item.by_log, item.by_altegio) == (salon.program.id, points(0), points(1))


def test_item_that_is_found_again__is_one_of_the_day_that_found_it(salon: Salon) -> None:
    salon.withdraw()
    a_day_goes_by()
    salon.ledger.withdraw(salon.visit(), salon.card, 70)
    compare()
    BooksItem.objects.update(closed_at=timezone.now())
    BooksOfDay.objects.update(day=yesterday() - 20 * ONE_DAY)
    found = compare(yesterday())
    assert (found.verdict, [item.books for item in found.open_items]) == (found.verdict.AT_ODDS, [found])


def test_mark_that_a_person_closed__is_no_news_in_the_evening(salon: Salon) -> None:
    visit = salon.visit()
    operation = salon.withdraw(visit, amount=10)
    salon.ledger.withdraw(visit, salon.card, 70)
    a_day_goes_by()
    compare()
    BooksItem.objects.all().delete()
    operation.refresh_from_db()
    services.close_operation(operation, reason="taken by hand")
    assert not compare(yesterday()).open_items
    assert BooksItem.objects.get().reason == "taken by hand"
    salon.ledger.withdraw(visit, salon.card, 5)
    assert compare(yesterday()).open_items


def test_item_that_cannot_be_read__goes_behind_the_others(salon: Salon) -> None:
    salon.withdraw()
    a_day_goes_by()
    salon.ledger.withdraw(salon.visit(), salon.card, 70)
    before = compare().open_items[0].read_at
    salon.fail("status_404", path="/visit/details")
    books.check()
    assert BooksItem.objects.get(closed_at=None).read_at > before


def test_day_that_is_hardly_over__is_not_told_as_unchecked(
    salon: Salon, monkeypatch: pytest.MonkeyPatch
) -> None:
    salon.withdraw()
    a_day_goes_by()
    monkeypatch.setattr(books, "time_to_arrive", lambda: 2 * ONE_DAY)
    assert books.check() == []


def test_trouble_after_the_day_was_asked_for_too_early__is_told(
    salon: Salon, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []

    def receive(books: BooksOfDay, **kwargs: Any) -> None:
        heard.append(str(books))

    salon.withdraw()
    a_day_goes_by()
    signals.books_checked.connect(receive)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(books, "time_to_arrive", lambda: 2 * ONE_DAY)
            compare(yesterday())
        Location.objects.update(is_active=False)
        compare(yesterday())
    finally:
        signals.books_checked.disconnect(receive)
    [told] = heard
    assert "switched off" in told


def test_operation_that_is_not_finished__leaves_the_day_open(salon: Salon) -> None:
    salon.configure(SETTLE_SECONDS=600)
    salon.fail("cut_before", path="apply_card_withdrawal")
    salon.withdraw()
    LoyaltyOperation.objects.update(created_at=timezone.now() - 2 * ONE_DAY)
    found = compare(yesterday() - ONE_DAY)
    assert (found.verdict, found.unread_count) == (found.verdict.UNCHECKED, 1)
    assert "1 visits could not be compared" in str(found)


def test_run_that_was_stopped__goes_on_where_it_was(salon: Salon, monkeypatch: pytest.MonkeyPatch) -> None:
    without_list(salon)
    for _ in range(4):
        salon.withdraw()
    a_day_goes_by()
    real, count = books._Evening._confirmed, 0

    def stopped(self: Any, *arguments: Any) -> Any:
        nonlocal count
        count += 1
        if count == 3:
            raise SoftTimeLimitExceeded
        return real(self, *arguments)

    monkeypatch.setattr(books._Evening, "_confirmed", stopped)
    with pytest.raises(SoftTimeLimitExceeded):
        books.check()
    before = asked(salon, "/visit/details/")
    found = compare()
    assert asked(salon, "/visit/details/") - before == 2
    assert (found.verdict, found.operation_count, found.points) == (found.verdict.AGREES, 4, points(400))


def test_time_that_is_over__ends_the_run_and_the_next_goes_on(salon: Salon) -> None:
    salon.withdraw()
    a_day_goes_by()
    assert "the next run goes on" in str(compare(seconds=0))
    assert compare().verdict == 0


def test_day_that_was_compared__is_not_compared_again(salon: Salon) -> None:
    salon.withdraw()
    a_day_goes_by()
    compare()
    before = len(salon.sandbox.requests)
    compare()
    assert len(salon.sandbox.requests) == before


def test_books__send_nothing(salon: Salon) -> None:
    salon.fail("cut_after", path="apply_card_withdrawal", times=1)
    visit = salon.visit()
    salon.withdraw(visit)
    salon.later()
    before = salon.posts()
    a_day_goes_by()
    tasks.check_books()
    assert salon.posts() == before


def test_books__take_only_what_others_leave(salon: Salon) -> None:
    """Half of the limit in use by whomever, and nothing is asked."""
    salon.withdraw()
    a_day_goes_by()
    salon.configure(REQUESTS_PER_MINUTE=20)
    for _ in range(10):
        throttle.take_turn(for_person=True)
    before = len(salon.sandbox.requests)
    found = compare(seconds=1)
    assert (len(salon.sandbox.requests), found.verdict) == (before, found.verdict.UNCHECKED)


class Meter:
    """So many requests are left for the books, and no process may sleep for more."""

    left = 0

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(throttle, "_missing", self.missing)
        monkeypatch.setattr("time.sleep", self.refuse)

    def missing(self, *arguments: Any) -> tuple[float, str]:
        self.left -= 1
        return (0, "") if self.left >= 0 else (30.0, "{}")

    @staticmethod
    def refuse(seconds: float) -> None:
        raise AssertionError(f"A slot was held to sleep for {seconds} seconds")


@pytest.mark.usefixtures("way")
def test_task__ends_where_no_request_is_left_and_the_next_goes_on(
    salon: Salon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One request at a time, as where others use nearly all: each run is a step further, the list's pages included."""
    for _ in range(3):
        salon.withdraw()
    a_day_goes_by()
    salon.configure(REQUESTS_PER_MINUTE=100)
    meter = Meter(monkeypatch)
    for _ in range(8):
        meter.left = 1
        tasks.check_books()
        if BooksOfDay.objects.filter(checked_at=None).exists():
            assert "the next run goes on" in str(BooksOfDay.objects.get())
    found = BooksOfDay.objects.get()
    assert (found.verdict, found.operation_count, found.points) == (0, 3, points(300))


@pytest.mark.parametrize("left", [0, 100])
def test_what_a_run_left__is_gone_on_with_by_the_sweeps_beat(
    salon: Salon, monkeypatch: pytest.MonkeyPatch, left: int
) -> None:
    """Not only at the next beat of the books' own."""
    salon.withdraw()
    a_day_goes_by()
    published: list[Any] = []
    monkeypatch.setattr(tasks, "_publish", lambda task, *arguments: published.append(task))
    salon.configure(REQUESTS_PER_MINUTE=100)
    with monkeypatch.context() as patch:
        Meter(patch).left = left
        tasks.check_books()
    tasks.retry_due_operations()
    assert published == ([] if left else [tasks.check_books])


def test_command__waits_for_its_turn(salon: Salon, monkeypatch: pytest.MonkeyPatch) -> None:
    salon.withdraw()
    a_day_goes_by()
    salon.configure(REQUESTS_PER_MINUTE=100)
    meter = Meter(monkeypatch)

    def wait(seconds: float) -> None:
        meter.left = 100

    monkeypatch.setattr("time.sleep", wait)
    assert run()[0] == 0


def test_signal__tells_of_each_day_once(salon: Salon) -> None:
    heard: list[BooksOfDay] = []

    def receive(books: BooksOfDay, **kwargs: Any) -> None:
        heard.append(books)

    signals.books_checked.connect(receive)
    try:
        salon.withdraw()
        a_day_goes_by()
        tasks.check_books()
        tasks.check_books()
    finally:
        signals.books_checked.disconnect(receive)
    assert [(row.day, row.verdict) for row in heard] == [(yesterday(), 0)]


def run(*arguments: str) -> tuple[int, str]:
    out, code = StringIO(), 0
    try:
        call_command("check_altegio_books", *arguments, stdout=out)
    except SystemExit as end:
        code = int(str(end.code))
    return code, out.getvalue()


def test_command__ends_with_what_was_found(salon: Salon) -> None:
    visit = salon.visit()
    salon.withdraw(visit)
    a_day_goes_by()
    assert run() == (0, f"Main Street: {BooksOfDay.objects.get()}\n")
    salon.ledger.withdraw(visit, salon.card, 5)
    code, text = run("--day", str(yesterday()), "--location", str(salon.location.pk))
    assert (code, f"visit {visit.id}, card {salon.card.id}: 100 by the log, 105 by Altegio" in text) == (
        1,
        True,
    )
    Location.objects.update(is_active=False)
    BooksItem.objects.all().delete()
    assert run("--day", str(yesterday()))[0] == 2


@pytest.mark.parametrize("arguments", [("--day", "soon"), ("--day", "2026-01-01", "--location", "77")])
@pytest.mark.usefixtures("salon")
def test_command__with_what_is_not_there__could_not_be_checked(arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as raised:
        execute_from_command_line(["manage.py", "check_altegio_books", *arguments])
    assert raised.value.code == 2


def test_day_that_is_not_over__could_not_be_checked(salon: Salon) -> None:
    salon.withdraw()
    found = compare(today())
    assert "The day is not over" in str(found)


def test_kind_of_effect__of_the_other_locations_visit_is_not_told_here(salon: Salon) -> None:
    """A filter that a server drops without a word shows the chain's other locations as well."""
    other = salon.add_location("Side Street")
    salon.withdraw()
    salon.withdraw(salon.visit(location=other), location=other)
    a_day_goes_by()
    here, there = books.check()
    assert (here.visit_count, there.visit_count) == (1, 1)
    assert here.verdict == there.verdict == 0
    assert WITHDRAWAL in {row.kind for row in LoyaltyOperation.objects.all()}


def test_command__for_a_location_that_is_not_there__could_not_be_checked(salon: Salon) -> None:
    with pytest.raises(CommandError) as raised:
        call_command("check_altegio_books", "--location", "999999")
    assert raised.value.returncode == 2


def test_command__ends_with_1_while_an_older_day_is_at_odds(salon: Salon) -> None:
    visit = salon.visit()
    salon.withdraw(visit)
    a_day_goes_by()
    salon.ledger.withdraw(visit, salon.card, 5)
    compare()
    long_ago = timezone.now() - 9 * ONE_DAY
    LoyaltyOperation.objects.update(created_at=long_ago, finished_at=long_ago)
    BooksOfDay.objects.update(day=long_ago.date())
    code, text = run()
    assert (code, f"visit {visit.id}, card" in text) == (1, True)


def test_texts_of_the_list_that_no_database_holds__are_kept_as_far_as_they_are_read(salon: Salon) -> None:
    row = {
        "id": 1,
        "type": {"id": 3, "title": "x"},
        "amount": Decimal("9.50"),
        "card_id": "1\x00\ud800",
        "client": "Jane",
    }
    kept = books._kept({**row, "status_id": [1], "program_id": None})
    assert kept == {
        "id": 1,
        "type_id": 3,
        "amount": Decimal("9.50"),
        "card_id": "1\ufffd\ufffd",
        "status_id": "[1]",
    }
    listing = json.dumps(kept, cls=DjangoJSONEncoder)
    day = BooksOfDay.objects.create(location=salon.location, day=today(), listing=listing)
    day.refresh_from_db()
    assert json.loads(day.listing)["card_id"] == "1\ufffd\ufffd"


@pytest.mark.parametrize(("is_own", "closes"), [(True, True), (False, False)])
def test_a_reading_older_than_the_log__closes_no_item(salon: Salon, is_own: bool, closes: bool) -> None:
    """But for what the reading itself is the answer to."""
    visit = salon.visit()
    operation = salon.withdraw(visit)
    record = visit.record_ids[0]
    details = services.read_visit(salon.location, record_id=record, visit_id=visit.id).details
    assert details
    assert operation.finished_at
    day = BooksOfDay.objects.create(location=salon.location, day=today())
    what = {"location": salon.location, "books": day, "visit_id": visit.id, "card_id": salon.card.id}
    BooksItem.objects.create(**what, by_log=0, by_altegio=100)
    began = operation.finished_at - datetime.timedelta(seconds=1)
    close_agreed(visit.id, details, began, operation.pk if is_own else None)
    assert BooksItem.objects.filter(closed_at=None).exists() is not closes
