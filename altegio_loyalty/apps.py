from django.apps import AppConfig

from altegio_loyalty.texts import gettext_lazy as _


class AltegioLoyaltyConfig(AppConfig):
    name = "altegio_loyalty"
    verbose_name = _("Altegio loyalty")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from altegio_loyalty import checks  # noqa: F401  (registers the system checks)
