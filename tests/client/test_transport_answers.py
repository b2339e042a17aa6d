"""What each answer means: statuses, the vendor's error bodies, wrappings, and everything that nobody can read."""

from __future__ import annotations

import contextlib
import json
import time
from decimal import Decimal
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import example, given, strategies as st

from altegio_loyalty import exceptions
from altegio_loyalty.client import Answer, Limits
from altegio_loyalty.sandbox import FAULTS, Sandbox
from tests.client.anything import examples, scalars
from tests.client.rawserver import (
    TOKENS,
    VISIT,
    RawServer,
    Talk,
    answering,
    client_of,
    http_answer,
    order_of,
    transport_to,
    withdraw,
)

E = exceptions
STATUSES = {
    "101 Switching": E.ServerError,
    "103 Early Hints": E.ServerError,
    "301 Moved": E.ServerError,
    "302 Found": E.ServerError,
    "304 Not Modified": E.ServerError,
    "400 Bad": E.Refused,
    "401 Unauthorized": E.Unauthorized,
    "402 Payment": E.Refused,
    "403 Forbidden": E.Refused,
    "404 Not Found": E.Refused,
    "405 Method": E.Refused,
    "408 Timeout": E.ServerError,
    "409 Conflict": E.Refused,
    "422 Unprocessable": E.Refused,
    "429 Too Many": E.RateLimited,
    "499 Closed": E.Refused,
    "500 Oops": E.ServerError,
    "502 Bad Gateway": E.ServerError,
    "503 Unavailable": E.ServerError,
    "504 Timeout": E.ServerError,
    "520 Unknown": E.ServerError,
    "599 Odd": E.ServerError,
    "600 Odd": E.ServerError,
    "999 Odd": E.ServerError,
}


#: Refusals that are final, or pause a location, only where they are Altegio's own.
OF_ALTEGIO = {status for status, error in STATUSES.items() if error in (E.Refused, E.Unauthorized)}


@pytest.mark.parametrize("body", [b"{}", b'{"success":null,"data":{"loyalty_transactions":[]}}'])
@pytest.mark.parametrize("status", STATUSES)
def test_the_status_of_a_json_answer_decides_what_an_error_means(status: str, body: bytes) -> None:
    with client_of(answering(http_answer(body, status))) as (client, _):
        with pytest.raises(E.ApiError) as caught:
            withdraw(client)
    assert type(caught.value) is STATUSES[status]
    assert caught.value.http_status == int(status[:3])
    assert str(caught.value)


@pytest.mark.parametrize("success", ["true", "1", '"true"'])
@pytest.mark.parametrize("status", [status for status in STATUSES if status >= "400"])
def test_an_error_that_says_it_succeeded__is_a_doubt(status: str, success: str) -> None:
    """Neither is believed: what it did is looked up."""
    body = b'{"success":%s,"data":{"loyalty_transactions":[]},"meta":[]}' % success.encode()
    with (
        client_of(answering(http_answer(body, status))) as (client, _),
        pytest.raises(E.UnreadableAnswer) as caught,
    ):
        withdraw(client)
    assert caught.value.http_status == int(status[:3])


@pytest.mark.parametrize("status", ["200 OK", "403 Forbidden", "429 Too Many"])
def test_a_refusal_that_shows_loyalty_rows__is_a_doubt(status: str) -> None:
    """They may be what it says was not done."""
    body = b'{"success":false,"data":{"loyalty_transactions":[{"id":1}]},"meta":{"message":"No"}}'
    with client_of(answering(http_answer(body, status))) as (client, _), pytest.raises(E.UnreadableAnswer):
        withdraw(client)


NGINX = b"<html><head><title>403 Forbidden</title></head><body><center><h1>403 Forbidden</h1></center></body></html>"


