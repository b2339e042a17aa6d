from typing import Any

from django.core.management.base import BaseCommand

from altegio_loyalty.management import monthly_report


class Command(BaseCommand):
    help = "Mail the report of the month that is over to REPORT_EMAILS, once; what failed is tried again. For once a day."

    def handle(self, *args: Any, **options: Any) -> None:
        for month, is_sent in monthly_report.send_due():
            said = "sent" if is_sent else "not sent, see the log; the next run tries again"
            if options["verbosity"]:
                self.stdout.write(f"{month}: {said}.")
