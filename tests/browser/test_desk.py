"""The stories of a receptionist, walked in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from altegio_loyalty import delivery
from altegio_loyalty.models import LoyaltyOperation
from tests.browser.conftest import wait_for_list

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

WITHDRAW = re.compile("^Withdraw up to")


def verdict(page: Page) -> Any:
    return page.locator("#altegio-verdicts")


def open_list(page: Page) -> None:
    """The list of visits, once it has read the day by itself and come up anew."""
    page.get_by_role("link", name="Visits", exact=True).first.click()
    wait_for_list(page)


def open_visit(page: Page, name: str = "Jane Miller") -> None:
    open_list(page)
    page.get_by_role("link", name=name, exact=True).first.click()


def withdraw(page: Page, amount: str) -> None:
    page.get_by_role("link", name=WITHDRAW).click()
    page.get_by_label("Points", exact=True).fill(amount)
    page.get_by_role("button", name=f"Withdraw {amount} points").click()


def test_two_clicks_take_all_that_card_and_bill_allow(
    desk: Any, log_in: Any, picture: Callable[..., None]
) -> None:
    """The common case: from the page to done in two clicks, with what will be left said before the second."""
    visit = desk.visit()
    page = log_in()
    page.goto(desk.page_of(visit))
    picture("visit", everywhere=True)
    page.get_by_role("link", name=WITHDRAW).click()
    expect(page.locator("label:has(input:checked)")).to_contain_text(
        "180 points stay on the card, 0 is left to pay."
    )
    picture("withdraw", everywhere=True)
    page.get_by_role("button", name="Withdraw 320 points").click()
    expect(verdict(page)).to_contain_text("Done: 320 points taken.")
    expect(page.get_by_text("nothing to take points for")).to_be_visible()
    picture("withdrawn", everywhere=True)
    assert desk.taken(visit) == 320


def test_a_receptionist_withdraws_a_part(desk: Any, log_in: Any) -> None:
    """A typed amount says what it leaves while it is typed, and the button says what it will do."""
    visit = desk.visit()
    page = log_in()
    open_visit(page)
    expect(page.get_by_text("500 points")).to_be_visible()
    page.get_by_role("link", name=WITHDRAW).click()
    page.get_by_label("Points", exact=True).fill("120")
    expect(page.locator("#altegio-after")).to_have_text("380 points stay on the card, 200 is left to pay.")
    page.get_by_role("button", name="Withdraw 120 points").click()
    expect(verdict(page)).to_contain_text("Done: 120 points taken.")
    expect(page.locator("#altegio-live").get_by_text("120 points taken")).to_be_visible()
    expect(verdict(page)).to_contain_text("200 is left to pay, 380 points are on the card, as of")
    expect(page.locator("#altegio-live").get_by_text("380 points")).to_be_visible()
    assert desk.taken(visit) == 120


def test_a_suggested_part_is_one_click_more(desk: Any, log_in: Any) -> None:
    visit = desk.visit()
    page = log_in()
    page.goto(desk.page_of(visit))
    page.get_by_role("link", name=WITHDRAW).click()
    page.get_by_label("Half: 160").check()
    page.get_by_role("button", name="Withdraw 160 points").click()
    expect(verdict(page)).to_contain_text("Done: 160 points taken.")
    assert desk.taken(visit) == 160


def test_more_than_card_and_bill_allow_is_told_before_the_click(desk: Any, log_in: Any) -> None:
    visit = desk.visit()
    page = log_in()
    page.goto(desk.page_of(visit))
    page.get_by_role("link", name=WITHDRAW).click()
    page.get_by_label("Points", exact=True).fill("400")
    expect(page.locator("#altegio-after")).to_contain_text("320 at the most")
    page.locator("[data-altegio-submit]").first.click()
    assert not LoyaltyOperation.objects.exists()


def test_a_withdrawal_with_the_keyboard_alone(desk: Any, log_in: Any) -> None:
    """Tab, arrows and Enter are enough, and the focus can be seen all the way."""
    visit = desk.visit()
    page = log_in()
    page.goto(desk.page_of(visit))

    def tab_to(selector: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
                return
        raise AssertionError(f"{selector} is not reached with Tab")

    tab_to("#cards ~ ul a.button")
    page.keyboard.press("Enter")
    page.wait_for_url("**/operate/**")
    tab_to("input[type=radio]")
    page.keyboard.press("ArrowDown")
    tab_to("[data-altegio-submit]")
    page.keyboard.press("Enter")
    expect(verdict(page)).to_contain_text("Done: 200 points taken.")
    assert desk.taken(visit) == 200


def test_a_receptionist_cancels_the_withdrawal(desk: Any, log_in: Any, picture: Callable[..., None]) -> None:
    """What is applied stands on the page with its Cancel beside it, and one confirmation gives the points back."""
    visit = desk.visit()
    desk.ledger.withdraw(visit.id, desk.card.id, Decimal(70))
    page = log_in()
    open_visit(page)
    page.get_by_role("link", name="Cancel Gold").click()
    expect(page.get_by_text("Afterwards 500 points are on the card, and 320 is left to pay.")).to_be_visible()
    picture("cancel")
    page.get_by_role("button", name="Cancel the withdrawal", exact=True).click()
    expect(verdict(page)).to_contain_text("Done: 70 points given back.")
    assert desk.taken(visit) == 0
    assert desk.ledger.balance(desk.card.id) == 500


def test_a_receptionist_applies_a_promotion_and_takes_it_back(
    desk: Any, log_in: Any, picture: Callable[..., None]
) -> None:
    """A promotion of the client's card is chosen by its title and percent, and taken back the same way."""
    visit = desk.visit()
    page = log_in()
    open_visit(page)
    page.get_by_role("link", name="Apply Birthday 10 %").click()
    picture("promotion", everywhere=True)
    page.get_by_role("button", name="Apply a promotion", exact=True).click()
    expect(verdict(page)).to_contain_text("Done: the promotion is applied, 32 off the bill.")
    assert desk.ledger.discounted(visit.id, desk.program.id) == 32
    page.get_by_role("link", name="Take back Birthday").click()
    page.get_by_role("button", name="Take a promotion back", exact=True).click()
    expect(verdict(page)).to_contain_text("Done: the promotion is taken back.")
    assert not desk.ledger.discounted(visit.id, desk.program.id)


