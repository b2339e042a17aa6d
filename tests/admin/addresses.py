"""Every address that the app adds to an admin, who may come by, and two salons of which one must not see the other."""

from __future__ import annotations

import contextlib
import itertools
import re
import uuid
from collections.abc import Iterator
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import transaction
from django.test import Client
from django.urls import get_resolver

from altegio_loyalty.models import (
    BooksItem,
    BooksOfDay,
    Location,
    LocationAccess,
    LoyaltyOperation,
    OperationAttempt,
    Visit,
)
from altegio_loyalty.moments import today

BELOW = "admin/altegio_loyalty/"
KIND = "apply_card_withdrawal"
KINDS = tuple(kind.value for kind in LoyaltyOperation.Kind)


def _walk(resolver: Any, before: str = "") -> Iterator[str]:
    for pattern in resolver.url_patterns:
        route = before + str(pattern.pattern)
        if hasattr(pattern, "url_patterns"):
            yield from _walk(pattern, route)
        else:
            yield route


def routes() -> list[str]:
    """As the resolver of the site has them, without what is before the app's own part."""
    return [route.removeprefix(BELOW) for route in _walk(get_resolver()) if route.startswith(BELOW)]


# Two salons


class Salon:
    """A location with a visit and a batch of one operation in doubt, whose numbers and names stand nowhere else.

    With `is_there=False` its numbers and names belong to nothing.
    """

    def __init__(self, start: int, word: str, *, is_there: bool = True) -> None:
        numbers = itertools.count(start)
        salon, client, key, reason = (f"{what}{word}" for what in ("Salon", "Client", "Key", "Reason"))
        tokens = {"partner_token": f"Partner{word}", "user_token": f"User{word}"}
        self.location = Location(id=next(numbers), title=salon, **tokens)
        self.visit = Visit(
            id=next(numbers),
            location=self.location,
            record_id=next(numbers),
            client_id=next(numbers),
            client_name=client,
            client_phone=str(next(numbers)),
        )
        self.operation = LoyaltyOperation(
            id=next(numbers),
            kind=KIND,
            location=self.location,
            visit=self.visit,
            record_id=self.visit.record_id,
            card_id=next(numbers),
            program_id=next(numbers),
            amount=1,
            status="unconfirmed",
            idempotency_key=key,
            batch=uuid.UUID(int=next(numbers) << 64),
            last_error=reason,
        )
        attempt = OperationAttempt(operation=self.operation, purpose="send", outcome="unknown", error=reason)
        books = BooksOfDay(id=next(numbers), location=self.location, day=today())
        self.item = BooksItem(
            id=next(numbers),
            location=self.location,
            books=books,
            visit_id=self.visit.pk,
            card_id=self.operation.card_id,
            by_log=0,
            by_altegio=1,
        )
        if is_there:
            for row in (self.location, self.visit, self.operation, attempt, books, self.item):
                row.save(force_insert=True)
        #: What nobody may read who must not see it, in the same order for each salon.
        self.secrets = [str(self.operation.batch), *map(str, range(start, next(numbers)))]
        self.secrets += [salon, client, key, reason, *tokens.values()]


def url(route: str, salon: Salon, kind: str = KIND) -> str:
    """The route with the salon's own numbers."""
    model = route.partition("/")[0]
    rows = {"location": salon.location, "visit": salon.visit, "loyaltyoperation": salon.operation}
    values = {
        "object_id": rows[model].pk,
        "location_id": salon.location.pk,
        "visit_id": salon.visit.pk,
        "batch": salon.operation.batch,
        "kind": kind,
        "name": "locations",
        "pk": salon.item.pk,
    }
    return f"/{BELOW}" + re.sub(r"<\w+:(\w+)>", lambda found: str(values[found[1]]), route)


def fields(route: str, salon: Salon) -> dict[str, Any]:
    """All that any of the forms asks for, of this salon: what is too much is in nobody's way."""
    model, visit = route.partition("/")[0], salon.visit.pk
    actions = {"location": "test_connections", "visit": KIND, "loyaltyoperation": "retry"}
    rows = {"location": salon.location, "visit": salon.visit, "loyaltyoperation": salon.operation}
    return {
        "visit": visit,
        "q": visit,
        "operation": salon.operation.pk,
        "decision": "retry",
        "reason": "because",
        "location": salon.location.pk,
        "day": today().isoformat(),
        "token": uuid.UUID(int=7).hex,
        f"visit{visit}-include": "on",
        f"visit{visit}-choice": salon.operation.card_id,
        f"visit{visit}-amount": "1",
        "action": actions[model],
        "_selected_action": rows[model].pk,
        "id": 77_000_001,
        "record_id": 77_000_002,
        "title": "A new title",
        "is_active": "on",
        "post": "yes",
    }


