"""The first calls on a live account, against the sandbox."""

from __future__ import annotations

import builtins
import json
import os
import re
import signal
import stat
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from altegio_loyalty import services
from altegio_loyalty.models import Location, LoyaltyOperation
from altegio_loyalty.moments import today
from altegio_loyalty.redaction import MASK, without_people
from tests.delivery.conftest import salon
from tests.delivery.salon import CANCEL, REFUSED, WITHDRAWAL, Salon, Status
from tests.sandbox import contract

__all__ = ["salon"]
pytestmark = [pytest.mark.one_database, pytest.mark.django_db(transaction=True)]

PERSONAL = ("Jane", "Doe,", "5550175", "sandbox-partner-token", "sandbox-user-token")


class Run:
    """A run of the command, and what it leaves."""

    def __init__(self, salon: Salon, folder: Path) -> None:
        self.salon, self.file, self.out = salon, folder / "answers.jsonl", StringIO()

    def __call__(self, *arguments: Any, location: int | None = None) -> str:
        words = ["--location", str(location or self.salon.location.pk), "--output", str(self.file)]
        call_command("altegio_first_calls", *words, *map(str, arguments), stdout=self.out)
        return self.text

    @property
    def text(self) -> str:
        return self.out.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.file.read_text(encoding="utf-8").splitlines()]

    def take(self, visit: Any, *more: str) -> str:
        return self("--with-test-card", visit.id, visit.record_id, self.salon.card.id, *more)


YES = ("--no-input", "--take-one-point")


@pytest.fixture
def run(salon: Salon, tmp_path: Path) -> Run:
    return Run(salon, tmp_path)


def refused(call: Callable[..., Any], *arguments: Any, **more: Any) -> str:
    with pytest.raises(CommandError) as error:
        call(*arguments, **more)
    return str(error.value)


def test_reading__changes_nothing_and_stays_within_a_dozen_requests(salon: Salon, run: Run) -> None:
    salon.ledger.withdraw(salon.visit(), salon.card, 20)
    before = len(salon.sandbox.effects)
    run()
    assert {request.method for request in salon.sandbox.requests} == {"GET"}
    assert len(salon.sandbox.requests) <= 12
    assert len(salon.sandbox.effects) == before
    assert {request.operation for request in salon.sandbox.requests} <= set(contract.operations())


def test_reading__asks_all_that_the_documents_leave_open_and_shows_its_progress(
    salon: Salon, run: Run
) -> None:
    salon.ledger.withdraw(salon.visit(), salon.card, 20)
    run()
    names = [line["name"] for line in run.lines]
    assert names == ["location", "rights", "records", "visit", "bill", "rows", "cards", "chain", "no visit"]
    assert [int(count) for count in re.findall(r"^ +(\d+)  GET /", run.text, re.MULTILINE)] == [*range(1, 10)]
    assert all(line["http_status"] == 200 for line in run.lines[:-1])


def test_reading__says_what_it_found_and_which_setting_follows(salon: Salon, run: Run) -> None:
    visit = salon.visit()
    salon.ledger.withdraw(visit, salon.card, 20)
    salon.ledger.apply_program(visit, salon.card, salon.program)
    text = run()
    assert "location wrapped, rights wrapped" in text
    assert "READ_TIMEOUT to three times that or more; it is 20." in text
    assert "timezone_name UTC, currency_short_title EUR" in text
    assert "loyalty_access True" in text
    assert "status_id 1: 4 rows" in text
    assert "type 3: 2 rows, the first with is_discount False and is_loyalty_withdraw True" in text
    assert re.search(r"before or after promotions.*\n +before, before$", text, re.MULTILINE)
    assert f"GET /visits/{2**31 - 1}: HTTP 404" in text
    assert "were not tried" in text


def test_reading__tells_costs_after_promotions_and_other_statuses(salon: Salon, run: Run) -> None:
    salon.ledger.rules.line_cost, salon.ledger.rules.undone_rows = "after", "stay"
    visit = salon.visit()
    salon.ledger.withdraw(visit, salon.card, 20)
    salon.ledger.cancel_withdrawal(visit, salon.card)
    salon.ledger.apply_program(visit, salon.card, salon.program)
    text = run()
    assert "status_id 1: 2 rows, status_id 2: 2 rows" in text
    assert re.search(r"before or after promotions.*\n +after, after$", text, re.MULTILINE)


