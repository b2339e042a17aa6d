"""Visits read from Altegio's lists: what is kept, what is left alone, and that no answer raises."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from altegio_loyalty import services
from altegio_loyalty.models import Location, LoyaltyOperation, Visit
from altegio_loyalty.moments import parse_moment, stored
from altegio_loyalty.sandbox import FAULTS
from altegio_loyalty.services import day as module, reading as services_reading, visit_rows
from tests.delivery.rawserver import RawServer, answer_of
from tests.delivery.salon import Salon, points
from tests.delivery.test_recording import old_charset

pytestmark = pytest.mark.django_db

NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
TODAY = NOW.date()
READABLE = {"string_ids", "bare", "nul_text"}


@pytest.fixture(autouse=True)
def today(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anew for each test: a run may go on past midnight."""
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    monkeypatch.setitem(globals(), "NOW", now)
    monkeypatch.setitem(globals(), "TODAY", now.date())


def record(number: int, **changes: Any) -> dict[str, Any]:
    """An appointment as Altegio lists it, with the visit of the same number and 1000."""
    return {
        "id": number,
        "company_id": 4564,
        "visit_id": number + 1000,
        "client": {"id": 5, "name": "Jane Doe", "phone": "+13155550175"},
        "datetime": NOW.isoformat(),
        "services": [{"id": 1, "cost": 3000, "cost_to_pay": 2500}],
        "goods_transactions": [],
        "deleted": False,
        **changes,
    }


Pages = Callable[[int], Any]


@pytest.fixture
def serving(salon: Salon) -> Any:
    """Point the site at a server that answers each page with what the function says."""
    servers = []

    def serve(pages: Pages) -> RawServer:
        def answer(method: str, path: str, _socket: Any) -> bytes | None:
            page = int(parse_qs(urlsplit(path).query).get("page", ["0"])[0])
            said = pages(page)
            return (
                said
                if isinstance(said, bytes) or said is None
                else answer_of({"success": True, "data": said})
            )

        server = RawServer(answer)
        servers.append(server)
        salon.configure(API_URL=server.url)
        return server

    yield serve
    for server in servers:
        server.__exit__()


def one_page(*rows: Any) -> Pages:
    return lambda page: list(rows) if page == 1 else []


def read(salon: Salon, day: datetime.date | None = None) -> services.DayReading:
    return services.read_day(salon.location, day or TODAY)


def test_a_day_is_in_the_table_after_it_was_read(salon: Salon) -> None:
    there = salon.visit()
    reading = read(salon)
    visit = Visit.objects.get()
    assert (reading.is_finished, reading.error, reading.visit_count) == (True, "", 1)
    assert (visit.pk, visit.record_id, visit.location) == (there.id, there.record_ids[0], salon.location)
    assert (visit.client_name, visit.client_phone) == ("Jane Doe", "+13155550175")
    assert visit.starts_at == there.starts_at.replace(microsecond=0)
    assert visit.due_amount == points(3020)
    assert visit.covered_amount == points(0)
    assert visit.read_at is None


def test_the_list_shows_what_loyalty_covers(salon: Salon) -> None:
    there = salon.visit()
    salon.ledger.withdraw(there, salon.card, 100)
    read(salon)
    assert Visit.objects.get().covered_amount == points(100)
    assert Visit.objects.get().due_amount == points(2920)


def test_a_paid_visit_has_nothing_left_to_pay(salon: Salon) -> None:
    there = salon.visit()
    salon.ledger.pay(there, 3020)
    read(salon)
    assert Visit.objects.get().due_amount == 0


def test_only_the_day_that_was_asked_for_is_read(salon: Salon) -> None:
    salon.ledger.add_visit(salon.location.pk, salon.client, starts_at=NOW + datetime.timedelta(days=1))
    assert read(salon).visit_count == 0
    assert read(salon, TODAY + datetime.timedelta(days=1)).visit_count == 1


def test_the_location_says_when_it_was_read(salon: Salon) -> None:
    read(salon)
    salon.location.refresh_from_db()
    assert salon.location.visits_read_at is not None


def test_another_day_does_not_pass_for_today(salon: Salon) -> None:
    read(salon, TODAY + datetime.timedelta(days=5))
    assert Location.objects.get().visits_read_at is None


