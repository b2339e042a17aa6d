"""Each story with the keyboard alone, in the admin as it comes; and wherever the focus is, it can be seen."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from altegio_loyalty.models import Location, LoyaltyOperation, Visit
from tests.browser.conftest import wait_for_list
from tests.looks.pages import PAGES, go, in_doubt

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

#: How the focused element looks, in all that could tell it from one that is not.
LOOK = """element => {
    const { outlineStyle, outlineWidth, outlineColor, boxShadow, borderColor, backgroundColor, color, textDecorationLine } =
        getComputedStyle(element);
    const outline = outlineStyle === "none" ? "none" : [outlineStyle, outlineWidth, outlineColor].join();
    return [outline, boxShadow, borderColor, backgroundColor, color, textDecorationLine].join(" | ");
}"""


def tab_to(page: Page, name: str, role: Any = "link") -> None:
    """Tab until the control with this name has the focus."""
    wanted = page.get_by_role(role, name=name).first
    for _ in range(80):
        page.keyboard.press("Tab")
        if wanted.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"{name} is not reached with Tab")


def press(page: Page, name: str, role: str = "link", key: str = "Enter") -> None:
    tab_to(page, name, role)
    page.keyboard.press(key)


def test_a_cancellation(desk: Any, manager: Any) -> None:
    there = desk.visit()
    desk.ledger.withdraw(there.id, desk.card.id, 70)
    manager.goto(desk.page_of(there))
    press(manager, "Cancel Gold")
    manager.wait_for_url("**/operate/**")
    press(manager, "Cancel the withdrawal", "button")
    expect(manager.locator("#altegio-verdicts")).to_contain_text("Done: 70 points given back.")


def test_a_promotion_applied_and_taken_back(desk: Any, manager: Any) -> None:
    there = desk.visit()
    manager.goto(desk.page_of(there))
    press(manager, "Apply Birthday")
    manager.wait_for_url("**/operate/**")
    press(manager, "Apply a promotion", "button")
    expect(manager.locator("#altegio-verdicts")).to_contain_text("Done: the promotion is applied")
    press(manager, "Take back Birthday")
    manager.wait_for_url("**/operate/**")
    press(manager, "Take a promotion back", "button")
    expect(manager.locator("#altegio-verdicts")).to_contain_text("Done: the promotion is taken back.")


def test_the_whole_story_in_few_keys(desk: Any, log_in: Any) -> None:
    """From the admin's index to the points taken, as a receptionist: the visit is found by a name."""
    there = desk.visit()
    Location.objects.update(visits_read_at=timezone.now())
    page = log_in()
    page.goto(f"{desk.site_url}/admin/")
    keys = 0

    def key(name: str) -> None:
        nonlocal keys
        keys += 1
        page.keyboard.press(name)

    visits = page.locator("#content a", has_text="Visits").first
    while not visits.evaluate("element => element === document.activeElement"):
        key("Tab")
    key("Enter")
    page.wait_for_url("**/visit/")
    expect(page.locator("#searchbar")).to_be_focused()
    for letter in "jane":
        key(letter)
    key("Enter")
    page.wait_for_url(f"**/{there.id}/change/")
    expect(page.get_by_role("link", name="Withdraw")).to_be_focused()
    key("Enter")
    page.wait_for_url("**/operate/**")
    expect(page.locator("input[type=radio]:checked")).to_be_focused()
    key("Enter")
    expect(page.locator("#altegio-verdicts")).to_contain_text("Done: 320 points taken.")
    assert keys <= 25, keys
    key("Escape")
    page.wait_for_url("**/visit/")
    expect(page.locator("#searchbar")).to_be_focused()
    assert keys <= 25, keys


def test_the_keys_are_named_where_they_work(desk: Any, manager: Any) -> None:
    """Enter only where the focus is on what it would do; Escape goes back, from a form with nothing changed."""
    there, keys = desk.visit(), manager.locator(".altegio-keys")
    Location.objects.update(visits_read_at=timezone.now())
    go(desk, manager, "visit/")
    expect(keys.get_by_text("opens the only visit")).to_be_visible()
    before = keys.bounding_box()
    manager.locator("#action-toggle").click()
    expect(keys.get_by_text("opens the only visit")).to_be_hidden()
    assert keys.bounding_box() == before  # nothing moves under the click
    expect(manager.locator("#action-toggle")).to_be_checked()
    manager.keyboard.press("Escape")
    expect(manager.locator("#searchbar")).to_be_focused()
    manager.goto(desk.page_of(there))
    expect(keys.get_by_text("the button in the frame")).to_be_visible()
    manager.keyboard.press("Enter")
    manager.wait_for_url("**/operate/**")
    expect(keys.get_by_text("does what is chosen, ↑ and ↓ choose")).to_be_visible()
    manager.keyboard.press("Escape")
    manager.wait_for_url(f"**/{there.id}/change/")
    assert not LoyaltyOperation.objects.exists()


