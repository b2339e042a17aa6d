"""The alert rules and the dashboard ask for what the collector tells, and each alert has its page."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from tests.contrib.test_prometheus import salon, scrape
from tests.delivery.salon import Salon
from tests.reachable import REPOSITORY

__all__ = ["salon"]
DOCS = REPOSITORY / "docs"
RULES = yaml.safe_load((DOCS / "monitoring" / "alerts.yml").read_text())["groups"][0]["rules"]
PANELS = json.loads((DOCS / "monitoring" / "dashboard.json").read_text())["panels"]
PAGE = (DOCS / "monitoring.md").read_text(encoding="utf-8")
ASKED = [rule["expr"] for rule in RULES] + [target["expr"] for panel in PANELS for target in panel["targets"]]


def names_in(text: str) -> set[str]:
    return set(re.findall(r"altegio_loyalty_(\w+)", text))


@pytest.mark.django_db
def test_what_is_asked_for__is_told(salon: Salon) -> None:
    salon.withdraw()
    told = {name for name, *_labels in scrape()}
    asked = set().union(*(names_in(text) for text in ASKED))
    assert asked <= told
    described = PAGE[PAGE.index("| Metric |") : PAGE.index("[Alert rules]")]
    assert told == set(re.findall(r"`(\w+?)(?:\{[\w, ]+\})?`", described)) - {
        "median",
        "longest",
        "REQUESTS_PER_MINUTE",
    }


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_each_alert__has_its_page(rule: dict[str, Any]) -> None:
    assert f"\n### {rule['alert']}\n" in PAGE
    assert rule["annotations"]["runbook"] == f"docs/monitoring.md#{rule['alert'].lower()}"


def test_each_page_of_an_alert__has_its_rule() -> None:
    assert set(re.findall(r"^### (\w+)$", PAGE, re.MULTILINE)) == {rule["alert"] for rule in RULES}
