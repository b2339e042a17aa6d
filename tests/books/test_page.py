"""The page of the books: what each day came to, what is at odds, and a person who closes it with a reason."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from altegio_loyalty.models import BooksItem, BooksOfDay
from tests.books.test_books import a_day_goes_by, compare
from tests.delivery.salon import Salon

pytestmark = pytest.mark.django_db
PAGE = "/admin/altegio_loyalty/loyaltyoperation/overview/books/"


@pytest.fixture
def item(salon: Salon, admin_client: Client) -> BooksItem:
    """A withdrawal that nobody asked for here."""
    visit = salon.visit()
    salon.withdraw()
    a_day_goes_by()
    salon.ledger.withdraw(visit, salon.card, 25)
    [found] = compare().open_items
    return found


def page(client: Client) -> str:
    return client.get(PAGE).content.decode()


def test_both_sides__stand_side_by_side(item: BooksItem, admin_client: Client) -> None:
    shown = page(admin_client)
    row = shown[shown.index(f"<td>{item.visit_id}</td>") :].split("</tr>")[0]
    assert '<td class="altegio-number">0</td><td class="altegio-number">25</td>' in row
    assert "the log knows of none" in row
    assert "100 points here, 125 in Altegio." in shown


def test_item__is_closed_with_a_reason_and_by_whom(item: BooksItem, admin_client: Client) -> None:
    admin_client.post(f"{PAGE}{item.pk}/", {"reason": "  "})
    item.refresh_from_db()
    assert item.closed_at is None
    answer = admin_client.post(f"{PAGE}{item.pk}/", {"reason": "taken at the till"}, follow=True)
    item.refresh_from_db()
    assert (item.closed_by_login, item.reason) == ("admin", "taken at the till")
    shown = answer.content.decode()
    assert "Nothing is at odds in the days that were compared." in shown
    again = admin_client.post(f"{PAGE}{item.pk}/", {"reason": "twice"}, follow=True)
    assert "There is nothing to close" in again.content.decode()


def test_item_of_an_operation__is_closed_with_it(item: BooksItem, salon: Salon) -> None:
    operation = salon.withdraw()
    BooksItem.objects.update(operation=operation)
    assert BooksItem.objects.open().exists()
    type(operation).objects.update(closed_at=timezone.now())
    assert not BooksItem.objects.open().exists()
    assert not BooksItem.objects.get().is_open


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"next_try_at": timezone.now()}, "tried again at"),
        ({"next_try_at": None}, "goes on with the next run"),
        ({"day": datetime.date(2026, 1, 1)}, "no longer tried by itself"),
    ],
)
def test_day_that_could_not_be_checked__says_when_it_is_tried_again(
    item: BooksItem, admin_client: Client, columns: dict[str, Any], says: str
) -> None:
    BooksItem.objects.all().delete()
    BooksOfDay.objects.update(checked_at=None, **columns)
    shown = page(admin_client)
    assert says in shown
    assert "<td>could not be checked</td>" in shown
