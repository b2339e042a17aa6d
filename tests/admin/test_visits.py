"""The visits' pages: who may do what, that nothing acts twice or on a GET, and that no answer breaks a page."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from altegio_loyalty.models import Location, LoyaltyOperation, Visit
from altegio_loyalty.sandbox import FAULTS

pytestmark = pytest.mark.django_db(transaction=True)

KINDS = [kind.value for kind in LoyaltyOperation.Kind]
LIST = "admin:altegio_loyalty_visit_changelist"


class Salon:
    def __init__(self, sandbox: Any, settings: Any) -> None:
        settings.ALTEGIO_LOYALTY = {**settings.ALTEGIO_LOYALTY, "READ_TIMEOUT": 0.3, "TOTAL_TIMEOUT": 0.6}
        self.sandbox, self.ledger = sandbox, sandbox.ledger
        self.program = self.ledger.add_program(title="Birthday", percent=10)
        self.client = self.ledger.add_client(name="Jane Miller", phone="+13155550175")
        self.card = self.ledger.add_card(self.client, balance="500", title="Gold", programs=[self.program])
        there = self.ledger.add_location(title="Main Street")
        tokens = {"partner_token": sandbox.partner_token, "user_token": sandbox.user_token}
        self.location = Location.objects.create(id=there.id, title=there.title, **tokens)

    def visit(self, **columns: Any) -> Visit:
        there = self.ledger.add_visit(self.location.pk, self.client, lines=[("Haircut", "300")])
        values = {
            "client_id": self.client.id,
            "client_name": "Jane Miller",
            "starts_at": timezone.now(),
            **columns,
        }
        return Visit.objects.create(id=there.id, location=self.location, record_id=there.record_id, **values)


@pytest.fixture
def salon(altegio_sandbox_settings: Any, settings: Any) -> Salon:
    return Salon(altegio_sandbox_settings, settings)


def staff(*codenames: str) -> Client:
    person = get_user_model().objects.create_user(f"staff{uuid.uuid4().hex}", is_staff=True)
    rights = Permission.objects.filter(content_type__app_label="altegio_loyalty", codename__in=codenames)
    assert rights.count() == len(codenames)
    person.user_permissions.set(rights)
    client = Client()
    client.force_login(person)
    return client


@pytest.fixture
def receptionist() -> Client:
    return staff("view_visit", "view_loyaltyoperation", *KINDS)


def page_of(visit: Visit) -> str:
    return reverse("admin:altegio_loyalty_visit_change", args=[visit.pk])


def form_of(kind: str) -> str:
    return reverse("admin:altegio_loyalty_visit_operate", args=[kind])


def posted(salon: Salon, visit: Visit, kind: str = "apply_card_withdrawal", **changes: Any) -> dict[str, Any]:
    choice = f"{salon.card.id}:{salon.program.id}" if "program" in kind else str(salon.card.id)
    fields = {"token": uuid.uuid4().hex, "visit": visit.pk, f"visit{visit.pk}-choice": choice}
    if kind == "apply_card_withdrawal":
        fields[f"visit{visit.pk}-amount"] = "100"
    return {**fields, **changes}


def posts(salon: Salon) -> list[Any]:
    return [request for request in salon.sandbox.requests if request.method == "POST"]


def messages_of(response: Any) -> list[str]:
    return [str(message) for message in response.context["messages"]]


@pytest.mark.parametrize("kind", KINDS)
def test_asking_for_the_form_does_nothing(salon: Salon, receptionist: Client, kind: str) -> None:
    """GET shows the form: no call that changes anything, and no row."""
    visit = salon.visit()
    assert receptionist.get(form_of(kind), {"visit": visit.pk, "choice": salon.card.id}).status_code == 200
    assert posts(salon) == []
    assert not LoyaltyOperation.objects.exists()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["get", "post"])
def test_each_kind_needs_its_own_permission(salon: Salon, kind: str, method: str) -> None:
    """All other permissions together do not open the form of this one, nor carry it out."""
    visit = salon.visit()
    others = [other for other in KINDS if other != kind]
    client = staff("view_visit", "view_loyaltyoperation", "resolve_operation", *others)
    response = getattr(client, method)(form_of(kind), posted(salon, visit, kind))
    assert response.status_code == 403
    assert posts(salon) == []
    assert client.get(page_of(visit)).content.count(form_of(kind).encode()) == 0


def test_the_kind_alone_is_not_enough_without_the_right_to_see_visits(salon: Salon) -> None:
    visit = salon.visit()
    client = staff("apply_card_withdrawal")
    assert client.post(form_of("apply_card_withdrawal"), posted(salon, visit)).status_code == 403
    assert client.get(page_of(visit)).status_code == 403


def test_an_anonymous_visitor_is_sent_to_the_login(salon: Salon) -> None:
    visit = salon.visit()
    for url in (page_of(visit), form_of("apply_card_withdrawal"), reverse(LIST)):
        assert Client().get(url).status_code == 302


def test_a_forged_post_without_the_csrf_token_is_refused(salon: Salon, receptionist: Client) -> None:
    visit = salon.visit()
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = receptionist.cookies
    assert strict.post(form_of("apply_card_withdrawal"), posted(salon, visit)).status_code == 403
    assert posts(salon) == []


def test_an_unknown_kind_is_refused(salon: Salon, receptionist: Client) -> None:
    assert receptionist.get(form_of("drain_all_cards"), {"visit": salon.visit().pk}).status_code == 403


def test_the_same_form_twice_acts_once(salon: Salon, receptionist: Client) -> None:
    visit = salon.visit()
    data = posted(salon, visit)
    receptionist.post(form_of("apply_card_withdrawal"), data)
    again = receptionist.post(form_of("apply_card_withdrawal"), data, follow=True)
    assert "Done: 100 points taken." in messages_of(again)
    assert len(salon.sandbox.effects) == 1


def test_the_same_form_with_another_amount_is_told_apart(salon: Salon, receptionist: Client) -> None:
    """Changed and sent again, a form does not act, and the person is told to open it anew."""
    visit = salon.visit()
    data = posted(salon, visit)
    receptionist.post(form_of("apply_card_withdrawal"), data)
    data[f"visit{visit.pk}-amount"] = "50"
    again = receptionist.post(form_of("apply_card_withdrawal"), data, follow=True)
    assert "used already" in messages_of(again)[-1]
    assert len(salon.sandbox.effects) == 1


@pytest.mark.parametrize("token", ["", "x", "1" * 500])
def test_a_form_without_its_token_does_nothing(salon: Salon, receptionist: Client, token: str) -> None:
    visit = salon.visit()
    data = posted(salon, visit, token=token)
    assert receptionist.post(form_of("apply_card_withdrawal"), data).status_code == 403
    assert posts(salon) == []


@pytest.mark.parametrize("amount", ["", "0", "-1", "NaN", "1.001", "1e400", "99999999999999", "abc"])
def test_a_bad_amount_comes_back_with_the_form(salon: Salon, receptionist: Client, amount: str) -> None:
    """The page says what is wrong, keeps what was chosen, and sends nothing."""
    visit = salon.visit()
    data = {**posted(salon, visit), f"visit{visit.pk}-amount": amount}
    response = receptionist.post(form_of("apply_card_withdrawal"), data)
    assert response.status_code == 200
    assert b"errorlist" in response.content
    assert b"Gold" in response.content
    assert posts(salon) == []


@pytest.mark.parametrize("choice", ["", "0", "-5", "1:2", "card", "9" * 40, "1;DROP"])
def test_a_bad_choice_comes_back_with_the_form(salon: Salon, receptionist: Client, choice: str) -> None:
    visit = salon.visit()
    data = {**posted(salon, visit), f"visit{visit.pk}-choice": choice}
    receptionist.post(form_of("apply_card_withdrawal"), data)
    assert posts(salon) == []
    assert not LoyaltyOperation.objects.exists()


def test_the_operation_names_who_asked(salon: Salon, receptionist: Client) -> None:
    receptionist.post(form_of("apply_card_withdrawal"), posted(salon, salon.visit()))
    operation = LoyaltyOperation.objects.get()
    assert operation.requested_by_id == int(receptionist.session["_auth_user_id"])


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_no_answer_of_altegio_breaks_a_page(salon: Salon, receptionist: Client, fault: str) -> None:
    """Whatever is read, the page of the visit and every form come up and say what is unknown."""
    visit = salon.visit()
    if fault == "refuse_connections":
        salon.sandbox.stop()
    else:
        salon.sandbox.fail(fault)
    assert receptionist.get(page_of(visit)).status_code == 200
    for kind in KINDS:
        assert receptionist.get(form_of(kind), {"visit": visit.pk}).status_code == 200


def test_with_altegio_down_the_ids_can_be_typed(salon: Salon, receptionist: Client) -> None:
    """Nobody can choose from what cannot be read; what is typed is kept and done when Altegio is back."""
    visit = salon.visit()
    salon.sandbox.stop()
    page = receptionist.get(form_of("apply_card_withdrawal"), {"visit": visit.pk})
    assert f'name="visit{visit.pk}-card_id"'.encode() in page.content
    data = {
        "token": uuid.uuid4().hex,
        "visit": visit.pk,
        f"visit{visit.pk}-card_id": salon.card.id,
        f"visit{visit.pk}-amount": "40",
    }
    receptionist.post(form_of("apply_card_withdrawal"), data)
    assert LoyaltyOperation.objects.get().status == LoyaltyOperation.Status.PENDING


def test_another_open_operation_is_named(salon: Salon, receptionist: Client) -> None:
    """While one operation on the card is open a second is not begun, and the person learns which one it is."""
    visit = salon.visit()
    salon.sandbox.fail("cut_after", path="apply_card_withdrawal", times=1)
    receptionist.post(form_of("apply_card_withdrawal"), posted(salon, visit))
    response = receptionist.post(form_of("apply_card_withdrawal"), posted(salon, visit), follow=True)
    assert any("we are checking" in message for message in messages_of(response))
    assert len(salon.sandbox.effects) == 1


def test_a_location_that_is_switched_off_is_told_in_plain_words(salon: Salon, receptionist: Client) -> None:
    visit = salon.visit()
    Location.objects.update(is_active=False)
    response = receptionist.post(form_of("apply_card_withdrawal"), posted(salon, visit), follow=True)
    assert any("switched off" in message for message in messages_of(response))


def test_the_client_of_an_unknown_visit_is_found(salon: Salon, receptionist: Client) -> None:
    """A visit that only has its numbers gets its client from Altegio, and so its cards."""
    visit = salon.visit(client_id=None, client_name="")
    assert b"Gold" in receptionist.get(page_of(visit)).content
    visit.refresh_from_db()
    assert visit.client_name == "Jane Miller"


def test_the_pages_stay_out_of_the_host_sites_transactions(
    salon: Salon, receptionist: Client, settings: Any
) -> None:
    """With ATOMIC_REQUESTS on, a withdrawal is still committed before it is sent."""
    from django.db import connection

    visit = salon.visit()
    connection.settings_dict["ATOMIC_REQUESTS"] = True
    try:
        response = receptionist.post(form_of("apply_card_withdrawal"), posted(salon, visit), follow=True)
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = False
    assert "Done: 100 points taken." in messages_of(response)


@pytest.mark.parametrize(
    "term", ["Jane", "118389447", "140967944", "+1315", "0" * 50, "\x00", "'", "%", "９"]
)
def test_every_search_has_an_answer(salon: Salon, receptionist: Client, term: str) -> None:
    salon.visit(client_phone="+13155550175")
    assert receptionist.get(reverse(LIST), {"q": term}).status_code == 200


def test_a_visit_is_found_by_its_number_and_its_appointments(salon: Salon, receptionist: Client) -> None:
    visit, other = salon.visit(), salon.visit(client_name="Somebody else")
    for number in (visit.pk, visit.record_id):
        page = receptionist.get(reverse(LIST), {"q": number}).content.decode()
        assert page_of(visit) in page
        assert page_of(other) not in page


@pytest.mark.parametrize("day", ["today", "yesterday", "tomorrow", "week", "nonsense"])
def test_the_day_filter_has_an_answer_for_every_value(salon: Salon, receptionist: Client, day: str) -> None:
    visit = salon.visit()
    page = receptionist.get(reverse(LIST), {"day": day}, follow=True)
    assert page.status_code == 200
    assert (page_of(visit) in page.content.decode()) == (day not in ("yesterday", "tomorrow"))


def test_more_visits_than_a_person_can_wait_for_are_refused(salon: Salon, receptionist: Client) -> None:
    visits = [salon.visit() for _ in range(21)]
    data = {"action": "apply_card_withdrawal", "_selected_action": [visit.pk for visit in visits]}
    response = receptionist.post(reverse(LIST), data, follow=True)
    assert any("20" in message for message in messages_of(response))


def test_visits_are_neither_changed_nor_deleted_here(
    salon: Salon, receptionist: Client, admin_client: Client
) -> None:
    """A visit is changed in Altegio, and its log must not vanish with it: not even for a superuser."""
    visit = salon.visit()
    admin_client.post(page_of(visit), {"client_name": "Somebody else"})
    delete = admin_client.post(
        reverse("admin:altegio_loyalty_visit_delete", args=[visit.pk]), {"post": "yes"}
    )
    assert delete.status_code == 403
    assert Visit.objects.get().client_name == "Jane Miller"


def test_the_list_costs_the_same_however_long_it_is(
    salon: Salon, receptionist: Client, django_assert_max_num_queries: Any
) -> None:
    for _ in range(12):
        visit = salon.visit()
        LoyaltyOperation.objects.create(
            kind="apply_card_withdrawal",
            location=salon.location,
            visit=visit,
            record_id=visit.record_id,
            card_id=1,
            amount=Decimal(1),
            status="succeeded",
            idempotency_key=uuid.uuid4().hex,
        )
    with django_assert_max_num_queries(9):
        assert receptionist.get(reverse(LIST)).status_code == 200


def test_no_token_reaches_a_page(salon: Salon, receptionist: Client) -> None:
    visit = salon.visit()
    for url in (page_of(visit), f"{form_of('apply_card_withdrawal')}?visit={visit.pk}", reverse(LIST)):
        page = receptionist.get(url).content.decode()
        assert salon.sandbox.partner_token not in page
        assert salon.sandbox.user_token not in page
