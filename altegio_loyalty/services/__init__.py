"""What host sites and the screens call. Nothing here raises because of anything that Altegio or the network does.

What calls Altegio refuses to run inside a database transaction (`exceptions.TransactionOpen`).
"""

from altegio_loyalty.bills import keep_figures
from altegio_loyalty.delivery.drift import judge_reading
from altegio_loyalty.services.connecting import Check, ConnectionReport, Login, log_in, test_connection
from altegio_loyalty.services.day import DayReading, read_day
from altegio_loyalty.services.decisions import (
    close_books_item,
    close_operation,
    lift_block,
    retry_operation,
    settle_operation,
    stop_operation,
)
from altegio_loyalty.services.operations import (
    apply_card_withdrawal,
    apply_discount_program,
    cancel_card_withdrawal,
    cancel_discount_program,
    deliver_now,
    request_in_batch,
)
from altegio_loyalty.services.reading import (
    CardsReading,
    VisitFetch,
    VisitReading,
    fetch_visit,
    find_client,
    read_cards,
    read_visit,
)
from altegio_loyalty.throttle import find_blocks

__all__ = [
    "CardsReading", "Check", "ConnectionReport", "DayReading", "Login", "VisitFetch", "VisitReading",
    "apply_card_withdrawal", "apply_discount_program", "cancel_card_withdrawal", "cancel_discount_program",
    "close_books_item", "close_operation", "deliver_now", "fetch_visit", "find_blocks", "find_client",
    "judge_reading", "keep_figures", "lift_block", "log_in", "read_cards", "read_day", "read_visit",
    "request_in_batch", "retry_operation", "settle_operation", "stop_operation", "test_connection",
]  # fmt: skip
