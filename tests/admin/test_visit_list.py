"""The list of visits: today's first, read from Altegio when asked, found by whatever a person knows, only one's own."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.db.models.signals import post_init
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from altegio_loyalty.admin.desk import day_panel, filters
from altegio_loyalty.admin.desk.visits import VisitAdmin
from altegio_loyalty.models import Location, LocationAccess, LoyaltyOperation, Visit
from altegio_loyalty.sandbox import FAULTS
from tests.delivery.rawserver import RawServer, answer_of
from tests.delivery.salon import Salon

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "admin:altegio_loyalty_visit_changelist"
SignIn = Callable[..., Client]


@pytest.fixture
def desk(sign_in: SignIn) -> Client:
    return sign_in("view_visit", "view_loyaltyoperation", username="desk")


@pytest.fixture
def other(salon: Salon) -> Location:
    """A second location."""
    return salon.add_location("Harbour")


@pytest.fixture
def bound(sign_in: SignIn, salon: Salon, other: Location) -> Client:
    """A browser of somebody who was given the first location only."""
    client = sign_in("view_visit", username="bound")
    LocationAccess.objects.create(location=salon.location, user=User.objects.get(username="bound"))
    return client


def noon(days: int = 0) -> datetime.datetime:
    return timezone.localtime().replace(hour=12, minute=0, second=0, microsecond=0) + datetime.timedelta(
        days=days
    )


_numbers = iter(range(500_001, 900_000))


def known(location: Location, name: str = "Jane Doe", **columns: Any) -> Visit:
    """A visit in our own table that was never read from the sandbox."""
    number = columns.pop("id", None) or next(_numbers)
    values = {"record_id": number + 1_000_000, "client_name": name, "starts_at": noon(), **columns}
    return Visit.objects.create(id=number, location=location, **values)


def url(name: str) -> str:
    return reverse(f"admin:altegio_loyalty_visit_{name}")


def text_of(client: Client, **query: Any) -> str:
    response = client.get(reverse(LIST), query)
    assert response.status_code == 200
    return response.content.decode()


def names(client: Client, **query: Any) -> list[str]:
    """The clients of the rows, in order."""
    response = client.get(reverse(LIST), query)
    assert response.status_code == 200
    return [visit.client_name for visit in response.context["cl"].result_list]


def refresh(client: Client, *locations: Location, **more: Any) -> Any:
    data = {"day": timezone.localdate().isoformat(), "location": [place.pk for place in locations], **more}
    return client.post(url("refresh"), data, follow=True)


def step(client: Client, location: Location, **more: Any) -> Any:
    """As the list's script asks for it."""
    data = {"day": timezone.localdate().isoformat(), "location": location.pk, **more}
    return client.post(url("refresh"), data, headers={"Accept": "application/json"})


def find(client: Client, typed: Any, **more: Any) -> Any:
    return client.post(url("find"), {"q": typed, **more}, follow=True)


def messages_of(response: Any) -> list[str]:
    return [str(message) for message in response.context["messages"]]


# The day


def test_todays_visits_come_first(salon: Salon, desk: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a word in the address the list is today's, by time."""
    monkeypatch.setattr(filters, "STILL_HERE", datetime.timedelta(days=1))  # at whatever hour this runs
    known(salon.location, "Late", starts_at=noon() + datetime.timedelta(hours=2))
    known(salon.location, "Early", starts_at=noon() - datetime.timedelta(hours=2))
    known(salon.location, "Tomorrow", starts_at=noon(1))
    known(salon.location, "Yesterday", starts_at=noon(-1))
    known(salon.location, "No time", starts_at=None)
    assert names(desk) == ["Early", "Late"]


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        ("today", {"0"}),
        ("yesterday", {"-1"}),
        ("tomorrow", {"1"}),
        ("week", {"0", "-1", "-6"}),
        ("all", {"0", "1", "-1", "-6", "-40"}),
        ("nonsense", {"0"}),
        ("9999-99-99", {"0"}),
        ("0001-01-01", {"0"}),
    ],
)
def test_another_day_can_be_chosen(salon: Salon, desk: Client, day: str, expected: set[str]) -> None:
    for days in (0, 1, -1, -6, -40):
        known(salon.location, str(days), starts_at=noon(days))
    assert set(names(desk, day=day)) == expected


def test_any_date_can_be_chosen(salon: Salon, desk: Client) -> None:
    known(salon.location, "Then", starts_at=noon(-40))
    assert names(desk, day=noon(-40).date().isoformat()) == ["Then"]


