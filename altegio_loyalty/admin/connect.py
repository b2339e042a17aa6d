"""Connecting: a person's login in Altegio, asked for once, and the locations it may use. Of the login nothing is kept."""

import time
from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.db.models import F
from django.http import HttpResponse, HttpResponseRedirect
from django.urls import URLPattern

from altegio_loyalty import services
from altegio_loyalty.access import visible_to
from altegio_loyalty.admin.pages import Page, as_id, outside_transactions
from altegio_loyalty.admin.tokens import TokenField, hide_posted, why_unreadable
from altegio_loyalty.fields import Secret
from altegio_loyalty.models import TOKENS, Location
from altegio_loyalty.redaction import clean
from altegio_loyalty.texts import gettext as _
from altegio_loyalty.texts import gettext_lazy

#: Where the session keeps what the login gave, its tokens encrypted, and for how many seconds they are taken from there.
KEPT = "altegio_loyalty_connect"
SECONDS_KEPT = 900


class LoginForm(forms.Form):
    """The login and, unless that of another location is to be used, the partner token."""

    partner_token = TokenField(label=gettext_lazy("partner token"), required=False)
    login = forms.CharField(
        label=gettext_lazy("login in Altegio"),
        help_text=gettext_lazy("The phone or e-mail with which the location's owner signs in to Altegio."),
        widget=forms.TextInput({"autocomplete": "off", "class": "vTextField", "autofocus": True}),
    )
    password = TokenField(
        label=gettext_lazy("password in Altegio"),
        help_text=gettext_lazy("It is sent to Altegio once, for a token, and not kept."),
        strip=False,
    )

    def __init__(self, *args: Any, known: Location | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.known, field = known, self.fields["partner_token"]
        told = _("Leave it empty to use that of “%(location)s”.") % {"location": known} if known else ""
        field.help_text, field.required = told, known is None

    @property
    def token(self) -> Secret:
        """The one typed, or else the known one."""
        typed: Secret = self.cleaned_data["partner_token"]
        return self.known.partner_token if self.known and not typed else typed


def connect_pages(admin: "ModelAdmin[Any]") -> list[URLPattern]:
    """The two pages: the login, and the choice of its locations."""
    pages = (("connect/", "location_connect", log_in), ("connect/choose/", "location_choose", choose))
    return [Page.at(admin, route, name, view, outside_transactions) for route, name, view in pages]


def log_in(page: Page) -> HttpResponse:
    """Ask for the login, and go on with what Altegio gives for it."""
    request = page.request
    hide_posted(request, "partner_token", "password")
    _check_may(page)
    tried = Location.objects.order_by(F("credentials_worked_at").desc(nulls_last=True))[:20]
    usable = (row for row in tried if row.partner_token and not why_unreadable(row.partner_token))
    form = LoginForm(request.POST or None, known=next(usable, None))
    if form.is_valid():
        token = form.token
        found = services.log_in(token, form.cleaned_data["login"], form.cleaned_data["password"])
        if found.user_token:
            titles = {str(each.id): clean(each.title, 200) for each in found.companies}
            stored = [each.going_to(KEPT).to_stored() for each in (token, found.user_token)]
            request.session[KEPT] = {"tokens": stored, "titles": titles, "at": time.time()}
            if found.error:
                messages.warning(request, found.error)
            return HttpResponseRedirect(page.address("location_choose"))
        form.add_error(None, found.error)
    return page.render("location/connect.html", {"title": _("Connect with Altegio"), "form": form})


def choose(page: Page) -> HttpResponse:
    """Show the locations of the login; those that are ticked get its tokens, and each is tested."""
    request = page.request
    _check_may(page)
    kept = request.session.get(KEPT)
    if not kept or time.time() - kept["at"] > SECONDS_KEPT:
        request.session.pop(KEPT, None)
        messages.warning(request, _("The login is not kept for long. Enter it once more."))
        return HttpResponseRedirect(page.address("location_connect"))
    there = Location.objects.in_bulk([int(number) for number in kept["titles"]])
    may_renew = page.may("change_location")
    titles = {int(key): title for key, title in kept["titles"].items() if may_renew or int(key) not in there}
    chosen = [int(number) for number in request.POST.getlist("location") if as_id(number) in titles]
    if (typed := as_id(request.POST.get("number"))) and (may_renew or not _is_there(typed)):
        chosen.append(typed)
    if chosen:
        _connect(page, chosen, kept["tokens"], titles)
        del request.session[KEPT]
        return HttpResponseRedirect(page.address("location_changelist"))
    if request.method == "POST":
        messages.error(request, _("Tick a location, or type the number of one."))
    rows = [{"id": key, "title": title, "is_there": key in there} for key, title in titles.items()]
    return page.render("location/choose.html", {"title": _("Locations of this login"), "rows": rows})


def _check_may(page: Page) -> None:
    if not page.admin.has_add_permission(page.request):
        raise PermissionDenied


def _is_there(number: int) -> bool:
    return Location.objects.filter(pk=number).exists()


def _connect(page: Page, chosen: list[int], stored: list[str], titles: Mapping[int, str]) -> None:
    """Give the tokens to these locations, make those that are new, and say of each what works."""
    for number in dict.fromkeys(chosen):
        location = Location.objects.filter(pk=number).first() or Location(pk=number)
        is_new, location.title = location._state.adding, location.title or titles.get(number) or str(number)
        for name, text in zip(TOKENS, stored, strict=True):
            setattr(location, name, Secret(stored=text, place=KEPT, origin=KEPT))
        location.save()
        note = page.admin.log_addition if is_new else page.admin.log_change
        note(page.request, location, _("Connected with a login in Altegio."))
    made = visible_to(page.request.user, Location.objects.filter(pk__in=chosen))
    page.admin.test_connections(page.request, made)  # type: ignore[attr-defined]
