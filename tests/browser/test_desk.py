"""The three stories of a receptionist, walked in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from altegio_loyalty import delivery
from altegio_loyalty.models import LoyaltyOperation

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def open_visit(page: Page, name: str = "Jane Miller") -> None:
    page.get_by_role("link", name="Visits", exact=True).first.click()
    page.get_by_role("link", name=name, exact=True).first.click()


def withdraw(page: Page, amount: str) -> None:
    page.get_by_role("link", name="Withdraw", exact=True).click()
    page.get_by_label("Points").fill(amount)
    page.get_by_role("button", name="Withdraw points").click()


def test_a_receptionist_withdraws_points(desk: Any, log_in: Any, picture: Callable[[str], None]) -> None:
    """Two clicks and an amount from the visit: the points are taken, and the page says so in words."""
    visit = desk.visit()
    page = log_in()
    open_visit(page)
    expect(page.get_by_text("500 points")).to_be_visible()
    page.get_by_role("link", name="Withdraw", exact=True).click()
    picture("withdraw")
    page.get_by_label("Points").fill("120")
    page.get_by_role("button", name="Withdraw points").click()
    expect(page.locator(".messagelist")).to_contain_text("Done: 120 points taken.")
    expect(page.get_by_text("120 points to give back")).to_be_visible()
    expect(page.get_by_text("380 points")).to_be_visible()
    picture("visit")
    assert desk.taken(visit) == 120


def test_a_receptionist_cancels_the_withdrawal(desk: Any, log_in: Any) -> None:
    """What is applied stands on the page with its Cancel beside it, and one confirmation gives the points back."""
    visit = desk.visit()
    desk.ledger.withdraw(visit.id, desk.card.id, Decimal(70))
    page = log_in()
    open_visit(page)
    page.get_by_role("link", name="Cancel", exact=True).click()
    page.get_by_role("button", name="Cancel the withdrawal").click()
    expect(page.locator(".messagelist")).to_contain_text("Done: 70 points given back.")
    assert desk.taken(visit) == 0
    assert desk.ledger.balance(desk.card.id) == 500


def test_a_receptionist_applies_a_promotion_and_takes_it_back(desk: Any, log_in: Any) -> None:
    """A promotion of the client's card is chosen by its title, and taken back the same way."""
    visit = desk.visit()
    page = log_in()
    open_visit(page)
    page.get_by_role("link", name="Apply", exact=True).click()
    page.get_by_role("button", name="Apply a promotion").click()
    expect(page.locator(".messagelist")).to_contain_text("Done: the promotion is applied, 32 off the bill.")
    assert desk.ledger.discounted(visit.id, desk.program.id) == 32
    page.get_by_role("link", name="Take back", exact=True).click()
    page.get_by_role("button", name="Take a promotion back").click()
    expect(page.locator(".messagelist")).to_contain_text("Done: the promotion is taken back.")
    assert not desk.ledger.discounted(visit.id, desk.program.id)


def test_an_answer_that_is_lost_is_told_and_then_cleared_up(
    desk: Any, log_in: Any, picture: Callable[[str], None]
) -> None:
    """Cut off after the points were taken: the person is told not to repeat it, and soon what happened. Once."""
    visit = desk.visit()
    page = log_in()
    open_visit(page)
    desk.sandbox.fail("cut_after", path="apply_card_withdrawal", times=1)
    withdraw(page, "50")
    expect(page.locator(".messagelist")).to_contain_text(
        "Altegio did not answer; we are checking, do not repeat it."
    )
    picture("in-doubt")
    delivery.run_due()
    expect(page.get_by_text("Done: 50 points taken.")).to_be_visible(timeout=15_000)
    assert desk.taken(visit) == 50
    assert len(desk.sandbox.effects) == 1