@pytest.mark.parametrize("body", [b"", NGINX, b'"Forbidden"', b"error code: 1020"])
@pytest.mark.parametrize("status", sorted(OF_ALTEGIO))
def test_a_refusal_that_is_not_altegios_own_is_in_doubt(status: str, body: bytes) -> None:
    """A gateway's page says nothing of what Altegio did; and "may not" would blame the user of the token."""
    with client_of(answering(http_answer(body, status))) as (client, _):
        with pytest.raises(E.ApiError) as caught:
            withdraw(client)
    expected = E.Unauthorized if status.startswith("401") and not body else E.UnreadableAnswer
    assert type(caught.value) is expected
    assert caught.value.http_status == int(status[:3])


@pytest.mark.parametrize("body", [b"", NGINX])
@pytest.mark.parametrize("status", sorted(set(STATUSES) - OF_ALTEGIO))
def test_any_other_status_means_the_same_without_json(status: str, body: bytes) -> None:
    with client_of(answering(http_answer(body, status))) as (client, _):
        with pytest.raises(STATUSES[status]):
            withdraw(client)


# The limit of requests, in whatever dress


LIMITS = [
    "Превышен лимит запросов, попробуйте повторить запрос через 0 секунд.",
    "Превышен лимит запросов, попробуйте повторить запрос через 17 секунд.",
    "Превышено допустимое количество запросов",
    "Слишком много запросов",
    "Request limit exceeded, try again in 0 seconds.",
    "Rate limit exceeded",
    "Too Many Requests",
    "Too many API requests",
    "You have exceeded the maximum number of requests per minute",
    "The limit of requests is used up",
    "Количество запросов превышено",
    "Превышен лимит на количество запросов в минуту",
    "Превышен лимит\N{NO-BREAK SPACE}запросов",
    "Превышено число обращений к API",
    "Слишком много обращений",
    "Запросы отправляются слишком часто",
    "Попробуйте ещё раз через 3 секунды",
    "Request was throttled.",
    "Rate exceeded",
    "Request rate exceeded",
    "API quota exceeded",
    "Too many concurrent API requests",
    "You are sending requests too quickly",
    "Limit reached, retry after 1 second",
]
NO_LIMITS = [
    "Превышен лимит списания с карты",
    "Превышен лимит списаний по запросу клиента",
    "Недостаточно прав",
    "The withdrawal exceeds the card's limit",
    "Your request exceeds the limit of the card",
    "Discount limit exceeded",
    "The discount rate exceeded what this promotion allows",
    "Too many points",
    "Corporate limit of this card is used up",
    "Request limit of the loyalty program reached",
    "Превышена сумма доступных баллов, запросы отклонены",
    "Promotion quota exceeded",
    "Too many attempts to use this card",
    "Слишком много списаний по этой карте",
    "Лимит списаний по карте, дополнительных запросов не требуется",
]


@pytest.mark.parametrize("status", ["200 OK", "400 Bad", "401 No", "403 Forbidden", "422 No"])
@pytest.mark.parametrize("message", LIMITS)
def test_a_limit_is_a_limit_with_any_status(status: str, message: str) -> None:
    body = {"success": False, "data": None, "meta": {"message": message}}
    with client_of(answering(http_answer(body, status))) as (client, _):
        for call in (lambda: withdraw(client), lambda: client.visit_details(1, 2, 3)):
            with pytest.raises(E.RateLimited) as caught:
                call()
            assert caught.value.retry_after is None


@pytest.mark.parametrize("message", NO_LIMITS)
def test_another_limit_is_a_refusal(message: str) -> None:
    body = {"success": False, "data": None, "meta": {"message": message}}
    for status in ("200 OK", "403 Forbidden"):
        with client_of(answering(http_answer(body, status))) as (client, _), pytest.raises(E.Refused):
            withdraw(client)


def test_a_gateways_page_about_the_limit_is_a_limit() -> None:
    page = b"<html><head><title>Access denied</title></head><body>You are being rate limited</body></html>"
    with client_of(answering(http_answer(page, "403 Forbidden"))) as (client, _):
        with pytest.raises(E.RateLimited):
            withdraw(client)


