"""A site of YCLIENTS reads that name wherever the app speaks; what people and salons are called stays as it is."""

from __future__ import annotations

import ast
import re
import urllib.request
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.test import Client, override_settings
from django.utils import translation

from altegio_loyalty import exceptions, policy, services, texts, wording
from altegio_loyalty.conf import get_settings
from altegio_loyalty.models import Location
from altegio_loyalty.sandbox import Sandbox
from tests.reachable import REPOSITORY
from tests.test_translations import Salon, russian, salon

pytestmark = pytest.mark.one_database

__all__ = ["russian", "salon"]

PACKAGE = REPOSITORY / "altegio_loyalty"
YCLIENTS = "https://api.yclients.com/api/v1"
#: What these say is written into migrations, which must not depend on the platform.
OF_MIGRATIONS = {PACKAGE / name for name in ("locations.py", "models.py", "states.py")}
PAGES = (
    "visits", "no-visits", "visit", "busy-visit", "batches", "batch", "log", "operation", "overview", "wrong-overview",
    "locations", "location", "apply_card_withdrawal one", "cancel_card_withdrawal one", "apply_discount_program one",
    "apply_card_withdrawal several", "cancel_discount_program several",
)  # fmt: skip


# Which platform it is


@pytest.mark.parametrize(
    ("url", "name", "media_type"),
    [
        ("https://api.alteg.io/api/v1", "Altegio", "application/vnd.api.v2+json"),
        (YCLIENTS, "YCLIENTS", "application/vnd.yclients.v2+json"),
        ("https://API.YCLIENTS.RU/api/v1", "YCLIENTS", "application/vnd.yclients.v2+json"),
        ("https://yclients.com.example/api/v1", "Altegio", "application/vnd.api.v2+json"),
        ("https://notyclients.com/api/v1", "Altegio", "application/vnd.api.v2+json"),
        ("nonsense", "Altegio", "application/vnd.api.v2+json"),
    ],
)
def test_the_address_says_which_platform_it_is(url: str, name: str, media_type: str) -> None:
    with override_settings(ALTEGIO_LOYALTY={"API_URL": url}):
        assert (get_settings().platform_name, get_settings().media_type) == (name, media_type)


def test_name_and_media_type_can_be_set_where_the_address_does_not_tell() -> None:
    given = {"API_URL": "http://127.0.0.1:1/api/v1", "PLATFORM_NAME": "Salonika", "MEDIA_TYPE": "text/x+json"}
    with override_settings(ALTEGIO_LOYALTY=given):
        assert (get_settings().platform_name, get_settings().media_type) == ("Salonika", "text/x+json")


@pytest.mark.django_db(transaction=True)
def test_the_media_type_of_the_platform_is_asked_for(settings: Any, altegio_sandbox_settings: Any) -> None:
    sandbox = altegio_sandbox_settings
    there = sandbox.ledger.add_location()
    location = Location.objects.create(
        id=there.id, title="x", partner_token=sandbox.partner_token, user_token=sandbox.user_token
    )
    asked = []
    for media_type in ("application/vnd.yclients.v2+json", "application/vnd.api.v2+json"):
        settings.ALTEGIO_LOYALTY = {**settings.ALTEGIO_LOYALTY, "MEDIA_TYPE": media_type}
        assert services.test_connection(location).is_good
        asked.append(sandbox.requests[-1].headers["accept"])
    assert asked == ["application/vnd.yclients.v2+json", "application/vnd.api.v2+json"]


# What is said


def test_only_the_text_is_renamed_and_nothing_that_is_put_into_it() -> None:
    with override_settings(ALTEGIO_LOYALTY={"API_URL": YCLIENTS}):
        text = texts.gettext("Unknown: Altegio did not show them. %(title)s") % {"title": "Altegio Café"}
        assert text == "Unknown: YCLIENTS did not show them. Altegio Café"
        assert texts.gettext("Altegio's answer") == "YCLIENTS' answer"
    with override_settings(ALTEGIO_LOYALTY={"PLATFORM_NAME": "Salonika"}):
        assert texts.gettext("Altegio's answer") == "Salonika's answer"


def test_with_altegio_every_text_is_as_it_stands() -> None:
    assert texts.gettext("Altegio's answer") == "Altegio's answer"


@pytest.mark.parametrize("language", ["en", "ru"])
def test_what_was_kept_in_the_log_is_told_with_the_name(language: str) -> None:
    said = "Altegio Café says no"
    kept = [
        "Altegio did not answer.",
        policy.reason_of(exceptions.NoAnswer()).stored(),
        policy.reason_of(exceptions.Refused("no", http_status=402)).stored(),
        policy.reason_of(exceptions.ServerError("HTTP 500", http_status=500)).stored(),
        policy.reason_of(
            exceptions.Refused("Altegio asks for a second factor; take the user token from its own screens.")
        ).stored(),
    ]
    with override_settings(ALTEGIO_LOYALTY={"API_URL": YCLIENTS}), translation.override(language):
        for text in kept:
            assert "YCLIENTS" in wording.reason(text), text
            assert "Altegio" not in wording.reason(text), text
        refusal = policy.reason_of(exceptions.Refused(said, http_status=400)).stored()
        assert said in wording.reason(refusal)  # their own words


