from typing import Any

from django.core.management.base import BaseCommand, CommandError

from altegio_loyalty.exceptions import UndecryptableToken
from altegio_loyalty.fields import Secret
from altegio_loyalty.models import Location


class Command(BaseCommand):
    help = "Encrypt the tokens of all locations anew, each for its row, with the first of ENCRYPTION_KEYS."

    def handle(self, *args: Any, **options: Any) -> None:
        unreadable, rotated_count, names = [], 0, ("partner_token", "user_token")
        for location in Location.objects.all():
            try:
                tokens = {name: Secret(getattr(location, name).reveal()) for name in names}
            except UndecryptableToken as error:
                unreadable.append(f"Location {location.pk}: {error}")
                continue
            # Only if nobody saved new tokens meanwhile.
            same = Location.objects.filter(pk=location.pk, credentials_version=location.credentials_version)
            rotated_count += same.update(**tokens)
        self.stdout.write(f"Encrypted the tokens of {rotated_count} locations with the first key.")
        if unreadable:
            raise CommandError("\n".join(["Some tokens cannot be read and stay as they are.", *unreadable]))
