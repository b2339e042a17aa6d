"""Who sees a location: people and groups are ticked on one page, which says who gains and loses what before it saves."""

import hashlib
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, router, transaction
from django.db.models import Model, Q
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404

from altegio_loyalty.access import ROLES, given_to, hold_access, is_bound, is_closed, make_groups
from altegio_loyalty.admin.pages import Page
from altegio_loyalty.models import Location, LocationAccess
from altegio_loyalty.texts import gettext as _

#: So many people, and so many groups, stand on the page at once; the search finds the others.
MOST = 100


def staff_in(columns: set[str]) -> Q:
    """Who may be staff, as far as these columns of the user model tell; all, where none does."""
    return Q(("pk__isnull", False), *((name, True) for name in ("is_active", "is_staff") if name in columns))


_PEOPLE: Any = get_user_model()
#: A host's own user model may know no groups, and by other names what stands in Django's.
_COLUMNS = {field.name for field in _PEOPLE._meta.concrete_fields}
_KNOW_GROUPS = any(field.name == "groups" for field in _PEOPLE._meta.many_to_many)
#: By the column of an access that holds them: all of them, and those that are offered, with the columns of their names.
_TABLES: dict[str, tuple[Any, Q, list[str]]] = {
    "user": (
        _PEOPLE._default_manager.prefetch_related(*["groups"] * _KNOW_GROUPS),
        staff_in(_COLUMNS),
        [_PEOPLE.USERNAME_FIELD, *(name for name in ("first_name", "last_name") if name in _COLUMNS)],
    ),
    **({"group": (Group.objects.all(), Q(), ["name"])} if _KNOW_GROUPS else {}),
}


class Change:
    """What somebody wants changed of who is given a location, and what becomes of people's sight by it."""

    def __init__(self, location: Location, actor: Any) -> None:
        self.location, self.actor = location, actor
        self.using = router.db_for_write(LocationAccess)
        self.given: set[Model] = set()
        self.taken: set[Model] = set()
        self.people: dict[str, list[Any]] = {}
        self._look(is_open=not is_closed())

    def _look(self, *, is_open: bool) -> None:
        rows = LocationAccess.objects.using(self.using).filter(location_id=self.location.pk)
        pairs: Any = rows.values_list("user_id", "group_id")
        self.is_open = is_open
        self.before = {("user", user) if group is None else ("group", group) for user, group in pairs}

    def read(self, posted: Any) -> None:
        """What was ticked or unticked since the form was shown. Raises ValidationError where one is not there any more."""
        for kind, (rows, _offered, _names) in _TABLES.items():
            field = forms.ModelMultipleChoiceField(rows.all(), required=False)
            ticked, before = (set(field.clean(posted.getlist(name))) for name in (kind, f"{kind}-before"))
            self.given |= ticked - before
            self.taken |= before - ticked

    def save(self, seen: str | None) -> bool:
        """Save it where what comes of it is what was `seen`, its mark; else foresee it only. Returns whether it did.

        Raises IntegrityError where somebody deletes a person or a group at the same moment.
        """
        with transaction.atomic(using=self.using):
            self._look(is_open=hold_access() if seen else not is_closed())
            self._foresee()
            if not seen or seen != self.mark:
                transaction.set_rollback(True, using=self.using)
                return False
            rows = LocationAccess.objects.using(self.using)
            for kind, key in map(_key, self.given):
                rows.create(location_id=self.location.pk, **{f"{kind}_id": key})
            for kind, key in map(_key, self.taken):
                rows.filter(location_id=self.location.pk, **{f"{kind}_id": key}).delete()
        return True

    @property
    def mark(self) -> str:
        """Another one as soon as anything else comes of it; empty where nothing is to be changed."""
        rows = [sorted(str(_key(row)) for row in changed) for changed in (self.given, self.taken)]
        people = sorted((effect, [person.pk for person in found]) for effect, found in self.people.items())
        told = repr([self.is_open, rows, people])
        return hashlib.sha256(told.encode()).hexdigest() if any(rows) else ""

    @property
    def effect_on_oneself(self) -> str:
        return next((effect for effect, found in self.people.items() if self.actor in found), "")

    @property
    def sentence(self) -> str:
        texts = (_("Given to: %(names)s."), self.given), (_("No longer given to: %(names)s."), self.taken)
        named = ((text, ", ".join(sorted(map(str, rows)))) for text, rows in texts if rows)
        return " ".join(text % {"names": names} for text, names in named)

    def _foresee(self) -> None:
        self.given = {row for row in self.given if _key(row) not in self.before}
        self.taken = {row for row in self.taken if _key(row) in self.before}
        if not self.mark:
            return
        after = (self.before - set(map(_key, self.taken))) | set(map(_key, self.given))
        changed = self.given | self.taken
        people, staff, _names = _TABLES["user"]
        affected = Q(pk__in=[row.pk for row in changed if not isinstance(row, Group)])
        if _KNOW_GROUPS:
            affected |= Q(groups__in=[row for row in changed if isinstance(row, Group)])
        found = people.filter(Q(affected, staff, _connector=Q.OR) if self.is_open else affected)
        for person in {person.pk: person for person in found.order_by("pk")}.values():
            if effect := self._effect(person, after):
                self.people.setdefault(effect, []).append(person)

    def _effect(self, person: Any, after: set[tuple[str, Any]]) -> str:
        """What it does to the person: they see "none", lose it, gain it, or see it "alone"; or empty."""
        had, has = (bool(_keys_of(person) & holders) for holders in (self.before, after))
        is_same = had == has and not self.is_open
        if is_same or not _can_enter(person) or person.has_perm("altegio_loyalty.all_locations"):
            return ""
        if has:
            return "alone" if self.is_open else "gains"
        elsewhere = given_to(person).using(self.using).exclude(location_id=self.location.pk)
        # Whoever is bound does not learn of other locations.
        is_hidden = person != self.actor and is_bound(self.actor)
        return "loses" if is_hidden or elsewhere.exists() else "none"

    def rows_of(self, kind: str, query: str) -> list[dict[str, Any]]:
        """What the page shows of the table: what was ticked, those whom the location is given to, the others."""
        table, offered, names = _TABLES[kind]
        sought = Q(*((f"{name}__icontains", query) for name in names), _connector=Q.OR)
        wanted = [row.pk for row in self.given | self.taken if _key(row)[0] == kind]
        held = [key for holder, key in self.before if holder == kind]
        rows: dict[Any, Any] = {}
        for part in (Q(pk__in=wanted), Q(pk__in=held) & sought, offered & sought):
            rows |= {row.pk: row for row in table.filter(part).order_by(names[0])[: MOST + 1]}
        return [self._row(row) for row in rows.values()][: MOST + 1]

    def _row(self, row: Any) -> dict[str, Any]:
        is_held = _key(row) in self.before
        is_ticked = row in self.given or (is_held and row not in self.taken)
        shown = {"key": str(row.pk), "row": row, "is_held": is_held, "is_ticked": is_ticked}
        if isinstance(row, Group):
            return shown
        groups = list(row.groups.all()) if _KNOW_GROUPS else []
        return {
            **shown,
            "groups": groups,
            "through": [group for group in groups if _key(group) in self.before],
            "can_enter": _can_enter(row),
            "sees_all": row.has_perm("altegio_loyalty.all_locations"),
        }


