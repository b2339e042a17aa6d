"""Locations resume exactly when their tokens change; operations are one at a time and found by what is due."""

from __future__ import annotations

import copy
import datetime
import pickle
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.db.models.signals import post_save, pre_save
from django.utils import timezone

from altegio_loyalty.conf import get_settings
from altegio_loyalty.models import (
    Location,
    LoyaltyOperation,
    OperationAttempt,
    RequestBudget,
    Visit,
)

pytestmark = pytest.mark.django_db
Status, Ending = LoyaltyOperation.Status, LoyaltyOperation.Ending
Outcome = OperationAttempt.Outcome


@pytest.fixture
def paused() -> Location:
    Location.objects.create(id=1, title="Salon", partner_token="partner", user_token="user")
    Location.objects.update(refused_at=timezone.now(), refused_reason="401", credentials_version=3)
    return Location.objects.get()


def stored() -> Location:
    return Location.objects.get(pk=1)


# The pause ends where a token changed


def assign(name: str, value: object, **save: Any) -> Callable[[Location], None]:
    def change(location: Location) -> None:
        setattr(location, name, value)
        location.save(**save)

    return change


@pytest.mark.parametrize(
    "change",
    [
        assign("partner_token", "new"),
        assign("user_token", "new"),
        assign("user_token", ""),
        assign("user_token", "new", update_fields=["user_token"]),
        assign("partner_token", "new", update_fields={"partner_token", "title"}),
        assign("partner_token", "new", update_fields=("partner_token",)),
    ],
)
@pytest.mark.parametrize("load", ["all", "only title", "defer one", "pickled", "copied"])
def test_a_save_with_a_new_token_ends_the_pause(paused: Location, change: Any, load: str) -> None:
    location = {
        "all": stored,
        "only title": lambda: Location.objects.only("title").get(),
        "defer one": lambda: Location.objects.defer("partner_token").get(),
        "pickled": lambda: pickle.loads(pickle.dumps(stored())),
        "copied": lambda: copy.deepcopy(stored()),
    }[load]()
    change(location)
    assert not location.is_paused
    after = stored()
    assert (after.refused_at, after.refused_reason, after.credentials_version) == (None, "", 4)


def touch(location: Location) -> None:
    location.title = "Renamed"
    location.save()


def same_text(location: Location) -> None:
    location.partner_token = "partner"
    location.save()


def revealed(location: Location) -> None:
    location.credentials()
    location.save()


def refreshed(location: Location) -> None:
    location.refresh_from_db()
    location.save()


def refreshed_one(location: Location) -> None:
    location.refresh_from_db(fields=["user_token"])
    location.save()


def saved_twice(location: Location) -> None:
    location.save()
    location.save(update_fields=["title"])
    location.save(force_update=True)


def saved_without_the_token(location: Location) -> None:
    location.user_token = "new"
    location.save(update_fields=["title"])


def saved_nothing(location: Location) -> None:
    location.user_token = "new"
    location.save(update_fields=[])


@pytest.mark.parametrize(
    "unchanged",
    [touch, revealed, refreshed, refreshed_one, saved_twice, saved_without_the_token, saved_nothing],
)
@pytest.mark.parametrize("load", ["all", "only title", "defer one", "pickled", "copied"])
def test_a_save_without_a_new_token_keeps_the_pause(paused: Location, unchanged: Any, load: str) -> None:
    location = {
        "all": stored,
        "only title": lambda: Location.objects.only("title").get(),
        "defer one": lambda: Location.objects.defer("partner_token").get(),
        "pickled": lambda: pickle.loads(pickle.dumps(stored())),
        "copied": lambda: copy.deepcopy(stored()),
    }[load]()
    unchanged(location)
    after = stored()
    assert after.is_paused
    assert (after.refused_reason, after.credentials_version) == ("401", 3)
    assert after.credentials().user_token == "user"


def test_the_same_token_entered_again_keeps_the_pause(paused: Location) -> None:
    same_text(paused)
    assert stored().is_paused


def test_a_token_saved_in_the_second_step_ends_the_pause(paused: Location) -> None:
    """First the title alone, then the rest: the new token is written by the second save."""
    paused.user_token = "new"
    paused.save(update_fields=["title"])
    assert stored().is_paused
    paused.save()
    assert stored().credentials().user_token == "new"
    assert not stored().is_paused


def test_a_token_that_another_process_changed_is_not_this_saves_change(paused: Location) -> None:
    """It was saved, tried and refused elsewhere; here only the title changes."""
    Location.objects.update(user_token="of another process", refused_reason="refused again")
    paused.refresh_from_db()
    paused.title = "Renamed"
    paused.save()
    assert stored().is_paused


