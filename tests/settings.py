"""The demo site's settings, made quick and harmless: no `.env`, no files in the tree, no network."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

os.environ["ENV_FILE"] = os.devnull
os.environ["DEBUG"] = "true"
os.environ["SECRET_KEY"] = "the-tests-keep-no-secrets-and-so-this-key-may-be-read-by-all"
os.environ["CELERY_BROKER_URL"] = "memory://"
os.environ["ALTEGIO_API_URL"] = (
    "http://127.0.0.1:9/api/v1"  # nothing listens there: no test can reach a real server
)
os.environ.setdefault(
    "DATABASE_URL", f"sqlite:///{tempfile.gettempdir()}/altegio_loyalty_{os.getpid()}.sqlite3"
)

from project.settings import *  # noqa: F403
from project.settings import BASE_DIR, DATABASES

DEBUG = False
ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ALTEGIO_LOYALTY = {"API_URL": os.environ["ALTEGIO_API_URL"]}

_database = DATABASES["default"]
if _database["ENGINE"] == "django.db.backends.sqlite3":
    # A file, since threads cannot wait for each other on a database in memory; one for each process.
    _folder = Path(tempfile.gettempdir())
    _database["TEST"] = {"NAME": str(_folder / f"altegio_loyalty_tests_{os.getpid()}.sqlite3")}
    _database["OPTIONS"]["init_command"] = "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF"
else:
    # One for each checkout, so that two of them can be tested on one server.
    _checkout = hashlib.sha256(str(BASE_DIR).encode()).hexdigest()[:8]
    _database["TEST"] = {**_database.get("TEST", {}), "NAME": f"test_altegio_loyalty_{_checkout}"}

# A host site may keep the app's tables in a database of their own.
DATABASES["second"] = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": f"{tempfile.gettempdir()}/altegio_loyalty_{os.getpid()}_second.sqlite3",
    "OPTIONS": {"transaction_mode": "IMMEDIATE"},
    "TEST": {"NAME": f"{tempfile.gettempdir()}/altegio_loyalty_tests_{os.getpid()}_second.sqlite3"},
}