def test_a_long_day_is_read_page_by_page(salon: Salon, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three pages, the last of them short."""
    monkeypatch.setattr(module, "PAGE_SIZE", 2)
    for _ in range(5):
        salon.visit()
    reading = read(salon)
    assert (reading.page_count, reading.visit_count, Visit.objects.count()) == (3, 5, 5)


def test_an_empty_page_ends_the_reading(salon: Salon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE_SIZE", 2)
    for _ in range(4):
        salon.visit()
    reading = read(salon)
    assert (reading.page_count, reading.visit_count, reading.error) == (3, 4, "")


def test_a_page_that_repeats_for_ever_ends_the_reading(
    salon: Salon, serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE_SIZE", 2)
    server = serving(lambda page: [record(1), record(2)])
    reading = read(salon)
    assert (reading.is_finished, reading.visit_count, len(server.requests)) == (True, 2, 2)


def capped(total: Any, rows: int = 7, size: int = 3) -> Pages:
    """A server that gives no more than so many rows of a page, whatever it is asked for."""

    def pages(page: int) -> bytes:
        numbers = range(1 + (page - 1) * size, 1 + min(page * size, rows))
        body = {"success": True, "data": [record(number) for number in numbers]}
        return answer_of({**body, "meta": {"page": page, "total_count": total}})

    return pages


@pytest.mark.parametrize(("total", "requests"), [(7, 3), ("7", 3), (None, 4), (0, 4), ("many", 4)])
def test_a_server_that_gives_short_pages_is_read_to_the_end(
    salon: Salon, serving: Any, total: Any, requests: int
) -> None:
    """As many as it says there are, or where it does not say, until it has no more."""
    server = serving(capped(total))
    reading = read(salon)
    assert (reading.visit_count, reading.error, len(server.requests)) == (7, "", requests)
    assert Location.objects.get().visits_read_at is not None


@pytest.mark.parametrize("size", [50, 25])
def test_a_number_that_counts_the_rows_of_each_page_is_not_the_days(
    salon: Salon, serving: Any, size: int
) -> None:
    serving(lambda page: capped(size if page < 3 else 20, rows=2 * size + 20, size=size)(page))
    assert read(salon).visit_count == 2 * size + 20


def test_a_day_that_is_not_shown_whole_says_so_and_takes_no_time_away(salon: Salon, serving: Any) -> None:
    serving(capped(7))
    read(salon)
    Location.objects.update(visits_read_at=None)
    serving(capped(7, rows=3))
    reading = read(salon)
    assert "only 3 of the 7 appointments" in reading.error
    assert reading.is_finished
    assert not Visit.objects.filter(starts_at=None).exists()
    assert Location.objects.get().visits_read_at is None


def test_a_known_day_is_not_emptied_by_one_empty_answer(salon: Salon, serving: Any) -> None:
    serving(one_page(record(1), record(2)))
    read(salon)
    answers: list[Any] = [[]]
    serving(lambda page: answers.pop() if answers else [record(1), record(2)])
    reading = read(salon)
    assert (reading.visit_count, reading.error) == (2, "")
    assert not Visit.objects.filter(starts_at=None).exists()


def test_a_day_that_is_empty_at_a_second_look_is_empty(salon: Salon, serving: Any) -> None:
    serving(one_page(record(1)))
    read(salon)
    server = serving(one_page())
    reading = services.DayReading(salon.location, TODAY)
    reading.read_next_page()
    assert not reading.is_finished
    reading.read_next_page()
    assert (reading.is_finished, reading.changed_count, len(server.requests)) == (True, 1, 2)
    assert Visit.objects.get().starts_at is None


def test_an_empty_day_that_was_empty_is_asked_for_once(salon: Salon, serving: Any) -> None:
    server = serving(one_page())
    assert read(salon).is_finished
    assert len(server.requests) == 1


def test_a_list_that_never_ends_is_left(salon: Salon, serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE_SIZE", 1)
    monkeypatch.setattr(module, "MOST_PAGES", 5)
    server = serving(lambda page: [record(page)])
    reading = read(salon)
    assert len(server.requests) == 5
    assert Visit.objects.count() == 5
    assert "more appointments" in reading.error
    assert Location.objects.get().visits_read_at is None


def test_a_limit_in_the_middle_keeps_what_was_read(
    salon: Salon, serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says why it ended, and does not pass for a reading of the whole day."""
    monkeypatch.setattr(module, "PAGE_SIZE", 1)
    limit = answer_of({"success": False, "meta": {"message": "Request limit exceeded"}}, 429)
    serving(lambda page: [record(1)] if page == 1 else limit)
    reading = read(salon)
    assert (reading.is_finished, reading.visit_count) == (True, 1)
    assert "limit" in reading.error
    assert Visit.objects.count() == 1
    assert Location.objects.get().visits_read_at is None


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_no_answer_raises(salon: Salon, fault: str) -> None:
    """A day that cannot be read is a reading with an error, never an empty day."""
    salon.visit()
    salon.fail(fault)
    reading = read(salon)
    assert reading.is_finished
    if fault in READABLE:
        assert (reading.error, reading.visit_count) == ("", 1)
    else:
        assert reading.error
        assert Location.objects.get().visits_read_at is None


def test_altegio_down_is_an_error_that_says_so(salon: Salon) -> None:
    salon.sandbox.stop()
    assert read(salon).error
    assert services.fetch_visit(salon.location, 5).error


def test_a_location_that_is_switched_off_is_not_asked(salon: Salon) -> None:
    salon.location.is_active = False
    assert "switched off" in read(salon).error
    assert "switched off" in services.fetch_visit(salon.location, 5).error
    assert salon.sandbox.requests == []


def test_refused_tokens_pause_the_location(salon: Salon) -> None:
    salon.sandbox.rotate_tokens()
    assert read(salon).error
    assert Location.objects.get().is_paused


ODD = {
    "strings for ids": record(1, id="1", visit_id="1001", company_id="4564", client={"id": "5", "name": "A"}),
    "no client": record(1, client=None),
    "an empty list for a client": record(1, client=[]),
    "no word of a client": {key: value for key, value in record(1).items() if key != "client"},
    "no time": record(1, datetime=None),
    "a nonsense time": record(1, datetime="soon"),
    "a time before all times": record(1, datetime="0001-01-01T00:00:00+14:00"),
    "an offset without a colon": record(1, datetime=NOW.strftime("%Y-%m-%dT%H:%M:%S+0000")),
    "no location": record(1, company_id=None),
    "no lines": {key: value for key, value in record(1).items() if key != "services"},
    "prices of nothing": record(1, services=[{"cost": "much"}]),
    "lines of nothing": record(1, services=["x", 5]),
    "a price beyond all": record(1, services=[{"cost": 9999999999.99}, {"cost": 9999999999.99}]),
    "a price below nothing": record(1, services=[{"cost": -5}]),
    "NUL in a name": record(1, client={"id": 5, "name": "Ja\x00ne\ud800", "phone": "\x00"}),
    "an endless name": record(1, client={"id": 5, "name": "J" * 5000, "phone": "1" * 5000}),
    "a number for a phone": record(1, client={"id": 5, "name": None, "phone": 13155550175}),
    "true for deleted is not": record(1, deleted=0),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_record_is_a_visit(salon: Salon, serving: Any, name: str) -> None:
    serving(one_page(ODD[name]))
    reading = read(salon)
    assert (reading.error, reading.visit_count, reading.skipped_count) == ("", 1, 0)
    assert Visit.objects.get().pk == 1001


UNUSABLE = {
    "no visit": record(1, visit_id=0),
    "a visit of null": record(1, visit_id=None),
    "no id": record(1, id=0),
    "a text for an id": record(1, id="one"),
    "an id beyond all": record(1, visit_id=2**70),
    "another location's": record(1, company_id=99),
    "no object": "record",
    "nothing": None,
    "a list": [1, 2],
    "a client of text": record(1, client="Jane"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_record_that_is_none_of_ours_hides_no_other(salon: Salon, serving: Any, name: str) -> None:
    serving(one_page(UNUSABLE[name], record(2)))
    reading = read(salon)
    assert (reading.error, reading.skipped_count) == ("", 1)
    assert [visit.pk for visit in Visit.objects.all()] == [1002]


@pytest.mark.parametrize("deleted", [True, 1, "1"])
def test_deleted_records_are_left_out(salon: Salon, serving: Any, deleted: Any) -> None:
    serving(one_page(record(1, deleted=deleted), record(2)))
    assert read(salon).visit_count == 1


def test_a_list_of_nothing_readable_is_an_error(salon: Salon, serving: Any) -> None:
    serving(one_page("a", "b"))
    assert read(salon).error


@pytest.mark.parametrize("keyed", [False, True])
def test_a_page_out_of_all_proportion_is_unreadable__and_nothing_of_it_is_kept(
    salon: Salon, serving: Any, monkeypatch: pytest.MonkeyPatch, keyed: bool
) -> None:
    monkeypatch.setattr(module, "PAGE_SIZE", 2)
    rows = [record(number) for number in range(1, 22)]
    serving(lambda page: {str(row["id"]): row for row in rows} if keyed else rows)
    reading = read(salon)
    assert reading.error == "Altegio's answer could not be read: 2 rows were asked for, and it has 21."
    assert not Visit.objects.exists()
    assert Location.objects.get().visits_read_at is None


def test_a_page_out_of_all_proportion__leaves_the_pages_before_it(
    salon: Salon, serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE_SIZE", 2)
    serving(lambda page: [record(number) for number in range(1, 3 if page == 1 else 22)])
    assert read(salon).error
    assert Visit.objects.count() == 2


def test_a_server_that_knows_no_pages_gives_the_whole_day_at_once(
    salon: Salon, serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE_SIZE", 2)
    serving(lambda page: [record(number) for number in range(1, 21)])
    reading = read(salon)
    assert (reading.visit_count, reading.error) == (20, "")


def test_long_pages_do_not_make_a_day_without_end(
    salon: Salon, serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows of a day are bounded too, and not only its pages."""
    monkeypatch.setattr(module, "PAGE_SIZE", 2)
    monkeypatch.setattr(module, "MOST_PAGES", 5)
    serving(lambda page: [record(number) for number in range(page * 20, page * 20 + 20)])
    assert read(salon).error.startswith("Altegio shows more appointments")
    assert Visit.objects.count() == 20


def test_several_records_of_a_visit_are_one_row(salon: Salon, serving: Any) -> None:
    """With the first appointment's number, and all that is to be paid."""
    serving(one_page(record(1), record(2, visit_id=1001), record(1)))
    read(salon)
    visit = Visit.objects.get()
    assert (visit.pk, visit.record_id, visit.due_amount) == (1001, 1, points(5000))


def test_a_visit_across_two_pages_is_summed_up(
    salon: Salon, serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE_SIZE", 1)
    other = {"id": 9, "name": "Somebody else"}
    pages = {1: [record(1)], 2: [record(2, visit_id=1001, client=other)]}
    serving(lambda page: pages.get(page, []))
    read(salon)
    visit = Visit.objects.get()
    assert (visit.record_id, visit.client_name, visit.due_amount) == (1, "Jane Doe", points(5000))


def test_a_visit_of_another_location_is_never_moved(salon: Salon, serving: Any) -> None:
    other = salon.add_location("Harbour")
    Visit.objects.create(id=1001, location=other, record_id=7, client_name="Theirs")
    serving(one_page(record(1), record(2)))
    reading = read(salon)
    theirs = Visit.objects.get(pk=1001)
    assert (theirs.location, theirs.client_name, theirs.record_id) == (other, "Theirs", 7)
    assert (reading.visit_count, reading.skipped_count) == (1, 1)


def test_reading_again_changes_what_changed(salon: Salon, serving: Any) -> None:
    later = NOW + datetime.timedelta(minutes=5)
    serving(one_page(record(1)))
    read(salon)
    serving(one_page(record(1, client={"id": 6, "name": "Ann"}, datetime=later.isoformat())))
    reading = read(salon)
    visit = Visit.objects.get()
    assert (visit.client_id, visit.client_name, visit.client_phone) == (6, "Ann", "")
    assert visit.starts_at == later
    assert (reading.new_count, reading.changed_count) == (0, 1)


def test_reading_the_same_again_writes_nothing(salon: Salon, serving: Any) -> None:
    serving(one_page(record(1), record(2)))
    read(salon)
    reading = read(salon)
    assert (reading.new_count, reading.changed_count) == (0, 0)


@pytest.mark.mariadb
@pytest.mark.django_db(transaction=True)
def test_an_emoji_in_a_name_takes_no_day_away_where_the_tables_are_old(salon: Salon, serving: Any) -> None:
    smile = {"id": 5, "name": "Маша \N{GRINNING FACE}", "phone": "+13155550175"}
    shown = [record(1), record(2)]
    serving(lambda page: shown)
    with old_charset("visit"):
        assert services.read_day(salon.location, TODAY).visit_count == 2
        shown[:] = [record(1, client=smile), record(2), record(3, client=smile)]
        reading = services.read_day(salon.location, TODAY)
        assert (reading.error, reading.visit_count) == ("", 3)
        names = list(Visit.objects.order_by("pk").values_list("client_name", flat=True))
    assert [name.rstrip("?") for name in names] == ["Маша ", "Jane Doe", "Маша "]


@pytest.mark.mariadb
@pytest.mark.django_db(transaction=True)
def test_an_emoji_in_a_name_that_was_found_breaks_no_page(salon: Salon) -> None:
    salon.client.name = "Маша \N{GRINNING FACE}"
    there = salon.visit()
    row = Visit.objects.create(id=there.id, location=salon.location, record_id=there.record_ids[0])
    with old_charset("visit"):
        assert services.find_client(row) == ""
        row.refresh_from_db()
    assert (row.client_id, row.client_name) == (salon.client.id, "Маша ?")


def test_a_phone_that_altegio_hides_is_not_forgotten(salon: Salon, serving: Any) -> None:
    serving(one_page(record(1)))
    read(salon)
    serving(one_page(record(1, client={"id": 5, "name": "Jane Doe", "phone": ""}, datetime=None)))
    read(salon)
    assert Visit.objects.get().client_phone == "+13155550175"
    assert Visit.objects.get().starts_at == NOW


def test_a_visit_that_left_the_day_has_no_time_any_more(salon: Salon, serving: Any) -> None:
    """It was moved or cancelled in Altegio: no day lists it, its row and its log stay."""
    serving(one_page(record(1), record(2)))
    read(salon)
    serving(one_page(record(2)))
    read(salon)
    assert Visit.objects.get(pk=1001).starts_at is None
    assert Visit.objects.get(pk=1002).starts_at == NOW


def test_visits_of_other_days_and_locations_keep_their_time(salon: Salon, serving: Any) -> None:
    tomorrow = NOW + datetime.timedelta(days=1)
    other = salon.add_location("Harbour")
    Visit.objects.create(id=1, location=salon.location, record_id=1, starts_at=tomorrow)
    Visit.objects.create(id=2, location=other, record_id=1, starts_at=NOW)
    serving(one_page())
    read(salon)
    assert not Visit.objects.filter(starts_at=None).exists()


def test_a_reading_that_ended_early_takes_no_time_away(salon: Salon) -> None:
    Visit.objects.create(id=1, location=salon.location, record_id=1, starts_at=NOW)
    salon.sandbox.stop()
    read(salon)
    assert Visit.objects.get().starts_at == NOW


def test_the_day_is_the_locations_own(salon: Salon) -> None:
    """Late in Tokyo it is still the day before here: neither side of midnight is lost or taken away."""
    tokyo = salon.ledger.add_location(title="Tokyo", timezone="Asia/Tokyo")
    tokens = {"partner_token": salon.sandbox.partner_token, "user_token": salon.sandbox.user_token}
    location = Location.objects.create(id=tokyo.id, title="Tokyo", **tokens)
    day = datetime.date(2026, 9, 24)
    moments = [
        datetime.datetime(2026, 9, 23, 15, 30, tzinfo=datetime.UTC),
        datetime.datetime(2026, 9, 24, 14, 0, tzinfo=datetime.UTC),
    ]
    for moment in moments:
        salon.ledger.add_visit(tokyo, salon.client, starts_at=moment)
    Visit.objects.create(
        id=5, location=location, record_id=5, starts_at=moments[1] + datetime.timedelta(hours=2)
    )
    assert services.read_day(location, day).visit_count == 2
    assert Visit.objects.filter(starts_at__in=moments).count() == 2
    assert Visit.objects.get(pk=5).starts_at is not None


def exact(salon: Salon, read_at: datetime.datetime, pk: int = 1001) -> Visit:
    figures = {"due_amount": 10, "covered_amount": 20, "read_at": read_at}
    return Visit.objects.create(id=pk, location=salon.location, record_id=1, starts_at=NOW, **figures)


def test_an_exact_reading_is_not_overwritten(salon: Salon, serving: Any) -> None:
    """The visit's own page knows of products and payments, the list does not."""
    exact(salon, timezone.now())
    serving(one_page(record(1, last_change_date="2022-11-02T12:22:23+0400")))
    read(salon)
    visit = Visit.objects.get()
    assert (visit.due_amount, visit.covered_amount) == (points(10), points(20))
    assert visit.read_at is not None
    assert visit.client_name == "Jane Doe"


def test_an_exact_reading_before_a_change_is_overwritten(salon: Salon, serving: Any) -> None:
    exact(salon, timezone.now() - datetime.timedelta(hours=1))
    changed_at = timezone.now() - datetime.timedelta(minutes=5)
    serving(one_page(record(1, last_change_date=changed_at.isoformat())))
    read(salon)
    visit = Visit.objects.get()
    assert (visit.due_amount, visit.covered_amount, visit.read_at) == (points(2500), points(500), None)


def test_a_change_in_the_future_is_none(salon: Salon, serving: Any) -> None:
    exact(salon, timezone.now())
    serving(one_page(record(1, last_change_date=(NOW + datetime.timedelta(hours=3)).isoformat())))
    read(salon)
    assert Visit.objects.get().due_amount == 10


def test_an_exact_reading_before_our_own_operation_is_overwritten(salon: Salon, serving: Any) -> None:
    visit = exact(salon, timezone.now() - datetime.timedelta(hours=1))
    LoyaltyOperation.objects.create(
        kind="apply_card_withdrawal",
        location=salon.location,
        visit=visit,
        record_id=1,
        card_id=1,
        amount=5,
        status="succeeded",
        idempotency_key=uuid.uuid4().hex,
        finished_at=timezone.now(),
    )
    serving(one_page(record(1)))
    read(salon)
    assert Visit.objects.get().due_amount == points(2500)


def test_an_exact_reading_made_meanwhile_wins(salon: Salon, serving: Any) -> None:
    """Somebody opened the visit's page while the list was on its way: the list, asked earlier, does not undo that."""
    exact(salon, timezone.now() - datetime.timedelta(hours=1))

    def answer(page: int) -> Any:
        changed_at = timezone.now() - datetime.timedelta(minutes=5)
        return [record(1, last_change_date=changed_at.isoformat())]

    serving(answer)
    reading = services.DayReading(salon.location, TODAY)
    original = visit_rows._still_exact

    def opened_meanwhile(visits: Any, changes: Any, asked_at: Any, zone: Any) -> set[int]:
        found = original(visits, changes, asked_at, zone)
        Visit.objects.update(due_amount=77, read_at=timezone.now())
        return found

    visit_rows._still_exact = opened_meanwhile
    try:
        reading.read_next_page()
    finally:
        visit_rows._still_exact = original
    assert Visit.objects.get().due_amount == 77


def test_keep_figures(salon: Salon) -> None:
    """What the visit's page has read is what the list shows from then on."""
    there = salon.visit()
    salon.ledger.pay(there, 20)
    read(salon)
    visit = Visit.objects.get()
    details = services.read_visit(salon.location, visit_id=visit.pk, record_id=visit.record_id).details
    assert details is not None
    services.keep_figures(visit.pk, details)
    visit.refresh_from_db()
    assert (visit.due_amount, visit.covered_amount) == (points(3000), points(0))
    assert visit.read_at is not None


def test_keep_figures__replaces_what_a_clock_read_that_was_put_back_since(salon: Salon) -> None:
    salon.visit()
    read(salon)
    visit = Visit.objects.get()
    Visit.objects.update(read_at=timezone.now() + datetime.timedelta(days=365), due_amount=1)
    reading = services.read_visit(salon.location, visit_id=visit.pk, record_id=visit.record_id)
    assert reading.details is not None
    services.keep_figures(visit.pk, reading.details, reading.read_at)
    visit.refresh_from_db()
    assert (visit.due_amount, visit.read_at) == (points(3020), reading.read_at)


def test_list_of_the_day__replaces_figures_that_a_clock_read_that_was_put_back_since(salon: Salon) -> None:
    salon.visit()
    read(salon)
    Visit.objects.update(read_at=timezone.now() + datetime.timedelta(days=365), due_amount=1)
    read(salon)
    assert Visit.objects.get().due_amount == points(3020)


def test_keep_figures__leaves_what_a_machine_wrote_whose_clock_is_minutes_ahead(salon: Salon) -> None:
    salon.visit()
    read(salon)
    visit, ahead = Visit.objects.get(), timezone.now() + datetime.timedelta(minutes=9)
    reading = services.read_visit(salon.location, visit_id=visit.pk, record_id=visit.record_id)
    Visit.objects.update(read_at=ahead, due_amount=1)
    assert reading.details is not None
    services.keep_figures(visit.pk, reading.details, reading.read_at)
    visit.refresh_from_db()
    assert (visit.due_amount, visit.read_at) == (points(1), ahead)


def test_keep_figures__leaves_what_was_answered_since_the_reading_began(salon: Salon) -> None:
    there = salon.visit()
    read(salon)
    visit = Visit.objects.get()
    reading = services.read_visit(salon.location, visit_id=visit.pk, record_id=visit.record_id)
    salon.withdraw(there)
    answered = Visit.objects.get()
    assert reading.details is not None
    services.keep_figures(visit.pk, reading.details, reading.read_at)
    visit.refresh_from_db()
    assert (visit.due_amount, visit.read_at) == (answered.due_amount, answered.read_at)
    assert visit.due_amount != reading.details.left_to_pay


def test_cards_that_cannot_be_read__leave_what_was_answered_meanwhile(
    salon: Salon, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = salon.visit()
    read(salon)
    visit = Visit.objects.select_related("location").get()

    def withdrawn_meanwhile(*args: Any) -> Any:
        salon.withdraw(there)
        return services.CardsReading(error="away")

    monkeypatch.setattr(services_reading, "_read_cards_of", withdrawn_meanwhile)
    services_reading.read_for_screen(visit)
    operation = LoyaltyOperation.objects.get()
    visit.refresh_from_db()
    assert operation.applied_amount is not None
    assert visit.covered_amount == operation.applied_amount


def test_a_page_costs_the_same_however_long_it_is(salon: Salon, serving: Any) -> None:
    counts = []
    for size in (2, 90):
        serving(one_page(*[record(number) for number in range(1, size + 1)]))
        read(salon)
        serving(one_page(*[record(n, client={"id": size, "name": str(n)}) for n in range(1, size + 1)]))
        with CaptureQueriesContext(
            connection,
        ) as queries:
            read(salon)
        counts.append(len(queries))
    assert counts[1] <= counts[0] + 2  # SQLite takes a limited number of values in one statement
    assert counts[1] < 15


def test_a_reading_stops_after_the_seconds_given(salon: Salon) -> None:
    reading = services.read_day(salon.location, TODAY, seconds=0)
    assert (reading.is_finished, reading.error, salon.sandbox.requests) == (False, "", [])


# One visit by its number


def test_a_visit_is_fetched_by_its_number(salon: Salon) -> None:
    there = salon.visit()
    fetch = services.fetch_visit(salon.location, there.id)
    assert fetch.error == ""
    assert fetch.visit == Visit.objects.get()
    assert fetch.visit.record_id == there.record_ids[0]
    assert fetch.visit.client_name == "Jane Doe"


def test_an_unknown_number_is_told_in_plain_words(salon: Salon) -> None:
    assert services.fetch_visit(salon.location, 4711).error == "There is no visit 4711 in this location."
    assert not Visit.objects.exists()


@pytest.mark.parametrize("number", ["118389447", 0, -1, True, 1.0, None, 2**63])
def test_what_is_no_number_of_a_visit_is_not_asked_for(salon: Salon, number: Any) -> None:
    """Asked for as a text, a visit that is there would be said to be unknown."""
    with pytest.raises(ValidationError):
        services.fetch_visit(salon.location, number)
    assert salon.sandbox.requests == []


def test_a_visit_of_another_location_is_refused(salon: Salon) -> None:
    """The tokens may see both locations; nothing of the other one's visit is kept or told, not even that it is there."""
    other = salon.add_location("Harbour")
    there = salon.visit(location=other)
    fetch = services.fetch_visit(salon.location, there.id)
    assert fetch.visit is None
    assert fetch.error == f"There is no visit {there.id} in this location."
    assert not Visit.objects.exists()


@pytest.mark.parametrize("fault", ["", "cut_before"])
def test_a_visit_known_as_another_locations_is_told_as_one_that_is_not_there(
    salon: Salon, fault: str
) -> None:
    """Also while Altegio is away, when a number that our table answers for would stand out."""
    other = salon.add_location("Harbour")
    there = salon.visit(location=other)
    Visit.objects.create(id=there.id, location=other, record_id=1)
    if fault:
        salon.fail(fault)
    known, unknown = (services.fetch_visit(salon.location, number) for number in (there.id, 4711))
    assert known.visit is unknown.visit is None
    assert known.error.replace(str(there.id), "4711") == unknown.error


def test_a_visit_that_altegio_moved_is_found_by_its_number_where_it_is_now(salon: Salon) -> None:
    """As long as it was the old location's here, nothing could be asked for on it."""
    there = salon.visit()
    Visit.objects.create(id=there.id, location=salon.add_location("Harbour"), record_id=1)
    assert services.fetch_visit(salon.location, there.id).visit is not None
    moved = Visit.objects.get()
    assert (moved.location, moved.record_id) == (salon.location, there.record_id)


def test_a_visit_that_left_a_deleted_appointment_elsewhere_is_found_where_it_is_now(
    salon: Salon, serving: Any
) -> None:
    left = record(77, visit_id=1001, company_id=9, deleted=True)
    serving(lambda page: {"records": [left, record(2, visit_id=1001)]})
    found = services.fetch_visit(salon.location, 1001).visit
    assert found is not None
    assert found.record_id == 2


def test_a_visit_that_altegio_moved_stays_while_something_is_open_on_it(salon: Salon) -> None:
    """What is under way was asked for in the old location, and is looked up there."""
    there, harbour = salon.visit(), salon.add_location("Harbour")
    visit = Visit.objects.create(id=there.id, location=harbour, record_id=1)
    who = {"visit": visit, "record_id": 1, "card_id": 1, "status": "unconfirmed", "idempotency_key": "a"}
    LoyaltyOperation.objects.create(kind="apply_card_withdrawal", location=harbour, amount=1, **who)
    assert services.fetch_visit(salon.location, there.id).visit is None
    assert Visit.objects.get().location == harbour


ANSWERS: dict[str, Any] = {
    "no records": {"records": []},
    "no word of records": {},
    "a list": [],
    "no location": {"records": [record(1, company_id=None)]},
    "one of another location": {"records": [record(1), record(2, company_id=9)]},
    "another visit's": {"records": [record(1, visit_id=55)]},
    "deleted": {"records": [record(1, deleted=True)]},
    "a text": "x",
    "records of text": {"records": "x"},
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_odd_answer_fetches_nothing(salon: Salon, serving: Any, name: str) -> None:
    serving(lambda page: ANSWERS[name])
    fetch = services.fetch_visit(salon.location, 1001)
    assert fetch.visit is None
    assert fetch.error
    assert not Visit.objects.exists()


def test_fetching_again_repairs_the_appointments_number(salon: Salon, serving: Any) -> None:
    """The appointment that the row names was deleted; another one of the visit is there."""
    Visit.objects.create(id=1001, location=salon.location, record_id=77)
    serving(lambda page: {"records": [record(77, visit_id=1001, deleted=True), record(2, visit_id=1001)]})
    fetch = services.fetch_visit(salon.location, 1001)
    assert fetch.visit is not None
    assert Visit.objects.get().record_id == 2


# Times


@pytest.mark.parametrize(
    "text",
    [
        "2026-09-24T17:00:00+05:00", "2026-09-24T17:00:00+0500", "2026-09-24T12:00:00Z",
        "2026-09-24T12:00:00.000Z", "2026-09-24 12:00:00", "2026-09-24T12:00",
    ],
)  # fmt: skip
def test_every_spelling_of_a_time_is_understood(text: str) -> None:
    assert stored(parse_moment(text)) == datetime.datetime(2026, 9, 24, 12, tzinfo=datetime.UTC)


def test_an_hour_may_lack_its_zero() -> None:
    assert stored(parse_moment("2026-09-24 9:00:00")) == datetime.datetime(
        2026, 9, 24, 9, tzinfo=datetime.UTC
    )


@pytest.mark.parametrize(
    "text", ["", "soon", "2026-09-24", "0", "99:99", "2026-13-40T10:00:00", "9999-12-31T23:59:59-14:00"]
)
def test_what_is_no_time_is_none(text: str) -> None:
    assert parse_moment(text) is None


def test_without_time_zones_times_are_the_sites_own(salon: Salon, settings: Any) -> None:
    settings.USE_TZ, settings.TIME_ZONE = False, "Asia/Tokyo"
    moment = parse_moment("2026-09-24T12:00:00Z")
    assert stored(moment) == datetime.datetime(2026, 9, 24, 21)  # noqa: DTZ001


def test_a_day_is_read_with_time_zones_off(salon: Salon, serving: Any, settings: Any) -> None:
    settings.USE_TZ = False
    serving(one_page(record(1, last_change_date=NOW.isoformat())))
    assert read(salon).error == ""
    starts_at = Visit.objects.get().starts_at
    assert starts_at is not None
    assert timezone.is_naive(starts_at)


def test_a_day_with_a_row_that_cannot_be_read_loses_no_visit(salon: Salon, serving: Any) -> None:
    """That row may be the very visit that seems to be gone."""
    serving(one_page(record(1), record(2)))
    read(salon)
    serving(one_page(record(2), "not an appointment"))
    read(salon)
    assert Visit.objects.get(pk=1001).starts_at == NOW


@pytest.mark.django_db(transaction=True)
def test_a_visit_that_came_while_the_day_was_read_keeps_its_time(salon: Salon, serving: Any) -> None:
    """Somebody fetched it by its number after the list was made."""

    def pages(page: int) -> Any:
        Visit.objects.get_or_create(id=7, location=salon.location, record_id=7, starts_at=NOW)
        connections.close_all()
        return [record(2)]

    serving(pages)
    read(salon)
    assert Visit.objects.get(pk=7).starts_at == NOW


def test_a_visit_that_came_back_to_the_day_has_its_time_again(salon: Salon, serving: Any) -> None:
    serving(one_page(record(1), record(2)))
    read(salon)
    serving(one_page(record(2)))
    read(salon)
    serving(one_page(record(1), record(2)))
    read(salon)
    assert Visit.objects.get(pk=1001).starts_at == NOW
