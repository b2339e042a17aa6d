"""The app's settings: one dict, `settings.ALTEGIO_LOYALTY`, read when used, so that `override_settings` just works."""

import re
import ssl
import typing
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured

SETTING_NAME = "ALTEGIO_LOYALTY"
ALTEGIO, YCLIENTS = "Altegio", "YCLIENTS"
#: What `watch` can tell by mail.
ALERTS = ("altegio_away", "queue_stalled", "location_paused")
#: Nothing younger is pruned: the overview, the books and whoever is at the desk go by it.
FEWEST_DAYS = 30
#: The domains at which the same API is YCLIENTS'.
_OF_YCLIENTS = (".yclients.com", ".yclients.ru")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, repr=False)
class LoyaltySettings:
    """The defaults. Times are in seconds; 0 switches a delay or a limit off."""

    #: Where the API is, with the version and without a slash at the end.
    API_URL: str = "https://api.alteg.io/api/v1"
    #: What the texts call the platform, and the form of answers that it is asked for. Empty: what belongs to the host of
    #: API_URL, Altegio's or YCLIENTS'.
    PLATFORM_NAME: str = ""
    MEDIA_TYPE: str = ""
    #: "http://host:port" of a proxy for the calls, or "http://login@host:port". The environment's proxies are never used.
    PROXY_URL: str = ""
    #: Of that login. Django's page of an error hides a setting of such a name, and shows what stands in an address.
    PROXY_PASSWORD: str = ""
    #: A file of certificates in PEM, trusted in place of the usual ones, as behind a proxy that inspects TLS.
    CA_BUNDLE: str = ""
    #: Whether no other machine may be called, as in a site's own tests: then what is asked for is never sent.
    LOOPBACK_ONLY: bool = False
    #: How long to wait for a connection.
    CONNECT_TIMEOUT: float = 5
    #: How long to wait for the next piece of an answer.
    READ_TIMEOUT: float = 15
    #: How long one call may take altogether; a server that drips bytes is cut off here.
    TOTAL_TIMEOUT: float = 30
    #: The largest answer that is read.
    MAX_ANSWER_BYTES: int = 4 * 1024 * 1024
    #: Altegio and YCLIENTS allow 5 requests a second and 200 a minute per IP address; all processes of the site share them.
    REQUESTS_PER_SECOND: int = 5
    REQUESTS_PER_MINUTE: int = 200
    #: How often an operation is tried, and for how long after it was asked for, before a person has to decide.
    MAX_ATTEMPTS: int = 8
    RETRY_WINDOW: float = 1800
    #: The wait before the first retry; it doubles with each, up to RETRY_DELAY_MAX, and is then drawn at random below that.
    RETRY_DELAY: float = 5
    RETRY_DELAY_MAX: float = 300
    #: An effect may still arrive this long after an unanswered call; before that its absence proves nothing.
    SETTLE_SECONDS: float = 120
    #: How long a worker may hold an operation before it is taken to have died. Longer than two calls can take.
    LEASE_SECONDS: float = 120
    #: Fernet keys for the tokens at rest: the first encrypts, all decrypt. Empty: derived from SECRET_KEY.
    ENCRYPTION_KEYS: tuple[str, ...] | list[str] = ()
    #: Whether everybody sees all locations as long as none was ever given to anybody.
    LOCATIONS_OPEN_BY_DEFAULT: bool = True
    #: How long one sweep of due operations may go on.
    SWEEP_SECONDS: float = 50
    #: Who is told by mail of what holds the work up, and of its end; and of which of it.
    ALERT_EMAILS: tuple[str, ...] | list[str] = ()
    ALERTS: tuple[str, ...] | list[str] = ALERTS
    #: Who gets the report of each month by mail, which send_monthly_report sends; nobody.
    REPORT_EMAILS: tuple[str, ...] | list[str] = ()
    #: How many operations it works on at a time, each on a thread with a database connection of its own.
    SWEEP_THREADS: int = 8
    #: After so many days without anything new on a visit, 30 at the least, prune_log deletes its operations; 0 keeps them.
    KEEP_LOG_DAYS: int = 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    @property
    def is_yclients(self) -> bool:
        return is_http_url(self.API_URL) and f".{urlsplit(self.API_URL).hostname}".endswith(_OF_YCLIENTS)

    @property
    def is_near(self) -> bool:
        """Whether the API is on this machine, as the sandbox is."""
        return urlsplit(self.API_URL).hostname in _LOOPBACK

    @property
    def stays_here(self) -> bool:
        """Whether no call goes to another machine, nor by way of a proxy on one, which would see the tokens."""
        return self.is_near and urlsplit(self.PROXY_URL or self.API_URL).hostname in _LOOPBACK

    @property
    def platform_name(self) -> str:
        return self.PLATFORM_NAME or (YCLIENTS if self.is_yclients else ALTEGIO)

    @property
    def media_type(self) -> str:
        """What is asked for in the header Accept."""
        return self.MEDIA_TYPE or f"application/vnd.{'yclients' if self.is_yclients else 'api'}.v2+json"


