"""The visits' pages: who may do what, that nothing acts twice or on a GET, and that no answer breaks a page."""

from __future__ import annotations

import datetime
import json
import re
import uuid
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation

from altegio_loyalty import kinds, services
from altegio_loyalty.admin.desk.confirmation import Confirmation
from altegio_loyalty.admin.desk.forms import AmountField, OperationForm
from altegio_loyalty.client.types import LARGEST_ID
from altegio_loyalty.models import Location, LocationAccess, LoyaltyOperation, Visit
from altegio_loyalty.sandbox import FAULTS
from tests.delivery.salon import REFUSED
from tests.delivery.test_recording import no_result_can_be_written

pytestmark = pytest.mark.django_db(transaction=True)

KINDS = [kind.value for kind in LoyaltyOperation.Kind]
LIST = "admin:altegio_loyalty_visit_changelist"


class Salon:
    def __init__(self, sandbox: Any, settings: Any) -> None:
        self.settings = settings
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


def known_page_of(visit: Visit) -> str:
    """The page with what is known, as it comes up."""
    return reverse("admin:altegio_loyalty_visit_change", args=[visit.pk])


def page_of(visit: Visit) -> str:
    """The page as its script asks for it a moment later, read anew."""
    return f"{known_page_of(visit)}?read=1"


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


def text_of(response: Any) -> str:
    return str(response.content.decode())


def address(name: str, visit: Visit) -> str:
    return reverse(f"admin:altegio_loyalty_visit_{name}", args=[visit.pk])


def waiting(salon: Salon, visit: Visit, **columns: Any) -> LoyaltyOperation:
    values = {
        "kind": "apply_card_withdrawal",
        "location": visit.location,
        "visit": visit,
        "record_id": visit.record_id,
        "card_id": salon.card.id,
        "amount": Decimal(10),
        "status": "pending",
        "next_attempt_at": timezone.now() + datetime.timedelta(seconds=90),
        "idempotency_key": uuid.uuid4().hex,
        "open_key": f"{visit.pk}:{salon.card.id}",
        **columns,
    }
    return LoyaltyOperation.objects.create(**values)


def elsewhere(salon: Salon) -> Client:
    """A receptionist who is given another location, and so is bound to that one."""
    there = salon.ledger.add_location(title="Elsewhere")
    location = Location.objects.create(id=there.id, title=there.title)
    client = staff("view_visit", "view_loyaltyoperation", *KINDS)
    LocationAccess.objects.create(location=location, user_id=client.session["_auth_user_id"])
    return client


def with_100_taken(salon: Salon) -> Visit:
    visit = salon.visit()
    where = {"visit_id": visit.pk, "record_id": visit.record_id, "card_id": salon.card.id}
    services.apply_card_withdrawal(salon.location, amount=100, **where)
    return visit


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
    assert "Done: 100 points taken." in text_of(again)
    assert len(salon.sandbox.effects) == 1


def test_a_form_of_somebody_signed_out__is_told_not_to_have_been_sent(salon: Salon) -> None:
    visit = salon.visit()
    form = f"{form_of('apply_card_withdrawal')}?visit={visit.pk}"
    login: Any = Client().post(form, posted(salon, visit))
    assert login.url.endswith(quote(form, safe="/"))
    assert "You were signed out, so nothing was done." in text_of(login.client.get(login.url))
    assert posts(salon) == []


@pytest.mark.parametrize("what", [1, f"{LARGEST_ID}:{LARGEST_ID}:{LARGEST_ID}"])
def test_the_key_of_an_operation_has_room_for_any_person(what: object) -> None:
    """Whose own key can be a text, as of a directory."""
    keys: list[str] = []
    for person, token in (("x", uuid.UUID(int=7)), ("y", uuid.UUID(int=7)), ("x", uuid.UUID(int=8))):
        page: Any = SimpleNamespace(request=SimpleNamespace(user=SimpleNamespace(pk=person * 254)))
        Confirmation.begin(
            page, lambda *_, **asked: keys.append(asked["idempotency_key"]), Visit(1), token, what
        )
    assert len(set(keys)) == 3
    assert max(map(len, keys)) <= 150


def test_the_same_form_with_another_amount_is_told_apart(salon: Salon, receptionist: Client) -> None:
    """Changed and sent again, a form does not act, and the person is told to open it anew."""
    visit = salon.visit()
    data = posted(salon, visit)
    receptionist.post(form_of("apply_card_withdrawal"), data)
    data[f"visit{visit.pk}-amount"] = "50"
    again = receptionist.post(form_of("apply_card_withdrawal"), data, follow=True)
    assert "used already" in messages_of(again)[-1]
    assert len(salon.sandbox.effects) == 1


def test_result_that_could_not_be_written__is_told_as_a_doubt(salon: Salon, receptionist: Client) -> None:
    """No page that breaks: whoever saw one would ask once more."""
    visit = salon.visit()
    with no_result_can_be_written():
        answer = receptionist.post(form_of("apply_card_withdrawal"), posted(salon, visit))
    shown = receptionist.get(answer["Location"]).content.decode()
    assert "it is looked up by itself; do not repeat it." in shown
    assert len(salon.sandbox.effects) == 1


