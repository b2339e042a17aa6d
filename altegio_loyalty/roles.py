"""The two groups that a salon begins with: Reception, who act, and Manager, who also decide and keep the tokens."""

from django.contrib.auth.models import Group, Permission

from altegio_loyalty import kinds

_SEES = ("view_visit", "view_loyaltyoperation", "view_operationattempt")
#: Each kind of operation has a permission of its own name.
_ACTS = tuple(kinds.TABLE)
_DECIDES = ("resolve_operation", "view_location", "change_location")
ROLES = {"Reception": _SEES + _ACTS, "Manager": _SEES + _ACTS + _DECIDES}


def make_groups(*, complete: bool = False) -> list[tuple[Group, bool, list[Permission]]]:
    """Make those that are not there. One that is there stays as it is, or with `complete` is given what it lacks.

    Returns each, whether it is new, and what it lacked.
    """
    ours, made = Permission.objects.filter(content_type__app_label="altegio_loyalty"), []
    for name, codenames in ROLES.items():
        group, is_new = Group.objects.get_or_create(name=name)
        lacking = list(ours.filter(codename__in=codenames).exclude(group=group))
        if is_new or complete:
            group.permissions.add(*lacking)
        made.append((group, is_new, lacking))
    return made
