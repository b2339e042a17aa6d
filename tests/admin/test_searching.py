"""One box finds a visit by whatever a person knows; and what it does not find here is looked for in Altegio, and told."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from altegio_loyalty.admin.desk import day_panel
from altegio_loyalty.client import AltegioClient
from altegio_loyalty.models import Location, Visit
from altegio_loyalty.sandbox import FAULTS
from altegio_loyalty.services.reading import read_for_screen
from tests.admin.test_visit_list import find, known, messages_of, names, noon, operation_on, refresh, text_of
from tests.chaos.clock import Clock
from tests.delivery.salon import Salon

pytestmark = pytest.mark.django_db(transaction=True)

SignIn = Callable[..., Client]
APP = "admin:altegio_loyalty_"
LIST = f"{APP}visit_changelist"


@pytest.fixture
def desk(sign_in: SignIn) -> Client:
    return sign_in("view_visit", username="desk")


@pytest.fixture
def trusted(sign_in: SignIn) -> Client:
    """Of somebody who may see phones."""
    return sign_in("view_visit", "view_client_phone", username="trusted")


def enter(client: Client, typed: Any, **query: Any) -> Any:
    """As the box is sent with Enter."""
    return client.get(reverse(LIST), {"q": typed, "enter": "1", **query})


def page_of(visit: Any) -> str:
    return reverse(f"{APP}visit_change", args=[visit if isinstance(visit, int) else visit.pk])


# By a name


@pytest.mark.parametrize(
    "typed",
    ["Miller, Jane", "jane miller", "MILLER JANE", "Jane Miler", "Jnae Miller", "miller,jane", "Jan Mileer"],
)
def test_a_name_is_found_in_any_order_and_with_typos(salon: Salon, desk: Client, typed: str) -> None:
    known(salon.location, "Jane Miller")
    known(salon.location, "Bob Tanner")
    assert names(desk, q=typed) == ["Jane Miller"]


def test_a_russian_name_is_found_with_a_typo(salon: Salon, desk: Client) -> None:
    known(salon.location, "Семёнова Наталья")
    assert names(desk, q="наталия семенова") == ["Семёнова Наталья"]


def test_nobody_is_alike_who_has_not_every_word(salon: Salon, desk: Client) -> None:
    known(salon.location, "Jane Miller")
    assert names(desk, q="Jane Tanner") == []


def test_a_name_that_is_exactly_so_hides_those_that_are_only_like_it(salon: Salon, desk: Client) -> None:
    known(salon.location, "Jane Miller")
    known(salon.location, "Jane Miler")
    assert names(desk, q="Jane Miler") == ["Jane Miler"]


def test_what_is_only_like_it_is_said_to_be_so(salon: Salon, desk: Client) -> None:
    known(salon.location, "Jane Miller")
    assert "No name is exactly like that" in text_of(desk, q="Jane Miler")
    assert "No name is exactly like that" not in text_of(desk, q="Jane Miller")


# By a number


@pytest.mark.parametrize("typed", ["118106000", "#118106000", "№118106000", " # 118106000 "])
def test_a_number_is_found_with_and_without_its_sign(salon: Salon, desk: Client, typed: str) -> None:
    known(salon.location, "Jane", id=118106000)
    known(salon.location, "Bob", record_id=118106000)
    assert sorted(names(desk, q=typed)) == ["Bob", "Jane"]


def test_the_digits_of_a_phone_that_the_page_shows_find_its_client(salon: Salon, desk: Client) -> None:
    known(salon.location, "Jane", client_phone="+13155550175")
    known(salon.location, "Bob", client_phone="+13155550174")
    assert names(desk, q="0175") == ["Jane"]
    assert [names(desk, q=typed) for typed in ("175", "50175", "550175")] == [[], [], []]


def test_a_phone_that_the_page_hides_whole_is_not_found_by_its_end(salon: Salon, desk: Client) -> None:
    known(salon.location, "Jane", client_phone="5550175")
    assert names(desk, q="0175") == []


def test_a_card_is_found_by_its_number_where_its_clients_page_was_opened(
    salon: Salon, sign_in: SignIn
) -> None:
    there = salon.visit()
    boss = sign_in("*")
    assert find(boss, there.id).status_code == 200
    read_for_screen(Visit.objects.get(pk=there.id))  # as its page does
    for typed in (salon.card.number, salon.card.number[-8:]):
        assert names(boss, q=typed) == ["Jane Doe"]
    assert names(boss, q="9" + salon.card.number[-8:]) == []


def test_a_card_is_found_by_its_id_where_something_was_asked_for(salon: Salon, desk: Client) -> None:
    visit = known(salon.location, "Jane")
    operation_on(visit, card_id=77_001_002)
    operation_on(visit, card_id=77_001_002)
    assert names(desk, q="77001002") == ["Jane"]


# Enter


def test_enter_opens_the_only_hit(salon: Salon, desk: Client) -> None:
    visit = known(salon.location, "Jane Miller")
    response = enter(desk, "Miller, Jane")
    assert (response.status_code, response.url) == (302, page_of(visit))


def test_enter_opens_todays_among_the_visits_of_a_regular(salon: Salon, desk: Client) -> None:
    for days in (-20, -10, 1):
        known(salon.location, "Jane Miller", starts_at=noon(days))
    visit = known(salon.location, "Jane Miller")
    assert enter(desk, "Jane Miller").url == page_of(visit)


def test_enter_opens_none_of_two_of_today(salon: Salon, desk: Client) -> None:
    known(salon.location, "Jane Miller")
    known(salon.location, "Jane Tanner")
    assert enter(desk, "Jane").status_code == 200


def test_enter_opens_nobody_who_is_only_called_alike(salon: Salon, desk: Client) -> None:
    known(salon.location, "Jane Miller")
    assert enter(desk, "Jane Miler").status_code == 200


def test_a_link_to_a_search_opens_nothing_by_itself(salon: Salon, desk: Client) -> None:
    """Nor does the way back from a visit, which would lead there again."""
    known(salon.location, "Jane Miller")
    assert names(desk, q="Jane Miller") == ["Jane Miller"]


def test_the_box_is_sent_with_the_word_that_opens_the_only_hit(salon: Salon, desk: Client) -> None:
    page = text_of(desk)
    assert '<input type="hidden" name="enter" value="1" form="changelist-search">' in page
    assert 'id="changelist-search"' in page


# In Altegio


def test_who_came_after_the_last_reading_is_found(salon: Salon, desk: Client) -> None:
    there = salon.visit()
    assert find(desk, "Doe, Jane").redirect_chain == [(page_of(there.id), 302)]


def test_an_older_visit_is_found_by_its_clients_name(salon: Salon, desk: Client) -> None:
    there = salon.ledger.add_visit(salon.location.pk, salon.client, starts_at=noon(-9))
    assert find(desk, "Jane").redirect_chain == [(page_of(there.id), 302)]


def test_a_visit_is_found_by_its_number(salon: Salon, desk: Client) -> None:
    there = salon.ledger.add_visit(salon.location.pk, salon.client, starts_at=noon(-90))
    assert find(desk, f"#{there.id}").redirect_chain == [(page_of(there.id), 302)]


def test_a_client_is_found_by_the_number_of_a_card(salon: Salon, desk: Client) -> None:
    there = salon.ledger.add_visit(salon.location.pk, salon.client, starts_at=noon(-9))
    assert find(desk, salon.card.number).redirect_chain == [(page_of(there.id), 302)]


def test_several_visits_of_a_card_are_listed_by_their_clients_name(salon: Salon, desk: Client) -> None:
    for days in (-9, -8):
        salon.ledger.add_visit(salon.location.pk, salon.client, starts_at=noon(days))
    response = find(desk, salon.card.number)
    assert response.redirect_chain == [(f"{reverse(LIST)}?q=Jane+Doe", 302)]
    assert len(response.context["cl"].result_list) == 2


def test_visits_of_several_clients_are_all_listed(salon: Salon, trusted: Client) -> None:
    """Not under the name of one of them, nor without what was typed where a client has no name."""
    for name in ("Bob", ""):
        client = salon.ledger.add_client(name=name, phone="+442079460175")
        salon.ledger.add_visit(salon.location.pk, client)
    response = find(trusted, "9460175")
    assert response.redirect_chain == [(f"{reverse(LIST)}?q=9460175", 302)]
    assert {visit.client_name for visit in response.context["cl"].result_list} == {"Bob", ""}


def test_a_phone_is_looked_for_only_by_those_who_see_phones(
    salon: Salon, desk: Client, trusted: Client
) -> None:
    there = salon.ledger.add_visit(salon.location.pk, salon.client, starts_at=noon(-9))
    digits = "".join(filter(str.isdigit, salon.client.phone))
    find(desk, digits)
    assert not [one for one in salon.sandbox.requests if one.path.endswith("/clients/search")]
    assert not Visit.objects.exists()
    assert find(trusted, digits).redirect_chain == [(page_of(there.id), 302)]


@pytest.mark.parametrize("typed", ["Jane 0175", "0175", "J 1315", "315-555-01-7"])
def test_no_part_of_a_phone_reaches_altegios_search_from_who_sees_none(
    salon: Salon, desk: Client, typed: str
) -> None:
    find(desk, typed)
    assert not [one for one in salon.sandbox.requests if one.path.endswith("/clients/search")]


def test_what_was_done_in_vain_is_said(salon: Salon, desk: Client) -> None:
    (told,) = messages_of(find(desk, "Nobody Known"))
    assert told == "Looked in Altegio, Main Street, and at today anew. No client is called so."
    (told,) = messages_of(find(desk, "99999999"))
    assert told == (
        "Looked in Altegio, Main Street, and at today anew. There is no visit 99999999 in this location. "
        "No client has such a card."
    )


def test_a_client_without_a_visit_is_named_with_the_days_that_were_looked_at(
    salon: Salon, desk: Client
) -> None:
    (told,) = messages_of(find(desk, "Jane Doe"))
    assert "Jane Doe: no visit from " in told


def test_of_other_clients_in_the_answer_nothing_is_kept(
    salon: Salon, desk: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that does not know the filter shows everybody's appointments."""
    other = salon.ledger.add_client(name="Bob Tanner", phone="+13155550199")
    salon.ledger.add_visit(salon.location.pk, other, starts_at=noon(-9))
    there = salon.ledger.add_visit(salon.location.pk, salon.client, starts_at=noon(-9))
    whole = AltegioClient.records_page
    monkeypatch.setattr(
        AltegioClient,
        "records_page",
        lambda self, place, **query: whole(
            self, place, **{k: v for k, v in query.items() if k != "client_id"}
        ),
    )
    find(desk, "Jane Doe")
    assert [visit.pk for visit in Visit.objects.all()] == [there.id]


