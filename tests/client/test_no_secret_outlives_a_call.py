"""Whatever ends a call, on whatever line: no token, no login and no password is within reach of what was raised.

Each call is looked at as error trackers do, and further: see `trackers`.
"""

from __future__ import annotations

import base64
import copy
import dataclasses
import functools
import json
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from altegio_loyalty import exceptions
from altegio_loyalty.client import AltegioClient, Credentials, Hidden, Limits
from altegio_loyalty.client.hidden import hides_frames
from tests.client.rawserver import (
    VISIT,
    RawServer,
    Talk,
    answering,
    http_answer,
    make_certificate,
    transport_to,
    withdraw,
)
from tests.client.trackers import Striking, Tracker, ending_of, spellings, steps_to_strike, struck_in

#: A connection that is cut short while it opens is closed by whoever collects the garbage.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)

PARTNER, USER, LOGIN, PASSWORD, PROXY = (
    'par/7c1a"9e', "usr-44d0-b81c", "jane@4f.example", 'pa"ss/0c5d', "pr0xy-61ae"
)  # fmt: skip
SECRETS = {"partner": PARTNER, "user": USER, "login": LOGIN, "password": PASSWORD, "proxy": PROXY}


TO_FIND = {way for secret in SECRETS.values() for way in spellings(secret)} | {
    base64.b64encode(f"joe:{PROXY}".encode()).decode()
}


class SoftTimeLimitExceeded(Exception):
    """Raised by Celery's signal handler."""


STRIKES = (SystemExit, MemoryError, KeyboardInterrupt, SoftTimeLimitExceeded, OSError)
LIMITS = Limits(connect_timeout=20, read_timeout=20, total_timeout=30, answer_bytes=4096)


TOKENS = Credentials(Hidden(PARTNER), Hidden(USER))
PERSON = Hidden(LOGIN), Hidden(PASSWORD)


def take(client: AltegioClient) -> Any:
    return withdraw(client)


def log_in(client: AltegioClient) -> Any:
    return client.auth(*PERSON)


def look(client: AltegioClient) -> Any:
    return client.visit_details(1, 2, 3)


#: What each of them sends, and a server may echo.
SENT: dict[Callable[[AltegioClient], Any], list[str]] = {
    take: [PARTNER, USER],
    look: [PARTNER, USER],
    log_in: [PARTNER, LOGIN, PASSWORD],
}
CALLS = pytest.mark.parametrize("call", SENT)


def echoing(call: Callable[[AltegioClient], Any], status: str) -> Callable[[Talk], None]:
    said = {"success": False, "meta": {"message": "no " + " ".join(SENT[call])}}
    return answering(http_answer(said, status))


def leaks_of(error: BaseException | None) -> list[str]:
    return Tracker().show(error).finds(TO_FIND)


# Every kind of failure


def _cut(talk: Talk) -> None:
    talk.request()


STATUSES = {
    "500 Oops": exceptions.ServerError,
    "429 Many": exceptions.RateLimited,
    "401 No": exceptions.Unauthorized,
    "403 No": exceptions.Refused,
    "200 OK": exceptions.Refused,
}
NO_ANSWERS: dict[str, tuple[type[exceptions.ApiError], Callable[[Talk], None]]] = {
    "cut": (exceptions.NoAnswer, _cut),
    "nonsense": (exceptions.NoAnswer, answering(b"HTTP/1.1 " + PARTNER.encode() + b"\r\n\r\n")),
    "no JSON": (exceptions.UnreadableAnswer, answering(http_answer(f"<p>{PARTNER}".encode()))),
    "neither": (exceptions.UnreadableAnswer, answering(http_answer(json.dumps(PARTNER).encode()))),
    "no object": (exceptions.UnreadableAnswer, answering(http_answer([PARTNER]))),
    "too large": (exceptions.UnreadableAnswer, answering(http_answer(PARTNER.encode() * 999))),
}


@CALLS
@pytest.mark.parametrize("status", STATUSES)
def test_no_failure_leaves_a_secret(status: str, call: Callable[[AltegioClient], Any]) -> None:
    with RawServer(echoing(call, status)) as server, transport_to(server.url, LIMITS) as transport:
        error = ending_of(lambda: call(AltegioClient(transport, TOKENS)))
    assert type(error) is STATUSES[status]
    assert leaks_of(error) == []


@CALLS
@pytest.mark.parametrize("trouble", NO_ANSWERS)
def test_no_answer_that_cannot_be_used_leaves_a_secret(
    trouble: str, call: Callable[[AltegioClient], Any]
) -> None:
    kind, behaviour = NO_ANSWERS[trouble]
    with RawServer(behaviour) as server, transport_to(server.url, LIMITS) as transport:
        error = ending_of(lambda: call(AltegioClient(transport, TOKENS)))
    assert isinstance(error, kind)
    assert leaks_of(error) == []


