"""The settings of every process of a benchmark: the demo's, with the app of the peer that is measured."""

from __future__ import annotations

import os

os.environ["ENV_FILE"] = os.devnull
os.environ.setdefault("SECRET_KEY", "a benchmark keeps no secrets")

from project.settings import *  # noqa: F403
from project.settings import DATABASES, INSTALLED_APPS

DEBUG = False
ALLOWED_HOSTS = ["testserver"]
LOGGING_CONFIG = None
SECURE_SSL_REDIRECT = False
SINK_URL = os.environ.get("SINK_URL", "")
ALTEGIO_LOYALTY = {"API_URL": SINK_URL}
if os.environ.get("WITHOUT_LIMITS"):
    ALTEGIO_LOYALTY |= {"REQUESTS_PER_SECOND": 0, "REQUESTS_PER_MINUTE": 0}
#: So many at a time, for whoever is measured.
AT_A_TIME = int(os.environ.get("AT_A_TIME", "4"))
ALTEGIO_LOYALTY["SWEEP_THREADS"] = AT_A_TIME

PEER_APPS = {
    "celery": ["measured"],
    "procrastinate": ["procrastinate.contrib.django"],
    "django-q2": ["django_q"],
    "django-post_office": ["post_office"],
    "django-tasks": ["django_tasks_db"],
}
PEER = os.environ.get("PEER", "")
INSTALLED_APPS = [*INSTALLED_APPS, *PEER_APPS.get(PEER, [])]
DATABASES["default"].setdefault("CONN_MAX_AGE", 60)

Q_CLUSTER = {"name": "measured", "orm": "default", "workers": AT_A_TIME, "poll": 0.1, "bulk": 10, "timeout": 60,
             "retry": 120, "save_limit": 0,
             "log_level": "ERROR"}  # fmt: skip
POST_OFFICE = {"BACKENDS": {"default": "measured.jobs.CallBackend"}, "THREADS_PER_PROCESS": AT_A_TIME}
TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}
PROCRASTINATE_IMPORT_PATHS = ["measured.queued"]
