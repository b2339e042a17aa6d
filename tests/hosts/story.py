"""What is done in each host site, by the host's own Python and settings: `python story.py`, in the host's folder.

From `check` to a withdrawal whose answer is lost. Knows nothing of the tests beside it: it has the wheel, and that alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
import uuid
from html.parser import HTMLParser
from typing import Any

from altegio_loyalty.sandbox import Sandbox


class Forms(HTMLParser):
    """The links of a page, and the fields of its forms as a browser would send them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.forms: list[dict[str, Any]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, pairs: list[tuple[str, str | None]]) -> None:
        at = dict(pairs)
        name, value = at.get("name"), at.get("value") or ""
        if tag == "a" and at.get("href"):
            self.links.append(str(at["href"]))
        elif tag == "form":
            self.forms.append({"action": at.get("action") or "", "fields": {}})
        elif tag in ("input", "button") and name and self.forms:
            fields, kind = self.forms[-1]["fields"], at.get("type") or "text"
            if kind in ("radio", "checkbox"):
                if "checked" in at:
                    fields[name] = value
            elif kind in ("submit", "button") or tag == "button":
                fields.setdefault(name, value)
            else:
                fields[name] = value


def main() -> None:
    with Sandbox(rate_limit=False) as sandbox:
        os.environ["HOST_API_URL"] = sandbox.url
        import django

        django.setup()
        told = Story(sandbox).tell()
        print(json.dumps(told))


