"""Drawing, without a database: figures in, well-formed markup out, whatever the figures are."""

from __future__ import annotations

import itertools
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
    bars = [charts.Bar(up, "words"), charts.Bar(-down, "words", "given-back")]
    svg = ET.fromstring(charts.chart([("1 Jan", bars)], name="n", title="<t>", description="&d"))
    height = float(svg.get("height", "0"))
    for bar in svg.iter("rect"):
        top, tall = float(bar.get("y", "-1")), float(bar.get("height", "-1"))
        assert 0 <= top <= top + tall <= height
    assert svg.findtext("title") == "<t>"


def test_bars_side_by_side__do_not_overlap_and_the_scale_says_what_is_less_than_nothing() -> None:
    bars = [charts.Bar(5, "then", "given-back", 0.1, 0.38), charts.Bar(-5, "now", begin=0.52, width=0.38)]
    svg = ET.fromstring(
        charts.chart([("Mon", bars)] * 2, name="n", title="t", description="d", is_signed=True)
    )
    places = [
        tuple(float(bar.get(name, "").rstrip("%")) for name in ("x", "width")) for bar in svg.iter("rect")
    ]
    assert [x + width < further for (x, width), (further, _width) in itertools.pairwise(places)] == [True] * 3
    labels = [text.text for text in svg.iter("text")]
    assert (labels[0], labels[-3:]) == ("6", ["-6", "Mon", "Mon"])


def test_nothing_at_all_can_be_drawn() -> None:
    for svg in (
        charts.chart([], name="n", title="t", description="d"),
        charts.spark([]),
        charts.share_bar(0, 0),
    ):
        ET.fromstring(svg)


@pytest.mark.parametrize(
    ("part", "text"), [(0, "0 %"), (1, "0.1 %"), (9999, "99.9 %"), (10_000, "100 %"), (2500, "25.0 %")]
)
def test_a_share_is_0_or_100_percent_only_where_it_is(part: int, text: str) -> None:
    assert percent(part, 10_000) == text
