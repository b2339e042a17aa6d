"""Locations in the admin: their tokens go in and never come out, a connection test says what works, lists are narrowed."""

import time
from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from altegio_loyalty import services
from altegio_loyalty.access import locations_seen_by, visible_to
from altegio_loyalty.admin import pages
from altegio_loyalty.admin.connect import TokenField, choose, hide_posted, log_in, why_unreadable
from altegio_loyalty.admin.giving import show_access
from altegio_loyalty.admin.looks import short_time
from altegio_loyalty.admin.pages import ACTS, Page, as_id, column, outside_transactions
from altegio_loyalty.fields import EncryptedTextField
from altegio_loyalty.models import TOKENS, Location
from altegio_loyalty.querysets import by_zone
from altegio_loyalty.reasons import Reason
from altegio_loyalty.services.reading import within_a_page
from altegio_loyalty.texts import gettext as _, gettext_lazy, ngettext
from altegio_loyalty.wording import reason, zone_note

#: How long a person waits for the tests of several locations; what is left then is said to be untested.
SECONDS_TO_TEST = 20.0


def locations_of(request: Any, **more: Any) -> list[Location]:
    """The locations that the person may see, by title, without their tokens; read once a request, with `more` columns."""
    if not hasattr(request, "_altegio_locations"):
        rows = Location.objects.only(
            "title", "is_active", "refused_at", "refused_reason", "visits_read_at", "time_zone", "currency"
        )
        request._altegio_locations = locations_seen_by(request.user, rows.annotate(**more))
    return request._altegio_locations  # type: ignore[no-any-return]


def chosen_location(request: HttpRequest) -> Location | None:
    """The location that a list is narrowed to, if the person may see it; the only one where there is only one."""
    locations = locations_of(request)
    number = as_id(request.GET.get(LocationFilter.parameter_name))
    if number is None:
        return locations[0] if len(locations) == 1 else None
    return next((location for location in locations if location.pk == number), None)


def locations_shown(request: HttpRequest) -> list[Location]:
    """Those whose rows a list shows."""
    return [chosen] if (chosen := chosen_location(request)) else locations_of(request)


def has_several_currencies(locations: Iterable[Location]) -> bool:
    """Whether amounts need their currency: among these more than one is known to be in use."""
    return len({location.currency for location in locations} - {""}) > 1


def currency_shown(request: HttpRequest, location: Location) -> str:
    """The location's currency, where the person's locations have several."""
    return location.currency if location.currency and has_several_currencies(locations_of(request)) else ""


def tell_apart(request: HttpRequest, rows: Iterable[Any]) -> None:
    """Note on the rows of a list what tells their money and clocks apart, where there are several of them."""
    is_spread = len(by_zone(locations_shown(request))) > 1
    known = {location.pk: location for location in locations_of(request)}
    for row in rows:
        row.location = known.get(row.location_id) or row.location
        row.currency_shown = currency_shown(request, row.location)
        row.zone_shown = zone_note(row.location) if is_spread else ""


class LocationFilter(admin.SimpleListFilter):
    """Narrows a list of what belongs to locations to one of those that the person may see, where there are several."""

    title = gettext_lazy("location")
    parameter_name = "location"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        locations = locations_of(request)
        is_of_use = len(locations) > 1 or self.used_parameters  # a filter that offers nothing narrows nothing
        return [(str(location.pk), location.title) for location in locations if is_of_use]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset
        if (location_id := as_id(self.value())) is None:
            raise IncorrectLookupParameters
        return queryset.filter(location_id=location_id)


