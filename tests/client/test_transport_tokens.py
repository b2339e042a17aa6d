"""The tokens go to the API and nowhere else, and nothing of the machine or the server replaces them."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import pickle
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from altegio_loyalty import exceptions
from altegio_loyalty.client import AltegioClient, Credentials, Limits, Transport, shared_transport
from tests.client.rawserver import (
    PARTNER,
    QUICK,
    TOKENS,
    USER,
    VISIT,
    Behaviour,
    RawServer,
    Talk,
    answering,
    client_of,
    http_answer,
    make_certificate,
    transport_to,
    withdraw,
)

EXPECTED = f"authorization: bearer {PARTNER}, user {USER}\r\n".lower().encode()


# The header


def test_both_tokens_stand_in_one_header() -> None:
    with client_of(answering(http_answer(VISIT))) as (client, server):
        withdraw(client)
        assert server.received.lower().count(b"authorization:") == 1
        assert EXPECTED in server.received.lower()


def test_a_login_carries_the_partner_token_alone() -> None:
    with client_of(answering(http_answer({"data": {"user_token": "new"}}, "201 Created"))) as (
        client,
        server,
    ):
        assert client.auth("jane@example.com", "secret") == "new"
        assert f"Authorization: Bearer {PARTNER}\r\n".encode() in server.received
        assert USER.encode() not in server.received


@pytest.mark.parametrize(
    "bad", ["a b", "a,b", "a\r\nX-Evil: 1", "a\nb", "a\x00b", "ключ", "a\tb", "a\x7fb", "a\ud800"]
)
@pytest.mark.parametrize("which", ["partner", "user"])
def test_a_token_that_would_change_the_header_is_never_sent(bad: str, which: str) -> None:
    tokens = Credentials(bad, USER) if which == "partner" else Credentials(PARTNER, bad)
    with client_of(answering(http_answer(VISIT)), tokens=tokens) as (client, server):
        with pytest.raises(exceptions.NotSent) as caught:
            withdraw(client)
        assert server.received == b""
        assert bad not in str(caught.value)


def test_a_token_of_odd_but_sendable_characters_arrives_as_it_is() -> None:
    odd = "a:b@c/d?e#f%20g+h=i\"j'k<l>m\\n{o}|p~q^r`s;t&u"
    with client_of(answering(http_answer(VISIT)), tokens=Credentials(odd, USER)) as (client, server):
        withdraw(client)
        assert f"Authorization: Bearer {odd}, User {USER}\r\n".encode() in server.received


# Redirects


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 Other", "307 Temporary", "308 Permanent"])
@pytest.mark.parametrize("same_host", [True, False])
def test_a_redirect_is_never_followed_and_is_in_doubt(status: str, same_host: bool) -> None:
    with RawServer(answering(http_answer(VISIT))) as elsewhere:

        def redirect(talk: Talk) -> None:
            port = talk.sock.getsockname()[1] if same_host else elsewhere.port
            while talk.request() is not None:
                talk.sock.sendall(http_answer(b"", status, f"Location: http://127.0.0.1:{port}/elsewhere"))

        with client_of(redirect) as (client, server):
            for call in (lambda: withdraw(client), lambda: client.company(1)):
                with pytest.raises(exceptions.ServerError) as caught:
                    call()
                assert caught.value.http_status == int(status[:3])
            assert elsewhere.received == b""
            assert b"elsewhere" not in server.received


@pytest.mark.parametrize(
    "location", ["http://[::1", "\xff\xfe", "//", "http://", "file:///etc/passwd", "?", "\t"]
)
def test_a_redirect_to_nonsense_is_in_doubt(location: str) -> None:
    answer = http_answer(b"", "302 Found", f"Location: {location}")
    with client_of(answering(answer)) as (client, _):
        with pytest.raises((exceptions.ServerError, exceptions.NoAnswer)):
            withdraw(client)


# netrc, environment, cookies


@pytest.mark.parametrize("where", ["HOME", "NETRC"])
def test_a_netrc_file_never_replaces_the_tokens(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "machine 127.0.0.1 login thief password thief\ndefault login thief password thief\n"
    for name in (".netrc", "_netrc"):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    monkeypatch.setenv(where, str(tmp_path / ".netrc") if where == "NETRC" else str(tmp_path))
    with client_of(answering(http_answer(VISIT))) as (client, server):
        withdraw(client)
        assert EXPECTED in server.received.lower()
        assert b"basic" not in server.received.lower()


@pytest.mark.parametrize(
    "name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy"]
)
def test_proxies_of_the_environment_are_never_used(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        RawServer(answering(http_answer(VISIT))) as proxy,
        RawServer(answering(http_answer(VISIT))) as server,
    ):
        for no_proxy in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(no_proxy, raising=False)
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        with transport_to(server.url) as transport:
            withdraw(AltegioClient(transport, TOKENS))
        assert EXPECTED in server.received.lower()
        assert proxy.received == b""


def test_a_certificate_bundle_of_the_environment_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, trusted = make_certificate(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(trusted))
    monkeypatch.setenv("CURL_CA_BUNDLE", str(trusted))
    with (
        RawServer(answering(http_answer(VISIT)), tls=context) as server,
        transport_to(server.url) as transport,
    ):
        with pytest.raises(exceptions.NotSent):
            withdraw(AltegioClient(transport, TOKENS))
        assert server.received == b""


def test_a_cookie_of_the_server_is_never_sent_back() -> None:
    answer = http_answer(
        VISIT, "200 OK", "Set-Cookie: sid=42; Path=/", "Set-Cookie: other=1; Domain=127.0.0.1"
    )
    with client_of(answering(answer)) as (client, server):
        for _ in range(3):
            withdraw(client)
        assert b"cookie" not in server.received.lower()
        assert b"sid" not in server.received


# An explicit proxy


def relay(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := one.recv(65536):
            other.sendall(piece)
    with contextlib.suppress(OSError):
        other.shutdown(socket.SHUT_WR)


def tunnel_to(port: int, before: float = 0.0) -> Behaviour:
    """An HTTP proxy: opens the tunnel that CONNECT asks for, some seconds later."""

    def behave(talk: Talk) -> None:
        request = talk.request() or b""
        assert request.startswith(b"CONNECT ")
        time.sleep(before)
        with socket.create_connection(("127.0.0.1", port)) as onward:
            talk.sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            threading.Thread(target=relay, args=(onward, talk.sock), daemon=True).start()
            relay(talk.sock, onward)

    return behave


@contextlib.contextmanager
def behind_a_proxy(
    tmp_path: Path, before: float = 0.0, limits: Limits = QUICK
) -> Iterator[tuple[AltegioClient, RawServer, RawServer]]:
    context, trusted = make_certificate(tmp_path)
    with (
        RawServer(answering(http_answer(VISIT)), tls=context) as server,
        RawServer(tunnel_to(server.port, before)) as proxy,
        transport_to(server.url, limits, f"http://127.0.0.1:{proxy.port}") as transport,
    ):
        transport._session.verify = str(trusted)
        yield AltegioClient(transport, TOKENS), server, proxy


def test_an_explicit_proxy_is_used_for_http() -> None:
    """Even where the environment says that the host needs none."""
    with (
        RawServer(answering(http_answer(VISIT))) as proxy,
        transport_to("http://api.invalid/api/v1", proxy_url=f"http://127.0.0.1:{proxy.port}") as transport,
    ):
        withdraw(AltegioClient(transport, TOKENS))
        assert proxy.received.startswith(b"POST http://api.invalid/api/v1/visit/loyalty/")
        assert EXPECTED in proxy.received.lower()


def test_no_proxy_of_the_environment_does_not_switch_an_explicit_proxy_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")
    with (
        RawServer(answering(http_answer(VISIT))) as proxy,
        transport_to("http://127.0.0.1:9/api/v1", proxy_url=f"http://127.0.0.1:{proxy.port}") as transport,
    ):
        withdraw(AltegioClient(transport, TOKENS))
        assert proxy.received


def test_an_explicit_proxy_is_used_for_https_and_never_sees_the_tokens(tmp_path: Path) -> None:
    with behind_a_proxy(tmp_path) as (client, server, proxy):
        withdraw(client)
        withdraw(client)
        assert EXPECTED in server.received.lower()
        assert proxy.received.startswith(f"CONNECT 127.0.0.1:{server.port} ".encode())
        assert PARTNER.encode() not in proxy.received
        assert len(server.talks) == 1


def test_a_proxy_that_is_not_there_is_not_sent() -> None:
    with (
        transport_to("https://127.0.0.1:9/api/v1", proxy_url="http://127.0.0.1:9") as transport,
        pytest.raises(exceptions.NotSent),
    ):
        withdraw(AltegioClient(transport, TOKENS))


@pytest.mark.parametrize("status", ["403 Forbidden", "407 Proxy Authentication Required", "502 Bad Gateway"])
def test_a_proxy_that_refuses_the_tunnel_is_not_sent(status: str) -> None:
    """CONNECT is not the request: nothing of that has left before the tunnel stands."""
    with (
        RawServer(answering(http_answer(b"", status))) as proxy,
        transport_to("https://127.0.0.1:9/api/v1", proxy_url=f"http://127.0.0.1:{proxy.port}") as transport,
    ):
        with pytest.raises(exceptions.NotSent):
            withdraw(AltegioClient(transport, TOKENS))
        assert b"POST" not in proxy.received


def test_a_lease_that_passes_while_the_proxy_opens_its_tunnel_sends_nothing(tmp_path: Path) -> None:
    """CONNECT left in time, but the request itself did not."""
    limits = Limits(connect_timeout=2, read_timeout=2, total_timeout=3)
    with behind_a_proxy(tmp_path, before=0.5, limits=limits) as (client, server, _):
        with pytest.raises(exceptions.NotSent):
            withdraw(client, send_within=0.2)
        assert b"POST" not in server.received


def test_a_proxy_that_cuts_after_the_request_is_in_doubt() -> None:
    def cut(talk: Talk) -> None:
        talk.request()

    with (
        RawServer(cut) as proxy,
        transport_to("http://api.invalid/api/v1", proxy_url=f"http://127.0.0.1:{proxy.port}") as transport,
        pytest.raises(exceptions.NoAnswer),
    ):
        withdraw(AltegioClient(transport, TOKENS))


# Where a token could be seen


def seen_of(error: BaseException) -> str:
    """Everything that an error shows of itself and of what it came from."""
    shown = io.StringIO()
    traceback.print_exception(error, file=shown)
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and len(chain) < 20:
        chain.append(current)
        current = current.__cause__ or current.__context__
    texts = [repr(each) + str(each) + repr(each.args) for each in chain]
    own = [repr(vars(each)) for each in chain if isinstance(each, exceptions.ApiError)]
    return shown.getvalue() + "".join(texts) + "".join(own) + repr(pickle.dumps(error))


def escaped(token: str) -> str:
    """As PHP's json_encode writes it."""
    return token.replace("\\", "\\\\").replace('"', '\\"').replace("/", "\\/")