def test_an_answer_that_may_come_after_the_effect_is_a_doubt_whatever_it_says_of_limits() -> None:
    page = b"<html><head><title>Bad gateway</title></head><body>Too many requests</body></html>"
    told = json.dumps({"success": False, "meta": {"message": "Too Many Requests"}}).encode()
    for status in ("302 Found", "408 Timeout", "500 Oops", "502 Bad Gateway", "503 Busy", "504 Timeout"):
        for body in (page, told):
            with client_of(answering(http_answer(body, status))) as (client, _):
                with pytest.raises(E.ServerError):
                    withdraw(client)


def test_a_success_that_speaks_of_limits_is_a_success() -> None:
    body = {"success": True, "data": VISIT, "meta": {"message": "Request limit: 200 a minute"}}
    with client_of(answering(http_answer(body))) as (client, _):
        assert not withdraw(client).visit.transactions


# The reason


A = b'{"success":false,"data":null,"meta":{"message":"Authentication needed."}}'
B = b'{"success":false,"data":null,"meta":{"message":"Invalid filter value","errors":{"filters":["Invalid filter state"]}}}'
C = b'{"errors":{"code":401,"message":"Authentication needed"},"meta":{"message":"Authentication needed."}}'
D = '{"success":false,"data":null,"meta":[],"errors":{"message":"Произошла ошибка"}}'.encode()


@pytest.mark.parametrize(
    ("body", "status", "error", "texts"),
    [
        (A, "401 No", E.Unauthorized, ["Authentication needed."]),
        (A, "200 OK", E.Refused, ["Authentication needed."]),
        (B, "422 No", E.Refused, ["Invalid filter value", "filters: Invalid filter state"]),
        (C, "401 No", E.Unauthorized, ["Authentication needed"]),
        (D, "404 No", E.Refused, ["Произошла ошибка"]),
        (b'{"success":false,"data":null,"meta":[]}', "404 No", E.Refused, ["HTTP 404"]),
        (b'{"success":false,"data":null,"meta":{}}', "404 No", E.Refused, ["HTTP 404"]),
        (b'{"success":false,"data":null,"meta":[]}', "200 OK", E.Refused, ["without success"]),
        (
            b'{"message":"Invalid","errors":{"amount":["Too big."]}}',
            "422 No",
            E.Refused,
            ["Invalid", "amount: Too big."],
        ),
        (
            b'{"error_code":10,"errors":[{"field_name":"record_id","error_message":"No such record"}]}',
            "400 No",
            E.Refused,
            ["record_id: No such record"],
        ),
        (
            b'{"errors":[{"status":"403","detail":"Not yours"},{"title":"Odd"}]}',
            "403 No",
            E.Refused,
            ["Not yours", "Odd"],
        ),
        (b'{"meta":{"message":["One.","Two."]}}', "422 No", E.Refused, ["One. Two."]),
        (b'{"error":"No such card"}', "404 No", E.Refused, ["No such card"]),
        (b'{"error":{"code":5,"message":"No such card"}}', "404 No", E.Refused, ["No such card"]),
        (b'{"error":"bad","error_description":"Wrong"}', "400 No", E.Refused, ["bad Wrong"]),
        (b'{"title":"Forbidden","detail":"No scope","status":403}', "403 No", E.Refused, ["No scope"]),
        (A, "500 Oops", E.ServerError, ["Authentication needed."]),
        (
            b'{"success":false,"meta":{"errors":{"amount":"Too big"}}}',
            "200 OK",
            E.Refused,
            ["amount: Too big"],
        ),
    ],
)
def test_the_vendors_error_bodies_are_told_in_its_own_words(
    body: bytes, status: str, error: type[E.ApiError], texts: list[str]
) -> None:
    with client_of(answering(http_answer(body, status))) as (client, _):
        with pytest.raises(error) as caught:
            withdraw(client)
    for text in texts:
        assert text in str(caught.value)


