"""Both lists show all they have, beside the admin's own navigation and the filters, however wide the screen is."""

from __future__ import annotations

from typing import Any

import pytest

from tests.looks.pages import PAGES

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

CUT = """() => {
    const list = document.querySelector("#changelist-form .results");
    const cells = [...list.querySelectorAll("th, td")].filter((cell) => cell.checkVisibility());
    const edge = list.getBoundingClientRect().right + 1;
    const isCut = (cell) => cell.getBoundingClientRect().right > edge || cell.scrollWidth > cell.clientWidth + 1;
    return cells.filter(isCut).map((cell) => cell.className);
}"""
COVERED = """() => {
    const title = document.querySelector("#content h1").getBoundingClientRect();
    const range = document.createRange();
    range.selectNodeContents(document.querySelector("#content h1"));
    const text = range.getBoundingClientRect();
    const tools = [...document.querySelectorAll(".object-tools a")].map((tool) => tool.getBoundingClientRect());
    return tools.some((tool) => tool.left < text.right && tool.top < title.bottom && tool.bottom > title.top);
}"""


@pytest.mark.parametrize("language", ["en", "ru"])
@pytest.mark.parametrize("name", ["operations", "visits"])
def test_a_list_shows_all_at_every_width(name: str, language: str, desk: Any, manager: Any) -> None:
    """No cell is cut or stands outside, and no button covers the title."""
    PAGES[name](desk, manager)
    manager.context.add_cookies([{"name": "django_language", "value": language, "url": desk.site_url}])
    manager.reload()
    seen = {}
    for width in (360, 768, 834, 1024, 1100, 1250, 1251, 1280, 1440):
        manager.set_viewport_size({"width": width, "height": 900})
        seen[width] = (manager.evaluate(CUT), manager.evaluate(COVERED))
    assert {width: found for width, found in seen.items() if found != ([], False)} == {}