@pytest.mark.parametrize("token", ["", "x", "1" * 500])
def test_a_form_without_its_token_does_nothing(salon: Salon, receptionist: Client, token: str) -> None:
    visit = salon.visit()
    data = posted(salon, visit, token=token)
    assert receptionist.post(form_of("apply_card_withdrawal"), data).status_code == 403
    assert posts(salon) == []


@pytest.mark.parametrize(
    "amount",
    [
        "",
        "0",
        "-1",
        "+1",
        "NaN",
        "1.001",
        "1e400",
        "1e2",
        "99999999999999",
        "abc",
        "1,234",
        "1.234",
        "1,23,4",
        "½",
        "1 23",
    ],
)
def test_a_bad_amount_comes_back_with_the_form(salon: Salon, receptionist: Client, amount: str) -> None:
    """The page says what is wrong, keeps what was chosen, and sends nothing."""
    visit = salon.visit()
    data = {**posted(salon, visit), f"visit{visit.pk}-amount": amount}
    response = receptionist.post(form_of("apply_card_withdrawal"), data)
    assert response.status_code == 200
    assert b"errorlist" in response.content
    assert b"Gold" in response.content
    assert posts(salon) == []


@pytest.mark.parametrize(
    ("typed", "amount"),
    [
        ("2,5", "2.5"),
        ("2.5", "2.5"),
        (" 1 234,50 ", "1234.5"),
        ("1\u00a0234.5", "1234.5"),
        ("1\u202f234", "1234"),
        ("1'234", "1234"),
        ("1,234.56", "1234.56"),
        ("1.234,56", "1234.56"),
        ("1,234,567", "1234567"),
        ("007", "7"),
    ],
)
@pytest.mark.parametrize("language", ["en", "de", "ru"])
def test_an_amount_is_read_as_it_was_typed__in_every_language(typed: str, amount: str, language: str) -> None:
    with translation.override(language):
        assert AmountField(max_digits=12, decimal_places=2).clean(typed) == Decimal(amount)


@pytest.mark.parametrize("typed", ["9.000", "9,000", "9_000", "９", "9e3"])
def test_the_number_of_a_card_with_a_mark_in_it__is_no_other_card(salon: Salon, typed: str) -> None:
    visit = salon.visit()
    posted = {f"visit{visit.pk}-card_id": typed, f"visit{visit.pk}-amount": "5"}
    form = OperationForm(posted, visit=visit, kind=kinds.APPLY_CARD_WITHDRAWAL)
    assert not form.is_valid()
    assert form.errors.keys() == {"card_id"}


@pytest.mark.parametrize(("typed", "whole"), [("1,234", "1234"), ("12.345", "12345")])
def test_an_amount_that_can_be_read_in_two_ways__is_asked_about(typed: str, whole: str) -> None:
    with pytest.raises(ValidationError, match=f"{typed} can be read in two ways: write {whole}"):
        AmountField().clean(typed)


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


@pytest.mark.parametrize("fault", [*sorted(FAULTS), REFUSED])
def test_no_answer_of_altegio_breaks_a_page(salon: Salon, receptionist: Client, fault: str) -> None:
    """Whatever is read, the page of the visit and every form come up and say what is unknown."""
    visit = salon.visit()
    if fault == REFUSED:
        salon.sandbox.stop()
    else:
        impatient = {"READ_TIMEOUT": 0.4, "TOTAL_TIMEOUT": 0.8}
        salon.settings.ALTEGIO_LOYALTY = {**salon.settings.ALTEGIO_LOYALTY, **impatient}
        salon.sandbox.fail(fault)
    assert receptionist.get(page_of(visit)).status_code == 200
    for kind in KINDS:
        assert receptionist.get(form_of(kind), {"visit": visit.pk, "read": 1}).status_code == 200


def test_with_altegio_down_the_ids_can_be_typed(salon: Salon, receptionist: Client) -> None:
    """Nobody can choose from what cannot be read; what is typed is kept and done when Altegio is back."""
    visit = salon.visit()
    salon.sandbox.stop()
    page = receptionist.get(form_of("apply_card_withdrawal"), {"visit": visit.pk, "read": 1})
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


def test_a_visit_without_a_client_is_no_failure_of_altegio(salon: Salon, receptionist: Client) -> None:
    """Altegio answered: there is nobody, and so no card. Nothing has to be typed for that."""
    there = salon.ledger.add_visit(salon.location.pk, None, lines=[("Haircut", "300")])
    visit = Visit.objects.create(id=there.id, record_id=there.record_id, location=salon.location)
    for url in (page_of(visit), f"{form_of('apply_card_withdrawal')}?visit={visit.pk}&read=1"):
        page = receptionist.get(url).content.decode()
        assert "This visit has no client in Altegio" in page
        assert "did not show them" not in page
        assert "have to be typed" not in page
        assert '<details class="altegio-advanced" open>' not in page


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
    visit = salon.visit()
    connection.settings_dict["ATOMIC_REQUESTS"] = True
    try:
        response = receptionist.post(form_of("apply_card_withdrawal"), posted(salon, visit), follow=True)
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = False
    assert "Done: 100 points taken." in text_of(response)


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
        assert known_page_of(visit) in page
        assert known_page_of(other) not in page