def test_a_call_that_cannot_be_sent_leaves_no_secret() -> None:
    bad = Credentials(Hidden(PARTNER + " x"), Hidden(USER))
    proxy = Hidden(f"http://joe:{PROXY}@127.0.0.1:9")
    for credentials in (bad, TOKENS):
        with transport_to("https://127.0.0.1:9", LIMITS, proxy) as transport:
            client = AltegioClient(transport, credentials)
            error = ending_of(functools.partial(log_in, client))
        assert type(error) is exceptions.NotSent
        assert leaks_of(error) == []


def test_a_proxy_that_echoes_its_password_leaves_none() -> None:
    with RawServer(answering(http_answer(f"wrong: {PROXY}".encode(), "407 No"))) as server:
        proxy = Hidden(f"http://joe:{PROXY}@127.0.0.1:{server.port}")
        with transport_to("http://api.invalid", LIMITS, proxy) as transport:
            error = ending_of(lambda: look(AltegioClient(transport, TOKENS)))
        assert base64.b64encode(f"joe:{PROXY}".encode()) in server.received
    assert type(error) is exceptions.UnreadableAnswer
    assert leaks_of(error) == []


# Wherever a call waits


def _unread(talk: Talk) -> None:
    time.sleep(15)


def _drips(talk: Talk) -> None:
    talk.request()
    talk.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n" + b'{"no": "' + PARTNER.encode())
    time.sleep(15)


def _send_much(client: AltegioClient) -> Any:
    payload = {"login": PERSON[0], "password": PERSON[1], "more": Hidden("m" * 16_000_000)}
    return client._log_in(payload)


WAITS: dict[str, tuple[Callable[[Talk], None], Callable[[AltegioClient], Any], str]] = {
    "sending": (_unread, _send_much, "_Watched.send"),
    "waiting": (_unread, log_in, "_DeadlineReader.readinto"),
    "reading": (_drips, take, "_DeadlineReader.readinto"),
}


@pytest.mark.parametrize("strike", STRIKES[:4])
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("wait", WAITS)
def test_a_signal_while_a_call_waits_leaves_no_secret(
    wait: str, scheme: str, strike: type[BaseException], tmp_path: Path
) -> None:
    behaviour, call, place = WAITS[wait]
    context, trusted = make_certificate(tmp_path)
    with (
        RawServer(behaviour, tls=context if scheme == "https" else None) as server,
        transport_to(server.url, LIMITS) as transport,
        struck_in(place, strike),
    ):
        transport._session.verify = str(trusted)
        error = ending_of(lambda: call(AltegioClient(transport, TOKENS)))
    assert type(error) is strike
    assert leaks_of(error) == []
    assert strike is MemoryError or "Transport.request" in error.__notes__[0]  # where it was is told


@pytest.mark.parametrize("strike", STRIKES[:4])
def test_a_signal_while_a_call_connects_leaves_no_secret(full_port: int, strike: type[BaseException]) -> None:
    proxy = Hidden(f"http://joe:{PROXY}@127.0.0.1:{full_port}")
    for url, way in ((f"http://127.0.0.1:{full_port}", Hidden()), ("https://api.invalid", proxy)):
        with transport_to(url, LIMITS, way) as transport, struck_in("_Watched._new_conn", strike):
            error = ending_of(lambda: log_in(AltegioClient(transport, TOKENS)))
        assert type(error) is strike
        assert leaks_of(error) == []


@pytest.mark.parametrize("strike", STRIKES[:4])
def test_a_signal_during_the_handshake_leaves_no_secret(strike: type[BaseException]) -> None:
    with RawServer(_unread) as server:
        url = server.url.replace("http:", "https:")
        with transport_to(url, LIMITS) as transport, struck_in("SSLSocket.do_handshake", strike):
            error = ending_of(lambda: log_in(AltegioClient(transport, TOKENS)))
    assert type(error) is strike
    assert leaks_of(error) == []


@pytest.mark.parametrize("call", [*SENT, lambda client: client.auth(LOGIN, PASSWORD)])
def test_no_frame_of_a_call_that_waits_holds_a_secret(call: Callable[[AltegioClient], Any]) -> None:
    """Trackers print the whole stack for a line in the log as well, without that anything was raised.

    A plain login may stand in the frames of the caller, but not in ours.
    """
    found: list[str] = []

    def behave(talk: Talk) -> None:
        talk.request()
        time.sleep(0.1)
        frame = sys._current_frames()[threading.main_thread().ident or 0]
        found.extend(Tracker().show_stack(frame).finds(TO_FIND))
        found.append("looked")

    with RawServer(behave) as server, transport_to(server.url, LIMITS) as transport:
        ending_of(lambda: call(AltegioClient(transport, TOKENS)))
    assert found == ["looked"]


# On every line

CLIENT = ("altegio_loyalty.client", "altegio_loyalty.redaction", "altegio_loyalty.exceptions")
BELOW = ("requests", "urllib3", "http.client", "ssl", "socket", "json.decoder")


def strike_everywhere(call: Callable[[], Any], most_of_theirs: int) -> Iterator[BaseException | None]:
    """The call once for each step: a different error strikes there."""
    modules = (*CLIENT, *BELOW)
    recorded = Striking(modules)
    ending_of(call, recorded)
    steps = steps_to_strike(recorded.trail, "altegio_loyalty", most_of_theirs)
    assert len(steps) > most_of_theirs
    for number, at in enumerate(steps):
        yield ending_of(call, Striking(modules, STRIKES[number % len(STRIKES)](), at))


