"""System checks of the settings, by the ids that docs/api.md explains. No query, no network."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import router

from altegio_loyalty import bell, conf
from altegio_loyalty.client.versions import VERSIONS, version_of
from altegio_loyalty.fields import key_ring
from altegio_loyalty.models import LoyaltyOperation
from altegio_loyalty.throttle import PATIENCE

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@checks.register()
def check_settings(**kwargs: Any) -> list[checks.CheckMessage]:
    if problems := conf.find_problems():
        return [
            checks.Error(
                f"ALTEGIO_LOYALTY[{key!r}] {problem}." if key else problem,
                hint="Correct the key in your settings, or leave it out to get the default.",
                id="altegio_loyalty.E001",
            )
            for key, problem in problems
        ]
    return list(_check_sound(conf.get_settings()))


def _check_sound(settings: conf.LoyaltySettings) -> Iterator[checks.CheckMessage]:
    """What cannot work although each key is good for itself."""
    version = version_of(settings.API_URL)
    if version not in VERSIONS:
        yield checks.Error(
            f"ALTEGIO_LOYALTY['API_URL'] names version {version!r} of the API, which this release does not know.",
            hint=f"Known versions, the last part of the address: {', '.join(VERSIONS)}.",
            id="altegio_loyalty.E003",
        )
    try:
        key_ring()
    except ImproperlyConfigured as error:
        yield checks.Error(
            str(error),
            hint="Name Fernet keys in ALTEGIO_LOYALTY['ENCRYPTION_KEYS'], the one that encrypts first.",
            id="altegio_loyalty.E002",
        )
    ours, theirs = (router.db_for_write(model) for model in (LoyaltyOperation, get_user_model()))
    if ours != theirs:
        yield checks.Error(
            f"The log of loyalty operations is in the database {ours!r}, and the users are in {theirs!r}.",
            hint=f"No key leads from one to the other. Have your router send altegio_loyalty to {theirs!r}.",
            id="altegio_loyalty.E004",
        )
    # A sweep's threads wait for their turn one behind the other.
    longest = 2 * settings.TOTAL_TIMEOUT + PATIENCE * settings.SWEEP_THREADS
    if longest >= settings.LEASE_SECONDS:
        yield checks.Warning(
            f"ALTEGIO_LOYALTY['LEASE_SECONDS'] is {settings.LEASE_SECONDS}, but one attempt can take {longest} seconds.",
            hint="A worker that is merely slow is then taken for dead. Raise it, or lower TOTAL_TIMEOUT.",
            id="altegio_loyalty.W001",
        )
    if "reversion.middleware.RevisionMiddleware" in django_settings.MIDDLEWARE:
        yield checks.Warning(
            "RevisionMiddleware keeps a transaction open around each page, in which nothing can be sent to Altegio.",
            hint="Put a subclass of it with atomic = False into MIDDLEWARE.",
            id="altegio_loyalty.W005",
        )
    tasks = bell.tasks()
    limit = tasks.sweep_limit() if tasks else None
    if limit is not None and limit < 2 * settings.SWEEP_SECONDS:
        yield checks.Warning(
            f"ALTEGIO_LOYALTY['SWEEP_SECONDS'] is {settings.SWEEP_SECONDS}, but Celery ends the task after {limit} seconds.",
            hint="A sweep then ends after half of that. Give retry_due_operations a time limit of twice SWEEP_SECONDS.",
            id="altegio_loyalty.W004",
        )


@checks.register(deploy=True)
def check_deployment(**kwargs: Any) -> list[checks.CheckMessage]:
    return [] if conf.find_problems() else list(_check_safe(conf.get_settings()))


def _check_safe(settings: conf.LoyaltySettings) -> Iterator[checks.CheckMessage]:
    """What works, but should not go into production."""
    if not settings.ENCRYPTION_KEYS:
        yield checks.Warning(
            "The tokens of the locations are encrypted with a key derived from SECRET_KEY.",
            hint="Set ALTEGIO_LOYALTY['ENCRYPTION_KEYS'], or keep the old key in SECRET_KEY_FALLBACKS when it changes.",
            id="altegio_loyalty.W002",
        )
    api = urlsplit(settings.API_URL)
    if api.scheme == "http" and api.hostname not in _LOOPBACK:
        yield checks.Warning(
            "ALTEGIO_LOYALTY['API_URL'] is not https: the tokens travel in the clear.",
            hint="Begin API_URL with https://.",
            id="altegio_loyalty.W003",
        )
