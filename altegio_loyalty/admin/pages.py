"""What every page of the screens asks for: addresses, rendering, an answer for its script or for a browser without it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, TypeVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import BadRequest, PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db import connections, models, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, URLPattern, path, reverse
from django.utils.functional import cached_property
from django.utils.http import urlencode
from django.views.decorators.http import require_GET, require_POST

from altegio_loyalty.access import is_bound
from altegio_loyalty.client.types import LARGEST_ID
from altegio_loyalty.exceptions import TransactionOpen
from altegio_loyalty.texts import gettext as _, gettext_lazy

View = TypeVar("View", bound=Callable[..., Any])

FOLDER = "admin/altegio_loyalty"

#: Why nothing is asked of Altegio there.
TRANSACTION = gettext_lazy(
    "Nothing was sent: this site keeps a database transaction open around the page, as a middleware such as "
    "django-reversion's does. Whoever runs the site must exempt the addresses of this app from it."
)


def outside_transactions(view: View) -> View:
    """Keeps ATOMIC_REQUESTS away from a view that calls Altegio or decides about operations.

    Each of those commits on its own: a transaction around the whole page would hold locks over a network call, and
    could take back the record of something that has happened.
    """
    for alias in connections:
        view = transaction.non_atomic_requests(using=alias)(view)
    return view


#: The decorators of a view that calls Altegio or decides: never by following a link, and each step commits on its own.
ACTS = (require_POST, outside_transactions)
READS = (require_GET,)


class Page:
    """One request to a page below a model's admin, of a person who may see that model's rows."""

    def __init__(self, admin: Screens, request: HttpRequest) -> None:
        self.admin, self.request, self.address = admin, request, admin.address
        request.current_app = admin.admin_site.name  # where the addresses in templates lead

    def may(self, codename: str) -> bool:
        """Whether the person has this permission of the app. Each kind of operation has one of its name."""
        return bool(self.request.user.has_perm(f"altegio_loyalty.{codename}"))

    def render(self, template: str, context: dict[str, Any]) -> HttpResponse:
        """The page, with what the site's own templates need around it."""
        shared = {**self.admin.admin_site.each_context(self.request), "opts": self.admin.opts}
        return TemplateResponse(self.request, f"{FOLDER}/{template}", {**shared, **context})

    def tell_transaction(self) -> HttpResponse:
        """What stands against a call, where a middleware of the site keeps its transaction open around all pages."""
        if self.wants_json:
            return JsonResponse({"error": str(TRANSACTION), "stop": True})
        messages.error(self.request, str(TRANSACTION))
        return HttpResponseRedirect(self.address(f"{self.admin.opts.model_name}_changelist"))

    @property
    def sees_visits(self) -> bool:
        return self.may("view_visit") or self.may("change_visit")

    @property
    def wants_json(self) -> bool:
        """Whether the page's script asks, and not a form without it."""
        return "application/json" in self.request.headers.get("Accept", "")

    def answer(self, state: Callable[[], dict[str, Any]], url: str) -> HttpResponse:
        """What its script goes on with, or for a browser without it the way on."""
        return JsonResponse(state()) if self.wants_json else HttpResponseRedirect(url)


