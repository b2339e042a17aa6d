"""Reports below the overview: what a period adds up to by one thing, against the period before, each figure from the log."""

import datetime
from calendar import monthrange
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from typing import Any

from django import forms
from django.contrib.admin.options import IncorrectLookupParameters
from django.http import HttpResponse, HttpResponseBase
from django.utils.dates import WEEKDAYS, WEEKDAYS_ABBR
from django.utils.formats import date_format, number_format
from django.utils.text import capfirst

from altegio_loyalty import statistics
from altegio_loyalty.admin.locations import has_several_currencies
from altegio_loyalty.admin.overview import charts, tables
from altegio_loyalty.admin.overview.page import OverviewPage, PeriodForm
from altegio_loyalty.admin.pages import as_id
from altegio_loyalty.models import ANONYMISED
from altegio_loyalty.statistics import GROUPINGS, MOVING, PROMOTIONS, Moved, Period
from altegio_loyalty.texts import gettext as _, gettext_lazy

#: So many have a row of their own on the page; the rest share one. The file names all.
MOST_ROWS = 50
#: What figures are told apart by, with the question that the report answers.
REPORTS = {
    "location": (gettext_lazy("Location"), gettext_lazy("Where were points taken?")),
    "person": (gettext_lazy("Person"), gettext_lazy("Who took points?")),
    "client": (gettext_lazy("Client"), gettext_lazy("Whose points were taken?")),
    "card": (gettext_lazy("Card type"), gettext_lazy("From which cards were points taken?")),
    "promotion": (gettext_lazy("Promotion"), gettext_lazy("Which promotions were applied, and what did they cost?")),
    "weekday": (gettext_lazy("Weekday"), gettext_lazy("On which days of the week were points taken?")),
    "month": (gettext_lazy("Month"), gettext_lazy("How does each month compare with the one before it?")),
}  # fmt: skip

#: Those whose keys are Altegio's numbers.
NUMBERED = ("location", "client", "promotion")


class ReportForm(PeriodForm):
    """Which report, and whether with bills; for the log also which of its figures: of this key, weekday or currency."""

    by = forms.ChoiceField(required=False)
    bills = forms.BooleanField(required=False)
    of = forms.CharField(required=False, max_length=254, strip=False)
    weekday = forms.IntegerField(required=False, min_value=1, max_value=7)
    currency = forms.CharField(required=False, max_length=3)

    def __init__(self, *args: Any, sees_clients: bool) -> None:
        super().__init__(*args)
        choices = [(name, words[0]) for name, words in REPORTS.items() if name != "client" or sees_clients]
        self.fields["by"].choices = choices  # type: ignore[attr-defined]
        self.fields["by"].error_messages["invalid_choice"] = _("There is no such report for you.")

    @property
    def report(self) -> str:
        return self.cleaned_data.get("by") or "location"

    def narrow(self, rows: Any) -> Any:
        """The operations that the figure is from. Raises `IncorrectLookupParameters` where there can be no such key."""
        text = self.cleaned_data["of"]
        key = as_id(text) if self.report in ("client", "promotion") else text
        if self.report == "client" and text == str(ANONYMISED):
            key = ANONYMISED
        if text and key is None:
            raise IncorrectLookupParameters
        found = statistics.made_of(rows, self.report, self.chosen()[0], self.cleaned_data["weekday"])
        if self.report in GROUPINGS and "of" in self.data:
            found = found.alias(key=GROUPINGS[self.report].key).filter(key=key)
        if "currency" in self.data:
            found = found.filter(location__currency=self.cleaned_data["currency"])
        return found

    @property
    def in_words(self) -> str:
        """The figure that the log is narrowed to."""
        period, weekday = self.chosen()[0], self.cleaned_data["weekday"]
        days = " – ".join(date_format(day, "SHORT_DATE_FORMAT") for day in (period.first, period.last))
        told = (days, REPORTS[self.report][0], self.cleaned_data["of"], weekday and WEEKDAYS[weekday - 1])
        return ", ".join(str(part) for part in (*told, self.cleaned_data["currency"]) if part)