@pytest.mark.parametrize("day", ["today", "yesterday", "tomorrow", "week", "nonsense"])
def test_the_day_filter_has_an_answer_for_every_value(salon: Salon, receptionist: Client, day: str) -> None:
    visit = salon.visit()
    page = receptionist.get(reverse(LIST), {"day": day}, follow=True)
    assert page.status_code == 200
    assert (known_page_of(visit) in page.content.decode()) == (day not in ("yesterday", "tomorrow"))


def test_more_visits_than_a_person_can_wait_for_are_refused(salon: Salon, receptionist: Client) -> None:
    visits = [salon.visit() for _ in range(101)]
    data = {"action": "apply_card_withdrawal", "_selected_action": [visit.pk for visit in visits]}
    response = receptionist.post(f"{reverse(LIST)}?day=all&all=", data, follow=True)
    assert any("100" in message for message in messages_of(response))


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
    for url in (page_of(visit), f"{form_of('apply_card_withdrawal')}?visit={visit.pk}&read=1", reverse(LIST)):
        page = receptionist.get(url).content.decode()
        assert salon.sandbox.partner_token not in page
        assert salon.sandbox.user_token not in page


# The page of one screen


@pytest.mark.parametrize(("rights", "shown"), [((), False), (("view_client_phone",), True)])
def test_the_phone_is_masked_without_the_right_to_see_it(
    salon: Salon, rights: tuple[str, ...], shown: bool
) -> None:
    visit = salon.visit(client_phone="+13155550175")
    page = text_of(staff("view_visit", *rights).get(page_of(visit)))
    assert ("+13155550175" in page) == shown
    assert "0175" in page


def test_a_live_read_keeps_its_figures_for_the_list(salon: Salon, receptionist: Client) -> None:
    visit = salon.visit()
    salon.ledger.withdraw(visit.pk, salon.card.id, Decimal(70))
    receptionist.get(page_of(visit))
    visit.refresh_from_db()
    assert (visit.due_amount, visit.covered_amount) == (Decimal(230), Decimal(70))
    assert visit.read_at is not None


def test_when_altegio_is_away_the_page_shows_what_was_last_left_to_pay(
    salon: Salon, receptionist: Client
) -> None:
    visit = salon.visit()
    receptionist.get(page_of(visit))
    salon.sandbox.stop()
    Visit.objects.update(shown="")  # that was long ago
    assert "300 was left to pay" in text_of(receptionist.get(page_of(visit)))


def test_the_form_says_what_each_amount_leaves(salon: Salon, receptionist: Client) -> None:
    """All, half and round amounts, each with what stays on the card and what is left to pay."""
    visit = salon.visit()
    page = text_of(receptionist.get(form_of("apply_card_withdrawal"), {"visit": visit.pk, "read": 1}))
    for amount, stays, left in (("300", "200", "0"), ("150", "350", "150"), ("200", "300", "100")):
        assert f"{stays} points stay on the card, {left} is left to pay." in page, amount


def test_a_chosen_part_is_taken(salon: Salon, receptionist: Client) -> None:
    visit = salon.visit()
    data = posted(salon, visit)
    data[f"visit{visit.pk}-amount"] = ""
    data[f"visit{visit.pk}-part"] = "150.00"
    receptionist.post(form_of("apply_card_withdrawal"), data)
    assert LoyaltyOperation.objects.get().amount == 150


def test_a_part_and_another_typed_amount_are_not_guessed_between(salon: Salon, receptionist: Client) -> None:
    visit = salon.visit()
    data = posted(salon, visit)
    data[f"visit{visit.pk}-part"] = "300.00"
    response = receptionist.post(form_of("apply_card_withdrawal"), data)
    assert "Choose one of them" in text_of(response)
    assert not LoyaltyOperation.objects.exists()


@pytest.mark.parametrize("part", ["NaN", "-1", "0", "1e400", "abc", "0.001"])
def test_a_bad_part_comes_back_with_the_form(salon: Salon, receptionist: Client, part: str) -> None:
    visit = salon.visit()
    data = {**posted(salon, visit), f"visit{visit.pk}-part": part, f"visit{visit.pk}-amount": ""}
    assert receptionist.post(form_of("apply_card_withdrawal"), data).status_code == 200
    assert not LoyaltyOperation.objects.exists()


def test_another_card_that_was_used_is_a_warning(salon: Salon, receptionist: Client) -> None:
    visit = salon.visit()
    other = salon.ledger.add_card(salon.client, balance="50", title="Old")
    salon.ledger.withdraw(visit.pk, other.id, Decimal(20))
    for url in (page_of(visit), f"{form_of('apply_card_withdrawal')}?visit={visit.pk}&read=1"):
        assert "Another card was already used on this visit: Old" in text_of(receptionist.get(url))


def test_a_card_that_is_short_is_a_warning(salon: Salon, receptionist: Client) -> None:
    visit = salon.visit()
    salon.ledger.set_balance(salon.card.id, "120")
    page = text_of(receptionist.get(page_of(visit)))
    assert f"Gold ···{salon.card.number[-4:]} does not cover the bill: at least 180 has to be paid" in page


def test_what_is_left_to_pay_is_not_foretold_while_an_operation_is_open(
    salon: Salon, receptionist: Client
) -> None:
    """The card that is in use may cover all of it; the other one says nothing about that."""
    visit = salon.visit()
    salon.ledger.add_card(salon.client, balance="50", title="Old")
    waiting(salon, visit)
    page = text_of(receptionist.get(page_of(visit)))
    assert "may still change" in page
    assert "does not cover the bill" not in page