def test_a_reason_that_is_said_twice_is_told_once() -> None:
    with (
        client_of(answering(http_answer(C, "401 No"))) as (client, _),
        pytest.raises(E.Unauthorized) as caught,
    ):
        withdraw(client)
    assert str(caught.value) == "Authentication needed."


@pytest.mark.parametrize("no", ["false", "0", '"0"', '"false"'])
def test_an_answer_that_says_no_success_is_refused(no: str) -> None:
    body = f'{{"success":{no},"data":{json.dumps(VISIT)}}}'.encode()
    with client_of(answering(http_answer(body))) as (client, _), pytest.raises(E.Refused):
        withdraw(client)


@pytest.mark.parametrize("odd", ["null", '"perhaps"', "[]", "{}", "-1", "2", '""', '{"code":1}'])
def test_a_success_that_says_neither_yes_nor_no_is_in_doubt(odd: str) -> None:
    """ "Refused" would mean certainly not done, which such an answer does not say."""
    body = f'{{"success":{odd},"data":null}}'.encode()
    with client_of(answering(http_answer(body))) as (client, _), pytest.raises(E.UnreadableAnswer):
        withdraw(client)


@pytest.mark.parametrize("yes", ["true", "1", '"1"', '"true"'])
@pytest.mark.parametrize("data", ["null", "[]", "{}", '"done"', "42", '{"loyalty_transactions":"?"}'])
def test_a_success_that_does_not_show_the_visit_is_in_doubt(yes: str, data: str) -> None:
    """With what it says, which nobody would find otherwise."""
    body = f'{{"success":{yes},"data":{data},"meta":{{"message":"No such card"}}}}'.encode()
    with client_of(answering(http_answer(body))) as (client, _):
        with pytest.raises(E.NotShown, match="No such card"):
            withdraw(client)


def test_a_success_that_is_only_accepted_is_in_doubt() -> None:
    """Also where it shows the visit, since that may be as it was before."""
    with client_of(answering(http_answer(VISIT, "202 Accepted"))) as (client, _):
        with pytest.raises(E.NotShown):
            withdraw(client)
        assert not client.visit_details(1, 2, 3).visit.transactions


@pytest.mark.parametrize("status", ["200 OK", "201 Created", "203 Odd"])
def test_the_visit_is_read_bare_and_wrapped_alike(status: str) -> None:
    row = {"id": 1, "type_id": 3, "card_id": 2, "amount": 99.340000000000003}
    bare = {**VISIT, "loyalty_transactions": [row]}
    for body in (bare, {"success": True, "data": bare, "meta": []}, {"data": bare}):
        with client_of(answering(http_answer(body, status))) as (client, _):
            visit = withdraw(client).visit
            assert str(visit.withdrawn(2)) == "99.34"
            assert client.visit_details(1, 2, 3).visit == visit


UNREADABLE = [
    b"",
    b" ",
    b"null",
    b"true",
    b"42",
    b'"text"',
    b"[]",
    b"{}",
    b"<html>login</html>",
    b'{"success":true',
    b'{"success":tru}',
    b'{"loyalty_transactions": [}',
    b'{"loyalty_transactions": NaN}',
    b'{"loyalty_transactions": "none"}',
    b'{"loyalty_transactions": null}',
    b'{"items": []}',
    b'{"data": null}',
    b'{"data": {}}',
    b'{"meta": {}}',
    b"\xff\xfe{\x00}\x00",
    b"\x80\x81",
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"\x00",
    b"HTTP/1.1 200 OK",
]


@pytest.mark.parametrize("body", UNREADABLE, ids=lambda body: repr(body[:60]))
def test_an_answer_that_nobody_can_read_is_in_doubt(body: bytes) -> None:
    with client_of(answering(http_answer(body))) as (client, _):
        for call in (lambda: withdraw(client), lambda: client.visit_details(1, 2, 3)):
            with pytest.raises(E.UnreadableAnswer):
                call()


