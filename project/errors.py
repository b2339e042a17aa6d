"""What Django's page of an error, and the mail with it, show of the settings."""

from __future__ import annotations

import re

from django.views.debug import SafeExceptionReporterFilter


class HidesAddresses(SafeExceptionReporterFilter):
    """Also hides the settings that are addresses: a broker's or a proxy's may hold a password."""

    hidden_settings = re.compile(
        SafeExceptionReporterFilter.hidden_settings.pattern + "|URL|DSN|BROKER", flags=re.IGNORECASE
    )
