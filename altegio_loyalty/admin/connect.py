"""Tokens go in and never come out; a login in Altegio gives them for the locations it may use, and of it nothing is kept."""

import time
import uuid
from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import F
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from altegio_loyalty import services
from altegio_loyalty.access import visible_to
from altegio_loyalty.admin.pages import Page, as_id
from altegio_loyalty.client.hidden import Hidden, hides_frames
from altegio_loyalty.exceptions import UndecryptableToken
from altegio_loyalty.fields import Secret
from altegio_loyalty.models import TOKENS, Location
from altegio_loyalty.redaction import clean
from altegio_loyalty.services.reading import within_a_page
from altegio_loyalty.texts import gettext as _, gettext_lazy
from altegio_loyalty.wording import reason

#: Where the session keeps what the login gave, its tokens encrypted, and for how many seconds they are taken from there.
KEPT = "altegio_loyalty_connect"
SECONDS_KEPT = 900
LONGEST_TOKEN = 1000


def hide_posted(request: HttpRequest, *names: str) -> None:
    """To be called before anything can fail: pages of errors and trackers print what was posted."""
    request.POST = posted = request.POST.copy()  # type: ignore[assignment]
    for name in set(names) & set(posted):
        posted[name] = Secret(str(posted[name]))  # type: ignore[assignment]


def why_unreadable(token: Secret) -> str:
    """Why this site cannot read the token, in the person's language; empty where it can."""
    try:
        token.reveal()
    except UndecryptableToken as error:
        return reason(str(error))
    return ""


class TokenField(forms.CharField):
    """Takes a new token and shows none, neither the stored one nor the one just typed."""

    def __init__(self, **kwargs: Any) -> None:
        attrs = {"autocomplete": "new-password", "spellcheck": "false", "class": "vTextField"}
        super().__init__(**{**kwargs, "widget": forms.PasswordInput(attrs), "max_length": LONGEST_TOKEN})

    def prepare_value(self, value: Any) -> str:
        return ""

    @hides_frames
    def clean(self, value: Any) -> Secret:
        return Secret(super().clean(Hidden.of(value or "").reveal()))

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(Hidden.of(data or "").reveal().strip())


class LoginField(TokenField):
    """Whose login it is is personal: shown again to whoever typed it, and else as hidden as a token."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.widget = forms.TextInput({"autocomplete": "off", "class": "vTextField", "autofocus": True})

    def prepare_value(self, value: Any) -> str:
        return Hidden.of(value or "").reveal()


class LoginForm(forms.Form):
    """The login and, unless that of another location is to be used, the partner token."""

    partner_token = TokenField(label=gettext_lazy("partner token"), required=False)
    login = LoginField(
        label=gettext_lazy("login in Altegio"),
        help_text=gettext_lazy("The phone or e-mail with which the location's owner signs in to Altegio."),
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
        typed: Secret = self.cleaned_data["partner_token"]
        return self.known.partner_token if self.known and not typed else typed


@within_a_page()
def log_in(page: Page) -> HttpResponse:
    """Ask for the login, and go on with what Altegio gives for it."""
    request = page.request
    hide_posted(request, "partner_token", "login", "password")
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
            kept = {"id": uuid.uuid4().hex, "tokens": stored, "titles": titles, "at": time.time()}
            request.session[KEPT] = kept
            if found.error:
                messages.warning(request, found.error)
            return HttpResponseRedirect(page.address("location_choose"))
        form.add_error(None, found.error)
    return page.render("location/connect.html", {"title": _("Connect with Altegio"), "form": form})


def choose(page: Page) -> HttpResponse:
    """Show the locations of the login; those that are ticked get its tokens, and each is tested."""
    request = page.request
    _check_may(page)
    kept = request.session.get(KEPT) or {"at": 0, "tokens": []}
    tokens = [Secret(stored=text, place=KEPT, origin=KEPT) for text in kept["tokens"]]
    if time.time() - kept["at"] > SECONDS_KEPT or any(map(why_unreadable, tokens)):
        request.session.pop(KEPT, None)
        messages.warning(request, _("The login is not kept for long. Enter it once more."))
        return HttpResponseRedirect(page.address("location_connect"))
    rows, typed = _rows(page, kept["titles"]), request.POST.get("number", "").strip()
    if request.method == "POST":
        problem = _problem(page, rows, typed, kept["id"])
        if not problem:
            _connect(page, rows, typed, tokens)
            del request.session[KEPT]
            return HttpResponseRedirect(page.address("location_changelist"))
        messages.error(request, problem)
    context = {"rows": rows, "number": typed, "login_id": kept["id"]}
    return page.render("location/choose.html", {"title": _("Locations of this login"), **context})


def _rows(page: Page, titles: Mapping[str, str]) -> list[dict[str, Any]]:
    """The locations of the login: whether each is here, may get the tokens, and is ticked."""
    there = Location.objects.in_bulk([int(number) for number in titles])
    ticked, is_sent = page.request.POST.getlist("location"), page.request.method == "POST"
    return [
        {
            "id": int(number),
            "title": title,
            "is_there": (is_there := int(number) in there),
            "is_fixed": (is_fixed := is_there and not page.may("change_location")),
            "is_ticked": not is_fixed and (number in ticked if is_sent else not is_there),
        }
        for number, title in titles.items()
    ]


def _problem(page: Page, rows: list[dict[str, Any]], typed: str, login_id: str) -> str:
    """Why nothing is connected, or empty."""
    if page.request.POST.get("login_id") != login_id:
        return _("Another login was used meanwhile, in another window. Choose among its locations.")
    number = as_id(typed)
    if typed and number is None:
        return _("“%(text)s” is no location's number.") % {"text": typed[:30]}
    if number and not page.may("change_location") and Location.objects.filter(pk=number).exists():
        text = _("Location %(number)s is here already, and you may not replace its tokens.")
        return text % {"number": number}
    is_any = number or any(row["is_ticked"] for row in rows)
    return "" if is_any else _("Tick a location, or type the number of one.")


def _check_may(page: Page) -> None:
    if not page.admin.has_add_permission(page.request):
        raise PermissionDenied


def _connect(page: Page, rows: list[dict[str, Any]], typed: str, tokens: list[Secret]) -> None:
    """Give the tokens to what was chosen, make the locations that are new, and say of each what works."""
    titles = {row["id"]: row["title"] for row in rows if row["is_ticked"]}
    if number := as_id(typed):
        titles.setdefault(number, str(number))
    for pk, title in titles.items():
        location = Location.objects.filter(pk=pk).first() or Location(pk=pk, title=title or str(pk))
        note = page.admin.log_addition if location._state.adding else page.admin.log_change
        for name, token in zip(TOKENS, tokens, strict=True):
            setattr(location, name, token)
        location.save()
        note(page.request, location, _("Connected with a login in Altegio."))
    made = visible_to(page.request.user, Location.objects.filter(pk__in=titles))
    page.admin.test_connections(page.request, made)  # type: ignore[attr-defined]
