from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from altegio_loyalty import delivery


class Command(BaseCommand):
    help = "Run every loyalty operation that is due now, then exit. For sites on cron instead of Celery beat."

    def handle(self, *args: Any, **options: Any) -> None:
        states: dict[str, int] = {}
        while True:
            report = delivery.run_due()
            for state, count in report.states.items():
                states[state] = states.get(state, 0) + count
            if not report.is_cut_short:
                break
        done = ", ".join(f"{count} {state}" for state, count in sorted(states.items()) if count)
        self.stdout.write(f"Worked on {sum(states.values())} operations{': ' + done if done else ''}.")
        if report.stopped:
            self.stdout.write(f"Stopped early: {report.stopped}. The rest stays due for the next run.")
