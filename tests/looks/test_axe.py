"""axe-core finds nothing wrong on any page of ours: light, dark and on a narrow screen, in the admin as it comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.looks.axe import violations
from tests.looks.pages import PAGES

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.axe,
]


LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "360 px": {"color_scheme": "light"},
}


@pytest.mark.parametrize("name", PAGES)
def test_no_violation(name: str, desk: Any, manager: Any, picture: Callable[..., None]) -> None:
    """Each finding is named with its rule, its element and what would help; and no page moves sideways."""
    PAGES[name](desk, manager)
    # Colours that are still changing have no contrast yet.
    manager.add_style_tag(
        content="*, ::before, ::after { transition: none !important; animation: none !important }"
    )
    found = []
    for look, media in LOOKS.items():
        manager.emulate_media(**media)
        width = 360 if look == "360 px" else 1280
        manager.set_viewport_size({"width": width, "height": 780})
        found += [f"{look}: {violation}" for violation in violations(manager)]
        if (needed := manager.evaluate("document.documentElement.scrollWidth")) > width:
            found.append(f"{look}: the page is {needed} px wide and moves sideways")
    manager.set_viewport_size({"width": 1280, "height": 900})
    picture(name, everywhere=True)
    assert not found, "\n".join(["", *found])
