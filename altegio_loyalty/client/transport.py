"""The one place where HTTP happens: timeouts, size, and every failure turned into the app's own, see `exceptions`."""

import email.utils
import functools
import http.cookiejar
import json
import os
import re
import ssl
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from operator import methodcaller
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from altegio_loyalty import __version__, exceptions
from altegio_loyalty.client.exchange import Exchange, current
from altegio_loyalty.client.hidden import Hidden, hides_frames
from altegio_loyalty.client.types import Credentials, Malformed, to_flag
from altegio_loyalty.redaction import clean, redact

if TYPE_CHECKING:
    from requests import Response

ACCEPT = "application/vnd.api.v2+json"
PREVIEW_CHARACTERS = 500
LONGEST_RETRY_AFTER = 900.0
#: Seconds without a call after which a connection is opened anew: one that a firewall or NAT has forgotten meets silence.
LONGEST_IDLE = 30.0


@dataclass(frozen=True)
class Limits:
    """What one call may cost: seconds to connect, between two bytes, and altogether; bytes of the answer."""

    connect_timeout: float = 5
    read_timeout: float = 15
    total_timeout: float = 30
    answer_bytes: int = 4 * 1024 * 1024


@dataclass(frozen=True)
class Answer:
    """A readable, successful answer: `body` is the parsed JSON out of its wrapping, `text` its start without secrets.

    `said` is what the server says of it in words, `meta` what stands beside the data; both mostly empty.
    """

    http_status: int
    body: Any = field(repr=False)  # a server may echo a token
    text: str
    said: str = ""
    meta: Any = field(default=None, repr=False)


#: The limit of requests, of any status, in the words of the vendor, whose seconds are of no use, and of gateways.
_LIMIT = re.compile(
    r"(?:лимит\w*|слишком|превыш\w*)[^\S\n]+(?:[\w-]+[^\S\n]+){0,3}(?:запрос(?:ов|ы)|обращений)"
    r"|запросов[^\S\n]+превыш|запросы?[^\S\n]+(?:\w+[^\S\n]+)?слишком[^\S\n]+част"
    r"|\brate.?limit|(?:(?<!\w )|requests? )\brate exceeded|\bthrottled|too many (?:\w+ ){0,3}requests"
    r"|(?:requests?(?: rate)?|api|calls?) (?:limit|quota)(?! of the)|(?:limit|exceed)\w* (?:\w+ ){0,5}requests"
    r"|requests? too (?:quick|fast|often|freq)|через[^\S\n]+\d+[^\S\n]+сек|(?:retry after|again in) \d+ sec",
    re.IGNORECASE,
)
#: Where the text of an error stands, whichever of the vendor's bodies it is in.
_TEXTS = ("message", "error_message", "detail", "title")
#: What headers, chunk lines and trailers may cost beside the answer itself.
FRAMING_BYTES = 1024 * 1024
#: What an answer may cost in memory once it is read. Two bytes can become an object of two hundred.
MOST_MEMORY = 24 * 1024 * 1024
#: About what each of these makes the reader keep, with the number, text or key that may come with it.
_COSTS = {"{": 240, "[": 200, ",": 112, ":": 112}
#: A longer answer is no error that anybody wrote; no words are looked for in it.
_LONGEST_ERROR = 256 * 1024
_HEADERS = {
    "Accept-Encoding": "identity",
    "Content-Type": "application/json",
    "User-Agent": f"altegio_loyalty/{__version__}",
}


