"""A client for the part of Altegio's API that loyalty on a visit needs. Knows neither Django nor Celery.

The one place where the version of the API is chosen: by the last part of its address.
"""

from collections.abc import Mapping

from altegio_loyalty import exceptions
from altegio_loyalty.client.hidden import Hidden
from altegio_loyalty.client.transport import Answer, Limits, Transport, shared_transport
from altegio_loyalty.client.types import Card, Cards, Company, Credentials, Record
from altegio_loyalty.client.v1 import AltegioClient
from altegio_loyalty.client.vendor import Order, Reply, Vendor
from altegio_loyalty.client.visit import LoyaltyTransaction, VisitDetails

__all__ = [
    "VERSIONS", "AltegioClient", "Answer", "Card", "Cards", "Company", "Credentials", "Hidden", "Limits",
    "LoyaltyTransaction", "Order", "Record", "Reply", "Transport", "Vendor", "VisitDetails", "client_of",
    "shared_transport", "version_of",
]  # fmt: skip

VERSIONS: Mapping[str, type[AltegioClient]] = {"v1": AltegioClient}


def version_of(api_url: str) -> str:
    """The version that the address names, such as "v1", whether it is known or not."""
    return api_url.rstrip("/").rpartition("/")[2]


def client_of(transport: Transport, credentials: Credentials) -> AltegioClient:
    """A client for the version that the transport's address names. Raises `exceptions.NotSent` for an unknown one."""
    version = version_of(transport.api_url)
    if version not in VERSIONS:
        raise exceptions.NotSent(f"This release does not know version {version} of the API.")
    return VERSIONS[version](transport, credentials)