def test_a_search_looks_at_all_days(salon: Salon, desk: Client) -> None:
    known(salon.location, "Jane Tomorrow", starts_at=noon(1))
    assert names(desk, q="jane") == ["Jane Tomorrow"]
    assert names(desk, q="jane", day="today") == []


# Finding


@pytest.mark.parametrize("term", ["jane", "MILLER", "jane miller", "miller jane", " Jane  "])
def test_a_visit_is_found_by_name(salon: Salon, desk: Client, term: str) -> None:
    known(salon.location, "Jane Miller")
    known(salon.location, "Somebody else")
    assert names(desk, q=term) == ["Jane Miller"]


def test_a_name_is_found_in_any_case_and_script(salon: Salon, desk: Client) -> None:
    known(salon.location, "Анна Петрова")
    assert names(desk, q="анна") == ["Анна Петрова"]


def test_a_visit_is_found_by_its_own_and_its_appointments_number(salon: Salon, desk: Client) -> None:
    visit = known(salon.location, "Jane")
    known(salon.location, "Somebody else")
    assert names(desk, q=visit.pk) == names(desk, q=visit.record_id) == ["Jane"]


def test_no_phone_stands_in_the_list(salon: Salon, sign_in: SignIn) -> None:
    known(salon.location, "Jane", client_phone="+13155550175")
    assert "5550175" not in text_of(sign_in("view_visit", "view_client_phone"))


@pytest.mark.parametrize(
    "term", ["\x00", "'", "%", "９", "0" * 60, "9" * 19, "a " * 300, "<script>", "-", "+"]
)
def test_every_search_has_an_answer(salon: Salon, desk: Client, term: str) -> None:
    known(salon.location)
    assert "<script>alert" not in text_of(desk, q=term)


def test_texts_of_altegio_are_escaped(salon: Salon, desk: Client) -> None:
    Location.objects.update(title="<script>alert(2)</script>", refused_at=timezone.now())
    known(salon.location, "<script>alert(1)</script>")
    page = text_of(desk)
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert") >= 2


# What a row shows


def cell(page: str, column: str) -> str:
    return page.partition(f'class="field-{column}')[2].partition("</td>")[0]


def test_an_exact_amount_stands_alone(salon: Salon, desk: Client) -> None:
    known(salon.location, due_amount="320.50", covered_amount=100, read_at=timezone.now())
    page = text_of(desk)
    assert "320.50" in cell(page, "due")
    assert "100" in cell(page, "applied")
    assert "≈" not in cell(page, "due")


def test_an_estimate_says_that_it_is_one(salon: Salon, desk: Client) -> None:
    known(salon.location, due_amount="320.50")
    page = text_of(desk)
    assert "≈" in cell(page, "due")
    assert "as the list of appointments shows it" in cell(page, "due")
    assert "–" in cell(page, "applied")


def operation_on(visit: Visit, **columns: Any) -> LoyaltyOperation:
    values = {"kind": "apply_card_withdrawal", "status": "succeeded", "amount": 5, "applied_amount": 5}
    values |= {"finished_at": timezone.now(), "card_id": 1, "idempotency_key": uuid.uuid4().hex, **columns}
    return LoyaltyOperation.objects.create(
        location=visit.location, visit=visit, record_id=visit.record_id, **values
    )


def test_an_amount_read_before_the_last_operation_says_so(salon: Salon, desk: Client) -> None:
    visit = known(salon.location, due_amount=320, read_at=timezone.now() - datetime.timedelta(hours=1))
    operation_on(visit)
    assert "before the last operation" in cell(text_of(desk), "due")


def test_the_last_operation_stands_in_the_row(salon: Salon, desk: Client) -> None:
    visit = known(salon.location)
    operation_on(visit, status="failed")
    operation_on(visit)
    shown = cell(text_of(desk), "last_operation")
    assert "withdraw points" in shown
    assert "done" in shown
    assert "given up" not in shown


@pytest.mark.parametrize("kind", LoyaltyOperation.Kind.values)
def test_only_what_the_person_may_ask_for_is_offered(salon: Salon, sign_in: SignIn, kind: str) -> None:
    known(salon.location)
    page = text_of(sign_in("view_visit", kind))
    offered = [other for other in LoyaltyOperation.Kind.values if f'<option value="{other}">' in page]
    assert offered == [kind]


def test_the_location_is_named_where_there_are_several(salon: Salon, desk: Client) -> None:
    known(salon.location)
    assert "field-salon" not in text_of(desk)
    salon.add_location("Harbour")
    assert "field-salon" in text_of(desk)


# Reading the day


def test_opening_the_list_asks_altegio_nothing(salon: Salon, desk: Client) -> None:
    salon.visit()
    text_of(desk)
    assert salon.sandbox.requests == []
    assert not Visit.objects.exists()


