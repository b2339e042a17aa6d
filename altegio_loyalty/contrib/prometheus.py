"""For prometheus_client: `REGISTRY.register(AltegioCollector())`, in one process: each scrape asks the database of all."""

import datetime
import statistics
from collections.abc import Iterator

from django.db.models import Count, Max
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from altegio_loyalty import database, throttle, watch
from altegio_loyalty.conf import get_settings
from altegio_loyalty.models import BooksOfDay, OperationAttempt, RequestBudget

_CALLS = 200


class AltegioCollector(Collector):
    """How the work stands for all processes, the operations asked for within the last hour, and the last 200 calls."""

    def describe(self) -> list[Metric]:
        """None: whoever registers it asks nothing of the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Raises what the database raises: zeros would say that nothing waits."""
        now, state = timezone.now(), watch.look(mails=False)
        state |= BooksOfDay.objects.aggregate(last_books_at=Max("checked_at"))
        budget = RequestBudget.objects.filter(host=throttle.api_host()).first() or RequestBudget()
        booked = (moment > (now.timestamp() - 60) * 1000 for moment, _mark in budget.bookings())
        state |= {"requests_last_minute": sum(booked), "requests_limit": get_settings().REQUESTS_PER_MINUTE}
        for name, value in state.items():
            if name.endswith(("_at", "_since")):
                yield _gauge(f"{name}_timestamp_seconds", value.timestamp() if value else 0)
            elif isinstance(value, int):
                yield _gauge(name, value)
        asked = database.operations().filter(created_at__gte=now - datetime.timedelta(hours=1)).order_by()
        outcomes = _gauge("asked_last_hour", labels=["kind", "status"])
        for kind, status, count in asked.values_list("kind", "status").annotate(count=Count("pk")):
            outcomes.add_metric([kind, status], count)
        calls = OperationAttempt.objects.exclude(duration_ms=None).order_by("-pk")
        took = list(calls.values_list("purpose", "duration_ms")[:_CALLS])
        times = _gauge("call_seconds", labels=["purpose", "of_last_calls"])
        for purpose in sorted({purpose for purpose, _duration_ms in took}):
            durations = [(duration_ms or 0) / 1000 for of, duration_ms in took if of == purpose]
            times.add_metric([purpose, "median"], statistics.median(durations))
            times.add_metric([purpose, "longest"], max(durations))
        yield from (outcomes, times)


def _gauge(name: str, value: float | None = None, labels: list[str] | None = None) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"altegio_loyalty_{name}", "See docs/monitoring.md", value=value, labels=labels)
