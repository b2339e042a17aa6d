"""Charts as SVG. Pure functions: figures in, markup out.

Nothing here needs a script or a style attribute, which a site's Content-Security-Policy may forbid: colours come from
classes. Widths are shares and heights are pixels, so a chart fits any width and its letters keep their size.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.template.loader import render_to_string
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

#: Heights in pixels: of the bars of a chart, of the air above them, and of the labels below.
PLOT, ABOVE, BELOW = 190, 18, 24
SPARK_HEIGHT = 24
MOST_LABELS = 8
#: What is there at all is also seen.
SMALLEST_SHARE = 0.01


@dataclass(frozen=True)
class Bar:
    """From the line up, or down where it is below 0, in this part of its slot; and how it reads in words."""

    amount: float
    words: str
    look: str = "taken"
    begin: float = 0.12
    width: float = 0.76


def step_for(largest: float, lines: int = 4) -> float:
    """The distance of the lines of a scale: 1, 2 or 5 times a power of ten, so that about `lines` of them reach."""
    if largest <= 0:
        return 1
    power: float = 10.0 ** math.floor(math.log10(largest / lines))
    return next(step * power for step in (1, 2, 5, 10) if step * power * lines >= largest)


def _share(part: float) -> str:
    return f"{part * 100:.3f}".rstrip("0").rstrip(".") + "%"


def chart(
    slots: Sequence[tuple[str, Sequence[Bar]]],
    *,
    name: str,
    title: str,
    description: str,
    is_signed: bool = False,
) -> SafeString:
    """Bars up and down from a line, in slots with a label below. `name` makes the ids of title and description unique.

    What is down is less than nothing only where the scale is signed.
    """
    amounts = [bar.amount for _label, bars in slots for bar in bars]
    up, down = max([*amounts, 0]), -min([*amounts, 0])
    step = step_for(max(up, down))
    above, below = max(math.ceil(up / step), 1), math.ceil(down / step)
    pixels, width = PLOT / (above + below) / step, 1 / max(len(slots), 1)
    zero = ABOVE + above * step * pixels
    marks = [(number if is_signed else abs(number), number) for number in range(above, -below - 1, -1)]
    scale = ((said * step, zero - number * step * pixels) for said, number in marks)
    context = {
        "name": name,
        "title": title,
        "description": description,
        "height": PLOT + ABOVE + BELOW,
        "scale": [(f"{y:.1f}", f"{y - 3:.1f}", _in_short(amount)) for amount, y in scale],
        "bars": [
            {
                "x": _share((number + bar.begin) * width),
                "width": _share(bar.width * width),
                "y": f"{zero - max(bar.amount, 0) * pixels:.1f}",
                "height": f"{abs(bar.amount) * pixels:.1f}",
                "look": bar.look,
                "words": bar.words,
            }
            for number, (_label, bars) in enumerate(slots)
            for bar in bars
            if bar.amount
        ],
        "zero": f"{zero:.1f}",
        "labels": [
            (_share((number + 0.5) * width), slots[number][0])
            for number in range(0, len(slots), max(math.ceil(len(slots) / MOST_LABELS), 1))
        ],
    }
    return render_to_string("admin/altegio_loyalty/overview/chart.html", context)


def _in_short(amount: float) -> str:
    places = None if amount % 1 else 0
    return number_format(Decimal(f"{amount:.6g}"), decimal_pos=places, force_grouping=True) if amount else ""


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
