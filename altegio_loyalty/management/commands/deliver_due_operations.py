import math
import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand

from altegio_loyalty import delivery, retention, watch


class Command(BaseCommand):
    help = "Run every loyalty operation that is due now, then exit. For sites on cron instead of Celery beat."

    def handle(self, *args: Any, **options: Any) -> None:
        if threading.current_thread() is threading.main_thread():
            # As Ctrl-C: between two operations.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
        done = delivery.run_due(math.inf)
        retention.add_up()
        if options["verbosity"]:
            worked = f"Worked on {len(done.state_of)} operations: {done.did}."
            lines = [worked if done.did else "Nothing was due."]
            if done.stopped:
                lines.append(f"Stopped early: {done.stopped}. The rest stays due for the next run.")
            self.stdout.write("\n".join([*lines, *watch.held()]))
