"""For a monitor: `path("…", include("altegio_loyalty.urls"))` gives `health/`, without a login and with nothing personal."""

from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.cache import never_cache

from altegio_loyalty import watch


@never_cache
@transaction.non_atomic_requests
def health(request: HttpRequest) -> JsonResponse:
    """200, or 503 where the work stands still or the database is away."""
    state = watch.look()
    state.pop("last_sweep", None)  # names a machine
    return JsonResponse(state, status=503 if state["status"] == watch.STANDS_STILL else 200)


urlpatterns = [path("health/", health, name="altegio_health")]