class Transport:
    """Sends requests to one API over connections that are kept alive. Belongs to one thread; see `shared_transport`."""

    __slots__ = ("_proxy_password", "_session", "_used_at", "api_url", "limits", "media_type")

    @hides_frames
    def __init__(
        self,
        api_url: str,
        *,
        proxy_url: str | Hidden = "",
        ca_bundle: str = "",
        limits: Limits | None = None,
        media_type: str = ACCEPT,
    ) -> None:
        proxy_url = Hidden.of(proxy_url)
        self.api_url = api_url.rstrip("/")
        self.limits = limits or Limits()
        self.media_type = media_type
        from altegio_loyalty.client.connection import Session  # a third of what the app's import would cost

        self._session = Session()
        # The environment's proxies and a netrc file of the machine must never replace the tokens or the way.
        self._session.trust_env = False
        self._session.verify = ca_bundle or True
        # One session serves all locations: a cookie of one must not travel with the tokens of another.
        self._session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
        self._session.proxies = dict.fromkeys(("http", "https"), proxy_url.reveal()) if proxy_url else {}
        self._proxy_password = Hidden(unquote(proxy_url.reveal().rpartition("@")[0].rpartition(":")[2]))
        self._used_at = time.monotonic()

    @hides_frames
    def close(self) -> None:
        self._session.close()

    @hides_frames
    def request(
        self,
        method: str,
        path: str,
        credentials: Credentials,
        *,
        query: Mapping[str, str | int] | None = None,
        payload: Mapping[str, Any] | None = None,
        send_within: float | None = None,
    ) -> Answer:
        """One HTTP request, one answer. `send_within`: seconds in which the first byte must have left, or nothing is sent.

        What is `Hidden` in the payload is sent, and hidden like the tokens. Raises subclasses of `exceptions.ApiError`, and
        nothing else, whatever the network or server does.
        """
        if not credentials.are_sendable:
            raise exceptions.NotSent(
                "The tokens hold characters that cannot stand in a request; enter them again."
            )
        hidden = [value for value in (payload or {}).values() if isinstance(value, Hidden)]
        secrets = [credentials.partner_token, credentials.user_token, self._proxy_password, *hidden]
        body = None if payload is None else json.dumps(payload, default=methodcaller("reveal")).encode()
        failure: exceptions.ApiError | None = None
        if time.monotonic() - self._used_at > LONGEST_IDLE:
            self._session.close()  # its connections; it goes on with new ones
        exchange = self._open_exchange(send_within, credentials)
        if body and hidden:
            exchange.body, body = Hidden(body.decode()), b" " * len(body)
        current.exchange = exchange
        try:
            connect_timeout = min(self.limits.connect_timeout, exchange.seconds_left())
            response = self._session.request(
                method,
                self.api_url + path,
                params=query,
                headers={**_HEADERS, "Accept": self.media_type},
                data=body,
                timeout=(connect_timeout, self.limits.read_timeout),
                allow_redirects=False,
                stream=True,
            )
            with response:
                content = self._read(response, exchange)
        except self._session.failures as error:
            # What is no fault of the request, and not of a connection of ours: nobody here knows whether it was sent.
            is_of_another = isinstance(error, self._session.of_connections) and not exchange.is_watched
            exchange.is_sent |= is_of_another and not isinstance(error, ValueError)
            failure = _failure(error, exchange, secrets, self.api_url)
        finally:
            current.exchange = None
            self._used_at = time.monotonic()
        if failure is not None:
            # Raised out here: no error below it, with the server's own words or our headers, hangs on to it.
            raise failure
        return _judge(response, content, secrets)

    def _open_exchange(self, send_within: float | None, credentials: Credentials) -> Exchange:
        total = self.limits.total_timeout
        window = total if send_within is None else min(send_within, total)
        now = time.monotonic()
        return Exchange(
            ends_at=min(now + total, current.ends_at),
            send_before=now + window,
            send_before_clock=time.time() + window,
            bytes_left=self.limits.answer_bytes + FRAMING_BYTES,
            credentials=credentials,
        )

    def _read(self, response: "Response", exchange: Exchange) -> bytearray:
        content = bytearray()
        for piece in response.iter_content(65536):
            exchange.seconds_left()
            content += piece
            if len(content) > self.limits.answer_bytes:
                raise exceptions.UnreadableAnswer(
                    f"Altegio's answer is larger than {self.limits.answer_bytes} bytes.",
                    http_status=response.status_code,
                )
        return content


def _root_cause(error: BaseException) -> BaseException:
    """The error at the bottom: requests and urllib3 wrap it up to four times, in words for their own developers."""
    for _ in range(10):
        first = error.args[0] if error.args else None
        told = getattr(error, "reason", None) or getattr(first, "reason", None)
        below = told or error.__cause__ or error.__context__
        if not isinstance(below, BaseException):
            break
        error = below
    return error


def _redact(text: str, secrets: list[Hidden], limit: int) -> str:
    return redact(text, secrets=[secret.reveal() for secret in secrets], limit=limit)


def _failure(
    error: Exception, exchange: Exchange, secrets: list[Hidden], api_url: str
) -> exceptions.ApiError:
    cause = _root_cause(error)
    detail = _redact(f"{type(cause).__name__}: {cause}", secrets, 200)
    if any(isinstance(each, ssl.SSLCertVerificationError) for each in (cause, *cause.args)):
        return exceptions.NotSent(
            f"The certificate of {urlsplit(api_url).hostname} is not trusted; nothing was sent. "
            "Behind a proxy that inspects TLS, set CA_BUNDLE to the file of its certificates.",
            detail=detail,
        )
    failure = exceptions.NoAnswer if exchange.is_sent else exceptions.NotSent
    return failure(detail=detail)


def _parse(content: bytearray) -> Any:
    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not JSON")

    text = content.decode("utf-8-sig")
    if sys.getsizeof(text) + sum(text.count(sign) * cost for sign, cost in _COSTS.items()) > MOST_MEMORY:
        raise Malformed("Altegio's answer holds more than can be read")
    return json.loads(text, parse_float=Decimal, parse_constant=refuse)


