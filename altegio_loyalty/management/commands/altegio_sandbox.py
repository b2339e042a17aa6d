"""Runs a local Altegio to try things against."""

import argparse
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from altegio_loyalty.conf import get_settings
from altegio_loyalty.management.ending import endings_noted
from altegio_loyalty.sandbox import Sandbox, seed
from altegio_loyalty.sandbox.statefile import StateFileError

SECONDS_BETWEEN_LOOKS_AT_THE_DATE = 60.0


class Command(BaseCommand):
    help = "Runs a local Altegio with real books, switchable faults, and a page in the browser to drive it."
    # It must run before there is a database or a valid setting.
    requires_system_checks = ()

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8001, help="Port to listen on; 0 takes a free one.")
        parser.add_argument("--host", default="127.0.0.1", help="Address to listen on.")
        parser.add_argument("--state", metavar="FILE", help="Keep the books in this file between runs.")
        text = "What is in the books at first."
        parser.add_argument("--seed", choices=["demo", "empty"], default="demo", help=text)
        parser.add_argument("--no-rate-limit", action="store_true", help="Do not limit requests.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with endings_noted() as stopped, self._started(options) as sandbox:
                self._seed(sandbox, options)
                self._introduce(sandbox)
                while not stopped.wait(SECONDS_BETWEEN_LOOKS_AT_THE_DATE):
                    self._seed(sandbox, options)
        except StateFileError as error:
            raise CommandError(str(error)) from error
        self.stdout.write("Stopped.")

    def _started(self, options: dict[str, Any]) -> Sandbox:
        where: dict[str, Any] = {"host": options["host"], "port": options["port"]}
        limit, platform = not options["no_rate_limit"], get_settings().platform_name
        try:
            return Sandbox(**where, state_file=options["state"], rate_limit=limit, platform=platform).start()
        except (OSError, OverflowError) as error:
            raise CommandError(
                f"Cannot listen on {where['host']}:{where['port']} ({getattr(error, 'strerror', None) or error}). "
                "Stop what runs there, or choose another port with --port: a number up to 65535, or 0 for any free one."
            ) from error

    def _seed(self, sandbox: Sandbox, options: dict[str, Any]) -> None:
        if options["seed"] == "demo":
            # The day as the site counts it, so that both sides seed the same visits.
            seed.fill(sandbox.ledger, timezone.localdate(datetime.now(UTC)))

    def _introduce(self, sandbox: Sandbox) -> None:
        self.stdout.write(
            f"A local {sandbox.platform} is running.\n"
            f"  API URL        {sandbox.url}\n"
            f"  Partner token  {sandbox.partner_token}\n"
            f"  User token     {sandbox.user_token}\n"
            f"  Page           {sandbox.address}/\n"
            "Stop it with Ctrl-C."
        )
        self.stdout.flush()