def test_one_search_costs_a_bounded_number_of_requests(salon: Salon, trusted: Client) -> None:
    """Today twice at the most, the visit, the card, the client, and the visits of three clients."""
    for number in range(9):
        salon.ledger.add_client(name=f"Jane {number}", phone=f"+1315555{number:04}")
    find(trusted, "Jane")
    assert len(salon.sandbox.requests) <= 6
    before = len(salon.sandbox.requests)
    find(trusted, "13155550000")
    assert len(salon.sandbox.requests) - before <= 8


def test_of_many_clients_those_that_were_looked_at_are_named(salon: Salon, desk: Client) -> None:
    clients = [salon.ledger.add_client(name=f"Zoe {number}") for number in range(4)]
    salon.ledger.add_visit(salon.location.pk, clients[0], starts_at=noon(-9))
    (told,) = messages_of(find(desk, "Zoe"))
    assert "Altegio knows more such clients, only these were looked at: Zoe 0, Zoe 1, Zoe 2." in told
    (told,) = messages_of(find(desk, "Jane Doe"))
    assert "more such clients" not in told


def test_in_a_chain_one_location_has_to_be_chosen(salon: Salon, desk: Client) -> None:
    others = [salon.add_location(f"Branch {number}") for number in range(day_panel.MOST_FOUND_IN)]
    there = salon.visit(location=others[0])
    assert '<select id="altegio-find-location"' in text_of(desk, q="jane")
    assert messages_of(find(desk, "jane")) == ["Choose the location in which to look."]
    assert salon.sandbox.requests == []
    assert find(desk, "jane", location=others[0].pk).redirect_chain == [(page_of(there.id), 302)]


