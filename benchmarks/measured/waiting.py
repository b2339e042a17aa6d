"""How long a host site's `deliver="on_commit"` takes while a backlog is worked off, over how long it takes on an idle site.

With Celery's workers as docs/installation.md has them, one slot for the desk and one for sweeps, and the limits of
requests on: the backlog leaves the desk its share.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from itertools import count
from typing import Any

from measured.contenders import python
from measured.sink import CARD, LOCATION, Access, first_visit, sink
from measured.turns import Figure, median

#: Seconds that Altegio takes for an answer, about as over the internet, and between two people at the desk.
ANSWERS_AFTER, PAUSE = 0.15, 2.0


@contextlib.contextmanager
def workers(access: Access, queues: list[str]) -> Iterator[None]:
    """A Celery worker with one slot for each of these lists of queues."""
    environment = {**os.environ, "SINK_URL": access.url}
    command = [
        "-m",
        "celery",
        "-A",
        "project",
        "worker",
        "--pool=threads",
        "--concurrency=1",
        "--loglevel=ERROR",
    ]
    started = [
        subprocess.Popen(
            python([*command, "-Q", names, "-n", f"{number}@measured"]),
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for number, names in enumerate(queues)
    ]
    try:
        time.sleep(5)  # until they listen
        yield
    finally:
        for worker in started:
            worker.terminate()
        for worker in started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.wait(20)
            worker.kill()


def seconds_until_done(visit_id: int) -> float:
    """From the commit until the row says that it is done."""
    from django.db import transaction

    from altegio_loyalty import services
    from altegio_loyalty.models import LoyaltyOperation

    began = time.perf_counter()
    with transaction.atomic():
        where: Any = {"visit_id": visit_id, "record_id": visit_id, "card_id": CARD}
        operation = services.apply_card_withdrawal(LOCATION, amount=1, deliver="on_commit", **where)
    done = LoyaltyOperation.objects.filter(pk=operation.pk, status="succeeded")
    while not done.exists():
        if time.perf_counter() - began > 120:
            raise TimeoutError("It is not done after two minutes.")
        time.sleep(0.01)
    return time.perf_counter() - began


def figure(times: int, backlog: int) -> Figure:
    """On an idle site, and while so many wait and a sweep works on them."""
    from django.conf import settings

    from altegio_loyalty.models import LoyaltyOperation
    from altegio_loyalty.tasks import retry_due_operations
    from measured.filling import operations

    with sink(ANSWERS_AFTER) as access:
        settings.ALTEGIO_LOYALTY = {"API_URL": access.url}
        os.environ |= {"PARTNER_TOKEN": access.partner_token, "USER_TOKEN": access.user_token}
        visits = count(first_visit())
        operations(range(0))
        with workers(access, ["measured_desk", "measured_desk_sweeps"]):
            seconds_until_done(next(visits))
            idle = [_after_a_pause(next(visits)) for _ in range(times)]
            first = next(visits) + times + 10
            operations(range(first, first + backlog))
            retry_due_operations.delay()
            time.sleep(20)  # the burst at the beginning is over
            busy = [_after_a_pause(next(visits)) for _ in range(times)]
            left = LoyaltyOperation.objects.open().count()
    found = Figure("At the desk beside a backlog", "s", ["", "s", "slowest, s", "over idle"])
    found.rows.append(["idle", f"{median(idle):.2f}", f"{max(idle):.2f}", "1.00"])
    over = median(busy) / median(idle)
    found.rows.append([f"while {backlog} wait", f"{median(busy):.2f}", f"{max(busy):.2f}", f"{over:.2f}"])
    note = (
        f'`deliver="on_commit"`, {times} times each, {PAUSE:g} s apart, until the row says that it is done; answers after '
        f"{ANSWERS_AFTER:g} s, 5 requests a second and 200 a minute, a slot for the desk and one for sweeps. {left} still "
        "waited at the end."
    )
    found.notes = [note]
    return found


def _after_a_pause(visit_id: int) -> float:
    time.sleep(PAUSE)
    return seconds_until_done(visit_id)
