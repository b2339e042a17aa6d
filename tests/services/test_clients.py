"""What is kept of a client can be shown to them, and made anonymous: for good, everywhere, and without another figure."""

from __future__ import annotations

import datetime
import json
import os
import signal
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.apps import apps
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError, call_command
from django.db.models import Q
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from altegio_loyalty import bills, database, retention, services, statistics
from altegio_loyalty.client import VisitDetails
from altegio_loyalty.client.types import Card, Cards
from altegio_loyalty.exceptions import OperationNotAllowed
from altegio_loyalty.models import (
    ANONYMISED,
    BooksItem,
    BooksOfDay,
    GroupSum,
    Location,
    LoyaltyOperation,
    OperationAttempt,
    Visit,
)
from altegio_loyalty.moments import today
from altegio_loyalty.reasons import Reason
from altegio_loyalty.services import clients, visit_rows
from altegio_loyalty.services.clients import anonymise, kept_of, visits_of
from altegio_loyalty.services.day import find_by_client
from altegio_loyalty.services.reading import read_for_screen
from altegio_loyalty.statistics import Period
from tests.delivery.salon import Salon
from tests.test_retention import FINISHED, OLD, History, add

pytestmark = pytest.mark.django_db

Status, Ending = LoyaltyOperation.Status, LoyaltyOperation.Ending
NAME, PHONE, NUMBER = "Jane Doe-Miller", "+13155550175", "4400998QZX"
#: What nobody may find afterwards, and what no moment or random number holds by chance.
PERSONAL = ("jane", "doe", "miller", "3155550175", "555-0175", NUMBER[-4:].lower())


def dump(*models: Any) -> str:
    """Every row of the app, and of the admin's history, in whatever column."""
    tables = models or (*apps.get_app_config("altegio_loyalty").get_models(), LogEntry)
    return "\n".join(repr(row) for table in tables for row in table._base_manager.order_by("pk").values())


def bill_of(client_id: int | None, number: str = NUMBER, card_id: int = 901) -> bills.Bill:
    card = Card(card_id, number, "Gold", Decimal(500), ())
    details, now = VisitDetails.parse({"loyalty_transactions": []}), timezone.now()
    return bills.Bill(details, Cards((card,), 0), client_id, 0, now, now)


class House:
    """A client with three visits on which something was done, decided and noted, and somebody else."""

    def __init__(self) -> None:
        self.here = Location.objects.create(id=1, title="Main Street", partner_token="p", user_token="u")
        self.boss = get_user_model().objects.create_superuser("boss")
        self.visits = [self.visit(number, 77, NAME, PHONE) for number in (100, 101, 102)]
        self.other = self.visit(200, 78, "Bob Stone", "+13155550199")
        for visit in self.visits:
            self.operation(visit)
        self.operation(self.other, "Bob Stone", "4400991234", "Bob called.")

    def visit(self, number: int, client: int | None, name: str, phone: str) -> Visit:
        facts = {"location": self.here, "record_id": number + 1000, "starts_at": timezone.now()}
        visit = Visit.objects.create(
            id=number, client_id=client, client_name=name, client_phone=phone, **facts
        )
        bills._write(visit, bill_of(client) if client == 77 else bill_of(client, "4400991234", 902))
        return visit

    def operation(
        self,
        visit: Visit,
        name: str = NAME,
        number: str = NUMBER,
        said: str = "Jane called from 315-555-0175, card 8QZX.",
        **columns: Any,
    ) -> Any:
        operation = add(
            self.here, visit=visit, card_title=f"Gold ···{number[-4:]}", applied_amount=5,
            last_error=Reason("refused", {"http": "422"}, said=f"{name} has no points").stored(), **columns,
        )  # fmt: skip
        operation.attempts.update(answer=f'{{"number": "{number}", "name": "{name}"}}')
        decision = {"purpose": "decision", "outcome": "closed", "error": said, "made_by_login": "boss"}
        operation.attempts.create(made_by=self.boss, **decision)
        books = BooksOfDay.objects.get_or_create(location=self.here, day=today())[0]
        sides = {"card_id": operation.card_id, "by_log": 5, "by_altegio": 4}
        BooksItem.objects.create(
            location=self.here, books=books, visit_id=visit.pk, reason=said, closed_by_login="boss", **sides
        )
        for row, message in ((visit, "Added."), (operation, f"Closed: {said}")):
            LogEntry.objects.create(
                user=self.boss, action_flag=CHANGE, object_id=str(row.pk), object_repr=str(row),
                change_message=message, content_type=ContentType.objects.get_for_model(row),
            )  # fmt: skip
        return operation


