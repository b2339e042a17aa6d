"""A kind of operation is told apart in two tables of the screens, and nowhere else by its name."""

from __future__ import annotations

import re

from altegio_loyalty import kinds
from tests.reachable import REPOSITORY

APP = REPOSITORY / "altegio_loyalty"
#: Where a kind has its row or its class.
AT_HOME = {"admin/kinds.py", "admin/desk/offers.py"}


def test_no_screen_knows_a_kind_by_its_name() -> None:
    """Whoever adds one finds every place by starting the site, and not in a page that went a wrong way."""
    files = [path for end in ("py", "html", "js") for path in APP.rglob(f"*.{end}")]
    screens = {str(path.relative_to(APP)): path for path in files}
    names = "|".join(name for kind in kinds.TABLE for name in (kind, kind.upper()))
    known = {
        name
        for name, path in screens.items()
        if name.startswith(("admin/", "templates/", "static/"))
        and re.search(rf"\b({names})\b", path.read_text())
    }
    assert known == AT_HOME