def test_a_visit_that_is_paid_in_full_offers_no_withdrawal(salon: Salon, receptionist: Client) -> None:
    visit = salon.visit()
    salon.ledger.pay(visit.pk, "300")
    page = text_of(receptionist.get(page_of(visit)))
    assert "paid in full" in page
    assert "Withdraw up to" not in page


def test_what_would_fail_beside_an_open_operation_is_not_offered(salon: Salon, receptionist: Client) -> None:
    visit = salon.visit()
    waiting(salon, visit)
    page = text_of(receptionist.get(page_of(visit)))
    assert "What was asked for with this card is not finished yet" in page
    assert "Withdraw up to" not in page
    form = text_of(receptionist.get(form_of("apply_card_withdrawal"), {"visit": visit.pk, "read": 1}))
    assert "Not possible now" in form


def test_numbers_can_be_typed_although_altegio_can_be_read(salon: Salon, receptionist: Client) -> None:
    visit = salon.visit()
    data = {
        "token": uuid.uuid4().hex,
        "visit": visit.pk,
        f"visit{visit.pk}-card_id": salon.card.id,
        f"visit{visit.pk}-program_id": salon.program.id,
    }
    receptionist.post(form_of("apply_discount_program"), data)
    assert salon.ledger.discounted(visit.pk, salon.program.id) == 30


@pytest.mark.parametrize("what", ["page", "form"])
@pytest.mark.usefixtures("time_stands_still")
def test_the_page_costs_the_same_however_long_its_history_is(
    salon: Salon, receptionist: Client, settings: Any, django_assert_max_num_queries: Any, what: str
) -> None:
    """Eleven queries at the most, with the booking of the calls to Altegio in the site's budget."""
    limits = {"REQUESTS_PER_SECOND": 1000, "REQUESTS_PER_MINUTE": 1000}
    settings.ALTEGIO_LOYALTY = {**settings.ALTEGIO_LOYALTY, **limits}
    visit = salon.visit()
    salon.ledger.withdraw(visit.pk, salon.card.id, 70)
    for _ in range(40):
        waiting(salon, visit, status="succeeded", open_key=None, next_attempt_at=None)
    url = page_of(visit) if what == "page" else f"{form_of('cancel_card_withdrawal')}?visit={visit.pk}&read=1"
    assert receptionist.get(url).status_code == 200
    with django_assert_max_num_queries(11):
        receptionist.get(url)


def test_points_beyond_the_log_are_flagged_by_whoever_opens_the_page(
    salon: Salon, receptionist: Client
) -> None:
    visit = with_100_taken(salon)
    salon.ledger.withdraw(visit.pk, salon.card.id, 70)
    page = receptionist.get(page_of(visit)).content.decode()
    assert "The visit shows 170 from this card, the log explains 100." in page


# Following what is open


def test_the_state_never_calls_altegio(
    salon: Salon, receptionist: Client, django_assert_max_num_queries: Any
) -> None:
    visit = salon.visit()
    waiting(salon, visit)
    count = len(salon.sandbox.requests)
    with django_assert_max_num_queries(7):
        state = receptionist.get(address("state", visit)).json()
    assert "Waiting to be sent." in state["verdicts"]
    assert "Stop trying" in state["waiting"]
    assert 'data-altegio-seconds="' in state["waiting"]
    assert len(salon.sandbox.requests) == count


def test_the_state_says_nothing_twice(salon: Salon, receptionist: Client) -> None:
    visit = salon.visit()
    waiting(salon, visit)
    version = receptionist.get(address("state", visit)).json()["version"]
    again = receptionist.get(address("state", visit), {"seen": version}).json()
    assert set(again) == {"version", "open", "is_due"}


@pytest.mark.parametrize("name", ["state", "stop", "step"])
def test_the_live_addresses_need_the_right_to_see_visits(salon: Salon, name: str) -> None:
    visit = salon.visit()
    method = "get" if name == "state" else "post"
    assert getattr(staff(*KINDS), method)(address(name, visit)).status_code == 403


@pytest.mark.parametrize("name", ["state", "stop", "step"])
def test_a_bound_person_finds_no_live_address_of_another_location(salon: Salon, name: str) -> None:
    visit = salon.visit()
    operation = waiting(salon, visit)
    method = "get" if name == "state" else "post"
    response = getattr(elsewhere(salon), method)(address(name, visit), {"operation": operation.pk})
    assert response.status_code == 404
    operation.refresh_from_db()
    assert operation.status == "pending"


@pytest.mark.parametrize("kind", KINDS)
def test_a_bound_person_neither_sees_nor_acts_in_another_location(salon: Salon, kind: str) -> None:
    visit = salon.visit()
    client = elsewhere(salon)
    assert "Jane" not in text_of(client.get(page_of(visit), follow=True))
    assert "Jane" not in text_of(client.get(form_of(kind), {"visit": visit.pk, "read": 1}, follow=True))
    client.post(form_of(kind), posted(salon, visit, kind))
    assert not LoyaltyOperation.objects.exists()


