"""What the pages say of names, settings and places is so."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path

import pytest
from django.dispatch import Signal

from altegio_loyalty import conf, services, signals
from altegio_loyalty.client import VERSIONS, version_of
from tests.reachable import REPOSITORY

PAGES = [*sorted(REPOSITORY.glob("*.md")), *sorted((REPOSITORY / "docs").glob("*.md"))]
API = (REPOSITORY / "docs" / "api.md").read_text(encoding="utf-8")


def anchors_of(page: Path) -> set[str]:
    """The addresses of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_link_within_the_repository__leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text(encoding="utf-8")):
        name, _, anchor = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors_of(linked), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_example__imports_the_os_that_it_uses(page: Path) -> None:
    for example in re.findall(r"```python\n(.+?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        assert "import os" in example or not re.search(r"\bos\.", example), example


def test_address_of_a_version__is_spoken_or_refused_as_the_page_says() -> None:
    text = (REPOSITORY / "docs" / "versions.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(http\S+)` \| .+ \| (.+) \|$", text, re.MULTILINE)
    assert len(rows) == 6
    assert [
        address for address, here in rows if (here == "refused") == (version_of(address) in VERSIONS)
    ] == []


def test_what_is_protected__names_its_tests_or_says_that_nothing_holds_it() -> None:
    text = (REPOSITORY / "docs" / "security.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?!\||---)(.+) \| (.+) \|$", text, re.MULTILINE)
    assert len(rows) > 25
    for claim, held_by in rows:
        names_tests = re.fullmatch(r"\[test_\w+\]\(\.\./tests/[^)]+\)(, \[test_\w+\]\([^)]+\))*", held_by)
        assert names_tests or (held_by == "nothing" and claim.startswith("Not held:")), claim


def test_weakness__is_reported_as_one_page_says_and_the_others_lead_there() -> None:
    report = (REPOSITORY / "SECURITY.md").read_text(encoding="utf-8")
    assert "Report it privately" in report
    assert "docs/security.md" in report
    assert "(../SECURITY.md)" in (REPOSITORY / "docs" / "security.md").read_text(encoding="utf-8")


def test_public_api__is_described_name_by_name() -> None:
    assert set(re.findall(r"^### (\w+)$", API, re.MULTILINE)) == set(services.__all__)


@pytest.mark.parametrize("name", services.__all__)
def test_function_of_the_public_api__has_the_arguments_that_the_page_says(name: str) -> None:
    described = re.search(rf"^{name}\((.*?)\) -> ", API, re.MULTILINE | re.DOTALL)
    if inspect.isclass(getattr(services, name)):
        assert described is None
        return
    assert described is not None
    said = [part.strip() for part in described[1].split(",") if part.strip()]
    arguments = inspect.signature(getattr(services, name)).parameters.values()
    defaults = {each.name: each.default for each in arguments}
    assert [re.split(r"[:=]", part)[0] for part in said if part != "*"] == list(defaults)
    for part in said:
        argument, is_optional, default = part.partition("=")
        if part == "*":
            after = re.split(r"[:=]", said[said.index("*") + 1])[0]
            kinds = {each.name: each.kind for each in arguments}
            assert kinds[after] is inspect.Parameter.KEYWORD_ONLY
        elif is_optional:
            assert default.strip('"') == str(defaults[argument])


def test_signals__are_described_one_by_one() -> None:
    named = {name for name, each in vars(signals).items() if isinstance(each, Signal)}
    table = API[API.index("## Signals") : API.index("## Tasks")]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == named


def test_settings__are_described_one_by_one() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[A-Z_]+`(?:, `[A-Z_]+`)*) \|", readme, re.MULTILINE)
    named = {name for row in rows for name in re.findall("[A-Z_]+", row)}
    assert named == {field.name for field in fields(conf.LoyaltySettings)}


def test_house__is_described_module_by_module() -> None:
    text = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text[text.index("## The house") : text.index("## Secrets")]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = {name.rstrip("/") for row in rows for name in re.findall(r"`(\w+/?)`", row)}
    app = REPOSITORY / "altegio_loyalty"
    there = {path.stem for path in app.glob("*.py")} | {
        path.parent.name for path in app.glob("*/__init__.py")
    }
    assert named == there - {"__init__", "migrations"}
