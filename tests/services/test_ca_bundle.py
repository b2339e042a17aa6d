"""A site whose calls go through somebody who opens TLS and signs with a certificate of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from altegio_loyalty import services
from altegio_loyalty.checks import check_settings
from tests.client.rawserver import RawServer, answering, http_answer, make_certificate
from tests.delivery.salon import Salon, Status

pytestmark = [pytest.mark.one_database, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def inspected(salon: Salon, tmp_path: Path) -> Any:
    """Its certificate, which nobody trusts yet, before the API."""
    context, trusted = make_certificate(tmp_path)
    answer = b'{"success": true, "data": {"id": %d, "title": "Main Street"}}' % salon.location.pk
    with RawServer(answering(http_answer(answer), http_answer(b'{"data": {}}')), tls=context) as server:
        salon.configure(API_URL=f"{server.url}/v1")
        yield str(trusted)


def test_certificate_that_is_not_trusted__is_named_in_the_connection_test(
    salon: Salon, inspected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the way out; the environment's bundle is none, since it must never replace the way."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", inspected)
    [check] = services.test_connection(salon.location).checks
    assert check.is_good is not True
    assert "The certificate of 127.0.0.1 is not trusted" in check.detail
    assert "set CA_BUNDLE" in check.detail


def test_certificate_that_is_not_trusted__sends_nothing_and_waits(salon: Salon, inspected: str) -> None:
    """It is told of the operation too."""
    operation = salon.withdraw()
    assert operation.status == Status.PENDING
    assert "is not trusted; nothing was sent" in operation.last_error


def test_ca_bundle__is_trusted(salon: Salon, inspected: str) -> None:
    """In place of the usual certificates."""
    salon.configure(API_URL=salon.settings.ALTEGIO_LOYALTY["API_URL"], CA_BUNDLE=inspected)
    assert check_settings() == []
    assert services.test_connection(salon.location).checks[0].is_good is True
