"""Version 1 of the API: developer.alteg.io, B2B V1."""

from altegio_loyalty.client.v1.api import REQUESTS, AltegioClient

__all__ = ["REQUESTS", "AltegioClient"]
