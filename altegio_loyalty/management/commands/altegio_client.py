import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder

from altegio_loyalty.exceptions import OperationNotAllowed
from altegio_loyalty.management.ending import endings_noted
from altegio_loyalty.services.clients import anonymise, kept_of, visits_of

_AFTERWARDS = (
    "Altegio still knows the client: unless removed there, a visit that it shows for the first time from now on brings "
    "the name here again. Backups and log files of this site are as they were."
)


class Command(BaseCommand):
    help = (
        "Show all that is kept of one client, or make the client anonymous: no sum, count or state changes."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        who = parser.add_mutually_exclusive_group(required=True)
        who.add_argument("client", nargs="?", type=int, help="the client's ID in Altegio")
        who.add_argument("--visit", type=int, metavar="ID", help="whoever's visit this is")
        parser.add_argument("--location", type=int, metavar="ID", help="only visits of this location")
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument(
            "--export", action="store_true", help="print it as JSON, without who of the staff did it"
        )
        what.add_argument("--anonymise", action="store_true", help="for good: nothing brings it back")
        parser.add_argument("--dry-run", action="store_true", help="only count what would be made anonymous")
        parser.add_argument("--no-input", action="store_false", dest="asks", help="ask nothing before that")

    def handle(self, *args: Any, export: bool, dry_run: bool, asks: bool, **options: Any) -> None:
        visits = visits_of(options["client"], options["visit"], options["location"])
        if not visits.exists():
            raise CommandError("No visit of such a client is kept here.")
        if export:
            for number, row in enumerate(kept_of(visits)):
                text = json.dumps(row, cls=DjangoJSONEncoder, ensure_ascii=False, indent=1)
                self.stdout.write(f"{',' if number else '['}\n{text}", ending="")
            self.stdout.write("\n]")
            return
        done = 0, 0
        try:
            if asks and not dry_run:
                *_batches, counted = anonymise(visits, dry_run=True)
                _make_sure(*counted)
            with endings_noted() as asked:
                for done in anonymise(visits, dry_run=dry_run):  # noqa: B007 - told below
                    if asked.is_set():
                        break
        except OperationNotAllowed as error:
            raise CommandError(str(error)) from None
        said = "would be made anonymous" if dry_run else "are anonymous now"
        early = "Stopped early, call it again: " if asked.is_set() else ""
        self.stdout.write(f"{early}{done[0]} visits with {done[1]} operations {said}. {_AFTERWARDS}")


def _make_sure(visit_count: int, operation_count: int) -> None:
    """Raises `CommandError` unless whoever typed the command says yes."""
    asked = (
        f"{visit_count} visits with {operation_count} operations become anonymous, for good. Go on? [y/N] "
    )
    try:
        answer = input(asked)
    except EOFError:
        raise CommandError("Nobody is there to be asked. Say --no-input to go on without.") from None
    if answer.strip().lower() not in ("y", "yes"):
        raise CommandError("Nothing was changed.")
