"""Reports: by whatever they are told apart, they add up to the overview, and each figure leads to its operations."""

from __future__ import annotations

import csv
import datetime
import io
import random
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from django.contrib.auth import get_user_model
from django.db.models import Sum
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from altegio_loyalty import retention, statistics
from altegio_loyalty.admin.overview import reports
from altegio_loyalty.admin.overview.reports import REPORTS, Line, months_of
from altegio_loyalty.bills import keep_figures
from altegio_loyalty.client import VisitDetails
from altegio_loyalty.models import Location, LocationAccess, LoyaltyOperation, Visit
from altegio_loyalty.statistics import Moved, Period

pytestmark = pytest.mark.django_db

Kind, Status, Ending = LoyaltyOperation.Kind, LoyaltyOperation.Status, LoyaltyOperation.Ending
PAGE, OVERVIEW, FILE, LIST = (
    f"admin:altegio_loyalty_loyaltyoperation_{name}"
    for name in ("reports", "overview", "report", "changelist")
)
BEGAN = datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC)
DAYS = {"since": "2026-03-20", "until": "2026-04-14"}
POINTS_REPORTS = [name for name in REPORTS if name != "promotion"]


@pytest.fixture
def manager(sign_in: Callable[..., Client]) -> Client:
    return sign_in("view_loyaltyoperation", "view_visit", username="manager")


class Salons:
    """Three locations in zones far apart, in two currencies, with whatever can become of an operation."""

    def __init__(self, seed: int) -> None:
        self.chance, self.count = random.Random(seed), 0
        zones = {"Asia/Kathmandu": "EUR", "America/New_York": "USD", "Pacific/Auckland": "EUR"}
        self.locations = [
            Location.objects.create(id=number, title=zone, time_zone=zone, currency=currency)
            for number, (zone, currency) in enumerate(zones.items(), 1)
        ]
        self.visits = [
            Visit.objects.create(
                id=number, location=self.locations[number % 3], record_id=number, client_name=f"Client {number % 7}",
                client_id=number % 7 or None, total_amount=(None, 500, 900)[number % 5 % 3], created_at=BEGAN,
            )
            for number in range(1, 25)
        ]  # fmt: skip

    def add(self, **columns: Any) -> LoyaltyOperation:
        self.count += 1
        chance = self.chance
        visit = columns.get("visit") or chance.choice(self.visits)
        at = BEGAN + datetime.timedelta(seconds=chance.randrange(50 * 86400))
        kind = chance.choice(Kind.values)
        finished = at + datetime.timedelta(seconds=chance.choice([1, 3000, 200_000]))
        defaults: dict[str, Any] = {
            "kind": kind, "location": visit.location, "visit": visit, "record_id": visit.record_id, "card_id": self.count,
            "status": chance.choice([Status.SUCCEEDED] * 6 + [Status.REJECTED, Status.FAILED]), "created_at": at,
            "idempotency_key": f"report-{self.count}", "finished_at": finished,
            "sent_at": chance.choice([None, at, finished]), "unanswered_at": chance.choice([None, None, finished]),
            "requested_by_login": chance.choice(["", "maria", "o'hara & co"]),
            "card_title": chance.choice(["", "Gold", "Gold ···1234", "Silver ···9999", "50 % ···1 ···0001"]),
            "closed_at": finished,
        }  # fmt: skip
        is_apply = defaults["kind"] in statistics.APPLIES
        if "program" in kind:
            defaults |= {
                "program_id": (number := chance.randrange(1, 5)),
                "program_title": f"Promotion {number}",
            }
        amount = chance.choice([None, Decimal(0), Decimal("0.10"), Decimal("33.33"), Decimal(120)])
        defaults["applied_amount" if is_apply else "returned_amount"] = amount
        if not is_apply and amount is None:
            defaults["ending"] = chance.choice(["", Ending.NOTHING_TO_CANCEL])
        return LoyaltyOperation.objects.create(**{**defaults, **columns})


