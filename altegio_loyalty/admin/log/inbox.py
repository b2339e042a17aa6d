"""What needs a person: each thing with its age and cause, what the app still does about it, and what a person can do."""

import datetime
from typing import Any

from django.db.models import Count, Max, Min, Q
from django.http import HttpResponse
from django.utils import timezone

from altegio_loyalty import watch
from altegio_loyalty.admin.locations import locations_of
from altegio_loyalty.admin.log.deciding import DecisionPage
from altegio_loyalty.admin.overview.page import UNKNOWN
from altegio_loyalty.querysets import WORKS
from altegio_loyalty.states import OPEN, Status
from altegio_loyalty.texts import gettext as _

#: So many operations are shown; the log has the others.
MOST_SHOWN = 50
#: What is given up within this is counted apart.
SOON = datetime.timedelta(minutes=10)


class InboxPage(DecisionPage):
    """What one person sees of it."""

    def show(self) -> HttpResponse:
        """The inbox: paused locations, what goes on by itself and until when, and what does not."""
        rows: Any = self.admin.get_queryset(self.request)
        # In this order the index leads to them on every database.
        needing = list(rows.needing_attention().order_by("attention", "pk")[:MOST_SHOWN])
        locations: Any = locations_of(self.request, **watch.facts(), unknown_count=UNKNOWN)
        ends = WORKS & Q(status=Status.PENDING)
        soon = Q(expires_at__lte=timezone.now() + SOON)
        queue = rows.queue(
            oldest=Min("created_at", filter=WORKS & Q(status__in=OPEN)),
            ending=Count("expires_at", filter=ends),
            ending_soon=Count("expires_at", filter=ends & soon),
            first_end=Min("expires_at", filter=ends),
            last_end=Max("expires_at", filter=ends),
        )
        if off := [row for row in locations if not row.is_active]:
            waits = rows.filter(attention__gt=0, status__in=OPEN, location__in=off)
            held = set(waits.order_by().values_list("location", flat=True).distinct())
            off = [row for row in off if row.pk in held]
        context = {
            "notices": watch.notices(known=next(map(vars, locations), None)),
            "title": _("What needs a person"),
            "rows": self.rows(needing),
            "queue": queue,
            "unknown_count": sum(row.unknown_count for row in locations),
            "paused": [row for row in locations if row.is_active and row.is_paused],
            "off": off,
            "decide_url": self.decide_url,
        }
        return self.render("loyaltyoperation/inbox.html", context)