def test_stop_trying_stops_what_waits(salon: Salon, receptionist: Client) -> None:
    visit = salon.visit()
    operation = waiting(salon, visit)
    receptionist.post(address("stop", visit), {"operation": operation.pk})
    operation.refresh_from_db()
    assert operation.status == "abandoned"


@pytest.mark.parametrize(
    ("rights", "status"), [(("cancel_card_withdrawal",), 403), (("resolve_operation",), 302)]
)
def test_stopping_needs_the_kinds_right_or_the_right_to_decide(
    salon: Salon, rights: tuple[str, ...], status: int
) -> None:
    visit = salon.visit()
    operation = waiting(salon, visit)
    client = staff("view_visit", *rights)
    assert client.post(address("stop", visit), {"operation": operation.pk}).status_code == status


def test_an_operation_of_another_visit_is_not_stopped_here(salon: Salon, receptionist: Client) -> None:
    visit, other = salon.visit(), salon.visit()
    operation = waiting(salon, other)
    assert receptionist.post(address("stop", visit), {"operation": operation.pk}).status_code == 404


def test_what_has_ended_is_not_stopped(salon: Salon, receptionist: Client) -> None:
    visit = salon.visit()
    operation = waiting(salon, visit, status="succeeded", open_key=None, next_attempt_at=None)
    response = receptionist.post(address("stop", visit), {"operation": operation.pk}, follow=True)
    assert any("Not stopped" in message for message in messages_of(response))


@pytest.mark.parametrize("name", ["stop", "step"])
def test_stopping_and_stepping_are_posts(salon: Salon, receptionist: Client, name: str) -> None:
    assert receptionist.get(address(name, salon.visit())).status_code == 405


def test_a_step_does_what_is_due(salon: Salon, receptionist: Client) -> None:
    visit = salon.visit()
    operation = waiting(salon, visit, next_attempt_at=timezone.now())
    receptionist.post(address("step", visit))
    operation.refresh_from_db()
    assert operation.status == "succeeded"


def test_a_step_needs_the_right_of_the_kind(salon: Salon) -> None:
    visit = salon.visit()
    waiting(salon, visit, next_attempt_at=timezone.now())
    staff("view_visit").post(address("step", visit))
    assert posts(salon) == []


def test_a_step_of_a_location_that_is_paused_calls_nothing(salon: Salon, receptionist: Client) -> None:
    visit = salon.visit()
    waiting(salon, visit, next_attempt_at=timezone.now())
    Location.objects.update(refused_at=timezone.now())
    assert receptionist.get(address("state", visit)).json()["is_due"] is False
    receptionist.post(address("step", visit))
    assert salon.sandbox.requests == []


ARABIC, TURNED = "زهرة", "\u202eGold\u202c"


def test_titles_from_outside_turn_no_amount_around(salon: Salon, receptionist: Client) -> None:
    """A title that is read from right to left would turn the figures beside it around with it."""
    program = salon.ledger.add_program(title=f"{ARABIC} 5", percent=10)
    salon.ledger.add_card(salon.client, balance="500", title=f"{ARABIC} 6", programs=[program])
    salon.ledger.add_card(salon.client, balance="400", title=TURNED)
    visit = salon.visit(client_name=f"{ARABIC} 7")
    pages = [text_of(receptionist.get(url)) for url in (reverse(LIST), page_of(visit))]
    pages += [
        text_of(receptionist.get(form_of(kind), {"visit": visit.pk, "read": 1}))
        for kind in ("apply_card_withdrawal", "apply_discount_program")
    ]
    for page in pages:
        assert "\u202e" not in page
        for title in (f"{ARABIC} {number}" for number in (5, 6, 7)):
            assert page.count(title) == page.count(f"\u2068{title}\u2069"), title
    assert all(any(f"{ARABIC} {number}" in page for page in pages) for number in (5, 6, 7))
    assert any("Gold ···" in page for page in pages)


def test_titles_of_lines_and_locations_turn_no_amount_around(salon: Salon, receptionist: Client) -> None:
    """What stands beside them: how often a line counts, what it costs, what is left to pay."""
    Location.objects.update(title=f"{ARABIC} 4")
    lines = [(f"{ARABIC} 3", "300"), (TURNED, "21")]
    there = salon.ledger.add_visit(salon.location.pk, salon.client, lines=lines)
    visit = Visit.objects.create(
        id=there.id, location=salon.location, record_id=there.record_id, client_id=salon.client.id
    )
    form = form_of("apply_card_withdrawal")
    pages = [
        text_of(receptionist.get(page_of(visit))),
        text_of(receptionist.get(form, {"visit": visit.pk, "read": 1})),
    ]
    pages += [text_of(receptionist.get(form, {"visit": [visit.pk, salon.visit().pk]}))]
    for page in pages:
        assert "\u202e" not in page
        for title in (f"{ARABIC} {number}" for number in (3, 4)):
            assert page.count(title) == page.count(f"\u2068{title}\u2069"), title
        assert f"{ARABIC} 4" in page
    assert f"{ARABIC} 3" in pages[0]
    assert "<td>Gold</td>" in pages[0]


# At once, with what is known