def test_reading__of_bare_answers__says_so(salon: Salon, run: Run) -> None:
    salon.visit()
    salon.sandbox.envelope = False
    assert "location bare" in run()


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Niue"])
def test_reading__of_the_last_days__ends_with_the_locations_own_today(
    salon: Salon, run: Run, zone: str
) -> None:
    salon.location.time_zone = zone
    salon.location.save()
    before = today(ZoneInfo(zone))
    run()
    call = next(line["call"] for line in run.lines if line["name"] == "records")
    assert any(f"end_date={day}&" in call for day in {before, today(ZoneInfo(zone))})


def test_reading__without_any_visit__asks_what_is_left(salon: Salon, run: Run) -> None:
    run()
    assert [line["name"] for line in run.lines] == ["location", "rights", "records", "chain", "no visit"]
    assert "No rows were seen." in run.text


def test_file__holds_no_personal_data_and_is_its_owners_alone(salon: Salon, run: Run) -> None:
    visit = salon.visit()
    salon.ledger.withdraw(visit, salon.card, 20)
    run()
    text = run.file.read_text(encoding="utf-8")
    assert not [word for word in (*PERSONAL, salon.card.number) if word in text or word in run.text]
    assert f'"visit_id": {visit.id}' in text
    assert stat.S_IMODE(run.file.stat().st_mode) == 0o600


def test_file__of_an_earlier_run__is_never_overwritten(run: Run) -> None:
    run.file.write_text("mine")
    assert "File exists" in refused(run)
    assert run.file.read_text() == "mine"


def test_refused_answers__are_told_and_the_other_reads_go_on(salon: Salon, run: Run) -> None:
    salon.visit()
    salon.location.refresh_from_db()
    salon.fail("status_403", path="chain_loyalty_transactions")
    salon.fail("status_401", path="client_cards")
    salon.fail("html", path="permissions")
    text = run()
    assert "HTTP 403, “Access denied.”" in text
    assert "HTTP 401, “Authentication needed.”" in text
    assert "They cannot be read." in text
    assert len(run.lines) == 9


def test_refused_token_of_one_read__pauses_nothing(salon: Salon, run: Run) -> None:
    salon.visit()
    salon.fail("status_401", path="client_cards")
    run()
    assert not Location.objects.get().is_paused


def test_reason_with_somebodys_name_or_number__is_kept_without(
    salon: Salon, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    salon.visit()
    from altegio_loyalty.sandbox import FAULTS
    from altegio_loyalty.sandbox.wire import failure

    said = vars(failure(422, "Jane Doe, +13155550175, has no card 0001450719210520."))
    monkeypatch.setitem(FAULTS, "status_422", replace(FAULTS["status_422"], instead=said))
    salon.fail("status_422", path="client_cards")
    run()
    personal = (*PERSONAL, "0001450719210520")
    assert not [word for word in personal if word in run.file.read_text() + run.text]
    assert "has no card" in run.text


def test_unknown_location__is_named(salon: Salon, run: Run) -> None:
    assert "There is no location 77 here" in refused(run, location=77)
    assert salon.sandbox.requests == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"user_token": ""}, "no tokens yet"),
        ({"is_active": False}, "switched off"),
        ({"refused_at": timezone.now()}, "is paused"),
    ],
)
def test_location_that_cannot_work__is_told_before_any_call(
    salon: Salon, run: Run, changes: dict[str, Any], said: str
) -> None:
    for name, value in changes.items():
        setattr(salon.location, name, value)
    salon.location.save()
    Location.objects.update(**{name: value for name, value in changes.items() if name == "refused_at"})
    assert said in refused(run)
    assert salon.sandbox.requests == []
    assert not run.file.exists()


@pytest.mark.parametrize("fault", [REFUSED, "cut_before", "rate_limited"])
def test_altegio_away__is_told_at_once_and_what_was_read_is_kept(salon: Salon, run: Run, fault: str) -> None:
    salon.fail(fault)
    refused(run)
    assert str(run.file) in run.text
    assert [line["name"] for line in run.lines] == ["location"]


def test_location_that_is_not_shown__ends_it(salon: Salon, run: Run) -> None:
    salon.ledger.location(salon.location.pk).is_visible = False
    assert "Access denied." in refused(run)
    assert len(salon.sandbox.requests) == 1


