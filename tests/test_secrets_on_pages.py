"""Templates and Django's page of an error: whoever writes or sees them reads no token, no key and no password."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography.fernet import Fernet
from django.core.management.utils import get_random_secret_key
from django.template import Context, Template
from django.test import Client, RequestFactory
from django.test.client import MULTIPART_CONTENT
from django.urls import reverse
from django.views.debug import ExceptionReporter

from altegio_loyalty.client import Credentials
from altegio_loyalty.client.crypto import derive_key
from altegio_loyalty.client.hidden import Hidden
from altegio_loyalty.fields import Secret
from altegio_loyalty.gateway import client_for
from altegio_loyalty.models import Location
from tests.client.trackers import Tracker, ending_of, spellings
from tests.processes.reporting import report_to, reports_in

pytestmark = pytest.mark.one_database

PARTNER, USER, PASSWORD, LOGIN = "partner-5f1c9a", "user-77ab03", "pr0xy/61ae", "jane@4f.example"
OURS = (Location, Credentials, Hidden)
#: As a template may write them behind a value.
FILTERS = [
    "pprint", "stringformat:'s'", "stringformat:'r'", "json_script:'x'", "safe", "escapejs", "urlencode", "linebreaks",
    "join:','", "make_list", "first", "last", "slice:':99'", "default:'x'", "yesno:'a,b'", "add:'x'", "cut:'z'", "upper",
    "lower", "title", "wordwrap:99", "center:99", "truncatechars:99", "striptags", "unordered_list", "length", "random",
    "dictsort:0", "phone2numeric", "slugify", "addslashes", "force_escape", "iriencode", "urlize", "stringformat:'a'",
]  # fmt: skip
TAGS = ["{% debug %}", "{% for x in value %}{{ x }}{% endfor %}", "{% with x=value.reveal %}{{ x }}{% endwith %}",
        "{% if value.reveal == value %}same{% endif %}{% firstof value.reveal value %}"]  # fmt: skip


@pytest.fixture
def location(settings: Any) -> Location:
    settings.DEBUG = True  # for {% debug %}
    return Location(id=1, title="Salon", partner_token=PARTNER, user_token=USER)


def found_in(text: object) -> list[str]:
    return Tracker().show(text).finds({way for secret in (PARTNER, USER, LOGIN) for way in spellings(secret)})


def rendered(source: str, **context: Any) -> str:
    """Nothing where the template fails: what it says then is looked at as well."""
    try:
        return Template(source).render(Context(context))
    except Exception as error:  # noqa: BLE001 - a filter may refuse a value, as it likes
        return str(error)


def paths_of(value: object, path: str, depth: int = 4) -> Iterator[str]:
    """Every way on which a template can go on from an object of ours, through what it calls by itself too."""
    for name in dir(value) if depth else ():
        if name.startswith(("_", "arefresh", "asave", "adelete")) or not hasattr(type(value), name):
            continue
        yield f"{path}.{name}"
        found = getattr(value, name) if name in ("partner_token", "user_token", "credentials") else None
        found = found() if callable(found) else found
        if isinstance(found, OURS):
            yield from paths_of(found, f"{path}.{name}", depth - 1)


@pytest.mark.django_db
def test_no_path_of_a_template__prints_a_token(location: Location) -> None:
    paths = [
        *paths_of(location, "value"),
        *paths_of(location.partner_token, "token"),
        *paths_of(location.credentials(), "held"),
    ]
    for expected in ("partner_token.reveal", "credentials.user_token.reveal", "credentials.to_header"):
        assert f"value.{expected}" in paths
    context = {"value": location, "token": location.partner_token, "held": location.credentials()}
    printed = {path: rendered(f"{{{{ {path} }}}}", **context) for path in paths}
    assert [path for path, text in printed.items() if found_in(text)] == []
    assert printed["value.partner_token.reveal"] == printed["value.credentials.to_header"] == ""


@pytest.mark.parametrize("template_filter", FILTERS)
def test_no_filter__prints_a_token(location: Location, template_filter: str) -> None:
    for value in (location.partner_token, location.credentials(), [location.partner_token], location):
        for path in ("value", "value.reveal", "value.partner_token", "value.partner_token.reveal"):
            assert found_in(rendered(f"{{{{ {path}|{template_filter} }}}}", value=value)) == []


@pytest.mark.parametrize("tag", TAGS)
def test_no_tag__prints_a_token(location: Location, tag: str) -> None:
    for value in (location.partner_token, location.credentials(), Hidden(PARTNER)):
        assert found_in(rendered(tag, value=value, tokens=[value], location=location)) == []


# Django's page of an error


@pytest.fixture
def boss(admin_user: Any) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(admin_user)
    return client


def report_of(error: BaseException | None) -> str:
    """The page with the settings on it, as developers see it and as it is mailed."""
    assert error is not None
    assert error.__traceback__ is not None
    # Without the frame of the generator that caught it, which has ended: Python 3.13.0 crashes over its variables.
    reporter = ExceptionReporter(RequestFactory().get("/"), type(error), error, error.__traceback__.tb_next)
    return reporter.get_traceback_html() + reporter.get_traceback_text()


KEYS = [Fernet.generate_key().decode() for _ in range(2)]


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("bad", ["short", "", "ключ", 5, None, b"bytes"])
@pytest.mark.django_db
def test_a_bad_key__shows_no_good_one(settings: Any, boss: Client, debug: bool, bad: Any) -> None:
    """Neither as the setting has them nor as they are used."""
    location = Location.objects.create(id=1, title="Salon", partner_token=PARTNER, user_token=USER)
    settings.DEBUG = debug
    settings.ALTEGIO_LOYALTY = {**settings.ALTEGIO_LOYALTY, "ENCRYPTION_KEYS": [KEYS[0], bad, KEYS[1]]}
    page = boss.get(reverse("admin:altegio_loyalty_location_change", args=[1]))
    assert page.status_code == 500
    error = ending_of(lambda: Location.objects.get(pk=location.pk).partner_token.reveal())
    pages = page.content.decode() + report_of(error)
    to_find = {way for key in KEYS for way in spellings(key)}
    assert Tracker().show([pages, error]).finds(to_find) == []


@pytest.mark.django_db
def test_a_key_of_the_secret_key__is_shown_nowhere(settings: Any) -> None:
    first, second = get_random_secret_key(), get_random_secret_key()
    settings.SECRET_KEY = first
    Location.objects.create(id=1, title="Salon", partner_token=PARTNER, user_token=USER)
    settings.SECRET_KEY = second
    error = ending_of(lambda: client_for(Location.objects.get()))
    to_find = {way for key in (first, second) for each in (key, derive_key(key)) for way in spellings(each)}
    assert Tracker().show([report_of(error), error]).finds(to_find) == []


def test_the_password_of_a_proxy__is_not_shown_among_the_settings(settings: Any) -> None:
    settings.ALTEGIO_LOYALTY = {"PROXY_URL": "http://joe@127.0.0.1:9", "PROXY_PASSWORD": PASSWORD}
    page = report_of(ending_of(lambda: json.loads("{")))
    assert "joe@127.0.0.1" in page
    assert PASSWORD not in page


def post_a_location(boss: Client, page: str, content_type: str) -> Any:
    """With tokens typed into it."""
    url = reverse(f"admin:altegio_loyalty_location_{page}", args=[1] if page == "change" else [])
    access = {f"access-{name}_FORMS": "0" for name in ("TOTAL", "INITIAL")}
    posted: Any = {"id": 2, "title": "x", "partner_token": PARTNER, "user_token": USER, **access}
    is_multipart = content_type == MULTIPART_CONTENT
    return boss.post(url, posted if is_multipart else urlencode(posted), content_type=content_type)


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("content_type", [MULTIPART_CONTENT, "application/x-www-form-urlencoded"])
@pytest.mark.parametrize(
    ("page", "place"),
    [(page, place) for page in ("add", "change") for place in ("save", "clean", "note_tokens")]
    + [("change", "from_db")],
)
@pytest.mark.django_db
def test_typed_tokens__are_on_no_page_of_an_error(
    settings: Any,
    boss: Client,
    monkeypatch: pytest.MonkeyPatch,
    page: str,
    place: str,
    content_type: str,
    debug: bool,
) -> None:
    """Wherever the request ends: not in its POST, not in a form's arguments, data or cleaned data."""
    Location.objects.create(id=1, title="Salon")

    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("here")

    monkeypatch.setattr(Location, place, classmethod(fail) if place == "from_db" else fail)
    settings.DEBUG = debug
    answer = post_a_location(boss, page, content_type)
    kind, error, trace = answer.exc_info
    assert str(error) == "here"
    reporter = ExceptionReporter(answer.wsgi_request, kind, error, trace)
    pages = [answer.content.decode(), reporter.get_traceback_html(), reporter.get_traceback_text()]
    assert "_changeform_view" in pages[1]
    assert found_in([pages, repr(answer.wsgi_request.POST)]) == []