def test_a_page_comes_up_without_asking_altegio(
    salon: Salon, receptionist: Client, django_assert_max_num_queries: Any
) -> None:
    """With the last reading's age, and what tells its script to read."""
    visit = salon.visit()
    assert "Not read yet." in text_of(receptionist.get(known_page_of(visit)))
    receptionist.get(page_of(visit))
    Visit.objects.update(shown=aged(visit))
    count = len(salon.sandbox.requests)
    for url in (known_page_of(visit), f"{form_of('apply_card_withdrawal')}?visit={visit.pk}"):
        with django_assert_max_num_queries(9):
            page = text_of(receptionist.get(url))
        assert "Gold" in page
        assert "As of " in page
        assert "data-altegio-read" in page
    assert len(salon.sandbox.requests) == count


def aged(visit: Visit) -> str:
    """What was kept of it, as if that had been an hour ago."""
    kept = json.loads(Visit.objects.get(pk=visit.pk).shown)
    for name in ("read_at", "kept_at"):
        moment = datetime.datetime.fromisoformat(kept[name])
        kept[name] = (moment - datetime.timedelta(hours=1)).isoformat()
    return json.dumps(kept)


@pytest.mark.usefixtures("time_stands_still")
def test_a_withdrawal_from_the_list_costs_four_requests(salon: Salon, receptionist: Client) -> None:
    """Two to read visit and cards; the form goes by them; look and call; the result goes by the call's own answer."""
    visit = salon.visit()
    receptionist.get(known_page_of(visit))
    receptionist.get(page_of(visit))
    form = text_of(receptionist.get(form_of("apply_card_withdrawal"), {"visit": visit.pk}))
    assert "data-altegio-read" not in form
    answer = receptionist.post(form_of("apply_card_withdrawal"), posted(salon, visit))
    page = text_of(receptionist.get(answer["Location"]))
    assert "data-altegio-read" not in page
    assert "Done: 100 points taken." in page
    assert "200 is left to pay, 400 points are on the card" in page
    assert "100 points taken" in page
    assert [request.method for request in salon.sandbox.requests] == ["GET", "GET", "GET", "POST"]


@pytest.mark.parametrize(
    ("kind", "left", "card"), [("cancel_card_withdrawal", 300, 500), ("apply_discount_program", 200, 430)]
)
def test_the_balance_after_a_call__is_what_altegio_has(
    salon: Salon, receptionist: Client, kind: str, left: int, card: int
) -> None:
    visit = salon.visit()
    salon.ledger.withdraw(visit.pk, salon.card.id, Decimal(70))
    receptionist.get(page_of(visit))
    answer = receptionist.post(form_of(kind), posted(salon, visit, kind))
    assert f"{left} is left to pay, {card} points are on the card" in text_of(
        receptionist.get(answer["Location"])
    )
    assert salon.ledger.balance(salon.card.id) == card


def test_a_balance_that_was_read_long_before_the_call__is_read_anew(
    salon: Salon, receptionist: Client
) -> None:
    visit = salon.visit()
    receptionist.get(page_of(visit))
    Visit.objects.update(shown=aged(visit))
    salon.ledger.set_balance(salon.card.id, "900")
    answer = receptionist.post(form_of("apply_card_withdrawal"), posted(salon, visit))
    page = text_of(receptionist.get(answer["Location"]))
    assert "data-altegio-read" in page
    assert "balance unknown" in page
    assert "points are on the card" not in page


def test_the_script_is_told_where_to_go(salon: Salon, receptionist: Client) -> None:
    """A form that is sent by it stays on its page until there is an answer, so that nothing typed is lost."""
    visit = salon.visit()
    answer = receptionist.post(
        form_of("apply_card_withdrawal"), posted(salon, visit), headers={"accept": "application/json"}
    )
    assert answer.json() == {"url": known_page_of(visit)}
    assert len(salon.sandbox.effects) == 1


# The visit's client


def seen_long_ago(salon: Salon, **columns: Any) -> Visit:
    return salon.visit(created_at=timezone.now() - datetime.timedelta(hours=1), **columns)


def made_bobs(salon: Salon, visit: Visit) -> Any:
    """In Altegio's own screen; returns his card."""
    bob = salon.ledger.add_client(name="Bob Carter")
    salon.ledger.change_client(visit.pk, bob)
    return salon.ledger.add_card(bob, balance="50", title="Silver")


@pytest.mark.parametrize("where", ["page", "form"])
def test_client_changed_in_altegio__is_told_before_the_click(
    salon: Salon, receptionist: Client, where: str
) -> None:
    visit = seen_long_ago(salon)
    receptionist.get(page_of(visit))
    card = made_bobs(salon, visit)
    Visit.objects.update(shown=aged(visit))
    form = f"{form_of('apply_card_withdrawal')}?visit={visit.pk}&read=1"
    shown = text_of(receptionist.get(page_of(visit) if where == "page" else form))
    assert "this visit is no longer of Jane Miller: its client is Bob Carter now" in shown
    assert str(card.id) in shown
    assert f"choice={salon.card.id}" not in shown
    assert f'value="{salon.card.id}"' not in shown


def test_client_named_by_a_clock_that_was_put_back_since__is_asked_for_again(
    salon: Salon, receptionist: Client
) -> None:
    visit = salon.visit(created_at=timezone.now() + datetime.timedelta(days=365))
    receptionist.get(page_of(visit))
    assert len(salon.sandbox.requests) == 3