@pytest.fixture(params=range(3))
def salons(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Salons:
    """Some of it stands in the sums per day, and some of it in the log alone."""
    monkeypatch.setattr(retention, "SUMMED_AT_ONCE", 40)
    found = Salons(request.param)
    for number in range(150):
        found.add()
        if number in (60, 120):
            retention.add_up()
    return found


@pytest.fixture
def few(request: pytest.FixtureRequest) -> Salons:
    return Salons(0)


def look(browser: Client, by: str, **query: Any) -> Any:
    response = browser.get(reverse(PAGE), {"by": by, **DAYS, **query})
    assert response.status_code == 200
    return response


def text_of(response: Any) -> str:
    return str(response.content.decode())


def file_of(browser: Client, by: str, **query: Any) -> list[list[str]]:
    response: Any = browser.get(reverse(FILE), {"by": by, **DAYS, **query})
    assert response.status_code == 200
    text = b"".join(response.streaming_content).decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=";" if "comma" in query else ","))


def rows_of(response: Any) -> list[Line]:
    return [line for part in response.context["parts"] for line, _bar in part["rows"]]


def named(response: Any) -> dict[str, Line]:
    return {line.name: line for line in rows_of(response)}


def cells_of(response: Any, name: str) -> list[str]:
    """What the page shows in the row of this name."""
    (row,) = re.findall(
        rf'<tr>\s*<th scope="row">(?:<a[^>]*>)?{re.escape(name)}<.*?</tr>', text_of(response), re.DOTALL
    )
    cells = re.findall(r"<td.*?</td>", row, re.DOTALL)
    return [" ".join(re.sub(r"<[^>]*>", " ", cell).split()) for cell in cells]


def listed(browser: Client, url: str) -> int:
    return int(browser.get(url).context["cl"].result_count)


def in_march(day: int, **more: Any) -> dict[str, Any]:
    """Done at noon, in every zone here on that day or the next."""
    at = datetime.datetime(2026, 3, day, 12, tzinfo=datetime.UTC)
    columns = {
        "status": Status.SUCCEEDED,
        "kind": Kind.APPLY_CARD_WITHDRAWAL,
        "ending": "",
        "returned_amount": None,
    }
    return {**columns, "created_at": at, "finished_at": at, "sent_at": at, "unanswered_at": None, **more}


# What they add up to


@pytest.mark.parametrize("by", POINTS_REPORTS)
def test_each_report__adds_up_to_the_overview(salons: Salons, manager: Client, by: str) -> None:
    shown = manager.get(reverse(OVERVIEW), DAYS).context["shown"]
    expected = {currency: points.total for currency, points in shown.by_currency().items()}
    assert set(expected) == {"EUR", "USD"}
    assert {part["currency"]: part["total"].now for part in look(manager, by).context["parts"]} == expected


@pytest.mark.parametrize("by", [name for name in POINTS_REPORTS if name != "month"])
def test_the_period_before__adds_up_to_the_overview_of_its_days(
    salons: Salons, manager: Client, by: str
) -> None:
    days = {"since": "2026-02-22", "until": "2026-03-19"}
    shown = manager.get(reverse(OVERVIEW), days).context["shown"]
    expected = {currency: points.total for currency, points in shown.by_currency().items()}
    assert {part["currency"]: part["total"].before for part in look(manager, by).context["parts"]} == expected


def test_promotions__are_as_many_as_the_overview_counts(salons: Salons, manager: Client) -> None:
    outcomes = manager.get(reverse(OVERVIEW), DAYS).context["shown"].outcomes
    parts = look(manager, "promotion").context["parts"]
    applied = sum(part["total"].now.apply_count for part in parts)
    assert applied == outcomes.by_kind[Kind.APPLY_DISCOUNT_PROGRAM, Status.SUCCEEDED] > 0


@pytest.mark.parametrize("salons", [0], indirect=True)  # hundreds of pages for each
@pytest.mark.parametrize("by", REPORTS)
def test_each_figure__leads_to_as_many_operations_in_the_log(
    salons: Salons, manager: Client, by: str
) -> None:
    parts = look(manager, by).context["parts"]
    lines = [line for part in parts for line, _bar in part["rows"]] + [part["total"] for part in parts]
    assert len(lines) > 2
    for line in lines:
        taken, back = line.now.apply_count, line.now.cancel_count
        before = line.before.apply_count + line.before.cancel_count
        is_month = by == "month" and line.key is None  # whose months before are none of its own
        for url, count in zip(
            line.urls[: 3 if is_month else 4], (taken + back, taken, back, before), strict=False
        ):
            assert listed(manager, url) == count, url


