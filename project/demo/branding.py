"""What the demo's own templates show on every page."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest


def sandbox_link(request: HttpRequest) -> dict[str, str]:
    """Where the sandbox's page is; empty where the site talks to another server."""
    return {"sandbox_url": settings.SANDBOX_URL if settings.USES_SANDBOX else ""}
