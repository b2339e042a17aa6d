"""The overview: what needs a person first, then figures of a period that say the same as picture, table and CSV."""

from __future__ import annotations

import csv
import datetime
import io
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.timezone import localtime

from altegio_loyalty import statistics, throttle
from altegio_loyalty.admin.overview.tables import CSV, MOST_LOCATIONS
from altegio_loyalty.models import Location, LocationAccess, LoyaltyOperation, RequestBudget, Visit
from altegio_loyalty.moments import today
from tests.admin.test_operations import Log

pytestmark = pytest.mark.django_db

Kind, Status = LoyaltyOperation.Kind, LoyaltyOperation.Status
SIGNED_IN = Callable[..., Client]
PAGE = "admin:altegio_loyalty_loyaltyoperation_overview"
VIEW = "view_loyaltyoperation"
HOSTILE = '=HYPERLINK("http://evil","x")<script>alert(1)</script>'


@pytest.fixture
def log(db: None) -> Log:
    return Log()


@pytest.fixture
def manager(sign_in: SIGNED_IN) -> Client:
    return sign_in(VIEW, username="manager")


def csv_url(figure: str) -> str:
    return reverse("admin:altegio_loyalty_loyaltyoperation_figure", args=[figure])


def look(browser: Client, **query: Any) -> Any:
    response = browser.get(reverse(PAGE), query)
    assert response.status_code == 200
    return response


def taken_of(response: Any) -> str:
    """The points taken, of the only currency that there is."""
    sums = response.context["sums"]
    assert len(sums) < 2
    return str(sums[0]["total"]["taken"]) if sums else "0"


def text_of(response: Any) -> str:
    return str(response.content.decode())


def rows_of(response: Any) -> list[list[str]]:
    text = b"".join(response.streaming_content).decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text, newline="")))


def content_of(response: Any) -> str:
    """The page without the frame that Django's admin puts round it."""
    found = re.search(r'<div id="content-main".*?<footer', text_of(response), re.DOTALL)
    assert found
    return found[0]