def test_in_few_locations_all_are_looked_in(salon: Salon, desk: Client) -> None:
    other = salon.add_location("Harbour")
    there = salon.visit(location=other)
    assert find(desk, "jane").redirect_chain == [(page_of(there.id), 302)]


@pytest.mark.parametrize("typed", ["", " ", "\x00", "#", ",;"])
def test_nothing_typed_looks_for_nothing(salon: Salon, desk: Client, typed: str) -> None:
    assert find(desk, typed).status_code == 200
    assert salon.sandbox.requests == []


@pytest.mark.parametrize("fault", sorted(FAULTS))
@pytest.mark.parametrize("typed", ["Jane", "4711471147"])
def test_no_answer_of_altegio_breaks_the_search(
    salon: Salon, trusted: Client, fault: str, typed: str
) -> None:
    salon.fail(fault)
    assert find(trusted, typed).status_code == 200


def test_with_altegio_away_the_search_says_so_and_asks_once(salon: Salon, desk: Client) -> None:
    salon.add_location("Harbour")
    salon.sandbox.stop()
    told = messages_of(find(desk, "Jane"))
    assert [text for text in told if "cannot be read at the moment" in text] == told
    assert len(told) == 1


def test_a_search_of_the_list_goes_on_by_itself_only_from_the_box(salon: Salon, desk: Client) -> None:
    assert "data-finds-by-itself" in enter(desk, "jane").content.decode()
    assert "data-finds-by-itself" not in text_of(desk, q="jane")
    known(salon.location, "Jane", starts_at=noon(-3))
    known(salon.location, "Jane", starts_at=noon(-4))
    assert "data-finds-by-itself" not in enter(desk, "jane").content.decode()
    assert "Look in Altegio" in text_of(desk, q="jane")


