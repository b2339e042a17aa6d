"""System checks, by the ids that docs/api.md explains. No query but for the databases that Django names, and no network."""

from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections, router

from altegio_loyalty import bell, conf, watch
from altegio_loyalty.client import VERSIONS, version_of
from altegio_loyalty.fields import key_ring
from altegio_loyalty.models import LoyaltyOperation
from altegio_loyalty.throttle import PATIENCE

#: What follows the prefix in its id, what is wrong, and what to do about it.
Found = tuple[str, str, str]

_PLATFORMS = ("alteg.io", "yclients.com", "yclients.ru")


@checks.register()
def check_settings(**kwargs: Any) -> list[checks.CheckMessage]:
    hint = "Correct the key in your settings, or leave it out to get the default."
    problems = conf.find_problems()
    bad = [
        ("E001", f"ALTEGIO_LOYALTY[{key!r}] {problem}." if key else problem, hint)
        for key, problem in problems
    ]
    return _told(bad or _check_sound(conf.get_settings()))


@checks.register(deploy=True)
def check_deployment(**kwargs: Any) -> list[checks.CheckMessage]:
    return _told([] if conf.find_problems() else _check_safe(conf.get_settings()))


@checks.register(checks.Tags.database)
def check_database(databases: Iterable[str] | None = None, **kwargs: Any) -> list[checks.CheckMessage]:
    is_ours = router.db_for_write(LoyaltyOperation) in (databases or ())
    try:
        return _told(_check_rows() if is_ours and not conf.find_problems() else ())
    except DatabaseError:
        return []  # there are no tables yet


def _told(found: Iterable[Found]) -> list[checks.CheckMessage]:
    levels = {"E": checks.Error, "W": checks.Warning}
    return [levels[name[0]](text, hint=hint, id=f"altegio_loyalty.{name}") for name, text, hint in found]


def _check_sound(settings: conf.LoyaltySettings) -> Iterator[Found]:
    """What cannot work, or not well, although each key is good for itself."""
    version = version_of(settings.API_URL)
    if version not in VERSIONS:
        text = f"ALTEGIO_LOYALTY['API_URL'] names version {version!r} of the API, which this release does not know."
        yield "E003", text, f"Known versions, the last part of the address: {', '.join(VERSIONS)}."
    try:
        key_ring()
    except ImproperlyConfigured as error:
        hint = "Name Fernet keys in ALTEGIO_LOYALTY['ENCRYPTION_KEYS'], the one that encrypts first."
        yield "E002", str(error), hint
    ours, theirs = (router.db_for_write(model) for model in (LoyaltyOperation, get_user_model()))
    if ours != theirs:
        text = f"The log of loyalty operations is in the database {ours!r}, and the users are in {theirs!r}."
        hint = f"No key leads from one to the other. Have your router send altegio_loyalty to {theirs!r}."
        yield "E004", text, hint
    # A sweep's threads wait for their turn one behind the other.
    longest = 2 * settings.TOTAL_TIMEOUT + PATIENCE * settings.SWEEP_THREADS
    if longest >= settings.LEASE_SECONDS:
        text = f"ALTEGIO_LOYALTY['LEASE_SECONDS'] is {settings.LEASE_SECONDS}, but one attempt can take {longest} seconds."
        hint = "A worker that is merely slow is then taken for dead. Raise it, or lower TOTAL_TIMEOUT."
        # Not only with a queue before it: such workers take an operation from each other for ever.
        yield "E005" if 2 * settings.TOTAL_TIMEOUT >= settings.LEASE_SECONDS else "W001", text, hint
    if "reversion.middleware.RevisionMiddleware" in django_settings.MIDDLEWARE:
        text = "RevisionMiddleware keeps a transaction open around each page, in which nothing can be sent to Altegio."
        yield "W005", text, "Put a subclass of it with atomic = False into MIDDLEWARE."
    tasks = bell.tasks()
    limit = tasks.sweep_limit() if tasks else None
    if limit is not None and limit < 2 * settings.SWEEP_SECONDS:
        text = f"ALTEGIO_LOYALTY['SWEEP_SECONDS'] is {settings.SWEEP_SECONDS}, but Celery ends the task after {limit} s."
        hint = "A sweep then ends after half of that. Give retry_due_operations a time limit of twice SWEEP_SECONDS."
        yield "W004", text, hint
    if ours in connections and not _is_immediate(connections[ours]):
        text = f"Two writers in the SQLite database {ours!r} can end each other with “database is locked”."
        yield "W008", text, 'Give it "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20}.'
    if not django_settings.USE_TZ:
        text = "USE_TZ is False: an hour that comes twice in autumn, or never in spring, cannot be told."
        yield "W009", text, "Set USE_TZ = True, or let the site's TIME_ZONE be one without summer time."


