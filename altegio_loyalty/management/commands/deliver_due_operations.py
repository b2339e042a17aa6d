import math
from typing import Any

from django.core.management.base import BaseCommand

from altegio_loyalty import delivery, retention, watch
from altegio_loyalty.management.ending import termination_as_interrupt


class Command(BaseCommand):
    help = "Run every loyalty operation that is due now, then exit. For sites on cron instead of Celery beat."

    def handle(self, *args: Any, **options: Any) -> None:
        with termination_as_interrupt():  # which ends it between two operations
            done = delivery.run_due(math.inf)
        retention.add_up()
        if options["verbosity"]:
            worked = f"Worked on {len(done.state_of)} operations: {done.did}."
            lines = [worked if done.did else "Nothing was due."]
            if done.stopped:
                lines.append(f"Stopped early: {done.stopped}. The rest stays due for the next run.")
            self.stdout.write("\n".join([*lines, *watch.held()]))