class Story:
    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox, self.ledger = sandbox, sandbox.ledger
        self.told: dict[str, Any] = {}

    def tell(self) -> dict[str, Any]:
        for step in (
            self.check,
            self.migrate,
            self.people,
            self.books,
            self.pages,
            self.withdraw_in_the_admin,
            self.withdraw_now,
            self.withdraw_on_commit_without_an_answer,
            self.withdraw_from_async_code,
            self.withdraw_over_uvicorn,
            self.task,
        ):
            only, skipped = (os.environ.get(name, "").split(",") for name in ("HOST_STEPS", "HOST_SKIPS"))
            if step.__name__ in skipped or (only != [""] and step.__name__ not in only):
                continue
            print(f"… {step.__name__}", file=sys.stderr, flush=True)
            step()
        return self.told

    def check(self) -> None:
        """Nothing is wrong, but for the warnings that this host names, each of which it must get."""
        from django.core import checks

        expected = set(filter(None, os.environ.get("HOST_WARNINGS", "").split(",")))
        found = [each for each in checks.run_checks() if str(each.id).startswith("altegio_loyalty")]
        assert {str(each.id) for each in found} == expected, found
        assert all(each.hint for each in found), found

    def migrate(self) -> None:
        from django.core.management import call_command
        from django.db import connections

        for alias in connections:
            call_command("migrate", database=alias, verbosity=0)
        call_command("makemigrations", "altegio_loyalty", check=True, dry_run=True, verbosity=0)

    def people(self) -> None:
        from django.contrib.auth import get_user_model
        from django.contrib.auth.models import Group
        from django.core.management import call_command

        call_command("make_altegio_groups", verbosity=0)
        people = get_user_model()
        name = people.USERNAME_FIELD
        required = {field: f"{field}@example.com" for field in people.REQUIRED_FIELDS}
        self.boss = people._default_manager.create_superuser(
            **{name: "boss@example.com", "password": "x", **required}
        )
        self.receptionist = people._default_manager.create_user(
            **{
                name: "reception@example.com",
                "password": "x",
                **{key: f"r{key}@example.com" for key in required},
            }
        )
        self.receptionist.is_staff = True
        self.receptionist.save()
        self.receptionist.groups.add(Group.objects.get(name="Reception"))

    def books(self) -> None:
        from django.utils import timezone

        from altegio_loyalty.models import Location, Visit

        salon = self.salon = self.ledger.add_location(title="Salon")
        self.client = self.ledger.add_client(name="Jane Miller", phone="+13155550175")
        self.card = self.ledger.add_card(self.client, balance="1000", title="Gold")
        tokens = {"partner_token": self.sandbox.partner_token, "user_token": self.sandbox.user_token}
        self.location = Location.objects.create(id=salon.id, title="Salon", **tokens)
        self.visits = [
            self.ledger.add_visit(salon, self.client, lines=[("Haircut", "100")]) for _ in range(4)
        ]
        for visit in self.visits:
            Visit.objects.create(
                id=visit.id,
                location=self.location,
                record_id=visit.record_id,
                client_id=self.client.id,
                client_name="Jane Miller",
                client_phone="+13155550175",
                starts_at=timezone.now(),
            )

    def browser(self, person: Any) -> Any:
        from django.test import Client

        browser = Client(raise_request_exception=True, headers={"accept-language": "en"})
        browser.force_login(person)
        return browser

    def pages(self) -> None:
        """Each page that a site of the host shows, for both: no error, and no dead link to a page of ours."""
        from django.contrib.admin.sites import all_sites
        from django.urls import NoReverseMatch, reverse

        from altegio_loyalty.models import Location, LoyaltyOperation, Visit

        seen: list[str] = []
        for site in all_sites:
            for model in (Location, Visit, LoyaltyOperation):
                if model not in site._registry:
                    continue
                for person in (self.boss, self.receptionist):
                    browser = self.browser(person)
                    try:
                        start = reverse(f"{site.name}:altegio_loyalty_{model._meta.model_name}_changelist")
                    except NoReverseMatch:
                        continue  # a site that the host registers with and shows nowhere
                    page = browser.get(start, follow=True)
                    assert page.status_code in (200, 403), (start, page.status_code)
                    seen.append(start)
                    first = model._default_manager.order_by("pk").first()
                    links = Forms(page.content.decode()).links
                    ours = {
                        link for link in links if "/altegio_loyalty/" in link and not link.startswith("?")
                    }
                    if first is not None:
                        ours.add(f"{start}{first.pk}/change/")
                    for link in sorted(ours):
                        got = browser.get(link, follow=True)
                        assert got.status_code in (200, 403), (link, got.status_code)
                        seen.append(link)
        self.told["pages"] = len(seen)

    def withdraw_in_the_admin(self) -> None:
        """As a receptionist: from the visit's page to done, by the links and forms that the pages have."""
        from django.contrib.admin.sites import all_sites
        from django.urls import NoReverseMatch, reverse

        from altegio_loyalty.models import LoyaltyOperation, Visit

        browser = self.browser(self.receptionist)
        done = 0
        for site in all_sites:
            if Visit not in site._registry:
                continue
            visit = (
                self.ledger.add_visit(self.salon, self.client, lines=[("Haircut", "100")])
                if done
                else self.visits[0]
            )
            Visit.objects.get_or_create(
                id=visit.id,
                defaults={
                    "location": self.location,
                    "record_id": visit.record_id,
                    "client_id": self.client.id,
                },
            )
            try:
                address = reverse(f"{site.name}:altegio_loyalty_visit_change", args=[visit.id])
            except NoReverseMatch:
                continue
            # As the page's script, or its link, reads.
            page = browser.get(address, {"read": "1"}, follow=True)
            link = next(at for at in Forms(page.content.decode()).links if "apply_card_withdrawal" in at)
            asked = browser.get(link, follow=True)
            form = next(
                each
                for each in Forms(asked.content.decode()).forms
                if any(name.endswith("-choice") or "card" in name for name in each["fields"])
            )
            posted = browser.post(form["action"] or asked.request["PATH_INFO"], form["fields"], follow=True)
            assert posted.status_code == 200, posted.status_code
            assert self.ledger.withdrawn(visit.id, self.card.id) == 100, posted.content.decode()[-3000:]
            operation = LoyaltyOperation.objects.latest("pk")
            assert operation.status == "succeeded", operation.sentence
            assert operation.requested_by_login == self.receptionist.get_username()
            done += 1
        self.told["withdrawn in the admin"] = done

    def asked_for(self, visit: Any, **more: Any) -> Any:
        from altegio_loyalty import services

        return services.apply_card_withdrawal(
            self.location,
            visit_id=visit.id,
            record_id=visit.record_id,
            card_id=self.card.id,
            amount=50,
            requested_by=self.boss,
            idempotency_key=str(uuid.uuid4()),
            **more,
        )

    def withdraw_now(self) -> None:
        operation = self.asked_for(self.visits[1])
        assert operation.status == "succeeded", operation.sentence
        assert self.ledger.withdrawn(self.visits[1].id, self.card.id) == 50

    def withdraw_on_commit_without_an_answer(self) -> None:
        """Inside the host's transaction, by the sweep, and the answer is lost: taken once, and told so."""
        from django.core.management import call_command
        from django.db import router, transaction

        from altegio_loyalty.models import LoyaltyOperation

        self.sandbox.fail("cut_after", path="apply_card_withdrawal", times=1)
        with transaction.atomic(using=router.db_for_write(LoyaltyOperation)):
            operation = self.asked_for(self.visits[2], deliver="on_commit")
        for _ in range(20):
            call_command("deliver_due_operations", verbosity=0)
            operation.refresh_from_db()
            if operation.status == "succeeded":
                break
        assert operation.status == "succeeded", operation.sentence
        assert self.ledger.withdrawn(self.visits[2].id, self.card.id) == 50

    def withdraw_from_async_code(self) -> None:
        """By Django's own way from there to what is not async."""
        from asgiref.sync import sync_to_async
        from django.db import connections

        async def take() -> Any:
            operation = await sync_to_async(self.asked_for)(self.visits[3])
            await sync_to_async(connections.close_all)()
            return operation

        operation = asyncio.run(take())
        assert operation.status == "succeeded", operation.sentence
        assert self.ledger.withdrawn(self.visits[3].id, self.card.id) == 50

    def withdraw_over_uvicorn(self) -> None:
        """An async view of the host, and pages of the admin, where there is such a server."""
        if importlib.util.find_spec("uvicorn") is None:
            return
        with socket.create_server(("127.0.0.1", 0)) as free:
            at = f"http://127.0.0.1:{free.getsockname()[1]}"
        visit = self.ledger.add_visit(self.salon, self.client, lines=[("Haircut", "100")])
        where = {
            "visit": visit.id,
            "record": visit.record_id,
            "card": self.card.id,
            "location": self.location.pk,
        }
        command = [
            sys.executable,
            "-m",
            "uvicorn",
            "--port",
            at.rpartition(":")[2],
            "mysite.asgi:application",
        ]
        with subprocess.Popen(command) as server:
            try:
                for _ in range(300):
                    with contextlib.suppress(OSError), urllib.request.urlopen(f"{at}/admin/login/") as page:
                        assert b"password" in page.read()
                        break
                    time.sleep(0.2)
                with urllib.request.urlopen(
                    f"{at}/take/?{urllib.parse.urlencode(where)}", timeout=60
                ) as answer:
                    assert answer.read() == b"succeeded"
            finally:
                server.terminate()
        assert self.ledger.withdrawn(visit.id, self.card.id) == 50

    def task(self) -> None:
        if importlib.util.find_spec("celery") is None:
            self.told["celery"] = "not installed"
            return
        from altegio_loyalty import tasks

        tasks.retry_due_operations.apply(throw=True)


if __name__ == "__main__":
    main()