def charts_of(response: Any) -> list[ET.Element]:
    return [ET.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", content_of(response), re.DOTALL)]


# Who may see it


@pytest.mark.parametrize("url", ["overview/", "overview/days.csv", "export/"])
@pytest.mark.parametrize(
    ("permissions", "status"),
    [((), 403), (("view_visit", "view_location", "resolve_operation"), 403), ((VIEW,), 200), (("*",), 200)],
)
def test_only_who_may_view_the_log_sees_its_figures(
    log: Log, sign_in: SIGNED_IN, url: str, permissions: tuple[str, ...], status: int
) -> None:
    page = reverse("admin:altegio_loyalty_loyaltyoperation_changelist") + url
    assert sign_in(*permissions).get(page).status_code == status


@pytest.mark.parametrize("url", ["overview/", "overview/days.csv", "export/"])
def test_who_is_not_signed_in_is_asked_to(log: Log, url: str) -> None:
    response = Client().get(reverse("admin:altegio_loyalty_loyaltyoperation_changelist") + url)
    assert (response.status_code, "login" in response["Location"]) == (302, True)


@pytest.mark.parametrize("url", ["overview/", "overview/days.csv", "export/"])
@pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
def test_figures_are_only_read(log: Log, manager: Client, url: str, method: str) -> None:
    page = reverse("admin:altegio_loyalty_loyaltyoperation_changelist") + url
    assert getattr(manager, method)(page).status_code == 405


def test_who_is_bound_to_locations_sees_only_their_figures(log: Log, manager: Client) -> None:
    log.add(Status.SUCCEEDED, applied_amount=100)
    log.add(Status.UNCONFIRMED)
    log.add(Status.FAILED)
    other = Location.objects.create(id=7, title="Harbour", refused_at=timezone.now(), refused_reason="no")
    LocationAccess.objects.create(location=other, user=get_user_model().objects.get(username="manager"))
    response = look(manager)
    assert [call["look"].word for call in response.context["calls"]] == ["paused"]
    assert taken_of(response) == "0"
    assert response.context["outcomes"] == []
    assert "Main Street" not in text_of(response)
    for figure in CSV:
        rows = rows_of(manager.get(csv_url(figure)))
        assert not any("Main Street" in row or "4564" in row for row in rows)
        assert not any(re.fullmatch("[1-9].*", cell) for row in rows for cell in row)


def test_who_has_a_location_through_a_group_sees_its_figures(log: Log, manager: Client) -> None:
    log.add(Status.SUCCEEDED, applied_amount=100)
    group = Group.objects.create(name="Main Street's people")
    LocationAccess.objects.create(location=log.location, group=group)
    assert taken_of(look(manager)) == "0"
    get_user_model().objects.get(username="manager").groups.add(group)
    assert taken_of(look(manager)) == "100"


def test_a_location_that_is_not_the_persons_is_none_of_theirs(log: Log, manager: Client) -> None:
    mine = Location.objects.create(id=7, title="Harbour")
    LocationAccess.objects.create(location=mine, user=get_user_model().objects.get(username="manager"))
    for location_id in (log.location.pk, 999_999, "x", "9" * 30):
        response = look(manager, location=location_id)
        assert "That is none of your locations." in text_of(response)
        assert "Main Street" not in text_of(response)
        assert manager.get(csv_url("days"), {"location": location_id}).status_code == 400


# What needs a person


def test_an_empty_log_needs_nobody_and_says_so(manager: Client) -> None:
    response = look(manager)
    assert "Nothing needs a person at the moment." in text_of(response)
    assert "No points were taken or given back in these days." in text_of(response)
    assert "Nothing was asked for in these days." in text_of(response)


def test_the_overview_says_that_nothing_runs_what_is_due(log: Log, manager: Client) -> None:
    due = timezone.now() - datetime.timedelta(hours=1)
    log.add(Status.PENDING, next_attempt_at=due)
    text = text_of(look(manager))
    assert "No worker was heard of since" in text
    assert "Nothing needs a person at the moment." not in text


def test_what_needs_a_person_leads_to_the_inbox(log: Log, manager: Client) -> None:
    log.add(Status.FAILED)
    Location.objects.update(refused_at=timezone.now())
    inbox = reverse("admin:altegio_loyalty_loyaltyoperation_inbox")
    found = [(call["look"].word, call["count"], call["url"]) for call in look(manager).context["calls"]]
    assert found == [("paused", 1, inbox), ("for a person", 1, inbox)]


@pytest.mark.parametrize("columns", [{"is_active": False}, {"refused_at": timezone.now()}])
def test_what_waits_for_its_location_is_not_said_to_wait_for_a_worker(
    log: Log, manager: Client, columns: dict[str, Any]
) -> None:
    log.add(Status.PENDING, next_attempt_at=timezone.now() - datetime.timedelta(hours=1))
    Location.objects.update(**columns)
    assert "No worker was heard of" not in text_of(look(manager))


# The period


def test_the_last_30_days_are_shown_first_and_others_by_choice(log: Log, manager: Client) -> None:
    log.add(Status.SUCCEEDED, applied_amount=1)
    log.add(Status.SUCCEEDED, applied_amount=2, created_at=timezone.now() - datetime.timedelta(days=20))
    log.add(Status.SUCCEEDED, applied_amount=4, created_at=timezone.now() - datetime.timedelta(days=80))
    taken = {days: taken_of(look(manager, days=days)) for days in (7, 30, 90)}
    assert taken == {7: "1", 30: "3", 90: "7"}
    assert taken_of(look(manager)) == "3"


def test_own_dates_can_be_a_single_day(log: Log, manager: Client) -> None:
    log.add(
        Status.SUCCEEDED, applied_amount=5, created_at=datetime.datetime(2026, 3, 10, 12, tzinfo=datetime.UTC)
    )
    response = look(manager, since="2026-03-10", until="2026-03-10")
    assert (taken_of(response), len(response.context["sums"][0]["days"])) == ("5", 1)


def day(number: int) -> str:
    return (today() + datetime.timedelta(days=number)).isoformat()


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"since": "yesterday", "until": 0}, "From: that is no date."),
        ({"since": "2026-02-30", "until": 0}, "From: that is no date."),
        ({"since": -1, "until": "1/2/2026"}, "To: that is no date."),
        ({"since": -1, "until": -2}, "The first day is after the last one."),
        ({"since": -1, "until": 1}, "The last day has not come yet."),
        ({"until": 0}, "Choose the first day as well."),
        ({"since": -366, "until": 0}, "Choose 366 days at the most."),
        ({"since": "1999-12-30", "until": "1999-12-31"}, "Choose days after the year 1999."),
        ({"since": "0001-01-01", "until": "0001-01-01"}, "Choose days after the year 1999."),
        ({"days": "31"}, "Choose 7, 30 or 90 days, or dates."),
        ({"days": "<script>"}, "Choose 7, 30 or 90 days, or dates."),
    ],
)
def test_bad_dates_are_named_and_never_shown_as_something_else(
    log: Log, manager: Client, query: dict[str, Any], message: str
) -> None:
    """A number is a day so far from today."""
    query = {name: day(value) if isinstance(value, int) else value for name, value in query.items()}
    response = look(manager, **query)
    assert message in text_of(response)
    assert "The last 30 days are shown instead." in text_of(response)
    assert response.context["chosen_days"] == {"days": 30}
    refused = manager.get(csv_url("days"), query)
    assert (refused.status_code, message in refused.content.decode()) == (400, True)


