"""Several visits at once: one choice, everything written at once, each done once, found again, and stopped."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from altegio_loyalty.models import Location, LoyaltyOperation, Visit
from tests.admin.test_visits import (
    KINDS,
    Salon,
    elsewhere,
    form_of,
    messages_of,
    posts,
    receptionist,
    salon,
    staff,
    text_of,
)

__all__ = ["receptionist", "salon"]

pytestmark = pytest.mark.django_db(transaction=True)
PROMOTION, WITHDRAWAL = "apply_discount_program", "apply_card_withdrawal"
RECENT = "admin:altegio_loyalty_visit_batches"


def several(salon: Salon, count: int) -> list[Any]:
    """Visits of as many clients, each with a `card_id` of its own: 200 points and the promotion."""
    visits: list[Any] = []
    for number in range(count):
        client = salon.ledger.add_client(name=f"Client {number}")
        card = salon.ledger.add_card(client, balance="200", title="Silver", programs=[salon.program])
        there = salon.ledger.add_visit(salon.location.pk, client, lines=[("Haircut", "300")])
        columns = {"record_id": there.record_id, "client_id": client.id, "client_name": client.name}
        visit: Any = Visit.objects.create(id=there.id, location=salon.location, **columns)
        visit.card_id = card.id
        visits.append(visit)
    return visits


def filled(salon: Salon, visits: list[Any], kind: str = PROMOTION, **changes: Any) -> dict[str, Any]:
    """What the page posts with all rows ticked."""
    data: dict[str, Any] = {"token": uuid.uuid4().hex, "visit": [visit.pk for visit in visits]}
    for visit in visits:
        data[f"visit{visit.pk}-include"] = "on"
        value = f"{visit.card_id}:{salon.program.id}" if "program" in kind else str(visit.card_id)
        data[f"visit{visit.pk}-choice"] = f"{value}|200.00" if kind == WITHDRAWAL else value
    if kind == PROMOTION:
        data["program"] = salon.program.id
    if kind == WITHDRAWAL:
        data["how"] = "all"
    return {**data, **changes}


def batch_url(name: str = "", **columns: Any) -> str:
    batch = LoyaltyOperation.objects.values_list("batch", flat=True).distinct().get()
    return reverse(f"admin:altegio_loyalty_visit_batch{name}", args=[batch])


def driven(client: Client) -> None:
    for _ in range(20):
        if not client.post(batch_url("_step"), headers={"accept": "application/json"}).json()["is_due"]:
            return


def test_the_same_promotion_for_ten_visits_is_one_post(salon: Salon, receptionist: Client) -> None:
    visits = several(salon, 10)
    page = receptionist.post(form_of(PROMOTION), filled(salon, visits), follow=True)
    assert "0 of 10 finished" in text_of(page)
    assert LoyaltyOperation.objects.values("batch").distinct().count() == 1
    driven(receptionist)
    assert [salon.ledger.discounted(visit.pk, salon.program.id) for visit in visits] == [30] * 10
    assert "10 of 10 finished: 10 done." in text_of(receptionist.get(batch_url()))


@pytest.mark.usefixtures("time_stands_still")
def test_the_page_is_there_before_altegio_is_asked_for_all(salon: Salon, receptionist: Client) -> None:
    """No more visits are read than a person can wait for; the rest is read by the script, row by row."""
    visits = several(salon, 25)
    page = text_of(receptionist.get(form_of(PROMOTION), {"visit": [visit.pk for visit in visits]}))
    assert len([request for request in salon.sandbox.requests if "details" in request.path]) == 20
    assert page.count("data-unread>") == 5


def test_a_slow_altegio_does_not_keep_the_page_waiting(
    salon: Salon, receptionist: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("altegio_loyalty.admin.desk.several_visits.SECONDS_FOR_READS", 0)
    visits = several(salon, 5)
    page = text_of(receptionist.get(form_of(PROMOTION), {"visit": [visit.pk for visit in visits]}))
    assert page.count("data-unread>") == 4


def test_with_altegio_away_one_failed_read_is_enough(salon: Salon, receptionist: Client) -> None:
    visits = several(salon, 5)
    salon.sandbox.fail("status_503")
    page = text_of(receptionist.get(form_of(PROMOTION), {"visit": [visit.pk for visit in visits]}))
    assert len(salon.sandbox.requests) == 1
    assert "cannot be read" in page


def test_a_row_is_read_on_its_own(salon: Salon, receptionist: Client) -> None:
    visit = several(salon, 1)[0]
    url = reverse("admin:altegio_loyalty_visit_batch_row", args=[PROMOTION])
    row = text_of(receptionist.get(url, {"visit": visit.pk}))
    assert "Birthday 10 %" in row
    assert "About 30 off" in row


def test_a_promotion_must_be_chosen(salon: Salon, receptionist: Client) -> None:
    visits = several(salon, 2)
    page = receptionist.post(form_of(PROMOTION), filled(salon, visits, program=""))
    assert "Choose the promotion first." in text_of(page)
    assert not LoyaltyOperation.objects.exists()


@pytest.mark.parametrize(("kind", "is_preset"), [(PROMOTION, True), ("cancel_discount_program", False)])
def test_the_only_promotion_is_preset_to_apply_it_alone(
    salon: Salon, receptionist: Client, kind: str, is_preset: bool
) -> None:
    """To take back, the choice stays every promotion of these visits, as the page's script leaves it."""
    visits = several(salon, 2)
    if not is_preset:
        receptionist.post(form_of(PROMOTION), filled(salon, visits))
        driven(receptionist)
    page = text_of(receptionist.get(form_of(kind), {"visit": [visit.pk for visit in visits]}))
    assert f'<option value="{salon.program.id}"' in page
    assert (f'<option value="{salon.program.id}" selected' in page) is is_preset


