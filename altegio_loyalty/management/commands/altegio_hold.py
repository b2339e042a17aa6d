import getpass
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from altegio_loyalty import delivery


class Command(BaseCommand):
    help = "Hold everything that is open, as after a restore from a backup, or release it."

    def add_arguments(self, parser: CommandParser) -> None:
        either = parser.add_mutually_exclusive_group(required=True)
        either.add_argument("why", nargs="?", help="such as 'restored the backup of Tuesday'")
        either.add_argument(
            "--release", action="store_true", help="go on; what waited is given up for a person"
        )

    def handle(self, *args: Any, why: str | None, release: bool, **options: Any) -> None:
        if not release:
            held = delivery.hold(getpass.getuser(), why or "")
            self.stdout.write(f"Held since {held.began_at:%Y-%m-%d %H:%M} UTC, {held.said}. Nothing is sent.")
        elif (waited := delivery.release(getpass.getuser())) is None:
            raise CommandError("Nothing is held.")
        else:
            self.stdout.write(f"Released. {waited} waited: given up or looked up, never sent by themselves.")
