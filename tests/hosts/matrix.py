"""The host sites: what each is made of. One list; everything else follows from it."""

from __future__ import annotations

from dataclasses import dataclass, field

#: In each host's settings, behind its own.
COMMON = """
import os
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS += ["altegio_loyalty"]
ALTEGIO_LOYALTY = {
    "API_URL": os.environ.get("HOST_API_URL", "http://127.0.0.1:1/api/v1"),
    "REQUESTS_PER_SECOND": 0,
    "REQUESTS_PER_MINUTE": 0,
    "SETTLE_SECONDS": 1,
    "RETRY_DELAY": 0,
}
"""
OSCAR = """
from pathlib import Path
from oscar.defaults import *
BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = "only-for-this-minute"
SITE_ID = 1
USE_TZ = True
ROOT_URLCONF = "mysite.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "static/"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}}
HAYSTACK_CONNECTIONS = {"default": {"ENGINE": "haystack.backends.simple_backend.SimpleEngine"}}
INSTALLED_APPS = [
    "django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
    "django.contrib.messages", "django.contrib.staticfiles", "django.contrib.sites", "django.contrib.flatpages",
    "oscar.config.Shop", "oscar.apps.analytics.apps.AnalyticsConfig", "oscar.apps.checkout.apps.CheckoutConfig",
    "oscar.apps.address.apps.AddressConfig", "oscar.apps.shipping.apps.ShippingConfig",
    "oscar.apps.catalogue.apps.CatalogueConfig", "oscar.apps.catalogue.reviews.apps.CatalogueReviewsConfig",
    "oscar.apps.communication.apps.CommunicationConfig", "oscar.apps.partner.apps.PartnerConfig",
    "oscar.apps.basket.apps.BasketConfig", "oscar.apps.payment.apps.PaymentConfig", "oscar.apps.offer.apps.OfferConfig",
    "oscar.apps.order.apps.OrderConfig", "oscar.apps.customer.apps.CustomerConfig",
    "oscar.apps.search.apps.SearchConfig", "oscar.apps.voucher.apps.VoucherConfig",
    "oscar.apps.wishlists.apps.WishlistsConfig", "oscar.apps.dashboard.apps.DashboardConfig",
    "oscar.apps.dashboard.reports.apps.ReportsDashboardConfig", "oscar.apps.dashboard.users.apps.UsersDashboardConfig",
    "oscar.apps.dashboard.orders.apps.OrdersDashboardConfig",
    "oscar.apps.dashboard.catalogue.apps.CatalogueDashboardConfig",
    "oscar.apps.dashboard.offers.apps.OffersDashboardConfig",
    "oscar.apps.dashboard.partners.apps.PartnersDashboardConfig",
    "oscar.apps.dashboard.pages.apps.PagesDashboardConfig", "oscar.apps.dashboard.ranges.apps.RangesDashboardConfig",
    "oscar.apps.dashboard.reviews.apps.ReviewsDashboardConfig",
    "oscar.apps.dashboard.vouchers.apps.VouchersDashboardConfig",
    "oscar.apps.dashboard.communications.apps.CommunicationsDashboardConfig",
    "oscar.apps.dashboard.shipping.apps.ShippingDashboardConfig",
    "widget_tweaks", "haystack", "treebeard", "django_tables2", "sorl.thumbnail",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware", "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware", "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware", "oscar.apps.basket.middleware.BasketMiddleware",
    "django.contrib.flatpages.middleware.FlatpageFallbackMiddleware",
]
AUTHENTICATION_BACKENDS = [
    "oscar.apps.customer.auth_backends.EmailBackend", "django.contrib.auth.backends.ModelBackend",
]
TEMPLATES = [{
    "BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True,
    "OPTIONS": {"context_processors": [
        "django.template.context_processors.request", "django.contrib.auth.context_processors.auth",
        "django.contrib.messages.context_processors.messages", "oscar.apps.search.context_processors.search_form",
        "oscar.apps.checkout.context_processors.checkout", "oscar.core.context_processors.metadata",
    ]},
}]
"""
OSCAR_URLS = """
from django.apps import apps
from django.contrib import admin
from django.urls import include, path
urlpatterns = [path("admin/", admin.site.urls), path("", include(apps.get_app_config("oscar").urls[0]))]
"""
USERS = """
import uuid
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models


class People(BaseUserManager):
    def create_user(self, email, password=None, **fields):
        person = self.model(email=email, **fields)
        person.set_password(password)
        person.save(using=self._db)
        return person

    def create_superuser(self, email, password=None, **fields):
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class Person(AbstractBaseUser, PermissionsMixin):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    email = models.EmailField(unique=True)
    is_staff = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)
    objects = People()
    USERNAME_FIELD = "email"
"""
#: The second is as the first: a copy of its options as well.
TWO_DATABASES = """DATABASES["people"] = {**DATABASES["default"], "NAME": BASE_DIR / "people.sqlite3"}
DATABASE_ROUTERS = ["router.Router"]
"""
ROUTER = """
APART = ("auth", "contenttypes", "admin", "sessions", "altegio_loyalty")


class Router:
    def db_for_read(self, model, **hints):
        return "people" if model._meta.app_label in APART else "default"

    db_for_write = db_for_read

    def allow_migrate(self, db, app_label, **hints):
        return (db == "people") == (app_label in APART)
"""