def test_a_location_stays_chosen_when_the_dates_are_bad(log: Log, manager: Client) -> None:
    response = look(manager, since="x", location=log.location.pk)
    assert response.context["location"] == log.location


def test_a_first_day_without_a_last_one_goes_to_today(manager: Client) -> None:
    response = look(manager, since=day(-3))
    assert len(response.context["period"].days) == 4
    assert response.context["period"].last.isoformat() == day(0)


def test_a_location_can_be_looked_at_alone(log: Log, manager: Client) -> None:
    other = Location.objects.create(id=7, title="Harbour")
    log.add(Status.SUCCEEDED, applied_amount=1)
    log.add(Status.SUCCEEDED, applied_amount=2, location=other)
    assert taken_of(look(manager)) == "3"
    alone = look(manager, location=7)
    assert taken_of(alone) == "2"
    assert [row[2] for row in rows_of(manager.get(alone.context["csv"]["days"]))] == ["Location", "Harbour"]


def test_an_outcome_leads_to_as_many_operations_in_the_log(log: Log, manager: Client) -> None:
    for status in (Status.SUCCEEDED, Status.SUCCEEDED, Status.REJECTED):
        log.add(status)
    log.add(Status.REJECTED, created_at=timezone.now() - datetime.timedelta(days=8))
    for row in look(manager, days=7).context["outcomes"]:
        assert str(manager.get(row["url"]).context["cl"].result_count) == row["count"]


def test_an_outcome_has_no_link_where_the_log_cannot_be_narrowed_so(log: Log, manager: Client) -> None:
    log.add(Status.SUCCEEDED)
    assert [row["url"] for row in look(manager, days=90).context["outcomes"]] == [""]


# Picture, table and CSV


def test_the_csv_by_day_holds_the_cells_of_the_chart(log: Log, manager: Client) -> None:
    log.add(Status.SUCCEEDED, applied_amount=Decimal("99.50"))
    log.add(Status.SUCCEEDED, kind=Kind.CANCEL_CARD_WITHDRAWAL, returned_amount=50)
    header, *rows = rows_of(manager.get(csv_url("days")))
    assert len(header) == 7
    assert rows == [[day(0), "4564", "Main Street", "99.50", "50.00", "0", ""]]


def test_the_csv_of_outcomes_adds_up(log: Log, manager: Client) -> None:
    log.add(Status.SUCCEEDED)
    log.add(Status.REJECTED, kind=Kind.APPLY_DISCOUNT_PROGRAM)
    rows = rows_of(manager.get(csv_url("outcomes")))[1:]
    assert {row[0]: row[1:] for row in rows}["done"] == ["1", "0", "0", "0", "1"]
    assert sum(int(row[-1]) for row in rows) == 2


def test_the_csv_of_times_holds_each_slot(log: Log, manager: Client) -> None:
    log.add(Status.SUCCEEDED)
    rows = rows_of(manager.get(csv_url("times")))[1:]
    assert (rows[0], len(rows)) == (["up to 0.5 s", "1"], len(statistics.TIME_LIMITS) + 1)


def test_an_unknown_file_is_not_found(manager: Client) -> None:
    assert manager.get(csv_url("tokens")).status_code == 404


def test_more_locations_than_fit_share_a_row_and_the_csv_names_all(log: Log, manager: Client) -> None:
    for number in range(MOST_LOCATIONS + 2):
        location = Location.objects.create(id=100 + number, title=f"Salon {number}")
        log.add(Status.SUCCEEDED, applied_amount=100 - number, location=location)
    rows = look(manager).context["sums"][0]["locations"]
    assert (len(rows), rows[0]["title"], rows[-1]["title"]) == (MOST_LOCATIONS + 1, "Salon 0", "2 others")
    assert len(rows_of(manager.get(csv_url("locations")))) == MOST_LOCATIONS + 3


def test_hostile_titles_and_reasons_are_only_text(log: Log, manager: Client) -> None:
    Location.objects.update(title=HOSTILE, refused_at=timezone.now(), refused_reason=HOSTILE)
    log.add(Status.SUCCEEDED, applied_amount=100)
    response = look(manager, location=log.location.pk)
    assert "<script>alert" not in text_of(response)
    assert "&lt;script&gt;alert(1)" in text_of(response)
    assert rows_of(manager.get(csv_url("days")))[1][2] == f"'{HOSTILE}"
    assert rows_of(manager.get(csv_url("locations")))[1][1] == f"'{HOSTILE}"


def test_the_page_needs_no_inline_style_or_script(log: Log, manager: Client) -> None:
    log.add(Status.SUCCEEDED, applied_amount=100)
    log.add(Status.UNCONFIRMED)
    assert not re.search(r"<script|<style|\sstyle=|\son\w+=", content_of(look(manager)))


