"""One dict of settings: read when used, sound by default, every wrong key found and named."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from altegio_loyalty.conf import LoyaltySettings, find_problems, get_settings, is_http_url

DEFAULTS = LoyaltySettings()
NAMES = [field.name for field in fields(LoyaltySettings)]
TEXTS = {"CA_BUNDLE", "API_URL", "MEDIA_TYPE", "PLATFORM_NAME", "PROXY_URL", "PROXY_PASSWORD"}
COUNTS = {
    "MAX_ANSWER_BYTES", "REQUESTS_PER_SECOND", "REQUESTS_PER_MINUTE", "MAX_ATTEMPTS", "SWEEP_THREADS", "KEEP_LOG_DAYS",
}  # fmt: skip
FLAGS = {"LOCATIONS_OPEN_BY_DEFAULT", "LOOPBACK_ONLY"}
LISTS = {"ENCRYPTION_KEYS", "ALERT_EMAILS", "ALERTS", "REPORT_EMAILS"}
SECONDS = set(NAMES) - TEXTS - COUNTS - FLAGS - LISTS
MORE_THAN_0 = {
    "CONNECT_TIMEOUT",
    "READ_TIMEOUT",
    "TOTAL_TIMEOUT",
    "MAX_ANSWER_BYTES",
    "LEASE_SECONDS",
    "SWEEP_SECONDS",
    "SWEEP_THREADS",
}
PINNED = {
    "API_URL", "CONNECT_TIMEOUT", "READ_TIMEOUT", "REQUESTS_PER_SECOND", "REQUESTS_PER_MINUTE", "MAX_ATTEMPTS",
    "RETRY_WINDOW", "RETRY_DELAY", "RETRY_DELAY_MAX", "SETTLE_SECONDS", "LEASE_SECONDS",
    "ENCRYPTION_KEYS",
}  # fmt: skip


def problems_of(**values: Any) -> list[str]:
    with override_settings(ALTEGIO_LOYALTY=values):
        return [name for name, _ in find_problems()]


def test_the_pinned_keys_are_there() -> None:
    assert set(NAMES) >= PINNED


def test_the_defaults_are_sound() -> None:
    assert problems_of(**{name: getattr(DEFAULTS, name) for name in NAMES}) == []
    assert problems_of() == []
    assert DEFAULTS.API_URL == "https://api.alteg.io/api/v1"
    assert (DEFAULTS.REQUESTS_PER_SECOND, DEFAULTS.REQUESTS_PER_MINUTE) == (5, 200)


def test_without_the_setting_the_defaults_hold(settings: Any) -> None:
    del settings.ALTEGIO_LOYALTY
    assert get_settings() == DEFAULTS
    assert find_problems() == []


def test_settings_are_read_when_used() -> None:
    for seconds in (1, 2):
        with override_settings(ALTEGIO_LOYALTY={"READ_TIMEOUT": seconds}):
            assert seconds == get_settings().READ_TIMEOUT
            assert get_settings().CONNECT_TIMEOUT == DEFAULTS.CONNECT_TIMEOUT


def test_a_change_of_the_dict_itself_is_seen(settings: Any) -> None:
    settings.ALTEGIO_LOYALTY = {}
    settings.ALTEGIO_LOYALTY["READ_TIMEOUT"] = 7
    assert get_settings().READ_TIMEOUT == 7


def test_settings_hide_themselves() -> None:
    with override_settings(ALTEGIO_LOYALTY={"ENCRYPTION_KEYS": ["top-secret-key"]}):
        assert "top-secret-key" not in f"{get_settings()!r}{get_settings()}"


@pytest.mark.parametrize("value", [None, [], "x", 5, (("API_URL", "x"),)])
def test_a_setting_that_is_no_dict_is_found(value: Any) -> None:
    with override_settings(ALTEGIO_LOYALTY=value):
        assert [name for name, _ in find_problems()] == [""]
        with pytest.raises(ImproperlyConfigured):
            get_settings()


@pytest.mark.parametrize("name", ["API_ULR", "api_url", "TIMEOUT", "", "__class__", 5, None, ("a",)])
def test_an_unknown_key_is_named_and_does_no_harm(name: Any) -> None:
    with override_settings(ALTEGIO_LOYALTY={name: 1}):
        assert [(found, "unknown" in text) for found, text in find_problems()] == [(str(name), True)]
        assert get_settings() == DEFAULTS


def test_the_message_of_an_unknown_key_names_the_known_ones() -> None:
    with override_settings(ALTEGIO_LOYALTY={"API_ULR": "x"}):
        assert "API_URL" in find_problems()[0][1]


WRONG: dict[str, list[Any]] = {}
for _name in NAMES:
    if _name in FLAGS:
        WRONG[_name] = [None, 0, 1, "True", "", [], 1.0]
    elif _name in TEXTS:
        WRONG[_name] = [None, 5, True, b"https://api.alteg.io", ["https://api.alteg.io"], 1.5]
    elif _name in LISTS:
        WRONG[_name] = [None, "a key", 5, [b"bytes"], [1], [None], {"a": 1}, {"a"}, True]
        if _name.endswith("_EMAILS"):
            WRONG[_name] += [
                [each] for each in ("", "boss", "a@b.c, d@e.f", "a@b.c;d@e.f", "a@b.c\nBcc: d@e.f", '"a@b.c')
            ]
    else:
        WRONG[_name] = [
            None,
            "5",
            "",
            True,
            False,
            [],
            {},
            -1,
            -0.001,
            float("nan"),
            float("inf"),
            -float("inf"),
        ]
        WRONG[_name] += [10**12, 1e300, b"5", 1 + 2j]
        if _name in COUNTS:
            WRONG[_name] += [5.0, 5.5]
        if _name in MORE_THAN_0:
            WRONG[_name] += [0]
        if _name == "KEEP_LOG_DAYS":
            WRONG[_name] += [1, 29]


@pytest.mark.parametrize("name", NAMES)
def test_every_wrong_value_is_found(name: str) -> None:
    for value in WRONG[name]:
        assert problems_of(**{name: value}) == [name], value


@pytest.mark.parametrize("name", sorted(COUNTS | SECONDS))
def test_0_and_ordinary_numbers_are_good(name: str) -> None:
    for value in [*([] if name in MORE_THAN_0 else [0]), 30 if name == "KEEP_LOG_DAYS" else 1, 3600]:
        assert problems_of(**{name: value}) == [], value
    if name in SECONDS:
        assert problems_of(**{name: 0.5}) == []


@pytest.mark.parametrize(
    "address", ["a@b.c", "Jane Doe <a@b.c>", '"Doe, Jane @ night" <a@b.c>', "ночь@пример.рф"]
)
def test_an_address_of_mail_is_good(address: str) -> None:
    assert problems_of(ALERT_EMAILS=[address]) == []


def test_an_alert_that_there_is_none_of_is_found() -> None:
    assert problems_of(ALERTS=["altegio_away", "the_sky_falls"]) == ["ALERTS"]
    assert problems_of(ALERTS=[]) == []


BAD_URLS = [
    "", " ", "nonsense", "api.alteg.io/api/v1", "//api.alteg.io", "ftp://api.alteg.io", "file:///etc/passwd", "http://",
    "https://", "https:///api", "https://:443/api", "http://[::1", "http://[bad]/", "http://h:99999/", "http://h:0/",
    "http://h:x/", "https://user:secret@api.alteg.io", "https://user@api.alteg.io", "https://api.alteg.io/?x=1",
    "https://api.alteg.io/#x", "https://api.alteg.io/\n", "https://api.alteg.io/\x00", "javascript:alert(1)",
    "https://api alteg.io/api/v1", "https://api.alteg.io/api/v1 ", "https://api.alteg.io/api /v1", "\u200bhttps://api.alteg.io",
]  # fmt: skip


@pytest.mark.parametrize("url", BAD_URLS)
def test_an_api_url_that_no_request_could_go_to_is_found(url: str) -> None:
    assert not is_http_url(url)
    assert problems_of(API_URL=url) == ["API_URL"]


@pytest.mark.parametrize(
    "url",
    [
        "https://api.alteg.io/api/v1",
        "https://api.alteg.io/api/v1/",
        "http://127.0.0.1:8000/api/v1",
        "http://[::1]:8000",
        "https://developer.alteg.io/_mock/en/b2b-v1/openapi",
        "HTTPS://API.ALTEG.IO/api/v1",
        "https://пример.рф/api",
    ],
)
def test_a_good_api_url_is_good(url: str) -> None:
    assert problems_of(API_URL=url) == []


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "socks5://127.0.0.1:1",
        "http://",
        "http://[::1",
        "http://[bad]",
        "http://h:x",
        "127.0.0.1:3128",
    ],
)
def test_a_proxy_url_that_no_request_could_go_through_is_found(url: str) -> None:
    assert problems_of(PROXY_URL=url) == ["PROXY_URL"]


@pytest.mark.parametrize("url", ["", "http://proxy:3128", "https://proxy", "http://joe@proxy:3128"])
def test_a_good_proxy_url_is_good(url: str) -> None:
    assert problems_of(PROXY_URL=url) == []


def test_every_problem_is_found_at_once() -> None:
    assert problems_of(API_URL=5, READ_TIMEOUT="x", NONSENSE=1) == ["API_URL", "READ_TIMEOUT", "NONSENSE"]


def test_no_message_repeats_a_secret_value() -> None:
    with override_settings(
        ALTEGIO_LOYALTY={"ENCRYPTION_KEYS": "top-secret", "API_URL": "https://u:top-secret@x"}
    ):
        assert "top-secret" not in str(find_problems())


@pytest.mark.parametrize("url", ["http://joe:old@proxy:3128", "http://joe:@proxy:3128"])
def test_a_password_in_the_address_of_a_proxy_is_found(url: str) -> None:
    with override_settings(ALTEGIO_LOYALTY={"PROXY_URL": url}):
        assert [name for name, _ in find_problems()] == ["PROXY_URL"]


@pytest.mark.parametrize("url", ["", "http://proxy:3128"])
def test_a_password_of_a_proxy_without_a_login_is_found(url: str) -> None:
    with override_settings(ALTEGIO_LOYALTY={"PROXY_URL": url, "PROXY_PASSWORD": "x"}):
        assert [name for name, _ in find_problems()] == ["PROXY_PASSWORD"]


@pytest.mark.parametrize("url", ["http://joe@proxy:3128", "https://joe%40x@[::1]:3128"])
def test_a_password_of_a_login_is_good(url: str) -> None:
    with override_settings(ALTEGIO_LOYALTY={"PROXY_URL": url, "PROXY_PASSWORD": "a:b@c/d"}):
        assert find_problems() == []
