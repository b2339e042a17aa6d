"""Staff who are given locations see and act only there, whatever address they guess."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import reverse

from altegio_loyalty.access import is_bound, visible_to
from altegio_loyalty.models import Location, LocationAccess, LoyaltyOperation, Visit

pytestmark = pytest.mark.django_db(transaction=True)

KINDS = [kind.value for kind in LoyaltyOperation.Kind]
RIGHTS = (
    "view_visit",
    "view_loyaltyoperation",
    "view_location",
    "change_location",
    "resolve_operation",
    *KINDS,
)


class Chain:
    """Two locations, mine and theirs, each with a visit and an operation in doubt."""

    def __init__(self) -> None:
        self.mine, self.theirs = (
            Location.objects.create(id=number, title=f"Salon {number}") for number in (1, 2)
        )
        self.visits, self.operations = {}, {}
        for location in (self.mine, self.theirs):
            visit = Visit.objects.create(
                id=100 + location.pk,
                location=location,
                record_id=200 + location.pk,
                client_name=f"Jane {location.pk}",
            )
            self.visits[location.pk] = visit
            self.operations[location.pk] = LoyaltyOperation.objects.create(
                kind="apply_card_withdrawal",
                location=location,
                visit=visit,
                record_id=visit.record_id,
                card_id=5,
                amount=1,
                status="unconfirmed",
                idempotency_key=uuid.uuid4().hex,
            )


@pytest.fixture
def chain() -> Chain:
    return Chain()


@pytest.fixture
def person() -> Any:
    person = get_user_model().objects.create_user("reception", is_staff=True)
    person.user_permissions.set(
        Permission.objects.filter(content_type__app_label="altegio_loyalty", codename__in=RIGHTS)
    )
    return person


@pytest.fixture
def desk(person: Any) -> Client:
    client = Client()
    client.force_login(person)
    return client


def give(location: Location, person: Any) -> None:
    LocationAccess.objects.create(location=location, user=person)


def test_as_long_as_no_location_is_given_nobody_is_bound(chain: Chain, person: Any) -> None:
    assert visible_to(person, Visit.objects.all()).count() == 2


def test_from_the_first_one_on_who_has_none_sees_none(chain: Chain, person: Any) -> None:
    give(chain.mine, get_user_model().objects.create_user("somebody else"))
    assert not visible_to(person, Visit.objects.all()).exists()


@pytest.mark.parametrize("rows", [Location, Visit, LoyaltyOperation])
def test_a_location_given_to_a_person_is_seen_and_no_other(chain: Chain, person: Any, rows: Any) -> None:
    give(chain.mine, person)
    ids = {getattr(row, "location_id", row.pk) for row in visible_to(person, rows.objects.all())}
    assert ids == {chain.mine.pk}


def test_a_location_given_to_a_group_is_seen_by_its_people(chain: Chain, person: Any) -> None:
    group = Group.objects.create(name="Main Street")
    person.groups.add(group)
    LocationAccess.objects.create(location=chain.mine, group=group)
    assert [visit.location_id for visit in visible_to(person, Visit.objects.all())] == [chain.mine.pk]


def test_a_superuser_and_who_may_work_everywhere_see_all(chain: Chain, person: Any, admin_user: Any) -> None:
    give(chain.mine, person)
    assert not is_bound(admin_user)
    person.user_permissions.add(Permission.objects.get(codename="all_locations"))
    assert not is_bound(get_user_model().objects.get(pk=person.pk))


@pytest.mark.parametrize("model", ["visit", "location", "loyaltyoperation"])
def test_lists_show_only_what_is_mine(chain: Chain, person: Any, desk: Client, model: str) -> None:
    give(chain.mine, person)
    anywhen = {"day": "all"} if model == "visit" else {}
    page = desk.get(reverse(f"admin:altegio_loyalty_{model}_changelist"), anywhen, follow=True)
    assert page.status_code == 200
    assert [getattr(row, "location_id", row.pk) for row in page.context["cl"].result_list] == [chain.mine.pk]
    assert chain.theirs.title not in page.content.decode()


@pytest.mark.parametrize("model", ["visit", "location", "loyaltyoperation"])
def test_a_guessed_page_of_another_location_is_not_there(
    chain: Chain, person: Any, desk: Client, model: str
) -> None:
    give(chain.mine, person)
    theirs = {"visit": 102, "location": 2, "loyaltyoperation": chain.operations[2].pk}[model]
    response = desk.get(reverse(f"admin:altegio_loyalty_{model}_change", args=[theirs]), follow=True)
    assert chain.theirs.title not in response.content.decode()
    assert response.redirect_chain


@pytest.mark.parametrize("kind", KINDS)
def test_a_guessed_form_for_another_location_asks_and_does_nothing(
    chain: Chain, person: Any, desk: Client, kind: str
) -> None:
    give(chain.mine, person)
    url = reverse("admin:altegio_loyalty_visit_operate", args=[kind])
    fields = {"visit": 102, "token": uuid.uuid4().hex, "visit102-choice": "5", "visit102-amount": "1"}
    for response in (desk.get(url, {"visit": 102}, follow=True), desk.post(url, fields, follow=True)):
        assert "Jane 2" not in response.content.decode()
    assert LoyaltyOperation.objects.count() == 2


@pytest.mark.parametrize("decision", ["retry", "stop", "happened", "did_not_happen"])
def test_a_guessed_decision_about_another_location_changes_nothing(
    chain: Chain, person: Any, desk: Client, decision: str
) -> None:
    give(chain.mine, person)
    theirs = chain.operations[2]
    fields = {"decision": decision, "operation": theirs.pk, "reason": "because"}
    desk.post(reverse("admin:altegio_loyalty_loyaltyoperation_decide"), fields, follow=True)
    fence = theirs.fence
    theirs.refresh_from_db()
    assert (theirs.status, theirs.fence, theirs.is_stopping) == ("unconfirmed", fence, False)


def test_a_guessed_connection_test_of_another_location_is_not_made(
    chain: Chain, person: Any, desk: Client
) -> None:
    give(chain.mine, person)
    response = desk.post(reverse("admin:altegio_loyalty_location_test_connection", args=[2]), follow=True)
    assert chain.theirs.title not in response.content.decode()


def test_a_location_is_given_on_its_page(chain: Chain, person: Any, admin_client: Client) -> None:
    """Whoever may change access gives a location to a person there."""
    page = reverse("admin:altegio_loyalty_location_change", args=[1])
    form = {
        "title": "Salon 1",
        "is_active": "on",
        "access-TOTAL_FORMS": 1,
        "access-INITIAL_FORMS": 0,
        "access-0-user": person.pk,
        "access-0-group": "",
        "access-0-location": 1,
    }
    assert admin_client.post(page, form).status_code == 302
    assert LocationAccess.objects.get().user == person


def test_access_is_for_a_person_or_a_group_not_for_both(
    chain: Chain, person: Any, admin_client: Client
) -> None:
    group = Group.objects.create(name="Main Street")
    page = reverse("admin:altegio_loyalty_location_change", args=[1])
    form = {
        "title": "Salon 1",
        "is_active": "on",
        "access-TOTAL_FORMS": 1,
        "access-INITIAL_FORMS": 0,
        "access-0-user": person.pk,
        "access-0-group": group.pk,
        "access-0-location": 1,
    }
    assert "not both" in admin_client.post(page, form).content.decode()
    assert not LocationAccess.objects.exists()


def test_with_locations_closed_by_default_nothing_is_open_before_it_is_given(
    chain: Chain, person: Any, settings: Any
) -> None:
    """Taking the last access back must not open everything to everybody."""
    settings.ALTEGIO_LOYALTY = {**settings.ALTEGIO_LOYALTY, "LOCATIONS_OPEN_BY_DEFAULT": False}
    assert not visible_to(person, Visit.objects.all()).exists()


def test_a_person_whose_model_knows_no_superusers_and_groups_is_asked_for_permissions_alone(
    chain: Chain,
) -> None:
    class Someone:
        pk = 1

        def has_perm(self, permission: str) -> bool:
            return False

    give(chain.mine, get_user_model().objects.create_user("somebody else"))
    assert not visible_to(Someone(), Visit.objects.all()).exists()