@pytest.mark.parametrize("salons", [1], indirect=True)
@pytest.mark.parametrize("by", REPORTS)
def test_the_operations_of_a_figure__add_up_to_it(salons: Salons, manager: Client, by: str) -> None:
    for line in rows_of(look(manager, by)):
        for url, moved in ((line.urls[0], line.now), (line.urls[3], line.before)):
            found = manager.get(url).context["cl"].queryset.order_by()
            sums = found.aggregate(taken=Sum("applied_amount"), back=Sum("returned_amount"))
            taken, back = (sums[name] or Decimal(0) for name in ("taken", "back"))
            assert (taken - back).quantize(Decimal("0.01")) == moved.net, url


def test_the_file_of_a_figures_operations__holds_just_these(salons: Salons, manager: Client) -> None:
    line = rows_of(look(manager, "person"))[0]
    export = line.urls[0].replace("loyaltyoperation/?", "loyaltyoperation/export/?")
    text = b"".join(manager.get(export).streaming_content).decode()  # type: ignore[attr-defined]
    assert len(text.splitlines()) == line.now.apply_count + line.now.cancel_count + 1


@pytest.mark.parametrize("by", REPORTS)
def test_the_file__holds_what_the_page_shows(salons: Salons, manager: Client, by: str) -> None:
    _header, *rows = file_of(manager, by)
    shown = [
        (
            line.name,
            *(str(figure) for figure in (line.now.apply_count, line.now.cancel_count, line.now.taken)),
        )
        for line in rows_of(look(manager, by))
    ]
    assert [tuple(row[1:5]) for row in rows] == shown


def test_the_file__has_decimal_commas_where_asked(few: Salons, manager: Client) -> None:
    few.add(**in_march(25, applied_amount=Decimal("99.50")))
    assert file_of(manager, "location")[1][4] == "99.50"
    assert file_of(manager, "location", comma=1)[1][4] == "99,50"


# One thing each


def test_more_than_fit__share_a_row_and_the_file_names_all(
    salons: Salons, manager: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "MOST_ROWS", 2)
    for by in ("client", "promotion"):
        for part in look(manager, by).context["parts"]:
            *told, rest = [line for line, _bar in part["rows"]]
            assert (len(told), rest.name, rest.urls) == (2, "all others", ())
            assert sum((line.now for line in (*told, rest)), Moved()) == part["total"].now
        assert len(file_of(manager, by)) > 2 * 3 + 1


def test_a_card_type__is_the_title_without_the_cards_number(few: Salons, manager: Client) -> None:
    for title in ("Gold ···1234", "Gold ···5678", "Gold", "", "···"):
        few.add(**in_march(25, applied_amount=1, card_title=title, visit=few.visits[0]))
    counts = {name: line.now.apply_count for name, line in named(look(manager, "card")).items()}
    assert counts == {"Gold": 3, "not known": 1, "···": 1}


def test_a_client__is_one_whatever_the_name_on_each_visit(few: Salons, manager: Client) -> None:
    first, second = few.visits[0], few.visits[3]
    Visit.objects.filter(pk=second.pk).update(client_id=first.client_id, client_name="Jane <b>Smith</b>")
    for visit in (first, second):
        few.add(**in_march(25, applied_amount=1, visit=visit))
    response = look(manager, "client")
    assert {name: line.now.apply_count for name, line in named(response).items()} == {"Jane <b>Smith</b>": 2}
    assert "Jane &lt;b&gt;Smith" in text_of(response)


def test_whoever_was_made_anonymous__is_no_client_of_a_number(few: Salons, manager: Client) -> None:
    Visit.objects.filter(pk=few.visits[0].pk).update(client_id=0, client_name="")
    few.add(**in_march(25, applied_amount=1, visit=few.visits[0]))
    (line,) = rows_of(look(manager, "client"))
    assert line.name == "Anonymised"
    assert listed(manager, line.urls[0]) == 1


