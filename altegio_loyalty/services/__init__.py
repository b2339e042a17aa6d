"""What host sites and the screens call. Nothing here raises because of anything that Altegio or the network does."""

from altegio_loyalty.services.decisions import retry_operation, settle_operation, stop_operation
from altegio_loyalty.services.operations import (
    apply_card_withdrawal,
    apply_discount_program,
    cancel_card_withdrawal,
    cancel_discount_program,
)
from altegio_loyalty.services.reading import (
    CardsReading,
    Check,
    ConnectionReport,
    VisitReading,
    find_client,
    read_cards,
    read_visit,
    test_connection,
)

__all__ = [
    "CardsReading",
    "Check",
    "ConnectionReport",
    "VisitReading",
    "apply_card_withdrawal",
    "apply_discount_program",
    "cancel_card_withdrawal",
    "cancel_discount_program",
    "find_client",
    "read_cards",
    "read_visit",
    "retry_operation",
    "settle_operation",
    "stop_operation",
    "test_connection",
]