ECHOES = {
    "plain text": lambda token: f"denied: {token}",
    "message": lambda token: f'{{"success":false,"meta":{{"message":"bad token {escaped(token)}"}}}}',
    "field errors": lambda token: (
        f'{{"meta":{{"message":"x","errors":{{"{escaped(token)}":["{escaped(token)}"]}}}}}}'
    ),
    "nested": lambda token: (
        f'{{"errors":{{"code":401,"message":"{escaped(token)}"}},"x":[["{escaped(token)}"]]}}'
    ),
    "header": lambda token: f"Authorization: Bearer {token}, User {token}",
    "many times": lambda token: token * 60,
    "at the cut": lambda token: '{"name":"' + "n" * (3987 - len(token)) + f'","x":"{token}"}}',
    "html": lambda token: f"<html><body>{token}</body></html>",
}
ODD_TOKENS = ["plain0123456789abcdef", "slash/es+and=signs/0123", "quo\"te'back\\slash01234", "L0ng" * 100]


@pytest.mark.parametrize("token", ODD_TOKENS)
@pytest.mark.parametrize("status", ["200 OK", "403 Forbidden"])
@pytest.mark.parametrize("echo", ECHOES)
def test_a_token_that_the_server_echoes_is_hidden(echo: str, status: str, token: str) -> None:
    """In whatever shape: as it is, or as JSON writes it; whole, or the half of it before a cut."""
    answer = http_answer(ECHOES[echo](token).encode(), status)
    with client_of(answering(answer), tokens=Credentials(token, token[::-1])) as (client, _):
        with pytest.raises(exceptions.ApiError) as caught:
            withdraw(client)
    shown = f"{caught.value} {caught.value.body}"
    assert token not in shown
    assert escaped(token) not in shown
    assert token[:12] not in shown.replace("\\", "")