@pytest.mark.parametrize("content_type", [MULTIPART_CONTENT, "application/x-www-form-urlencoded"])
@pytest.mark.parametrize(
    "place",
    [
        "services.log_in",
        "services.connecting.Line.ask",
        "admin.connect.LoginForm.clean",
        "admin.connect.Location.objects.order_by",
    ],
)
@pytest.mark.django_db(transaction=True)
def test_a_typed_login__is_on_no_page_of_an_error(
    boss: Client, monkeypatch: pytest.MonkeyPatch, place: str, content_type: str
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("here")

    monkeypatch.setattr(f"altegio_loyalty.{place}", fail)
    posted: Any = {"partner_token": PARTNER, "login": LOGIN, "password": USER}
    url = reverse("admin:altegio_loyalty_location_connect")
    is_multipart = content_type == MULTIPART_CONTENT
    answer: Any = boss.post(url, posted if is_multipart else urlencode(posted), content_type=content_type)
    kind, error, trace = answer.exc_info
    assert str(error) == "here"
    reporter = ExceptionReporter(answer.wsgi_request, kind, error, trace)
    pages = [answer.content.decode(), reporter.get_traceback_html(), reporter.get_traceback_text()]
    assert found_in([pages, repr(answer.wsgi_request.POST)]) == []


@pytest.mark.parametrize("content_type", [MULTIPART_CONTENT, "application/x-www-form-urlencoded"])
@pytest.mark.parametrize("place", ["save", "clean"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.django_db
def test_typed_tokens__are_in_no_report_to_sentry(
    boss: Client, monkeypatch: pytest.MonkeyPatch, place: str, content_type: str, tmp_path: Path
) -> None:
    """With its default set-up, which sends what was posted; in a child, since it patches whatever it finds."""
    pytest.importorskip("sentry_sdk")

    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("here")

    monkeypatch.setattr(Location, place, fail)
    if not (child := os.fork()):
        with contextlib.suppress(BaseException):
            report_to(str(tmp_path / "reports"))
            post_a_location(boss, "add", content_type)
        os._exit(0)
    os.waitpid(child, 0)
    (report,) = reports_in(tmp_path / "reports")
    assert '"vars"' in report
    assert '"partner_token"' in report
    assert found_in(report) == []


def test_a_secret_that_was_opened__still_prints_nothing() -> None:
    token = Secret(PARTNER)
    assert token.reveal() == PARTNER
    assert found_in(rendered("{{ token }}{{ token.reveal }}{{ token|pprint }}", token=token)) == []