def test_a_204_is_unreadable() -> None:
    with (
        client_of(answering(b"HTTP/1.1 204 No Content\r\n\r\n")) as (client, _),
        pytest.raises(E.UnreadableAnswer),
    ):
        withdraw(client)


def test_a_byte_order_mark_is_no_obstacle() -> None:
    body = b"\xef\xbb\xbf" + json.dumps(VISIT).encode()
    with client_of(answering(http_answer(body))) as (client, _):
        assert withdraw(client).visit is not None


@pytest.mark.parametrize(
    "kind", ["text/html", "text/plain; charset=utf-16", "nonsense", "application/json; charset=x"]
)
def test_what_the_server_says_of_its_content_type_does_not_matter(kind: str) -> None:
    with client_of(answering(http_answer(VISIT, "200 OK", f"Content-Type: {kind}"))) as (client, _):
        assert withdraw(client).visit is not None


def test_no_cards_and_no_answer_differ() -> None:
    with client_of(answering(http_answer({"success": True, "data": [], "meta": []}))) as (client, _):
        assert client.client_cards(1).cards == ()
    for body in (
        b"{}",
        b'{"success":true,"data":null}',
        b'{"success":true,"data":"x"}',
    ):
        with client_of(answering(http_answer(body))) as (client, _):
            # An empty object is the legacy "no cards"; everything else is no list of cards.
            if body == b"{}":
                assert client.client_cards(1).cards == ()
            else:
                with pytest.raises(E.UnreadableAnswer):
                    client.client_cards(1)


def test_a_second_factor_is_refused_with_the_way_out() -> None:
    with client_of(answering(http_answer({"success": True, "data": {"uuid": "x"}}))) as (client, _):
        with pytest.raises(E.Refused, match="second factor"):
            client.auth("a", "b")


# Retry-After


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        ("7", 7, 7),
        (" 7 ", 7, 7),
        ("0007", 7, 7),
        ("99999999999999999999", 900, 900),
    ],
)
def test_retry_after_is_read_and_bounded(value: str, least: float, most: float) -> None:
    with client_of(answering(http_answer(b"", "429 Many", f"Retry-After: {value}"))) as (client, _):
        with pytest.raises(E.RateLimited) as caught:
            withdraw(client)
    assert caught.value.retry_after is not None
    assert least <= caught.value.retry_after <= most


@pytest.mark.parametrize(("seconds", "least", "most"), [(600, 500, 600), (10_000_000, 900, 900)])
def test_retry_after_may_be_a_date(seconds: float, least: float, most: float) -> None:
    value = formatdate(time.time() + seconds, usegmt=True)
    with client_of(answering(http_answer(b"", "503 Busy", f"Retry-After: {value}"))) as (client, _):
        with pytest.raises(E.ServerError) as caught:
            withdraw(client)
    assert caught.value.retry_after is not None
    assert least <= caught.value.retry_after <= most


@pytest.mark.parametrize(
    "value",
    [
        "",
        "0",
        "-5",
        "1.5",
        "soon",
        "nan",
        "inf",
        "1e9",
        "\xb2",
        "\xd9\xa3",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Mon",
        ",",
    ],
)
def test_an_unusable_retry_after_is_none(value: str) -> None:
    with client_of(answering(http_answer(b"", "503 Busy", f"Retry-After: {value}"))) as (client, _):
        with pytest.raises(E.ServerError) as caught:
            withdraw(client)
    assert caught.value.retry_after is None


# Anything


class Anything:
    """A server that answers with whatever it holds."""

    def __init__(self) -> None:
        self.answer = b""

    def behave(self, talk: Talk) -> None:
        if talk.request() is not None:
            talk.sock.sendall(self.answer)


