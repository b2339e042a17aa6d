"""What delivery asks of the vendor, in the terms of an operation. Each version of the API answers it in its own way."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from altegio_loyalty.client.transport import Answer
from altegio_loyalty.client.visit import VisitDetails


@dataclass(frozen=True, kw_only=True)
class Order:
    """What an operation is about, in Altegio's numbers; `kind` is the API's verb, `amount` in points. V1 knows no keys."""

    kind: str
    location_id: int
    visit_id: int
    record_id: int
    card_id: int
    program_id: int | None = None
    amount: Decimal | None = None
    idempotency_key: str = ""


@dataclass(frozen=True)
class Reply:
    """A successful call: the answer shows the visit as it is now."""

    answer: Answer
    visit: VisitDetails


class Vendor(Protocol):
    """One location's line to one version of the API. Each call raises a subclass of `exceptions.ApiError`, or replies."""

    def look(self, order: Order) -> Reply:
        """What the order's visit holds now. Changes nothing."""

    def address(self, order: Order, *, sends: bool) -> tuple[str, str]:
        """The method and the path of `send`, or of `look`, as the log keeps them. Calls nothing."""

    def send(self, order: Order, *, send_within: float) -> Reply:
        """Carry the order out, or send nothing after so many seconds; `NotShown` where a success shows no visit."""