def test_a_client_without_the_promotion_is_left_out_and_named(salon: Salon, receptionist: Client) -> None:
    visits = several(salon, 3)
    data = filled(salon, visits)
    data[f"visit{visits[0].pk}-choice"] = f"{visits[0].card_id}:99"
    response = receptionist.post(form_of(PROMOTION), data, follow=True)
    assert LoyaltyOperation.objects.count() == 2
    assert any("Client 0" in message and "left out" in message for message in messages_of(response))


def test_a_row_that_is_not_ticked_is_left_out(salon: Salon, receptionist: Client) -> None:
    visits = several(salon, 3)
    data = filled(salon, visits)
    del data[f"visit{visits[1].pk}-include"]
    receptionist.post(form_of(PROMOTION), data)
    assert set(LoyaltyOperation.objects.values_list("visit", flat=True)) == {visits[0].pk, visits[2].pk}


@pytest.mark.parametrize(
    ("how", "same", "amount"), [("all", "", 200), ("half", "", 100), ("same", "50", 50), ("same", "900", 200)]
)
def test_how_much_is_one_choice_for_all(
    salon: Salon, receptionist: Client, how: str, same: str, amount: int
) -> None:
    visits = several(salon, 2)
    data = filled(salon, visits, WITHDRAWAL, how=how, same=same)
    receptionist.post(form_of(WITHDRAWAL), data)
    assert set(LoyaltyOperation.objects.values_list("amount", flat=True)) == {Decimal(amount)}


@pytest.mark.parametrize("same", ["", "0", "-1", "NaN", "1.001", "abc"])
def test_a_bad_amount_for_all_writes_nothing(salon: Salon, receptionist: Client, same: str) -> None:
    visits = several(salon, 2)
    page = receptionist.post(form_of(WITHDRAWAL), filled(salon, visits, WITHDRAWAL, how="same", same=same))
    assert page.status_code == 200
    assert not LoyaltyOperation.objects.exists()


def test_cancel_for_all_gives_all_points_back(salon: Salon, receptionist: Client) -> None:
    visits = several(salon, 3)
    for visit in visits:
        salon.ledger.withdraw(visit.pk, visit.card_id, Decimal(40))
    kind = "cancel_card_withdrawal"
    receptionist.post(form_of(kind), filled(salon, visits, kind))
    driven(receptionist)
    assert [salon.ledger.balance(visit.card_id) for visit in visits] == [200] * 3


