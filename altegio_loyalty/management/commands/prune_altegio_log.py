from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from altegio_loyalty import retention
from altegio_loyalty.conf import FEWEST_DAYS
from altegio_loyalty.management.ending import endings_noted


class Command(BaseCommand):
    help = "Delete what is settled and old from the log of loyalty operations. Its sums per day stay."

    def add_arguments(self, parser: CommandParser) -> None:
        text = f"Visits on which nothing happened for so many days, {FEWEST_DAYS} at the least."
        parser.add_argument("--older-than", type=int, required=True, metavar="DAYS", help=text)
        parser.add_argument("--dry-run", action="store_true", help="Only count what would be deleted.")

    def handle(self, *args: Any, older_than: int, dry_run: bool, **options: Any) -> None:
        count, said = 0, "would be deleted" if dry_run else "deleted"
        with endings_noted() as asked:
            for batch in retention.prune(older_than, dry_run=dry_run):
                count += batch
                self.stdout.write(f"{count} operations {said} so far.")
                if asked.is_set():
                    break
        self.stdout.write(f"{'Stopped early: ' if asked.is_set() else ''}{count} operations {said}.")
