"""While something is open, its page follows it by itself: nobody reloads anything in these tests."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone
from playwright.sync_api import Page, Route, expect

from altegio_loyalty import delivery, services
from altegio_loyalty.models import LoyaltyOperation
from tests.browser.test_desk import WITHDRAW, verdict

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def stay_here(page: Page) -> Callable[[], bool]:
    """Marks the document; returns whether it is still the same one."""
    page.evaluate("window.isTheSame = true")
    return lambda: bool(page.evaluate("window.isTheSame === true"))


def test_an_answer_that_is_lost_is_told_and_then_cleared_up(
    desk: Any, log_in: Any, picture: Callable[..., None]
) -> None:
    """Cut off after the points were taken: the person is told not to repeat it, and soon what happened. Once."""
    visit = desk.visit()
    page = log_in()
    page.goto(desk.page_of(visit))
    page.get_by_role("link", name=WITHDRAW).click()
    page.wait_for_url("**/operate/**")
    desk.sandbox.fail("cut_after", path="apply_card_withdrawal", times=1)
    steps: list[Route] = []
    page.route("**/step/**", lambda route: steps.append(route))
    page.get_by_label("Points", exact=True).fill("50")
    page.get_by_role("button", name="Withdraw 50 points").click()
    expect(verdict(page)).to_contain_text("Altegio did not answer; we are checking, do not repeat it.")
    is_same = stay_here(page)
    picture("in-doubt", everywhere=True)
    page.unroute("**/step/**")
    for step in steps:
        step.continue_()
    expect(verdict(page)).to_contain_text("Done: 50 points taken.")
    expect(page.locator("#altegio-live").get_by_text("450 points")).to_be_visible()
    expect(verdict(page)).to_contain_text("270 is left to pay, 450 points are on the card, as of")
    assert is_same()
    assert desk.taken(visit) == 50
    assert len(desk.sandbox.effects) == 1


def test_altegio_goes_down_in_the_middle_and_the_page_shows_the_end_by_itself(
    desk: Any, log_in: Any, picture: Callable[..., None], settings: Any
) -> None:
    """With the form open, Altegio goes away: the page says so, counts down, and shows the end without a reload."""
    settings.ALTEGIO_LOYALTY = {**settings.ALTEGIO_LOYALTY, "RETRY_DELAY": 4}
    visit = desk.visit()
    page = log_in()
    page.goto(desk.page_of(visit))
    page.get_by_role("link", name=WITHDRAW).click()
    page.get_by_label("Points", exact=True).fill("80")
    desk.sandbox.stop()
    page.get_by_role("button", name="Withdraw 80 points").click()
    expect(verdict(page)).to_contain_text("Not done yet, it goes on by itself")
    expect(page.get_by_role("alert")).to_contain_text("Altegio cannot be read at the moment")
    expect(page.get_by_role("link", name=WITHDRAW)).to_have_count(0)
    is_same = stay_here(page)
    picture("down", everywhere=True)
    desk.sandbox.start()
    expect(verdict(page)).to_contain_text("Done: 80 points taken.")
    expect(page.locator("#altegio-live").get_by_text("420 points")).to_be_visible()
    expect(page.locator("#altegio-waiting button")).to_have_count(0)
    assert is_same()
    assert desk.taken(visit) == 80


def waiting_for_a_minute(desk: Any, page: Page) -> Any:
    """A withdrawal whose next try is a minute away."""
    visit = desk.visit()
    page.goto(desk.page_of(visit))
    page.get_by_role("link", name=WITHDRAW).click()
    page.wait_for_url("**/operate/**")  # or the fault would strike while that page reads the visit
    desk.sandbox.fail("rate_limited", path="details", retry_after=60)
    page.get_by_role("button", name="Withdraw 320 points").click()
    page.get_by_role("button", name="Stop trying").wait_for()
    return visit


def test_the_next_try_is_counted_down(desk: Any, log_in: Any) -> None:
    page = log_in()
    waiting_for_a_minute(desk, page)
    clock = page.get_by_role("timer")
    expect(clock).to_have_text(re.compile("^(1:00|0:[0-5][0-9])$"))
    first = clock.inner_text()
    expect(clock).not_to_have_text(first)
    assert clock.inner_text() < first


def test_stop_trying_stops_and_the_buttons_come_back(desk: Any, log_in: Any) -> None:
    page = log_in()
    visit = waiting_for_a_minute(desk, page)
    desk.sandbox.heal()
    is_same = stay_here(page)
    page.get_by_role("button", name="Stop trying").click()
    expect(verdict(page)).to_contain_text("Stopped before it took effect: nothing was changed.")
    expect(page.locator("#altegio-waiting button")).to_have_count(0)
    assert is_same()
    assert LoyaltyOperation.objects.get().status == "abandoned"
    delivery.run_due()
    assert desk.taken(visit) == 0


def test_a_stop_that_comes_too_late_says_so(desk: Any, log_in: Any) -> None:
    """A worker has just begun to send it: the person learns that it was not stopped, and what becomes of it."""
    page = log_in()
    waiting_for_a_minute(desk, page)

    def a_worker_was_first(route: Route) -> None:
        later = timezone.now() + datetime.timedelta(minutes=5)
        LoyaltyOperation.objects.update(status="sending", next_attempt_at=later, fence=7)
        route.continue_()

    page.route("**/stop/**", a_worker_was_first)
    page.get_by_role("button", name="Stop trying").click()
    expect(page.locator("#altegio-trouble")).to_have_text("Not stopped: It is not waiting any more.")
    expect(verdict(page)).to_contain_text("sent")


def test_a_page_that_follows_says_when_the_site_is_away(desk: Any, log_in: Any) -> None:
    """Neither an error nor silence: the page says that it tries again, and goes on once it can."""
    page = log_in()
    waiting_for_a_minute(desk, page)
    page.route("**/state/**", lambda route: route.abort())
    expect(page.locator("#altegio-trouble")).to_contain_text("connection to this site is lost")
    page.unroute("**/state/**")
    expect(page.locator("#altegio-trouble")).to_be_hidden()


def test_a_page_that_follows_says_when_its_person_is_signed_out(desk: Any, log_in: Any) -> None:
    page = log_in()
    waiting_for_a_minute(desk, page)
    page.context.clear_cookies()
    expect(page.locator("#altegio-trouble")).to_contain_text("You are signed out")


def test_without_scripts_the_page_looks_again_by_itself(desk: Any, log_in: Any, browser: Any) -> None:
    visit = desk.visit()
    cookies = log_in().context.cookies()
    context = browser.new_context(java_script_enabled=False)
    context.add_cookies(cookies)
    page = context.new_page()
    page.goto(desk.page_of(visit))
    page.get_by_role("link", name=WITHDRAW).click()
    page.wait_for_url("**/operate/**")
    desk.sandbox.fail("cut_after", path="apply_card_withdrawal", times=1)
    page.get_by_role("button", name="Withdraw points", exact=True).click()
    expect(verdict(page)).to_contain_text("do not repeat it")
    delivery.run_due()
    expect(verdict(page)).to_contain_text("Done: 320 points taken.")
    context.close()
    assert len(desk.sandbox.effects) == 1


def test_stopping_works_without_scripts(desk: Any, log_in: Any, browser: Any) -> None:
    page = log_in()
    visit = waiting_for_a_minute(desk, page)
    context = browser.new_context(java_script_enabled=False)
    context.add_cookies(page.context.cookies())
    page.context.close()
    plain = context.new_page()
    plain.goto(desk.page_of(visit))
    plain.get_by_role("button", name="Stop trying").click()
    expect(verdict(plain)).to_contain_text("Stopped before it took effect")
    context.close()


def test_a_page_that_looks_again_shows_what_a_colleague_asked_for(desk: Any, log_in: Any) -> None:
    visit = desk.visit()
    page = log_in()
    page.goto(desk.page_of(visit))
    expect(page.locator("#altegio-live").get_by_text("500 points")).to_be_visible()
    expect(page.locator("#altegio-reading")).to_be_empty()
    page.wait_for_load_state("networkidle")
    services.apply_card_withdrawal(
        desk.location, visit_id=visit.id, record_id=visit.record_id, card_id=desk.card.id, amount=40
    )
    page.get_by_role("link", name="Look again").click()
    expect(page.locator("#altegio-history")).to_contain_text("40")


def test_a_reading_that_fails_is_told_and_repeated_ever_more_rarely(desk: Any, log_in: Any) -> None:
    """A proxy that gives up on it: the page neither hammers Altegio nor takes its word back in between."""
    visit = desk.visit()
    page = log_in()
    page.clock.install()
    reads: list[str] = []

    def give_up(route: Route) -> None:
        reads.append(route.request.url)
        route.fulfill(status=504)

    page.route("**/change/?read=1", give_up)
    page.goto(desk.page_of(visit))
    trouble = page.locator("#altegio-trouble")
    page.clock.run_for(100)
    expect(trouble).to_contain_text("connection to this site is lost")
    for _ in range(8):
        with page.expect_response("**/state/**"):
            page.clock.run_for(1500)
        expect(trouble).to_be_visible()
    assert len(reads) <= 4


def test_a_visit_that_is_gone_is_not_told_as_signed_out(desk: Any, log_in: Any) -> None:
    page = log_in()
    waiting_for_a_minute(desk, page)
    get_user_model().objects.get(username="reception").user_permissions.clear()
    expect(page.locator("#altegio-trouble")).to_contain_text("Reload it to see why")