def test_the_same_page_twice_acts_once(salon: Salon, receptionist: Client) -> None:
    """Double click, reload, back: the same batch, and no second effect."""
    visits = several(salon, 3)
    data = filled(salon, visits)
    first = receptionist.post(form_of(PROMOTION), data)
    driven(receptionist)
    again = receptionist.post(form_of(PROMOTION), data)
    assert again["Location"] == first["Location"]
    assert LoyaltyOperation.objects.count() == len(salon.sandbox.effects) == 3


def test_one_that_cannot_be_begun_does_not_keep_the_others(salon: Salon, receptionist: Client) -> None:
    visits = several(salon, 3)
    data = filled(salon, visits)
    receptionist.post(form_of(PROMOTION), {**data, "visit": [visits[0].pk, visits[1].pk]})
    later = {**data, "token": uuid.uuid4().hex}
    response = receptionist.post(form_of(PROMOTION), later, follow=True)
    assert LoyaltyOperation.objects.count() == 3
    assert sum("not finished yet" in message for message in messages_of(response)) == 2


def test_a_batch_waits_where_there_is_no_worker(salon: Salon, receptionist: Client) -> None:
    """The POST only writes: nothing is sent before the person has an answer."""
    receptionist.post(form_of(PROMOTION), filled(salon, several(salon, 3)))
    assert posts(salon) == []
    assert "Continue" in text_of(receptionist.get(batch_url()))


@pytest.mark.usefixtures("time_stands_still")
def test_continue_without_a_script_does_the_rest(salon: Salon, receptionist: Client) -> None:
    receptionist.post(form_of(PROMOTION), filled(salon, several(salon, 4)))
    page = receptionist.post(batch_url("_step"), follow=True)
    assert "4 of 4 finished: 4 done." in text_of(page)


def test_the_state_of_a_batch_never_calls_altegio(salon: Salon, receptionist: Client) -> None:
    receptionist.post(form_of(PROMOTION), filled(salon, several(salon, 3)))
    state = receptionist.get(batch_url("_state")).json()
    assert (state["finished"], state["total"], state["is_due"]) == (0, 3, True)
    assert salon.sandbox.requests == []


def test_a_step_ends_where_altegio_fails(salon: Salon, receptionist: Client) -> None:
    receptionist.post(form_of(PROMOTION), filled(salon, several(salon, 5)))
    salon.sandbox.fail("status_503", path="details")
    state = receptionist.post(batch_url("_step"), headers={"accept": "application/json"}).json()
    assert state["goes_well"] is False
    assert len(salon.sandbox.requests) == 1


def test_stop_stops_what_still_waits(salon: Salon, receptionist: Client) -> None:
    visits = several(salon, 3)
    receptionist.post(form_of(PROMOTION), filled(salon, visits))
    page = receptionist.post(batch_url("_stop"), follow=True)
    assert "3 of 3 finished: 3 stopped." in text_of(page)
    assert posts(salon) == []


def test_what_is_in_doubt_is_not_called_stopped(salon: Salon, receptionist: Client) -> None:
    """It may have happened: it is only not sent again, and a look-up decides."""
    receptionist.post(form_of(PROMOTION), filled(salon, several(salon, 3)))
    in_doubt = LoyaltyOperation.objects.order_by("pk")[:2].values_list("pk", flat=True)
    LoyaltyOperation.objects.filter(pk__in=list(in_doubt)).update(
        status="unconfirmed", unanswered_at=timezone.now()
    )
    page = text_of(receptionist.post(batch_url("_stop"), follow=True))
    assert "2 will not be sent again, only looked up, 1 is stopped." in page


@pytest.mark.parametrize("name", ["_step", "_stop"])
def test_stopping_and_stepping_need_the_right_of_the_kind(
    salon: Salon, receptionist: Client, name: str
) -> None:
    receptionist.post(form_of(PROMOTION), filled(salon, several(salon, 2)))
    others = [kind for kind in KINDS if kind != PROMOTION]
    assert staff("view_visit", *others).post(batch_url(name)).status_code == 403
    assert staff("view_visit").get(batch_url()).status_code == 200
    assert set(LoyaltyOperation.objects.values_list("status", flat=True)) == {"pending"}