def ask(browser: Client, method: str, route: str, salon: Salon, kind: str = KIND, **more: Any) -> Any:
    """GET the address as its own links do, or POST all that its forms hold."""
    where = url(route, salon, kind)
    if method == "POST":
        return browser.post(where, fields(route, salon), **more)
    query: dict[str, Any] = {"visit": salon.visit.pk, "read": 1} if "operate" in route else {}
    if route == "visit/<path:object_id>/change/":
        query = {"read": 1}  # as its script asks for what Altegio shows now
    return browser.get(where, query, **more)


# People

_OF_MODELS = {
    "location": ("add", "change", "delete", "view"),
    "locationaccess": ("add", "change", "delete", "view"),
    "visit": ("add", "change", "delete", "view"),
    "loyaltyoperation": ("view",),
    "operationattempt": ("view",),
}
_ALL = (
    *(f"{verb}_{model}" for model, verbs in _OF_MODELS.items() for verb in verbs),
    *KINDS,
    "resolve_operation",
    "view_client_phone",
)
EVERYWHERE = "all_locations"
MINE, THEIRS, NONE = "mine", "theirs", "none"

#: What they are called in the table: their permissions, and the salon that they are given.
PEOPLE: dict[str, tuple[tuple[str, ...], str]] = {
    "anonymous": ((), NONE),
    "no staff": ((*_ALL, EVERYWHERE), MINE),
    "inactive": ((*_ALL, EVERYWHERE), MINE),
    "nothing": ((), MINE),
    "view_visit": (("view_visit",), MINE),
    "…and withdraw": (("view_visit", KIND), MINE),
    "…and all kinds": (("view_visit", *KINDS), MINE),
    "add_visit": (("add_visit",), MINE),
    "change_visit": (("change_visit",), MINE),
    "view_operation": (("view_loyaltyoperation",), MINE),
    "…and resolve": (("view_loyaltyoperation", "resolve_operation"), MINE),
    "view_location": (("view_location",), MINE),
    "add_location": (("add_location",), MINE),
    "change_location": (("change_location",), MINE),
    "delete_location": (("delete_location",), MINE),
    "all but resolve": (tuple(name for name in _ALL if name != "resolve_operation"), MINE),
    "all": (_ALL, MINE),
    "all, elsewhere": (_ALL, THEIRS),
    "all, nowhere": (_ALL, NONE),
    "all_locations": ((*_ALL, EVERYWHERE), NONE),
    "superuser": ((), NONE),
}


class House:
    """Both salons and all people; each salon is given to somebody, so nobody sees one that they were not given."""

    def __init__(self) -> None:
        # Mine are the highest, so that whatever is made here gets none of the others' numbers.
        self.mine, self.theirs = Salon(9_530_001, "Amber"), Salon(8_310_001, "Violet")
        self.nowhere = Salon(9_420_001, "Nobody", is_there=False)
        self.people = {name: self.person(name, *given) for name, given in PEOPLE.items()}

    def person(self, name: str, permissions: tuple[str, ...], place: str) -> Any:
        """Somebody new; None for whoever did not sign in."""
        if name == "anonymous":
            return None
        someone = get_user_model().objects.create_user(
            name, is_staff=name != "no staff", is_superuser=name == "superuser"
        )
        found = Permission.objects.filter(content_type__app_label="altegio_loyalty", codename__in=permissions)
        assert {permission.codename for permission in found} == set(permissions)
        someone.user_permissions.set(found)
        salons = {MINE: self.mine, THEIRS: self.theirs}
        if place in salons:
            LocationAccess.objects.create(location=salons[place].location, user=someone)
        return someone

    def browser(self, name: str, **options: Any) -> Client:
        """A new one, in which the person is signed in."""
        client, someone = Client(**options), self.people[name]
        if someone is not None:
            client.force_login(someone)
        if name == "inactive":
            get_user_model().objects.filter(pk=someone.pk).update(is_active=False)
        return client


@contextlib.contextmanager
def undone() -> Iterator[None]:
    """What happens in here to the database is taken back at the end; the app takes it for a test's own transaction."""
    block: Any = transaction.atomic()
    block._from_testcase = True
    with block:
        yield
        transaction.set_rollback(True)
