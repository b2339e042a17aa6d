"""What one withdrawal costs: over its two bare calls, and over the same guarantees written by hand."""

from __future__ import annotations

from itertools import count

from measured.sink import CARD, LOCATION, Access, first_visit, sink
from measured.turns import Figure, in_turn, median, ratio


def figure(rounds: int) -> Figure:
    """Bare calls, by hand and the service take turns; on the wall and of the processor."""
    from django.conf import settings

    from altegio_loyalty import throttle
    from altegio_loyalty.models import Location

    with sink() as access:
        # So high that nobody waits, and the budget is booked all the same.
        settings.ALTEGIO_LOYALTY = {
            "API_URL": access.url,
            "REQUESTS_PER_SECOND": 100_000,
            "REQUESTS_PER_MINUTE": 100_000,
        }
        throttle._last.clear()
        tokens = {"partner_token": access.partner_token, "user_token": access.user_token}
        Location.objects.update_or_create(pk=LOCATION, defaults={"title": "Salon", **tokens})
        found = _measured(access, rounds, first_visit())
    wall, busy = ({name: [pair[n] for pair in pairs] for name, pairs in found.items()} for n in (0, 1))
    table = Figure(
        "One withdrawal", "ms", ["", "ms", "over by hand", "processor, ms", "over by hand, processor"]
    )
    for name in found:
        table.rows.append(
            [
                name,
                f"{median(wall[name]) * 1000:.2f}",
                f"{ratio(wall[name], wall['by hand']):.2f}",
                f"{median(busy[name]) * 1000:.2f}",
                f"{ratio(busy[name], busy['by hand']):.2f}",
            ]
        )
    note = (
        f"{rounds} rounds in turn, in one process, on known visits; medians of the rounds and of their ratios. By hand are "
        "the same eight statements and four commits, with Django's ORM and `requests`, for this one case alone."
    )
    table.notes = [note]
    return table


def _measured(access: Access, rounds: int, first: int) -> dict[str, list[tuple[float, float]]]:
    from altegio_loyalty import services
    from measured.by_hand import ByHand, known_visits

    by_hand, visits = ByHand(access), count(first)
    known_visits(first, 3 * (rounds + 20))

    def service() -> None:
        visit = next(visits)
        operation = services.apply_card_withdrawal(
            LOCATION, visit_id=visit, record_id=visit, card_id=CARD, amount=1
        )
        assert operation.status == "succeeded", operation.sentence

    calls = {
        "two bare calls": lambda: by_hand.bare(next(visits)),
        "by hand": lambda: by_hand.withdraw(next(visits)),
        "the app": service,
    }
    in_turn(calls, 20)  # until every cache is warm
    return in_turn(calls, rounds)