@dataclass(frozen=True)
class Line:
    """A row: what it is called, its sums, and the addresses of their operations; none where the log has not all of them.

    `bills` as `statistics.bills_by_location` tells them.
    """

    key: Any
    name: str
    now: Moved
    before: Moved
    urls: tuple[str, ...] = ()
    bills: tuple[Any, ...] = ()

    @property
    def change(self) -> str:
        """By how many percent it is more or less, about so where amounts are not known.

        `0 %` only where it is the same, and a line where nothing compares.
        """
        now, before = self.now.net, self.before.net
        about = "≈ " if self.now.unknown_count or self.before.unknown_count else ""
        if not (self.now.is_known and self.before.is_known):
            return "–"
        if now == before or before <= 0:
            return f"{about}0 %" if now == before and before else "–"
        share = max(abs(now - before) / before * 100, Decimal("0.1"))
        return f"{about}{'+' if now > before else '−'}{number_format(round(share, 1), decimal_pos=1)} %"

    @property
    def bars(self) -> list[charts.Bar]:
        before = charts.Bar(float(self.before.net), self.in_words, "given-back", 0.1, 0.38)
        return [before, charts.Bar(float(self.now.net), self.in_words, begin=0.52, width=0.38)]

    @property
    def in_words(self) -> str:
        words = {"name": self.name, "now": _net(self.now), "before": _net(self.before), "change": self.change}
        return _("%(name)s – %(now)s, before %(before)s (%(change)s)") % words

    @property
    def share_of_bills(self) -> str:
        *_counts, total, paid = self.bills
        return f"{number_format(round(paid / total * 100, 1), decimal_pos=1)} %" if total else ""


def _net(moved: Moved) -> str:
    about = "≈ " if moved.unknown_count else ""
    return f"{about}{tables.grouped(moved.net)}" if moved.is_known else _("not known")


def _highest(lines: Sequence[Line]) -> Line | None:
    """The one line that is above all others; None where none is, or where not all is known."""
    most = max(line.now.net for line in lines)
    found = [line for line in lines if line.now.net == most]
    return found[0] if len(found) == 1 and not any(line.now.unknown_count for line in lines) else None


def months_of(period: Period) -> list[tuple[Period, Period]]:
    """The months of the period, as far as they are in it, each with the same days of the month before it."""
    found, first = [], period.first
    while first <= period.last:
        end = first.replace(day=monthrange(first.year, first.month)[1])
        last, before = min(end, period.last), first.replace(day=1) - datetime.timedelta(days=1)
        same = [before.replace(day=min(day.day, before.day)) for day in (first, last)]
        earlier = replace(period, first=same[0], last=before if last == end else same[1])
        found.append((replace(period, first=first, last=last), earlier))
        first = end + datetime.timedelta(days=1)
    return found


def _total(lines: Iterable[Line], name: str = "", urls: tuple[str, ...] = ()) -> Line:
    lines = list(lines)
    now, before = (sum((getattr(line, side) for line in lines), Moved()) for side in ("now", "before"))
    bills = tuple(map(sum, zip(*(line.bills for line in lines), strict=False)))
    return Line(None, name, now, before, urls, bills)


