"""Rule 6: a 401 pauses one location and nothing else; new tokens or a good connection test resume it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.fernet import Fernet

from altegio_loyalty import exceptions, services
from altegio_loyalty.client.transport import _kept
from altegio_loyalty.fields import Secret
from altegio_loyalty.gateway import client_for
from altegio_loyalty.models import Location, LoyaltyOperation
from tests.client.rawserver import RawServer, answering, http_answer
from tests.client.trackers import Striking, Tracker, ending_of, spellings, steps_to_strike
from tests.delivery.salon import WITHDRAWAL, Salon, Status

pytestmark = pytest.mark.django_db


def renew(location: Location, salon: Salon) -> None:
    stored = Location.objects.get(pk=location.pk)
    stored.partner_token, stored.user_token = salon.sandbox.partner_token, salon.sandbox.user_token
    stored.save()
    location.refresh_from_db()


@pytest.mark.parametrize("path", ["visit_details", "apply_card_withdrawal"])
def test_401__pauses_the_location_and_uses_no_attempt(salon: Salon, path: str) -> None:
    """The operation waits, as if it had not been tried; nothing more is sent for the location."""
    salon.fail("status_401", path=path, times=1)
    operation = salon.withdraw()
    salon.location.refresh_from_db()
    assert salon.location.is_paused
    assert salon.location.refused_reason
    assert (operation.status, operation.attempt_count) == (Status.PENDING, 0)
    request_count = len(salon.sandbox.requests)
    salon.sweep(times=3)
    later = salon.withdraw()
    assert later.status == Status.PENDING
    assert len(salon.sandbox.requests) == request_count
    assert "tokens" in later.sentence


def open_client(location: Location) -> None:
    _kept.transport = None
    client_for(location)._transport.close()


@pytest.mark.parametrize("is_key_lost", [False, True], ids=["key", "key lost"])
@pytest.mark.parametrize(
    "ask", [open_client, lambda location: location.credentials().are_sendable], ids=["client", "check"]
)
def test_an_error_on_any_line__on_the_way_to_a_client__leaves_no_secret(
    ask: Callable[[Location], Any], is_key_lost: bool, settings: Any
) -> None:
    """Neither a token, nor a key that it is stored with, nor the password of the proxy."""
    partner, user, password = "partner-5f1c", "user-77ab", "pr0xy-61ae"
    keys = [Fernet.generate_key().decode() for _ in range(2)]
    proxy = {"PROXY_URL": "http://joe@127.0.0.1:9", "PROXY_PASSWORD": password}
    site = {**settings.ALTEGIO_LOYALTY, **proxy}
    settings.ALTEGIO_LOYALTY = {**site, "ENCRYPTION_KEYS": keys[:1]}
    made = Location(id=1, partner_token=partner, user_token=user)
    stored = [token.to_stored() for token in (made.partner_token, made.user_token)]
    settings.ALTEGIO_LOYALTY = {**site, "ENCRYPTION_KEYS": keys[1:] if is_key_lost else keys}
    raw = [base64.urlsafe_b64decode(key).decode("latin-1") for key in keys]
    halves = {half for key in raw for half in (key[:16], key[16:])}  # as a Fernet holds them
    to_find = {way for secret in (partner, user, password, *keys) for way in spellings(secret)} | halves

    def afresh() -> None:
        ask(Location(id=1, partner_token=Secret(stored=stored[0]), user_token=Secret(stored=stored[1])))

    modules = ("altegio_loyalty", "cryptography", "requests", "urllib3")
    recorded = Striking(modules)
    assert (ending_of(afresh, recorded) is not None) is is_key_lost
    steps = steps_to_strike(recorded.trail, "altegio_loyalty", 50)
    errors = [ending_of(afresh, Striking(modules, SystemExit(), at)) for at in steps]
    assert sum(isinstance(error, SystemExit) for error in errors) > 40
    assert [found for error in errors if (found := Tracker().show(error).finds(to_find))] == []


def test_the_password_of_a_proxy__is_sent_as_it_is_set_and_hidden_in_what_the_proxy_says(
    settings: Any,
) -> None:
    """Whatever letters are in it."""
    password = "a:b@c/%41 ?#"
    with RawServer(answering(http_answer(f"no: {password}".encode(), "407 No"))) as server:
        proxy = {"PROXY_URL": f"http://joe@127.0.0.1:{server.port}", "PROXY_PASSWORD": password}
        settings.ALTEGIO_LOYALTY = {"API_URL": "http://api.invalid/api/v1", **proxy}
        location = Location(id=1, partner_token="p", user_token="u")
        error = ending_of(lambda: client_for(location).visit_details(1, 2, 3))
    assert base64.b64encode(f"joe:{password}".encode()) in server.received
    assert isinstance(error, exceptions.UnreadableAnswer)
    assert "no: [hidden]" in error.body
    assert Tracker().show(error).finds(spellings(password)) == []


def test_401_many_times__uses_no_attempt(salon: Salon) -> None:
    """However often the tokens are refused, MAX_ATTEMPTS is not touched."""
    salon.configure(MAX_ATTEMPTS=2)
    salon.fail("status_401", path="apply_card_withdrawal")
    operation = salon.withdraw()
    for _ in range(5):
        Location.objects.update(refused_at=None)
        salon.sweep(operation)
        assert (operation.status, operation.attempt_count) == (Status.PENDING, 0)
    salon.heal()
    salon.sweep(operation)
    assert operation.status == Status.SUCCEEDED


def test_401__does_not_touch_other_locations(salon: Salon) -> None:
    """The others go on, even where the tokens are the same."""
    other = salon.add_location("Second Street")
    salon.fail("status_401", path=f"details/{salon.location.pk}")
    paused = salon.later()
    visit = salon.visit(location=other)
    working = salon.later(visit)
    salon.sweep(paused)
    working.refresh_from_db()
    assert (paused.status, working.status) == (Status.PENDING, Status.SUCCEEDED)
    assert services.apply_card_withdrawal(
        other, amount=1, **salon.where(salon.visit(location=other))
    ).status == (Status.SUCCEEDED)


def test_new_tokens__resume_the_waiting_operations(salon: Salon) -> None:
    """Tokens rotated while operations wait: saving the new ones is all that is needed."""
    salon.sandbox.rotate_tokens()
    first, second = salon.withdraw(), salon.later()
    renew(salon.location, salon)
    assert not salon.location.is_paused
    salon.run_to_the_end(first, second)
    assert {first.status, second.status} == {Status.SUCCEEDED}
    salon.assert_nothing_is_told_wrongly()


def test_connection_test__resumes_the_waiting_operations(salon: Salon) -> None:
    """The tokens were right all the time."""
    salon.fail("status_401", times=1)
    operation = salon.withdraw()
    assert services.test_connection(salon.location).is_good
    salon.sweep(operation)
    assert operation.status == Status.SUCCEEDED


def test_bad_connection_test__resumes_nothing(salon: Salon) -> None:
    """A location stays paused until its tokens are seen to work."""
    salon.fail("status_401")
    salon.withdraw()
    assert not services.test_connection(salon.location).is_good
    salon.location.refresh_from_db()
    assert salon.location.is_paused


def test_401_for_old_tokens__does_not_pause_the_new_ones(salon: Salon) -> None:
    """Tokens saved while a call with the old ones is on its way are not blamed for its 401."""
    operation = salon.later()
    stale = LoyaltyOperation.objects.select_related("location").get(pk=operation.pk)
    salon.sandbox.rotate_tokens()
    renew(salon.location, salon)
    from altegio_loyalty.delivery.claims import claim_to_send
    from altegio_loyalty.delivery.sending import send

    claim = claim_to_send(stale)
    assert claim is not None
    send(claim, for_person=True)
    salon.location.refresh_from_db()
    assert not salon.location.is_paused
    salon.run_to_the_end(operation)
    assert operation.status == Status.SUCCEEDED
    assert operation.attempt_count == 1


def test_401_in_doubt__keeps_the_doubt(salon: Salon) -> None:
    """A look-up with refused tokens proves nothing; it goes on when they are renewed."""
    salon.fail("cut_after", path="apply_card_withdrawal", times=1)
    visit = salon.visit()
    operation = salon.withdraw(visit)
    salon.sandbox.rotate_tokens()
    salon.sweep(operation, times=3)
    assert operation.status == Status.UNCONFIRMED
    renew(salon.location, salon)
    salon.run_to_the_end(operation)
    assert operation.status == Status.SUCCEEDED
    assert len(salon.effects(WITHDRAWAL, visit)) == salon.posts() == 1


def test_undecryptable_token__pauses_its_location_and_stops_no_other(salon: Salon) -> None:
    """One bad row in the table of locations is that location's trouble alone."""
    other = salon.add_location("Second Street")
    bad, good = salon.later(), salon.later(salon.visit(location=other))
    Location.objects.filter(pk=salon.location.pk).update(
        user_token=Secret(stored="fernet:nobody-can-read-this")
    )
    salon.sweep(bad)
    good.refresh_from_db()
    assert (bad.status, good.status) == (Status.PENDING, Status.SUCCEEDED)
    salon.location.refresh_from_db()
    assert salon.location.is_paused
    renew(salon.location, salon)
    salon.run_to_the_end(bad)
    assert bad.status == Status.SUCCEEDED


