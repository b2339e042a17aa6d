"""The clocks that the app reads, in a test's hands."""

from __future__ import annotations

import contextlib
import datetime
import time
from collections.abc import Iterator
from unittest import mock

from django.utils import timezone


class Clock:
    """Time passes on both clocks, `passed`; a person or NTP sets only the one on the wall, `set_by`. In seconds."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.set_by = 0.0
        self._now, self._monotonic, self._time = timezone.now, time.monotonic, time.time

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        with (
            mock.patch("django.utils.timezone.now", self.now),
            mock.patch("time.monotonic", self.monotonic),
            mock.patch("time.time", self.time),
        ):
            yield

    def now(self) -> datetime.datetime:
        return self._now() + datetime.timedelta(seconds=self.passed + self.set_by)

    def monotonic(self) -> float:
        return self._monotonic() + self.passed

    def time(self) -> float:
        return self._time() + self.passed + self.set_by
