from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from altegio_loyalty.exceptions import UndecryptableToken
from altegio_loyalty.models import Location


class Command(BaseCommand):
    help = "Encrypt the tokens of all locations anew with the first of ENCRYPTION_KEYS, so that older keys can go."

    def handle(self, *args: Any, **options: Any) -> None:
        unreadable = []
        rotated_count = 0
        for location in Location.objects.all():
            try:
                tokens = {name: getattr(location, name).rotated() for name in ("partner_token", "user_token")}
            except UndecryptableToken:
                unreadable.append(str(location.pk))
                continue
            # Only if nobody saved new tokens meanwhile.
            same = Location.objects.filter(pk=location.pk, credentials_version=location.credentials_version)
            rotated_count += same.update(**tokens)
        self.stdout.write(f"Encrypted the tokens of {rotated_count} locations with the first key.")
        if unreadable:
            raise CommandError(
                f"No key can read the tokens of locations {', '.join(unreadable)}. Add the old key, or enter them again."
            )
