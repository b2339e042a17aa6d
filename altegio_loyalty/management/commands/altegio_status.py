import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.core.serializers.json import DjangoJSONEncoder

from altegio_loyalty import watch


class Command(BaseCommand):
    requires_system_checks: list[str] = []  # some open the database, which may be what is away
    help = "How the work stands. Exit 0: all is well; 1: a person is needed; 2: the work stands still."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print it as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        state = watch.look()
        held = [] if "database" in state else watch.held()
        if options["json"]:
            self.stdout.write(json.dumps({**state, "held": held}, cls=DjangoJSONEncoder))
        else:
            known = {name.replace("_", " "): value for name, value in state.items() if value is not None}
            self.stdout.write("\n".join([*(f"{name}: {value}" for name, value in known.items()), *held]))
        sys.exit(watch.STATUSES.index(state["status"]))
