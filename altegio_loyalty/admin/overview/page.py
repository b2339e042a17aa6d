"""The overview for the manager: what needs a person now, then what a period adds up to, as charts, tables and CSV."""

import datetime
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Count, Q, Subquery
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.formats import date_format

from altegio_loyalty import services, statistics, watch
from altegio_loyalty.access import visible_to
from altegio_loyalty.admin.decisions import RESOLVE
from altegio_loyalty.admin.files import table_response
from altegio_loyalty.admin.locations import locations_of
from altegio_loyalty.admin.looks import Look
from altegio_loyalty.admin.overview import tables
from altegio_loyalty.admin.pages import Page
from altegio_loyalty.exceptions import OperationNotAllowed
from altegio_loyalty.models import BooksItem, BooksOfDay, Location, LoyaltyOperation
from altegio_loyalty.moments import name_of
from altegio_loyalty.querysets import by_zone
from altegio_loyalty.states import Status
from altegio_loyalty.statistics import Period
from altegio_loyalty.texts import gettext as _, gettext_lazy

PERIODS = (7, 30, 90)
#: Those of them that the log can be narrowed to.
DAYS_OF_LOG = (7, 30)
USUAL_DAYS = 30
MOST_DAYS = 366
EARLIEST = datetime.date(2000, 1, 1)
#: So many rows of the books' days, and so many items, are shown.
MOST_ROWS = 200


class PeriodForm(forms.Form):
    """Which days, and which location. What is wrong with them is said, and the usual days are shown instead."""

    days = forms.TypedChoiceField(
        coerce=int, empty_value=None, required=False, choices=[(count, count) for count in PERIODS]
    )
    since = forms.DateField(label=gettext_lazy("From"), required=False, input_formats=["%Y-%m-%d"])
    until = forms.DateField(label=gettext_lazy("To"), required=False, input_formats=["%Y-%m-%d"])
    location = forms.TypedChoiceField(
        label=gettext_lazy("Location"), coerce=int, empty_value=None, required=False
    )

    def __init__(self, parameters: Any, locations: Mapping[int, Location]) -> None:
        super().__init__(parameters, auto_id="altegio-%s")
        self.locations = locations
        titles = [("", _("All locations"))] + [(row.pk, row.title) for row in locations.values()]
        self.fields["location"].choices = titles  # type: ignore[attr-defined]
        self.fields["location"].error_messages["invalid_choice"] = _("That is none of your locations.")
        self.fields["days"].error_messages["invalid_choice"] = _("Choose 7, 30 or 90 days, or dates.")
        for name in ("since", "until"):
            message = _("%(field)s: that is no date. Write it as year-month-day, such as 2026-01-31.")
            self.fields[name].error_messages["invalid"] = message % {"field": self.fields[name].label}

    def clean(self) -> dict[str, Any]:
        chosen = super().clean() or self.cleaned_data
        since, until = chosen.get("since"), chosen.get("until")
        if self.errors or not (since or until):
            return chosen
        if since is None:
            raise forms.ValidationError(_("Choose the first day as well."))
        last = statistics.latest_today(self.shown_locations(chosen.get("location")))
        chosen["until"] = until = until or last
        if since > until:
            raise forms.ValidationError(_("The first day is after the last one."))
        if until > last:
            raise forms.ValidationError(_("The last day has not come yet."))
        if since < EARLIEST:
            raise forms.ValidationError(_("Choose days after the year 1999."))
        if (until - since).days >= MOST_DAYS:
            raise forms.ValidationError(_("Choose %(most)s days at the most.") % {"most": MOST_DAYS})
        return chosen

    def shown_locations(self, location_id: int | None) -> list[Location]:
        """The one that was chosen, or all."""
        found = self.locations.get(location_id or 0)
        return [found] if found else list(self.locations.values())

    def chosen(self) -> tuple[Period, int | None, int | None]:
        """The period, its days where it is one of the usual ones, and the location, if one was chosen."""
        choice = self.cleaned_data if self.is_valid() else {}
        location_id = self.cleaned_data.get("location")
        locations = self.shown_locations(location_id)
        if choice.get("since"):
            return Period(choice["since"], choice["until"], locations), None, location_id
        days = choice.get("days") or USUAL_DAYS
        return Period.of_days(days, locations), days, location_id

    @property
    def problems(self) -> list[str]:
        return [str(message) for messages in self.errors.values() for message in messages]