def test_ctrl_c__leaves_what_was_read_in_a_readable_file(
    salon: Salon, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    salon.visit()
    interrupt_at(monkeypatch, salon, "visit_details")
    with pytest.raises(CommandError, match="Stopped") as error:
        run()
    assert error.value.returncode == 130
    assert [line["name"] for line in run.lines] == ["location", "rights", "records", "visit"]


def test_each_answer__stands_in_the_file_before_the_next_is_asked_for(
    salon: Salon, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever ends the command, a kill too, what was read is there."""
    receive, seen = salon.sandbox.receive, []

    def counted(request: Any) -> Any:
        seen.append(len(run.lines))
        return receive(request)

    monkeypatch.setattr(salon.sandbox, "receive", counted)
    run()
    assert seen == [0, 1, 2, 3, 4]


def interrupt_at(monkeypatch: pytest.MonkeyPatch, salon: Salon, operation: str) -> None:
    """Ctrl-C while this call is under way, as far as the operating system tells."""
    receive = salon.sandbox.receive

    def interrupted(request: Any) -> Any:
        outcome = receive(request)
        if outcome.entry.operation == operation:
            os.kill(os.getpid(), signal.SIGINT)
        return outcome

    monkeypatch.setattr(salon.sandbox, "receive", interrupted)


def test_test_card__one_point_is_taken_and_given_back__and_both_are_in_the_log(
    salon: Salon, run: Run
) -> None:
    visit = salon.visit()
    text = run.take(visit, *YES)
    assert [(each.kind, int(each.amount)) for each in salon.sandbox.effects] == [
        (str(WITHDRAWAL), 1),
        (str(CANCEL), 1),
    ]
    assert [(each.kind, each.status) for each in LoyaltyOperation.objects.order_by("pk")] == [
        (WITHDRAWAL, Status.SUCCEEDED),
        (CANCEL, Status.SUCCEEDED),
    ]
    assert "They are gone." in text
    assert "balance 500 -> 499 -> 500" in text
    assert "apply_card_withdrawal (send) wrapped" in text
    assert not [word for word in PERSONAL if word in run.file.read_text() + run.text]
    salon.assert_nothing_is_told_wrongly()


def test_test_card__rows_that_were_there_before__do_not_hide_that_its_own_are_gone(
    salon: Salon, run: Run
) -> None:
    visit = salon.visit()
    salon.ledger.apply_program(visit, salon.card, salon.program)
    assert "They are gone." in run.take(visit, *YES)


def test_test_card__rows_that_stay__are_told_with_their_status(salon: Salon, run: Run) -> None:
    salon.ledger.rules.undone_rows = "stay"
    assert "One stays with status_id 2." in run.take(salon.visit(), *YES)


@pytest.mark.parametrize("answer", ["", "n", "no", "yess"])
def test_test_card__without_a_yes__takes_nothing(
    salon: Salon, run: Run, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    monkeypatch.setattr(builtins, "input", lambda prompt: answer)
    assert "Nothing was taken." in refused(run.take, salon.visit())
    assert salon.posts() == 0


def test_test_card__with_a_yes__takes_it(salon: Salon, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtins, "input", lambda prompt: "y")
    run.take(salon.visit())
    assert salon.posts() == 2


def test_test_card__with_no_input_alone__is_refused(salon: Salon, run: Run) -> None:
    assert "--take-one-point" in refused(run.take, salon.visit(), "--no-input")
    assert salon.sandbox.requests == []


def test_test_card__that_pays_on_the_visit_already__is_left_alone(salon: Salon, run: Run) -> None:
    """Giving back takes no amount: it would give those points back as well."""
    visit = salon.visit()
    salon.ledger.withdraw(visit, salon.card, 20)
    assert "Nothing was taken" in refused(run.take, visit, *YES)
    assert salon.posts() == 0


def test_test_card__with_a_row_of_its_own_in_any_status__is_left_alone(salon: Salon, run: Run) -> None:
    """What another status than 1 means is not known, so neither is what giving back would do to it."""
    salon.ledger.rules.undone_rows = "stay"
    visit = salon.visit()
    salon.ledger.withdraw(visit, salon.card, 20)
    salon.ledger.cancel_withdrawal(visit, salon.card)
    assert "Nothing was taken" in refused(run.take, visit, *YES)
    assert salon.posts() == 0


def test_test_card__points_taken_by_somebody_meanwhile__are_not_given_back_with_it(
    salon: Salon, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    visit = salon.visit()
    receive = salon.sandbox.receive

    def with_a_click(request: Any) -> Any:
        outcome = receive(request)
        if outcome.entry.operation == WITHDRAWAL:
            salon.ledger.withdraw(visit, salon.card, 20)
        return outcome

    monkeypatch.setattr(salon.sandbox, "receive", with_a_click)
    assert "none was given back" in refused(run.take, visit, *YES)
    assert salon.ledger.withdrawn(visit, salon.card) == 21


def test_test_card__refused__says_why_and_gives_nothing_back(salon: Salon, run: Run) -> None:
    salon.ledger.location(salon.location.pk).loyalty_access = False
    said = refused(run.take, salon.visit(), *YES)
    assert "No point is known to be taken" in said
    assert f"operation {LoyaltyOperation.objects.get().pk}" in said


def test_test_card__not_sent__is_stopped_so_that_no_sweep_takes_it_later(salon: Salon, run: Run) -> None:
    salon.fail("rate_limited", path=f"POST /api/v1/visit/loyalty/{WITHDRAWAL}")
    refused(run.take, salon.visit(), *YES)
    salon.heal()
    operation = LoyaltyOperation.objects.get()
    salon.run_to_the_end(operation)
    assert operation.status == Status.ABANDONED
    assert salon.sandbox.effects == []


def test_test_card__in_doubt__is_never_sent_again(salon: Salon, run: Run) -> None:
    salon.configure(SETTLE_SECONDS=60)
    salon.fail("cut_before", path=f"POST /api/v1/visit/loyalty/{WITHDRAWAL}")
    refused(run.take, salon.visit(), *YES)
    salon.heal()
    operation = LoyaltyOperation.objects.get()
    salon.age(operation, 100)
    salon.run_to_the_end(operation)
    assert salon.posts() == 1
    assert salon.sandbox.effects == []


def test_test_card__point_that_does_not_come_back__is_said_with_its_operation(salon: Salon, run: Run) -> None:
    salon.fail("cut_after", path=f"POST /api/v1/visit/loyalty/{CANCEL}")
    said = refused(run.take, salon.visit(), *YES)
    back = LoyaltyOperation.objects.get(kind=CANCEL)
    assert "The point is not back yet." in said
    assert f"operation {back.pk}" in said
    salon.heal()
    salon.run_to_the_end(back)
    assert [each.kind for each in salon.sandbox.effects] == [WITHDRAWAL, CANCEL]


def test_test_card__ctrl_c_while_it_is_taken__waits_until_it_is_back(
    salon: Salon, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(monkeypatch, salon, WITHDRAWAL)
    assert "Stopped" in refused(run.take, salon.visit(), *YES)
    assert [each.kind for each in salon.sandbox.effects] == [WITHDRAWAL, CANCEL]
    assert run.lines


def test_test_card__another_operation_on_it_is_open__is_told(salon: Salon, run: Run) -> None:
    visit = salon.visit()
    salon.later(visit, WITHDRAWAL)
    assert "not finished" in refused(run.take, visit, *YES)


def test_test_card__give_back_that_is_refused_beforehand__says_that_the_point_is_out(
    salon: Salon, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from altegio_loyalty.exceptions import OperationInProgress

    def busy(*_: Any, **__: Any) -> None:
        raise OperationInProgress

    monkeypatch.setattr(services, "cancel_card_withdrawal", busy)
    assert "The point is not back" in refused(run.take, salon.visit(), *YES)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "Jane"),
        ("phone", 13155550175),
        ("phones", ["+13155550175"]),
        ("value", 13155550175),
        ("number", "0001450719210520"),
        ("number", 14507109210520),
        ("card", "0001"),
        ("birth_date", "1990-02-03"),
        ("comment", "1"),
        ("title", "Salon of Jane"),
        ("user_token", "0123456789"),
        ("anything", "Jane"),
        ("anything_id", "13155550175"),
    ],
)
def test_what_may_be_personal__is_masked(key: str, value: Any) -> None:
    assert without_people({"data": [{key: value}]}) == {
        "data": [{key: [MASK] if isinstance(value, list) else MASK}]
    }


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("id", 1680739923),
        ("visit_id", "8262996"),
        ("amount", "1000.00"),
        ("datetime", "2026-09-16T19:30:00+05:00"),
        ("create_date", "2022-11-02T12:22:23+0400"),
        ("timezone_name", "America/New_York"),
        ("is_discount", False),
        ("deleted", 0),
        ("client", None),
        ("phone", ""),
    ],
)
def test_what_tells_of_the_shape_alone__stays(key: str, value: Any) -> None:
    assert without_people({key: value}) == {key: value}


def test_names_of_fields__that_are_no_names_of_fields__are_masked() -> None:
    assert without_people({"Jane Doe": 1, "13155550175": 1, "9206": 1}) == {MASK: 1, "9206": 1}
