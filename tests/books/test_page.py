"""The page of the books: what each day came to, what is at odds, and a person who closes it with a reason."""

from __future__ import annotations

import pytest
from django.test import Client
from django.utils import timezone

from altegio_loyalty import services, watch
from altegio_loyalty.exceptions import OperationNotAllowed
from altegio_loyalty.models import BooksItem, BooksOfDay
from tests.books.test_books import a_day_goes_by, compare, yesterday
from tests.delivery.salon import Salon

pytestmark = pytest.mark.django_db
PAGE = "/admin/altegio_loyalty/loyaltyoperation/overview/books/"
INBOX = "/admin/altegio_loyalty/loyaltyoperation/inbox/"


@pytest.fixture
def item(salon: Salon, admin_client: Client) -> BooksItem:
    """A withdrawal that nobody asked for here."""
    visit = salon.visit()
    salon.withdraw()
    a_day_goes_by()
    salon.ledger.withdraw(visit, salon.card, 25)
    [found] = compare().open_items
    return found


def seen(item: BooksItem) -> dict[str, str]:
    """What the form sends."""
    shown = BooksItem.objects.get(pk=item.pk)
    return {"by_log": str(shown.by_log), "by_altegio": str(shown.by_altegio)}


def page(client: Client) -> str:
    return client.get(PAGE).content.decode()


def test_both_sides__stand_side_by_side(item: BooksItem, admin_client: Client) -> None:
    shown = page(admin_client)
    row = shown[shown.index(f"<td>{item.visit_id}</td>") :].split("</tr>")[0]
    assert '<td class="altegio-number">0</td><td class="altegio-number">25</td>' in row
    assert "the log knows of none" in row
    assert "100 points here, 125 in Altegio." in shown


def test_what_the_log_does_not_explain__needs_a_person_on_the_overview(
    item: BooksItem, admin_client: Client
) -> None:
    overview = PAGE.removesuffix("books/")
    assert "at odds by the books" in admin_client.get(overview).content.decode()
    services.close_books_item(item, reason="known")
    assert "at odds by the books" not in admin_client.get(overview).content.decode()


def test_item__is_closed_with_a_reason_and_by_whom(item: BooksItem, admin_client: Client) -> None:
    admin_client.post(f"{PAGE}{item.pk}/", {"reason": "  ", **seen(item)})
    item.refresh_from_db()
    assert item.closed_at is None
    given = {"reason": "taken at the till", **seen(item)}
    answer = admin_client.post(f"{PAGE}{item.pk}/", given, follow=True)
    item.refresh_from_db()
    assert (item.closed_by_login, item.reason) == ("admin", "taken at the till")
    shown = answer.content.decode()
    assert "Nothing is at odds in the days that were compared." in shown


def test_item_of_an_operation__is_closed_with_it(salon: Salon) -> None:
    visit = salon.visit()
    operation = salon.withdraw(visit)
    a_day_goes_by()
    salon.ledger.withdraw(visit, salon.card, 25)
    [item] = compare().open_items
    operation.refresh_from_db()
    services.close_operation(operation, reason="known")
    item.refresh_from_db()
    assert (item.operation, item.reason) == (operation, "known")
    assert not compare(yesterday()).open_items


def test_day_that_could_not_be_checked__says_when_it_is_tried_again(
    item: BooksItem, admin_client: Client
) -> None:
    BooksItem.objects.all().delete()
    BooksOfDay.objects.update(checked_at=None, next_try_at=timezone.now())
    shown = page(admin_client)
    assert "tried again with the next run after" in shown
    assert "<td>could not be checked</td>" in shown


def test_card_of_another_client__is_named_before_anything_is_given_back_to_it(
    salon: Salon, admin_client: Client
) -> None:
    """The visit was made somebody else's in Altegio, and his cards are what is read."""
    visit = salon.visit()
    salon.withdraw(visit)
    bob = salon.ledger.add_client(name="Bob")
    salon.ledger.add_card(bob, balance="50")
    salon.ledger.change_client(visit, bob)
    shown = admin_client.get(f"/admin/altegio_loyalty/visit/{visit.id}/change/", {"read": 1}).content.decode()
    assert f"card {salon.card.id}, none of this client&#x27;s cards" in shown


def test_item_that_changed_since_it_was_shown__is_not_closed(item: BooksItem, admin_client: Client) -> None:
    shown = seen(item)
    BooksItem.objects.update(by_altegio=100)
    answer = admin_client.post(f"{PAGE}{item.pk}/", {"reason": "25 was agreed", **shown}, follow=True)
    assert "it changed meanwhile" in answer.content.decode()
    with pytest.raises(OperationNotAllowed):
        services.close_books_item(item, reason="25 was agreed")
    assert BooksItem.objects.get().closed_at is None


def test_form__sends_what_it_shows(item: BooksItem, admin_client: Client) -> None:
    shown = page(admin_client)
    for name, value in seen(item).items():
        assert f'name="{name}" value="{value}"' in shown


def test_what_the_log_does_not_explain__is_told_by_status_and_inbox(
    item: BooksItem, admin_client: Client
) -> None:
    told = watch.look()
    assert (told["status"], told["unknown_to_the_log"]) == (watch.NEEDS_PERSON, 1)
    inbox = admin_client.get(INBOX).content.decode()
    assert f'<a href="{PAGE}">' in inbox
    assert "1 thing needs a person" in inbox
    assert "Nothing needs a person" not in inbox
    services.close_books_item(item, reason="known")
    assert watch.look()["status"] == watch.WELL
    assert "Nothing needs a person" in admin_client.get(INBOX).content.decode()
