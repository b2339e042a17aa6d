"""How many withdrawals a second each gets done of those that wait, from the first call to the last, as the sink saw them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

from measured.contenders import OURS, Contender, contenders, python
from measured.sink import Access, first_visit, most_a_second, sink
from measured.turns import Figure, median, ratio

#: Seconds without a call after which a contender is taken to be stuck.
PATIENCE = 60.0


class Draining:
    """One run; each contender has its tables, and gets visits that none had before."""

    def __init__(self, access: Access, waiting: int, at_a_time: int) -> None:
        self.access, self.waiting = access, waiting
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "measured.site",
            "SINK_URL": access.url,
            "PARTNER_TOKEN": access.partner_token,
            "USER_TOKEN": access.user_token,
            "WITHOUT_LIMITS": "1",
            "AT_A_TIME": str(at_a_time),
        }
        self.firsts = count(first_visit(), waiting)

    def run(self, module: Sequence[str], who: Contender) -> None:
        environment = {**self.environment, "PEER": who.name}
        subprocess.run(python(module), check=True, env=environment, stdout=subprocess.DEVNULL)

    def measure(self, who: Contender) -> tuple[float, float]:
        """Withdrawals a second, and seconds of processor time for a thousand of them."""
        self.run(["-m", "measured.filling", who.name, str(next(self.firsts)), str(self.waiting)], who)
        self.access.forget()
        before = os.times()
        with self.working(who):
            seen = self.wait()
        after = os.times()
        busy = after.children_user + after.children_system - before.children_user - before.children_system
        assert seen["most"] == 1, f"{who.name} took points {seen['most']} times"
        return (self.waiting - 1) / (seen["last"] - seen["first"]), busy / self.waiting * 1000

    @contextlib.contextmanager
    def working(self, who: Contender) -> Iterator[None]:
        """Its workers, until the end of the block; those that end by themselves are waited for."""
        environment = {**self.environment, "PEER": who.name, **who.environment}
        quiet: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        workers = [
            subprocess.Popen(python(each), env=environment, start_new_session=True, **quiet)
            for each in who.workers
        ]
        try:
            yield
        finally:
            for worker in workers:
                if who.keeps_running:
                    worker.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    worker.wait(20)
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(worker.pid, signal.SIGKILL)
                worker.wait()

    def wait(self) -> dict[str, Any]:
        seen, moved_at = self.access.counted(), time.monotonic()
        while seen["count"] < self.waiting:
            time.sleep(0.05)
            before, seen = seen, self.access.counted()
            moved_at = time.monotonic() if seen["count"] > before["count"] else moved_at
            if time.monotonic() - moved_at > PATIENCE:
                raise TimeoutError(f"{seen['count']} of {self.waiting} were done")
        return seen


def figure(waiting: int, rounds: int, at_a_time: int = 4) -> Figure:
    """A line for each contender that is installed and that the database serves."""
    from measured.machine import is_postgresql

    asked = contenders(at_a_time)
    there = [who for who in asked if who.is_installed and (is_postgresql() or not who.needs_postgresql)]
    rates: dict[str, list[float]] = {who.name: [] for who in there}
    busy: dict[str, list[float]] = {who.name: [] for who in there}
    with sink() as access:
        best = most_a_second(access, clients=at_a_time)
        draining = Draining(access, waiting, at_a_time)
        for who in there:
            draining.run(["-m", "measured.filling", who.name], who)
        for number in range(rounds):
            for who in there[number % len(there) :] + there[: number % len(there)]:
                rate, seconds = draining.measure(who)
                rates[who.name].append(rate)
                busy[who.name].append(seconds)
    found = Figure(
        "Draining what waits",
        "withdrawals a second",
        ["", "a second", "the app's rate over its", "processor, s a thousand", "what it promises less"],
    )
    for who in there:
        ahead = f"{ratio(rates[OURS], rates[who.name]):.2f}"
        row = [f"{median(rates[who.name]):.0f}", ahead, f"{median(busy[who.name]):.1f}", who.less]
        found.rows.append([who.name, *row])
    note = (
        f"{waiting} withdrawals, {rounds} rounds in turn, {at_a_time} at a time, our limits off, since no peer has any. The "
        f"sink alone answered {best:.0f} such pairs a second. The processor's time is that of all processes, their start "
        "included."
    )
    left_out = {who.name: "which is not installed" for who in asked if not who.is_installed}
    left_out |= {who.name: "which needs PostgreSQL" for who in asked if who.is_installed and who not in there}
    found.notes = [note, *(f"Left out: {name}, {why}." for name, why in left_out.items())]
    return found
