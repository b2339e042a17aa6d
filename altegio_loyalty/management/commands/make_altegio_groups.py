from typing import Any

from django.contrib.auth.models import Group, Permission
from django.core.management.base import BaseCommand, CommandParser

from altegio_loyalty import kinds

_SEES = ("view_visit", "view_loyaltyoperation", "view_operationattempt")
#: Each kind of operation has a permission of its own name.
_ACTS = tuple(kinds.TABLE)
_DECIDES = ("resolve_operation", "view_location", "change_location")
GROUPS = {"Reception": _SEES + _ACTS, "Manager": _SEES + _ACTS + _DECIDES}


class Command(BaseCommand):
    help = "Make the groups Reception and Manager. A group that is there stays as it is, unless --complete."

    def add_arguments(self, parser: CommandParser) -> None:
        text = "give groups that are there already what they lack"
        parser.add_argument("--complete", action="store_true", help=text)

    def handle(self, *args: Any, complete: bool, verbosity: int, **options: Any) -> None:
        ours = Permission.objects.filter(content_type__app_label="altegio_loyalty")
        for name, codenames in GROUPS.items():
            group, is_new = Group.objects.get_or_create(name=name)
            lacking = ours.filter(codename__in=codenames).exclude(group=group)
            names = ", ".join(permission.codename for permission in lacking)
            if not lacking:
                said = "is there, with all it needs."
            elif is_new or complete:
                said = f"{'made' if is_new else 'completed'}: {names}."
                group.permissions.add(*lacking)
            else:
                said = f"is there and stays as it is, without {names}. Give it these with --complete."
            if verbosity:
                self.stdout.write(f"{name} {said}")
        if verbosity:
            self.stdout.write(
                "People also need the staff status and, where access is by location, their locations."
            )