def test_the_app_is_called_by_the_platform() -> None:
    with override_settings(ALTEGIO_LOYALTY={"API_URL": YCLIENTS}):
        assert str(apps.get_app_config("altegio_loyalty").verbose_name) == "YCLIENTS loyalty"


@pytest.mark.django_db
def test_the_migrations_do_not_depend_on_the_platform() -> None:
    with override_settings(ALTEGIO_LOYALTY={"API_URL": YCLIENTS}):
        call_command("makemigrations", "altegio_loyalty", check=True, dry_run=True, stdout=StringIO())


# Every page


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("language", ["en", "ru"])
@pytest.mark.parametrize("name", PAGES)
def test_every_page_says_yclients_and_nowhere_altegio(
    russian: Client, salon: Salon, settings: Any, name: str, language: str
) -> None:
    settings.ALTEGIO_LOYALTY = {**settings.ALTEGIO_LOYALTY, "PLATFORM_NAME": "YCLIENTS"}
    page = _shown(russian, salon, name, language)
    assert re.findall(r".{40}Altegio.{20}", page, re.DOTALL) == []
    assert "YCLIENTS" in page


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("language", ["en", "ru"])
@pytest.mark.parametrize("name", PAGES)
def test_every_page_says_altegio_and_nowhere_yclients(
    russian: Client, salon: Salon, name: str, language: str
) -> None:
    page = _shown(russian, salon, name, language)
    assert "YCLIENTS" not in page
    assert "Altegio" in page


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("language", ["en", "ru"])
def test_a_visit_that_cannot_be_read_is_told_with_the_name(
    russian: Client, salon: Salon, settings: Any, altegio_sandbox_settings: Any, language: str
) -> None:
    settings.ALTEGIO_LOYALTY = {**settings.ALTEGIO_LOYALTY, "PLATFORM_NAME": "YCLIENTS"}
    altegio_sandbox_settings.stop()
    for name in ("visit", "apply_card_withdrawal one", "apply_card_withdrawal several"):
        page = _shown(russian, salon, name, language)
        assert "Altegio" not in page
        assert page.count("YCLIENTS") > 1


@pytest.mark.django_db(transaction=True)
def test_what_a_salon_is_called_is_not_renamed(russian: Client, salon: Salon, settings: Any) -> None:
    settings.ALTEGIO_LOYALTY = {**settings.ALTEGIO_LOYALTY, "PLATFORM_NAME": "YCLIENTS"}
    Location.objects.update(title="Кафе Altegio")
    assert "Кафе Altegio" in _shown(russian, salon, "visit", "ru")


@pytest.mark.parametrize("name", ["Altegio", "YCLIENTS"])
def test_the_sandboxs_page_bears_the_name(name: str) -> None:
    with Sandbox(platform=name) as sandbox:
        page = urllib.request.urlopen(f"{sandbox.address}/").read().decode()
    other = ({"Altegio", "YCLIENTS"} - {name}).pop()
    assert f"{name} sandbox" in page
    assert other not in page


def _shown(client: Client, salon: Salon, name: str, language: str) -> str:
    response = client.get(salon.address(name), headers={"accept-language": language})
    assert response.status_code == 200
    page = response.content.decode()
    for of_the_demo in ("Altegio loyalty demo", "Sandbox Altegio"):  # what the host site says itself
        page = page.replace(of_the_demo, "")
    return page


# That nobody forgets it


def _sources() -> Iterator[Path]:
    for path in PACKAGE.rglob("*.py"):
        if not {"sandbox", "migrations"} & set(path.relative_to(PACKAGE).parts) and path.name != "texts.py":
            yield path


def test_no_module_takes_its_texts_past_the_name() -> None:
    past = []
    for path in _sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "django.utils.translation":
                names = {alias.name for alias in node.names} & {
                    "gettext",
                    "gettext_lazy",
                    "ngettext",
                    "pgettext",
                }
                past += [(path.name, name) for name in names if path not in OF_MIGRATIONS]
    assert past == []


def test_what_migrations_hold_does_not_name_the_platform() -> None:
    for model in apps.get_app_config("altegio_loyalty").get_models():
        said = [model._meta.verbose_name, model._meta.verbose_name_plural]
        said += [name for _codename, name in model._meta.permissions]
        for field in model._meta.get_fields():
            said += [getattr(field, "verbose_name", ""), getattr(field, "help_text", "")]
            said += [label for _value, label in getattr(field, "flatchoices", ())]
        assert [str(text) for text in said if "Altegio" in str(text)] == []


def test_no_template_names_the_platform_itself() -> None:
    named = [
        (path.name, line.strip()[:80])
        for path in (PACKAGE / "templates").rglob("*.html")
        for line in path.read_text(encoding="utf-8").splitlines()
        if "Altegio" in re.sub(r"""_\((["']).*?\1\)\|renamed""", "", line)
    ]
    assert named == []


def test_a_plural_that_is_worded_later_does_not_name_the_platform() -> None:
    """Django's own lazy plurals are the one form that does not know the name."""
    for path in _sources():
        calls = re.findall(r"ngettext_lazy\((.*?)\)\s*[,}]", path.read_text(encoding="utf-8"), re.DOTALL)
        assert [call for call in calls if "Altegio" in call] == [], path.name
