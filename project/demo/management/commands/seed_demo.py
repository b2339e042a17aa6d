"""`manage.py seed_demo`: the demo's people and today's visits. `make demo` calls it at every start."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from altegio_loyalty.sandbox.statefile import StateFileError
from project.seed import seed_locations, seed_people, seed_visits


class Command(BaseCommand):
    """Adds what is not there yet, and changes nothing that is."""

    help = "Adds the demo's users, locations and today's visits, where they are not there yet."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError("The demo's passwords are known to everybody, so it seeds only with DEBUG on.")
        try:
            with transaction.atomic():
                seed_people()
                if settings.USES_SANDBOX:
                    seed_locations()
                    seed_visits()
        except StateFileError as error:
            raise CommandError(f"{error} Delete the file to begin with new books.") from error
