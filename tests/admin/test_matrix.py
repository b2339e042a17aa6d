"""Who gets what at every address of the admin: the table is `matrix.txt`, and an address without a row in it fails."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import django
import pytest
from django.contrib.auth.models import Permission

from altegio_loyalty.admin.overview import tables
from altegio_loyalty.models import (
    BooksItem,
    Location,
    LocationAccess,
    LoyaltyOperation,
    OperationAttempt,
    Visit,
)
from tests.admin.addresses import (
    KINDS,
    MINE,
    PEOPLE,
    House,
    Salon,
    ask,
    fields,
    routes,
    undone,
    url,
)

# Rights are the same on every database.
pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]

MODELS = ("location", "visit", "loyaltyoperation")
TABLE = Path(__file__).with_name("matrix.txt").read_text(encoding="utf-8")


@pytest.fixture
def house(settings: Any) -> House:
    """Altegio is away, and being asked so often is no reason to wait."""
    settings.ALTEGIO_LOYALTY = {
        **settings.ALTEGIO_LOYALTY,
        "REQUESTS_PER_SECOND": 0,
        "REQUESTS_PER_MINUTE": 0,
    }
    return House()


def line_of(route: str, method: str, cells: list[str]) -> str:
    """As it stands in the table."""
    return f"{route:<45}{method:<5}" + "".join(f"{cell:>4}" for cell in cells)


def rows_of_the_table() -> dict[tuple[str, str], str]:
    table = TABLE.replace("#6.1 ", "") if django.VERSION >= (6, 1) else TABLE
    rows = re.finditer(r"^([^#\s]\S*) +(GET|POST) .+$", table, re.MULTILINE)
    return {(row[1], row[2]): row[0] for row in rows}  # of two the later one


def people_of_the_table() -> list[str]:
    """A line of its head leads to each column, the last one first."""
    return re.findall(r"^([^#\n].*?) ─+┐", TABLE, re.MULTILINE)[::-1]


def cell_of(response: Any) -> str:
    """The status, or "in" where the person is asked to sign in."""
    is_login = response.status_code == 302 and response["Location"].startswith("/admin/login/")
    return "in" if is_login else str(response.status_code)


def test_every_address_of_the_admin_has_its_rows() -> None:
    """And no row is left of one that is gone."""
    assert set(rows_of_the_table()) == {(route, method) for route in routes() for method in ("GET", "POST")}


def test_the_columns_are_these_people() -> None:
    assert people_of_the_table() == list(PEOPLE)


@pytest.mark.parametrize("model", MODELS)
def test_everybody_gets_what_the_table_says(house: House, model: str) -> None:
    browsers = [house.browser(name) for name in PEOPLE]
    wrong = []
    for (route, method), expected in rows_of_the_table().items():
        if route.partition("/")[0] != model:
            continue
        cells = []
        for browser in browsers:
            with undone():
                cells.append(cell_of(ask(browser, method, route, house.mine)))
        if (found := line_of(route, method, cells)) != expected:
            wrong += [f"expected {expected}", f"   found {found}"]
    assert not wrong, "\n".join(["", *wrong])


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_of_a_kind_is_for_whoever_may_ask_for_it(house: House, kind: str) -> None:
    """The table has one kind; each has a permission of its own, and no other one opens its page."""
    for number, codename in enumerate(KINDS):
        name = f"somebody {number}"
        house.people[name] = house.person(name, ("view_visit", codename), MINE)
        with undone():
            found = ask(house.browser(name), "GET", "visit/operate/<str:kind>/", house.mine, kind)
            assert found.status_code == (200 if codename == kind else 403)


def test_a_permission_without_a_column_opens_nothing_alone(house: House) -> None:
    """One that is added to the app, and opens something, needs its column."""
    known = {permissions[0] for permissions, _place in PEOPLE.values() if len(permissions) == 1}
    others = Permission.objects.filter(content_type__app_label="altegio_loyalty").exclude(codename__in=known)
    for codename in others.values_list("codename", flat=True):
        name = f"only {codename}"
        house.people[name] = house.person(name, (codename,), MINE)
        browser = house.browser(name)
        for route in routes():
            is_redirect = re.fullmatch(r"\w+/<path:object_id>/", route)  # to a page that refuses
            for method in ("GET", "POST"):
                with undone():
                    found = ask(browser, method, route, house.mine).status_code
                assert found in ((302,) if is_redirect else (403, 405)), (codename, method, route)


# What a form is protected by


def test_no_post_is_taken_without_its_csrf_token(house: House) -> None:
    browsers = [house.browser(name, enforce_csrf_checks=True) for name in ("anonymous", "all", "superuser")]
    for browser in browsers:
        for route in routes():
            assert ask(browser, "POST", route, house.mine).status_code == 403, route


def _everything() -> list[Any]:
    """All rows of the app, with all of their columns."""
    models: tuple[Any, ...] = (Location, LocationAccess, Visit, LoyaltyOperation, OperationAttempt, BooksItem)
    return [list(model.objects.order_by("pk").values()) for model in models]


def test_no_address_changes_anything_when_it_is_only_opened(house: House) -> None:
    """Also not with all that its form would send: by a link, a picture, or a browser that looks ahead."""
    browser, before = house.browser("superuser"), _everything()
    for route in routes():
        with undone():
            browser.get(url(route, house.mine), fields(route, house.mine))
            assert _everything() == before, route


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_no_address_changes_anything_by_another_method(house: House, method: str) -> None:
    browser, before = house.browser("superuser"), _everything()
    for route in routes():
        with undone():
            getattr(browser, method)(url(route, house.mine))
            assert _everything() == before, route


# Another salon


def _told(response: Any, salon: Salon) -> tuple[list[Any], int, str]:
    """Where it led, and what stands there, with the salon's own numbers and names by their places."""
    text = b"".join(response).decode() if response.streaming else response.content.decode()
    text = re.sub(r'name="(csrfmiddlewaretoken|token)" value="\w+"', "", text)
    text = re.sub(r"(?<=\d)[,\xa0\u202f'](?=\d{3})", "", text)
    chain = str(getattr(response, "redirect_chain", []))
    for place, secret in enumerate(salon.secrets):
        text, chain = (where.replace(secret, f"<{place}>") for where in (text, chain))
    return [chain], response.status_code, text


