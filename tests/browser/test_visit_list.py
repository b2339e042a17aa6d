"""The list of visits in a browser: it fills itself, shows how far it is, and stays when Altegio is away."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from altegio_loyalty.models import Location, Visit
from altegio_loyalty.services import day as reading
from tests.browser.conftest import wait_for_list

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

LIST = "/admin/altegio_loyalty/visit/"


def at_altegio(desk: Any, count: int = 1) -> None:
    """Visits that only Altegio knows so far."""
    for _ in range(count):
        desk.ledger.add_visit(desk.salon, desk.client)


def test_the_first_opening_shows_todays_visits(desk: Any, log_in: Any, picture: Any) -> None:
    at_altegio(desk, 3)
    page = log_in()
    page.goto(desk.site_url + LIST)
    wait_for_list(page)
    assert page.locator("#result_list tbody tr").count() == 3
    picture("visit-list")


def test_a_second_opening_reads_nothing(desk: Any, log_in: Any) -> None:
    at_altegio(desk)
    page = log_in()
    page.goto(desk.site_url + LIST)
    wait_for_list(page)
    asked = len(desk.sandbox.requests)
    page.goto(desk.site_url + LIST)
    page.wait_for_timeout(500)
    assert len(desk.sandbox.requests) == asked


def test_refresh_reads_every_page(desk: Any, log_in: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PAGE_SIZE", 2)
    page = log_in()
    page.goto(desk.site_url + LIST)
    expect(page.locator(".altegio-read")).to_contain_text(
        "Read from Altegio at"
    )  # and nothing new, so it stays
    at_altegio(desk, 5)
    before = len(desk.sandbox.requests)
    page.click(".altegio-refresh button")
    expect(page.locator("#result_list tbody tr")).to_have_count(5)
    assert len(desk.sandbox.requests) - before == 3


def test_with_altegio_down_the_list_stays_and_says_so(desk: Any, log_in: Any, picture: Any) -> None:
    desk.visit()
    desk.sandbox.stop()
    page = log_in()
    page.goto(desk.site_url + LIST)
    page.wait_for_selector(".altegio-failures p")
    assert "shows what was read before" in page.inner_text(".altegio-failures")
    assert page.locator("#result_list tbody tr").count() == 1
    picture("visit-list-altegio-down")


def test_nothing_that_was_begun_is_taken_away(desk: Any, log_in: Any) -> None:
    """A reading that nobody asked for does not reload a page in which visits are chosen already."""
    desk.visit()
    at_altegio(desk)
    desk.sandbox.fail("hang", seconds=600, times=1)
    page = log_in()
    page.goto(desk.site_url + LIST)
    page.check("#result_list input.action-select")
    desk.sandbox.heal()
    link = page.wait_for_selector(".altegio-read a")
    assert page.is_checked("#result_list input.action-select")
    link.click()
    page.wait_for_function("document.querySelectorAll('#result_list tbody tr').length === 2")


def test_refresh_takes_nothing_away_that_was_begun_meanwhile(desk: Any, log_in: Any) -> None:
    """Who asked for the reading does not stand still while it runs."""
    desk.visit()
    page = log_in()
    page.goto(desk.site_url + LIST)
    wait_for_list(page)
    at_altegio(desk)
    desk.sandbox.fail("hang", seconds=600, times=1)
    page.click(".altegio-refresh button")
    page.check("#result_list input.action-select")
    desk.sandbox.heal()
    link = page.wait_for_selector(".altegio-read a")
    assert page.is_checked("#result_list input.action-select")
    link.click()
    page.wait_for_function("document.querySelectorAll('#result_list tbody tr').length === 2")


def test_a_reading_after_the_session_ended_says_so(desk: Any, log_in: Any) -> None:
    desk.visit()
    page = log_in()
    page.goto(desk.site_url + LIST)
    wait_for_list(page)
    page.context.clear_cookies(name="sessionid")
    page.click(".altegio-refresh button")
    page.wait_for_selector(".altegio-failures p")
    assert "You are signed out" in page.inner_text(".altegio-failures")


def test_without_the_shared_script_the_button_still_reads(desk: Any, log_in: Any) -> None:
    """A script that misses what it needs leaves the page to its forms."""
    at_altegio(desk, 2)
    page = log_in()
    page.route("**/altegio_loyalty.js", lambda route: route.abort())
    page.goto(desk.site_url + LIST)
    page.click(".altegio-refresh button")
    expect(page.locator("#result_list tbody tr")).to_have_count(2)


def test_what_is_not_found_here_is_found_in_altegio_by_enter_alone(desk: Any, log_in: Any) -> None:
    Location.objects.update(visits_read_at=timezone.now())
    page = log_in()
    page.goto(desk.site_url + LIST)
    there = desk.ledger.add_visit(desk.salon, desk.client)
    page.keyboard.type("miller, jane")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/{there.id}/change/")
    assert Visit.objects.get().pk == there.id


def test_the_way_back_does_not_search_again(desk: Any, log_in: Any) -> None:
    Location.objects.update(visits_read_at=timezone.now())
    page = log_in()
    page.goto(desk.site_url + LIST)
    page.keyboard.type("nobody")
    page.keyboard.press("Enter")
    expect(page.locator(".messagelist")).to_contain_text("No client is called so.")
    asked = len(desk.sandbox.requests)
    page.reload()
    expect(page.get_by_role("button", name="Look in Altegio")).to_be_visible()
    page.go_back()
    expect(page.locator("#searchbar")).to_be_visible()
    assert len(desk.sandbox.requests) == asked
    assert "enter" not in page.url


def test_the_location_that_was_chosen_last_is_remembered(desk: Any, log_in: Any) -> None:
    other = desk.ledger.add_location(title="Harbour")
    tokens = {"partner_token": desk.sandbox.partner_token, "user_token": desk.sandbox.user_token}
    Location.objects.create(id=other.id, title="Harbour", **tokens)
    Location.objects.update(visits_read_at=timezone.now())
    page = log_in()
    page.goto(f"{desk.site_url}{LIST}?location={other.id}")
    page.goto(desk.site_url + LIST)
    page.wait_for_url(f"**location={other.id}")
    page.get_by_role("link", name="All", exact=True).click()
    page.wait_for_url(lambda url: "location=" not in url)
    page.goto(desk.site_url + LIST)
    expect(page.locator("#searchbar")).to_be_focused()
    assert "location=" not in page.url


@pytest.mark.parametrize("width", [360, 1280])
def test_the_list_fits_the_screen(desk: Any, log_in: Any, width: int) -> None:
    """No page that has to be moved sideways, and no figure out of sight, whatever a client is called."""
    at_altegio(desk, 2)
    name = "Wolfeschlegelsteinhausenbergerdorff" * 5
    there = desk.visit(name, client=desk.ledger.add_client(name=name, phone="+13155550199"))
    page = log_in()
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(desk.site_url + LIST)
    wait_for_list(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    last = page.locator("#result_list .field-last_operation").last.bounding_box()
    results = page.locator("#changelist-form").bounding_box()
    assert last["x"] + last["width"] <= results["x"] + results["width"]
    page.goto(desk.page_of(there))
    assert page.evaluate("document.documentElement.scrollWidth") <= width
