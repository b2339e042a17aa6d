"""Charts as SVG. Pure functions: figures in, markup out.

Nothing here needs a script or a style attribute, which a site's Content-Security-Policy may forbid: colours come from
classes. Widths are shares and heights are pixels, so a chart fits any width and its letters keep their size.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.utils.formats import date_format, number_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

#: Heights in pixels: of the bars of a day chart, of the air above them, and of the dates below.
PLOT, ABOVE, BELOW = 190, 18, 24
SPARK_HEIGHT = 24
MOST_DATES = 8
#: What is there at all is also seen.
SMALLEST_SHARE = 0.01

#: The pattern of what is given back; once on each page that has a chart. A stylesheet cannot refer to it, an attribute can.
PATTERNS = mark_safe(
    '<svg width="0" height="0" class="altegio-patterns" aria-hidden="true" focusable="false"><defs>'
    '<pattern id="altegio-hatch" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect width="2.5" height="5" class="altegio-hatch"/></pattern></defs></svg>'
)


@dataclass(frozen=True)
class Day:
    """One day of a chart: what goes up from the line, what goes down, and how both read in words."""

    day: datetime.date
    up: float
    down: float
    words: str


def step_for(largest: float, lines: int = 4) -> float:
    """The distance of the lines of a scale: 1, 2 or 5 times a power of ten, so that about `lines` of them reach."""
    if largest <= 0:
        return 1
    power: float = 10.0 ** math.floor(math.log10(largest / lines))
    return next(step * power for step in (1, 2, 5, 10) if step * power * lines >= largest)


def _share(part: float) -> str:
    return f"{part * 100:.3f}".rstrip("0").rstrip(".") + "%"


@dataclass(frozen=True)
class _Scale:
    """Where an amount is, in pixels from the top. The zero line divides the plot as the largest bars need it."""

    highest: float
    lowest: float
    step: float

    @classmethod
    def of(cls, days: Sequence[Day]) -> _Scale:
        up, down = max((day.up for day in days), default=0), max((day.down for day in days), default=0)
        step = step_for(max(up, down))
        return cls(max(math.ceil(up / step), 1) * step, math.ceil(down / step) * step, step)

    @property
    def zero(self) -> float:
        return ABOVE + PLOT * self.highest / (self.highest + self.lowest)

    def height(self, amount: float) -> float:
        return PLOT * amount / (self.highest + self.lowest)

    def lines(self) -> Iterator[tuple[float, float]]:
        """(amount, y) of each line of the scale, from the top."""
        for number in range(round(self.highest / self.step), -round(self.lowest / self.step) - 1, -1):
            yield abs(number * self.step), self.zero - self.height(number * self.step)


def day_chart(days: Sequence[Day], *, name: str, title: str, description: str) -> SafeString:
    """Bars up and down from a line, one pair for each day. `name` makes the ids of its title and description unique."""
    scale = _Scale.of(days)
    return format_html(
        '<svg class="altegio-chart" width="100%" height="{height}" role="img" aria-labelledby="{name}-title {name}-desc">'
        '<title id="{name}-title">{title}</title><desc id="{name}-desc">{description}</desc>'
        '{lines}{bars}<line class="altegio-zero" x1="0" x2="100%" y1="{zero}" y2="{zero}"/>{amounts}{dates}</svg>',
        height=PLOT + ABOVE + BELOW,
        name=name,
        title=title,
        description=description,
        lines=_lines(scale),
        amounts=_amounts(scale),
        bars=_bars(days, scale),
        zero=f"{scale.zero:.1f}",
        dates=_dates(days),
    )


def _lines(scale: _Scale) -> SafeString:
    line = '<line class="altegio-line" x1="0" x2="100%" y1="{0}" y2="{0}"/>'
    return format_html_join("", line, ((f"{y:.1f}",) for _amount, y in scale.lines()))


def _amounts(scale: _Scale) -> SafeString:
    # Above the lines and over the bars, since a margin in pixels beside a plot in shares is not to be had.
    def in_short(amount: float) -> str:
        places = None if amount % 1 else 0
        return number_format(Decimal(f"{amount:.6g}"), decimal_pos=places, force_grouping=True)

    text = '<text class="altegio-scale" x="2" y="{}">{}</text>'
    rows = ((f"{y - 3:.1f}", in_short(amount)) for amount, y in scale.lines() if amount)
    return format_html_join("", text, rows)


def _bars(days: Sequence[Day], scale: _Scale) -> SafeString:
    taken = mark_safe('class="altegio-taken"')
    given_back = mark_safe('class="altegio-given-back" fill="url(#altegio-hatch)"')
    width = 1 / max(len(days), 1)
    bars = (
        (_share((number + 0.12) * width), _share(0.76 * width), f"{top:.1f}", f"{tall:.1f}", look, day.words)
        for number, day in enumerate(days)
        for top, tall, look in (
            (scale.zero - scale.height(day.up), scale.height(day.up), taken),
            (scale.zero, scale.height(day.down), given_back),
        )
        if tall
    )
    bar = '<rect x="{}" width="{}" y="{}" height="{}" {}><title>{}</title></rect>'
    return format_html_join("", bar, bars)


def _dates(days: Sequence[Day]) -> SafeString:
    """At most MOST_DATES of the days by name; of these every second one only where there is room."""
    apart = max(math.ceil(len(days) / MOST_DATES), 1)
    shown = [(number, _share((number + 0.5) / len(days))) for number in range(0, len(days), apart)]
    dates = (
        (" altegio-date-extra" if number // apart % 2 else "", x, date_format(days[number].day, "j M"))
        for number, x in shown
    )
    date = f'<text class="altegio-date{{}}" x="{{}}" y="{ABOVE + PLOT + BELOW - 6}">{{}}</text>'
    return format_html_join("", date, dates)


def share_bar(part: float, whole: float, look: str = "taken") -> SafeString:
    """A bar for the row of a table, which says the figure itself; so it is hidden from screen readers."""
    share = min(max(part / whole, SMALLEST_SHARE), 1) if whole and part > 0 else 0
    hatch = mark_safe(' fill="url(#altegio-hatch)"') if look == "given-back" else ""
    svg = (
        '<svg class="altegio-bar" width="100%" height="14" aria-hidden="true" focusable="false">'
        '<rect class="altegio-{}" width="{}" height="14"{}/></svg>'
    )
    return format_html(svg, look, _share(share), hatch)


def spark(values: Sequence[float]) -> SafeString:
    """The course of the days, small enough for the row of a table; hidden from screen readers for the same reason."""
    largest = max(values, default=0)
    path = "".join(
        f"M{number}.1 {SPARK_HEIGHT}v-{SPARK_HEIGHT * value / largest:.1f}h.8V{SPARK_HEIGHT}z"
        for number, value in enumerate(values)
        if value > 0
    )
    svg = (
        '<svg class="altegio-spark" viewBox="0 0 {} {}" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        '<path class="altegio-taken" d="{}"/></svg>'
    )
    return format_html(svg, max(len(values), 1), SPARK_HEIGHT, path)