def _can_enter(person: Any) -> bool:
    is_staff = person.is_active and getattr(person, "is_staff", True)
    return bool(is_staff and person.has_module_perms("altegio_loyalty"))


def _key(row: Any) -> tuple[str, Any]:
    """The column of an access that holds it, and its key."""
    return "group" if isinstance(row, Group) else "user", row.pk


def _keys_of(person: Any) -> set[tuple[str, Any]]:
    return {_key(person), *map(_key, person.groups.all() if _KNOW_GROUPS else ())}


def show_access(page: Page, location_id: int) -> HttpResponse:
    """The page. What was ticked is saved once it was told what becomes of it, and still would."""
    request = page.request
    location = get_object_or_404(page.admin.get_queryset(request), pk=location_id)
    if not any(page.may(f"{verb}_locationaccess") for verb in ("view", "add", "change", "delete")):
        raise PermissionDenied
    may_change = page.admin.has_change_permission(request, location)
    may = {
        "give": may_change and page.may("add_locationaccess"),
        "take": may_change and page.may("delete_locationaccess"),
        "make_groups": may_change and request.user.has_perm("auth.add_group"),
    }
    change = Change(location, request.user)
    if request.method == "POST" and (answer := _act(page, change, may)):
        return answer
    query = request.POST.get("q", request.GET.get("q", "")).strip()
    may["make_groups"] &= Group.objects.filter(name__in=ROLES).count() < len(ROLES)
    tables = {kind: change.rows_of(kind, query) for kind in _TABLES}
    title = _("Who sees “%(location)s”") % {"location": location}
    context = {"title": title, "location": location, "change": change, "query": query, "most": MOST}
    return page.render("location/access.html", {**context, "tables": tables, "may": may})


def _act(page: Page, change: Change, may: dict[str, bool]) -> HttpResponse | None:
    """Do what was posted; None where it is to be shown first."""
    request, posted = page.request, page.request.POST
    here = HttpResponseRedirect(page.address("location_access", change.location.pk))
    is_about_groups = "make-groups" in posted
    if not (may["make_groups"] if is_about_groups else may["give"] or may["take"]):
        raise PermissionDenied
    if is_about_groups:
        for group in (group for group, is_new, _lacking in make_groups() if is_new):
            page.admin.log_addition(request, group, _("Made on the page of a location."))
            messages.success(request, _("The group “%(group)s” was made.") % {"group": group})
        return here
    try:
        change.read(posted)
        if (change.given and not may["give"]) or (change.taken and not may["take"]):
            raise PermissionDenied
        if not change.save(posted.get("seen")):
            return None
    except (ValidationError, IntegrityError):
        text = _("Nothing was saved: a person or a group is not there any more. Look again.")
        messages.error(request, text)
        return here
    page.admin.log_change(request, change.location, change.sentence)
    messages.success(request, change.sentence)
    is_gone = change.effect_on_oneself in ("none", "loses")
    return HttpResponseRedirect(page.address("location_changelist")) if is_gone else here
