"""Settings of an example site: what a host has of its own stands here, what is only for trying out in `project.demo`.

Everything has a default; `.env.example` lists what the environment can change.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import environ
from django.utils.translation import gettext_lazy as _
from kombu import Queue

from project.demo import stand_ins

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = BASE_DIR / "var"

env = environ.Env()
environ.Env.read_env(os.environ.get("ENV_FILE", BASE_DIR / ".env"))

DEBUG = env.bool("DEBUG", default=True)
SECRET_KEY = env.str("SECRET_KEY", default="") or stand_ins.secret_key(VAR_DIR, is_allowed=DEBUG)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[])

INSTALLED_APPS = [
    "altegio_loyalty",  # before the admin, whose index then says what waits
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "project.urls"
WSGI_APPLICATION = "project.wsgi.application"

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]


def database_from(url: str) -> dict[str, Any]:
    """Django's settings for the database at `url`, with what each engine needs to be safe with several processes."""
    database: dict[str, Any] = dict(environ.Env.db_url_config(url))
    options = dict(database.get("OPTIONS", {}))
    if database["ENGINE"] == "django.db.backends.sqlite3":
        # Writers queue up instead of failing half-way through a transaction, and readers never wait for them.
        options["transaction_mode"] = "IMMEDIATE"
        options["timeout"] = 20
        options["init_command"] = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL"
    if database["ENGINE"] == "django.db.backends.mysql":
        options.setdefault("charset", "utf8mb4")
        database["TEST"] = {"CHARSET": "utf8mb4", "COLLATION": "utf8mb4_unicode_ci"}
    database["OPTIONS"] = options
    return database


# Under no name of its own: what has one in capitals is a setting, and stands on Django's page of an error.
DATABASES = {"default": database_from(env.str("DATABASE_URL", default="") or stand_ins.database_url(VAR_DIR))}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]

LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("ru", _("Russian"))]
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"

if not DEBUG:
    SECURE_SSL_REDIRECT = True
    SECURE_HSTS_SECONDS = 365 * 24 * 3600
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True

SANDBOX_URL = f"http://127.0.0.1:{env.int('SANDBOX_PORT', default=8100)}/"
ALTEGIO_API_URL = env.str("ALTEGIO_API_URL", default="") or (
    f"{SANDBOX_URL}api/v1" if DEBUG else "https://api.alteg.io/api/v1"
)
ALTEGIO_LOYALTY: dict[str, Any] = {
    "API_URL": ALTEGIO_API_URL,
    "ENCRYPTION_KEYS": env.list("ALTEGIO_ENCRYPTION_KEYS", default=[]),
}

CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", default="") or stand_ins.BROKER_URL
# A Redis that takes connections and says nothing would hold whoever publishes for ever; other brokers ignore these two.
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {"socket_connect_timeout": 2, "socket_timeout": 3}
CELERY_TASK_DEFAULT_QUEUE = env.str("CELERY_QUEUE", default="altegio_loyalty")
# What takes long has a queue of its own: nobody at the desk is behind a backlog. A worker that is given no -Q serves both.
_sweeps = f"{CELERY_TASK_DEFAULT_QUEUE}_sweeps"
CELERY_TASK_QUEUES = [Queue(CELERY_TASK_DEFAULT_QUEUE), Queue(_sweeps)]
CELERY_TASK_ROUTES = {
    "altegio_loyalty.tasks.deliver_operation": {"queue": CELERY_TASK_DEFAULT_QUEUE},
    "altegio_loyalty.tasks.*": {"queue": _sweeps},
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# The database knows what is due, so a broker that is away must not keep a person waiting, and no answer is ever read.
CELERY_BROKER_CONNECTION_TIMEOUT = 2
CELERY_TASK_PUBLISH_RETRY = False
CELERY_TASK_IGNORE_RESULT = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = TIME_ZONE
CELERY_BEAT_SCHEDULE_FILENAME = str(VAR_DIR / "celerybeat-schedule")
CELERY_BEAT_SCHEDULE: dict[str, Any] = {
    "retry due operations": {
        "task": "altegio_loyalty.tasks.retry_due_operations",
        "schedule": 5.0,
        "options": {"expires": 5.0},
    },
    "check books": {
        "task": "altegio_loyalty.tasks.check_books",
        "schedule": 3600.0,
        "options": {"expires": 3600.0},
    },
}

DEFAULT_EXCEPTION_REPORTER_FILTER = "project.errors.HidesAddresses"

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        "altegio_loyalty": {"level": "INFO"},
        "project": {"level": "INFO"},
        "django": {"handlers": [], "level": "WARNING"},
        # A wrong address or a missing right is no news; what crashed is told once, with its traceback.
        "django.request": {"level": "ERROR"},
        "django.server": {"handlers": [], "level": "CRITICAL"},
    },
}

# From here on it is for trying out: a local Altegio, a broker in a folder, a header that leads to them.

INSTALLED_APPS += ["project.demo"]
TEMPLATES[0]["OPTIONS"]["context_processors"] += ["project.demo.branding.sandbox_link"]

USES_SANDBOX = ALTEGIO_API_URL.startswith(SANDBOX_URL)
SANDBOX_STATE = VAR_DIR / "sandbox.json"
if USES_SANDBOX:
    ALTEGIO_LOYALTY |= stand_ins.IMPATIENCE
    CELERY_BEAT_SCHEDULE |= stand_ins.BEAT_SCHEDULE
if CELERY_BROKER_URL == stand_ins.BROKER_URL:
    CELERY_BROKER_TRANSPORT_OPTIONS |= stand_ins.broker_options(VAR_DIR)
    CELERY_WORKER_ENABLE_REMOTE_CONTROL = False  # needs a broker that can broadcast
