import datetime
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from altegio_loyalty import books
from altegio_loyalty.daybooks import BooksItem, Verdict
from altegio_loyalty.models import Location


class Command(BaseCommand):
    help = (
        "Compare the log with Altegio's books: the last days that were not compared yet, or one day once more. "
        "Ends with 0 where all agrees, with 1 where something is at odds, with 2 where something could not be checked."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        text = "this day, each location's own, as YYYY-MM-DD"
        parser.add_argument("--day", type=datetime.date.fromisoformat, help=text)
        parser.add_argument("--location", type=int, help="this location alone, by its ID")

    def handle(self, *args: Any, day: datetime.date | None, location: int | None, **options: Any) -> None:
        asked = Location.objects.filter(**({} if location is None else {"pk": location}))
        if (day or location is not None) and not asked.exists():
            raise CommandError("There is no such location.", returncode=2)
        found = books.check(day=day, location_id=location, seconds=float("inf"), waits=True)
        for each in found:
            self.stdout.write(f"{each.location.title}: {each}")
            self.stdout.writelines(f"  {item}\n" for item in each.open_items)
        items = BooksItem.objects.filter(closed_at=None, location__in=asked).exclude(books__in=found)
        older = list(items.select_related("location", "books").order_by("pk"))
        for item in older:
            self.stdout.write(f"{item.location.title}, {item.books.day}: {item}")
        # What is at odds comes first: it is known, whatever else could not be checked.
        verdicts = {each.verdict for each in found if each.verdict} | {Verdict.AT_ODDS for _item in older}
        if verdict := min(verdicts, default=0):
            sys.exit(verdict)