def test_refresh_reads_todays_visits(salon: Salon, desk: Client) -> None:
    """Without scripts, in one POST that says how many there are."""
    salon.visit()
    salon.visit()
    response = refresh(desk, salon.location)
    assert messages_of(response) == ["2 visits read from Altegio."]
    assert names(desk) == ["Jane Doe", "Jane Doe"]


def test_the_list_says_when_it_was_read(salon: Salon, desk: Client) -> None:
    assert "Not read from Altegio yet today." in text_of(desk)
    refresh(desk, salon.location)
    assert f"Read from Altegio at {timezone.localtime():%H:}" in text_of(desk)


def test_refresh_keeps_what_the_list_was_narrowed_to(salon: Salon, desk: Client) -> None:
    response = refresh(desk, salon.location, query="q=Jane&day=all")
    assert response.redirect_chain == [(f"{reverse(LIST)}?q=Jane&day=all", 302)]


@pytest.mark.parametrize("query", ["\r\nX: y", "//evil.example", "?" * 5000, "q=\x00", "&&&=="])
def test_no_query_leads_elsewhere(salon: Salon, desk: Client, query: str) -> None:
    response = desk.post(
        url("refresh"),
        {"day": timezone.localdate().isoformat(), "location": salon.location.pk, "query": query},
    )
    assert response.status_code == 302
    assert response["Location"].startswith(reverse(LIST))


@pytest.mark.parametrize("name", ["refresh", "find"])
def test_a_get_reads_nothing(salon: Salon, desk: Client, name: str) -> None:
    assert desk.get(url(name)).status_code == 405
    assert salon.sandbox.requests == []


@pytest.mark.parametrize("name", ["refresh", "find"])
def test_reading_needs_the_right_to_see_visits(salon: Salon, sign_in: SignIn, name: str) -> None:
    client = sign_in("view_loyaltyoperation", "apply_card_withdrawal")
    data = {"day": timezone.localdate().isoformat(), "location": salon.location.pk, "visit": 5}
    assert client.post(url(name), data).status_code == 403
    assert Client().post(url(name), data).status_code == 302
    assert salon.sandbox.requests == []


@pytest.mark.parametrize("name", ["refresh", "find"])
def test_a_forged_post_reads_nothing(salon: Salon, desk: Client, name: str) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = desk.cookies
    data = {"day": timezone.localdate().isoformat(), "location": salon.location.pk, "visit": 5}
    assert strict.post(url(name), data).status_code == 403
    assert salon.sandbox.requests == []


@pytest.mark.parametrize("day", ["", "soon", "2026-13-40", "1999-01-01", "9999-12-31"])
def test_a_day_that_is_none_is_refused(salon: Salon, desk: Client, day: str) -> None:
    assert desk.post(url("refresh"), {"day": day, "location": salon.location.pk}).status_code == 400
    assert salon.sandbox.requests == []


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_no_answer_of_altegio_breaks_the_list(salon: Salon, desk: Client, fault: str) -> None:
    """What was known stays in the list, and the page says why there is nothing new."""
    known(salon.location, "From before")
    salon.visit()
    salon.fail(fault)
    response = refresh(desk, salon.location)
    assert response.status_code == 200
    if fault not in ("string_ids", "bare", "nul_text"):
        assert "cannot be read at the moment" in messages_of(response)[0]
        assert names(desk) == ["From before"]
    answer = step(desk, salon.location)
    assert answer.status_code == 200


def test_with_altegio_down_the_list_is_there(salon: Salon, desk: Client) -> None:
    known(salon.location, "From before")
    salon.sandbox.stop()
    response = refresh(desk, salon.location)
    assert "shows what was read before" in messages_of(response)[0]
    assert names(desk) == ["From before"]


def test_with_altegio_down_only_one_location_is_tried(salon: Salon, desk: Client, other: Location) -> None:
    """Ten locations that each run into their timeout would keep a person for minutes."""
    salon.sandbox.stop()
    response = refresh(desk, salon.location, other)
    assert sum("cannot be read" in message for message in messages_of(response)) == 1


def test_a_refused_location_does_not_hide_the_others(salon: Salon, desk: Client, other: Location) -> None:
    salon.ledger.location(salon.location.pk).is_visible = False
    salon.visit(location=other)
    response = refresh(desk, salon.location, other)
    assert "Main Street cannot be read" in messages_of(response)[0]
    assert names(desk) == ["Jane Doe"]


