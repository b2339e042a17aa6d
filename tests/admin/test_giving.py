"""Who sees a location: ticked on one page, which says what becomes of everybody's sight before it saves."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.contrib.messages import get_messages
from django.db.models import Q
from django.test import Client
from django.urls import reverse

from altegio_loyalty.access import ROLES, LocationsClosed, visible_to
from altegio_loyalty.admin import giving
from altegio_loyalty.models import Location, LocationAccess

pytestmark = pytest.mark.django_db

RIGHTS = (
    "view_location",
    "change_location",
    "view_locationaccess",
    "add_locationaccess",
    "delete_locationaccess",
)
LOSES, NONE, ALONE, GAINS = (
    "No longer see this location:",
    "No longer see any location:",
    "See this location, and no other any more, nor one that is added later:",
    "See this location from then on:",
)


def person(name: str, *codenames: str, **more: Any) -> Any:
    someone = get_user_model().objects.create_user(name, **{"is_staff": True, **more})
    someone.user_permissions.set(Permission.objects.filter(codename__in=codenames or ("view_visit",)))
    return someone


class House:
    """Two locations; Anna and Boris at the desk, Boris in the group North; and the boss, who sees all."""

    def __init__(self) -> None:
        self.here, self.there = (Location.objects.create(id=n, title=f"Salon {n}") for n in (1, 2))
        self.anna, self.boris, self.north = (
            person("anna"),
            person("boris"),
            Group.objects.create(name="North"),
        )
        self.boris.groups.add(self.north)
        self.boss = person("boss", *RIGHTS, "all_locations", "add_group")
        self.browser = self.window(self.boss)

    def window(self, someone: Any) -> Client:
        client = Client()
        client.force_login(someone)
        return client

    def give(self, location: Location, to: Any) -> None:
        column = "group" if isinstance(to, Group) else "user"
        LocationAccess.objects.create(location=location, **{column: to})

    @property
    def url(self) -> str:
        return reverse("admin:altegio_loyalty_location_access", args=[self.here.pk])

    def form(self, browser: Client | None = None, **query: Any) -> dict[str, list[str]]:
        """What the page would send untouched."""
        return _form((browser or self.browser).get(self.url, query).content.decode())

    def foresee(
        self, form: dict[str, Any], browser: Client | None = None
    ) -> tuple[dict[str, list[str]], str]:
        """People by what becomes of them, and the mark that saves it."""
        return _foreseen((browser or self.browser).post(self.url, form | {"preview": "1"}))

    def save(self, form: dict[str, Any], browser: Client | None = None) -> Any:
        _told, seen = self.foresee(form, browser)
        return (browser or self.browser).post(self.url, form | {"seen": seen})

    def given(self) -> set[Any]:
        return {row.user or row.group for row in LocationAccess.objects.filter(location=self.here)}


def _form(html: str) -> dict[str, list[str]]:
    sent: dict[str, list[str]] = {"user": [], "group": [], "user-before": [], "group-before": []}
    for name, value in re.findall(r'<input type="checkbox" name="(\w+)" value="(\w+)" checked>', html):
        sent[name].append(value)
    for name, value in re.findall(r'<input type="hidden" name="([\w]+-before)" value="(\w+)">', html):
        sent[name].append(value)
    return sent


def _foreseen(response: Any) -> tuple[dict[str, list[str]], str]:
    assert response.status_code == 200
    html = response.content.decode()
    found = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", html, re.DOTALL)
    told = {words: re.sub(r"<[^>]+>", "", names).split(", ") for words, names in found}
    return told, (re.findall(r'name="seen" value="(\w+)"', html) or [""])[0]


def tick(form: dict[str, Any], *rows: Any) -> dict[str, Any]:
    """With these ticked, or unticked where they were."""
    changed = {name: list(values) for name, values in form.items()}
    for row in rows:
        values = changed["group" if isinstance(row, Group) else "user"]
        values.remove(str(row.pk)) if str(row.pk) in values else values.append(str(row.pk))
    return changed


def said(response: Any) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


@pytest.fixture
def house() -> House:
    return House()


# What becomes of people's sight


def test_before_the_first_access__everybody_who_loses_sight_is_named(house: House) -> None:
    person("stranger", "add_session"), person("guest", is_staff=False), person("gone", is_active=False)
    form = tick(house.form(), house.anna)
    told, _seen = house.foresee(form)
    assert told == {ALONE: ["anna"], NONE: ["boris"]}
    assert not LocationAccess.objects.exists()
    assert not LocationsClosed.objects.exists()


def test_once_confirmed__what_was_foreseen_is_so(house: House) -> None:
    answer = house.save(tick(house.form(), house.north))
    assert (answer.status_code, answer["Location"]) == (302, house.url)
    assert house.given() == {house.north}
    for someone, seen in ((house.anna, set()), (house.boris, {1}), (house.boss, {1, 2})):
        again = get_user_model().objects.get(pk=someone.pk)
        assert {row.pk for row in visible_to(again, Location.objects.all())} == seen


def test_where_access_is_in_use__whoever_gains_and_loses_is_named(house: House) -> None:
    house.give(house.here, house.anna)
    house.give(house.there, house.anna)
    told, _seen = house.foresee(tick(house.form(), house.anna, house.north))
    assert told == {LOSES: ["anna"], GAINS: ["boris"]}


def test_whoever_keeps_no_location__is_told_apart(house: House) -> None:
    house.give(house.here, house.anna)
    assert house.foresee(tick(house.form(), house.anna))[0] == {NONE: ["anna"]}


def test_whoever_sees_it_in_another_way__is_not_said_to_lose_it(house: House) -> None:
    for to in (house.boris, house.north):
        house.give(house.here, to)
    told, seen = house.foresee(tick(house.form(), house.north))
    assert told == {}
    assert seen


def test_a_user_model_that_says_nothing_of_staff__has_everybody_named(house: House) -> None:
    """What is empty would add nobody to those who are asked for beside it."""
    nobody = Q(pk__in=[])
    assert get_user_model().objects.filter(nobody | giving.staff_in(set())).count() == 3


def test_a_tick_that_shows_nothing__is_not_said_to_show_something(house: House) -> None:
    """For whoever cannot open the pages, and for whoever sees all already."""
    house.give(house.there, house.anna)
    guest = person("guest", is_staff=False)
    assert house.foresee(tick(house.form(), guest, house.boss))[0] == {}


def test_the_last_access_that_is_taken__opens_nothing(house: House) -> None:
    house.give(house.here, house.anna)
    house.save(tick(house.form(), house.anna))
    assert house.given() == set()
    assert not visible_to(house.boris, Location.objects.all()).exists()


def test_with_locations_closed_by_default__the_first_access_takes_nothing(
    house: House, settings: Any
) -> None:
    settings.ALTEGIO_LOYALTY = {**settings.ALTEGIO_LOYALTY, "LOCATIONS_OPEN_BY_DEFAULT": False}
    assert house.foresee(tick(house.form(), house.anna))[0] == {GAINS: ["anna"]}


def test_whoever_is_bound__does_not_learn_of_other_locations(house: House) -> None:
    chief = person("chief", *RIGHTS)
    for to in (chief, house.anna, house.boris):
        house.give(house.here, to)
    house.give(house.there, house.anna)
    browser = house.window(chief)
    told, _seen = house.foresee(tick(house.form(browser), house.anna, house.boris), browser)
    assert told == {LOSES: ["anna", "boris"]}


def test_ones_own_sight__is_not_taken_without_a_word(house: House) -> None:
    chief = person("chief", *RIGHTS)
    house.give(house.here, chief)
    browser = house.window(chief)
    form = tick(house.form(browser), chief)
    page = browser.post(house.url, form | {"preview": "1"})
    assert "It takes sight from you yourself." in page.content.decode()
    assert _foreseen(page)[0] == {NONE: ["chief (you)"]}
    answer = house.save(form, browser)
    assert answer["Location"] == reverse("admin:altegio_loyalty_location_changelist")
    assert house.given() == set()


# What is saved is what was shown


def test_without_its_mark__nothing_is_saved(house: House) -> None:
    form = tick(house.form(), house.anna)
    for seen in ("", "1", "0" * 64):
        assert house.browser.post(house.url, form | {"seen": seen}).status_code == 200
    assert not LocationAccess.objects.exists()
    assert not LocationsClosed.objects.exists()


def _a_newcomer(house: House) -> None:
    person("newcomer")


def _a_first_access_elsewhere(house: House) -> None:
    house.give(house.there, house.anna)


def _a_member_less(house: House) -> None:
    house.boris.groups.clear()


@pytest.mark.parametrize("meanwhile", [_a_newcomer, _a_first_access_elsewhere, _a_member_less])
def test_what_changed_meanwhile__is_shown_again(house: House, meanwhile: Callable[[House], None]) -> None:
    form = tick(house.form(), house.north)
    _told, seen = house.foresee(form)
    meanwhile(house)
    again = house.browser.post(house.url, form | {"seen": seen})
    assert "It is not what was shown before" in again.content.decode()
    assert house.given() == set()
    seen_now = _foreseen(again)[1]
    assert seen_now not in ("", seen)
    assert house.browser.post(house.url, form | {"seen": seen_now}).status_code == 302
    assert house.given() == {house.north}


def test_what_somebody_else_gave_meanwhile__stays(house: House) -> None:
    """It was unticked when this page was shown, and nobody unticked it."""
    form = tick(house.form(), house.anna)
    house.give(house.here, house.boris)
    house.save(form)
    assert house.given() == {house.anna, house.boris}


def test_what_somebody_else_did_already__is_not_done_twice(house: House) -> None:
    form = tick(house.form(), house.anna)
    _told, seen = house.foresee(form)
    house.give(house.here, house.anna)
    answer = house.browser.post(house.url, form | {"seen": seen})
    assert "all is as ticked already" in answer.content.decode()
    assert LocationAccess.objects.count() == 1


def test_somebody_who_is_gone__is_told_and_nothing_is_saved(house: House) -> None:
    form = tick(house.form(), house.anna, house.boris)
    house.anna.delete()
    answer = house.browser.post(house.url, form | {"preview": "1"})
    assert "not there any more" in said(answer)[0]
    assert house.given() == set()


def test_what_was_done__stands_in_the_history(house: House) -> None:
    house.give(house.here, house.boris)
    house.save(tick(house.form(), house.anna, house.boris))
    assert LogEntry.objects.get().change_message == "Given to: anna. No longer given to: boris."


# Who may


@pytest.mark.parametrize("lacking", ["change_location", "add_locationaccess"])
def test_whoever_may_not_give__gives_nothing(house: House, lacking: str) -> None:
    browser = house.window(person("chief", "all_locations", *(set(RIGHTS) - {lacking})))
    form = tick(house.form(browser), house.anna)
    assert browser.post(house.url, form | {"preview": "1"}).status_code == 403


def test_whoever_may_not_take__takes_nothing(house: House) -> None:
    house.give(house.here, house.anna)
    browser = house.window(person("chief", "all_locations", *(set(RIGHTS) - {"delete_locationaccess"})))
    form = house.form() | {"user": []}
    assert browser.post(house.url, form | {"preview": "1"}).status_code == 403
    assert house.foresee(tick(house.form(browser), house.boris), browser)[0] == {GAINS: ["boris"]}


def test_whoever_may_only_look__sees_who_it_is_and_no_button(house: House) -> None:
    house.give(house.here, house.north)
    browser = house.window(person("auditor", "view_location", "view_locationaccess", "all_locations"))
    html = browser.get(house.url).content.decode()
    assert "sees it through North" in html
    assert html.count("checkbox") == html.count("disabled>") > 0
    assert "Show what this changes" not in html


def test_whoever_may_not_see_access__is_led_nowhere(house: House) -> None:
    browser = house.window(person("chief", "view_location", "change_location", "all_locations"))
    page = reverse("admin:altegio_loyalty_location_change", args=[1])
    assert house.url not in browser.get(page).content.decode()
    assert browser.get(house.url).status_code == 403
    assert house.url in house.browser.get(page).content.decode()


# Many people


def test_many_people__are_searched_and_a_tick_is_kept(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(giving, "MOST", 3)
    for number in range(5):
        person(f"many{number}", first_name="Zoe")
    assert "There are more than stand here" in house.browser.get(house.url).content.decode()
    form = tick(house.form(q="zoe"), house.anna)
    page = house.browser.post(house.url, form | {"q": "many4"}).content.decode()
    assert re.findall(r'name="user" value="(\w+)" checked', page) == [str(house.anna.pk)]
    assert "many4" in page
    assert "many3" not in re.sub(r"<section.*?</section>", "", page, flags=re.DOTALL)


def test_a_login_that_looks_like_markup__is_text(house: House) -> None:
    get_user_model().objects.filter(pk=house.anna.pk).update(username="<b>bold</b>")
    page = house.browser.post(house.url, tick(house.form(), house.anna) | {"preview": "1"})
    assert "&lt;b&gt;bold" in page.content.decode()
    assert "<b>bold" not in page.content.decode()


# The groups


def test_the_button__makes_the_groups_that_the_command_makes(house: House) -> None:
    Group.objects.create(name="Manager")
    assert "make-groups" in house.browser.get(house.url).content.decode()
    answer = house.browser.post(house.url, {"make-groups": "1"})
    assert said(answer) == ["The group “Reception” was made."]
    made = Group.objects.get(name="Reception").permissions.values_list("codename", flat=True)
    assert set(made) == set(ROLES["Reception"])
    assert not Group.objects.get(name="Manager").permissions.exists()
    assert "make-groups" not in house.browser.get(house.url).content.decode()


def test_whoever_may_not_add_groups__makes_none(house: House) -> None:
    browser = house.window(person("chief", *RIGHTS, "all_locations"))
    assert "make-groups" not in browser.get(house.url).content.decode()
    assert browser.post(house.url, {"make-groups": "1"}).status_code == 403
    assert not Group.objects.filter(name="Reception").exists()


def test_the_page__says_who_is_in_which_group(house: House) -> None:
    house.boris.groups.add(Group.objects.create(name="Reception"))
    html = house.browser.get(house.url).content.decode()
    row = re.search(r"<li>(?:(?!<li>).)*boris.*?</li>", html, re.DOTALL)
    assert row
    assert "Reception" in row[0]
    assert "sees all locations, ticked or not" in html
