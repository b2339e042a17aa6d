"""The demo site's settings for the attack's processes: impatient, but in the same proportions as the defaults."""

from __future__ import annotations

import os
from pathlib import Path

os.environ["ENV_FILE"] = os.devnull
os.environ.setdefault("DEBUG", "true")
os.environ.setdefault("SECRET_KEY", "the-attack-keeps-no-secrets-and-so-this-key-may-be-read-by-all")

from project.demo import stand_ins
from project.settings import *  # noqa: F403
from project.settings import CELERY_BROKER_URL, LOGGING

DEBUG = False
FOLDER = Path(os.environ["CHAOS_FOLDER"])
SCRIPT = os.environ.get("CHAOS_SCRIPT", "")

CONNECT_TIMEOUT, READ_TIMEOUT, TOTAL_TIMEOUT = 1.0, 0.8, 1.0
#: More than two calls with their connects: (1 + 1) * 2.
LEASE_SECONDS = 4.5
#: No fault of the attack lets an effect come later than this after its call.
SETTLE_SECONDS = 4.0
SLOW_SECONDS = 1.6
#: How far the clocks of the hosts are apart; one's lease must not be over for another while it calls, nor a doubt settled.
APART = int(os.environ.get("CHAOS_APART", "0"))

ALTEGIO_LOYALTY = {
    "API_URL": os.environ.get("CHAOS_API_URL", "http://127.0.0.1:9/api/v1"),
    "CONNECT_TIMEOUT": CONNECT_TIMEOUT,
    "READ_TIMEOUT": READ_TIMEOUT,
    "TOTAL_TIMEOUT": TOTAL_TIMEOUT,
    "LEASE_SECONDS": LEASE_SECONDS + APART,
    "SETTLE_SECONDS": SETTLE_SECONDS + APART,
    "RETRY_DELAY": 0.2,
    "RETRY_DELAY_MAX": 2,
    "RETRY_WINDOW": 600,
    "MAX_ATTEMPTS": 8,
    "SWEEP_SECONDS": 10,
    "REQUESTS_PER_SECOND": 0,
    "REQUESTS_PER_MINUTE": 0,
}
if APART:
    ALTEGIO_LOYALTY |= {"REQUESTS_PER_SECOND": 5, "REQUESTS_PER_MINUTE": 200}

if SCRIPT:
    # No answer of a script is late, so that only a machine that stands still for so long could make one so.
    ALTEGIO_LOYALTY |= {"CONNECT_TIMEOUT": 30, "READ_TIMEOUT": 30, "TOTAL_TIMEOUT": 60, "LEASE_SECONDS": 240}
if SCRIPT == "broken":
    ALTEGIO_LOYALTY |= {"SETTLE_SECONDS": 0}

CELERY_BEAT_SCHEDULE = {}
if CELERY_BROKER_URL == stand_ins.BROKER_URL:
    CELERY_BROKER_TRANSPORT_OPTIONS = {"folder": str(FOLDER / "broker"), "polling_interval": 0.05}
    CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
elif CELERY_BROKER_URL.startswith("redis"):
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "global_keyprefix": os.environ["CELERY_QUEUE"] + ":",
        "visibility_timeout": 5,
    }
    CELERY_WORKER_ENABLE_REMOTE_CONTROL = False

LOGGING["root"]["level"] = "ERROR"
LOGGING["loggers"]["altegio_loyalty"] = {"level": "ERROR"}