def test_client_named_moments_ago__is_not_asked_for_again(salon: Salon, receptionist: Client) -> None:
    """By the list of the visit's day, from which people come."""
    visit = seen_long_ago(salon)
    Location.objects.update(visits_read_at=timezone.now())
    receptionist.get(page_of(visit))
    assert len(salon.sandbox.requests) == 2
    Location.objects.update(visits_read_at=timezone.now() - datetime.timedelta(minutes=6))
    Visit.objects.update(shown=aged(visit))
    receptionist.get(page_of(visit))
    assert len(salon.sandbox.requests) == 5


def test_visit_that_is_nobodys_any_more__offers_no_card(salon: Salon, receptionist: Client) -> None:
    visit = seen_long_ago(salon)
    salon.ledger.visit(visit.pk).client_id = None
    shown = text_of(receptionist.get(page_of(visit)))
    assert "no longer of Jane Miller" in shown
    assert f"choice={salon.card.id}" not in shown


@pytest.mark.parametrize("kind", ["apply_card_withdrawal", "apply_discount_program"])
def test_form_of_before_the_client_changed__takes_nothing(
    salon: Salon, receptionist: Client, kind: str
) -> None:
    visit = seen_long_ago(salon)
    receptionist.get(page_of(visit))
    made_bobs(salon, visit)
    Visit.objects.update(shown=aged(visit))
    receptionist.get(page_of(visit))
    answer = receptionist.post(form_of(kind), posted(salon, visit, kind))
    assert "Bob Carter" in text_of(answer)
    assert not LoyaltyOperation.objects.exists()


def test_where_altegio_does_not_name_the_client__the_known_one_stays(
    salon: Salon, receptionist: Client
) -> None:
    visit = seen_long_ago(salon)
    salon.sandbox.fail("status_403", path="/visits/")
    shown = text_of(receptionist.get(page_of(visit)))
    assert f"choice={salon.card.id}" in shown


def test_points_that_somebody_else_took__are_told_before_a_cancel_gives_them_back(
    salon: Salon, receptionist: Client
) -> None:
    visit = with_100_taken(salon)
    salon.ledger.withdraw(visit.pk, salon.card.id, 50)
    form = text_of(receptionist.get(f"{form_of('cancel_card_withdrawal')}?visit={visit.pk}&read=1"))
    assert "The visit shows 150 from this card, the log explains 100." in form


def test_points_that_somebody_else_gave_back__are_told_before_a_cancel_gives_back_fewer(
    salon: Salon, receptionist: Client
) -> None:
    visit = with_100_taken(salon)
    # Long enough ago that no reading can lag behind it.
    LoyaltyOperation.objects.update(finished_at=timezone.now() - datetime.timedelta(hours=1))
    salon.ledger.cancel_withdrawal(visit.pk, salon.card.id)
    salon.ledger.withdraw(visit.pk, salon.card.id, 40)
    form = text_of(receptionist.get(f"{form_of('cancel_card_withdrawal')}?visit={visit.pk}&read=1"))
    assert "The visit shows only 40 from this card, the log says 100." in form


# Altegio is away


def test_with_altegio_away__what_it_showed_last_is_chosen_by_name(salon: Salon, receptionist: Client) -> None:
    """And waits; nobody has to know Altegio's numbers."""
    visit = salon.visit()
    receptionist.get(page_of(visit))
    Visit.objects.update(shown=aged(visit))
    salon.sandbox.stop()
    page = text_of(receptionist.get(page_of(visit)))
    assert "This is what it showed at" in page
    assert "Withdraw up to 300" in page
    assert '<details class="altegio-advanced" open>' not in page
    form = text_of(receptionist.get(form_of("apply_card_withdrawal"), {"visit": visit.pk, "read": 1}))
    assert "All that card and bill allow" in form
    assert '<details class="altegio-advanced" open>' not in form
    answer = receptionist.post(form_of("apply_card_withdrawal"), posted(salon, visit))
    told = text_of(receptionist.get(answer["Location"]))
    assert "it goes on by itself at" in told
    assert "It is tried until" in told
    assert "Gold" in LoyaltyOperation.objects.get().card_title


def test_with_the_cards_alone_away__they_are_as_last_shown(salon: Salon, receptionist: Client) -> None:
    visit = salon.visit()
    receptionist.get(page_of(visit))
    Visit.objects.update(shown=aged(visit))
    salon.sandbox.fail("status_500", path="client_cards")
    page = text_of(receptionist.get(page_of(visit)))
    assert "did not show them now. This is what it showed at" in page
    assert "Withdraw up to 300" in page


@pytest.mark.parametrize("where", ["list", "page", "form"])
def test_the_pages_say_since_when_altegio_is_away(salon: Salon, receptionist: Client, where: str) -> None:
    visit = salon.visit()
    salon.sandbox.stop()
    for _ in range(3):
        receptionist.get(page_of(visit))
    form = f"{form_of('apply_card_withdrawal')}?visit={visit.pk}"
    url = {"list": f"{reverse(LIST)}?day=all", "page": known_page_of(visit), "form": form}[where]
    assert "No call to Altegio has worked since" in text_of(receptionist.get(url))


# Every sentence true