def test_what_a_program_asked_for__is_nobodys(few: Salons, manager: Client) -> None:
    few.add(**in_march(25, applied_amount=1, requested_by_login=""))
    assert list(named(look(manager, "person"))) == ["nobody; a program asked"]


def test_a_promotion__costs_what_was_shown_of_it_and_no_more(few: Salons, manager: Client) -> None:
    visit, apply, cancel = few.visits[0], Kind.APPLY_DISCOUNT_PROGRAM, Kind.CANCEL_DISCOUNT_PROGRAM
    known = {"program_id": 5, "program_title": "Spring", "visit": visit}
    few.add(**in_march(25, kind=apply, applied_amount=300, **known))
    few.add(**in_march(26, kind=apply, applied_amount=None, **known))
    few.add(**in_march(27, kind=cancel, applied_amount=None, **known) | {"returned_amount": 100})
    few.add(**in_march(28, kind=apply, applied_amount=None, program_id=6, program_title="", visit=visit))
    response = look(manager, "promotion")
    assert cells_of(response, "Spring")[:6] == [
        "2",
        "300",
        "",
        "1",
        "100",
        "200 and of 1 operation not known",
    ]
    assert cells_of(response, "Promotion 6")[:6] == ["1", "not known", "", "0", "not known", "not known"]


def test_the_bills__tell_what_share_points_paid_and_of_how_many_it_is_known(
    few: Salons, manager: Client
) -> None:
    first, second, third = [visit for visit in few.visits if visit.location.pk == 2][:3]
    Visit.objects.filter(pk__in=(first.pk, second.pk)).update(total_amount=1000)
    Visit.objects.filter(pk=third.pk).update(total_amount=None)
    for visit, amount in ((first, 100), (first, 150), (second, 50), (third, 70)):
        few.add(**in_march(25, applied_amount=amount, visit=visit))
    assert cells_of(look(manager, "location", bills=1), "America/New_York")[-1] == "15.0 % 2 of 3 visits"
    assert "bills" not in " ".join(cells_of(page := look(manager, "location"), "America/New_York"))
    assert f'href="{page.context["bills_url"]}"'.replace("&", "&amp;") in text_of(page)
    assert file_of(manager, "location")[1][-5:] == ["3", "2", "2000.00", "300.00", "USD"]


def test_a_bill__is_kept_where_the_visit_shows_its_lines(few: Salons) -> None:
    visit = few.visits[0]
    costs: tuple[tuple[list[Any], Any], ...] = (
        ([700, Decimal("300.5")], Decimal("1000.50")),
        ([], None),
        ([None], None),
    )
    for lines, total in costs:
        items = [{"item_title": "Cut", "cost": cost} for cost in lines]
        keep_figures(visit.pk, VisitDetails.parse({"loyalty_transactions": [], "items": items}))
        visit.refresh_from_db()
        assert visit.total_amount == total


# The period before


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("2026-03-01", "2026-03-31", [("03-01", "03-31", "02-01", "02-28")]),
        ("2026-03-10", "2026-03-31", [("03-10", "03-31", "02-10", "02-28")]),
        ("2026-03-30", "2026-03-30", [("03-30", "03-30", "02-28", "02-28")]),
        (
            "2026-01-31",
            "2026-02-03",
            [("01-31", "01-31", "12-31", "12-31"), ("02-01", "02-03", "01-01", "01-03")],
        ),
    ],
)
def test_a_month__stands_beside_the_same_days_of_the_one_before(
    first: str, last: str, expected: list[tuple[str, ...]]
) -> None:
    found = months_of(Period(datetime.date.fromisoformat(first), datetime.date.fromisoformat(last)))
    days = [(now.first, now.last, before.first, before.last) for now, before in found]
    assert [tuple(day.isoformat()[5:] for day in row) for row in days] == expected


def test_the_period_before__has_as_many_days_and_ends_where_this_one_begins(
    few: Salons, manager: Client
) -> None:
    same = {"visit": next(visit for visit in few.visits if visit.location.pk == 2), "card_title": "Gold"}
    for day, amount in ((9, 1), (10, 10), (19, 20), (20, 60), (29, 60)):
        few.add(**in_march(day, applied_amount=amount, requested_by_login="maria", **same))
    for by in ("location", "person", "card", "client"):
        (line,) = rows_of(look(manager, by, until="2026-03-29"))
        assert (line.now.net, line.before.net, line.change) == (Decimal(120), Decimal(30), "+300.0 %"), by


