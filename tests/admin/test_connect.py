"""Connecting: from a login in Altegio to locations that work, with nothing of the login kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.contrib.messages import get_messages
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse

from altegio_loyalty import services
from altegio_loyalty.admin import connect
from altegio_loyalty.client.exchange import current
from altegio_loyalty.models import Location
from altegio_loyalty.services.reading import SECONDS_FOR_A_PAGE
from tests.delivery.salon import Salon

pytestmark = [pytest.mark.one_database, pytest.mark.django_db(transaction=True)]

LOGIN = reverse("admin:altegio_loyalty_location_connect")
CHOICE = reverse("admin:altegio_loyalty_location_choose")
LIST = reverse("admin:altegio_loyalty_location_changelist")


@pytest.fixture
def boss(sign_in: Callable[..., Client]) -> Client:
    return sign_in("add_location", "change_location", "view_location")


def said(response: Any) -> str:
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


def opened(browser: Client, url: str) -> Any:
    return browser.get(url)


def choose(browser: Client, **fields: Any) -> Any:
    """As the form that stands on the page sends it."""
    kept = browser.session.get(connect.KEPT, {})
    return browser.post(CHOICE, {"login_id": kept.get("id", ""), **fields})


def log_in(browser: Client, salon: Salon, **changes: str) -> Any:
    access = salon.sandbox.access
    right = {"partner_token": salon.sandbox.partner_token, "login": access.login, "password": access.password}
    return browser.post(LOGIN, {**right, **changes})


def test_three_clicks__connect_a_new_salon(salon: Salon, boss: Client) -> None:
    """Title, time zone and currency come along, and what works is said."""
    Location.objects.all().delete()
    assert 'href="/admin/altegio_loyalty/location/connect/"' in boss.get(LIST).content.decode()
    assert log_in(boss, salon).url == CHOICE
    assert "Main Street" in boss.get(CHOICE).content.decode()
    answer = choose(boss, location=salon.location.pk)
    assert answer.url == LIST
    location = Location.objects.get()
    assert (location.pk, location.title, location.currency) == (salon.location.pk, "Main Street", "EUR")
    assert location.time_zone
    assert location.credentials().user_token == salon.sandbox.user_token
    assert "The user may work with loyalty: yes" in said(answer)


def test_the_partner_token_of_the_last_location__is_taken_where_none_is_typed(
    salon: Salon, boss: Client
) -> None:
    assert "of “Main Street" in boss.get(LOGIN).content.decode()
    there = salon.ledger.add_location(title="Side Street")
    assert log_in(boss, salon, partner_token="").url == CHOICE
    choose(boss, location=there.id)
    assert Location.objects.get(pk=there.id).credentials().partner_token == salon.sandbox.partner_token


def test_without_any_location__a_partner_token_is_asked_for(salon: Salon, boss: Client) -> None:
    Location.objects.all().delete()
    answer = log_in(boss, salon, partner_token="")
    assert answer.context["form"].errors.keys() == {"partner_token"}
    assert salon.sandbox.requests == []


def test_new_locations_are_ticked_and_those_that_are_here_are_not(salon: Salon, boss: Client) -> None:
    there = salon.ledger.add_location(title="Side Street")
    log_in(boss, salon)
    page = boss.get(CHOICE).content.decode()
    assert f'value="{there.id}" checked' in page
    assert f'value="{salon.location.pk}">' in page
    assert "is here already" in page


def test_a_location_that_is_here__gets_the_new_tokens_and_goes_on(salon: Salon, boss: Client) -> None:
    salon.sandbox.access.rotate()
    Location.objects.update(user_token="old", refused_at="2026-01-01T00:00Z", title="Ours")
    log_in(boss, salon, partner_token=salon.sandbox.access.tokens[0])
    choose(boss, location=salon.location.pk)
    location = Location.objects.get()
    assert (location.title, location.is_paused) == ("Ours", False)
    assert location.credentials().user_token == salon.sandbox.access.tokens[1]


def test_who_may_not_change_locations__replaces_no_tokens(
    salon: Salon, sign_in: Callable[..., Client]
) -> None:
    """And is told so, not that Altegio names no location."""
    adds = sign_in("add_location", "view_location")
    log_in(adds, salon)
    page = adds.get(CHOICE).content.decode()
    assert "you may not replace its tokens" in page
    assert "names no location" not in page
    assert "Tick a location" in said(choose(adds, location=salon.location.pk))
    assert "you may not replace" in said(choose(adds, number=salon.location.pk))
    assert Location.objects.get().credentials_version == 0


@pytest.mark.parametrize("typed", ["12345 6", "abc", "9" * 20, "0"])
def test_a_number_that_is_none__connects_nothing_and_stays(salon: Salon, boss: Client, typed: str) -> None:
    there = salon.ledger.add_location(title="Side Street")
    log_in(boss, salon)
    answer = choose(boss, location=there.id, number=typed)
    assert "is no location" in said(answer)
    page = answer.content.decode()
    assert f'value="{there.id}" checked' in page
    assert f'value="{typed}"' in page
    assert not Location.objects.filter(pk=there.id).exists()


def test_what_was_unticked__stays_unticked(salon: Salon, boss: Client) -> None:
    there = salon.ledger.add_location(title="Side Street")
    log_in(boss, salon)
    assert f'value="{there.id}">' in choose(boss).content.decode()


def test_two_windows__connect_nothing_with_the_other_ones_login(salon: Salon, boss: Client) -> None:
    there = salon.ledger.add_location(title="Side Street")
    log_in(boss, salon)
    first = boss.session[connect.KEPT]["id"]
    log_in(boss, salon)
    answer = choose(boss, login_id=first, location=there.id)
    assert "Another login was used" in said(answer)
    assert not Location.objects.filter(pk=there.id).exists()


def test_keys_that_changed_meanwhile__ask_for_the_login_again(salon: Salon, boss: Client) -> None:
    log_in(boss, salon)
    salon.configure(ENCRYPTION_KEYS=[Fernet.generate_key().decode()])
    answer = choose(boss, location=salon.location.pk)
    assert answer.url == LOGIN
    assert connect.KEPT not in boss.session


def test_a_wrong_password__is_told_and_nothing_is_paused(salon: Salon, boss: Client) -> None:
    answer = log_in(boss, salon, password="wrong-password")
    page = answer.content.decode()
    assert "does not accept this login and password" in page
    assert "wrong-password" not in page
    assert f'value="{salon.sandbox.access.login}"' in page
    assert not Location.objects.get().is_paused


def test_a_second_factor__is_told_with_the_way_out(salon: Salon, boss: Client) -> None:
    salon.sandbox.access.asks_second_factor = True
    assert "take the user token from its own screens" in log_in(boss, salon).content.decode()


def test_altegio_away__is_told_and_the_login_can_be_sent_again(salon: Salon, boss: Client) -> None:
    salon.fail("status_503", path="auth", times=1)
    assert log_in(boss, salon).status_code == 200
    assert log_in(boss, salon).url == CHOICE


def test_where_altegio_names_no_location__a_number_is_taken(salon: Salon, boss: Client) -> None:
    """As to the tokens of an application."""
    Location.objects.all().delete()
    there = salon.ledger.books.locations[salon.location.pk]
    there.is_visible = False
    log_in(boss, salon)
    assert "names no location" in boss.get(CHOICE).content.decode()
    there.is_visible = True
    choose(boss, number=salon.location.pk)
    assert Location.objects.get().pk == salon.location.pk


def test_what_was_not_offered__is_not_connected(salon: Salon, boss: Client) -> None:
    log_in(boss, salon)
    choose(boss, location="4999")
    assert not Location.objects.filter(pk=4999).exists()


def test_nothing_of_the_login__is_kept_in_the_clear(salon: Salon, boss: Client) -> None:
    log_in(boss, salon)
    kept = str(Session.objects.get().get_decoded())
    access = salon.sandbox.access
    for secret in (*access.tokens, access.password, access.login):
        assert secret not in kept
    choose(boss, location=salon.location.pk)
    assert connect.KEPT not in Session.objects.get().get_decoded()


def test_after_a_while__the_login_is_asked_for_again(
    salon: Salon, boss: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(boss, salon)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + connect.SECONDS_KEPT + 1)
    assert opened(boss, CHOICE).url == LOGIN
    assert connect.KEPT not in boss.session


def test_who_may_not_add_locations__is_refused_before_anything_is_asked(
    salon: Salon, sign_in: Callable[..., Client]
) -> None:
    assert log_in(sign_in("change_location", "view_location"), salon).status_code == 403
    assert salon.sandbox.requests == []


@pytest.mark.parametrize("way", ["log in", "choose", "test", "test all"])
def test_all_calls_of_a_page_end_within_one_time(
    salon: Salon, boss: Client, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Before a web server ends its worker, which would leave an empty page."""
    log_in(boss, salon)
    pk, left = salon.location.pk, list[float]()

    def noting(service: Callable[..., Any]) -> Callable[..., Any]:
        def ask(*given: Any) -> Any:
            left.append(current.ends_at - time.monotonic())
            return service(*given)

        return ask

    for name in ("log_in", "test_connection"):
        monkeypatch.setattr(services, name, noting(getattr(services, name)))
    if way == "log in":
        log_in(boss, salon)
    elif way == "choose":
        choose(boss, location=pk)
    elif way == "test":
        boss.post(reverse("admin:altegio_loyalty_location_test_connection", args=[pk]))
    else:
        boss.post(LIST, {"action": "test_connections", "_selected_action": [pk]})
    assert [seconds <= SECONDS_FOR_A_PAGE for seconds in left] == [True]
