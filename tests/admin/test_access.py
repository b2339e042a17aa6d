"""Staff who are given locations see and act only there, whatever address they guess."""

from __future__ import annotations

import contextlib
import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.db import transaction
from django.test import Client
from django.urls import reverse

from altegio_loyalty.access import LocationsClosed, is_bound, sees_no_location, visible_to
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


# Nothing that is taken away opens anything


def _taken_back(person: Any, chain: Chain) -> None:
    LocationAccess.objects.get().delete()


def _all_taken_back_at_once(person: Any, chain: Chain) -> None:
    LocationAccess.objects.all().delete()


def _group_deleted(person: Any, chain: Chain) -> None:
    LocationAccess.objects.all().update(user=None, group=Group.objects.create(name="Main Street"))
    Group.objects.get().delete()


def _account_deleted(person: Any, chain: Chain) -> None:
    get_user_model().objects.filter(username="somebody else").delete()


def _location_deleted(person: Any, chain: Chain) -> None:
    LoyaltyOperation.objects.filter(location=chain.mine).delete()
    Visit.objects.filter(location=chain.mine).delete()
    Location.objects.filter(pk=chain.mine.pk).delete()


@pytest.mark.parametrize(
    "take", [_taken_back, _all_taken_back_at_once, _group_deleted, _account_deleted, _location_deleted]
)
@pytest.mark.parametrize("rows", [Location, Visit, LoyaltyOperation])
def test_however_the_last_access_goes_nobody_sees_more(
    chain: Chain, person: Any, take: Callable[[Any, Chain], None], rows: Any
) -> None:
    give(chain.mine, get_user_model().objects.create_user("somebody else"))
    take(person, chain)
    assert not LocationAccess.objects.exists()
    assert not visible_to(person, rows.objects.all()).exists()


def test_a_location_that_is_added_later_is_not_open_either(chain: Chain, person: Any) -> None:
    give(chain.mine, person)
    LocationAccess.objects.all().delete()
    Location.objects.create(id=3, title="Salon 3")
    assert not visible_to(person, Location.objects.all()).exists()


def test_a_deletion_that_is_taken_back_leaves_no_mark(chain: Chain, person: Any) -> None:
    give(chain.mine, person)
    with contextlib.suppress(ZeroDivisionError), transaction.atomic():
        LocationAccess.objects.all().delete()
        raise ZeroDivisionError
    assert LocationAccess.objects.exists()
    assert not LocationsClosed.objects.exists()


def test_after_the_last_access_is_gone_all_is_opened_by_the_permission_alone(
    chain: Chain, person: Any
) -> None:
    give(chain.mine, person)
    LocationAccess.objects.all().delete()
    person.user_permissions.add(Permission.objects.get(codename="all_locations"))
    again = get_user_model().objects.get(pk=person.pk)
    assert visible_to(again, Location.objects.all()).count() == 2


def test_who_sees_what_is_one_query_of_a_request(
    chain: Chain, person: Any, django_assert_num_queries: Any
) -> None:
    give(chain.mine, person)
    person.has_perm("x")
    with django_assert_num_queries(1):
        assert is_bound(person)
        assert not sees_no_location(person)


# Who sees no location is told so

NONE = "There is no location that you may see."


@pytest.mark.parametrize(
    ("page", "arguments"),
    [
        ("visit_changelist", []),
        ("location_changelist", []),
        ("loyaltyoperation_changelist", []),
        ("loyaltyoperation_overview", []),
        ("visit_batches", []),
    ],
)
def test_an_empty_page_says_that_no_location_may_be_seen(
    chain: Chain, person: Any, desk: Client, page: str, arguments: list[Any]
) -> None:
    give(chain.mine, get_user_model().objects.create_user("somebody else"))
    text = desk.get(reverse(f"admin:altegio_loyalty_{page}", args=arguments)).content.decode()
    assert text.count(NONE) == 1
    for false in ("Nothing needs a person", "No visit is known", "0 operations", "Nothing was found"):
        assert false not in text


def test_the_apps_own_page_says_it_too(chain: Chain, person: Any, desk: Client) -> None:
    give(chain.mine, get_user_model().objects.create_user("somebody else"))
    assert NONE in desk.get(reverse("admin:app_list", args=["altegio_loyalty"])).content.decode()


@pytest.mark.parametrize("page", ["visit_changelist", "location_changelist", "loyaltyoperation_overview"])
def test_who_sees_a_location_is_not_told_that_there_is_none(
    chain: Chain, person: Any, desk: Client, page: str
) -> None:
    url = reverse(f"admin:altegio_loyalty_{page}")
    assert NONE not in desk.get(url).content.decode()
    give(chain.mine, person)
    assert NONE not in desk.get(url).content.decode()


# A number of another location is told as one that is nowhere