@pytest.fixture(scope="module")
def anything() -> Any:
    holder = Anything()
    limits = Limits(connect_timeout=60, read_timeout=60, total_timeout=60, answer_bytes=10_000)
    with RawServer(holder.behave) as server, transport_to(server.url, limits) as transport:
        yield holder, transport


json_bodies = st.recursive(
    scalars | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(max_size=8)
            | st.sampled_from(
                ["success", "data", "meta", "errors", "message", "loyalty_transactions", "records"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=8,
).map(lambda value: json.dumps(value, default=str))
bodies = st.binary(max_size=300) | json_bodies.map(str.encode)
header_texts = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=60)


@examples(250)
@given(status=st.integers(100, 999), body=bodies)
@example(status=200, body=b'{"success":true,"meta":{"errors":{"x":' + b"[" * 900 + b"]" * 900 + b"}}}")
@example(status=422, body=b'{"meta":{"errors":{"x":' + b"[" * 960 + b"]" * 960 + b"}}}")
def test_any_body_with_any_status_is_an_answer_or_an_api_error(
    anything: Any, status: int, body: bytes
) -> None:
    holder, transport = anything
    holder.answer = http_answer(body, f"{status} X")
    try:
        answer = transport.request("POST", "/x", TOKENS, payload={})
    except E.ApiError as error:
        assert not isinstance(error, E.NotSent)
        json.dumps([str(error), error.body]).encode("utf-8")
        (str(error) + error.body).encode()
    else:
        assert isinstance(answer, Answer)
        assert 200 <= status < 300
        answer.text.encode()


@pytest.mark.parametrize("depth", range(930, 1000, 3))
def test_an_error_nested_just_as_deep_as_can_be_read_is_an_api_error(anything: Any, depth: int) -> None:
    holder, transport = anything
    holder.answer = http_answer(
        b'{"success":false,"meta":{"errors":{"x":[' + b"[" * depth + b"]" * depth + b"]}}}", "422 X"
    )
    with pytest.raises(E.ApiError):
        transport.request("POST", "/x", TOKENS, payload={})


@examples(250)
@given(
    raw=st.binary(max_size=200),
    start=st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"]),
)
@example(raw=b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}", start=b"")
@example(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\n{}", start=b"")
@example(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999999\r\n\r\n{}", start=b"")
@example(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n-1\r\n{}", start=b"")
@example(raw=b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}", start=b"")
@example(raw=b"HTTP/9.9 200 OK\r\n\r\n{}", start=b"")
@example(raw=b"ICY 200 OK\r\n\r\n{}", start=b"")
@example(raw=b"HTTP/1.1 20\xd9\xa3 OK\r\n\r\n{}", start=b"")
@example(raw=b"HTTP/1.1 200\r\nSet-Cookie: a=\xff; expires=nonsense; max-age=x; domain=..\r\n\r\n", start=b"")
@example(raw=b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n{}", start=b"")
@example(raw=b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n{}", start=b"")
@example(raw=b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", start=b"")
def test_any_bytes_instead_of_http_are_an_answer_or_in_doubt(anything: Any, raw: bytes, start: bytes) -> None:
    holder, transport = anything
    holder.answer = start + raw
    try:
        answer = transport.request("POST", "/x", TOKENS, payload={})
    except E.ApiError as error:
        assert not isinstance(error, E.NotSent)
    else:
        assert isinstance(answer, Answer)


@examples(150)
@given(
    name=st.sampled_from(
        ["Retry-After", "Location", "Set-Cookie", "Content-Encoding", "Content-Length", "Connection"]
    ),
    value=header_texts,
    status=st.sampled_from(["200 OK", "302 Found", "429 Many", "503 Busy"]),
)
def test_any_header_of_the_server_is_an_answer_or_in_doubt(
    anything: Any, name: str, value: str, status: str
) -> None:
    holder, transport = anything
    holder.answer = http_answer(b"{}", status, f"{name}: {value}")
    try:
        transport.request("POST", "/x", TOKENS, payload={})
    except E.ApiError as error:
        assert not isinstance(error, E.NotSent)
        assert error.retry_after is None or 0 < error.retry_after <= 900


@examples(250)
@given(body=json_bodies)
def test_any_json_ends_every_endpoint_in_a_value_or_an_api_error(body: str) -> None:
    from altegio_loyalty.client import AltegioClient

    class Canned:
        """Stands where the network would be: the answer as the transport hands it on."""

        def request(self, *args: Any, **kwargs: Any) -> Answer:
            parsed = json.loads(body, parse_float=Decimal, parse_constant=str)
            return Answer(200, parsed, "", said="")

    client = AltegioClient(Canned(), TOKENS)  # type: ignore[arg-type]
    calls = (
        lambda: withdraw(client),
        lambda: client.send(order_of("cancel_card_withdrawal")),
        lambda: client.send(order_of("apply_discount_program", program_id=3)),
        lambda: client.send(order_of("cancel_discount_program", program_id=3)),
        lambda: client.visit_details(1, 2, 3),
        lambda: client.visit(1),
        lambda: client.records_page(1, start_date="2026-01-01", end_date="2026-01-01"),
        lambda: client.client_cards(1),
        lambda: client.company(1),
        lambda: client.user_permissions(1),
        lambda: client.auth("a", "b"),
    )
    for call in calls:
        with contextlib.suppress(E.ApiError):
            call()


# The sandbox's faults


SLOW: dict[str, dict[str, Any]] = {
    "hang": {"seconds": 3.0},
    "hang_after": {"seconds": 3.0},
    "drip": {"seconds": 3.0},
}
NOBODY_LISTENS = "refused"
CERTAIN = {
    "status_401",
    "status_402",
    "status_403",
    "status_404",
    "status_422",
    "rate_limited",
    "success_false",
}
HARMLESS = {"string_ids", "bare", "nul_text"}


@pytest.mark.parametrize("name", [*sorted(FAULTS), NOBODY_LISTENS])
def test_each_fault_of_the_sandbox_is_classified_truthfully(name: str) -> None:
    """ "Certainly not done" only where the books agree."""
    from altegio_loyalty import policy
    from altegio_loyalty.client import AltegioClient, Credentials, Order

    # No more than those that are silent for long may run into it.
    read_timeout = 0.5 if name in SLOW else 60
    limits = Limits(connect_timeout=60, read_timeout=read_timeout, total_timeout=60, answer_bytes=1024 * 1024)
    with Sandbox() as sandbox, transport_to(sandbox.url, limits) as transport:
        client = AltegioClient(transport, Credentials(sandbox.partner_token, sandbox.user_token))
        location, jane = sandbox.ledger.add_location(), sandbox.ledger.add_client()
        card, visit = sandbox.ledger.add_card(jane, balance=500), sandbox.ledger.add_visit(location, jane)
        if name == NOBODY_LISTENS:
            sandbox.stop()
        else:
            sandbox.fail(name, **SLOW.get(name, {}))
        try:
            outcome = client.send(
                Order(
                    kind="apply_card_withdrawal",
                    location_id=location.id,
                    card_id=card.id,
                    record_id=visit.record_ids[0],
                    visit_id=visit.id,
                    amount=Decimal(100),
                )
            )
            assert name in HARMLESS
            assert outcome.visit is not None
            assert outcome.visit.withdrawn(card.id) == 100
            assert sandbox.ledger.withdrawn(visit.id, card.id) == 100
        except E.ApiError as error:
            assert name not in HARMLESS
            meaning = policy.meaning_of_send(error)
            if name == NOBODY_LISTENS:
                assert isinstance(error, E.NotSent)
            elif name in CERTAIN:
                assert meaning is not policy.Meaning.UNKNOWN
            else:
                assert meaning is policy.Meaning.UNKNOWN
            if meaning is not policy.Meaning.UNKNOWN:
                assert sandbox.effects == []
