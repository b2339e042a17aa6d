"""What the site begins with: the groups that a salon needs, people, locations, and today's visits."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.utils import timezone

from altegio_loyalty.models import Location, Visit
from altegio_loyalty.sandbox import Sandbox
from altegio_loyalty.sandbox.seed import demo_books

#: Login, which is also the password; and the group.
STAFF = {"reception": "Reception", "manager": "Manager"}


def seed_people() -> None:
    people = get_user_model()
    if not people.objects.filter(username="admin").exists():
        people.objects.create_superuser("admin", password="admin")  # noqa: S106
    call_command("make_altegio_groups", verbosity=0)
    for login, group_name in STAFF.items():
        if not people.objects.filter(username=login).exists():
            person = people.objects.create_user(login, password=login, is_staff=True)
            person.groups.add(Group.objects.get(name=group_name))


def seed_locations() -> None:
    """The sandbox's locations, with the tokens that it takes now: someone may have renewed them on its page.

    Raises StateFileError where the sandbox's books cannot be read.
    """
    sandbox = Sandbox(state_file=settings.SANDBOX_STATE)
    for location in demo_books(timezone.localdate())["locations"]:
        tokens = {"partner_token": sandbox.partner_token, "user_token": sandbox.user_token}
        Location.objects.get_or_create(id=location["id"], defaults={"title": location["title"], **tokens})


def seed_visits() -> None:
    """The sandbox's visits of today."""
    known = ("id", "location_id", "record_id", "client_id", "client_name", "client_phone", "starts_at")
    visits = demo_books(timezone.localdate())["visits"]
    Visit.objects.bulk_create(
        [Visit(**{name: visit[name] for name in known}) for visit in visits], ignore_conflicts=True
    )