class LocationForm(forms.ModelForm):  # type: ignore[type-arg]
    """A token left empty stays as it is, readable or not; its column sees to that."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kept = _("One is stored, and it is not shown. Leave this empty to keep it.")
        for name in set(TOKENS) & set(self.fields):
            token = getattr(self.instance, name)
            told = (why_unreadable(token) or kept) if token else _("None is stored yet.")
            self.fields[name].help_text = told


@admin.register(Location)
class LocationAdmin(pages.Screens):
    form = LocationForm
    list_display = ("title", "number", "is_active", "health")
    list_filter = ("is_active",)
    search_fields = ("title", "=id")
    search_help_text = gettext_lazy("Title or location number")
    actions = ("test_connections",)
    formfield_overrides = {
        **pages.Screens.formfield_overrides,
        EncryptedTextField: {"form_class": TokenField},
    }

    def get_queryset(self, request: HttpRequest) -> QuerySet[Location]:
        return visible_to(request.user, super().get_queryset(request))

    @admin.display(description=gettext_lazy("connection"))
    def health(self, location: Location) -> str:
        tokens = [getattr(location, name) for name in TOKENS]
        if not any(tokens):
            return _("no tokens")
        if not all(tokens):
            return _("one of the two tokens is missing")
        if any(why_unreadable(token) for token in tokens):
            return _("stored token cannot be read")
        at = location.refused_at or location.credentials_worked_at
        told = short_time(at, location.zone) + zone_note(location)
        figures = {"time": told, "reason": reason(location.refused_reason)}
        if not location.refused_at:
            return _("works, last %(time)s") % figures if location.credentials_worked_at else _("never tried")
        kept = Reason.read(location.refused_reason)
        # Without an answer a token was missing or unreadable; Altegio was not even asked.
        if kept and "http" not in kept.figures:
            return _("paused since %(time)s: %(reason)s") % figures
        return _("refused since %(time)s: %(reason)s") % figures

    #: An id has no marks of thousands.
    number = column(Location._meta.pk.verbose_name, lambda row: str(row.pk), ordering="pk")
    #: What a person sees who may not change the tokens.
    stored_tokens = column(
        gettext_lazy("tokens"),
        lambda row: _("stored, not shown") if row.partner_token and row.user_token else _("missing"),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Location | None = None) -> tuple[str, ...]:
        return ("number", "health", "stored_tokens") if obj else ()

    def get_fieldsets(self, request: HttpRequest, obj: Location | None = None) -> Any:
        facts = (None, {"fields": ("title", "number" if obj else "id", "is_active", "time_zone", "currency")})
        text = _("Tokens are kept encrypted. They can be replaced here, but never read.")
        tokens = {"fields": TOKENS, "description": text}
        if obj is None:
            return (facts, (_("Tokens"), tokens))
        if not self.has_change_permission(request, obj):
            tokens = {"fields": ("stored_tokens",)}
        return (facts, (_("Tokens"), tokens), (_("Connection"), {"fields": ("health",)}))

    def lookup_allowed(self, lookup: str, value: Any, request: Any = None) -> bool:
        return lookup.partition("__")[0] not in TOKENS and super().lookup_allowed(lookup, value, request)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        # Django would load every visit and operation of the location only to say that they are in the way.
        in_use = [location for location in objs if location.visits.exists() or location.operations.exists()]
        if not in_use:
            return super().get_deleted_objects(objs, request)
        text = _("visits and operations of %(location)s")
        return [], {}, set(), [text % {"location": location} for location in in_use]

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        hide_posted(request, *TOKENS)
        return super().changeform_view(request, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: Location, form: Any, change: bool) -> None:
        if not change:
            super().save_model(request, obj, form, change)
            return
        was_paused = obj.is_paused
        # Only what was changed here: whether the tokens work may be written at the same moment by a worker.
        obj.save(update_fields=form.changed_data)
        if was_paused and not obj.is_paused:
            text = _("“%(location)s” is resumed: its waiting operations go on.")
            messages.success(request, text % {"location": obj})
        elif was_paused and set(TOKENS) & set(form.changed_data):
            text = _("“%(location)s” stays paused: these tokens are the ones refused.")
            messages.warning(request, text % {"location": obj})

    def own_pages(self) -> pages.Pages:
        return (
            (Page, "<path:object_id>/test-connection/", "test_connection", self.test_connection_view, ACTS),
            (Page, "<int:location_id>/access/", "access", show_access, (outside_transactions,)),
            (Page, "connect/", "connect", log_in, (outside_transactions,)),
            (Page, "connect/choose/", "choose", choose, (outside_transactions,)),
        )

    @within_a_page()
    def test_connection_view(self, page: Page, object_id: str) -> HttpResponse:
        request = page.request
        location = self.get_object(request, unquote(object_id))
        if location is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[attr-defined,no-any-return]
        if not self.has_change_permission(request, location):
            raise PermissionDenied
        self._test(request, location)
        return HttpResponseRedirect(page.address("location_change", location.pk))

    @admin.action(description=gettext_lazy("Test connection"), permissions=["change"])
    @within_a_page()
    def test_connections(self, request: HttpRequest, queryset: QuerySet[Location]) -> None:
        began, untested_count = time.monotonic(), 0
        ticked = {as_id(value) or 0 for value in request.POST.getlist(ACTION_CHECKBOX_NAME)}
        if ticked and request.POST.get("select_across", "0") in ("", "0"):
            queryset = self.get_queryset(request).filter(pk__in=ticked)  # also what left the filtered list
            if queryset.count() < len(ticked):
                messages.warning(request, _("A location that was ticked is not here any more."))
        for location in queryset:
            if time.monotonic() - began < SECONDS_TO_TEST:
                self._test(request, location, prefix=f"{location}: ")
            else:
                untested_count += 1
        if untested_count:
            text = ngettext(
                "%(count)s location was not tested: Altegio is slow. Test it on its own.",
                "%(count)s locations were not tested: Altegio is slow. Test fewer at once.",
                untested_count,
            )
            messages.warning(request, text % {"count": untested_count})

    def _test(self, request: HttpRequest, location: Location, prefix: str = "") -> None:
        """One line for each check, and one more where the test ended a pause."""
        was_paused = location.is_paused
        report = services.test_connection(location)
        for check in report.checks:
            level, answer = _ANSWERS[check.is_good]
            detail = f" ({check.detail})" if check.is_good and check.detail else f" {check.detail}".rstrip()
            messages.add_message(request, level, f"{prefix}{check.title}: {answer}{detail}")
        if was_paused and not location.is_paused:
            text = _("The tokens work again: the location's waiting operations go on.")
            messages.success(request, f"{prefix}{text}")
            self.log_change(request, location, text)


#: The answer ends a clause where a detail follows that is a sentence of its own.
_ANSWERS = {
    True: (messages.SUCCESS, gettext_lazy("yes")),
    False: (messages.ERROR, gettext_lazy("no.")),
    None: (messages.WARNING, gettext_lazy("not known.")),
}
