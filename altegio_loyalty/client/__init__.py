"""A client for the part of Altegio's API that loyalty on a visit needs. Knows neither Django nor Celery."""

from altegio_loyalty.client.hidden import Hidden
from altegio_loyalty.client.transport import Answer, Limits, Transport, shared_transport
from altegio_loyalty.client.types import Card, Cards, Company, Credentials, Record
from altegio_loyalty.client.v1 import AltegioClient
from altegio_loyalty.client.vendor import Order, Reply, Vendor
from altegio_loyalty.client.versions import client_of
from altegio_loyalty.client.visit import LoyaltyTransaction, VisitDetails

__all__ = [
    "AltegioClient", "Answer", "Card", "Cards", "Company", "Credentials", "Hidden", "Limits",
    "LoyaltyTransaction", "Order", "Record", "Reply", "Transport", "Vendor", "VisitDetails", "client_of",
    "shared_transport",
]  # fmt: skip