def test_location_switched_off__sends_nothing_until_it_is_on_again(salon: Salon) -> None:
    """A location deactivated while operations wait."""
    operation = salon.later()
    Location.objects.update(is_active=False)
    salon.sweep(operation, times=2)
    assert operation.status == Status.PENDING
    assert salon.sandbox.requests == []
    Location.objects.update(is_active=True)
    salon.sweep(operation)
    assert operation.status == Status.SUCCEEDED


@pytest.mark.parametrize(
    ("fault", "needed"),
    [("status_403", "may not use loyalty"), ("status_402", "licence"), ("status_404", "does not know")],
)
def test_402_403_404__say_what_is_missing(salon: Salon, fault: str, needed: str) -> None:
    """They end the operation, pause nobody, and tell staff what to do."""
    salon.fail(fault, path="apply_card_withdrawal", times=1)
    operation = salon.withdraw()
    assert operation.status == Status.REJECTED
    assert needed in operation.sentence
    salon.location.refresh_from_db()
    assert not salon.location.is_paused


def test_no_token_leaves_the_row_or_the_header(salon: Salon, caplog: Any) -> None:
    """No token in a log line of any library, in an attempt, in an error, in a sentence, or in a repr."""
    caplog.set_level("DEBUG")
    for fault in ("status_401", "status_500", "cut_after", "redirect"):
        salon.fail(fault, path="apply_card_withdrawal", times=1)
        salon.withdraw()
        salon.heal()
    salon.sweep(times=3)
    shown = [caplog.text, repr(salon.location), repr(salon.location.credentials())]
    for operation in LoyaltyOperation.objects.all():
        shown += [operation.last_error, operation.sentence, repr(vars(operation)), operation.discrepancy]
        shown += [repr(vars(attempt)) for attempt in operation.attempts.all()]
    assert "urllib3" in caplog.text
    for token in (salon.sandbox.partner_token, salon.sandbox.user_token):
        assert not [text for text in shown if token in text]


def test_token_echoed_by_the_server__is_masked(salon: Salon, caplog: Any) -> None:
    """Not even a server that repeats the tokens in its answer gets them into the log."""
    from tests.delivery.rawserver import RawServer, answer_of

    caplog.set_level("DEBUG")
    tokens = f"Bearer {salon.sandbox.partner_token}, User {salon.sandbox.user_token}"

    def answer(method: str, path: str, connection: object) -> bytes:
        return answer_of({"success": False, "meta": {"message": f"Bad header: {tokens}"}}, 422)

    with RawServer(answer) as server:
        salon.configure(API_URL=server.url)
        operation = salon.withdraw()
    shown = [caplog.text, operation.last_error, *operation.attempts.values_list("error", "answer").get()]
    for token in (salon.sandbox.partner_token, salon.sandbox.user_token):
        assert not [text for text in shown if token in text]