_NAMES = frozenset(field.name for field in fields(LoyaltySettings))
_HINTS: dict[str, Any] = typing.get_type_hints(LoyaltySettings)
#: With the timeouts those that cannot be 0.
_ABOVE_0 = {"MAX_ANSWER_BYTES", "LEASE_SECONDS", "SWEEP_SECONDS", "SWEEP_THREADS"}
#: What a value of that type is an instance of, and what is said of another one.
_TYPES: dict[Any, tuple[Any, str]] = {
    bool: (bool, "must be True or False"),
    str: (str, "must be a text"),
    int: (int, "must be a whole number"),
    float: ((int, float), "must be a number of seconds"),
}
#: Settings of earlier releases, and why there are none any more.
_GONE = {
    "LOOK_BEFORE_SEND": "is gone: without the look before each call, points were taken twice that somebody had given back, "
    "or taken, in Altegio's own screen. The visit is always read now; take the key out"
}
_LONGEST = 10 * 365 * 24 * 3600
#: Of mail, perhaps behind a name.
_ADDRESS = r"(?:[^\"@,;\r\n]*|\"[^\"\r\n]*\" *)<[^@\s,;<>]+@[^@\s,;<>]+>|[^\"@\s,;<>]+@[^@\s,;<>]+"


def _configured() -> dict[str, Any]:
    given = getattr(django_settings, SETTING_NAME, {})
    if not isinstance(given, dict):
        raise ImproperlyConfigured(f"{SETTING_NAME} must be a dict, not {type(given).__name__}.")
    return given


def get_settings() -> LoyaltySettings:
    """The settings as they are now; unknown keys are left to the system check, which names them."""
    return LoyaltySettings(**{name: value for name, value in _configured().items() if name in _NAMES})


def _type_problem(name: str, value: object) -> str:
    if _HINTS[name] not in _TYPES:
        good = isinstance(value, (list, tuple)) and all(isinstance(key, str) for key in value)
        return "" if good else "must be a list of texts"
    kind, said = _TYPES[_HINTS[name]]
    return "" if isinstance(value, kind) and isinstance(value, bool) == (kind is bool) else said


def is_http_url(url: object, *, with_login: bool = False) -> bool:
    """Whether `url` is absolute, http or https, names a host, and carries no login, query or fragment."""
    if not isinstance(url, str) or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        is_reachable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    login = not with_login and (parts.username or parts.password)
    return parts.scheme in ("http", "https") and is_reachable and not (parts.query or parts.fragment or login)


def _own_problem(name: str, value: Any) -> str:
    try:
        if name == "CA_BUNDLE" and value:
            ssl.create_default_context(cafile=value)
    except (OSError, ValueError):
        return "must be empty or the path of a readable file of certificates in PEM"
    if name.endswith("_EMAILS") and not all(re.fullmatch(_ADDRESS, each) for each in value):
        return "must be a list of addresses, each an entry of its own"
    if name == "ALERTS" and not set(value) <= set(ALERTS):
        return f"may name {', '.join(ALERTS)}"
    if name == "KEEP_LOG_DAYS" and 0 < value < FEWEST_DAYS:
        return f"must be 0 or at least {FEWEST_DAYS}: nothing younger is pruned"
    return ""


def _value_problem(name: str, value: Any, given: dict[str, Any]) -> str:
    if name == "API_URL" and not is_http_url(value):
        return (
            "must be an absolute http or https address with the version, such as https://api.alteg.io/api/v1"
        )
    if name == "PROXY_URL" and value and not is_http_url(value, with_login=True):
        return "must be empty or an http or https address"
    if name == "PROXY_URL" and urlsplit(value).password is not None:
        return "must hold no password; set PROXY_PASSWORD, which Django's page of an error hides"
    if name == "PROXY_PASSWORD" and value and "@" not in str(given.get("PROXY_URL")):
        return "needs a login in PROXY_URL, as in http://login@host:port"
    if name == "PLATFORM_NAME" and value and (not value.isprintable() or not value.strip() or "%" in value):
        return "must be empty or a name without a percent sign"
    if name == "MEDIA_TYPE" and value and not re.fullmatch(r"[A-Za-z0-9.+-]+/[A-Za-z0-9.+-]+", value):
        return "must be empty or a media type, such as application/vnd.api.v2+json"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if not 0 <= value <= _LONGEST:  # also refuses NaN
            return "must not be negative, endless or longer than ten years"
        if value <= 0 and (name in _ABOVE_0 or name.endswith("_TIMEOUT")):
            return "must be more than 0"
    return ""


def find_problems() -> list[tuple[str, str]]:
    """(key, what is wrong with it) for each unknown or bad key of the dict; ("", …) where the dict itself is wrong."""
    try:
        given = _configured()
    except ImproperlyConfigured as error:
        return [("", str(error))]
    problems = []
    for name, value in given.items():
        if name in _GONE:
            problems.append((name, _GONE[name]))
        elif name not in _NAMES:
            problems.append((str(name), f"is unknown; known are {', '.join(sorted(_NAMES))}"))
        elif problem := (
            _type_problem(name, value) or _own_problem(name, value) or _value_problem(name, value, given)
        ):
            problems.append((name, problem))
    return problems
