"""Whoever follows the quick start, line by line, arrives."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.packaging.quickstart import LOGIN, PASSWORD, Site

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    folder = tmp_path / "reader"
    folder.mkdir()
    site = Site(folder)
    yield site
    site.close()


def tokens(site: Site) -> tuple[str, str]:
    text = site.wait_for("altegio_sandbox", "Stop it with Ctrl-C.")
    found = [re.search(rf"{name} token +(\S+)", text) for name in ("Partner", "User")]
    partner, user = (match[1] for match in found if match)
    return partner, user


def in_shell(site: Site, code: str) -> str:
    return site.run([sys.executable, "manage.py", "shell", "-c", code])


@pytest.mark.sqlite
@pytest.mark.browser
def test_the_quick_start__leads_to_a_withdrawal_in_the_browser(site: Site, page: Any) -> None:
    site.follow(until="What is due, by itself")
    partner, user = tokens(site)
    address = f"http://127.0.0.1:{site.site_port}/admin/"
    site.wait_for_address(address)

    page.goto(address)
    page.get_by_label("Username").fill(LOGIN)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.goto(f"{address}altegio_loyalty/location/add/")
    for label, text in (
        ("Location ID", "4564"),
        ("Title", "Salon"),
        ("Partner token", partner),
        ("User token", user),
    ):
        page.get_by_label(label, exact=False).first.fill(text)
    page.get_by_role("button", name="Save and continue editing").click()
    page.get_by_role("button", name="Test connection").click()
    expect(page.locator(".messagelist")).to_contain_text("accepts")

    assert "Done: 1.50 points taken." in in_shell(site, site.snippets[0])
    page.goto(f"{address}altegio_loyalty/loyaltyoperation/")
    expect(page.get_by_role("row").filter(has_text="1.50")).to_have_count(1)


@pytest.mark.sqlite
@pytest.mark.redis
def test_the_quick_start__leads_to_a_worker_that_sends_what_waits(site: Site) -> None:
    """With Celery as the page has it: the message of the commit and the beat of the clock."""
    site.follow(until="What is due, by itself")
    partner, user = tokens(site)
    made = f"Location.objects.create(id=4564, title='Salon', partner_token={partner!r}, user_token={user!r})"
    in_shell(site, f"from altegio_loyalty.models import Location\n{made}")
    site.follow(until="To the real Altegio")
    later = site.snippets[0].replace("idempotency_key", 'deliver="on_commit",\n    idempotency_key')
    in_shell(site, later)
    wait = """
import time
from altegio_loyalty.models import LoyaltyOperation
end = time.monotonic() + 60
while LoyaltyOperation.objects.get().status != "succeeded" and time.monotonic() < end:
    time.sleep(0.1)
print(LoyaltyOperation.objects.get().sentence)
"""
    assert "1.50 points taken" in in_shell(site, wait), site.said("worker")
    site.wait_for("beat", "Sending due task altegio")