def column(heading: Any, read: Callable[[Any], Any], **more: Any) -> Callable[[Any, Any], Any]:
    """A column of a list, or a line of a page, that shows what `read` makes of a row; `more` as in `admin.display`."""
    shown: Callable[..., Any] = admin.display(description=heading, **more)(lambda _admin, row: read(row))
    return shown


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts no further than `most_rows`, since a count of a million rows costs more than the page itself."""

    most_rows = 10_000

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by()[: self.most_rows].count())


#: A view gets the page, where Django's own views get a request.
Responder = Callable[..., HttpResponseBase]
Decorators = Iterable[Callable[[Any], Any]]
#: Pages below a model's admin: class, route, the end of the name, view and decorators of each.
Pages = Iterable[tuple[type[Page], str, str, Responder, Decorators]]


class IdField(forms.IntegerField):
    """Digits alone, in a text field: "4.000" would be 4 to Django, and a mouse wheel turns a field for numbers."""

    widget = forms.TextInput({"inputmode": "numeric", "class": "vIntegerField"})

    def to_python(self, value: Any) -> int | None:
        if value and as_id(str(value)) is None:
            raise ValidationError(self.error_messages["invalid"], code="invalid")
        return super().to_python(value)


class Screens(admin.ModelAdmin):  # type: ignore[type-arg]
    """The admin of a model with pages of its own, and with actions that call Altegio or decide."""

    formfield_overrides = {models.PositiveBigIntegerField: {"form_class": IdField}}

    class Media:
        css = {"all": ["altegio_loyalty/altegio_loyalty.css"]}

    def address(self, name: str, *args: Any, **query: Any) -> str:
        """The address of a page of the app on this site; empty where it has no such page, so that its text stands alone.

        Of the query, what is None is left out, and a list stands there once for each value.
        """
        try:
            url = reverse(f"{self.admin_site.name}:altegio_loyalty_{name}", args=args)
        except NoReverseMatch:
            return ""
        given = {key: value for key, value in query.items() if value is not None}
        return f"{url}?{urlencode(given, doseq=True)}" if given else url

    def own_pages(self) -> Pages:
        return ()

    def has_add_permission(self, request: HttpRequest) -> bool:
        # Whoever is bound to locations would learn which numbers are taken, or could claim another one's visit for theirs.
        return super().has_add_permission(request) and not is_bound(request.user)

    def may_act(self, request: HttpRequest, action: str) -> bool:
        return True

    def get_urls(self) -> list[URLPattern]:
        return [*(self._pattern(*row) for row in self.own_pages()), *super().get_urls()]

    def _pattern(
        self, page_class: type[Page], route: str, name: str, view: Responder, decorators: Decorators
    ) -> URLPattern:
        @wraps(view)
        def respond(request: HttpRequest, **arguments: Any) -> HttpResponseBase:
            if not self.has_view_permission(request):
                raise PermissionDenied
            page = page_class(self, request)
            try:
                return view(page, **arguments)
            except TransactionOpen:
                return page.tell_transaction()

        decorated: Callable[..., Any] = respond
        for decorator in decorators:
            decorated = decorator(decorated)
        site = self.admin_site
        asked: Responder = site.admin_view(decorated)

        @wraps(asked)
        def sign_in_first(request: HttpRequest, **arguments: Any) -> HttpResponseBase:
            if request.method != "POST" or request.user.is_authenticated:
                return asked(request, **arguments)
            text = _("You were signed out, so nothing was done. Sign in, then click once more.")
            messages.warning(request, text)
            # Not from the login to an address that takes nothing but a form.
            is_page = require_POST not in decorators
            there = request.get_full_path() if is_page else self.address(f"{self.opts.model_name}_changelist")
            return redirect_to_login(there, reverse("admin:login", current_app=site.name))

        name = f"altegio_loyalty_{self.opts.model_name}_{name}"
        return path(route, sign_in_first, name=name)

    def get_actions(self, request: HttpRequest, action_location: Any = None) -> dict[str, Any]:
        # Only newer Djangos know several places of actions.
        place = {} if action_location is None else {"action_location": action_location}
        actions = super().get_actions(request, **place)
        return {name: action for name, action in actions.items() if self.may_act(request, name)}

    @outside_transactions
    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The list. Its actions commit on their own, so it never runs inside a transaction of the host site."""
        if any(as_id(value) is None for value in request.POST.getlist(ACTION_CHECKBOX_NAME)):
            raise BadRequest("A number that was chosen is not a number.")
        try:
            return super().changelist_view(request, extra_context)
        except TransactionOpen:
            return Page(self, request).tell_transaction()


def _by_nobody(admin: Any, request: HttpRequest, obj: Any = None) -> bool:
    return False


class Unchangeable:
    """For the admin of rows that nobody changes or deletes by hand."""

    has_change_permission = has_delete_permission = _by_nobody


class ReadOnly(Unchangeable):
    """For the admin of rows that nobody adds by hand either."""

    has_add_permission = _by_nobody


def as_id(text: str | None) -> int | None:
    """The number that a person or a form sent, where it can be an id at all."""
    text = (text or "").strip()
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST_ID))
    number = int(text) if is_number else 0
    return number if 0 < number <= LARGEST_ID else None
