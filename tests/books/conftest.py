from __future__ import annotations

import datetime
from collections.abc import Iterator

import pytest
from django.utils import timezone

from tests.delivery.conftest import salon

__all__ = ["salon"]


@pytest.fixture(autouse=True)
def noon() -> Iterator[None]:
    """It is the middle of the day here, whenever the tests run: what was done moments ago was done today."""
    now = datetime.datetime.now(datetime.UTC)
    with timezone.override(datetime.timezone(datetime.timedelta(hours=12 - now.hour))):
        yield