def test_altegio_goes_down_in_the_middle_and_comes_back(
    desk: Any, log_in: Any, picture: Callable[[str], None]
) -> None:
    """With the form open, Altegio goes away: nothing is taken, the page says so, and the work finishes by itself."""
    visit = desk.visit()
    page = log_in()
    open_visit(page)
    page.get_by_role("link", name="Withdraw", exact=True).click()
    page.get_by_label("Points").fill("80")
    desk.sandbox.stop()
    page.get_by_role("button", name="Withdraw points").click()
    expect(page.locator(".messagelist")).to_contain_text("Not done yet, it goes on by itself")
    expect(page.get_by_role("alert")).to_contain_text("Altegio cannot be read at the moment")
    picture("down")
    desk.sandbox.start()
    delivery.run_due()
    expect(page.get_by_text("Done: 80 points taken.")).to_be_visible(timeout=15_000)
    assert desk.taken(visit) == 80


def test_a_double_click_acts_once(desk: Any, log_in: Any) -> None:
    """Two clicks on the same button are one withdrawal."""
    visit = desk.visit()
    page = log_in()
    open_visit(page)
    desk.sandbox.fail("hang", path="apply_card_withdrawal", times=1, seconds=0.5)
    page.get_by_role("link", name="Withdraw", exact=True).click()
    page.get_by_label("Points").fill("60")
    page.get_by_role("button", name="Withdraw points").dblclick()
    expect(page.get_by_text("What was asked for on this visit")).to_be_visible()
    page.wait_for_timeout(1500)
    delivery.run_due()
    assert desk.taken(visit) == 60
    assert LoyaltyOperation.objects.count() == 1


def test_sending_the_form_again_acts_once(desk: Any, log_in: Any) -> None:
    """Back and send again: the same form is the same request, and says what became of it."""
    visit = desk.visit()
    page = log_in()
    open_visit(page)
    withdraw(page, "60")
    expect(page.locator(".messagelist")).to_contain_text("Done: 60 points taken.")
    page.go_back()
    page.get_by_label("Points").fill("60")
    page.get_by_role("button", name="Withdraw points").click()
    expect(page.locator(".messagelist")).to_be_visible()
    assert desk.taken(visit) == 60
    assert len(desk.sandbox.effects) == 1


def test_several_visits_at_once(desk: Any, log_in: Any, picture: Callable[[str], None]) -> None:
    """The action of the list asks once for all selected visits, and answers for each."""
    visits = [desk.visit("Jane Miller"), desk.visit("Anna Petrova"), desk.visit("Lucas Weber")]
    page = log_in()
    page.get_by_role("link", name="Visits", exact=True).first.click()
    expect(page.locator("input.action-select")).to_have_count(3)
    for box in page.locator("input.action-select").all():
        box.check()
    page.locator("select[name=action]").select_option(label="Apply a promotion")
    page.get_by_role("button", name="Go").or_(page.get_by_role("button", name="Run")).first.click()
    picture("several")
    page.get_by_role("button", name="Apply a promotion").click()
    expect(page.locator(".messagelist li")).to_have_count(3)
    assert [desk.ledger.discounted(visit.id, desk.program.id) for visit in visits] == [32, 32, 32]


def test_text_from_altegio_is_shown_and_never_run(desk: Any, log_in: Any) -> None:
    """A service named like a script is a name."""
    desk.visit(
        name="<script>document.title='run'</script>",
        lines=[("<img src=x onerror=document.title='run'>", "10")],
    )
    page = log_in()
    page.get_by_role("link", name="Visits", exact=True).first.click()
    page.locator("#result_list tbody th a").first.click()
    expect(page.get_by_role("cell", name="<img src=x")).to_be_visible()
    assert page.title().startswith("<script>")


def test_without_the_permission_there_is_no_button(desk: Any, log_in: Any) -> None:
    """Whoever may only look sees the visit and nothing to press."""
    desk.visit()
    page = log_in("view_visit")
    open_visit(page)
    expect(page.get_by_text("500 points")).to_be_visible()
    expect(page.locator("#content a.button")).to_have_count(0)
