from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from altegio_loyalty.access import make_groups


class Command(BaseCommand):
    help = "Make the groups Reception and Manager. A group that is there stays as it is, unless --complete."

    def add_arguments(self, parser: CommandParser) -> None:
        text = "give groups that are there already what they lack"
        parser.add_argument("--complete", action="store_true", help=text)

    def handle(self, *args: Any, complete: bool, verbosity: int, **options: Any) -> None:
        for group, is_new, lacking in make_groups(complete=complete):
            names = ", ".join(permission.codename for permission in lacking)
            if not lacking:
                said = "is there, with all it needs."
            elif is_new or complete:
                said = f"{'made' if is_new else 'completed'}: {names}."
            else:
                said = f"is there and stays as it is, without {names}. Give it these with --complete."
            if verbosity:
                self.stdout.write(f"{group.name} {said}")
        if verbosity:
            self.stdout.write(
                "People also need the staff status and, where access is by location, their locations."
            )