def test_a_save_of_what_was_read_before_the_pause_does_not_end_it() -> None:
    Location.objects.create(id=1, title="Salon", partner_token="partner", user_token="user")
    early = stored()
    Location.objects.update(refused_at=timezone.now(), refused_reason="401")
    early.title = "Renamed"
    early.save()
    assert stored().title == "Renamed"
    assert stored().is_paused


def test_two_changes_at_once_count_as_two_versions(paused: Location) -> None:
    """A refusal of the first one's tokens must not be taken for a refusal of the second one's."""
    one, other = stored(), stored()
    one.user_token = "one"
    one.save()
    other.user_token = "other"
    other.save()
    assert stored().credentials_version == 5


def test_the_object_in_hand_counts_on_from_its_save(paused: Location) -> None:
    paused.user_token = "new"
    paused.save()
    paused.save()
    assert stored().credentials_version == 4
    paused.user_token = "newer"
    paused.save()
    assert stored().credentials_version == 5


def test_a_new_location_is_not_paused() -> None:
    location = Location.objects.create(id=1, title="Salon", partner_token="a", user_token="b")
    assert not location.is_paused
    assert location.credentials_version == 0


@pytest.mark.parametrize("fields", [None, ["user_token"]])
def test_receivers_see_plain_values_of_new_tokens(fields: Any) -> None:
    """django-simple-history copies each column into a row of its own, where an expression cannot be resolved."""
    Location.objects.create(id=77, title="Side Street", user_token="old")
    location = Location.objects.get(pk=77)
    seen: list[Any] = []

    def receive(instance: Location, **kwargs: Any) -> None:
        seen.extend(getattr(instance, field.attname) for field in instance._meta.concrete_fields)

    for signal in (pre_save, post_save):
        signal.connect(receive, sender=Location)
    try:
        location.user_token = "new"
        location.save(update_fields=fields)
    finally:
        for signal in (pre_save, post_save):
            signal.disconnect(receive, sender=Location)
    assert seen
    assert not [value for value in seen if hasattr(value, "resolve_expression")]
    assert location.credentials_version == Location.objects.get(pk=77).credentials_version == 1


@pytest.mark.parametrize("bad", [0, -1, None, "x"])
def test_a_location_has_a_positive_number(bad: Any) -> None:
    with pytest.raises(ValidationError):
        Location(id=bad, title="x").full_clean()


def test_working_locations_are_switched_on_and_not_paused(paused: Location) -> None:
    off = Location.objects.create(id=2, title="Off", is_active=False)
    on = Location.objects.create(id=3, title="On")
    assert [location.is_working for location in (paused, off, on)] == [False, False, True]


# Operations


@pytest.fixture
def location() -> Location:
    return Location.objects.create(id=1, title="Salon", partner_token="partner", user_token="user")


@pytest.fixture
def visit(location: Location) -> Visit:
    return Visit.objects.create(
        id=10, location=location, record_id=11, client_name="Anna", client_phone="+7999"
    )


def make(visit: Visit, key: str, **columns: Any) -> LoyaltyOperation:
    return LoyaltyOperation.objects.create(
        **{
            "kind": "apply_card_withdrawal",
            "location": visit.location,
            "visit": visit,
            "record_id": visit.record_id,
            "card_id": 5,
            "amount": Decimal(100),
            "idempotency_key": key,
            **columns,
        }
    )


def test_a_visit_and_card_have_one_open_operation(visit: Visit) -> None:
    operation = make(visit, "a")
    LoyaltyOperation.objects.update(open_key=operation.make_open_key())
    with pytest.raises(IntegrityError), transaction.atomic():
        make(visit, "b", open_key=operation.make_open_key())
    make(visit, "c", open_key=f"{visit.pk}:6")


def test_settled_operations_of_a_visit_and_card_can_be_many(visit: Visit) -> None:
    for key in "abc":
        make(visit, key, status=Status.SUCCEEDED, open_key=None)
    assert LoyaltyOperation.objects.count() == 3


def test_an_idempotency_key_is_used_once(visit: Visit) -> None:
    make(visit, "a")
    with pytest.raises(IntegrityError), transaction.atomic():
        make(visit, "a")


NOW = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)
PAST, FUTURE = NOW - datetime.timedelta(seconds=1), NOW + datetime.timedelta(seconds=1)


@pytest.mark.parametrize(
    ("status", "next_at", "is_due", "ran_out"),
    [
        (Status.PENDING, PAST, True, False),
        (Status.PENDING, NOW, True, False),
        (Status.PENDING, FUTURE, False, False),
        (Status.PENDING, None, False, False),
        (Status.UNCONFIRMED, PAST, True, False),
        (Status.SENDING, PAST, False, True),
        (Status.SENDING, NOW, False, True),
        (Status.SENDING, FUTURE, False, False),
        (Status.SUCCEEDED, None, False, False),
        (Status.FAILED, None, False, False),
    ],
)
def test_what_is_due_and_whose_lease_ran_out(
    visit: Visit, status: str, next_at: Any, is_due: bool, ran_out: bool
) -> None:
    make(visit, "a", status=status, next_attempt_at=next_at)
    assert LoyaltyOperation.objects.due(NOW).exists() is is_due
    assert LoyaltyOperation.objects.lease_ran_out(NOW).exists() is ran_out


