"""What `test_themes.py` runs once for each theme, in a process with that theme's settings.

All of it can be walked and read in any theme; with SCREENSHOTS there are pictures to look at.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import wait_for_list
from tests.looks.axe import unreadable
from tests.looks.pages import PAGES, go

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

#: One page of each kind; all of them where there is a wish to look.
CHOSEN = (
    "visits-of-two-locations",
    "visit-in-doubt",
    "withdrawal",
    "several-promotions",
    "batch",
    "operations",
    "verdict-without-a-reason",
    "overview",
    "location",
    "app",
)
NAMES = tuple(PAGES) if os.environ.get("SCREENSHOTS") else CHOSEN


@pytest.fixture
def loaded(manager: Any) -> Any:
    """What was loaded of ours, by its name; whatever fails on the way fails the test."""
    files: dict[str, int] = {}
    errors: list[str] = []

    def note(response: Any) -> None:
        if "/static/altegio_loyalty/" in response.url:
            files[response.url.rpartition("/")[2]] = response.status

    manager.on("response", note)
    manager.on("pageerror", lambda error: errors.append(f"{error} {error.stack or ''}"))
    yield files
    assert set(files.values()) <= {200, 304}, files
    # A theme's own script may fail on its own; ours may not.
    assert not [error for error in errors if "altegio" in error], errors


#: All that is ours on a page.
OURS = (
    ".altegio-page, .altegio-overview, .altegio-panel, .altegio-outcome, .altegio-attempts, "
    ".altegio-verdict #content-main"
)
#: Dark in the words of each theme.
DARK = """() => {
    const html = document.documentElement;
    html.classList.add("dark");
    html.dataset.bsTheme = html.dataset.theme = "dark";
}"""


def must_be_right(page: Any, picture: Callable[..., None], name: str) -> None:
    """Our content is inside the window, wide and narrow, and its text stands out from what is behind it, light and dark.

    The width of a change form is the theme's own: Grappelli's is never narrower than 980 px.
    """
    page.add_style_tag(
        content="*, ::before, ::after { transition: none !important; animation: none !important }"
    )
    wrong = []
    for look, width in (("light", 1280), ("narrow", 360), ("dark", 1280)):
        page.set_viewport_size({"width": width, "height": 900})
        if look == "dark":
            page.emulate_media(color_scheme="dark")
            page.evaluate(DARK)
        reaches = page.evaluate(
            "ours => Math.max(0, ...[...document.querySelectorAll(ours)]"
            ".flatMap(one => [one, ...one.querySelectorAll(':scope *')])"
            ".filter(one => !one.closest('form[id$=_form], .altegio-scroll, .altegio-patterns, "
            ".altegio-unseen, .visually-hidden'))"
            ".map(one => one.getBoundingClientRect().right))",
            OURS,
        )
        if reaches > width + 1:
            wrong.append(f"{look}: something of ours ends at {reaches} px")
        wrong += [f"{look}: {text}" for text in unreadable(page, OURS)]
        picture(f"{name}-{look}")
    page.emulate_media(color_scheme="light")
    assert not wrong, "\n".join(["", *wrong])


def test_a_withdrawal(desk: Any, manager: Any, loaded: dict[str, int], picture: Callable[..., None]) -> None:
    """From the list to the verdict, as in the stock admin; the scripts are there and do their part."""
    there = desk.visit()
    go(desk, manager, "visit/")
    wait_for_list(manager)
    manager.get_by_role("link", name="Jane Miller", exact=True).first.click()
    expect(manager.get_by_role("heading", name="The bill")).to_be_visible()
    manager.get_by_role("link", name="Withdraw up to 320").click()
    manager.get_by_label("Points", exact=True).fill("120")
    expect(manager.locator("#altegio-after")).to_have_text("380 points stay on the card, 200 is left to pay.")
    manager.get_by_role("button", name="Withdraw 120 points").click()
    expect(manager.locator("#altegio-verdicts")).to_contain_text("Done: 120 points taken.")
    expect(manager.locator("#altegio-verdicts .altegio-badge")).to_be_visible()
    must_be_right(manager, picture, "a-withdrawal")
    assert desk.taken(there) == 120
    assert {"altegio_loyalty.js", "visit_list.js", "visit.js"} <= set(loaded)
    assert {"altegio_loyalty.css", "visit_list.css", "visit.css"} <= set(loaded)


@pytest.mark.parametrize("name", NAMES)
def test_page(
    name: str, desk: Any, manager: Any, loaded: dict[str, int], picture: Callable[..., None]
) -> None:
    """The page comes up, has its heading and fits."""
    PAGES[name](desk, manager)
    must_be_right(manager, picture, name)
    assert "altegio_loyalty.css" in loaded or name == "app"


@pytest.mark.parametrize(("name", "tool"), [
    ("loyaltyoperation", "Overview"),
    ("loyaltyoperation", "Export these as CSV"),
    ("visit", "Several at once"),
])  # fmt: skip
def test_a_list_leads_to_what_belongs_to_it(desk: Any, manager: Any, name: str, tool: str) -> None:
    """Also where a theme leaves out the tools of a model."""
    desk.visit()
    go(desk, manager, f"{name}/")
    expect(manager.get_by_text(tool, exact=True).locator("visible=true")).to_have_count(1)
