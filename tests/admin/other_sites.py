"""Sites of a host that show only some of the app's models, beside the usual one."""

from __future__ import annotations

from django.contrib.admin import AdminSite, ModelAdmin, site
from django.urls import path

from altegio_loyalty.admin.desk.visits import VisitAdmin
from altegio_loyalty.admin.locations import LocationAdmin
from altegio_loyalty.admin.log.operations import LoyaltyOperationAdmin
from altegio_loyalty.models import Location, LoyaltyOperation, Visit

only_visits, only_log = AdminSite(name="only_visits"), AdminSite(name="only_log")
only_locations, own_log = AdminSite(name="only_locations"), AdminSite(name="own_log")
only_visits.register(Visit, VisitAdmin)
only_log.register(LoyaltyOperation, LoyaltyOperationAdmin)
only_locations.register(Location, LocationAdmin)
#: The host's own idea of the log.
own_log.register(LoyaltyOperation, ModelAdmin)
own_log.register(Visit, VisitAdmin)
own_log.register(Location, ModelAdmin)

urlpatterns = [
    path("admin/", site.urls),
    *(path(f"{other.name}/", other.urls) for other in (only_visits, only_log, only_locations, own_log)),
]
