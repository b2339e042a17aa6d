"""One run of the attack, from the empty database to the verdict."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import django

from altegio_loyalty.sandbox import Sandbox
from tests import reachable
from tests.chaos import budget, lan, plan, script
from tests.chaos.lan import Host
from tests.chaos.programs import Troupe
from tests.chaos.site import Site

SECONDS_TO_DRAIN = 180


@dataclass(frozen=True)
class Orders:
    """What the run is to be like."""

    database: str
    broker: str
    pool: str
    operations: int
    faults: float
    kills: int
    requesters: int
    seconds: float
    seed: int
    script: str
    books: bool = False
    hosts: int = 0

    def __str__(self) -> str:
        given = {
            name: value
            for name, value in vars(self).items()
            if value not in ("", False) and (name, value) != ("hosts", 0)
        }
        return " ".join(
            f"--{name}" + (f" {value}" if value is not True else "") for name, value in given.items()
        )


class Attack:
    def __init__(self, orders: Orders, site: Site, sandbox: Sandbox, hosts: Sequence[Host]) -> None:
        self.orders, self.site, self.sandbox = orders, site, sandbox
        self.environment = site.environment(sandbox.url)
        os.environ.update(self.environment)
        django.setup()
        self.hosts = hosts
        self.troupe = Troupe(
            self.environment,
            site.folder,
            pool=orders.pool,
            requesters=orders.requesters,
            workers=len(hosts) or 2,
        )
        if hosts:
            self.troupe.spread_over(hosts)
        self.began = time.monotonic()

    def run(self) -> bool:
        """Whether the promise held."""
        stories = self._prepare()
        from tests.chaos import evening
        from tests.chaos.trouble import Outages, Trouble

        makes = evening.Mischief if self.orders.books else Outages if self.hosts else Trouble
        trouble = makes(self.sandbox, self.site, self.troupe, stories, self.orders.seed)
        if isinstance(trouble, Outages):
            trouble.hosts = self.hosts
        try:
            self._attack(trouble)
        finally:
            trouble.stop()
            met = Counter(request.fault for request in self.sandbox.requests if request.fault)
            self.sandbox.heal()
        try:
            self._drain()
        finally:
            self.troupe.kill_all()
        script.let_late_effects_arrive(self.sandbox)
        if isinstance(trouble, evening.Mischief):
            self._report(stories, trouble.counts, met)
            return self._compare(trouble, stories)
        self.sandbox.stop()  # returns when every call that was under way has ended
        return self._report(stories, trouble.counts, met)

    def _compare(self, trouble: Any, stories: list[plan.Story]) -> bool:
        """Whether the books found everything, whatever the attack led to."""
        from tests.chaos import evening, verdict as verdicts

        days = evening.compare_books(self.sandbox, trouble)
        differences = set(verdicts.differences(self.sandbox, stories))
        overlooked = differences - verdicts.named()
        for day in days:
            print(f"{day.location.title}: {day} {len(day.open_items)} open items")
        print(f"After the deletions and the books: {_said(trouble.counts)}")
        for each in sorted(overlooked)[:20]:
            print("visit {}, card {}, promotion {}: {} by the log, {} in the ledger".format(*each))
        print(f"| differences: {len(differences)} | not found: {len(overlooked)} |", flush=True)
        return not overlooked and all(day.checked_at for day in days)

    def _prepare(self) -> list[plan.Story]:
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        planner = plan.Planner(self.sandbox.ledger, self.orders.seed)
        if self.orders.script:
            stories = script.write_stories(planner, self.orders.script, self.orders.operations)
        else:
            stories = planner.draw(self.orders.operations)
        plan.save(stories, self.site.folder / "plan.json")
        from altegio_loyalty.models import Location

        for location_id in planner.locations:
            Location.objects.create(
                id=location_id,
                title=f"Salon {location_id}",
                partner_token=self.sandbox.partner_token,
                user_token=self.sandbox.user_token,
            )
        return stories

    def _attack(self, trouble: object) -> None:
        from tests.chaos import evening
        from tests.chaos.trouble import Resumer, Trouble, switch_on_faults

        assert isinstance(trouble, Trouble)
        if self.orders.script:
            script.play_faults(self.sandbox, self.orders.script)
        else:
            if self.orders.books:
                share, late = evening.LATE_SHARE, evening.HOURS_LATE
                self.sandbox.fail("late_effect", path="POST", probability=share, seconds=late)
            switch_on_faults(self.sandbox, self.orders.faults, self.orders.seed)
            trouble.start(self.orders.kills)
        self.troupe.keep_running()
        resumer = Resumer()
        shown_at = 0.0
        while not self.troupe.has_asked_for_everything:
            time.sleep(0.2)
            resumer.look()
            if time.monotonic() - shown_at > 5:
                shown_at = time.monotonic()
                self._show_progress(
                    sum(
                        trouble.counts[name]
                        for name in trouble.counts
                        if "SIG" in name or name.startswith("hosts ")
                    )
                )
            if time.monotonic() - self.began > self.orders.seconds:
                print("The time is over; what was not asked for by now is not part of the run.", flush=True)
                return

    def _drain(self) -> None:
        """Nothing fails any more: the workers go on, and in the end this process sweeps until nothing is open."""
        from altegio_loyalty import delivery
        from altegio_loyalty.models import LoyaltyOperation
        from tests.chaos.trouble import Resumer

        for program in self.troupe.requesters:
            program.end()
        resumer, ends_at = Resumer(), time.monotonic() + SECONDS_TO_DRAIN
        while time.monotonic() < ends_at and LoyaltyOperation.objects.open().exists():
            resumer.look()
            delivery.run_due()
            time.sleep(0.2)

    def _show_progress(self, kills: int) -> None:
        from django.db.models import Count

        from altegio_loyalty.models import LoyaltyOperation

        states = dict(LoyaltyOperation.objects.order_by().values_list("status").annotate(Count("pk")))
        text = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
        total = sum(states.values())
        print(
            f"{time.monotonic() - self.began:5.0f} s  {total}/{self.orders.operations} asked for; {text or 'nothing yet'};"
            f" {len(self.sandbox.effects)} effects; {kills} kills and pauses",
            flush=True,
        )

    def _report(self, stories: list[plan.Story], counts: Counter[str], met: Counter[str]) -> bool:
        from tests.chaos import verdict as verdicts

        journals: dict[str, set[int]] = {}
        for path in self.site.folder.glob("journal-*"):
            for line in path.read_text().splitlines():
                key, _, told = line.partition(" ")
                if told.endswith("}"):
                    journals.setdefault(key, set()).add(json.loads(told)["pk"])
        self._forget_what_was_not_asked(stories, journals)
        judge = verdicts.Judge(self.sandbox, stories, journals)
        verdict = judge.judge()
        # What comes of all that the assumptions exclude is counted alone.
        for violation in [] if self.orders.books else verdict.violations[:20]:
            print("\n" + judge.evidence(violation), file=sys.stderr)
        calls = len(self.sandbox.requests)
        print(f"\n{self.orders}")
        print(
            f"{sum(verdict.states.values())} operations in {time.monotonic() - self.began:.0f} s: {_said(verdict.states)}"
        )
        print(f"  {_said(verdict.notes)}")
        share = 100 * sum(met.values()) / max(calls, 1)
        print(f"{calls} calls, {share:.0f} % of them faulty: {_said(met)}")
        print(f"Trouble: {_said(counts)}")
        print(
            "| " + " | ".join(f"{kind}: {verdict.count(kind)}" for kind in verdicts.KINDS) + " |", flush=True
        )
        over = self._report_budget()
        if (verdict.violations or over) and not self.orders.books:
            print(f"To see it again: python -m tests.chaos {self.orders}", file=sys.stderr)
        return not verdict.violations and not over

    def _report_budget(self) -> list[str]:
        """The addresses that asked more often than one may."""
        if not self.hosts:
            return []
        figures = budget.used(self.sandbox.requests)
        for ip, most in sorted(figures.items()):
            told = ", ".join(f"{count} in {seconds} s" for seconds, count in most.items())
            print(f"At the most from {ip or 'all together'}: {told}")
        over = budget.exceeded(figures)
        print(f"| over the budget: {len(over)} |", flush=True)
        return over

    def _forget_what_was_not_asked(self, stories: list[plan.Story], journals: dict[str, set[int]]) -> None:
        """Where the time was over before everything was asked for, a request without row and journal was never made."""
        if self.troupe.has_asked_for_everything:
            return
        from altegio_loyalty.models import LoyaltyOperation

        known = set(LoyaltyOperation.objects.values_list("idempotency_key", flat=True)) | set(journals)
        for story in stories:
            story.requests = [request for request in story.requests if request.key in known]


def _said(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common()) or "nothing"


@contextlib.contextmanager
def _hosts_of(count: int) -> Iterator[Sequence[Host]]:
    """The machines, from which the servers have other addresses; none for 0."""
    if not count:
        yield ()
        return
    urls = {
        name: getattr(reachable, name)
        for name in ("POSTGRES_URL", "MARIADB_URL", "REDIS_URL", "RABBITMQ_URL")
    }
    with lan.Lan(count, list(urls.values())) as network:
        for name, url in urls.items():
            setattr(reachable, name, network.inside(url))
        yield network.hosts


def attack(orders: Orders) -> bool:
    with (
        _hosts_of(orders.hosts) as hosts,
        Site(orders.database, orders.broker) as site,
        Sandbox(host=lan.OURS if hosts else "127.0.0.1", rate_limit=bool(hosts)) as sandbox,
    ):
        run = Attack(orders, site, sandbox, hosts)
        try:
            return run.run()
        finally:
            run.troupe.kill_all()
