"""Giving a location to the first person or group, which takes the sight of all from everybody else: named beforehand."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.forms import BaseInlineFormSet
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from altegio_loyalty.access import is_closed, sees_everything

#: The box whose tick says that these people, by their keys, are to see no location any more.
CONFIRMED = "altegio-lose-sight"
#: So many of them are named.
MOST_NAMED = 100


class FirstAccess(BaseInlineFormSet):  # type: ignore[type-arg]
    """The people and groups of a location. The first of all is taken only once who loses sight was named."""

    def clean(self) -> None:
        super().clean()
        rows = [form.cleaned_data for form in self.forms if getattr(form, "cleaned_data", None)]
        given = [row for row in rows if not row.get("DELETE")]
        if any(self.errors) or not given or is_closed():
            return
        losing = _losing_sight(
            {row["user"].pk for row in given if row.get("user")},
            {row["group"].pk for row in given if row.get("group")},
        )
        keys = ",".join(losing)
        if losing and self.data.get(CONFIRMED) != keys:
            names = list(losing.values())
            people = ", ".join(names[:MOST_NAMED])
            if (more := len(names) - MOST_NAMED) > 0:
                people += " " + ngettext("and %(count)s more", "and %(count)s more", more) % {"count": more}
            text = _(
                "So far everybody sees all locations. From now on people see only those that they were given, "
                "and these will see none: %(people)s."
            )
            agreed = _("Yes, that is wanted. Then save again.")
            raise ValidationError(
                format_html(
                    '{}<br><label><input type="checkbox" name="{}" value="{}"> {}</label>',
                    text % {"people": people},
                    CONFIRMED,
                    keys,
                    agreed,
                )
            )


def _losing_sight(user_ids: set[Any], group_ids: set[Any]) -> dict[str, str]:
    """Key and login of those who can open the screens now and would see no location."""
    people = get_user_model()._default_manager.order_by("pk")
    columns = {field.name for field in people.model._meta.fields}
    people = people.filter(**{name: True for name in ("is_active", "is_staff") if name in columns})
    return {
        str(person.pk): person.get_username()
        for person in people.iterator()
        if person.pk not in user_ids and _would_lose(person, group_ids)
    }


def _would_lose(person: Any, group_ids: set[Any]) -> bool:
    can_enter = person.is_staff and person.has_module_perms("altegio_loyalty")
    if not can_enter or sees_everything(person):
        return False
    return not (hasattr(person, "groups") and person.groups.filter(pk__in=group_ids).exists())