def test_a_double_click_acts_once(desk: Any, log_in: Any) -> None:
    """Two clicks on the same button are one withdrawal."""
    visit = desk.visit()
    page = log_in()
    open_visit(page)
    desk.sandbox.fail("hang", path="apply_card_withdrawal", times=1, seconds=600)
    page.get_by_role("link", name=WITHDRAW).click()
    page.get_by_label("Points", exact=True).fill("60")
    page.get_by_role("button", name="Withdraw 60 points").dblclick()
    desk.sandbox.heal()
    expect(verdict(page)).to_contain_text("Done: 60 points taken.")
    delivery.run_due()
    assert desk.taken(visit) == 60
    assert LoyaltyOperation.objects.count() == 1


def test_back_and_again_offers_nothing_that_would_act_twice(desk: Any, log_in: Any) -> None:
    """Back after it is done: the page looks anew, says that the card was used, and has no button for it."""
    visit = desk.visit()
    page = log_in()
    page.goto(desk.page_of(visit))
    withdraw(page, "60")
    expect(verdict(page)).to_contain_text("Done: 60 points taken.")
    page.go_back()
    expect(page.get_by_text("already used on this visit")).to_be_visible()
    expect(page.get_by_role("button", name="Withdraw points", exact=True)).to_have_count(0)
    assert desk.taken(visit) == 60
    assert len(desk.sandbox.effects) == 1


def test_text_from_altegio_is_shown_and_never_run(desk: Any, log_in: Any) -> None:
    """A service named like a script is a name."""
    name = "<script>document.title='run'</script>"
    client = desk.ledger.add_client(name=name, phone="+13155550666")
    desk.visit(name, lines=[("<img src=x onerror=document.title='run'>", "10")], client=client)
    page = log_in()
    open_list(page)
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


@pytest.mark.parametrize("path", ["change/", "withdraw", "promotion"])
def test_no_page_of_a_visit_scrolls_sideways_at_360_px(desk: Any, log_in: Any, path: str) -> None:
    visit = desk.visit(lines=[("A very long service " * 6, "300"), ("x" * 90, "20")])
    page = log_in()
    page.set_viewport_size({"width": 360, "height": 780})
    page.goto(desk.page_of(visit))
    if path == "withdraw":
        page.get_by_role("link", name=WITHDRAW).click()
    elif path == "promotion":
        page.get_by_role("link", name="Apply Birthday").click()
    page.wait_for_url("**/change/" if path == "change/" else "**/operate/**")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_pages_need_no_script(desk: Any, log_in: Any, browser: Any) -> None:
    """Scripts switched off, a withdrawal is the same two clicks; the page names the amounts by itself."""
    visit = desk.visit()
    cookies = log_in().context.cookies()
    context = browser.new_context(java_script_enabled=False)
    context.add_cookies(cookies)
    page = context.new_page()
    page.goto(desk.page_of(visit))
    page.get_by_role("link", name=WITHDRAW).click()
    expect(page.get_by_text("180 points stay on the card, 0 is left to pay.")).to_be_visible()
    page.get_by_label("Half: 160").check()
    page.get_by_role("button", name="Withdraw points", exact=True).click()
    expect(verdict(page)).to_contain_text("Done: 160 points taken.")
    context.close()
    assert desk.taken(visit) == 160


