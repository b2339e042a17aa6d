from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from altegio_loyalty import delivery, watch


class Command(BaseCommand):
    help = "Run every loyalty operation that is due now, then exit. For sites on cron instead of Celery beat."

    def handle(self, *args: Any, **options: Any) -> None:
        done = delivery.Report(is_cut_short=True)
        while done.is_cut_short:
            report = delivery.run_due()
            done.state_of |= report.state_of
            done.stopped, done.is_cut_short = report.stopped, report.is_cut_short
        if options["verbosity"]:
            worked = f"Worked on {len(done.state_of)} operations: {done.did}."
            lines = [worked if done.did else "Nothing was due."]
            if done.stopped:
                lines.append(f"Stopped early: {done.stopped}. The rest stays due for the next run.")
            self.stdout.write("\n".join([*lines, *watch.held()]))