@pytest.mark.parametrize(
    ("now", "before", "words"),
    [
        (0, 0, "–"),
        (5, 0, "–"),
        (5, 5, "0 %"),
        (0, 5, "−100.0 %"),
        (7, 5, "+40.0 %"),
        (100_001, 100_000, "+0.1 %"),
    ],
)
def test_a_change__is_none_only_where_there_is_none(now: int, before: int, words: str) -> None:
    assert Line(None, "", Moved(Decimal(now)), Moved(Decimal(before))).change == words


@pytest.mark.parametrize(
    ("now", "before", "words"),
    [
        (Moved(unknown_count=1, apply_count=1), Moved(Decimal(5), apply_count=1), "–"),
        (Moved(Decimal(5), apply_count=1), Moved(Decimal(5), unknown_count=2, apply_count=2), "–"),
        (Moved(Decimal(7), unknown_count=1, apply_count=2), Moved(Decimal(5), apply_count=1), "≈ +40.0 %"),
        (Moved(Decimal(5), apply_count=1), Moved(Decimal(5), unknown_count=1, apply_count=2), "≈ 0 %"),
    ],
)
def test_a_change__is_about_where_amounts_are_not_known_and_none_where_no_amount_is(
    now: Moved, before: Moved, words: str
) -> None:
    assert Line(None, "", now, before).change == words


def test_a_period_before_of_which_no_amount_is_known__is_not_told_as_nothing(
    few: Salons, manager: Client
) -> None:
    few.add(**in_march(25, applied_amount=5))
    few.add(**in_march(2, applied_amount=None, visit=few.visits[0]))
    assert cells_of(look(manager, "weekday"), "Monday")[-2:] == ["not known", "–"]


# What was pruned


def figures_of(browser: Client, by: str) -> list[tuple[Any, ...]]:
    return [(line.name, line.now, line.before) for line in rows_of(look(browser, by))]