def _is_immediate(database: Any) -> bool:
    mode = database.settings_dict["OPTIONS"].get("transaction_mode")
    return database.vendor != "sqlite" or str(mode).upper() == "IMMEDIATE"


def _check_safe(settings: conf.LoyaltySettings) -> Iterator[Found]:
    """What works, but should not go into production."""
    if not settings.ENCRYPTION_KEYS:
        text = "The tokens of the locations are encrypted with a key derived from SECRET_KEY."
        hint = "Set ALTEGIO_LOYALTY['ENCRYPTION_KEYS'], or keep the old key in SECRET_KEY_FALLBACKS when it changes."
        yield "W002", text, hint
    api = urlsplit(settings.API_URL)
    host = f".{api.hostname}"
    if api.scheme == "http" and not settings.is_near:
        text = "ALTEGIO_LOYALTY['API_URL'] is not https: the tokens travel in the clear."
        yield "W003", text, "Begin API_URL with https://."
    elif not settings.is_near and not any(host.endswith(f".{platform}") for platform in _PLATFORMS):
        text = f"ALTEGIO_LOYALTY['API_URL'] sends the tokens to {api.hostname}, which is neither Altegio's nor YCLIENTS'."
        hint = "Altegio's is https://api.alteg.io/api/v1, YCLIENTS' is https://api.yclients.com/api/v1."
        yield "W011", text, hint
    tasks = bell.tasks()
    entries = tasks.beat_entries() if tasks else None
    # Its DatabaseScheduler drops what the other ones read.
    expiry = "expire_seconds" if "django_celery_beat" in django_settings.INSTALLED_APPS else "expires"
    if entries == []:
        text = "Celery has a broker, but no entry of beat runs altegio_loyalty.tasks.retry_due_operations."
        hint = "Add it to beat_schedule, every 10 seconds; silence this where cron runs deliver_due_operations instead."
        yield "W006", text, hint
    elif entries and not any((entry.get("options") or {}).get(expiry) for entry in entries):
        text = "Messages of beat for retry_due_operations do not expire: they pile up while no worker takes them."
        yield "W007", text, f'Give the entry "options": {{"{expiry}": 10}}.'
    daily = {
        "REPORT_EMAILS": ("send_monthly_report", "send_altegio_report"),
        "KEEP_LOG_DAYS": ("prune_log", "prune_altegio_log"),
    }
    for name, (task, command) in daily.items():
        if getattr(settings, name) and tasks and tasks.beat_entries(getattr(tasks, task)) == []:
            text = f"ALTEGIO_LOYALTY[{name!r}] is set, but beat has no entry that runs {task}."
            hint = f"Add altegio_loyalty.tasks.{task}, once a day; silence this where cron runs {command}."
            yield "W013", text, hint


def _check_rows() -> Iterator[Found]:
    """What only the database can tell."""
    database, table = connections[router.db_for_write(LoyaltyOperation)], LoyaltyOperation._meta.db_table
    if database.vendor == "mysql":
        with database.cursor() as cursor:
            # The table's charset, which is what holds the texts.
            cursor.execute(f"SHOW FULL COLUMNS FROM {table} LIKE 'last_error'")
            collation = str(cursor.fetchone()[2])
        if not collation.startswith("utf8mb4"):
            text = f"The log's table holds texts as {collation}: other letters are kept as “?”."
            yield "W010", text, f"ALTER TABLE {table} CONVERT TO CHARACTER SET utf8mb4"
    for text in watch.stalled():
        yield "W012", text, "Run a Celery worker and beat, or deliver_due_operations from cron."