@pytest.fixture
def house() -> House:
    return House()


def forget(**who: Any) -> tuple[int, int]:
    return list(anonymise(found(**who)))[-1]


def found(client: int | None = 77, visit: int | None = None, location: int | None = None) -> Any:
    return visits_of(client, visit, location)


def command(*arguments: str) -> str:
    """Where nobody is to be asked."""
    return typed(*arguments, "--no-input")


def typed(*arguments: str) -> str:
    out = StringIO()
    call_command("altegio_client", *arguments, stdout=out)
    return out.getvalue()


# Nothing is left of who it was


def test_no_table__says_who_it_was(house: House) -> None:
    assert [word for word in PERSONAL if word not in dump().lower()] == []
    assert forget() == (3, 3)
    assert [word for word in PERSONAL if word in dump().lower()] == []
    assert list(Visit.objects.order_by("pk").values_list("client_id", flat=True)) == [0, 0, 0, 78]


def test_somebody_else__is_left_alone(house: House) -> None:
    before = list(kept_of(found(78)))
    forget()
    assert list(kept_of(found(78))) == before
    assert "Bob Stone (200)" in [entry["object_repr"] for entry in before[0]["history"]]


def test_what_altegio_said__keeps_its_code_and_its_figures(house: House) -> None:
    forget()
    operation = LoyaltyOperation.objects.filter(visit=100).get()
    kept = Reason.read(operation.last_error)
    assert kept == Reason("refused", {"http": "422"}, said="[hidden]")
    assert operation.card_title == "Gold"
    assert set(OperationAttempt.objects.filter(operation=operation).values_list("answer", flat=True)) == {
        "[hidden]",
        "",
    }


def test_card_of_the_client_on_a_visit_that_is_somebody_elses_now__loses_its_number(house: House) -> None:
    operation = house.operation(house.visit(300, 79, "Ann Lee", "+13155550111"), card_id=901)
    Visit.objects.filter(pk=300).update(shown=Visit.objects.get(pk=100).shown)
    forget()
    operation.refresh_from_db()
    moved = Visit.objects.get(pk=300)
    assert (operation.card_title, moved.client_name, moved.shown) == ("Gold", "Ann Lee", "")


def test_card_without_a_title__loses_its_number_too(house: House) -> None:
    visit = Visit.objects.get(pk=100)
    nameless = json.loads(visit.shown)
    nameless["cards"]["cards"][0]["title"] = ""
    visit.shown = json.dumps(nameless)
    assert bills.titles(visit, 901, None) == (f"···{NUMBER[-4:]}", "")
    LoyaltyOperation.objects.filter(visit=100).update(card_title=bills.titles(visit, 901, None)[0])
    forget()
    assert LoyaltyOperation.objects.get(visit=100).card_title == ""


@pytest.mark.parametrize(("client", "counts"), [(77, (3, 3)), (None, (1, 1)), (0, (1, 1))])
def test_client_of_a_visit__is_whoever_it_is_and_nobody_known_stands_alone(
    house: House, client: int | None, counts: tuple[int, int]
) -> None:
    Visit.objects.filter(pk=100).update(client_id=client)
    assert forget(client=None, visit=100) == counts


def test_one_location__leaves_the_visits_of_others(house: House) -> None:
    there = Location.objects.create(id=2, title="Elsewhere")
    Visit.objects.filter(pk=102).update(location=there)
    assert forget(location=1) == (2, 2)
    assert Visit.objects.get(pk=102).client_name == NAME


def points_by_client(house: House) -> dict[Any, Any]:
    period = Period(OLD.date() - datetime.timedelta(days=1), today(), [house.here])
    return {name: now for _key, name, now, _before in statistics.groups(Q(), "client", period).get("", [])}