#: What the books found that no operation bears.
UNKNOWN = Count("books_items", filter=Q(books_items__closed_at=None, books_items__operation=None))


class OverviewPage(Page):
    """What one person sees; each figure is asked for once, when it is needed."""

    own_name = "loyaltyoperation_overview"

    def __init__(self, admin: Any, request: HttpRequest) -> None:
        super().__init__(admin, request)
        # With the block by Altegio's limit, so that it costs no query of its own.
        names = ("blocked_at", "blocked_until")
        block = {name: Subquery(services.find_blocks().values(name)) for name in names}
        rows = locations_of(request, **block, **watch.facts(), unknown_count=UNKNOWN)
        self.locations: dict[int, Any] = {row.pk: row for row in rows}
        # Narrowed by the locations that the person sees, so that who may see what is asked once.
        self.seen = Q(location__in=visible_to(request.user, Location.objects.order_by()))
        self.form = self.make_form()
        self.period, self.days, self.location_id = self.form.chosen()

    def make_form(self) -> PeriodForm:
        return PeriodForm(self.request.GET, self.locations)

    def lift(self) -> HttpResponse:
        """Send again although Altegio asked to wait, for whoever may decide what is in doubt."""
        block = services.find_blocks().first()
        if services.lift_block(by=self.request.user) and block is not None:
            self.admin.log_change(self.request, block, _("Lifted the block by Altegio's limit."))
            text = _("Requests to Altegio go again. What waits goes on at its own time.")
            messages.success(self.request, text)
        else:
            messages.info(self.request, _("Nothing is held back any more."))
        return HttpResponseRedirect(self.address("loyaltyoperation_overview"))

    def table(self, name: str) -> HttpResponseBase:
        if name not in tables.CSV:
            raise Http404
        return self.file(name, lambda: tables.CSV[name](self.shown))

    def file(self, name: str, table: Callable[[], tables.Table]) -> HttpResponseBase:
        if self.form.problems:
            # A file says nothing about the days it holds, so it is never of other days than those asked for.
            text = "\n".join(self.form.problems)
            return HttpResponse(text, status=400, content_type="text/plain; charset=utf-8")
        header, *rows = table()
        name = f"loyalty-{name}-{self.period.first}-{self.period.last}"
        known = {"row_count": len(rows), "currency_at": len(header) - 1}
        return table_response(self.request, name, header, [rows], **known)

    @property
    def chosen_days(self) -> dict[str, Any]:
        if self.days:
            return {"days": self.days}
        return {"since": self.period.first.isoformat(), "until": self.period.last.isoformat()}

    def with_choice(self, **changes: Any) -> str:
        """The address of this page with another choice."""
        days = {} if "days" in changes else self.chosen_days
        return self.address(self.own_name, **{**days, "location": self.location_id, **changes})

    @property
    def narrowed(self) -> Q:
        return self.seen & Q(location=self.location_id) if self.location_id else self.seen

    @cached_property
    def shown(self) -> tables.Shown:
        return tables.Shown(self.narrowed, self.period, self.locations)

    def calls(self) -> list[dict[str, Any]]:
        """What needs a person now, in all of the person's locations, the most urgent first."""
        rows = self.locations.values()
        paused = sum(row.is_active and row.is_paused for row in rows)
        needing = LoyaltyOperation.objects.filter(self.seen).queue()["needing"]
        unexplained = sum(row.unknown_count for row in rows)
        waits = _("Locations whose tokens do not work; their operations wait until they do.")
        stuck = _("In doubt, given up or at odds with the visit, and nothing settles it by itself.")
        at_odds = _("The log does not explain them.")
        found = (
            (paused, Look(_("paused"), "‖", "bad"), waits, "inbox"),
            (needing, Look(_("for a person"), "!", "bad"), stuck, "inbox"),
            (unexplained, Look(_("at odds by the books"), "!", "bad"), at_odds, "books"),
        )
        return [
            {"count": count, "look": look, "text": text, "url": self.address(f"loyaltyoperation_{page}")}
            for count, look, text, page in found
            if count
        ]

    def choice(self) -> dict[str, Any]:
        """What the choice of days and location shows, and whose days they are."""
        zones = list(by_zone(self.period.locations))
        ends = dict.fromkeys((self.period.first, self.period.last))
        return {
            "form": self.form,
            "period": self.period,
            "periods": [(count, self.with_choice(days=count), count == self.days) for count in PERIODS],
            "period_in_words": " – ".join(date_format(day, "DATE_FORMAT") for day in ends),
            "chosen_days": self.chosen_days,
            "today": statistics.latest_today(self.period.locations),
            "location": self.locations.get(self.location_id or 0),
            "all_locations_url": self.with_choice(location=None),
            "zone": name_of(zones[0] or timezone.get_current_timezone()) if len(zones) == 1 else "",
        }

    def show(self) -> HttpResponse:
        shown, choice, zones = self.shown, self.choice(), list(by_zone(self.period.locations))
        query = {**self.chosen_days, "location": self.location_id}
        known = next((vars(location) for location in self.locations.values()), None)
        context = {
            "title": _("Overview"),
            **choice,
            "notices": watch.notices(zones[0] if len(zones) == 1 else None, known),
            "calls": self.calls(),
            "held": next((row for row in self.locations.values() if row.blocked_until), None),
            "may_lift": self.request.user.has_perm(RESOLVE),
            "shown": shown,
            "sums": list(shown.sums(choice["period_in_words"], lambda pk: self.with_choice(location=pk))),
            "outcomes": list(shown.outcome_rows(self._log_of_status)),
            "outcome_count": tables.grouped(shown.outcomes.by_status.total()),
            "outcomes_in_all": shown.outcomes.by_status.total(),
            "times": list(shown.time_rows()),
            "csv": {name: self.address("loyaltyoperation_figure", name, **query) for name in tables.CSV},
            "reports_url": self.address("loyaltyoperation_reports", **query),
        }
        return self.render("overview.html", context)

    def _log_of_status(self, status: str) -> str:
        """The log with the same operations; nothing where it has no filter for these days, or for this state."""
        if self.days not in DAYS_OF_LOG or status not in Status.values:
            return ""
        query = {"status__exact": status, "asked": self.days, "location": self.location_id}
        return self.address("loyaltyoperation_changelist", **query)