def test_the_log_says_who_did_it_before(salon: Salon, receptionist: Client) -> None:
    visit = salon.visit()
    receptionist.post(form_of("apply_card_withdrawal"), posted(salon, visit))
    LoyaltyOperation.objects.update(requested_by_login="anna")
    waiting(
        salon,
        visit,
        status="rejected",
        ending="already_there",
        open_key=None,
        next_attempt_at=None,
        seen_before=100,
    )
    page = text_of(receptionist.get(known_page_of(visit)))
    assert re.search(r"It was asked for here at \d\d:\d\d, by anna\.", page)


def test_what_was_cancelled_before__is_not_said_to_have_done_it(salon: Salon, receptionist: Client) -> None:
    """Somebody took as many points in Altegio itself since."""
    visit = salon.visit()
    for kind in ("apply_card_withdrawal", "cancel_card_withdrawal"):
        receptionist.post(form_of(kind), posted(salon, visit, kind))
    assert LoyaltyOperation.objects.earliest("pk").undone_at
    ended = {"open_key": None, "next_attempt_at": None, "finished_at": timezone.now()}
    waiting(salon, visit, status="rejected", ending="already_there", seen_before=100, **ended)
    assert "It was asked for here" not in text_of(receptionist.get(known_page_of(visit)))


def test_a_step_of_the_page__tells_what_is_left(salon: Salon, receptionist: Client) -> None:
    visit = salon.visit()
    receptionist.get(page_of(visit))
    waiting(salon, visit, next_attempt_at=timezone.now())
    answer = receptionist.post(address("step", visit), headers={"Accept": "application/json"})
    assert "290 is left to pay" in answer.json()["verdicts"]


def test_an_operation_is_told_with_its_card_and_promotion(salon: Salon, receptionist: Client) -> None:
    visit = salon.visit()
    receptionist.get(page_of(visit))
    receptionist.post(form_of("apply_discount_program"), posted(salon, visit, "apply_discount_program"))
    operation = LoyaltyOperation.objects.get()
    assert (operation.card_title, operation.program_title) == (
        f"Gold ···{salon.card.number[-4:]}",
        "Birthday 10 %",
    )
    assert f"Birthday 10 %, {operation.card_title}" in text_of(receptionist.get(known_page_of(visit)))


def test_a_card_that_is_offered_no_more_is_asked_for_again(salon: Salon, receptionist: Client) -> None:
    """Neither the first card nor its amount comes in its place, whether it was posted or led to."""
    visit = salon.visit()
    gone = salon.ledger.add_card(salon.client, balance="5", title="Old").id
    receptionist.get(page_of(visit))
    data = {**posted(salon, visit), f"visit{visit.pk}-choice": str(gone + 1), f"visit{visit.pk}-amount": "x"}
    led = receptionist.get(form_of("apply_card_withdrawal"), {"visit": visit.pk, "choice": gone + 1})
    for page in (text_of(receptionist.post(form_of("apply_card_withdrawal"), data)), text_of(led)):
        assert "What was chosen is not offered any more. Choose again." in page
        assert "altegio-amounts" not in page
        assert all(f"choice={card}" in page for card in (gone, salon.card.id))
    assert posts(salon) == []


def test_a_promotion_that_is_offered_no_more_is_asked_for_again(salon: Salon, receptionist: Client) -> None:
    visit = salon.visit()
    receptionist.get(page_of(visit))
    kind = "apply_discount_program"
    query: dict[str, Any] = {"visit": visit.pk, "choice": f"{salon.card.id}:999"}
    page = text_of(receptionist.get(form_of(kind), query))
    assert "What was chosen is not offered any more. Choose again." in page
    assert f'value="{salon.card.id}:{salon.program.id}" required>' in page
    assert "data-altegio-submit" in page


def test_a_full_payment_is_no_warning(salon: Salon, receptionist: Client) -> None:
    visit = salon.visit()
    salon.ledger.pay(visit.pk, "300")
    page = text_of(receptionist.get(page_of(visit)))
    assert "The visit is paid in full" in page
    assert 'class="altegio-warning"><span aria-hidden="true">' not in page


def test_a_countdown_shows_the_next_look__and_never_the_end_of_a_lease(
    salon: Salon, receptionist: Client
) -> None:
    visit = salon.visit()
    ends_at = timezone.now() + datetime.timedelta(seconds=120)
    doubt = {"status": "unconfirmed", "unanswered_at": timezone.now(), "next_attempt_at": ends_at}
    operation = waiting(salon, visit, **doubt)
    assert "data-altegio-seconds" in receptionist.get(address("state", visit)).json()["waiting"]
    LoyaltyOperation.objects.filter(pk=operation.pk).update(look_ends_at=ends_at)
    waits = receptionist.get(address("state", visit)).json()["waiting"]
    assert "data-altegio-seconds" not in waits
    assert "is being asked right now what became of it" in waits


def test_a_step_that_cannot_be_written_down__is_no_broken_page(salon: Salon, receptionist: Client) -> None:
    visit = salon.visit()
    waiting(salon, visit, next_attempt_at=timezone.now())
    with no_result_can_be_written():
        assert receptionist.post(address("step", visit)).status_code == 302
    assert "do not repeat it" in text_of(receptionist.get(known_page_of(visit)))
    assert len(salon.sandbox.effects) == 1
