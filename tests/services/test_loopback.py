"""A site's own tests, which are to reach no machine but the one they run on."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from altegio_loyalty import services
from altegio_loyalty.checks import check_settings
from altegio_loyalty.client import Hidden
from tests.delivery.salon import Salon, Status

pytestmark = [pytest.mark.one_database, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def elsewhere(salon: Salon, monkeypatch: pytest.MonkeyPatch) -> str:
    """An address of the sandbox that is none of this machine's."""
    resolve, url = socket.getaddrinfo, salon.settings.ALTEGIO_LOYALTY["API_URL"]

    def resolve_all(host: Any, *arguments: Any, **more: Any) -> Any:
        return resolve("127.0.0.1" if host == "altegio.example" else host, *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_all)
    return str(url).replace("127.0.0.1", "altegio.example")


def test_without_loopback_only__another_machine_is_called(salon: Salon, elsewhere: str) -> None:
    salon.configure(API_URL=elsewhere)
    assert salon.withdraw().status == Status.SUCCEEDED


def test_with_loopback_only__nothing_goes_to_another_machine(salon: Salon, elsewhere: str) -> None:
    salon.configure(API_URL=elsewhere, LOOPBACK_ONLY=True)
    operation = salon.withdraw()
    assert operation.status == Status.PENDING
    assert operation.sent_at is None
    assert "LOOPBACK_ONLY is set" in operation.last_error
    assert services.test_connection(salon.location).checks[0].is_good is not True
    login = services.log_in(salon.location.partner_token, "jane@example.com", Hidden("password"))
    assert "LOOPBACK_ONLY is set" in login.error
    assert salon.sandbox.requests == []


def test_with_loopback_only__a_proxy_on_another_machine_is_not_asked_either(
    salon: Salon, elsewhere: str
) -> None:
    """It would see the tokens of a call to this machine."""
    salon.configure(PROXY_URL=elsewhere.rpartition("/api")[0], LOOPBACK_ONLY=True)
    assert salon.withdraw().status == Status.PENDING
    assert salon.sandbox.requests == []


def test_with_loopback_only__this_machine_is_called(salon: Salon) -> None:
    salon.configure(LOOPBACK_ONLY=True)
    assert check_settings() == []
    assert salon.withdraw().status == Status.SUCCEEDED
