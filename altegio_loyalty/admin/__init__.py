"""The screens, for Django's admin."""

from altegio_loyalty.admin import locations, operations, visits

__all__ = ["locations", "operations", "visits"]