#: (page, its arguments, query or form), with a place for the number of a visit, a location and an operation.
GUESSES: list[tuple[str, str, list[str], dict[str, Any]]] = [
    *(("get", f"visit_{page}", ["{visit}"], {}) for page in ("change", "history", "delete", "state")),
    *(("post", f"visit_{page}", ["{visit}"], {"operation": "{operation}"}) for page in ("stop", "step")),
    *(("get", f"loyaltyoperation_{page}", ["{operation}"], {}) for page in ("change", "history", "delete")),
    *(("get", f"location_{page}", ["{location}"], {}) for page in ("change", "history", "delete")),
    ("post", "location_change", ["{location}"], {"title": "Mine now"}),
    ("post", "location_test_connection", ["{location}"], {}),
    ("get", "location_access", ["{location}"], {}),
    ("post", "location_access", ["{location}"], {"make-groups": "1"}),
    *(("get", "visit_operate", [kind], {"visit": "{visit}"}) for kind in KINDS),
    *(("get", "visit_operate", [kind], {"visit": "{visit}", "typed": "1"}) for kind in KINDS),
    *(
        ("post", "visit_operate", [kind], {"visit": "{visit}", "token": "0" * 32, "visit{visit}-choice": "5"})
        for kind in KINDS
    ),
    ("get", "visit_operate", [KINDS[0]], {"visit": ["101", "{visit}"]}),
    ("get", "visit_batch_row", [KINDS[0]], {"visit": "{visit}"}),
    *(
        (
            "post",
            "loyaltyoperation_decide",
            [],
            {"decision": decision, "operation": "{operation}", "reason": "x"},
        )
        for decision in ("retry", "stop", "happened", "did_not_happen")
    ),
    ("post", "visit_refresh", [], {"day": "2026-01-01", "location": "{location}"}),
    ("post", "visit_find", [], {"q": "{visit}", "location": "{location}"}),
    ("post", "visit_find", [], {"q": "{visit}"}),
    ("get", "visit_changelist", [], {"q": "{visit}"}),
    ("get", "visit_changelist", [], {"location": "{location}", "day": "all"}),
    ("get", "loyaltyoperation_changelist", [], {"q": "{visit}"}),
    ("get", "loyaltyoperation_changelist", [], {"visit": "{visit}"}),
    ("get", "loyaltyoperation_changelist", [], {"location": "{location}"}),
    ("get", "loyaltyoperation_overview", [], {"location": "{location}"}),
    ("get", "loyaltyoperation_export", [], {"location": "{location}"}),
    ("get", "visit_add", [], {}),
    ("post", "visit_add", [], {"location": "1", "id": "{visit}", "record_id": "9"}),
    ("get", "location_add", [], {}),
    ("post", "location_add", [], {"id": "{location}", "title": "Mine now"}),
]


@pytest.mark.parametrize(
    ("method", "page", "arguments", "fields"), GUESSES, ids=[f"{guess[0]} {guess[1]}" for guess in GUESSES]
)
def test_a_number_elsewhere_is_told_as_one_that_is_nowhere(
    chain: Chain, person: Any, method: str, page: str, arguments: list[str], fields: dict[str, Any]
) -> None:
    """By whoever has every permission, in one location."""
    give(chain.mine, person)
    # Numbers that no other number on a page is like.
    elsewhere, nowhere = (
        {"location": 7_700_000 + part, "visit": 7_700_100 + part, "operation": 7_700_200 + part}
        for part in (1, 2)
    )
    location = Location.objects.create(id=elsewhere["location"], title="Elsewhere")
    visit = Visit.objects.create(id=elsewhere["visit"], location=location, record_id=7)
    LoyaltyOperation.objects.create(
        id=elsewhere["operation"],
        kind=KINDS[0],
        location=location,
        visit=visit,
        record_id=7,
        card_id=5,
        amount=1,
        status="unconfirmed",
        idempotency_key="theirs",
    )
    every = Permission.objects.filter(content_type__app_label="altegio_loyalty").exclude(
        codename="all_locations"
    )
    person.user_permissions.set(every)
    before = (
        list(Visit.objects.values_list("pk", "location")),
        list(Location.objects.values_list("pk", "title")),
    )
    told = [_told(person, method, page, arguments, fields, numbers) for numbers in (elsewhere, nowhere)]
    assert told[0] == told[1]
    assert (
        list(Visit.objects.values_list("pk", "location")),
        list(Location.objects.values_list("pk", "title")),
    ) == before


def _told(
    person: Any, method: str, page: str, arguments: list[str], fields: dict[str, Any], numbers: dict[str, int]
) -> str:
    """What a person is answered, without the numbers that they sent and what is another one each time."""
    browser = Client()
    browser.force_login(person)
    values = [text.format(**numbers) for text in arguments]
    sent = {
        name.format(**numbers): [text.format(**numbers) for text in value]
        if isinstance(value, list)
        else value.format(**numbers)
        for name, value in fields.items()
    }
    url = reverse(f"admin:altegio_loyalty_{page}", args=values)
    response: Any = getattr(browser, method)(url, sent, follow=True)
    body = b"".join(response.streaming_content) if response.streaming else response.content
    text = f"{response.status_code} {response.redirect_chain} {body.decode()}"
    text = re.sub(r'csrfmiddlewaretoken" value="\w+|[0-9a-f-]{32,36}|\d\d:\d\d(:\d\d)?', "", text)
    for number in sorted(map(str, numbers.values()), key=len, reverse=True):
        text = re.sub(rf"(?<!\d){number}(?!\d)", "N", text)
    return text


def test_with_locations_closed_by_default_nothing_is_open_before_it_is_given(
    chain: Chain, person: Any, settings: Any
) -> None:
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
