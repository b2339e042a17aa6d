"""What every page of the screens asks for: addresses, rendering, an answer for its script or for a browser without it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from django.contrib import admin, messages
from django.contrib.admin import AdminSite, ModelAdmin
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, URLPattern, path, reverse
from django.utils.functional import cached_property
from django.utils.http import urlencode
from django.views.decorators.http import require_POST

from altegio_loyalty.client.types import LARGEST_ID
from altegio_loyalty.exceptions import TransactionOpen
from altegio_loyalty.texts import gettext as _

View = TypeVar("View", bound=Callable[..., Any])

FOLDER = "admin/altegio_loyalty"
#: The stylesheet of all screens, below the static files.
STYLESHEET = "altegio_loyalty/altegio_loyalty.css"


def address(site: AdminSite, name: str, *args: Any, **query: Any) -> str:
    """The address of a page of the app on this site; empty where the site has no such page, so that its text stands alone.

    Of the query, what is None is left out, and a list stands there once for each value.
    """
    try:
        url = reverse(f"{site.name}:altegio_loyalty_{name}", args=args)
    except NoReverseMatch:
        return ""
    given = {key: value for key, value in query.items() if value is not None}
    return f"{url}?{urlencode(given, doseq=True)}" if given else url


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


class Page:
    """One request to a page below a model's admin, of a person who may see that model's rows."""

    def __init__(self, admin: ModelAdmin[Any], request: HttpRequest) -> None:
        self.admin = admin
        self.request = request

    @classmethod
    def at(
        cls,
        admin: ModelAdmin[Any],
        route: str,
        name: str,
        view: Callable[..., HttpResponseBase],
        *decorators: Callable[[Any], Any],
    ) -> URLPattern:
        """The pattern for a page of this class. `view` gets the page, where Django's own views get a request."""

        @wraps(view)
        def respond(request: HttpRequest, **arguments: Any) -> HttpResponseBase:
            if not admin.has_view_permission(request):
                raise PermissionDenied
            page = cls(admin, request)
            try:
                return view(page, **arguments)
            except TransactionOpen:
                return page.tell_transaction()

        decorated: Callable[..., Any] = respond
        for decorator in decorators:
            decorated = decorator(decorated)
        return path(route, admin.admin_site.admin_view(decorated), name=f"altegio_loyalty_{name}")

    def address(self, name: str, *args: Any, **query: Any) -> str:
        """The address of a page of the app on this site, or empty; see `address`."""
        return address(self.admin.admin_site, name, *args, **query)

    def may(self, codename: str) -> bool:
        """Whether the person has this permission of the app. Each kind of operation has one of its name."""
        return bool(self.request.user.has_perm(f"altegio_loyalty.{codename}"))

    def render(self, template: str, context: dict[str, Any]) -> HttpResponse:
        """The page, with what the site's own templates need around it."""
        site = self.admin.admin_site
        self.request.current_app = site.name
        shared = {**site.each_context(self.request), "opts": self.admin.opts}
        return TemplateResponse(self.request, f"{FOLDER}/{template}", {**shared, **context})

    def tell_transaction(self) -> HttpResponse:
        """What stands against a call, where a middleware of the site keeps its transaction open around all pages."""
        text = _(
            "Nothing was sent: this site keeps a database transaction open around the page, as a middleware such as "
            "django-reversion's does. Whoever runs the site must exempt the addresses of this app from it."
        )
        if self.wants_json:
            return JsonResponse({"error": text, "stop": True})
        messages.error(self.request, text)
        return HttpResponseRedirect(self.address(f"{self.admin.opts.model_name}_changelist"))

    @property
    def sees_visits(self) -> bool:
        """Whether the person may go to the pages of visits."""
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


def at_place(action_location: Any) -> dict[str, Any]:
    """What Django's own `get_actions` takes: the place of the actions, of which only newer Djangos know several."""
    return {} if action_location is None else {"action_location": action_location}


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


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts no further than `most_rows`, since a count of a million rows costs more than the page itself."""

    most_rows = 10_000

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by()[: self.most_rows].count())
