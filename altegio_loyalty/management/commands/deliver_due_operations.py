from __future__ import annotations

from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand

from altegio_loyalty import delivery


class Command(BaseCommand):
    help = "Run every loyalty operation that is due now, then exit. For sites on cron instead of Celery beat."

    def handle(self, *args: Any, **options: Any) -> None:
        state_of: dict[int, str] = {}
        while True:
            report = delivery.run_due()
            state_of |= report.state_of
            if not report.is_cut_short:
                break
        states = sorted(Counter(state_of.values()).items())
        done = ", ".join(f"{count} {state}" for state, count in states)
        self.stdout.write(f"Worked on {len(state_of)} operations{': ' + done if done else ''}.")
        if report.stopped:
            self.stdout.write(f"Stopped early: {report.stopped}. The rest stays due for the next run.")