class ReportsPage(OverviewPage):
    """One report, of what the person sees on the overview."""

    own_name = "loyaltyoperation_reports"
    form: ReportForm

    def make_form(self) -> ReportForm:
        return ReportForm(self.request.GET, self.locations, sees_clients=self.sees_visits)

    def with_choice(self, **changes: Any) -> str:
        return super().with_choice(**{"by": self.form.report, **changes})

    @cached_property
    def shown(self) -> tables.Shown:
        """The points of the period and of the days that it is compared with."""
        first = (
            months_of(self.period)[0][1].first if self.form.report == "month" else self.period.before.first
        )
        return tables.Shown(self.narrowed, replace(self.period, first=first), self.locations)

    def lines(self, most: int | None = None) -> dict[str, list[Line]]:
        """The rows by currency: no more than `most`, and one for all others, so that they add up to the total of each."""
        found = self._of_groups(most) if self.form.report in GROUPINGS else self._of_days(most)
        for lines in found.values():
            if most and len(lines) > most + 1:
                lines[most:] = [_total(lines[most:], _("all others"))]
        return found

    def _of_groups(self, most: int | None) -> dict[str, list[Line]]:
        found, is_apart = {}, has_several_currencies(self.locations.values())
        for code, lines in statistics.groups(self.narrowed, self.form.report, self.period, most).items():
            currency = (code or _("Currency not known")) if is_apart else ""
            end = most or len(lines)
            found[currency] = [self._line(currency, *line) for line in lines[:end]]
            found[currency] += [Line(None, _("all others"), *line[2:]) for line in lines[end:]]
        return dict(sorted(found.items()))

    def _of_days(self, most: int | None) -> dict[str, list[Line]]:
        """By location, weekday or month."""
        report, months = self.form.report, months_of(self.period)

        def places(day: datetime.date, pk: int) -> list[tuple[Any, int]]:
            if report == "month":
                spans = ((number, side) for number in range(len(months)) for side in (0, 1))
                return [(number, side) for number, side in spans if day in months[number][side]]
            return [(day.isoweekday() if report == "weekday" else pk, int(day < self.period.first))]

        found: dict[str, list[Line]] = {}
        has_bills = report == "location" and (most is None or self.form.cleaned_data.get("bills"))
        bills = statistics.bills_by_location(self.narrowed, self.period) if has_bills else {}
        for currency, points in self.shown.by_currency().items():
            sums: defaultdict[Any, list[Moved]] = defaultdict(lambda: [Moved(), Moved()])
            for cell, moved in points.cells.items():
                for key, side in places(*cell):
                    sums[key][side] += moved
            lines = [self._line(currency, key, "", now, before) for key, (now, before) in sums.items()]
            lines.sort(key=lambda line: line.key)
            if has_bills:
                lines = [replace(line, bills=bills.get(line.key, (0, 0, 0, 0))) for line in lines]
            if report == "location":
                lines.sort(key=lambda line: -line.now.taken)
            found[currency] = lines
        return found

    def _line(self, currency: str, key: Any, name: str | None, now: Moved, before: Moved) -> Line:
        """With the addresses of all its operations, of those that took and that gave back, and of those before."""
        if name is None:
            return Line(None, _("all others"), now, before)
        report, periods = self.form.report, (self.period, self.period.before)
        query = {"of": "" if key is None else key}
        if report == "month":
            periods = months_of(self.period)[key]
            name, query = _name_of_month(periods[0]), {}
        elif report == "weekday":
            name, query = capfirst(WEEKDAYS[key - 1]), {"weekday": key}
        elif report == "location":
            name, query = self.shown.title_of(key), {"location": key}
        elif report == "client" and key == str(ANONYMISED):
            name = _("Anonymised")
        elif key in (None, ""):
            name = _("nobody; a program asked") if report == "person" else _("not known")
        urls = self._urls(currency, periods, **query)
        return Line(
            key, name or (f"{REPORTS[report][0]} {key}" if report in NUMBERED else key), now, before, urls
        )

    def _urls(self, currency: str, periods: tuple[Period, Period], **query: Any) -> tuple[str, ...]:
        chosen = {"by": self.form.report, "location": self.location_id, **query}
        if has_several_currencies(self.locations.values()):
            chosen["currency"] = "" if currency == _("Currency not known") else currency

        def url(period: Period, kind: str | None = None) -> str:
            days = {"since": period.first, "until": period.last, "kind__exact": kind}
            return self.address("loyaltyoperation_changelist", **days, **chosen)

        kinds = PROMOTIONS if self.form.report == "promotion" else MOVING
        return url(periods[0]), *(url(periods[0], kind) for kind in kinds), url(periods[1])

    def chart(self, number: int, currency: str, lines: list[Line]) -> dict[str, Any]:
        """Weekdays or months beside the days before, as a picture and in words; nothing for what has no order in time."""
        labels = dict(enumerate(WEEKDAYS_ABBR.values(), 1))
        if self.form.report == "month":
            labels = {
                n: date_format(now.first, "M Y") for n, (now, _before) in enumerate(months_of(self.period))
            }
        elif self.form.report != "weekday":
            return {}
        found, title = {line.key: line for line in lines}, _("Points taken less those given back")
        slots = [(str(label), found[key].bars if key in found else ()) for key, label in labels.items()]
        if self.form.report == "month":
            first, answer = found.get(max(labels)), _("The latest: %(line)s.")
        else:
            first, answer = _highest(lines), _("The most: %(line)s.")
        said = answer % {"line": first.in_words} if first else ""
        words = {
            "name": f"altegio-report-{number}",
            "title": f"{title}, {currency}" if currency else title,
            "description": "; ".join(line.in_words for line in lines),
        }
        return {"chart": charts.chart(slots, is_signed=True, **words), "said": said}

    def show(self) -> HttpResponse:
        report, query = self.form.report, {**self.chosen_days, "location": self.location_id}
        choices = self.form.fields["by"].choices  # type: ignore[attr-defined]
        only = next((row.currency for row in self.locations.values() if row.currency), "")
        parts = []
        for number, (currency, lines) in enumerate(self.lines(MOST_ROWS).items()):
            total = _total(lines, _("Total"), self._urls(currency, (self.period, self.period.before)))
            rows = [(line, charts.share_bar(float(line.now.taken), float(total.now.taken))) for line in lines]
            part = {"currency": currency or only, "rows": rows, "total": total}
            parts.append({**part, **self.chart(number, currency or only, lines)})
        context = {
            "title": _("Reports"),
            **self.choice(),
            "before": self.period.before,
            "by": report,
            "heading": REPORTS[report][0],
            "question": REPORTS[report][1],
            "reports": [(title, self.with_choice(by=name), name == report) for name, title in choices],
            "parts": parts,
            "bills_url": self.with_choice(bills=1) if report == "location" else "",
            "csv": self.address("loyaltyoperation_report", **query, by=report),
        }
        return self.render("overview/reports.html", context)

    def table(self, name: str = "reports") -> HttpResponseBase:
        return self.file(f"{name}-{self.form.report}", self._table)

    def _table(self) -> tables.Table:
        points = _("Withdrawals"), _("Cancels"), _("Taken"), _("Given back"), _("Difference")
        cost = _("Applied"), _("Cancelled"), _("Discounts"), _("Discounts taken back"), _("Cost")
        sums = *(cost if self.form.report == "promotion" else points), _("Amount unknown")
        bills = _("Visits"), _("Visits whose bill is known"), _("Their bills"), _("Points that paid of them")
        before = (_("%(figure)s before") % {"figure": figure} for figure in sums)
        more = bills if self.form.report == "location" else ()
        yield "ID", str(REPORTS[self.form.report][0]), *sums, *before, *more, _("Currency")
        for currency, lines in self.lines().items():
            for line in lines:
                number = int(line.key) if line.key and self.form.report in NUMBERED else None
                yield number, line.name, *_cells(line.now), *_cells(line.before), *line.bills, currency


def _cells(moved: Moved) -> Sequence[Any]:
    return (
        moved.apply_count,
        moved.cancel_count,
        moved.taken,
        moved.given_back,
        moved.net,
        moved.unknown_count,
    )


def _name_of_month(period: Period) -> str:
    name, days = (
        date_format(period.first, "YEAR_MONTH_FORMAT"),
        {"first": period.first.day, "last": period.last.day},
    )
    is_whole = len(period.days) == monthrange(period.first.year, period.first.month)[1]
    return name if is_whole else _("%(month)s, days %(first)s to %(last)s") % {"month": name, **days}