@dataclass(frozen=True)
class Host:
    """`files` are written into the project's folder, by path; `urls` takes the place of the project's own.

    `warnings` are the checks of the app that this host must get, and no others. `packages` tells which of the Pythons it
    runs on: those with exactly these beside the wheel.
    """

    name: str
    settings: str = ""
    urls: str = ""
    files: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    packages: tuple[str, ...] = ("celery",)
    start: tuple[str, ...] = ("-m", "django", "startproject", "mysite", ".")
    settings_module: str = "mysite.settings"
    database: str = "sqlite"
    #: Steps of the story that are left out, or the only ones.
    skip: tuple[str, ...] = ()
    only: tuple[str, ...] = ()


ADMIN_URLS = """
from django.contrib import admin
from django.urls import path
urlpatterns = [path("admin/", admin.site.urls)]
"""
OTHER_SITES = """
from django.contrib import admin
from django.contrib.admin import AdminSite
from django.urls import path
from altegio_loyalty.models import LoyaltyOperation, Visit
ours = admin.site._registry
only_visits, only_log = AdminSite(name="only_visits"), AdminSite(name="only_log")
only_visits.register(Visit, type(ours[Visit]))
only_log.register(LoyaltyOperation, type(ours[LoyaltyOperation]))
urlpatterns = [
    path("admin/", admin.site.urls), path("visits/", only_visits.urls), path("log/", only_log.urls),
]
"""
WITHOUT_LOCATION = """
from django.contrib import admin
from django.urls import path
from altegio_loyalty.models import Location
admin.site.unregister(Location)
urlpatterns = [path("admin/", admin.site.urls)]
"""
LANGUAGES = """
from django.conf.urls.i18n import i18n_patterns
from django.contrib import admin
from django.urls import include, path
urlpatterns = [path("i18n/", include("django.conf.urls.i18n")), *i18n_patterns(path("admin/", admin.site.urls))]
"""
HISTORIES = """
from django.apps import AppConfig


class HistoriesConfig(AppConfig):
    name = "histories"

    def ready(self):
        from auditlog.registry import auditlog
        from altegio_loyalty import models
        for model in (models.Location, models.Visit, models.LoyaltyOperation):
            auditlog.register(model)
"""
HISTORY_MODELS = """
from simple_history import register
from altegio_loyalty.models import Location
register(Location, app="histories")
"""
EXPORTS = """
from django.contrib import admin
from django.urls import path
from import_export.admin import ImportExportMixin
from altegio_loyalty.models import Location, Visit
for model in (Location, Visit):
    usual = type(admin.site._registry[model])
    admin.site.unregister(model)
    admin.site.register(model, type(f"Host{model.__name__}Admin", (ImportExportMixin, usual), {}))
urlpatterns = [path("admin/", admin.site.urls)]
"""
CELERY_APP = """
import os
from celery import Celery
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
app = Celery("mysite")
app.config_from_object("django.conf:settings", namespace="HOST_QUEUE")
app.autodiscover_tasks()
"""
ASYNC_URLS = """
from asgiref.sync import sync_to_async
from django.contrib import admin
from django.http import HttpResponse
from django.urls import path
from altegio_loyalty import services

async def take(request):
    numbers = {f"{name}_id": int(request.GET[name]) for name in ("visit", "record", "card")}
    withdraw = sync_to_async(services.apply_card_withdrawal)
    operation = await withdraw(int(request.GET["location"]), amount=50, **numbers)
    return HttpResponse(operation.status)

urlpatterns = [path("admin/", admin.site.urls), path("take/", take)]
"""


def theme(name: str, *apps: str, package: str, urls: str = ADMIN_URLS) -> Host:
    placed = "".join(f'INSTALLED_APPS.insert({at}, "{app}")\n' for at, app in enumerate(apps))
    return Host(name, settings=placed, urls=urls, packages=("celery", package))