def test_a_token_in_a_successful_answer_is_hidden_in_its_text() -> None:
    visit = {**VISIT, "echo": [PARTNER, USER]}
    with client_of(answering(http_answer(visit))) as (client, _):
        text = withdraw(client).answer.text
    assert PARTNER not in text
    assert USER not in text


def test_a_token_that_begins_like_the_other_one_is_hidden_to_its_end() -> None:
    tokens = Credentials("abcdef0123", "abcdef0123-and-the-rest")
    answer = http_answer(b"no: abcdef0123-and-the-rest", "403 Forbidden")
    with client_of(answering(answer), tokens=tokens) as (client, _):
        with pytest.raises(exceptions.UnreadableAnswer) as caught:
            withdraw(client)
    assert "and-the-rest" not in caught.value.body


def test_login_and_password_are_hidden_where_the_server_echoes_them() -> None:
    login, password = "jane.doe", "s3cr3t-pass"
    answer = http_answer({"meta": {"message": f"no such person: {login} / {password}"}}, "401 Unauthorized")
    with client_of(answering(answer)) as (client, _):
        with pytest.raises(exceptions.Unauthorized) as caught:
            client.auth(login, password)
    shown = seen_of(caught.value)
    assert password not in shown
    assert login not in shown


def test_the_user_token_that_a_login_answers_with_is_hidden_in_an_unreadable_answer() -> None:
    fresh = "fresh-0123456789"
    answer = http_answer(f'{{"data":{{"user_token":"{fresh}"'.encode(), "201 Created")
    with client_of(answering(answer)) as (client, _):
        with pytest.raises(exceptions.UnreadableAnswer) as caught:
            client.auth("a", "b")
    assert fresh not in seen_of(caught.value)


