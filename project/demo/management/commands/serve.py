"""`manage.py serve PORT`: the site for the demo."""

from __future__ import annotations

from typing import Any

from django.contrib.staticfiles.management.commands.runserver import Command as RunserverCommand


class Command(RunserverCommand):
    """Django's own server for development, without its greeting."""

    help = "Serves the demo site, quietly. For trying out only."

    def on_bind(self, server_port: Any) -> None:
        """Say nothing: the demo tells where the site is."""
