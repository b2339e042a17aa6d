"""For django-health-check: name `altegio_loyalty.contrib.health_check.Delivery` among the checks of its view."""

import dataclasses

from django.db import connections
from health_check.base import HealthCheck
from health_check.exceptions import ServiceUnavailable

from altegio_loyalty import database, watch


@dataclasses.dataclass
class Delivery(HealthCheck):  # type: ignore[misc]
    """Fails while nobody does what waits: Altegio is away, or nothing runs the sweep."""

    def run(self) -> None:
        try:
            if watch.look(mails=False)["status"] == watch.STANDS_STILL:
                raise ServiceUnavailable(" ".join(watch.notices()))
        finally:
            connections[database.alias()].close()