def test_a_part_that_was_chosen_stays_chosen_when_the_page_looks_again(desk: Any, log_in: Any) -> None:
    """Where it is not suggested any more, it is the amount that is typed; never the largest one."""
    visit = desk.visit()
    page = log_in()
    page.goto(desk.page_of(visit))
    page.get_by_role("link", name=WITHDRAW).click()
    page.get_by_label("Half: 160").check()
    desk.ledger.withdraw(desk.visit().id, desk.card.id, Decimal(250))
    desk.age()
    page.get_by_role("link", name="Look again").click()
    expect(page.get_by_label("Half: 125")).to_be_visible()
    expect(page.locator("#altegio-other")).to_be_checked()
    expect(page.get_by_label("Points", exact=True)).to_have_value("160")
    expect(page.get_by_role("button", name="Withdraw 160 points")).to_be_visible()


#: Each line's texts as they stand on the screen, from left to right.
SEEN = """(selector) => {
    const element = document.querySelector(selector);
    const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
    const letters = [];
    while (walker.nextNode()) {
        [...walker.currentNode.data].forEach((letter, at) => {
            const range = document.createRange();
            range.setStart(walker.currentNode, at);
            range.setEnd(walker.currentNode, at + 1);
            const { left, top, width } = range.getBoundingClientRect();
            if (width) {
                letters.push({ letter, left, top: Math.round(top / 8) });
            }
        });
    }
    letters.sort((one, other) => one.top - other.top || one.left - other.left);
    return letters.map(({ letter }) => letter).join("");
}"""


def test_where_the_admin_reads_from_right_to_left__no_amount_phone_or_card_is_turned_around(
    desk: Any, log_in: Any, settings: Any
) -> None:
    settings.LANGUAGES = [("ar", "Arabic")]
    settings.LANGUAGE_CODE = "ar"
    visit = desk.visit()
    page = log_in()
    page.goto(desk.page_of(visit))
    assert page.evaluate(SEEN, ".altegio-facts div:nth-child(2) dd") == "•••0175"
    page.get_by_role("link", name=WITHDRAW).click()
    expect(page.locator(".altegio-lead")).to_contain_text("320 of 320 is left to pay.")
    page.wait_for_load_state("load")  # styles may come after the text
    seen = page.evaluate(SEEN, ".altegio-lead")
    assert "320 of 320 is left to pay." in seen, seen
    assert page.evaluate(SEEN, ".altegio-choices legend").startswith("Gold ···")
    seen = page.evaluate(SEEN, "label:has(input:checked)")
    assert "180 points stay on the card, 0 is left to pay." in seen, seen


def test_where_a_theme_colours_every_link__a_button_stays_readable(desk: Any, log_in: Any) -> None:
    visit = desk.visit()
    page = log_in()
    page.goto(desk.page_of(visit))
    button = page.get_by_role("link", name=WITHDRAW)
    before = button.evaluate("button => getComputedStyle(button).color")
    page.add_style_tag(content="a:link, a:visited { color: #409eff !important; transition: none }")
    expect(page.get_by_role("link", name="Look again")).to_have_css("color", "rgb(64, 158, 255)")
    expect(button).to_have_css("color", before)


def test_signed_out_while_submitting__what_was_typed_stays_and_is_taken(desk: Any, log_in: Any) -> None:
    visit = desk.visit()
    page = log_in()
    page.goto(desk.page_of(visit))
    page.get_by_role("link", name=WITHDRAW).click()
    typed = page.get_by_label("Points", exact=True)
    typed.fill("5")
    button = page.get_by_role("button", name="Withdraw 5 points")
    page.context.clear_cookies(name="sessionid")
    button.click()
    expect(page.locator("#altegio-trouble")).to_contain_text("You are signed out, and nothing was sent.")
    with page.context.new_page() as other:
        other.goto(f"{desk.site_url}/admin/login/")
        other.fill("#id_username", "reception")
        other.fill("#id_password", "reception")
        other.click("[type=submit]")
        other.wait_for_url("**/admin/")
    button.click()
    expect(page.locator("#altegio-trouble")).to_contain_text("Signed in again, nothing was sent yet")
    expect(typed).to_have_value("5")
    assert desk.taken(visit) == 0
    button.click()
    expect(verdict(page)).to_contain_text("Done: 5 points taken.")
    assert desk.taken(visit) == 5