def test_every_drawing_is_well_formed_and_is_named_or_hidden(log: Log, manager: Client) -> None:
    log.add(Status.SUCCEEDED, applied_amount=100)
    drawn = charts_of(look(manager))
    named = [svg for svg in drawn if svg.get("role") == "img"]
    assert len(named) == 1
    assert {child.tag for child in named[0]} >= {"title", "desc"}
    assert all(svg.get("aria-hidden") == "true" for svg in drawn if svg not in named)


def test_the_page_is_under_10_queries_whatever_the_size(
    log: Log, manager: Client, django_assert_max_num_queries: Any
) -> None:
    user = get_user_model().objects.get(username="manager")
    LocationAccess.objects.create(location=log.location, user=user)
    for number in range(30):
        location = Location.objects.create(
            id=100 + number, title=f"Salon {number}", refused_at=timezone.now()
        )
        LocationAccess.objects.create(location=location, user=user)
        for status in (Status.SUCCEEDED, Status.UNCONFIRMED, Status.FAILED):
            log.add(status, applied_amount=10, location=location)
    with django_assert_max_num_queries(9):
        response = look(manager, days=90)
    assert taken_of(response) == "300"


def test_the_overview_is_linked_from_the_log_and_from_the_apps_index(log: Log, manager: Client) -> None:
    for page in (
        reverse("admin:altegio_loyalty_loyaltyoperation_changelist"),
        reverse("admin:app_list", args=["altegio_loyalty"]),
    ):
        assert f'href="{reverse(PAGE)}"' in manager.get(page).content.decode()


def test_the_apps_index_has_no_link_for_who_may_not_follow_it(log: Log, sign_in: SIGNED_IN) -> None:
    page = reverse("admin:app_list", args=["altegio_loyalty"])
    assert reverse(PAGE) not in sign_in("view_visit").get(page).content.decode()


# A block by Altegio's limit


@pytest.fixture
def blocked(settings: Any) -> RequestBudget:
    """Altegio said that its limit is used up."""
    settings.ALTEGIO_LOYALTY = {**settings.ALTEGIO_LOYALTY, "API_URL": "http://127.0.0.1:9/api/v1"}
    throttle.block_for(600)
    return RequestBudget.objects.get()


LIFT = "admin:altegio_loyalty_loyaltyoperation_lift"


def test_a_block_is_told_with_since_when_and_until_when_and_by_whom(
    log: Log, manager: Client, blocked: RequestBudget
) -> None:
    page = text_of(look(manager))
    since, until = (
        date_format(localtime(at), "H:i") for at in (blocked.blocked_at, blocked.blocked_until) if at
    )
    assert f"Nothing is sent to Altegio from {since} until {until}, for no location: Altegio said" in page
    assert "Nothing needs a person" not in page


def test_a_block_is_told_on_the_desk_where_a_read_is_refused_for_it(
    log: Log, sign_in: SIGNED_IN, blocked: RequestBudget
) -> None:
    visit = Visit.objects.create(id=77, location=log.location, record_id=77, client_id=1)
    desk = sign_in("view_visit", "apply_card_withdrawal")
    form = reverse("admin:altegio_loyalty_visit_operate", args=["apply_card_withdrawal"])
    # As their script asks for them: at first they read nothing that could be refused.
    read = f"{reverse('admin:altegio_loyalty_visit_change', args=[visit.pk])}?read=1"
    for url in (read, f"{form}?visit={visit.pk}&read=1"):
        page = text_of(desk.get(url))
        assert "Nothing is sent to Altegio from" in page
        assert "Altegio said that its limit is used up: nothing is sent for another" in page
        assert "Send again sooner" not in page


def test_a_block_is_lifted_by_who_may_decide(
    log: Log, sign_in: SIGNED_IN, blocked: RequestBudget, caplog: Any
) -> None:
    person = sign_in("view_loyaltyoperation", "resolve_operation", username="maria")
    assert "Yes, send again now" in text_of(look(person))
    page = person.post(reverse(LIFT), follow=True).content.decode()
    assert "Requests to Altegio go again." in page
    assert "Nothing is sent to Altegio from" not in page
    assert "maria lifted the block" in caplog.text
    assert LogEntry.objects.get().user.get_username() == "maria"
    assert "Nothing is held back any more." in person.post(reverse(LIFT), follow=True).content.decode()


@pytest.mark.parametrize(("rights", "method"), [((), "post"), (("resolve_operation",), "get")])
def test_a_block_is_lifted_by_nobody_else_and_by_no_link(
    log: Log, sign_in: SIGNED_IN, blocked: RequestBudget, rights: tuple[str, ...], method: str
) -> None:
    person = sign_in("view_loyaltyoperation", *rights)
    assert ("Yes, send again now" in text_of(look(person))) is bool(rights)
    assert getattr(person, method)(reverse(LIFT)).status_code in (403, 405)
    assert throttle.find_blocks().exists()