def test_sums_of_the_client__are_those_of_nobody_known_afterwards(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after their operations were pruned; together they are as much as before."""
    monkeypatch.setattr(retention, "SUMMED_AT_ONCE", 1)
    for _ in range(4):
        retention.add_up()
    LoyaltyOperation.objects.all().delete()
    assert {name: moved.taken for name, moved in points_by_client(house).items()} == {
        NAME: 15,
        "Bob Stone": 5,
    }
    (sums,) = [row["sums"] for row in kept_of(found()) if "sums" in row]
    assert [(row["key"], row["taken"]) for row in sums] == [("77", 5)] * 3
    forget()
    assert {name: moved.taken for name, moved in points_by_client(house).items()} == {"": 15, "Bob Stone": 5}
    assert not GroupSum.objects.filter(by="client", key="77").exists()


# No figure changes


@pytest.mark.parametrize("seed", range(3))
def test_no_other_column_and_no_sum__changes(
    seed: int, monkeypatch: pytest.MonkeyPatch, admin_client: Client
) -> None:
    history = History(seed)
    for _ in range(40):
        history.chance.choice([history.ask, history.end])()
    for row in history.rows.values():
        client = {"client_id": history.chance.choice([77, 78]), "client_name": NAME, "client_phone": PHONE}
        Visit.objects.filter(pk=row.visit_id).update(**client)
        row.card_title, row.last_error = "Gold ···8877", f"{NAME} has none."
        row.save(update_fields=["card_title", "last_error"])
    LoyaltyOperation.objects.exclude(status__in=FINISHED).update(status=Status.ABANDONED)
    LoyaltyOperation.objects.filter(status=Status.FAILED).update(ending=Ending.DECIDED_DID_NOT_HAPPEN)
    monkeypatch.setattr(retention, "SUMMED_AT_ONCE", 7)
    retention.add_up()
    taken_away = {
        "client_id",
        "client_name",
        "client_phone",
        "key",
        "shown",
        "card_title",
        "last_error",
        "answer",
        "error",
    }
    period = Period(datetime.date(2026, 4, 19), datetime.date(2026, 5, 2), history.locations)

    def figures() -> Any:
        rows = [
            {name: value for name, value in row.items() if name not in taken_away}
            for table in apps.get_app_config("altegio_loyalty").get_models()
            for row in table._base_manager.order_by("pk").values()
        ]
        counted = statistics.outcomes(Q(), period)
        where = reverse("admin:altegio_loyalty_loyaltyoperation_overview")
        html = admin_client.get(
            where, {"since": str(period.first), "until": str(period.last)}
        ).content.decode()
        sums = statistics.points_by_day(Q(), period).cells, counted.by_kind, counted.times
        return rows, sums, html.partition('id="content"')[2]

    before = figures()
    forget()
    assert figures() == before
    assert Visit.objects.filter(client_id=0).exists()


# When it is refused


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"status": Status.PENDING}, "Waiting"),
        ({"status": Status.SENDING, "next_attempt_at": datetime.timedelta(minutes=1)}, "sent now"),
        ({"status": Status.UNCONFIRMED}, "Do not repeat it"),
        ({"status": Status.FAILED}, "Not done"),
        ({"status": Status.SUCCEEDED, "discrepancy": Reason("still_shown", {"there": "5"}).stored()}, "still shows 5"),
        ({"status": Status.FAILED, "ending": Ending.DECIDED_DID_NOT_HAPPEN, "open_key": "102:1"}, "did not happen"),
        ({"kind": "apply_referral_program"}, "unknown to this release"),
    ],
    ids=["waiting", "being sent", "in doubt", "given up", "flagged", "holds its card", "of a newer release"],
)  # fmt: skip
def test_operation_that_is_not_done_with__stands_against_it_and_says_why(
    house: House, columns: dict[str, Any], said: str
) -> None:
    if lease := columns.get("next_attempt_at"):
        columns = {**columns, "next_attempt_at": timezone.now() + lease}
    operation = add(house.here, visit=house.visits[2], **columns)
    before = dump()
    with pytest.raises(OperationNotAllowed) as refused:
        forget()
    assert str(operation) in str(refused.value)
    assert said.lower() in str(refused.value).lower()
    assert dump() == before


def test_operation_asked_for_in_between__stands_against_its_batch(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed, before = database.committed, dump(Visit, OperationAttempt)

    def asked_first() -> Any:
        add(house.here, Status.PENDING, visit=house.visits[0])
        return committed()

    monkeypatch.setattr(database, "committed", asked_first)
    with pytest.raises(OperationNotAllowed):
        forget()
    assert dump(Visit) in before


# Batch by batch


def test_what_is_kept__is_read_batch_by_batch_to_the_last(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "VISITS_AT_ONCE", 1)
    visits = found()
    assert [row["id"] for row in clients.kept_of(visits)] == [*visits.values_list("pk", flat=True)]
    assert visits.count() > 1


def test_stopped_after_a_batch__goes_on_with_the_rest(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "VISITS_AT_ONCE", 1)
    assert next(anonymise(found())) == (1, 1)
    assert list(Visit.objects.order_by("pk").values_list("client_id", flat=True)) == [0, 77, 77, 78]
    assert list(anonymise(found())) == [(1, 1), (2, 2)]
    assert list(anonymise(found())) == []


# What Altegio shows later


def known_at(salon: Salon) -> Visit:
    """A visit of today, read from the day's list and opened."""
    there = salon.visit()
    services.read_day(salon.location)
    visit = Visit.objects.get(pk=there.id)
    read_for_screen(visit)
    assert (visit.client_name, salon.card.number in visit.shown) == ("Jane Doe", True)
    return visit


def test_later_readings__name_nobody_again(salon: Salon) -> None:
    visit = known_at(salon)
    forget(client=None, visit=visit.pk)
    later = salon.visit()
    assert services.read_day(salon.location).error == ""
    assert services.fetch_visit(salon.location, visit.pk).visit == visit
    visit.refresh_from_db()
    assert services.find_client(visit) == ""
    read_for_screen(visit)
    visit.refresh_from_db()
    assert (visit.client_id, visit.client_name, visit.client_phone) == (0, "", "")
    assert salon.card.number not in visit.shown
    assert bills.last_shown(visit) is not None
    assert Visit.objects.get(pk=later.id).client_name == "Jane Doe"


def test_reading_that_began_before__brings_nothing_back(salon: Salon) -> None:
    """A page was being read, and the list of the day, when the client was made anonymous."""
    visit = known_at(salon)
    bill = bills.last_shown(visit)
    assert bill
    forget(client=None, visit=visit.pk)
    bills.keep(visit, bill.details, bill.cards, timezone.now())
    visit.client_id = 5
    services.find_client(visit)
    assert Visit.objects.filter(pk=visit.pk, client_id=0, client_name="", shown="").exists()


def test_list_of_the_day_that_was_read_before__brings_nothing_back(
    salon: Salon, monkeypatch: pytest.MonkeyPatch
) -> None:
    visit = known_at(salon)
    Visit.objects.filter(pk=visit.pk).update(client_name="Jane")
    write = visit_rows.write

    def after_it(rows: Any, save_them: Any) -> None:
        forget(client=None, visit=visit.pk)
        write(rows, save_them)

    monkeypatch.setattr(visit_rows, "write", after_it)
    services.read_day(salon.location)
    assert Visit.objects.filter(pk=visit.pk, client_id=0, client_name="").exists()


def test_anonymous_visit_that_is_moved__moves_here_too(salon: Salon) -> None:
    visit = known_at(salon)
    forget(client=None, visit=visit.pk)
    Visit.objects.update(starts_at=None)
    services.read_day(salon.location)
    visit.refresh_from_db()
    assert visit.starts_at is not None


# On the screens


def test_pages__say_that_the_client_is_anonymous(salon: Salon, admin_client: Client) -> None:
    visit = known_at(salon)
    operation = services.apply_card_withdrawal(
        salon.location, visit_id=visit.pk, record_id=visit.record_id, card_id=salon.card.id, amount=5
    )
    forget(client=None, visit=visit.pk)
    names = ("visit_change", visit.pk), ("loyaltyoperation_change", operation.pk)
    paths = [reverse(f"admin:altegio_loyalty_{name}", args=[pk]) for name, pk in names]
    paths.append(
        reverse("admin:altegio_loyalty_visit_operate", args=[operation.kind]) + f"?visit={visit.pk}&read=1"
    )
    paths += [f"{paths[0]}?read=1", reverse("admin:altegio_loyalty_visit_changelist") + "?day=all"]
    for path in paths:
        html = admin_client.get(path).content.decode()
        assert "Anonymised" in html, path
        assert not [
            word for word in ("Jane", "Doe", "5550175", f"···{salon.card.number[-4:]}") if word in html
        ], path
    html = admin_client.get(paths[3]).content.decode()
    assert "client was anonymised, so no cards are read" in html
    assert "has no loyalty card" not in html
    asked = [request.path for request in salon.sandbox.requests]
    assert asked.count(f"/api/v1/loyalty/client_cards/{salon.client.id}") == 1


def test_search_by_the_old_name__finds_nothing_here_nor_through_altegio(
    salon: Salon, admin_client: Client
) -> None:
    visit = known_at(salon)
    forget(client=None, visit=visit.pk)
    shown = admin_client.get(reverse("admin:altegio_loyalty_visit_changelist"), {"q": "Jane", "day": "all"})
    assert list(shown.context["cl"].result_list) == []
    assert find_by_client(salon.location, text="Jane")[0] == [visit.pk]
    for typed in ("Jane", "3155550175"):
        sent = admin_client.post(reverse("admin:altegio_loyalty_visit_find"), {"q": typed})
        assert str(visit.pk) not in sent["Location"]
    sent = admin_client.post(reverse("admin:altegio_loyalty_visit_find"), {"q": visit.pk})
    assert str(visit.pk) in sent["Location"]


# The command


def test_export__gives_all_that_is_kept_and_nothing_of_the_staff(house: House) -> None:
    rows = json.loads(command("77", "--export"))
    assert [row["id"] for row in rows] == [100, 101, 102]
    first = rows[0]
    assert (first["client_name"], first["client_phone"]) == (NAME, PHONE)
    assert first["shown"]["cards"]["cards"][0]["number"] == NUMBER
    operation = first["operations"][0]
    assert operation["applied_amount"] == "5.00"
    assert [attempt["purpose"] for attempt in operation["attempts"]] == ["send", "decision"]
    assert NUMBER in operation["attempts"][0]["answer"]
    assert "Jane called" in operation["attempts"][1]["error"]
    assert "Jane called" in first["books"][0]["reason"]
    assert any(NAME in entry["object_repr"] for entry in first["history"])
    text = json.dumps(rows)
    assert "boss" not in text
    assert "Bob Stone" not in text


def test_command__counts_says_what_remains_and_names_nobody(house: House) -> None:
    before = dump()
    counted = command("--visit", "101", "--anonymise", "--dry-run")
    assert counted.startswith("3 visits with 3 operations would be made anonymous. ")
    assert dump() == before
    done = command("77", "--anonymise")
    assert done.startswith("3 visits with 3 operations are anonymous now. ")
    assert "for the first time from now on" in done
    assert not [word for word in PERSONAL if word in (counted + done).lower()]
    with pytest.raises(CommandError, match="No visit of such a client"):
        command("77", "--anonymise")


def test_command__refuses_with_the_sentence(house: House) -> None:
    add(house.here, Status.PENDING, visit=house.visits[0])
    with pytest.raises(CommandError, match="Nothing was made anonymous"):
        command("77", "--anonymise")


@pytest.mark.parametrize("answer", ["", "n", "no", "yess"])
def test_command__changes_nothing_before_a_yes(
    house: House, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    monkeypatch.setattr("builtins.input", lambda _asked: answer)
    with pytest.raises(CommandError, match="Nothing was changed"):
        typed("77", "--anonymise")
    assert not Visit.objects.filter(client_id=ANONYMISED).exists()


def test_command__says_before_the_yes_what_it_is_about(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def yes(text: str) -> str:
        asked.append(text)
        return "y"

    monkeypatch.setattr("builtins.input", yes)
    assert typed("77", "--anonymise").startswith("3 visits with 3 operations are anonymous now")
    assert asked == ["3 visits with 3 operations become anonymous, for good. Go on? [y/N] "]


def test_command__says_how_to_go_on_where_nobody_can_be_asked(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(_text: str) -> str:
        raise EOFError

    monkeypatch.setattr("builtins.input", nobody)
    with pytest.raises(CommandError, match="--no-input"):
        typed("77", "--anonymise")
    assert not Visit.objects.filter(client_id=ANONYMISED).exists()


def test_ctrl_c__ends_between_two_batches_and_says_so(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "VISITS_AT_ONCE", 1)
    refuse = clients._refuse_unfinished

    def interrupted(theirs: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        refuse(theirs)

    monkeypatch.setattr(clients, "_refuse_unfinished", interrupted)
    assert command("77", "--anonymise").startswith("Stopped early, call it again: 1 visits with 1 operations")
    assert Visit.objects.filter(client_id=77).count() == 2


@pytest.mark.parametrize("arguments", [["--anonymise"], ["77"], ["77", "--visit", "100", "--export"]])
def test_command__asks_for_one_client_and_one_thing_to_do(house: House, arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        command(*arguments)