@pytest.mark.parametrize("columns", [{"is_active": False}, {"refused_at": PAST}])
def test_nothing_of_a_location_that_is_off_or_paused_is_due(visit: Visit, columns: dict[str, Any]) -> None:
    make(visit, "a", next_attempt_at=PAST)
    Location.objects.update(**columns)
    assert not LoyaltyOperation.objects.due(NOW).exists()


def test_a_lease_that_ran_out_is_found_for_a_paused_location_too(visit: Visit) -> None:
    make(visit, "a", status=Status.SENDING, next_attempt_at=PAST)
    Location.objects.update(refused_at=PAST)
    assert LoyaltyOperation.objects.lease_ran_out(NOW).exists()


@pytest.mark.parametrize(
    ("status", "expires_at", "is_out"),
    [
        (Status.PENDING, PAST, True),
        (Status.PENDING, NOW, True),
        (Status.PENDING, FUTURE, False),
        (Status.PENDING, None, False),
        (Status.UNCONFIRMED, PAST, False),
        (Status.SENDING, PAST, False),
    ],
)
def test_only_what_certainly_did_not_happen_runs_out_of_time(
    visit: Visit, status: str, expires_at: Any, is_out: bool
) -> None:
    make(visit, "a", status=status, expires_at=expires_at, next_attempt_at=FUTURE)
    assert LoyaltyOperation.objects.running_out(NOW).exists() is is_out


DECIDED = {"status": Status.FAILED, "ending": Ending.DECIDED_DID_NOT_HAPPEN}
ODD = {"discrepancy": "more than asked"}
CLOSED = {"closed_at": NOW}


@pytest.mark.parametrize(
    ("columns", "needs"),
    [
        ({"status": Status.FAILED}, True),
        ({"status": Status.FAILED, **CLOSED}, False),
        (DECIDED, False),
        ({**DECIDED, **ODD}, True),
        *(({"status": status, **ODD}, True) for status in Status),
        *(({"status": status, **ODD, **CLOSED}, False) for status in Status),
        *(({"status": status}, False) for status in Status if status != Status.FAILED),
        ({"status": Status.PENDING, "kind": "of_a_newer_release", "next_attempt_at": PAST}, True),
        ({"status": "newer", "next_attempt_at": FUTURE}, True),
        ({"status": "newer"}, False),
        ({"status": Status.PENDING, "next_attempt_at": PAST}, False),
    ],
)
def test_what_needs_a_person(visit: Visit, columns: dict[str, Any], needs: bool) -> None:
    make(visit, "a", **columns)
    assert LoyaltyOperation.objects.needing_attention().exists() is needs


@pytest.mark.parametrize("columns", [{"is_active": False}, {"refused_at": NOW}])
@pytest.mark.parametrize("status", [Status.PENDING, Status.UNCONFIRMED])
def test_a_doubt_of_a_location_that_does_not_work_needs_a_person(
    visit: Visit, columns: dict[str, Any], status: str
) -> None:
    """Nobody looks it up; what only waits loses nothing by waiting."""
    make(visit, "a", status=status)
    Location.objects.update(**columns)
    assert LoyaltyOperation.objects.needing_attention().exists() is (status == Status.UNCONFIRMED)


@pytest.mark.parametrize(
    ("attempt", "needs"),
    [
        ({"outcome": Outcome.STILL_OPEN, "http_status": 200}, True),
        ({"outcome": Outcome.REFUSED, "http_status": 404}, True),
        ({"outcome": Outcome.NOT_READ, "http_status": 200}, True),
        ({"outcome": Outcome.NOT_READ, "http_status": 502}, False),
        ({"outcome": Outcome.NOT_READ}, False),
        ({"outcome": Outcome.REFUSED, "http_status": 404, "purpose": "look"}, False),
        ({"outcome": Outcome.STILL_OPEN, "http_status": 200, "after": -1}, False),
    ],
)
@pytest.mark.parametrize("is_unanswered", [True, False])
def test_a_doubt_that_a_late_look_up_did_not_end_needs_a_person(
    visit: Visit, attempt: dict[str, Any], needs: bool, is_unanswered: bool
) -> None:
    """One that Altegio answered after the time to settle; while Altegio is away the doubt ends by itself later."""
    since = {"unanswered_at": NOW} if is_unanswered else {"created_at": NOW}
    operation = make(visit, "a", status=Status.UNCONFIRMED, **since)
    attempt = {"purpose": "look_up", **attempt}
    settle = datetime.timedelta(seconds=get_settings().SETTLE_SECONDS + attempt.pop("after", 0))
    operation.attempts.create(started_at=NOW + settle, **attempt)
    assert LoyaltyOperation.objects.needing_attention().exists() is needs