def _cut(talk: Talk) -> None:
    talk.request()


def _garbage(talk: Talk) -> None:
    request = talk.request() or b""
    talk.sock.sendall(b"garbage " + request)


def _echo_in_header(talk: Talk) -> None:
    request = talk.request() or b""
    talk.sock.sendall(b"HTTP/1.1 200 OK\r\n" + request.replace(b"\r\n", b" ") + b"\r\n\r\n")


def _echo_as_status(talk: Talk) -> None:
    request = talk.request() or b""
    talk.sock.sendall(b"HTTP/1.1 " + request.replace(b"\r\n", b" ") + b"\r\n\r\n")


def _echo_as_length(talk: Talk) -> None:
    talk.request()
    talk.sock.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {PARTNER} {USER}\r\n\r\n".encode())


def _echo_as_chunk(talk: Talk) -> None:
    talk.request()
    talk.sock.sendall(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{PARTNER}{USER}\r\n".encode())


def _echo_as_location(talk: Talk) -> None:
    talk.request()
    talk.sock.sendall(http_answer(b"", "302 Found", f"Location: http://{PARTNER}:{USER}@[::1/"))


TROUBLES = {
    "cut": _cut,
    "garbage": _garbage,
    "echo in a header": _echo_in_header,
    "echo as status line": _echo_as_status,
    "echo as length": _echo_as_length,
    "echo as chunk size": _echo_as_chunk,
    "echo as location": _echo_as_location,
    "401": answering(http_answer({"meta": {"message": "Authentication needed."}}, "401 Unauthorized")),
    "500": answering(http_answer(b"<html>", "500 Oops")),
    "html": answering(http_answer(b"<html>")),
    "success false": answering(http_answer({"success": False, "data": None, "meta": []})),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_no_error_shows_a_token(trouble: str, caplog: pytest.LogCaptureFixture) -> None:
    """Neither itself nor in the errors below it, its pickle, or any log at any level."""
    caplog.set_level(logging.DEBUG)
    with client_of(TROUBLES[trouble]) as (client, _):
        with pytest.raises(exceptions.ApiError) as caught:
            withdraw(client)
    shown = seen_of(caught.value) + caplog.text
    assert PARTNER not in shown
    assert USER not in shown


@pytest.mark.parametrize("trouble", ["cut", "401", "html"])
def test_no_frame_of_ours_shows_a_token_to_a_collector_of_tracebacks(trouble: str) -> None:
    """What Sentry and Django's debug page print: the variables of each frame of the traceback."""
    with client_of(TROUBLES[trouble]) as (client, _):
        try:
            withdraw(client)
        except exceptions.ApiError:
            trace = sys.exc_info()[2]
    leaks = []
    while trace is not None:
        frame = trace.tb_frame
        if "altegio_loyalty" in frame.f_globals.get("__name__", ""):
            leaks += [
                f"{frame.f_code.co_name}: {name}"
                for name, value in frame.f_locals.items()
                if PARTNER in repr(value) or USER in repr(value)
            ]
        trace = trace.tb_next
    assert leaks == []


def test_nothing_of_the_client_shows_a_token() -> None:
    with client_of(answering(http_answer(VISIT))) as (client, _):
        outcome = withdraw(client)
        shown = "".join(
            f"{each!r}{each}" for each in (client, client._transport, TOKENS, outcome, vars(client))
        )
    assert PARTNER not in shown
    assert USER not in shown


def test_a_password_in_the_proxy_address_is_not_shown() -> None:
    with transport_to("https://127.0.0.1:9/api", proxy_url="http://joe:pr0xypass@127.0.0.1:9") as transport:
        with pytest.raises(exceptions.NotSent) as caught:
            withdraw(AltegioClient(transport, TOKENS))
        assert "pr0xypass" not in seen_of(caught.value) + repr(transport)


# Whose connection it is


def test_two_calls_use_one_connection() -> None:
    with client_of(answering(http_answer(VISIT))) as (client, server):
        for _ in range(5):
            withdraw(client)
            client.visit_details(1, 2, 3)
        assert len(server.talks) == 1


@pytest.mark.parametrize("status", ["404 Not Found", "401 No", "429 Many", "500 Oops"])
def test_a_connection_is_kept_after_an_error(status: str) -> None:
    with client_of(answering(http_answer(b"{}", status))) as (client, server):
        for _ in range(3):
            with pytest.raises(exceptions.ApiError):
                withdraw(client)
        assert len(server.talks) == 1


def shared(url: str) -> Transport:
    return shared_transport(url, proxy_url="", limits=QUICK)


def test_a_thread_keeps_one_shared_transport_and_another_thread_has_its_own() -> None:
    with RawServer(answering(http_answer(VISIT))) as server:
        mine = shared(server.url)
        others: list[Transport] = []

        def work() -> None:
            others.extend([shared(server.url), shared(server.url)])
            withdraw(AltegioClient(others[0], TOKENS))

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        withdraw(AltegioClient(mine, TOKENS))
        assert shared(server.url) is mine
        assert others[0] is others[1]
        assert others[0] is not mine
        assert len(server.talks) == 2
        mine.close()
        others[0].close()


def test_other_settings_make_another_shared_transport() -> None:
    first = shared("http://127.0.0.1:9/a")
    assert shared("http://127.0.0.1:9/b") is not first
    second = shared_transport("http://127.0.0.1:9/b", proxy_url="http://127.0.0.1:9", limits=QUICK)
    assert shared_transport("http://127.0.0.1:9/b", proxy_url="", limits=Limits()) is not second


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_does_not_share_the_connection() -> None:
    """And the child's coming and going does not disturb the parent's."""
    with RawServer(answering(http_answer(VISIT))) as server:
        withdraw(AltegioClient(shared(server.url), TOKENS))
        child = os.fork()
        if child == 0:
            try:
                withdraw(AltegioClient(shared(server.url), TOKENS))
                os._exit(0)
            except BaseException:  # noqa: BLE001 - whatever it is, the parent must hear of it
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        assert len(server.talks) == 2
        withdraw(AltegioClient(shared(server.url), TOKENS))
        assert len(server.talks) == 2
        shared(server.url).close()