def _judge(response: "Response", content: bytearray, secrets: list[Hidden]) -> Answer:
    status = response.status_code
    # Far more than is looked at, and not all of it once more.
    text = _redact(content[:_LONGEST_ERROR].decode("utf-8", "replace"), secrets, PREVIEW_CHARACTERS)
    unreadable = functools.partial(exceptions.UnreadableAnswer, http_status=status, body=text)
    try:
        body = _parse(content)
    except (ValueError, ArithmeticError, RecursionError) as problem:
        # ArithmeticError: a decimal with an exponent beyond the machine's.
        body = None
        if 200 <= status < 300:
            why = problem if isinstance(problem, Malformed) else "Altegio's answer is not JSON"
            raise unreadable(f"{why}.") from None
    meta = body.get("meta") if isinstance(body, dict) else None
    said = _redact(_said(meta, body) if len(content) <= _LONGEST_ERROR else "", secrets, 300)
    error, is_own = _http_error(status), isinstance(body, (dict, list))
    if error is None and isinstance(body, dict) and not to_flag(body.get("success", True)):
        if body["success"] not in (False, 0, "0", "false"):
            raise unreadable("Altegio's answer says neither success nor failure.")
        error = exceptions.Refused
    data = body["data"] if isinstance(body, dict) and "data" in body else body
    shows_rows = isinstance(data, dict) and data.get("loyalty_transactions")
    if error is not None and isinstance(body, dict) and (shows_rows or to_flag(body.get("success"))):
        raise unreadable("Altegio's answer says both that it succeeded and that it failed.")
    # What may come after Altegio did what was asked stays in doubt, whatever it says of limits.
    if error not in (None, exceptions.ServerError) and _LIMIT.search(said or text):
        error = exceptions.RateLimited
    # A 401 without a word is what any server says of credentials.
    is_own = is_own or (error is exceptions.Unauthorized and not content.strip())
    if error in (exceptions.Refused, exceptions.Unauthorized) and not is_own:
        raise unreadable(
            f"HTTP {status} without Altegio's own words: perhaps a gateway or a firewall in between answered."
        )
    if error is not None:
        said = said or ("Altegio answered without success." if status < 300 else f"HTTP {status}")
        raise error(said, http_status=status, body=text, retry_after=_retry_after(response.headers))
    if not is_own:
        raise unreadable("Altegio's answer is neither an object nor a list.")
    return Answer(status, data, text, said, meta)


def _http_error(status: int) -> type[exceptions.ApiError] | None:
    if 200 <= status < 300:
        return None
    # 408 and redirects come from something in between: whether Altegio saw the request is unknown.
    if status == 408 or not 400 <= status < 500:
        return exceptions.ServerError
    return {401: exceptions.Unauthorized, 429: exceptions.RateLimited}.get(status, exceptions.Refused)


def _said(*places: Any) -> str:
    """What the server says of itself, with the fields of a validation error; empty where it says nothing."""
    names = ("message", "errors", "error", "detail", "error_description", "title")
    found = [place.get(name) for place in places if isinstance(place, dict) for name in names]
    texts: dict[str, str] = {}
    for text in (text.strip() for value in found for text in _texts(value)):
        texts.setdefault(text.rstrip("."), text)  # some bodies say it twice
    return " ".join(filter(None, texts.values()))


def _texts(value: Any, about: str = "", depth: int = 4) -> list[str]:
    """The texts of a message, each with the field that it is about: a text, a list, an object or a map of fields."""
    if isinstance(value, str):
        return [f"{about}: {value}" if about else value]
    if isinstance(value, list) and depth:
        return [text for entry in value[:5] for text in _texts(entry, about, depth - 1)]
    if not isinstance(value, dict) or not depth:
        return []
    if told := next((value[name] for name in _TEXTS if value.get(name)), None):
        return _texts(told, str(value.get("field_name") or about), depth - 1)
    return [text for name, told in list(value.items())[:5] for text in _texts(told, name, depth - 1)]


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait; None where the header is missing or unusable (0 is of no use either)."""
    value = clean(headers.get("Retry-After", ""), 100).strip()
    if value.isascii() and value.isdigit():
        seconds = float(value)
    else:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return min(seconds, LONGEST_RETRY_AFTER) if seconds > 0 else None


class _Kept(threading.local):
    transport: Transport | None = None
    made_for: tuple[Any, ...] = ()


_kept = _Kept()


def shared_transport(
    api_url: str, *, proxy_url: str | Hidden, limits: Limits, media_type: str = ACCEPT, ca_bundle: str = ""
) -> Transport:
    """This thread's, with its open connections. A forked child makes its own: two on one would read each other's answers."""
    made_for = (os.getpid(), api_url, proxy_url := Hidden.of(proxy_url), limits, media_type, ca_bundle)
    if _kept.transport is None or _kept.made_for != made_for:
        if _kept.transport is not None and _kept.made_for[0] == os.getpid():
            _kept.transport.close()
        _kept.transport = Transport(
            api_url, proxy_url=proxy_url, ca_bundle=ca_bundle, limits=limits, media_type=media_type
        )
        _kept.made_for = made_for
    return _kept.transport