@pytest.mark.parametrize("by", REPORTS)
def test_what_was_pruned__counts_as_before(
    salons: Salons, manager: Client, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    before = figures_of(manager, by)
    monkeypatch.setattr(retention, "FEWEST_DAYS", 0)
    # To the 11th of April; only some of the visits are over by then.
    age = (timezone.now() - datetime.datetime(2026, 4, 11, tzinfo=datetime.UTC)).days
    LoyaltyOperation.objects.filter(visit__lte=12).update(closed_at=BEGAN, next_attempt_at=None)
    assert sum(retention.prune(age)) > 0
    assert figures_of(manager, by) == before
    assert "as far as the log is kept" in text_of(look(manager, by))


@pytest.mark.parametrize("by", REPORTS)
def test_what_is_added_up__counts_as_before(
    few: Salons, manager: Client, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """One operation after the other; whoever is among the first is told from the sums and the log together."""
    monkeypatch.setattr(retention, "SUMMED_AT_ONCE", 1)
    monkeypatch.setattr(reports, "MOST_ROWS", 2)
    for _ in range(30):
        few.add()
    before = figures_of(manager, by)
    for _ in range(LoyaltyOperation.objects.filter(status__in=statistics.SETTLED).count()):
        retention.add_up()
        assert figures_of(manager, by) == before
    assert LoyaltyOperation.objects.filter(is_summed=False, status=Status.SUCCEEDED).count() == 0


@pytest.mark.parametrize(
    ("most", "names"), [(3, ["first", "second", "earlier"]), (2, ["first", "second", "all others"])]
)
def test_who_moved_points_before_alone__has_a_row_where_the_period_has_fewer(
    few: Salons, manager: Client, monkeypatch: pytest.MonkeyPatch, most: int, names: list[str]
) -> None:
    monkeypatch.setattr(retention, "SUMMED_AT_ONCE", 1)
    monkeypatch.setattr(reports, "MOST_ROWS", most)
    for amount, (login, day) in enumerate((("earlier", 10), ("second", 25), ("first", 25)), 1):
        moved = {"applied_amount": amount, "requested_by_login": login, "visit": few.visits[0]}
        few.add(**in_march(day, **moved))
        retention.add_up()
    assert [line.name for line in rows_of(look(manager, "person"))] == names


def test_a_renamed_promotion_or_client__has_one_row_and_one_name(
    few: Salons, manager: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "SUMMED_AT_ONCE", 1)
    visit = few.visits[0]
    for title in ("Autumn", "Spring", "Autumn"):
        few.add(
            **in_march(25, kind=Kind.APPLY_DISCOUNT_PROGRAM, program_id=5, program_title=title, visit=visit)
        )
        few.add(**in_march(25, applied_amount=1, visit=visit))
        Visit.objects.filter(client_id=visit.client_id).update(client_name=f"Client in {title}")
        for _ in range(title == "Autumn" and 2):
            retention.add_up()
    assert {name: line.now.apply_count for name, line in named(look(manager, "promotion")).items()} == {
        "Spring": 3
    }
    assert {name: line.now.apply_count for name, line in named(look(manager, "client")).items()} == {
        "Client in Autumn": 3
    }


# Who may see it


@pytest.mark.parametrize("name", [PAGE, FILE])
def test_only_who_may_view_the_log_sees_a_report(sign_in: Callable[..., Client], name: str) -> None:
    assert sign_in("view_visit", "view_location").get(reverse(name)).status_code == 403
    assert sign_in("view_loyaltyoperation").get(reverse(name)).status_code == 200


def test_who_may_not_see_visits__has_no_report_by_client(few: Salons, sign_in: Callable[..., Client]) -> None:
    few.add(**in_march(25, applied_amount=1))
    person = sign_in("view_loyaltyoperation")
    response = look(person, "client")
    assert "There is no such report for you." in text_of(response)
    assert not any("Client" in line.name for line in rows_of(response))
    assert not re.search("by=client", text_of(response))
    assert person.get(reverse(FILE), {"by": "client"}).status_code == 400
    assert person.get(reverse(LIST), {"by": "client", "of": "1"}).status_code == 302


def test_who_is_bound_to_a_location__sees_its_figures_alone(salons: Salons, manager: Client) -> None:
    LocationAccess.objects.create(
        location=salons.locations[1], user=get_user_model().objects.get(username="manager")
    )
    for by in REPORTS:
        (part,) = look(manager, by).context["parts"]
        assert part["currency"] == "USD"
        for line, _bar in part["rows"]:
            assert listed(manager, line.urls[0]) == line.now.apply_count + line.now.cancel_count
        assert not any("Auckland" in cell or "EUR" in cell for row in file_of(manager, by) for cell in row)


def test_one_location__is_looked_at_alone(salons: Salons, manager: Client) -> None:
    for by in REPORTS:
        (part,) = look(manager, by, location=1).context["parts"]
        assert part["currency"] == "EUR"
        now = part["total"].now
        assert listed(manager, part["total"].urls[0]) == now.apply_count + now.cancel_count


@pytest.mark.parametrize(
    "query",
    [
        {"by": "client", "of": "x"}, {"by": "promotion", "of": "9" * 30}, {"by": "nonsense"}, {"weekday": "8"},
        {"by": "weekday", "weekday": "x"}, {"since": "yesterday"}, {"since": "0001-01-01"},
        {"by": "location", "location": "999"}, {"since": "2026-03-02", "until": "2026-03-01"},
    ],
)  # fmt: skip
def test_a_figure_that_makes_no_sense__is_refused_and_not_shown_as_another(
    few: Salons, manager: Client, query: dict[str, str]
) -> None:
    response = manager.get(reverse(LIST), query)
    assert (response.status_code, response["Location"].endswith("?e=1")) == (302, True)


def test_a_weekday_that_is_not_among_the_days__has_no_operations(salons: Salons, manager: Client) -> None:
    query: dict[str, Any] = {"by": "weekday", "since": "2026-03-20", "until": "2026-03-20", "weekday": 1}
    assert manager.get(reverse(LIST), query).context["cl"].result_count == 0


# The page


@pytest.mark.parametrize("by", REPORTS)
def test_a_report__is_10_queries_at_the_most_whatever_the_size(
    salons: Salons, sign_in: Callable[..., Client], by: str, django_assert_max_num_queries: Any
) -> None:
    person = sign_in("view_loyaltyoperation", "view_visit", username="bound")
    Location.objects.filter(pk=3).update(currency="NZD")
    for location in salons.locations:
        LocationAccess.objects.create(location=location, user=get_user_model().objects.get(username="bound"))
    with django_assert_max_num_queries(10):
        assert len(look(person, by).context["parts"]) == 3


@pytest.mark.parametrize("by", REPORTS)
def test_a_report__needs_no_inline_style_or_script(few: Salons, manager: Client, by: str) -> None:
    few.add(**in_march(25, applied_amount=1))
    content = re.search(r'<div id="content-main".*?<footer', text_of(look(manager, by)), re.DOTALL)
    assert content
    assert not re.search(r"<script|<style|\sstyle=|\son\w+=", content[0])


def test_reports__are_linked_from_the_overview_and_from_the_log(few: Salons, manager: Client) -> None:
    assert f'href="{reverse(PAGE)}?since=2026-03-20' in text_of(manager.get(reverse(OVERVIEW), DAYS))
    assert f'href="{reverse(PAGE)}"' in text_of(manager.get(reverse(LIST)))


@pytest.mark.parametrize("by", REPORTS)
def test_an_empty_log__says_so(manager: Client, by: str) -> None:
    assert "in these days, or in those before." in text_of(manager.get(reverse(PAGE), {"by": by}))


def test_the_log__says_which_figure_it_is_narrowed_to(few: Salons, manager: Client) -> None:
    query: dict[str, Any] = {"by": "person", "of": "maria", **DAYS, "currency": "EUR"}
    page = text_of(manager.get(reverse(LIST), query))
    assert "03/20/2026 – 04/14/2026, Person, maria, EUR" in page


def charts_of(response: Any) -> list[tuple[str, list[str], str]]:
    """Of each chart its title, what its bars say, and what is said beside it."""
    drawn = [part for part in response.context["parts"] if part.get("chart")]
    found = [(ET.fromstring(part["chart"]), part["said"]) for part in drawn]
    return [
        (svg.findtext("title") or "", [bar.findtext("title") or "" for bar in svg.iter("rect")], said)
        for svg, said in found
    ]


def paid(salons: Salons, day: int, amount: int | None) -> None:
    salons.add(**in_march(day, visit=salons.visits[0], applied_amount=amount))


def test_by_weekday__a_chart_says_on_which_most_was_paid(few: Salons, manager: Client) -> None:
    paid(few, 23, 1500)
    paid(few, 25, 400)
    paid(few, 16, 1000)
    (title, bars, said), *others = charts_of(look(manager, "weekday"))
    monday = "Monday – 1,500, before 1,000 (+50.0 %)"
    assert (title, others) == ("Points taken less those given back, USD", [])
    assert bars == [monday, monday, "Wednesday – 400, before 0 (–)"]
    assert said == f"The most: {monday}."


@pytest.mark.parametrize("amount", [1500, None], ids=["as much", "nobody knows how much"])
def test_by_weekday__no_day_is_called_the_highest_where_none_is(
    few: Salons, manager: Client, amount: int | None
) -> None:
    paid(few, 23, 1500)
    paid(few, 25, amount)
    assert [said for *_chart, said in charts_of(look(manager, "weekday"))] == [""]


def test_by_month__a_chart_says_how_the_latest_compares(few: Salons, manager: Client) -> None:
    paid(few, 25, 800)
    paid(few, 2, 200)
    response = look(manager, "month", since="2026-03-01", until="2026-03-26")
    march = "March 2026, days 1 to 26 – 1,000, before 0 (–)"
    assert charts_of(response) == [
        ("Points taken less those given back, USD", [march], f"The latest: {march}.")
    ]
    assert "<desc" in text_of(response)


@pytest.mark.parametrize("by", [name for name in REPORTS if name not in ("weekday", "month")])
def test_what_has_no_order_in_time__has_no_chart(few: Salons, manager: Client, by: str) -> None:
    paid(few, 25, 800)
    assert charts_of(look(manager, by)) == []