def test_a_person_without_scripts_waits_so_long_and_no_longer(
    salon: Salon, desk: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(day_panel, "SECONDS_TO_READ", 0)
    response = refresh(desk, salon.location)
    assert "was not read completely" in messages_of(response)[0]


def test_a_day_that_altegio_does_not_show_whole_is_told(salon: Salon, desk: Client) -> None:
    body = {"success": True, "data": [], "meta": {"page": 1, "total_count": 12}}
    with RawServer(lambda *_: answer_of(body)) as server:
        salon.configure(API_URL=server.url)
        response = refresh(desk, salon.location)
    assert "could not be read completely" in messages_of(response)[0]
    assert "only 0 of the 12 appointments" in messages_of(response)[0]


def test_a_paused_location_is_named(salon: Salon, desk: Client) -> None:
    Location.objects.update(refused_at=timezone.now())
    page = text_of(desk)
    assert "is paused, since its tokens did not work" in page
    assert "data-reads-by-itself" not in page


def test_the_first_opening_of_the_day_lets_the_script_read(salon: Salon, desk: Client) -> None:
    assert "data-reads-by-itself" in text_of(desk)
    Location.objects.update(visits_read_at=timezone.now())
    assert "data-reads-by-itself" not in text_of(desk)
    for read_at in (timezone.now() - day_panel.FRESH, timezone.now() + 2 * day_panel.FRESH):
        Location.objects.update(visits_read_at=read_at)  # the latter by a clock that was put back since
        assert "data-reads-by-itself" in text_of(desk)


@pytest.mark.parametrize("query", [{"day": "tomorrow"}, {"q": "jane"}, {"day": "all"}])
def test_only_todays_list_is_read_by_itself(salon: Salon, desk: Client, query: dict[str, str]) -> None:
    assert "data-reads-by-itself" not in text_of(desk, **query)


def test_a_chain_of_many_locations_is_not_read_by_itself(salon: Salon, desk: Client) -> None:
    for number in range(day_panel.MOST_READ_BY_ITSELF):
        salon.add_location(f"Branch {number}")
    assert "data-reads-by-itself" not in text_of(desk)


def test_another_day_is_read_when_asked(salon: Salon, desk: Client) -> None:
    salon.ledger.add_visit(salon.location.pk, salon.client, starts_at=noon(1))
    refresh(desk, salon.location, day=noon(1).date().isoformat())
    assert names(desk, day="tomorrow") == ["Jane Doe"]
    assert "Not read from Altegio yet today." in text_of(desk)


# Reading with the script


def test_the_script_is_told_what_was_read(salon: Salon, desk: Client) -> None:
    for _ in range(5):
        salon.visit()
    answer = step(desk, salon.location).json()
    assert (answer["changed"], answer["error"], answer["stop"]) == (5, "", False)
    assert answer["text"] == "Main Street: 5 visits read from Altegio."
    assert Location.objects.get().visits_read_at is not None


def test_the_script_is_told_why_nothing_was_read(salon: Salon, desk: Client) -> None:
    salon.fail("rate_limited")
    answer = step(desk, salon.location).json()
    assert "limit" in answer["error"]
    assert answer["stop"] is True


# Only one's own locations


def test_a_bound_person_sees_their_own_visits_only(salon: Salon, bound: Client, other: Location) -> None:
    known(salon.location, "Mine")
    theirs = known(other, "Theirs")
    assert names(bound) == names(bound, day="all") == ["Mine"]
    for query in (
        {"q": "Theirs"},
        {"q": theirs.pk},
        {"location": other.pk},
    ):
        assert "Theirs" not in names(bound, **query)


def test_a_bound_person_is_offered_their_own_locations_only(
    salon: Salon, bound: Client, other: Location
) -> None:
    for query in ({}, {"q": "4711"}, {"location": other.pk}):
        assert "Harbour" not in text_of(bound, **query)


def test_a_bound_person_reads_no_other_location(salon: Salon, bound: Client, other: Location) -> None:
    """Neither on its own nor hidden among one's own, not by the script's address either."""
    assert refresh(bound, other).status_code == 404
    assert refresh(bound, salon.location, other).status_code == 404
    assert step(bound, other).status_code == 404
    assert salon.sandbox.requests == []
    assert refresh(bound, salon.location).status_code == 200


def test_a_bound_person_finds_nothing_of_another_location(
    salon: Salon, bound: Client, other: Location
) -> None:
    there = salon.visit(location=other)
    assert find(bound, there.id, location=other.pk).status_code == 404
    assert f"There is no visit {there.id} in this location." in messages_of(find(bound, there.id))[0]
    assert not Visit.objects.exists()


def test_a_bound_person_adds_no_visit_to_another_location(
    salon: Salon, sign_in: SignIn, other: Location
) -> None:
    client = sign_in("view_visit", "add_visit", username="adder")
    LocationAccess.objects.create(location=salon.location, user=User.objects.get(username="adder"))
    add = reverse("admin:altegio_loyalty_visit_add")
    assert "Harbour" not in client.get(add).content.decode()
    client.post(add, {"location": other.pk, "id": 5, "record_id": 6})
    assert not Visit.objects.exists()


def test_a_location_may_come_through_a_group(salon: Salon, sign_in: SignIn, other: Location) -> None:
    client = sign_in("view_visit", username="member")
    group = Group.objects.create(name="Harbour's desk")
    User.objects.get(username="member").groups.add(group)
    LocationAccess.objects.create(location=other, group=group)
    known(salon.location, "Main")
    known(other, "Harbour's")
    assert names(client) == ["Harbour's"]


def test_whoever_has_no_location_is_told_so(salon: Salon, bound: Client, sign_in: SignIn) -> None:
    known(salon.location, "Jane")
    client = sign_in("view_visit", username="nowhere")
    assert "no location that you may see" in text_of(client)
    assert names(client) == []


def test_superusers_and_all_locations_see_everything(
    salon: Salon, bound: Client, other: Location, sign_in: SignIn
) -> None:
    known(salon.location, "A")
    known(other, "B")
    clients = (sign_in("*"), sign_in("view_visit", "all_locations"))
    assert [len(names(client)) for client in clients] == [2, 2]
    for client in clients:
        assert refresh(client, salon.location, other).status_code == 200


def test_a_location_that_is_switched_off_is_not_read(salon: Salon, desk: Client) -> None:
    known(salon.location, "Jane")
    Location.objects.update(is_active=False)
    assert names(desk) == ["Jane"]
    assert refresh(desk, salon.location).status_code == 404
    assert salon.sandbox.requests == []


# What it costs


def fill(location: Location, count: int) -> None:
    for number in range(count):
        visit = known(location, f"Client {number}", due_amount=5)
        for _ in range(2):
            operation_on(visit)


@pytest.mark.parametrize("who", ["bound", "desk"])
def test_the_list_costs_the_same_however_long_it_is(
    salon: Salon, other: Location, request: pytest.FixtureRequest, who: str
) -> None:
    client = request.getfixturevalue(who)
    counts = []
    for size in (3, 70):
        fill(salon.location, size)
        with CaptureQueriesContext(connection) as queries:
            text_of(client)
        counts.append(len(queries))
    assert counts[0] == counts[1] < 10


@pytest.mark.parametrize("query", [{}, {"day": "all"}, {"q": "C 1999"}])
def test_a_list_of_many_visits_reads_no_more_than_a_page_of_them(
    salon: Salon, desk: Client, query: dict[str, str]
) -> None:
    Visit.objects.bulk_create(
        Visit(id=n, location=salon.location, record_id=n, client_name=f"C {n}", starts_at=noon(-(n % 300)))
        for n in range(1, 2_001)
    )
    read: list[int] = []

    def count(instance: Visit, **kwargs: Any) -> None:
        read.append(instance.pk)

    post_init.connect(count, sender=Visit)
    try:
        text_of(desk, **query)
    finally:
        post_init.disconnect(count, sender=Visit)
    assert 1 <= len(read) <= 2 * VisitAdmin.list_per_page


@pytest.mark.parametrize(
    "lookup", ["location__id__exact", "client_phone__startswith", "client_name", "id__in"]
)
def test_the_address_narrows_by_the_filters_alone(salon: Salon, desk: Client, lookup: str) -> None:
    """Neither a guess at a masked phone nor a value that a database refuses gets through."""
    assert desk.get(reverse(LIST), {lookup: "\x00" + "9" * 30}).status_code == 400


def test_only_what_a_day_or_a_search_narrows_can_be_sorted(desk: Client, salon: Salon) -> None:
    """A column without an index, over all visits that there are, costs more the longer the site lives."""
    for number, days in ((1, -2), (2, -1), (3, 0)):
        known(salon.location, f"Client {number}", starts_at=noon(days), due_amount=number)

    def order(**query: Any) -> list[str]:
        page: Any = desk.get(reverse(LIST), {"o": "2", **query})
        return [row.client_name[-1] for row in page.context_data["cl"].result_list]

    assert order(day="week") == order(q="Client") == ["1", "2", "3"]
    assert order(day="all") == ["3", "2", "1"]
    assert "sortable column-" in text_of(desk, day="week")
    assert "sortable column-" not in text_of(desk, day="all", o="2")
