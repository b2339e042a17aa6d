"""Runs a local Altegio to try things against."""

import argparse
import threading
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
            with endings_noted() as stopped:
                self._run(stopped, options)
        except StateFileError as error:
            raise CommandError(str(error)) from error

    def _run(self, stopped: threading.Event, options: dict[str, Any]) -> None:
        with self._started(options) as sandbox:
            self._seed(sandbox, options)
            self._introduce(sandbox)
            while not stopped.wait(SECONDS_BETWEEN_LOOKS_AT_THE_DATE):
                self._seed(sandbox, options)
        self.stdout.write("Stopped.")

    def _started(self, options: dict[str, Any]) -> Sandbox:
        host, port = options["host"], options["port"]
        if not 0 <= port <= 65535:
            raise CommandError(f"{port} is no port: give --port a number up to 65535, or 0 for any free one.")
        try:
            sandbox = Sandbox(
                host=host,
                port=port,
                state_file=options["state"],
                rate_limit=not options["no_rate_limit"],
                platform=get_settings().platform_name,
            )
            return sandbox.start()
        except OSError as error:
            raise CommandError(
                f"Cannot listen on {host}:{port} ({error.strerror or error}). "
                "Stop what runs there, or choose another port with --port; --port 0 takes any free one."
            ) from error

    def _seed(self, sandbox: Sandbox, options: dict[str, Any]) -> None:
        if options["seed"] == "demo":
            # The day as the site counts it, so that both sides seed the same visits.
            seed.fill(sandbox.ledger, timezone.localdate(datetime.now(UTC)))

    def _introduce(self, sandbox: Sandbox) -> None:
        self.stdout.write(f"A local {sandbox.platform} is running.")
        self.stdout.write(f"  API URL        {sandbox.url}")
        self.stdout.write(f"  Partner token  {sandbox.partner_token}")
        self.stdout.write(f"  User token     {sandbox.user_token}")
        self.stdout.write(f"  Page           {sandbox.address}/")
        self.stdout.write("Stop it with Ctrl-C.")
        self.stdout.flush()
