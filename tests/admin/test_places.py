"""Locations in several time zones and currencies: every day and time is the location's, every sum one currency's."""

from __future__ import annotations

import csv
import datetime
import io
import re
import uuid
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db.models import Q
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.html import strip_tags

from altegio_loyalty import statistics
from altegio_loyalty.admin.desk import filters
from altegio_loyalty.models import Location, LoyaltyOperation, Visit
from altegio_loyalty.moments import today
from altegio_loyalty.statistics import Period
from altegio_loyalty.wording import decimals_of, points
from tests.delivery.salon import Salon

pytestmark = pytest.mark.django_db(transaction=True)

VLADIVOSTOK = ZoneInfo("Asia/Vladivostok")
#: 25 hours apart: it is never the same day in both.
EARLY, LATE = ZoneInfo("Pacific/Kiritimati"), ZoneInfo("Pacific/Niue")
LIST = "visit_changelist"
LOG = "loyaltyoperation_changelist"
OVERVIEW = "loyaltyoperation_overview"


@pytest.fixture
def boss(sign_in: Any) -> Client:
    browser: Client = sign_in("*", username="boss")
    return browser


def location(number: int, title: str, zone: ZoneInfo | None = None, **columns: Any) -> Location:
    return Location.objects.create(id=number, title=title, time_zone=str(zone or ""), **columns)


@pytest.fixture
def early(db: None) -> Location:
    return location(1, "Early", EARLY)


@pytest.fixture
def late(db: None) -> Location:
    return location(2, "Late", LATE)


def at(zone: ZoneInfo, hour: int = 12, *, days: int = 0) -> datetime.datetime:
    day = today(zone) + datetime.timedelta(days=days)
    return datetime.datetime.combine(day, datetime.time(hour), zone)


_numbers = iter(range(1000, 9000))


def visit(where: Location, name: str, starts_at: datetime.datetime, **columns: Any) -> Visit:
    number = columns.pop("id", None) or next(_numbers)
    values = {"record_id": number, "client_name": name, "starts_at": starts_at, "read_at": timezone.now()}
    return Visit.objects.create(id=number, location=where, **{**values, **columns})


def operation(where: Location, created_at: datetime.datetime, **columns: Any) -> LoyaltyOperation:
    there = visit(where, f"Client of {where.title}", created_at)
    values: dict[str, Any] = {
        "kind": LoyaltyOperation.Kind.APPLY_CARD_WITHDRAWAL,
        "record_id": there.record_id,
        "card_id": 1,
        "amount": 100,
        "applied_amount": 100,
        "status": LoyaltyOperation.Status.SUCCEEDED,
        "idempotency_key": str(there.pk),
        "finished_at": created_at,
    }
    return LoyaltyOperation.objects.create(
        location=where, visit=there, created_at=created_at, **{**values, **columns}
    )


def get(browser: Client, name: str, *args: Any, **query: Any) -> Any:
    response = browser.get(reverse(f"admin:altegio_loyalty_{name}", args=args), query)
    assert response.status_code == 200
    return response