class BooksPage(Page):
    """The books below the overview: each location's days, and what is at odds, both sides side by side."""

    def show(self) -> HttpResponse:
        """The days, newest first, below what is at odds in any of them."""
        days = visible_to(self.request.user, BooksOfDay.objects.order_by("-day", "location"))
        items = visible_to(self.request.user, BooksItem.objects.filter(closed_at=None).order_by("-pk"))
        context = {
            "title": _("Books"),
            "days": days.select_related("location").prefetch_related("items")[:MOST_ROWS],
            "items": items.select_related("location", "books", "operation")[:MOST_ROWS],
            "item_count": items.count(),
        }
        return self.render("overview/books.html", context)

    def close(self, pk: int) -> HttpResponse:
        """Close an item, with a reason, for whoever may decide what is in doubt."""
        items, given = visible_to(self.request.user, BooksItem.objects.filter(pk=pk)), self.request.POST
        get_object_or_404(items)
        try:
            # As the person saw it: what has changed since, nobody agreed to.
            item = items.get(by_log=given.get("by_log", ""), by_altegio=given.get("by_altegio", ""))
            services.close_books_item(item, reason=given.get("reason", ""), by=self.request.user)
            messages.success(self.request, _("Closed: %(item)s.") % {"item": item})
        except ValidationError as error:
            messages.error(self.request, " ".join(error.messages))
        except (BooksItem.DoesNotExist, OperationNotAllowed):
            text = _("There is nothing to close, or it changed meanwhile; look at it again.")
            messages.error(self.request, text)
        return HttpResponseRedirect(self.address("loyaltyoperation_books"))
