"""The locations in the admin: tokens go in and never come out, and the connection test tells the truth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages
from django.contrib.sessions.models import Session
from django.db import connection, connections
from django.db.models.signals import pre_save
from django.test import Client
from django.urls import reverse

from altegio_loyalty.models import Location, Visit
from tests.delivery.salon import REFUSED, Salon

pytestmark = pytest.mark.django_db

LIST = "admin:altegio_loyalty_location_changelist"
ADD = "admin:altegio_loyalty_location_add"
PARTNER, USER = "partner-secret-1234567890", "user-secret-0987654321"


def page_of(location: Location) -> str:
    return reverse("admin:altegio_loyalty_location_change", args=[location.pk])


def test_url(location: Location) -> str:
    return reverse("admin:altegio_loyalty_location_test_connection", args=[location.pk])


test_url.__test__ = False  # type: ignore[attr-defined]


def said(response: Any) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


def form(location: Location, **changes: Any) -> dict[str, Any]:
    fields = {"title": location.title, "is_active": "on", "partner_token": "", "user_token": ""}
    return {**fields, **changes}


def break_token(location: Location) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE altegio_loyalty_location SET partner_token = 'fernet:broken' WHERE id = %s", [location.pk]
        )


@pytest.fixture
def location() -> Location:
    return Location.objects.create(id=4564, title="Main Street", partner_token=PARTNER, user_token=USER)


@pytest.fixture
def boss(sign_in: Callable[..., Client]) -> Client:
    return sign_in("view_location", "add_location", "change_location", "delete_location")


# Tokens


@pytest.mark.parametrize("codenames", [("view_location",), ("view_location", "change_location"), ("*",)])
def test_no_token_is_in_the_html_of_the_list_the_page_or_the_history(
    sign_in: Callable[..., Client], location: Location, codenames: tuple[str, ...]
) -> None:
    browser = sign_in(*codenames)
    stored = [Location.objects.get().partner_token.to_stored(), Location.objects.get().user_token.to_stored()]
    history = reverse("admin:altegio_loyalty_location_history", args=[location.pk])
    for url in (reverse(LIST), page_of(location), history):
        html = browser.get(url).content.decode()
        assert "Main Street" in html
        for secret in (PARTNER, USER, *stored):
            assert secret not in html


def test_a_token_typed_into_a_form_with_another_mistake_is_not_shown_back(
    boss: Client, location: Location
) -> None:
    for url, fields in ((page_of(location), {}), (reverse(ADD), {"id": "77"})):
        answer = boss.post(
            url, form(location, title="", partner_token="typed-token-1", user_token="typed-token-2", **fields)
        )
        html = answer.content.decode()
        assert answer.status_code == 200
        assert "This field is required" in html
        assert "typed-token" not in html


def test_a_token_that_cannot_be_sent_is_refused_without_repeating_it(
    boss: Client, location: Location
) -> None:
    html = boss.post(page_of(location), form(location, user_token="two words")).content.decode()
    assert "no spaces" in html
    assert "two words" not in html
    assert Location.objects.get().user_token == USER


def test_a_blank_token_keeps_the_old_one(boss: Client, location: Location) -> None:
    answer = boss.post(page_of(location), form(location, title="New title", user_token="  "))
    assert answer.status_code == 302
    changed: Any = Location.objects.get()  # whose tokens equal their texts
    assert (changed.title, changed.partner_token, changed.user_token) == ("New title", PARTNER, USER)
    assert changed.credentials_version == location.credentials_version


def test_a_token_that_the_form_does_not_send_at_all_stays(boss: Client, location: Location) -> None:
    break_token(location)
    assert boss.post(page_of(location), {"title": "T", "is_active": "on"}).status_code == 302
    assert Location.objects.get().title == "T"
    assert Location.objects.get().user_token == USER


def test_a_new_token_replaces_one_and_leaves_the_other(boss: Client, location: Location) -> None:
    boss.post(page_of(location), form(location, user_token=" fresh-token "))
    changed: Any = Location.objects.get()  # whose tokens equal their texts
    assert (changed.partner_token, changed.user_token) == (PARTNER, "fresh-token")
    assert changed.credentials_version == location.credentials_version + 1


def test_neither_history_nor_session_nor_message_carries_a_token(boss: Client, location: Location) -> None:
    answer = boss.post(page_of(location), form(location, user_token="fresh-token-abc"))
    boss.post(
        reverse(ADD),
        {"id": "77", "title": "Two", "partner_token": "added-token-abc", "user_token": "x-token-abc"},
    )
    entries = list(LogEntry.objects.all())
    assert len(entries) == 2
    kept = [f"{entry.change_message} {entry.object_repr}" for entry in entries]
    kept += [str(session.get_decoded()) for session in Session.objects.all()]
    kept += said(answer)
    for text in kept:
        assert "token-abc" not in text
        assert PARTNER not in text


def test_the_page_says_whether_a_token_is_stored(boss: Client, location: Location) -> None:
    Location.objects.filter(pk=location.pk).update(user_token="")
    html = boss.get(page_of(location)).content.decode()
    assert "One is stored, and it is not shown." in html
    assert "None is stored yet." in html


def test_an_undecryptable_token_breaks_neither_the_list_nor_the_page_nor_a_change_of_title(
    boss: Client, location: Location
) -> None:
    break_token(location)
    assert "stored token cannot be read" in boss.get(reverse(LIST)).content.decode()
    assert "none of ENCRYPTION_KEYS can read it" in boss.get(page_of(location)).content.decode()
    assert boss.post(page_of(location), form(location, title="Other")).status_code == 302
    assert Location.objects.get().title == "Other"


def test_an_undecryptable_token_can_be_replaced(boss: Client, location: Location) -> None:
    break_token(location)
    assert boss.post(page_of(location), form(location, partner_token="fresh-token")).status_code == 302
    assert Location.objects.get().partner_token == "fresh-token"


@pytest.mark.parametrize("lookup", ["partner_token__startswith", "user_token", "partner_token__contains"])
def test_a_lookup_on_a_token_is_refused(boss: Client, location: Location, lookup: str) -> None:
    assert boss.get(reverse(LIST), {lookup: "p"}).status_code == 400


def test_the_id_is_editable_only_when_adding(boss: Client, location: Location) -> None:
    assert 'name="id"' in boss.get(reverse(ADD)).content.decode()
    assert 'name="id"' not in boss.get(page_of(location)).content.decode()
    boss.post(page_of(location), form(location, id="999"))
    assert list(Location.objects.values_list("pk", flat=True)) == [location.pk]


@pytest.mark.parametrize("number", ["0", "-3", "9" * 30, "abc", "\x00", "4564"])
def test_an_id_that_cannot_be_is_a_message_and_not_a_crash(
    boss: Client, location: Location, number: str
) -> None:
    answer = boss.post(reverse(ADD), {"id": number, "title": "Two"})
    assert answer.status_code == 200
    assert "errorlist" in answer.content.decode()
    assert Location.objects.count() == 1


# Health


def test_the_list_says_in_words_how_each_connection_is(boss: Client) -> None:
    tokens = {"partner_token": "p", "user_token": "u"}
    Location.objects.create(id=1, title="A")
    Location.objects.create(id=2, title="B", **tokens)
    Location.objects.create(id=3, title="C", credentials_worked_at="2020-01-02T14:05:00Z", **tokens)
    Location.objects.create(
        id=4, title="D", refused_at="2020-01-02T14:05:00Z", refused_reason="Wrong token", **tokens
    )
    Location.objects.create(id=5, title="E", partner_token="p")
    html = boss.get(reverse(LIST)).content.decode()
    for words in (
        "no tokens", "never tried", "works, last 01/02/2020 14:05", "refused since 01/02/2020 14:05: Wrong token",
        "one of the two tokens is missing",
    ):  # fmt: skip
        assert words in html


def test_saving_new_tokens_ends_a_pause_and_says_so(boss: Client, location: Location) -> None:
    Location.objects.update(refused_at="2020-01-02T14:05:00Z", refused_reason="Wrong token")
    answer = boss.post(page_of(location), form(location, user_token="fresh-token"))
    assert any("is resumed" in text for text in said(answer))
    assert not Location.objects.get().is_paused


def test_saving_the_refused_tokens_again_stays_paused_and_says_so(boss: Client, location: Location) -> None:
    Location.objects.update(refused_at="2020-01-02T14:05:00Z", refused_reason="Wrong token")
    answer = boss.post(page_of(location), form(location, user_token=USER))
    assert any("stays paused" in text for text in said(answer))
    assert Location.objects.get().is_paused


def test_saving_a_title_overwrites_no_health_written_meanwhile(boss: Client, location: Location) -> None:
    def refuse(**kwargs: Any) -> None:
        # A worker's 401 arrives between the read of the row and its save.
        Location.objects.update(refused_at="2020-01-02T14:05:00Z", refused_reason="Wrong token")

    pre_save.connect(refuse, sender=Location)
    try:
        boss.post(page_of(location), form(location, title="Other"))
    finally:
        pre_save.disconnect(refuse, sender=Location)
    assert Location.objects.get().title == "Other"
    assert Location.objects.get().is_paused


# Test connection


def test_a_working_connection_is_one_good_line_for_each_check(boss: Client, salon: Salon) -> None:
    answer: Any = boss.post(test_url(salon.location))
    assert (answer.status_code, answer.url) == (302, page_of(salon.location))
    assert said(answer) == [
        "Altegio accepts the tokens and shows the location: yes (Main Street)",
        "The user may work with loyalty: yes",
    ]


def test_a_401_pauses_and_a_later_success_resumes(boss: Client, salon: Salon) -> None:
    Location.objects.filter(pk=salon.location.pk).update(user_token="wrong-token")
    answer = boss.post(test_url(salon.location))
    assert "Altegio accepts the tokens and shows the location: no." in said(answer)[0]
    assert Location.objects.get().is_paused
    assert "refused since" in boss.get(reverse(LIST)).content.decode()
    Location.objects.filter(pk=salon.location.pk).update(user_token=salon.sandbox.user_token)
    answer = boss.post(test_url(salon.location))
    assert "The tokens work again" in said(answer)[-1]
    assert not Location.objects.get().is_paused
    assert LogEntry.objects.count() == 1


def test_a_dead_user_token_is_no_and_the_pause_is_told(boss: Client, salon: Salon) -> None:
    """Although the partner token alone shows the location."""
    salon.fail("status_401", path="permissions")
    texts = said(boss.post(test_url(salon.location)))
    assert ": no." in texts[0]
    assert "The location is paused" in texts[0]
    assert not any(": yes" in text for text in texts)
    assert Location.objects.get().is_paused


def test_a_pause_that_was_not_altegios_is_not_told_as_a_refusal(boss: Client, salon: Salon) -> None:
    """The key is there again, but nothing was read since."""
    whole = Location.objects.get()
    break_token(salon.location)
    boss.post(test_url(salon.location))
    Location.objects.update(partner_token=whole.partner_token, user_token=whole.user_token)
    assert Location.objects.get().is_paused
    html = boss.get(reverse(LIST)).content.decode()
    assert "paused since" in html
    assert "refused since" not in html


def test_a_missing_right_is_named(boss: Client, salon: Salon) -> None:
    salon.ledger.location(salon.location.pk).loyalty_access = False
    texts = said(boss.post(test_url(salon.location)))
    assert texts[0].endswith("yes (Main Street)")
    assert "loyalty_access" in texts[1]
    assert ": no." in texts[1]


def test_a_location_that_the_user_may_not_see_is_named_as_such(boss: Client, salon: Salon) -> None:
    salon.ledger.location(salon.location.pk).is_visible = False
    texts = said(boss.post(test_url(salon.location)))
    assert len(texts) == 1
    assert "may not" in texts[0]


@pytest.mark.parametrize("fault", [REFUSED, "html", "hang", "deep", "nul_text", "status_500", "redirect"])
def test_whatever_altegio_answers_the_page_comes_back_with_a_message(
    boss: Client, salon: Salon, fault: str
) -> None:
    salon.fail(fault)
    answer = boss.post(test_url(salon.location), follow=True)
    assert answer.status_code == 200
    assert "messagelist" in answer.content.decode()


def test_a_location_without_tokens_is_told_so_and_nothing_is_sent(boss: Client, salon: Salon) -> None:
    Location.objects.update(user_token="")
    assert "A token of this location is missing" in said(boss.post(test_url(salon.location)))[0]
    assert not salon.sandbox.requests


def test_an_undecryptable_token_makes_the_test_say_so(boss: Client, salon: Salon) -> None:
    break_token(salon.location)
    assert "ENCRYPTION_KEYS" in said(boss.post(test_url(salon.location)))[0]


def test_the_action_tests_several_and_names_each(boss: Client, salon: Salon) -> None:
    other = salon.add_location("Second Street")
    Location.objects.filter(pk=other.pk).update(user_token="wrong-token")
    chosen = {"action": "test_connections", "_selected_action": [salon.location.pk, other.pk]}
    texts = said(boss.post(reverse(LIST), chosen))
    assert len(texts) == 3
    assert all(text.startswith(("Main Street (", "Second Street (")) for text in texts)


def test_no_token_is_in_what_a_connection_test_leaves_behind(boss: Client, salon: Salon) -> None:
    answer = boss.post(test_url(salon.location), follow=True)
    texts = [answer.content.decode(), *(str(session.get_decoded()) for session in Session.objects.all())]
    for text in texts:
        assert salon.sandbox.partner_token not in text
        assert salon.sandbox.user_token not in text


# Permissions


def test_get_tests_nothing(boss: Client, salon: Salon) -> None:
    assert boss.get(test_url(salon.location)).status_code == 405
    assert not salon.sandbox.requests


def test_who_may_only_look_sees_no_button_and_may_not_test(
    sign_in: Callable[..., Client], salon: Salon
) -> None:
    viewer = sign_in("view_location")
    html = viewer.get(page_of(salon.location)).content.decode()
    assert "Test connection" not in html
    assert 'type="password"' not in html
    assert "Test connection" not in viewer.get(reverse(LIST)).content.decode()
    assert viewer.post(test_url(salon.location)).status_code == 403
    viewer.post(reverse(LIST), {"action": "test_connections", "_selected_action": [salon.location.pk]})
    assert not salon.sandbox.requests


def test_who_has_no_permission_or_is_not_signed_in_gets_nowhere(
    sign_in: Callable[..., Client], salon: Salon
) -> None:
    assert sign_in("view_visit").post(test_url(salon.location)).status_code == 403
    assert "/login/" in Client().post(test_url(salon.location))["Location"]
    assert not salon.sandbox.requests


def test_without_the_csrf_token_nothing_is_tested(sign_in: Callable[..., Client], salon: Salon) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = sign_in("*").cookies
    assert strict.post(test_url(salon.location)).status_code == 403
    assert not salon.sandbox.requests


def test_the_button_belongs_to_a_form_with_a_csrf_token(boss: Client, salon: Salon) -> None:
    html = boss.get(page_of(salon.location)).content.decode()
    assert 'form="altegio-test-connection"' in html
    _, _, own_form = html.partition('id="altegio-test-connection"')
    assert "csrfmiddlewaretoken" in own_form.partition("</form>")[0]


# What surrounds it


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("way", ["page", "list"])
def test_a_site_with_atomic_requests_calls_altegio_outside_of_any_transaction(
    boss: Client, salon: Salon, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)
    was_atomic: list[bool] = []

    def watch(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith("UPDATE") and "credentials_worked_at" in sql:
            was_atomic.append(connection.in_atomic_block)
        return execute(sql, *rest)

    with connection.execute_wrapper(watch):
        if way == "page":
            boss.post(test_url(salon.location))
        else:
            boss.post(reverse(LIST), {"action": "test_connections", "_selected_action": [salon.location.pk]})
    assert was_atomic
    assert not any(was_atomic)


@pytest.mark.django_db(transaction=True)
def test_a_ticked_location_that_left_the_list_or_is_gone__is_tested_or_named(
    salon: Salon, boss: Client
) -> None:
    Location.objects.update(is_active=False)
    chosen = {"action": "test_connections", "_selected_action": [salon.location.pk, 77]}
    told = said(boss.post(f"{reverse(LIST)}?is_active__exact=1", chosen))
    assert told[0] == "A location that was ticked is not here any more."
    assert "Altegio accepts the tokens and shows the location: yes" in told[1]


@pytest.mark.parametrize("typed", ["4.000", "4,000", "4 000", "4_000", "4e3", "４", "0"])
def test_a_number_with_a_mark_in_it__adds_no_other_location(boss: Client, typed: str) -> None:
    boss.post(reverse(ADD), {"title": "New", "is_active": "on", "id": typed})
    assert not Location.objects.filter(title="New").exists()


@pytest.mark.parametrize("term", ["9" * 40, "\x00", "'", '"', "%_\\", "﷽", "Main", "4564", " "])
def test_no_search_breaks_the_list(boss: Client, location: Location, term: str) -> None:
    assert boss.get(reverse(LIST), {"q": term}).status_code == 200


@pytest.mark.parametrize("number", ["9" * 40, "abc", "_00", "-1"])
def test_a_page_of_no_location_leads_back(boss: Client, number: str) -> None:
    assert boss.get(reverse("admin:altegio_loyalty_location_change", args=[number])).status_code == 302
    assert (
        boss.post(reverse("admin:altegio_loyalty_location_test_connection", args=[number])).status_code == 302
    )


def test_a_location_with_visits_is_not_deleted(
    boss: Client, sign_in: Callable[..., Client], location: Location
) -> None:
    Visit.objects.create(id=1, location=location, record_id=2, client_name="Jane")
    url = reverse("admin:altegio_loyalty_location_delete", args=[location.pk])
    html = boss.post(url, {"post": "yes"}).content.decode()
    assert "visits and operations of Main Street" in html
    boss.post(reverse(LIST), {"action": "delete_selected", "_selected_action": [location.pk], "post": "yes"})
    assert Location.objects.count() == 1


def test_a_location_that_was_never_used_can_be_deleted(boss: Client, location: Location) -> None:
    boss.post(reverse("admin:altegio_loyalty_location_delete", args=[location.pk]), {"post": "yes"})
    assert not Location.objects.exists()


def test_the_list_and_the_page_cost_few_queries_however_many_rows(
    boss: Client, location: Location, django_assert_max_num_queries: Any
) -> None:
    Location.objects.bulk_create(
        Location(id=n, title=f"No. {n}", partner_token="p", user_token="u") for n in range(1, 60)
    )
    with django_assert_max_num_queries(9):
        assert boss.get(reverse(LIST)).status_code == 200
    with django_assert_max_num_queries(9):
        assert boss.get(page_of(location)).status_code == 200
