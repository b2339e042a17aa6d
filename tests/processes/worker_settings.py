"""The settings of a program that a test starts: the test's database, sandbox and broker, and where its errors go."""

from __future__ import annotations

import json
import os

from tests.processes import reporting
from tests.settings import *  # noqa: F403
from tests.settings import DATABASES

_given = json.loads(os.environ["ALTEGIO_TEST_WORKER"])

DATABASES["default"]["NAME"] = _given["database"]
ALTEGIO_LOYALTY = _given["loyalty"]
CELERY_BROKER_URL = os.environ["CELERY_BROKER_URL"] = _given["broker"]
CELERY_BROKER_TRANSPORT_OPTIONS = _given["transport_options"]
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_BEAT_SCHEDULE = {}
if "ALTEGIO_TEST_REPORTS" in os.environ:
    reporting.report_to(os.environ["ALTEGIO_TEST_REPORTS"])