HOSTS = (
    Host("bare"),
    Host("without Celery", packages=()),
    Host(
        "UUID users, login by e-mail",
        settings='INSTALLED_APPS += ["people"]\nAUTH_USER_MODEL = "people.Person"\n',
        files={"people/__init__.py": "", "people/models.py": USERS, "people/migrations/__init__.py": ""},
    ),
    Host("ATOMIC_REQUESTS", settings='DATABASES["default"]["ATOMIC_REQUESTS"] = True\n'),
    Host("two more admin sites", urls=OTHER_SITES),
    Host("Location unregistered", urls=WITHOUT_LOCATION),
    Host(
        "i18n_patterns, German",
        settings='LANGUAGE_CODE = "de"\nMIDDLEWARE.insert(2, "django.middleware.locale.LocaleMiddleware")\n',
        urls=LANGUAGES,
    ),
    Host(
        "i18n_patterns, Arabic",
        settings='LANGUAGE_CODE = "ar"\nMIDDLEWARE.insert(2, "django.middleware.locale.LocaleMiddleware")\n',
        urls=LANGUAGES,
    ),
    Host("USE_TZ off", settings="USE_TZ = False\n", warnings=("altegio_loyalty.W009",)),
    Host(
        "Celery of its own namespace, eager, JSON",
        settings="HOST_QUEUE_TASK_ALWAYS_EAGER = True\nHOST_QUEUE_TASK_EAGER_PROPAGATES = True\n"
        'HOST_QUEUE_TASK_SERIALIZER = "json"\n',
        files={"mysite/celery.py": CELERY_APP, "mysite/__init__.py": "from mysite.celery import app\n"},
    ),
    Host(
        "DatabaseScheduler",
        settings='INSTALLED_APPS += ["django_celery_beat"]\n',
        packages=("celery", "django-celery-beat"),
    ),
    Host(
        "simple-history, auditlog",
        settings='INSTALLED_APPS += ["simple_history", "auditlog", "histories.apps.HistoriesConfig"]\n'
        'MIDDLEWARE += ["simple_history.middleware.HistoryRequestMiddleware", "auditlog.middleware.AuditlogMiddleware"]\n',
        files={
            "histories/__init__.py": "",
            "histories/apps.py": HISTORIES,
            "histories/models.py": HISTORY_MODELS,
            "histories/migrations/__init__.py": "",
        },
        packages=("celery", "django-simple-history", "django-auditlog"),
    ),
    Host(
        "import-export",
        settings='INSTALLED_APPS += ["import_export"]\n',
        urls=EXPORTS,
        packages=("celery", "django-import-export"),
    ),
    Host(
        "strict CSP, WhiteNoise's manifest",
        settings='MIDDLEWARE.insert(1, "whitenoise.middleware.WhiteNoiseMiddleware")\n'
        'MIDDLEWARE += ["csp.middleware.CSPMiddleware"]\nINSTALLED_APPS += ["csp"]\n'
        'CONTENT_SECURITY_POLICY = {"DIRECTIVES": {"default-src": ["\'self\'"]}}\n'
        'STATIC_ROOT = BASE_DIR / "static"\n'
        'STORAGES = {"default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},\n'
        '    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"}}\n',
        packages=("celery", "whitenoise", "django-csp"),
    ),
    Host("uvicorn, async views", urls=ASYNC_URLS, packages=("celery", "uvicorn")),
    Host(
        "reversion's middleware",
        settings='INSTALLED_APPS += ["reversion"]\nMIDDLEWARE += ["reversion.middleware.RevisionMiddleware"]\n',
        warnings=("altegio_loyalty.W005",),
        packages=("celery", "django-reversion"),
        skip=("withdraw_in_the_admin",),
    ),
    Host(
        "the app in a second database, with the users",
        settings=TWO_DATABASES,
        files={"router.py": ROUTER},
    ),
    Host(
        "the app in a second database, without them",
        settings=TWO_DATABASES,
        files={"router.py": ROUTER.replace('"auth", ', "")},
        warnings=("altegio_loyalty.E004",),
        only=("check",),
    ),
    Host("PostgreSQL", database="postgres", packages=("celery", "psycopg[binary]")),
    Host(
        "PostgreSQL, psycopg's pool",
        settings='DATABASES["default"]["OPTIONS"] = {"pool": {"min_size": 1, "max_size": 8}}\n',
        database="postgres",
        packages=("celery", "psycopg[binary,pool]"),
    ),
    Host("PostgreSQL behind PgBouncer", database="postgres behind", packages=("celery", "psycopg[binary]")),
    Host("MariaDB", database="mariadb", packages=("celery", "mysqlclient")),
    Host("MariaDB, utf8mb3", database="mariadb utf8mb3", packages=("celery", "mysqlclient")),
    theme("Unfold", "unfold", package="django-unfold"),
    theme("Jazzmin", "jazzmin", package="django-jazzmin"),
    theme(
        "Grappelli",
        "grappelli",
        package="django-grappelli",
        urls=ADMIN_URLS.replace(
            "path(",
            'path("grappelli/", __import__("grappelli.urls").urls.urlpatterns and '
            '__import__("django.urls").urls.include("grappelli.urls")), path(',
            1,
        ),
    ),
    theme("SimpleUI", "simpleui", package="django-simpleui"),
    Host(
        "django-oscar",
        files={"mysite/settings.py": OSCAR},
        urls=OSCAR_URLS,
        packages=("celery", "django-oscar", "sorl-thumbnail"),
    ),
    Host(
        "Wagtail",
        start=("-m", "wagtail.bin.wagtail", "start", "mysite", "."),
        settings_module="mysite.settings.dev",
        packages=("celery", "wagtail"),
    ),
)