def words(response: Any) -> str:
    """The page from its breadcrumbs on, without markup."""
    text = re.sub(r"<(script|style)\b.*?</\1>", " ", response.content.decode(), flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", text[text.index("breadcrumbs") :]).split())


def cells(response: Any, column: str) -> dict[str, str]:
    """A column of the list, by the name of the client."""
    found = {}
    for row in re.findall(r"<tr>(.*?)</tr>", response.content.decode(), re.DOTALL):
        name = re.search(r"field-client[^>]*>\s*<a[^>]*>([^<]*)", row)
        cell = re.search(rf"field-{column}[^>]*>(.*?)</t[dh]>", row, re.DOTALL)
        if name and cell:
            found[name[1]] = " ".join(re.sub(r"<[^>]*>", "", cell[1]).split())
    return found


# The list of visits


def test_a_morning_there_is_a_morning_here_and_the_zone_is_named_once(boss: Client) -> None:
    visit(location(1, "East", VLADIVOSTOK), "Anna", at(VLADIVOSTOK, 9))
    page = get(boss, LIST)
    assert cells(page, "time") == {"Anna": "09:00"}
    assert words(page).count("Asia/Vladivostok") == 1


def test_the_readers_own_zone_is_not_named(boss: Client) -> None:
    visit(location(1, "Here", ZoneInfo("UTC")), "Anna", at(ZoneInfo("UTC"), 9))
    assert cells(get(boss, LIST), "time") == {"Anna": "09:00"}
    assert "UTC" not in words(get(boss, LIST))


def test_in_several_zones_each_row_is_in_its_own_and_says_which(
    boss: Client, early: Location, late: Location
) -> None:
    visit(early, "Anna", at(EARLY, 9))
    visit(late, "Bea", at(LATE, 10))
    visit(location(3, "Here"), "Cleo", at(ZoneInfo("UTC"), 11))
    times = {"Anna": "09:00 Pacific/Kiritimati", "Bea": "10:00 Pacific/Niue", "Cleo": "11:00"}
    assert cells(get(boss, LIST), "time") == times


@pytest.mark.parametrize(("day", "days"), [("", 0), ("today", 0), ("yesterday", -1), ("tomorrow", 1)])
def test_a_day_by_its_name_is_each_locations_own(
    boss: Client, early: Location, late: Location, day: str, days: int
) -> None:
    for where, zone in ((early, EARLY), (late, LATE)):
        for there in (-2, -1, 0, 1, 2):
            visit(where, f"{where.title} {there}", at(zone, 0, days=there))
    shown = get(boss, LIST, **({"day": day} if day else {}))
    assert set(cells(shown, "time")) == {f"Early {days}", f"Late {days}"}


def test_a_date_is_that_date_in_each_location(boss: Client, early: Location, late: Location) -> None:
    day = today(EARLY)
    for where, zone in ((early, EARLY), (late, LATE)):
        for hour in (0, 23):
            visit(where, f"{where.title} {hour}", datetime.datetime.combine(day, datetime.time(hour), zone))
    shown = get(boss, LIST, day=day.isoformat())
    assert set(cells(shown, "time")) == {"Early 0", "Early 23", "Late 0", "Late 23"}


def test_a_list_of_one_location_has_that_locations_today(
    boss: Client, early: Location, late: Location
) -> None:
    visit(early, "Anna", at(EARLY))
    for where, zone in ((early, EARLY), (late, LATE)):
        page = get(boss, LIST, location=where.pk)
        assert f'value="{today(zone).isoformat()}"' in page.content.decode()
        assert page.context["panel"]["heading"].startswith("Today, ")
        assert page.context["panel"]["is_today"]


@pytest.mark.parametrize(
    ("day", "heading"), [("today", "Today, 1 January"), ("yesterday", "Yesterday, 31 December")]
)
def test_a_new_year_of_the_location_alone_takes_no_days_name(
    boss: Client, early: Location, monkeypatch: pytest.MonkeyPatch, day: str, heading: str
) -> None:
    new_year = datetime.date(2027, 1, 1)

    def in_zone(zone: datetime.tzinfo | None = None) -> datetime.date:
        return new_year if zone == EARLY else new_year - datetime.timedelta(days=1)

    monkeypatch.setattr(filters, "today", in_zone)
    assert get(boss, LIST, location=early.pk, day=day).context["panel"]["heading"] == heading


def test_where_the_days_differ_the_heading_names_no_date(
    boss: Client, early: Location, late: Location
) -> None:
    assert get(boss, LIST).context["panel"]["heading"] == "Today"
    heading = get(boss, LIST, day=today(EARLY).isoformat()).context["panel"]["heading"]
    assert "Today" not in heading
    assert "Yesterday" not in heading


def test_today_is_read_as_each_locations_own(salon: Salon, boss: Client) -> None:
    other = salon.add_location("Harbour")
    zones = {salon.location.pk: EARLY, other.pk: LATE}
    for number, zone in zones.items():
        Location.objects.filter(pk=number).update(time_zone=str(zone))
        salon.ledger.books.locations[number].timezone = str(zone)
    for number in zones:
        url = reverse("admin:altegio_loyalty_visit_refresh")
        assert boss.post(url, {"day": "today", "location": number}).status_code == 302
    asked = {
        int(request.path.rpartition("/")[2]): request.query["start_date"]
        for request in salon.sandbox.requests
        if "/records/" in request.path
    }
    assert asked == {number: today(zone).isoformat() for number, zone in zones.items()}
    assert "Read from Altegio at " in words(get(boss, LIST))


def test_when_a_location_was_read_is_told_in_its_zone(boss: Client) -> None:
    now = timezone.now()
    location(1, "East", VLADIVOSTOK, visits_read_at=now)
    clock = now.astimezone(VLADIVOSTOK).strftime("%H:%M")
    assert f"Read from Altegio at {clock} Asia/Vladivostok." in words(get(boss, LIST))


# A visit and its operations


def test_the_page_of_a_visit_is_in_the_locations_time(salon: Salon, boss: Client) -> None:
    Location.objects.update(time_zone=str(VLADIVOSTOK))
    there = salon.visit()
    salon.withdraw(there)
    Visit.objects.update(starts_at=at(VLADIVOSTOK, 9), client_name="Anna")
    LoyaltyOperation.objects.update(created_at=at(VLADIVOSTOK, 8))
    for name, args, query in (
        ("visit_change", [there.id], {}),
        ("visit_operate", ["apply_card_withdrawal"], {"visit": there.id}),
    ):
        shown = words(get(boss, name, *args, **query))
        assert "09:00 Asia/Vladivostok" in shown
        assert shown.count("Asia/Vladivostok") == 1
    assert "08:00:00" in words(get(boss, "visit_change", there.id))


def test_when_it_goes_on_by_itself_is_told_in_the_locations_time(early: Location) -> None:
    moment = at(EARLY, 15)
    waiting = operation(
        early, moment, status="pending", last_error="x", next_attempt_at=moment, finished_at=None
    )
    assert "15:00:00" in waiting.sentence


def test_the_page_of_an_operation_is_in_the_locations_time(boss: Client) -> None:
    moment = datetime.datetime(2026, 3, 4, 9, 30, tzinfo=VLADIVOSTOK)
    done = operation(location(1, "East", VLADIVOSTOK), moment, sent_at=moment, expires_at=moment)
    done.attempts.create(purpose="send", outcome="done", started_at=moment)
    shown = words(get(boss, "loyaltyoperation_change", done.pk))
    # Asked, sent, worth trying until, finished; and in order: asked, its attempt, and the signal of its ending.
    assert shown.count("09:30:00 Asia/Vladivostok") == 7
    assert "a.m." not in shown


# The log


def test_the_log_is_in_each_locations_time(boss: Client, early: Location, late: Location) -> None:
    operation(early, at(EARLY, 1))
    operation(late, at(LATE, 2))
    shown = words(get(boss, LOG))
    assert "01:00 Pacific/Kiritimati" in shown
    assert "02:00 Pacific/Niue" in shown


def test_the_logs_today_is_each_locations_own(boss: Client, early: Location, late: Location) -> None:
    for where, zone in ((early, EARLY), (late, LATE)):
        operation(where, at(zone, 0))
        operation(where, at(zone, 0) - datetime.timedelta(seconds=1))
    listed = get(boss, LOG, asked=1).context["cl"].queryset
    assert {row.created_at for row in listed} == {at(EARLY, 0), at(LATE, 0)}


def test_the_export_is_in_each_locations_time(boss: Client, early: Location, late: Location) -> None:
    operation(early, datetime.datetime(2026, 1, 1, 9, tzinfo=EARLY))
    operation(late, datetime.datetime(2026, 1, 1, 9, tzinfo=LATE))
    rows = csv_rows(boss.get(reverse("admin:altegio_loyalty_loyaltyoperation_export")))
    assert [row["Asked at"] for row in rows] == ["2026-01-01T09:00:00-11:00", "2026-01-01T09:00:00+14:00"]


def csv_rows(response: Any) -> list[dict[str, str]]:
    text = b"".join(response.streaming_content).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


# Statistics


def test_a_day_of_points_is_the_locations_day(early: Location, late: Location) -> None:
    for where, zone in ((early, EARLY), (late, LATE)):
        for hour in (0, 23):
            operation(where, datetime.datetime(2026, 3, 4, hour, 30, tzinfo=zone))
    day = datetime.date(2026, 3, 4)
    period = Period(day - datetime.timedelta(days=3), day + datetime.timedelta(days=3), [early, late])
    found = statistics.points_by_day(Q(), period)
    assert {cell: moved.taken for cell, moved in found.cells.items()} == {(day, 1): 200, (day, 2): 200}


@pytest.mark.parametrize("query", [{}, {"location": 2}, {"days": 7}])
def test_the_overview_and_the_log_that_it_leads_to_agree(
    boss: Client, early: Location, late: Location, query: dict[str, int]
) -> None:
    for where, zone in ((early, EARLY), (late, LATE)):
        for days in range(-31, 1):
            operation(where, at(zone, 0, days=days))
    (row,) = get(boss, OVERVIEW, **query).context["outcomes"]
    assert str(boss.get(row["url"]).context["cl"].result_count) == row["count"]


def test_the_overview_says_whose_days_it_counts(boss: Client, early: Location) -> None:
    assert "in the time zone Pacific/Kiritimati" in words(get(boss, OVERVIEW))
    location(2, "Late", LATE)
    assert "in each location's own time zone" in words(get(boss, OVERVIEW)).replace("&#x27;", "'")


def test_a_period_can_end_where_today_has_come(boss: Client, early: Location, late: Location) -> None:
    chosen = {"since": today(EARLY).isoformat(), "until": today(EARLY).isoformat()}
    assert get(boss, OVERVIEW, **chosen).context["form"].problems == []
    assert get(boss, OVERVIEW, location=late.pk, **chosen).context["form"].problems != []


# Money


@pytest.fixture
def two_currencies(db: None) -> tuple[Location, Location]:
    return location(1, "Prague", currency="CZK"), location(2, "Tokyo", currency="JPY")


def test_amounts_bear_their_currency_where_there_are_several(
    boss: Client, two_currencies: tuple[Location, Location]
) -> None:
    for where, name in zip(two_currencies, ("Anna", "Bea"), strict=True):
        visit(where, name, timezone.now(), due_amount=1500, covered_amount=Decimal("99.50"))
    visit(location(3, "Unknown"), "Cleo", timezone.now(), due_amount=7, covered_amount=0)
    assert cells(get(boss, LIST, day="all"), "due") == {
        "Anna": "left to pay 1500 CZK", "Bea": "left to pay 1500 JPY", "Cleo": "left to pay 7",
    }  # fmt: skip
    assert cells(get(boss, LIST, day="all"), "applied")["Anna"] == "applied 99.50 CZK"


def test_amounts_are_plain_where_one_currency_is_in_use(boss: Client) -> None:
    visit(location(1, "Prague", currency="CZK"), "Anna", timezone.now(), due_amount=1500)
    location(2, "Brno", currency="CZK")
    location(3, "Unknown")
    assert cells(get(boss, LIST), "due") == {"Anna": "left to pay 1500"}
    assert "CZK" not in words(get(boss, LIST))


def test_the_bill_of_a_visit_names_its_currency(salon: Salon, boss: Client) -> None:
    Location.objects.update(currency="CZK")
    there = salon.visit()
    salon.withdraw(there)
    addresses: list[tuple[str, list[Any], dict[str, Any]]] = [
        ("visit_change", [there.id], {"read": 1}),
        ("visit_operate", ["apply_discount_program"], {"visit": there.id, "read": 1}),
        ("visit_batch_row", ["apply_discount_program"], {"visit": there.id}),
    ]
    for name, args, query in addresses:
        assert "CZK" not in strip_tags(get(boss, name, *args, **query).content.decode()), name
    location(2, "Tokyo", currency="JPY")
    for name, args, query in addresses:
        assert "CZK" in strip_tags(get(boss, name, *args, **query).content.decode()), name


def test_the_log_names_the_currency(boss: Client, two_currencies: tuple[Location, Location]) -> None:
    for where in two_currencies:
        operation(where, timezone.now())
    shown = words(get(boss, LOG))
    assert ("100 CZK" in shown, "100 JPY" in shown) == (True, True)


def test_sums_of_two_currencies_are_never_added_up(
    boss: Client, two_currencies: tuple[Location, Location]
) -> None:
    for where, amount in zip(two_currencies, (100, 2000), strict=True):
        operation(where, timezone.now(), applied_amount=amount)
    operation(location(3, "Unknown"), timezone.now(), applied_amount=5)
    page = get(boss, OVERVIEW)
    taken = {part["currency"]: part["total"]["taken"] for part in page.context["sums"]}
    assert taken == {"CZK": "100", "JPY": "2,000", "Currency not known": "5"}
    titles = {part["currency"]: [row["title"] for row in part["locations"]] for part in page.context["sums"]}
    assert titles == {"CZK": ["Prague"], "JPY": ["Tokyo"], "Currency not known": ["Unknown"]}
    assert "2,100" not in words(page)
    ids = re.findall(r' id="([^"]+)"', page.content.decode())
    assert len(ids) == len(set(ids))


def test_one_currency_is_one_sum_without_its_name(boss: Client) -> None:
    for number, currency in ((1, "CZK"), (2, "CZK"), (3, "")):
        operation(location(number, f"Salon {number}", currency=currency), timezone.now())
    (only,) = get(boss, OVERVIEW).context["sums"]
    assert (only["currency"], only["total"]["taken"]) == ("", "300")


@pytest.mark.parametrize("name", ["days", "locations"])
def test_the_files_name_the_currency(boss: Client, name: str) -> None:
    operation(location(1, "Prague", currency="CZK"), timezone.now())
    url = reverse("admin:altegio_loyalty_loyaltyoperation_figure", args=[name])
    assert [row["Currency"] for row in csv_rows(boss.get(url))] == ["CZK"]


def test_the_export_names_the_currency(boss: Client) -> None:
    operation(location(1, "Prague", currency="CZK"), timezone.now())
    rows = csv_rows(boss.get(reverse("admin:altegio_loyalty_loyaltyoperation_export")))
    assert [row["Currency"] for row in rows] == ["CZK"]


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        ("1500.00", "CZK", "1500 CZK"),
        ("99.50", "CZK", "99.50 CZK"),
        ("1500.00", "JPY", "1500 JPY"),
        ("99.50", "JPY", "99.50 JPY"),  # what is there is not hidden
        ("12.50", "KWD", "12.500 KWD"),
        ("99.50", "", "99.50"),
    ],
)
def test_an_amount_has_the_decimals_of_its_currency(amount: str, currency: str, text: str) -> None:
    assert points(Decimal(amount), currency).replace("\N{NO-BREAK SPACE}", " ") == text
    assert (decimals_of("JPY"), decimals_of("KWD"), decimals_of("EUR"), decimals_of("")) == (0, 3, 2, 2)


