import argparse
import contextlib
import os
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from altegio_loyalty import exceptions, services
from altegio_loyalty.management.ending import endings_noted
from altegio_loyalty.management.first_calls import FirstCalls
from altegio_loyalty.models import LoyaltyOperation
from altegio_loyalty.services import validation
from altegio_loyalty.states import Status


class Command(BaseCommand):
    help = (
        "First calls on a live account: asks what Altegio's documents leave open and says which setting follows. Reads "
        "only, unless a test card is named. The file that it writes can be sent with a bug report."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        add, test = parser.add_argument, ("VISIT", "RECORD", "CARD")
        add("--location", type=int, required=True, metavar="ID", help="Altegio's number of it.")
        text = "Take one point off this card for this visit, after asking, and give it back at once."
        add("--with-test-card", type=int, nargs=3, metavar=test, help=text)
        add("--output", metavar="FILE", help="A new file to write to.")
        add("--no-input", action="store_true", help="Ask nothing.")
        add("--take-one-point", action="store_true", help="With --no-input: yes, take it.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._run(options)
        except (KeyboardInterrupt, EOFError):
            raise CommandError("Stopped.", returncode=130) from None
        except (ValidationError, exceptions.AltegioLoyaltyError, OSError) as error:
            raise CommandError(" ".join(getattr(error, "messages", [str(error)]))) from None

    def _run(self, options: dict[str, Any]) -> None:
        location = validation.find_location(options["location"])
        test = options["with_test_card"]
        validation.check_settings()
        validation.check_location(location)
        if location.is_paused:
            raise CommandError("The location is paused: enter new tokens, or press “Test connection”.")
        if test and options["no_input"] and not options["take_one_point"]:
            raise CommandError("With --no-input say --take-one-point too: a point is taken and given back.")
        name = options["output"] or f"altegio-{location.pk}-{datetime.now(UTC):%Y%m%d-%H%M%S}.jsonl"
        # For its owner alone, and never in the place of another one.
        with os.fdopen(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            self.stdout.write(f"Into {name}, without names, phones, card numbers and tokens:")
            calls = FirstCalls(location, self.stdout, file)
            calls.make_all(*(test or (0, 0))[:2])
            if test:
                self._try(calls, *test, is_agreed=options["no_input"])
        self.stdout.write(calls.report())

    def _try(
        self, calls: FirstCalls, visit_id: int, record_id: int, card_id: int, *, is_agreed: bool
    ) -> None:
        where: dict[str, Any] = {"visit_id": visit_id, "record_id": record_id}
        before = services.read_visit(calls.location, **where)
        shown = calls.show_withdrawal(card_id) or (before.details and before.details.withdrawn(card_id))
        if before.details is None or shown:
            # Giving back takes no amount: it would give those points back as well.
            said = before.error or f"card {card_id} was used for that visit already."
            raise CommandError(f"Nothing was taken: {said}")
        said = f"1 point off card {card_id} on visit {visit_id}, and back: the client may get messages."
        self.stdout.write(said)
        if not is_agreed and input("Go on? [y/N] ").strip().lower() not in ("y", "yes"):
            raise CommandError("Nothing was taken.")
        where["card_id"] = card_id
        with endings_noted() as asked:
            taken = services.apply_card_withdrawal(calls.location, **where, amount=1)
            calls.keep(taken)
            self._check_taken(calls, taken)
            try:
                back = services.cancel_card_withdrawal(calls.location, **where)
            except (exceptions.AltegioLoyaltyError, ValidationError) as error:
                raise CommandError(f"The point is not back: {error} {_in_the_log(taken)}") from None
            calls.keep(back)
        if asked.is_set():
            raise KeyboardInterrupt
        if back.status != Status.SUCCEEDED:
            raise CommandError(f"The point is not back yet. {_in_the_log(back)}")
        calls.read_visit(visit_id, record_id)

    def _check_taken(self, calls: FirstCalls, taken: LoyaltyOperation) -> None:
        """Whether the point was taken, and nothing is there that would be given back with it."""
        if taken.is_open:
            with contextlib.suppress(exceptions.OperationNotAllowed):
                services.stop_operation(taken)
            taken.refresh_from_db()
        if taken.status != Status.SUCCEEDED or taken.applied_amount == 0:
            raise CommandError(f"No point is known to be taken, so none was given back. {_in_the_log(taken)}")
        with contextlib.suppress(exceptions.ApiError):
            calls.read_visit(taken.visit_id, taken.record_id)
        now = services.read_visit(calls.location, visit_id=taken.visit_id, record_id=taken.record_id).details
        if now is not None and now.withdrawn(taken.card_id) > 1:  # unreadable: giving back looks by itself
            said = "There are more points of the card, so none was given back."
            raise CommandError(f"{said} {_in_the_log(taken)}")


def _in_the_log(operation: LoyaltyOperation) -> str:
    return f"{operation.sentence} It is operation {operation.pk} of the log; go on from there, or on the visit's page."