@pytest.mark.parametrize("status", list(Status))
def test_open_means_pending_sending_or_unconfirmed(visit: Visit, status: str) -> None:
    operation = make(visit, "a", status=status)
    is_open = status in ("pending", "sending", "unconfirmed")
    assert operation.is_open is is_open
    assert LoyaltyOperation.objects.open().exists() is is_open


@pytest.mark.parametrize("change", [{"fence": 1}, {"status": Status.SENDING}])
def test_a_row_is_held_only_while_nobody_claimed_it(visit: Visit, change: dict[str, Any]) -> None:
    operation = make(visit, "a")
    assert LoyaltyOperation.objects.held_by(operation).exists()
    LoyaltyOperation.objects.update(**change)
    assert not LoyaltyOperation.objects.held_by(operation).exists()


def test_nothing_of_the_log_goes_with_what_it_is_about(visit: Visit) -> None:
    first = make(visit, "a", status=Status.SUCCEEDED)
    make(visit, "b", kind="cancel_card_withdrawal", cancels=first)
    for thing in (visit, visit.location, first):
        with pytest.raises(ProtectedError):
            thing.delete()


def test_a_person_who_leaves_does_not_take_the_log_along(visit: Visit, django_user_model: Any) -> None:
    user = django_user_model.objects.create_user("jane")
    operation = make(visit, "a", requested_by=user)
    attempt = OperationAttempt.objects.create(
        operation=operation, purpose="decision", outcome="happened", made_by=user
    )
    user.delete()
    operation.refresh_from_db()
    attempt.refresh_from_db()
    assert operation.requested_by is None
    assert attempt.made_by is None


def test_the_statuses_and_kinds_are_exactly_the_pinned_ones() -> None:
    assert set(Status.values) == {
        "pending",
        "sending",
        "unconfirmed",
        "succeeded",
        "rejected",
        "failed",
        "abandoned",
    }
    assert set(LoyaltyOperation.Kind.values) == {
        "apply_card_withdrawal",
        "cancel_card_withdrawal",
        "apply_discount_program",
        "cancel_discount_program",
    }


def test_the_permissions_are_exactly_the_pinned_ones() -> None:
    found = Permission.objects.filter(
        content_type__app_label="altegio_loyalty", content_type__model="loyaltyoperation"
    )
    assert set(found.values_list("codename", flat=True)) == {
        "view_loyaltyoperation",
        "apply_card_withdrawal",
        "cancel_card_withdrawal",
        "apply_discount_program",
        "cancel_discount_program",
        "resolve_operation",
    }


def test_everything_has_a_text_without_tokens(visit: Visit) -> None:
    operation = make(visit, "a")
    attempt = OperationAttempt.objects.create(operation=operation, purpose="send", outcome="ok")
    budget = RequestBudget.objects.create(host="api.alteg.io")
    for thing in (visit.location, visit, operation, attempt, budget):
        assert str(thing)
        assert "partner" not in f"{thing!r}{thing}"


def test_ids_beyond_32_bits_are_kept(location: Location) -> None:
    big = 2**63 - 1
    visit = Visit.objects.create(id=big, location=location, record_id=big, client_id=big)
    operation = make(visit, "a", card_id=big, program_id=big)
    operation.refresh_from_db()
    assert (operation.visit_id, operation.card_id, operation.program_id, operation.record_id) == (big,) * 4


def test_no_migration_is_missing() -> None:
    call_command("makemigrations", "altegio_loyalty", check=True, dry_run=True, verbosity=0)


@pytest.mark.sqlite
def test_page_of_one_state_is_read_from_an_index_in_its_order(visit: Visit) -> None:
    """However long the log is: without a sort, and without a look at the other states."""
    plan = LoyaltyOperation.objects.filter(status=Status.SUCCEEDED).order_by("-id")[:100].explain()
    assert "altegio_op_status_id" in plan
    assert "TEMP B-TREE" not in plan


@pytest.mark.sqlite
@pytest.mark.parametrize("question", ["due", "lease_ran_out", "running_out"])
def test_what_a_sweep_asks_never_reads_the_whole_log(visit: Visit, question: str) -> None:
    """Beat asks every few seconds, for ever."""
    found = getattr(LoyaltyOperation.objects, question)(NOW)
    plan = (found.in_turn()[:500] if question == "due" else found.order_by("pk")).explain()
    lines = [line for line in plan.splitlines() if "loyaltyoperation" in line]
    assert lines
    assert not [line for line in lines if "SCAN altegio_loyalty_loyaltyoperation" in line], plan
    assert "location_id=?" not in "".join(lines), plan