def _secrets_in(text: str, salon: Salon) -> list[str]:
    return [secret for secret in salon.secrets if secret in text]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_row_of_another_salon_is_answered_like_one_that_does_not_exist(
    house: House, model: str, method: str
) -> None:
    for route in routes():
        if not route.startswith(f"{model}/"):
            continue
        told = []
        for salon in (house.theirs, house.nowhere):
            with undone():
                before = _everything()
                told.append(_told(ask(house.browser("all"), method, route, salon, follow=True), salon))
                assert "add" in route or _everything() == before, route
        assert told[0] == told[1], route
        assert not _secrets_in(told[0][2], house.theirs), route


def _searches(salon: Salon) -> list[tuple[str, dict[str, Any]]]:
    """Lists, files and figures, narrowed to what is the salon's or searched for it."""
    location, visit, operation = salon.location, salon.visit, salon.operation
    numbers = [visit.pk, visit.record_id, operation.pk, operation.card_id, visit.client_phone]
    words = [*numbers, visit.client_name, operation.idempotency_key]
    log, narrowed = "loyaltyoperation/", {"location": location.pk}
    return [
        *(("visit/", {"day": "all", "q": word}) for word in words),
        *((log, {"q": word}) for word in words),
        *((f"{log}export/", {"q": word}) for word in words),
        *(("location/", {"q": word}) for word in (location.pk, location.title)),
        *((route, narrowed) for route in ("visit/", log, f"{log}export/", f"{log}overview/")),
        *((f"{log}overview/{name}.csv", narrowed) for name in tables.CSV),
        *((log, {name: visit.pk}) for name in ("visit", "visit__id__exact")),
    ]


def test_no_search_and_no_filter_finds_what_is_another_salons(house: House) -> None:
    browser = house.browser("all")
    there, nowhere = _searches(house.theirs), _searches(house.nowhere)
    for (route, query), (_route, other) in zip(there, nowhere, strict=True):
        told = _told(browser.get(f"/admin/altegio_loyalty/{route}", query, follow=True), house.theirs)
        assert told == _told(
            browser.get(f"/admin/altegio_loyalty/{route}", other, follow=True), house.nowhere
        ), (route, query)


@pytest.mark.parametrize("name", ["all", "all but resolve", "all, nowhere"])
def test_nothing_of_another_salon_stands_on_any_page(house: House, name: str) -> None:
    """Neither names nor numbers, on all that is answered for one's own."""
    browser = house.browser(name)
    pages = ["/admin/", "/admin/altegio_loyalty/", "/admin/altegio_loyalty/visit/?day=all"]
    for route in routes():
        with undone():
            answers = [ask(browser, method, route, house.mine, follow=True) for method in ("GET", "POST")]
        for answer in answers:
            assert not _secrets_in(_told(answer, house.mine)[2], house.theirs), route
    for page in pages:
        assert not _secrets_in(_told(browser.get(page), house.mine)[2], house.theirs), page


def test_several_rows_of_which_one_is_another_salons_are_one_less(house: House) -> None:
    """What is asked for one's own and for theirs is done for one's own alone, and says nothing of theirs."""
    browser = house.browser("all")
    mine = fields("loyaltyoperation/decide/", house.mine)
    for key in ("visit", "operation", "_selected_action"):
        mine[key] = [mine[key], fields("loyaltyoperation/", house.theirs)[key]]
    for route in ("visit/operate/<str:kind>/", "visit/", "loyaltyoperation/decide/", "loyaltyoperation/"):
        with undone():
            before = LoyaltyOperation.objects.filter(location=house.theirs.location).values().get()
            answer = browser.post(
                url(route, house.mine), mine | {"action": fields(route, house.mine)["action"]}, follow=True
            )
            assert not _secrets_in(_told(answer, house.mine)[2], house.theirs), route
            assert LoyaltyOperation.objects.filter(location=house.theirs.location).values().get() == before
