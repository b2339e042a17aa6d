"""The screens, for Django's admin."""

from altegio_loyalty.admin import locations
from altegio_loyalty.admin.desk import visits
from altegio_loyalty.admin.log import operations

__all__ = ["locations", "operations", "visits"]
