"""What Prometheus scrapes, in its own format, by its own parser."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from altegio_loyalty import exceptions, watch
from altegio_loyalty.contrib.prometheus import AltegioCollector
from altegio_loyalty.models import Location
from tests.delivery.conftest import salon
from tests.delivery.salon import Salon

__all__ = ["salon"]
pytestmark = pytest.mark.django_db


def scrape() -> dict[tuple[str, ...], float]:
    """Each sample, by its name behind the app's and the values of its labels, which stand by their names."""
    registry = CollectorRegistry(auto_describe=True)
    registry.register(AltegioCollector())
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        (sample.name.removeprefix("altegio_loyalty_"), *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def test_to_register_it__asks_nothing_of_the_database(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        CollectorRegistry(auto_describe=True).register(AltegioCollector())


def test_a_scrape__tells_what_waits_and_what_was_done(salon: Salon) -> None:
    salon.configure(REQUESTS_PER_SECOND=1000, REQUESTS_PER_MINUTE=1000)
    salon.later()
    salon.sweep()
    salon.later()
    found = scrape()
    assert (found["open",], found["due",], found["in_doubt",]) == (1, 1, 0)
    assert found["asked_last_hour", "apply_card_withdrawal", "succeeded"] == 1
    assert found["asked_last_hour", "apply_card_withdrawal", "pending"] == 1
    assert found["call_seconds", "longest", "send"] >= found["call_seconds", "median", "send"] > 0
    assert (found["requests_last_minute",], found["requests_limit",]) == (2, 1000)
    assert 0 <= timezone.now().timestamp() - found["last_sweep_at_timestamp_seconds",] < 60
    assert found["last_books_at_timestamp_seconds",] == 0


def test_a_scrape__tells_what_is_wrong(salon: Salon) -> None:
    Location.objects.update(refused_at=timezone.now())
    salon.later()
    salon.sweep()
    assert scrape()["paused_locations",] == 1
    salon.withdraw(salon.visit(location=salon.add_location("Second Street")))
    for _ in range(3):
        watch.heard(exceptions.NoAnswer())
    assert scrape()["altegio_away_since_timestamp_seconds",] > 0


def test_a_scrape__costs_a_few_queries(salon: Salon, django_assert_max_num_queries: Any) -> None:
    for _ in range(5):
        salon.withdraw()
    with django_assert_max_num_queries(12):
        scrape()


def test_a_database_that_is_away__fails_the_scrape(salon: Salon) -> None:
    """Zeros would say that nothing waits."""

    def refuse(*args: Any) -> Any:
        raise OperationalError("away")

    with connection.execute_wrapper(refuse), pytest.raises(OperationalError):
        scrape()
