"""What the stylesheets and scripts may not hold: looks for nothing, the name of a kind, or code in a page."""

from __future__ import annotations

import re
from pathlib import Path

import altegio_loyalty
from altegio_loyalty.states import Kind

PACKAGE = Path(altegio_loyalty.__file__).parent
STATIC = PACKAGE / "static"
TEMPLATES = PACKAGE / "templates"
#: The charts put these together from a state's look.
OF_CHARTS = {"altegio-good", "altegio-bad"}


def text_of(*paths: Path) -> str:
    assert paths
    return "\n".join(path.read_text() for path in paths)


def test_every_class_of_the_stylesheets_is_used() -> None:
    """In a template, a script or Python; `altegio-badge-{}` there stands for all that begin so."""
    styles = text_of(*STATIC.rglob("*.css"))
    users = text_of(*TEMPLATES.rglob("*.html"), *STATIC.rglob("*.js"), *(PACKAGE / "admin").rglob("*.py"))
    used = set(re.findall(r"altegio-[\w-]+", users))
    beginnings = tuple(name for name in used if name.endswith("-"))
    wanted = set(re.findall(r"[.#](altegio-[\w-]+)", styles))
    assert wanted
    assert {name for name in wanted - used - OF_CHARTS if not name.startswith(beginnings)} == set()


def test_no_script_names_a_kind() -> None:
    """What a kind needs of a script, its page says in an attribute: a fifth kind needs no line of script."""
    scripts = text_of(*STATIC.rglob("*.js"))
    parts = [part for kind in Kind for part in re.split("(?<=_)", kind, maxsplit=1)]
    assert "apply_" in parts
    assert [part for part in parts if part in scripts] == []


def test_no_page_holds_a_script_or_a_style_of_its_own() -> None:
    """A site with a strict Content-Security-Policy would not run them."""
    pages = text_of(*TEMPLATES.rglob("*.html"))
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\son[a-z]+=\"|javascript:", pages) == []