@pytest.mark.parametrize(("currency", "is_taken"), [("JPY", False), ("EUR", True), ("", True)])
@pytest.mark.parametrize("field", ["choice", "card_id"])
def test_a_typed_amount_has_no_more_decimals_than_the_currency(
    salon: Salon, boss: Client, currency: str, is_taken: bool, field: str
) -> None:
    """As typed beside the card that was chosen, and beside one that was typed."""
    Location.objects.update(currency=currency)
    there = salon.visit()
    visit(
        salon.location,
        "Anna",
        timezone.now(),
        id=there.id,
        record_id=there.record_id,
        client_id=salon.client.id,
    )
    url = reverse("admin:altegio_loyalty_visit_operate", args=["apply_card_withdrawal"])
    prefix = f"visit{there.id}"
    fields = {f"{prefix}-{field}": salon.card.id, f"{prefix}-amount": "2,5", "visit": there.id}
    boss.post(url, {**fields, "token": uuid.uuid4().hex})
    assert LoyaltyOperation.objects.exists() == is_taken


def test_where_a_currency_has_no_decimals_all_and_half_are_whole(salon: Salon, boss: Client) -> None:
    """A fraction on the card stays there, on the form of one visit and in the row of one of several."""
    Location.objects.update(currency="JPY")
    card = salon.ledger.add_card(salon.client, balance="21.75", title="Fraction")
    there = salon.visit()
    ids = {"id": there.id, "record_id": there.record_id, "client_id": salon.client.id}
    visit(salon.location, "Anna", timezone.now(), **ids)
    form = reverse("admin:altegio_loyalty_visit_operate", args=["apply_card_withdrawal"])
    page = boss.get(form, {"visit": there.id, "choice": card.id, "read": 1}).context["form"]
    assert [part.amount for part, _is_preset in page.parts] == [21, 20, 10, 5]
    row = boss.get(
        reverse("admin:altegio_loyalty_visit_batch_row", args=["apply_card_withdrawal"]), {"visit": there.id}
    )
    assert f"{card.id}|21|21" in row.content.decode()


# Setting them


def test_a_person_sets_time_zone_and_currency(boss: Client, early: Location) -> None:
    url = reverse("admin:altegio_loyalty_location_change", args=[early.pk])
    form = {
        "title": "Early",
        "id": early.pk,
        "is_active": "on",
        "access-TOTAL_FORMS": 0,
        "access-INITIAL_FORMS": 0,
    }
    boss.post(url, {**form, "time_zone": "Europe/Prague", "currency": "CZK"})
    early.refresh_from_db()
    assert (early.time_zone, early.currency) == ("Europe/Prague", "CZK")
    refused = boss.post(url, {**form, "time_zone": "Prague", "currency": "Kč"})
    assert "This is no time zone." in refused.content.decode()
    assert "Three capital letters" in refused.content.decode()
