"""What the attack with books counts as not found: a difference that no open item names with both sides."""

from __future__ import annotations

from typing import Any

import pytest

from altegio_loyalty.models import BooksItem, LoyaltyOperation
from tests.books.test_books import a_day_goes_by, compare
from tests.chaos.plan import Story
from tests.chaos.verdict import differences, named
from tests.delivery.conftest import salon
from tests.delivery.salon import PROMOTION, Salon

__all__ = ["salon"]
pytestmark = pytest.mark.django_db


def overlooked(salon: Salon, visit: Any) -> int:
    story = Story(
        "own", visit.location_id, visit.id, visit.record_ids[0], salon.card.id, salon.program.id, []
    )
    return len(set(differences(salon.sandbox, [story])) - named())


def test_what_agrees__is_no_difference(salon: Salon) -> None:
    visit = salon.visit()
    salon.withdraw(visit)
    salon.ask(PROMOTION, visit)
    assert overlooked(salon, visit) == 0


@pytest.mark.parametrize("verb", ["cancel_withdrawal", "withdraw"])
def test_difference__is_not_found_until_the_books_name_it(salon: Salon, verb: str) -> None:
    visit = salon.visit()
    salon.withdraw(visit)
    a_day_goes_by()
    getattr(salon.ledger, verb)(visit, salon.card, *(["5"] if verb == "withdraw" else []))
    assert overlooked(salon, visit) == 1
    compare()
    assert overlooked(salon, visit) == 0


@pytest.mark.parametrize("change", [{"by_log": 1}, {"by_altegio": 1}, {"card_id": 1}, {"visit_id": 1}])
def test_item_that_names_something_else__finds_nothing(salon: Salon, change: dict[str, int]) -> None:
    visit = salon.visit()
    salon.withdraw(visit)
    a_day_goes_by()
    LoyaltyOperation.objects.all().delete()
    salon.withdraw()
    a_day_goes_by()
    compare()
    assert overlooked(salon, visit) == 0
    BooksItem.objects.update(**change)
    assert overlooked(salon, visit) == 1
