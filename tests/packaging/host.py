"""The smallest host site: run by a Python that has the wheel, it checks, migrates and uses the app."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from pathlib import Path

import django
from django.conf import settings
from django.core.management import call_command


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings.configure(
            SECRET_KEY="only-for-this-minute",
            INSTALLED_APPS=[
                "django.contrib.admin",
                "django.contrib.auth",
                "django.contrib.contenttypes",
                "django.contrib.sessions",
                "django.contrib.messages",
                "altegio_loyalty",
            ],
            MIDDLEWARE=[
                "django.contrib.sessions.middleware.SessionMiddleware",
                "django.contrib.auth.middleware.AuthenticationMiddleware",
                "django.contrib.messages.middleware.MessageMiddleware",
            ],
            TEMPLATES=[
                {
                    "BACKEND": "django.template.backends.django.DjangoTemplates",
                    "APP_DIRS": True,
                    "OPTIONS": {
                        "context_processors": [
                            "django.template.context_processors.request",
                            "django.contrib.auth.context_processors.auth",
                            "django.contrib.messages.context_processors.messages",
                        ]
                    },
                }
            ],
            DATABASES={
                "default": {
                    "ENGINE": "django.db.backends.sqlite3",
                    "NAME": f"{folder}/db.sqlite3",
                    "OPTIONS": {"transaction_mode": "IMMEDIATE"},
                }
            },
            USE_TZ=True,
        )
        django.setup()
        use()


def use() -> None:
    """Whatever a new site does first."""
    from django.template.loader import get_template

    import altegio_loyalty
    from altegio_loyalty import models, services

    assert "celery" not in sys.modules, "models and services load nothing of Celery"
    package = Path(altegio_loyalty.__file__).parent
    call_command("check", fail_level="WARNING")
    call_command("migrate", verbosity=0)
    call_command("makemigrations", "altegio_loyalty", check=True, dry_run=True, verbosity=0)

    location = models.Location.objects.create(
        id=4564, title="Salon", partner_token="partner", user_token="user"
    )
    assert models.Location.objects.get(pk=location.pk).user_token.reveal() == "user"
    assert callable(services.apply_card_withdrawal)
    if importlib.util.find_spec("celery"):
        from altegio_loyalty import tasks

        tasks.retry_due_operations()
    call_command("deliver_due_operations")

    templates = sorted((package / "templates").rglob("*.*"))
    for template in templates:
        get_template(str(template.relative_to(package / "templates")))
    print(
        f"altegio_loyalty {altegio_loyalty.__version__} works from {package}, with {len(templates)} templates."
    )


if __name__ == "__main__":
    main()