@pytest.mark.parametrize("name", ["", "_state", "_step", "_stop"])
def test_a_bound_person_finds_no_batch_of_another_location(
    salon: Salon, receptionist: Client, name: str
) -> None:
    receptionist.post(form_of(PROMOTION), filled(salon, several(salon, 2)))
    method = "post" if name in ("_step", "_stop") else "get"
    assert getattr(elsewhere(salon), method)(batch_url(name)).status_code == 404


def test_a_bound_person_sees_only_the_visits_of_their_location(salon: Salon) -> None:
    """A row, a batch and a posted number of a visit elsewhere are as if they were not there."""
    visits = several(salon, 2)
    client = elsewhere(salon)
    url = reverse("admin:altegio_loyalty_visit_batch_row", args=[PROMOTION])
    assert client.get(url, {"visit": visits[0].pk}).status_code == 404
    client.post(form_of(PROMOTION), filled(salon, visits))
    assert not LoyaltyOperation.objects.exists()


@pytest.mark.parametrize("name", ["", "_state", "_step", "_stop", "es"])
def test_the_batch_pages_need_the_right_to_see_visits(salon: Salon, receptionist: Client, name: str) -> None:
    receptionist.post(form_of(PROMOTION), filled(salon, several(salon, 2)))
    url = reverse(RECENT) if name == "es" else batch_url(name)
    method = "post" if name in ("_step", "_stop") else "get"
    assert getattr(staff(*KINDS), method)(url).status_code == 403


def test_a_batch_is_found_again_by_whoever_asked_for_it(salon: Salon, receptionist: Client) -> None:
    visits = several(salon, 2)
    receptionist.get(form_of(PROMOTION), {"visit": [visit.pk for visit in visits]})
    receptionist.post(form_of(PROMOTION), filled(salon, visits))
    mine = text_of(receptionist.get(reverse(RECENT)))
    assert batch_url() in mine
    assert "Apply a promotion: Birthday" in mine
    assert batch_url() not in text_of(staff("view_visit", *KINDS).get(reverse(RECENT)))
    assert batch_url() in text_of(staff("view_visit", "resolve_operation").get(reverse(RECENT)))


def test_a_batch_of_nobody_is_not_found(receptionist: Client) -> None:
    url = reverse("admin:altegio_loyalty_visit_batch", args=[uuid.uuid4()])
    assert receptionist.get(url).status_code == 404


def test_texts_of_a_batch_are_escaped(salon: Salon, receptionist: Client) -> None:
    visits = several(salon, 2)
    Visit.objects.update(client_name="<script>alert(1)</script>")
    salon.ledger.books.programs[salon.program.id].title = "<img src=x>"
    receptionist.get(form_of(PROMOTION), {"visit": [visit.pk for visit in visits]})
    data = filled(salon, visits)
    page = text_of(receptionist.post(form_of(PROMOTION), data, follow=True))
    assert "<script>alert" not in page
    assert "<img src=x>" not in page


def test_a_batch_costs_the_same_however_long_it_is(salon: Salon, receptionist: Client) -> None:
    receptionist.post(form_of(PROMOTION), filled(salon, several(salon, 30)))
    for url in (batch_url(), batch_url("_state"), reverse(RECENT)):
        with CaptureQueriesContext(connection) as queries:
            assert receptionist.get(url).status_code == 200
        assert len(queries) < 10, url


def test_a_location_that_is_switched_off_is_told_for_each_visit(salon: Salon, receptionist: Client) -> None:
    visits = several(salon, 2)
    Location.objects.update(is_active=False)
    response = receptionist.post(form_of(PROMOTION), filled(salon, visits), follow=True)
    assert sum("switched off" in message for message in messages_of(response)) == 2
    assert not LoyaltyOperation.objects.exists()


def two_cards(salon: Salon, visit: Any) -> Any:
    """A second card of the visit's client, with the promotion."""
    client = salon.ledger.visit(visit.pk).client_id
    return salon.ledger.add_card(client, balance="200", title="Gold", programs=[salon.program])


