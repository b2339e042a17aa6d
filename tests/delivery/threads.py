"""Several at once, in one process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from django.db import connections


def in_threads(*jobs: Callable[[], Any]) -> list[Any]:
    """Run the jobs at the same moment; what each returned or raised."""
    results: list[Any] = [None] * len(jobs)
    starts_together = threading.Barrier(len(jobs))

    def work(number: int) -> None:
        try:
            starts_together.wait(60)
            results[number] = jobs[number]()
        except Exception as error:  # noqa: BLE001
            results[number] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results
