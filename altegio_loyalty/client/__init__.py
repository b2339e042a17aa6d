"""A client for the part of Altegio's V1 API that loyalty on a visit needs. Knows neither Django nor Celery."""

from altegio_loyalty.client.api import AltegioClient, Outcome
from altegio_loyalty.client.hidden import Hidden
from altegio_loyalty.client.transport import Answer, Limits, Transport, shared_transport
from altegio_loyalty.client.types import (
    Card,
    Credentials,
    LoyaltyTransaction,
    Program,
    Record,
    RecordPage,
    VisitDetails,
    VisitLine,
)

__all__ = [
    "AltegioClient",
    "Answer",
    "Card",
    "Credentials",
    "Hidden",
    "Limits",
    "LoyaltyTransaction",
    "Outcome",
    "Program",
    "Record",
    "RecordPage",
    "Transport",
    "VisitDetails",
    "VisitLine",
    "shared_transport",
]
