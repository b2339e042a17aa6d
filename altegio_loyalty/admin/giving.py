"""Giving a location to the first person or group, which takes the sight of all from everybody else: named beforehand."""

from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.forms import BaseInlineFormSet
from django.utils.html import format_html

from altegio_loyalty.access import is_closed
from altegio_loyalty.texts import gettext as _

#: The box whose tick says that these people, by their keys, are to see no location any more.
CONFIRMED = "altegio-lose-sight"


class FirstAccess(BaseInlineFormSet):  # type: ignore[type-arg]
    """The people and groups of a location. The first of all is taken only once who loses sight was named."""

    def clean(self) -> None:
        super().clean()
        rows = [getattr(form, "cleaned_data", {}) for form in self.forms]
        given = [row.get("user") or row.get("group") for row in rows if row and not row.get("DELETE")]
        if any(self.errors) or not given or is_closed():
            return
        losing = [person for person in _who_can_enter() if _loses(person, given)]
        keys = ",".join(str(person.pk) for person in losing)
        if losing and self.data.get(CONFIRMED) != keys:
            text = _(
                "So far everybody sees all locations. From now on people see only those that they were given, "
                "and these will see none: %(people)s."
            ) % {"people": ", ".join(person.get_username() for person in losing)}
            agreed = _(
                "Yes, that is wanted. Then save again; a token that was typed has to be entered again."
            )
            box = '{}<br><label><input type="checkbox" name="{}" value="{}"> {}</label>'
            raise ValidationError(format_html(box, text, CONFIRMED, keys, agreed))


def _who_can_enter() -> list[Any]:
    people = get_user_model()._default_manager.order_by("pk").iterator()
    staff = (person for person in people if person.is_active and person.is_staff)
    return [person for person in staff if person.has_module_perms("altegio_loyalty")]


def _loses(person: Any, given: list[Any]) -> bool:
    if person in given or person.has_perm("altegio_loyalty.all_locations"):
        return False
    return not hasattr(person, "groups") or not set(given) & set(person.groups.all())