@pytest.mark.parametrize(
    ("call", "behaviour"),
    [
        (take, answering(http_answer({**VISIT, "echo": [PARTNER, USER]}))),
        (take, echoing(take, "401 No")),
        (log_in, answering(http_answer({"data": {"user_token": USER}}, "201 Created"))),
        (log_in, echoing(log_in, "403 No")),
        (look, NO_ANSWERS["nonsense"][1]),
    ],
    ids=["taken", "taken 401", "logged in", "logged in 403", "looked nonsense"],
)
def test_an_error_on_any_line_leaves_no_secret(
    call: Callable[[AltegioClient], Any], behaviour: Callable[[Talk], None]
) -> None:
    """And one that becomes a failure of the call tells whether anything had left."""
    paths: list[str] = []
    not_sent: list[str] = []
    with RawServer(behaviour) as server:

        def afresh() -> None:
            paths.append(f"/call-{len(paths)}")
            with transport_to(server.url + paths[-1], LIMITS) as transport:
                call(AltegioClient(transport, TOKENS))

        for error in strike_everywhere(afresh, 80):
            assert leaks_of(error) == []
            if isinstance(error, exceptions.NotSent):
                not_sent.append(paths[-1])
        time.sleep(0.1)
        assert not_sent
        assert [path for path in not_sent if f"{path}/".encode() in server.received] == []


def test_an_error_on_any_line_leaves_no_password_of_a_proxy() -> None:
    with RawServer(answering(http_answer(b"", "407 No"))) as server:
        proxy = Hidden(f"http://joe:{PROXY}@127.0.0.1:{server.port}")

        def afresh() -> None:
            with transport_to("https://api.invalid", LIMITS, proxy) as transport:
                look(AltegioClient(transport, TOKENS))

        for error in strike_everywhere(afresh, 80):
            assert leaks_of(error) == []
        assert b"Bearer" not in server.received


# What holds the secrets


def test_credentials_show_nothing_however_they_are_asked() -> None:
    held = TOKENS
    assert Tracker().show([held, copy.copy(held), copy.deepcopy(held)]).finds(TO_FIND) == []
    ways: list[Callable[[Any], Any]] = [vars, pickle.dumps, dataclasses.asdict, json.dumps, iter]
    for ask in ways:
        with pytest.raises(TypeError):
            ask(held)
    assert held.partner_token == PARTNER
    assert held.partner_token != USER


def test_an_error_keeps_what_its_caller_was_at_work_on() -> None:
    """Only what lies below the call is cut: a caller's own `except` stays visible above it."""

    @hides_frames
    def fail() -> None:
        raise RuntimeError("below") from ValueError("hidden")

    def caller() -> None:
        try:
            raise KeyError("the caller's")
        except KeyError:
            fail()

    error = ending_of(caller)
    assert error is not None
    assert (str(error), error.__cause__, error.__suppress_context__) == ("below", None, False)
    assert isinstance(error.__context__, KeyError)


# Real trackers


def test_djangos_page_of_an_error_shows_no_secret() -> None:
    from django.views.debug import ExceptionReporter

    with RawServer(echoing(log_in, "500 Oops")) as server:
        with transport_to(server.url, LIMITS) as transport:
            error = ending_of(lambda: log_in(AltegioClient(transport, TOKENS)))
    assert error is not None
    page = ExceptionReporter(None, type(error), error, error.__traceback__).get_traceback_html()
    assert "_log_in" in page
    assert Tracker().show(page).finds(TO_FIND) == []


def _reported_to_sentry(call: Callable[[], Any]) -> str:
    """Sentry with its default set-up; in a child, since it patches whatever it finds."""
    reading, writing = os.pipe()
    if child := os.fork():
        os.close(writing)
        with os.fdopen(reading) as pipe:
            text = pipe.read()
        os.waitpid(child, 0)
        return text
    try:
        import sentry_sdk
        from sentry_sdk.transport import Transport

        class Collecting(Transport):
            def capture_envelope(self, envelope: Any) -> None:
                os.write(writing, envelope.serialize())

        sentry_sdk.init(dsn="http://key@127.0.0.1:9/1", transport=Collecting)
        error = ending_of(call)
        sentry_sdk.capture_exception(error)
    finally:
        os._exit(0)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("wait", WAITS)
def test_sentry_gets_no_secret(wait: str) -> None:
    pytest.importorskip("sentry_sdk")
    behaviour, call, place = WAITS[wait]
    with RawServer(behaviour) as server, transport_to(server.url, LIMITS) as transport:

        def struck() -> None:
            with struck_in(place, SoftTimeLimitExceeded):
                call(AltegioClient(transport, TOKENS))

        report = _reported_to_sentry(struck)
    assert '"vars"' in report
    assert "SoftTimeLimitExceeded" in report
    assert Tracker().show(report).finds(TO_FIND) == []
