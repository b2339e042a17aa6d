"""axe-core, the checker of accessibility: how it is run in a page, and what of Django's it may find."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests import reachable


@dataclass(frozen=True)
class NotOurs:
    """Something in Django's own markup that axe-core finds: the rule, the elements, and why it is none of ours."""

    rule: str
    selector: str
    reason: str


#: Each is as narrow as it can be: one rule, and elements that only Django's templates make.
NOT_OURS = (
    NotOurs(
        "label-title-only",
        "#changelist-search #searchbar",
        "Its label is a picture of a lens, whose text is read out.",
    ),
    NotOurs(
        "link-in-text-block",
        ".dashboard .breadcrumbs a",
        "The index page of an app is Django's, without a stylesheet of ours.",
    ),
    NotOurs(
        "empty-table-header",
        ".inline-group th.original",
        "A tabular inline keeps its first column without a heading.",
    ),
    *(
        NotOurs(
            rule,
            ".inline-group .tabular td :is(input, select)",
            "A tabular inline has headings instead of labels.",
        )
        for rule in ("label", "select-name")
    ),
)


@cache
def _source() -> str:
    path = reachable.axe()
    assert path is not None
    return Path(path).read_text(encoding="utf-8")


LEAST_IN_A_THEME = "{ contrastRatio: { normal: { expected: 3 }, large: { expected: 3 } } }"

_RUN = """async ([known, within, options]) => {
    const include = [...document.querySelectorAll(within || "html")].filter((one) => one.checkVisibility());
    if (!include.length) return [];
    const { violations } = await axe.run({ include }, { resultTypes: ["violations"], ...options });
    const found = [];
    for (const { id, help, nodes } of violations) {
        for (const node of nodes) {
            const selector = node.target.flat().at(-1);
            const element = document.querySelector(selector);
            if (!known.some(([rule, of]) => rule === id && element && element.matches(of))) {
                found.push(`${id} (${help}): ${node.html.slice(0, 200)} | ${node.failureSummary.replace(/\\s+/g, " ")}`);
            }
        }
    }
    return found;
}"""


def violations(page: Any) -> list[str]:
    """What axe-core finds wrong on the page as it looks now, apart from what is Django's."""
    return _found(page, None, {})


def unreadable(page: Any, within: str) -> list[str]:
    """The texts inside the elements `within` that are hard to tell from what is behind them.

    Less is asked than the guidelines ask for: a theme's quiet colours are its own, and several fall a little short.
    """
    page.evaluate(_source())
    page.evaluate("axe.configure({ checks: [{ id: 'color-contrast', options: %s }] })" % LEAST_IN_A_THEME)
    return _found(page, within, {"runOnly": ["color-contrast"]})


def _found(page: Any, within: str | None, options: dict[str, Any]) -> list[str]:
    if not page.evaluate("'axe' in window"):
        page.evaluate(_source())  # not as a script element, which a page's own policy could forbid
    known = [[known.rule, known.selector] for known in NOT_OURS]
    found: list[str] = page.evaluate(_RUN, [known, within, options])
    return found