def test_a_row_that_posts_two_cards_with_the_promotion_gives_it_once(
    salon: Salon, receptionist: Client
) -> None:
    visits = several(salon, 2)
    other, program = two_cards(salon, visits[0]), salon.program.id
    choices = [f"{card_id}:{program}" for card_id in (visits[0].card_id, other.id)]
    data = {**filled(salon, visits), f"visit{visits[0].pk}-choice": choices}
    receptionist.post(form_of(PROMOTION), data)
    driven(receptionist)
    assert [salon.ledger.discounted(visit.pk, program) for visit in visits] == [30, 30]


def test_a_row_that_posts_two_cards_gets_the_points_of_both_back(salon: Salon, receptionist: Client) -> None:
    visits = several(salon, 2)
    cards = [visits[0].card_id, two_cards(salon, visits[0]).id]
    for card_id in cards:
        salon.ledger.withdraw(visits[0].pk, card_id, 40)
    kind = "cancel_card_withdrawal"
    receptionist.post(form_of(kind), filled(salon, visits, kind, **{f"visit{visits[0].pk}-choice": cards}))
    driven(receptionist)
    assert [salon.ledger.balance(card_id) for card_id in cards] == [200, 200]


def crafted(visits: list[Any], first: int, count: int) -> dict[str, Any]:
    """A page that nobody was shown: so many cards for the first visit."""
    data = {"visit": [visit.pk for visit in visits], f"visit{visits[0].pk}-include": "on", "how": "all"}
    return data | {f"visit{visits[0].pk}-choice": [f"{first + number}|5.00" for number in range(count)]}


def test_more_choices_than_a_page_can_have__write_nothing(salon: Salon, receptionist: Client) -> None:
    data = {"token": uuid.uuid4().hex, **crafted(several(salon, 2), 9_000, 401)}
    page = text_of(receptionist.post(form_of(WITHDRAWAL), data))
    assert "Choose 400 operations at the most." in page
    assert not LoyaltyOperation.objects.exists()


