"""Drawing, without a database: figures in, well-formed markup out, whatever the figures are."""

from __future__ import annotations

import datetime
from xml.etree import ElementTree as ET

import pytest

from altegio_loyalty.admin.overview import charts
from altegio_loyalty.admin.overview.tables import percent


@pytest.mark.parametrize(
    ("largest", "step"), [(0, 1), (1, 0.5), (7, 2), (100, 50), (101, 50), (3000, 1000), (250_000, 100_000)]
)
def test_a_scale_has_round_steps(largest: float, step: float) -> None:
    assert charts.step_for(largest) == step


@pytest.mark.parametrize(("up", "down"), [(0, 0), (0, 5), (5, 0), (0.01, 1_000_000)])
def test_a_chart_stays_within_its_height(up: float, down: float) -> None:
    days = [charts.Day(datetime.date(2026, 1, 1), up, down, "words")]
    svg = ET.fromstring(charts.day_chart(days, name="n", title="<t>", description="&d"))
    height = float(svg.get("height", "0"))
    for bar in svg.iter("rect"):
        top, tall = float(bar.get("y", "-1")), float(bar.get("height", "-1"))
        assert 0 <= top <= top + tall <= height
    assert svg.findtext("title") == "<t>"


def test_nothing_at_all_can_be_drawn() -> None:
    for svg in (
        charts.day_chart([], name="n", title="t", description="d"),
        charts.spark([]),
        charts.share_bar(0, 0),
    ):
        ET.fromstring(svg)


@pytest.mark.parametrize(
    ("part", "text"), [(0, "0 %"), (1, "0.1 %"), (9999, "99.9 %"), (10_000, "100 %"), (2500, "25.0 %")]
)
def test_a_share_is_0_or_100_percent_only_where_it_is(part: int, text: str) -> None:
    assert percent(part, 10_000) == text