def test_escape_leaves_no_page_while_something_is_sent(desk: Any, manager: Any) -> None:
    there = desk.visit()
    desk.sandbox.fail("hang", path="apply_card_withdrawal", times=1, seconds=600)
    manager.goto(desk.page_of(there))
    manager.get_by_role("link", name="Withdraw").click()
    manager.wait_for_url("**/operate/**")
    expect(manager.locator("input[type=radio]:checked")).to_be_focused()
    manager.keyboard.press("Enter")
    expect(manager.locator("form[aria-busy]")).to_have_count(1)
    manager.keyboard.press("Escape")
    desk.sandbox.heal()
    expect(manager.locator("#altegio-verdicts")).to_contain_text("Done: 320 points taken.")


def test_several_visits_from_the_list(desk: Any, manager: Any) -> None:
    desk.visits(2)
    go(desk, manager, "visit/")
    wait_for_list(manager)
    manager.locator("select[name=action]").focus()
    manager.keyboard.type("Apply")
    box = manager.locator("#action-toggle")
    for _ in range(40):
        manager.keyboard.press("Tab")
        if box.evaluate("element => element === document.activeElement"):
            break
    manager.keyboard.press("Space")
    expect(manager.locator("input.action-select:checked")).to_have_count(2)
    manager.locator("select[name=action]").focus()
    manager.keyboard.press("Tab")
    manager.keyboard.press("Enter")
    manager.wait_for_url("**/operate/**")
    press(manager, "Apply a promotion", "button")
    expect(manager.locator("#altegio-summary")).to_contain_text("2 of 2 finished: 2 done.")


def test_a_visit_is_found_in_altegio(desk: Any, manager: Any) -> None:
    there = desk.ledger.add_visit(desk.salon, desk.client)
    go(desk, manager, "visit/")
    wait_for_list(manager)
    Visit.objects.all().delete()
    manager.keyboard.type(f"#{there.id}")
    manager.keyboard.press("Enter")
    manager.wait_for_url(f"**/{there.id}/change/")


def test_stop_trying(desk: Any, manager: Any) -> None:
    operation = in_doubt(desk)
    manager.goto(desk.page_of(operation.visit))
    press(manager, "Stop trying", "button")
    expect(manager.get_by_role("button", name="Stop trying")).to_have_count(0)
    operation.refresh_from_db()
    assert operation.is_stopping or not operation.is_open


def test_a_verdict(desk: Any, manager: Any) -> None:
    go(desk, manager, f"loyaltyoperation/{in_doubt(desk).pk}/change/")
    press(manager, "It happened", "button")
    manager.wait_for_url("**/decide/**")
    tab_to(manager, "How do you know", "textbox")
    manager.keyboard.type("The card shows it.")
    press(manager, "It happened", "button")
    expect(manager.get_by_text(re.compile("closed as done"))).to_be_visible()
    assert LoyaltyOperation.objects.get().status == "succeeded"


def test_the_overview_for_other_days(desk: Any, manager: Any) -> None:
    go(desk, manager, "loyaltyoperation/overview/")
    press(manager, "7 days")
    manager.wait_for_url("**days=7**")


@pytest.mark.parametrize(
    "name",
    [
        "visits-of-two-locations",
        "visit-with-something-applied",
        "visit-in-doubt",
        "withdrawal",
        "several-promotions",
        "operation-in-doubt",
        "verdict",
        "overview",
        "location",
    ],
)
def test_the_focus_is_seen_all_the_way(name: str, desk: Any, manager: Any) -> None:
    """Every control in our content looks different while it has the focus."""
    PAGES[name](desk, manager)
    manager.add_style_tag(
        content="*, ::before, ::after { transition: none !important; caret-color: transparent }"
    )
    manager.evaluate("document.activeElement.blur()")
    manager.locator("#content").evaluate("content => { content.tabIndex = -1; content.focus() }")
    unseen, before = [], None
    for _ in range(60):
        manager.keyboard.press("Tab")
        element = manager.evaluate_handle("document.activeElement").as_element()
        focused = element.evaluate(LOOK)
        if before is not None:
            last, look = before
            if last.evaluate("(one, other) => one === other", element):
                continue  # a date has several places to stop at
            if last.evaluate(LOOK) == look and last.evaluate(
                "one => document.querySelector('#content').contains(one)"
            ):
                unseen.append(last.evaluate("one => one.outerHTML.slice(0, 120)"))
        if not element.evaluate("one => document.querySelector('#content').contains(one)"):
            break
        before = element, focused
    assert before is not None
    assert not unseen