# Today


def test_today_begins_at_now(salon: Salon, desk: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the visits whose clients are here or still to come; those of the morning follow, and say so."""
    now = noon() + datetime.timedelta(hours=3)
    monkeypatch.setattr(timezone, "now", lambda: now)
    for hours in (-3, 2, 4, -1):
        known(
            salon.location,
            f"{hours:+}",
            starts_at=noon() + datetime.timedelta(hours=hours),
            due_amount=Decimal(1),
        )
    Location.objects.update(visits_read_at=now)
    assert names(desk) == ["+2", "+4", "-3", "-1"]
    assert "Those who came more than 2 hours ago stand at the end." in text_of(desk)


# What it costs


@pytest.mark.parametrize(
    ("typed", "most"), [("Jane Miller", 9), ("0175", 9), ("4711", 9), ("Jane Miler", 9), ("Nobody", 9)]
)
def test_a_search_takes_few_queries(salon: Salon, desk: Client, typed: str, most: int) -> None:
    for number in range(30):
        known(salon.location, "Jane Miller", client_phone=f"+1315555{number:04}")
    with CaptureQueriesContext(connection) as queries:
        text_of(desk, q=typed)
    assert len(queries) <= most, [q["sql"][:120] for q in queries]


# A day without visits


def test_a_day_never_read__read_and_empty__and_not_readable_are_three_sentences(
    salon: Salon, desk: Client
) -> None:
    tomorrow = noon(1).date().isoformat()
    for query in ({}, {"day": "tomorrow"}):
        assert "This day is not read from Altegio yet" in text_of(desk, **query)
    refresh(desk, salon.location)
    refresh(desk, salon.location, day=tomorrow)
    for query in ({}, {"day": "tomorrow"}):
        assert "Read from Altegio: this day has no visits." in text_of(desk, **query)
    assert "This day is not read from Altegio yet" in text_of(desk, day="yesterday")
    salon.sandbox.stop()
    refresh(desk, salon.location, day=noon(-1).date().isoformat())
    assert "Altegio could not be read, so nobody here knows" in text_of(desk, day="yesterday")


def test_a_day_read_long_ago__is_not_said_to_be_empty(salon: Salon, desk: Client) -> None:
    refresh(desk, salon.location, day=noon(1).date().isoformat())
    clock = Clock()
    with clock.running():
        clock.passed += day_panel.FRESH.total_seconds() + 1
        page = text_of(desk, day=noon(1).date().isoformat())
    assert "this day has no visits" not in page


def test_a_search_whose_time_is_over__asks_no_more_and_says_so(
    salon: Salon, desk: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    salon.add_location("Harbour")
    monkeypatch.setattr("altegio_loyalty.services.reading.SECONDS_FOR_A_PAGE", 0)
    unread, ended = messages_of(find(desk, "Jane"))
    assert "was not read completely" in unread
    assert ended == "The search took too long and was ended. Look once more."
    assert salon.sandbox.requests == []


def test_a_search_whose_time_ends_behind_the_day__says_that_it_was_ended(
    salon: Salon, desk: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The day was read whole; the clients were not looked for."""
    salon.ledger.add_visit(salon.location.pk, salon.client, starts_at=noon(-9))
    answers = iter([False])
    monkeypatch.setattr(day_panel, "is_over", lambda: next(answers, True))
    (told,) = messages_of(find(desk, "Jane"))
    assert told == "The search took too long and was ended. Look once more."


def test_a_paused_location_is_not_readable(salon: Salon, desk: Client) -> None:
    Location.objects.update(refused_at=timezone.now())
    assert "Altegio could not be read, so nobody here knows" in text_of(desk)