def test_all_of_a_batch_is_told_and_stopped__however_long_it_is(
    salon: Salon, receptionist: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("altegio_loyalty.admin.desk.several_visits.MOST_OPERATIONS", 450)
    data = {"token": uuid.uuid4().hex, **crafted(several(salon, 2), 9_000, 450)}
    receptionist.post(form_of("cancel_card_withdrawal"), data)
    assert "0 of 450 finished: 450" in text_of(receptionist.get(batch_url()))
    assert receptionist.get(batch_url("_state")).json()["total"] == 450
    page = receptionist.post(batch_url("_stop"), follow=True)
    assert "450 of 450 finished: 450 stopped." in text_of(page)
    assert not LoyaltyOperation.objects.open().exists()


def test_a_database_that_fails_in_the_middle_leaves_no_half_of_a_batch(
    salon: Salon, receptionist: Client
) -> None:
    """The person sees a failure and asks again: what was written of the first page must not be sent beside it."""
    data = filled(salon, several(salon, 3))
    inserts = 0

    def refuse_the_second(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal inserts
        inserts += sql.startswith("INSERT") and "loyaltyoperation" in sql
        if inserts == 2:
            raise OperationalError("the database has gone away")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse_the_second), pytest.raises(OperationalError):
        receptionist.post(form_of(PROMOTION), data)
    assert not LoyaltyOperation.objects.exists()
    receptionist.post(form_of(PROMOTION), data)
    driven(receptionist)
    assert len(salon.sandbox.effects) == 3


@pytest.mark.parametrize(("most", "amount"), [("99.99", "49.99"), ("0.01", "0.01")])
def test_half_is_never_more_than_half_and_never_nothing(
    salon: Salon, receptionist: Client, most: str, amount: str
) -> None:
    visits = several(salon, 2)
    data = filled(salon, visits, WITHDRAWAL, how="half")
    data[f"visit{visits[0].pk}-choice"] = f"{visits[0].card_id}|{most}"
    receptionist.post(form_of(WITHDRAWAL), data)
    assert LoyaltyOperation.objects.get(visit=visits[0]).amount == Decimal(amount)


# What several visits share, and what follows


def test_one_card_on_two_visits_is_promised_once(salon: Salon, receptionist: Client) -> None:
    """What the first visit takes, the second has no more; and that is said."""
    visits = several(salon, 2)
    data = filled(salon, visits, WITHDRAWAL)
    for visit, most in zip(visits, ("150.00", "120.00"), strict=True):
        data[f"visit{visit.pk}-choice"] = f"{visits[0].card_id}|{most}|200.00"
    response = receptionist.post(form_of(WITHDRAWAL), data, follow=True)
    asked = dict(LoyaltyOperation.objects.values_list("visit", "amount"))
    assert asked == {visits[0].pk: Decimal(150), visits[1].pk: Decimal(50)}
    assert any("only 50 points are left" in message for message in messages_of(response))


def test_a_visit_for_which_nothing_is_left_on_the_card_is_left_out(
    salon: Salon, receptionist: Client
) -> None:
    visits = several(salon, 2)
    data = filled(salon, visits, WITHDRAWAL)
    for visit in visits:
        data[f"visit{visit.pk}-choice"] = f"{visits[0].card_id}|200.00|200.00"
    response = receptionist.post(form_of(WITHDRAWAL), data, follow=True)
    assert LoyaltyOperation.objects.get().visit == visits[0]
    assert any("only 0 points are left" in message for message in messages_of(response))


def test_the_form_posts_the_balance_of_each_card(salon: Salon, receptionist: Client) -> None:
    visits = several(salon, 2)
    page = text_of(receptionist.get(form_of(WITHDRAWAL), {"visit": [visit.pk for visit in visits]}))
    assert f'value="{visits[0].card_id}|200.00|200.00"' in page


def test_no_amount_is_preset_for_many(salon: Salon, receptionist: Client) -> None:
    visits = several(salon, 2)
    page = text_of(receptionist.get(form_of(WITHDRAWAL), {"visit": [visit.pk for visit in visits]}))
    assert page.count('name="how"') == 3
    assert "checked" not in page.partition('name="how"')[2].partition("</fieldset>")[0]
    response = receptionist.post(form_of(WITHDRAWAL), filled(salon, visits, WITHDRAWAL, how=""))
    assert "Choose how many points." in text_of(response)
    assert not LoyaltyOperation.objects.exists()


def test_what_was_not_done_is_offered_again_and_what_was_done_to_be_taken_back(
    salon: Salon, receptionist: Client
) -> None:
    visits = several(salon, 3)
    receptionist.post(form_of(WITHDRAWAL), filled(salon, visits, WITHDRAWAL))
    first, second, third = LoyaltyOperation.objects.order_by("pk")
    LoyaltyOperation.objects.update(open_key=None, next_attempt_at=None)
    LoyaltyOperation.objects.filter(pk=first.pk).update(status="rejected")
    LoyaltyOperation.objects.filter(pk__in=(second.pk, third.pk)).update(status="succeeded")
    page = text_of(receptionist.get(reverse("admin:altegio_loyalty_visit_batch", args=[first.batch])))
    again = f"{form_of(WITHDRAWAL)}?visit={first.visit_id}"
    back = f"{form_of('cancel_card_withdrawal')}?visit={second.visit_id}&amp;visit={third.visit_id}"
    assert f'href="{again}"' in page
    assert f'href="{back}"' in page


def test_while_something_is_open_nothing_is_offered_again(salon: Salon, receptionist: Client) -> None:
    visits = several(salon, 2)
    receptionist.post(form_of(WITHDRAWAL), filled(salon, visits, WITHDRAWAL))
    operation = LoyaltyOperation.objects.earliest("pk")
    LoyaltyOperation.objects.filter(pk=operation.pk).update(status="rejected", open_key=None)
    page = text_of(receptionist.get(reverse("admin:altegio_loyalty_visit_batch", args=[operation.batch])))
    assert "Only those that were not done" not in page


def test_ticked_visits_that_left_the_list_are_named_and_stay_chosen(
    salon: Salon, receptionist: Client
) -> None:
    """At midnight, or after a reading."""
    visits = several(salon, 2)
    Visit.objects.filter(pk=visits[1].pk).update(starts_at=None)
    data = {"action": WITHDRAWAL, "_selected_action": [visit.pk for visit in visits]}
    response = receptionist.post(reverse("admin:altegio_loyalty_visit_changelist"), data, follow=True)
    assert any("the list does not show them any more: " in message for message in messages_of(response))
    page = text_of(response)
    assert all(f'data-visit="{visit.pk}"' in page for visit in visits)


# A page that comes back, or is used again


def test_a_used_page_charges_no_second_card(salon: Salon, receptionist: Client) -> None:
    """Back, another card, and once more: the bill is charged to the first card alone, and that is said."""
    visit, other = several(salon, 2)
    data = {**filled(salon, [visit], WITHDRAWAL), "visit": [visit.pk, other.pk]}
    receptionist.post(form_of(WITHDRAWAL), data)
    again = {**data, f"visit{visit.pk}-choice": f"{salon.card.id}|100.00"}
    response = receptionist.post(form_of(WITHDRAWAL), again, follow=True)
    assert any("used already for something else" in message for message in messages_of(response))
    assert LoyaltyOperation.objects.get().card_id == visit.card_id


def test_a_page_sends_one_operation_for_a_bill_however_it_is_raced(
    salon: Salon, receptionist: Client
) -> None:
    """Two cards for one visit in one page, as where two posts of it cross."""
    visit, other = several(salon, 2)
    data = {**filled(salon, [visit], WITHDRAWAL), "visit": [visit.pk, other.pk]}
    data[f"visit{visit.pk}-choice"] = [f"{visit.card_id}|200.00", f"{salon.card.id}|100.00"]
    receptionist.post(form_of(WITHDRAWAL), data)
    assert LoyaltyOperation.objects.count() == 1


def test_a_page_that_comes_back_keeps_the_chosen_card(salon: Salon, receptionist: Client) -> None:
    visits = several(salon, 2)
    client = salon.ledger.books.clients[visits[0].client_id]
    second = salon.ledger.add_card(client, balance="50", title="Second")
    data = filled(salon, visits, WITHDRAWAL, how="same", same="1,200")
    data[f"visit{visits[0].pk}-choice"] = f"{second.id}|50.00|50.00"
    page = text_of(receptionist.post(form_of(WITHDRAWAL), data))
    assert f'<option value="{second.id}|50.00|50.00" selected>' in page


def test_a_row_that_comes_back_unread_says_that_it_was_not_ticked(salon: Salon, receptionist: Client) -> None:
    """And which card was chosen; a row that had not been read has no such thing."""
    visits = several(salon, 23)
    data = filled(salon, visits, WITHDRAWAL, how="")
    del data[f"visit{visits[21].pk}-include"]
    del data[f"visit{visits[22].pk}-include"], data[f"visit{visits[22].pk}-choice"]
    page = text_of(receptionist.post(form_of(WITHDRAWAL), data))
    assert page.count(" data-unticked") == 1
    assert f' data-unticked data-card="{visits[21].card_id}"' in page


def test_decimals_are_refused_where_the_currency_has_none(salon: Salon, receptionist: Client) -> None:
    Location.objects.update(currency="JPY")
    visits = several(salon, 2)
    data = filled(salon, visits, WITHDRAWAL, how="same", same="10.5")
    response = receptionist.post(form_of(WITHDRAWAL), data, follow=True)
    assert not LoyaltyOperation.objects.exists()
    assert "Write whole points" in text_of(response)


@pytest.mark.parametrize("how", ["all", "half"])
def test_a_visit_whose_most_is_not_known_is_left_out_and_named(
    salon: Salon, receptionist: Client, how: str
) -> None:
    visits = several(salon, 2)
    data = filled(salon, visits, WITHDRAWAL, how=how)
    data[f"visit{visits[0].pk}-choice"] = f"{visits[0].card_id}|None|None"
    response = receptionist.post(form_of(WITHDRAWAL), data, follow=True)
    assert LoyaltyOperation.objects.get().visit == visits[1]
    assert any("Client 0" in told and "possible is not known" in told for told in messages_of(response))
