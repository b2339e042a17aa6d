"""Answers that cost the most for their size: what a hostile, broken or merely odd server could send instead of a visit."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from altegio_loyalty.client import AltegioClient
from tests.client.rawserver import order_of

#: The largest answer that is read, unless a site says otherwise.
SIZE = 4 * 1024 * 1024
#: The start and the end of an answer, what stands between as often as it fits, and what stands between those.
Shape = tuple[bytes, bytes, bytes, bytes]

VISIT = b'{"success":true,"data":{"loyalty_transactions":'
CARDS = b'{"success":true,"data":'
ERROR = b'{"success":false,"meta":{"message":"no","errors":{"x":'
END, ERROR_END = b"}}", b"}}}"
DEEP = 300
EMOJI = "\N{GRINNING FACE}".encode()


def _list(row: bytes, start: bytes = VISIT, end: bytes = END) -> Shape:
    return start + b"[", row, b",", b"]" + end


def _text(piece: bytes, start: bytes = VISIT, end: bytes = END) -> Shape:
    return start + b'"', piece, b"", b'"' + end


def _visit(field: bytes, row: bytes) -> Shape:
    return _list(row, b'{"success":true,"data":{"loyalty_transactions":[],"' + field + b'":')


_OBJECTS = b'{"":' * DEEP + b"0" + b"}" * DEEP

#: What a visit's endpoint could be answered with.
OF_A_VISIT: Mapping[str, Shape] = {
    "empty lists": _list(b"[]"),
    "empty objects": _list(b"{}"),
    "objects of one": _list(b'{"":0}'),
    "lists of one": _list(b"[0]"),
    "lists in lists": _list(b"[" * DEEP + b"]" * DEEP),
    "objects in objects": _list(_OBJECTS),
    "lists deeper than can be read": (VISIT, b"[", b"", b""),
    "objects deeper than can be read": (VISIT, b'{"":', b"", b""),
    "tiny numbers": _list(b"0"),
    "numbers of three digits": _list(b"999"),
    "tiny decimals": _list(b".0".rjust(3, b"1")),
    "huge exponents": _list(b"1e999999999"),
    "the smallest exponents": _list(b"1e-99999999"),
    "one huge number": (VISIT, b"9", b"", END),
    "numbers as long as can be read": _list(b"9" * 4300),
    "one decimal of millions of digits": (VISIT + b"0.", b"7", b"", END),
    "decimals of a hundred digits": _list(b"0." + b"7" * 100),
    "short texts": _list(b'"ab"'),
    "texts of one wide letter": _list(b'"' + EMOJI + b'"'),
    "one text": _text(b"a"),
    "one text with an emoji at its end": (VISIT + b'"', b"a", b"", EMOJI + b'"' + END),
    "one text of emoji": _text(EMOJI),
    "one text of escapes": _text(b"\\n"),
    "one text of escaped quotes": _text(b'\\"'),
    "one text of escaped letters": _text(b"\\u0430"),
    "one text of half surrogates": _text(b"\\ud800"),
    "one text that never ends": (VISIT + b'"', b"a", b"", b""),
    "one text that ends in a name": (VISIT[:-23] + b'"name":"', b"a", b"", END),
    "a text of commas and brackets": _text(b",[{"),
    "one key": (b'{"', b"k", b"", b'":0}'),
    "the same key": (b"{", b'"a":0', b",", b"}"),
    "the same key for objects": (b"{", b'"a":{"b":{}}', b",", b"}"),
    "rows without end": _list(b'{"type_id":8,"amount":1.5}'),
    "rows of texts": _list(b'{"type_id":"3","card_id":"2","amount":"1.5"}'),
    "amounts of huge exponents": _list(b'{"type_id":8,"amount":"1e999999999"}'),
    "empty lines": _visit(b"items", b"{}"),
    "lines with titles": _visit(b"items", b'{"item_title":"' + b"x" * 300 + b'","cost":1}'),
    "payments": _visit(b"payment_transactions", b'{"amount":1.1}'),
    "spaces": (VISIT + b"[]" + END, b" ", b"", b""),
    "line breaks before it": (b"", b"\n", b"", VISIT + b"[]" + END),
    "a byte order mark": (b"\xef\xbb\xbf" + VISIT + b'"', b"a", b"", b'"' + END),
    "what is not UTF-8": (VISIT + b'"', b"\xff", b"", b'"' + END),
    "what is not UTF-8 after an emoji": (VISIT + b'"' + EMOJI, b"\xff", b"", b'"' + END),
    "UTF-16": (b"\xff\xfe", b"[\0", b"", b""),
    "NUL": (b"", b"\0", b"", b""),
    "HTML": (b"<!doctype html><html><body>", b"<p>Bearer x, User 1<p>", b"", b"</html>"),
    "unknown constants": _list(b"NaN"),
    "a token without end": (b'{"user_token":"', b"1", b"", b""),
}
OF_CARDS: Mapping[str, Shape] = {
    "cards": _list(b'{"id":1,"balance":1.5}', CARDS, b"}"),
    "one card's promotions": _list(b'{"value":1.5}', CARDS + b'[{"id":1,"balance":1,"programs":', b"}]}"),
    "cards with promotions": _list(b'{"id":1,"balance":1,"programs":[{},{},{},{},{}]}', CARDS, b"}"),
    "cards by their ids": (CARDS + b"{", b'"1":{"id":1,"balance":1}', b",", b"}}"),
}
OF_A_LIST: Mapping[str, Shape] = {
    "appointments": _list(b'{"id":1}', CARDS, b"}"),
    "one appointment's services": _list(b'{"cost":1.5}', CARDS + b'[{"id":1,"services":', b"}]}"),
    "few appointments with long titles": _list(
        b'{"id":1,"client":{"name":"' + b"x" * 9000 + b'"}}', CARDS, b"}"
    ),
}
#: With a status of 422.
OF_AN_ERROR: Mapping[str, Shape] = {
    "an error's lists": _list(b"[1.5]", ERROR, ERROR_END),
    "an error's text": (ERROR + b'"', b"\xf3\xa0\x80\x81", b"", b'"' + ERROR_END),
    "an error's texts": _list(b'["' + b"\xf3\xa0\x80\x81" * 100_000 + b'"]', ERROR, ERROR_END),
    "an error's wide texts": _list(b'["' + EMOJI + b"\xf3\xa0\x80\x81" * 100_000 + b'"]', ERROR, ERROR_END),
    "an error's fields": (ERROR[:-4] + b"{", b'"ab":["c"]', b",", b"}}}"),
    "an error's field": (ERROR[:-4] + b'{"', b"\xf3\xa0\x80\x81", b"", b'":0' + ERROR_END),
    "an error's message": (b'{"meta":{"message":"', EMOJI, b"", b'"}}'),
}


def _different_keys(count: int, value: bytes) -> bytes:
    """As many different keys as fit, of which none can be kept once for all."""
    return b"{%b}" % b",".join(b'"%x":%b' % (number, value) for number in range(count))


#: As they go over the line: a head and a body.
RAW: Mapping[str, Callable[[], tuple[bytes, bytes]]] = {
    "a bomb": lambda: (b"Content-Encoding: gzip\r\n", gzip.compress(b" " * 100 * SIZE)),
    "a bomb of just the size": lambda: (
        b"Content-Encoding: gzip\r\n",
        gzip.compress(body_of(_list(_OBJECTS))),
    ),
    "a deflated bomb": lambda: (b"Content-Encoding: deflate\r\n", zlib.compress(b"[" * 100 * SIZE)),
    "a bomb in a bomb": lambda: (
        b"Content-Encoding: gzip, gzip\r\n",
        gzip.compress(gzip.compress(b"\0" * 100 * SIZE)),
    ),
    "different keys": lambda: (b"", _different_keys(380_000, b"0")),
    "just as many different keys as are read": lambda: (b"", _different_keys(85_000, b"1.5")),
    "just as many empty objects as are read": lambda: (b"", VISIT + b"[%b]}}" % b",".join([b"{}"] * 68_000)),
    "just as many empty lines as are read": lambda: (
        b"",
        VISIT + b'[],"items":[%b]}}' % b",".join([b"{}"] * 68_000),
    ),
    "just as many objects as are read": lambda: (b"", b"[%b]" % b",".join([_OBJECTS] * 225)),
    "just as many lists as are read": lambda: (b"", b"[%b]" % b",".join([b"[1.5]"] * 78_000)),
    "emoji and lists": lambda: (b"", b'["%b%b"%b]' % (EMOJI, b"a" * 3_500_000, b",[1.5]" * 30_000)),
    "long headers": lambda: (b"".join(b"X-%d: %b\r\n" % (n, b"x" * 60_000) for n in range(15)), b"{}"),
    "one byte a chunk": lambda: (
        b"Transfer-Encoding: chunked\r\n",
        b"1\r\n \r\n" * (SIZE // 6) + b"0\r\n\r\n",
    ),
}


def body_of(shape: Shape) -> bytes:
    """As much of it as is read."""
    start, piece, between, end = shape
    count = (SIZE - len(start) - len(end) + len(between)) // (len(piece) + len(between))
    return b"%b%b%b" % (start, between.join([piece] * count) if between else piece * count, end)


def _answer(body: bytes, status: bytes = b"200 OK", head: bytes = b"") -> bytes:
    if b"chunked" not in head:
        head += b"Content-Length: %d\r\n" % len(body)
    return b"HTTP/1.1 %b\r\n%b\r\n%b" % (status, head, body)


def _shaped(shape: Shape, status: bytes) -> bytes:
    return _answer(body_of(shape), status)


def _with_status(shapes: Mapping[str, Shape], status: bytes) -> dict[str, Callable[[], bytes]]:
    return {name: partial(_shaped, shape, status) for name, shape in shapes.items()}


def _raw(make: Callable[[], tuple[bytes, bytes]]) -> bytes:
    head, body = make()
    return _answer(body, head=head)


#: By name, what makes the whole answer.
ANSWERS: Mapping[str, Callable[[], bytes]] = {
    **_with_status({**OF_A_VISIT, **OF_CARDS, **OF_A_LIST}, b"200 OK"),
    **_with_status(OF_AN_ERROR, b"422 No"),
    **{name: partial(_raw, make) for name, make in RAW.items()},
}


def read(name: str, client: AltegioClient) -> Any:
    """Ask for what the shape of this name could be the answer to."""
    if name in OF_CARDS:
        return client.client_cards(1)
    if name in OF_A_LIST:
        return client.records_page(1, start_date="2026-11-24", end_date="2026-11-24")
    return client.look(order_of("apply_card_withdrawal"))
