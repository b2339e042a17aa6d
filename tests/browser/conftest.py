"""A receptionist in front of a real browser, a real site and a real sandbox."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.utils import timezone
from playwright.sync_api import expect

from altegio_loyalty.models import Location, Visit

#: Where pictures are kept: `SCREENSHOTS=docs/screenshots make test` renews those of the documentation.
SCREENSHOTS = os.environ.get("SCREENSHOTS", "")


class Desk:
    """One location of the sandbox, known to the site, with a client whose card holds 500 points."""

    def __init__(self, sandbox: Any, settings: Any, site_url: str) -> None:
        self.sandbox, self.ledger, self.site_url = sandbox, sandbox.ledger, site_url
        settings.ALTEGIO_LOYALTY = {
            **settings.ALTEGIO_LOYALTY,
            "READ_TIMEOUT": 20,
            "TOTAL_TIMEOUT": 25,
            "RETRY_DELAY": 0,
        }
        settings.ALTEGIO_LOYALTY["SETTLE_SECONDS"] = 1
        self.program = self.ledger.add_program(title="Birthday", percent=10)
        self.client = self.ledger.add_client(name="Jane Miller", phone="+13155550175")
        self.card = self.ledger.add_card(self.client, balance="500", title="Gold", programs=[self.program])
        self.salon = self.ledger.add_location(title="Salon on Main Street")
        tokens = {"partner_token": sandbox.partner_token, "user_token": sandbox.user_token}
        self.location = Location.objects.create(id=self.salon.id, title=self.salon.title, **tokens)

    def visit(
        self,
        name: str = "Jane Miller",
        lines: Any = (("Haircut", "300"), ("Shampoo", "20")),
        client: Any = None,
    ) -> Any:
        client = client or self.client
        there = self.ledger.add_visit(self.salon, client, lines=lines)
        Visit.objects.create(
            id=there.id,
            location=self.location,
            record_id=there.record_id,
            client_id=client.id,
            client_name=name,
            client_phone="+13155550175",
            starts_at=timezone.now(),
        )
        return there

    def visits(self, count: int) -> list[Any]:
        """Visits of as many clients, each with a card of their own that has the promotion."""
        made = []
        for number in range(count):
            client = self.ledger.add_client(name=f"Client {number + 1}", phone=f"+1315555{number:04}")
            self.ledger.add_card(client, balance="200", title="Silver", programs=[self.program])
            made.append(self.visit(f"Client {number + 1}", client=client))
        return made

    def page_of(self, visit: Any) -> str:
        return f"{self.site_url}/admin/altegio_loyalty/visit/{visit.id}/change/"

    def age(self) -> None:
        """Whatever was read is as old as if nobody had looked for a minute."""
        for visit in Visit.objects.exclude(shown=""):
            shown = re.sub(r'("kept_at": *)"[^"]+"', r'\1"2026-01-01T00:00:00+00:00"', visit.shown)
            assert shown != visit.shown
            Visit.objects.filter(pk=visit.pk).update(shown=shown)

    def taken(self, visit: Any) -> Decimal:
        withdrawn: Decimal = self.ledger.withdrawn(visit.id, self.card.id)
        return withdrawn


def wait_for_list(page: Any) -> None:
    """The list of visits has read the day by itself and, with what is new, come up anew.

    What it says is no sign of that: the script says the same for a moment before the page reloads.
    """
    expect(page.locator("form.altegio-refresh:not([data-reads-by-itself])")).to_contain_text(
        "Read from Altegio at"
    )
    page.wait_for_load_state("load")


@pytest.fixture
def desk(altegio_sandbox_settings: Any, settings: Any, live_server: Any) -> Desk:
    return Desk(altegio_sandbox_settings, settings, live_server.url)


@pytest.fixture
def log_in(page: Any, desk: Desk) -> Callable[..., Any]:
    """Log a new member of staff in, with just these permissions; by default a receptionist's."""
    receptionist = (
        "view_visit",
        "view_loyaltyoperation",
        "apply_card_withdrawal",
        "cancel_card_withdrawal",
        "apply_discount_program",
        "cancel_discount_program",
    )

    def enter(*permissions: str) -> Any:
        person = get_user_model().objects.create_user("reception", password="reception", is_staff=True)
        wanted = permissions or receptionist
        person.user_permissions.set(
            Permission.objects.filter(content_type__app_label="altegio_loyalty", codename__in=wanted)
        )
        page.goto(f"{desk.site_url}/admin/login/")
        page.fill("#id_username", "reception")
        page.fill("#id_password", "reception")
        page.click("[type=submit]")
        page.wait_for_url("**/admin/")
        return page

    return enter


@pytest.fixture
def picture(page: Any) -> Callable[..., None]:
    """Keep a picture of the page, where pictures are asked for: light and wide, or with `everywhere` dark and narrow too."""

    def keep(name: str) -> None:
        page.wait_for_timeout(300)  # the admin's colours change slowly
        page.screenshot(path=f"{SCREENSHOTS}/{name}.png", full_page=True)

    def take(name: str, *, everywhere: bool = False) -> None:
        if not SCREENSHOTS:
            return
        Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
        keep(name)
        if everywhere:
            page.emulate_media(color_scheme="dark")
            keep(f"{name}-dark")
            page.emulate_media(color_scheme="light")
            page.set_viewport_size({"width": 360, "height": 780})
            keep(f"{name}-360")
            page.set_viewport_size({"width": 1280, "height": 900})

    return take
