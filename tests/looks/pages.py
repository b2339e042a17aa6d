"""Every page of ours in every state that looks different: each function brings the window there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.utils import timezone
from playwright.sync_api import expect

from altegio_loyalty import services
from altegio_loyalty.access import LocationsClosed
from altegio_loyalty.models import Location, LoyaltyOperation

ADMIN = "/admin/altegio_loyalty/"

#: The pages by name.
PAGES: dict[str, Callable[[Any, Any], None]] = {}


def _page(function: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    PAGES[function.__name__.replace("_", "-")] = function
    return function


def go(desk: Any, page: Any, path: str) -> None:
    response = page.goto(f"{desk.site_url}{ADMIN}{path}")
    assert response.status == 200, f"{path}: {response.status}"


def keep_waiting(desk: Any) -> None:
    """What is open stays open as long as the page is looked at."""
    desk.settings.ALTEGIO_LOYALTY = {
        **desk.settings.ALTEGIO_LOYALTY,
        "SETTLE_SECONDS": 600,
        "RETRY_DELAY": 600,
    }


def withdraw(desk: Any, visit: Any, amount: str = "50") -> LoyaltyOperation:
    return services.apply_card_withdrawal(
        desk.location, visit_id=visit.id, record_id=visit.record_id, card_id=desk.card.id, amount=amount
    )


def in_doubt(desk: Any) -> LoyaltyOperation:
    keep_waiting(desk)
    desk.sandbox.fail("cut_after", path="apply_card_withdrawal", times=1)
    operation = withdraw(desk, desk.visit())
    assert operation.status == "unconfirmed"
    # Not whenever chance would have it, which may be in a moment.
    LoyaltyOperation.objects.filter(pk=operation.pk).update(
        next_attempt_at=timezone.now() + timedelta(minutes=10)
    )
    operation.refresh_from_db()
    return operation


def some_history(desk: Any) -> None:
    """One done, one refused, one in doubt."""
    withdraw(desk, desk.visit(), "120")
    stranger = desk.ledger.add_client(name="Nobody", phone="+13155550000")
    there = desk.visit("Nobody", client=stranger)
    withdraw(desk, there, "10")
    in_doubt(desk)


# The list of visits


@_page
def visits(desk: Any, page: Any) -> None:
    withdraw(desk, desk.visit())
    in_doubt(desk)
    desk.visit("A client without a card", client=desk.ledger.add_client(name="x", phone="+13155550001"))
    Location.objects.update(
        visits_read_at=timezone.now()
    )  # or the list would read by itself, and come up anew
    go(desk, page, "visit/")
    expect(page.locator(".altegio-read")).to_contain_text("Read from Altegio at")


@_page
def visits_of_two_locations(desk: Any, page: Any) -> None:
    other = desk.ledger.add_location(title="Salon in Oak Avenue")
    tokens = {"partner_token": desk.sandbox.partner_token, "user_token": desk.sandbox.user_token}
    Location.objects.create(id=other.id, title=other.title, **tokens)
    Location.objects.create(
        id=77, title="Paused", refused_at=timezone.now(), refused_reason="Forbidden", **tokens
    )
    Location.objects.update(visits_read_at=timezone.now())
    desk.visit()
    go(desk, page, "visit/")


@_page
def a_number_that_is_not_here(desk: Any, page: Any) -> None:
    visits_of_two_locations(desk, page)
    go(desk, page, "visit/?q=987654")
    expect(page.get_by_role("button", name="Look in Altegio")).to_be_visible()


# The page of a visit


@_page
def visit(desk: Any, page: Any) -> None:
    page.goto(desk.page_of(desk.visit()))


@_page
def visit_with_something_applied(desk: Any, page: Any) -> None:
    there = desk.visit()
    withdraw(desk, there, "70")
    desk.ledger.apply_program(there.id, desk.card.id, desk.program.id)
    page.goto(desk.page_of(there))
    expect(page.get_by_role("link", name="Cancel Gold")).to_be_visible()


@_page
def visit_in_doubt(desk: Any, page: Any) -> None:
    page.goto(desk.page_of(in_doubt(desk).visit))
    expect(page.get_by_role("button", name="Stop trying")).to_be_visible()


@_page
def visit_with_altegio_down(desk: Any, page: Any) -> None:
    there = desk.visit()
    keep_waiting(desk)
    desk.sandbox.stop()
    withdraw(desk, there)
    page.goto(desk.page_of(there))
    expect(page.get_by_role("alert")).to_contain_text("Altegio cannot be read")


@_page
def visit_with_the_site_away(desk: Any, page: Any) -> None:
    visit_in_doubt(desk, page)
    page.route("**/state/**", lambda route: route.abort())
    page.reload()
    expect(page.locator("#altegio-trouble")).to_be_visible()


# The confirmations


def _operate(desk: Any, page: Any, kind: str, there: Any, more: str = "") -> None:
    go(desk, page, f"visit/operate/{kind}/?visit={there.id}{more}")


@_page
def withdrawal(desk: Any, page: Any) -> None:
    desk.ledger.add_card(desk.client, balance="30", title="Silver")
    _operate(desk, page, "apply_card_withdrawal", desk.visit())
    page.get_by_label("Points", exact=True).fill("12")


@_page
def withdrawal_refused_by_the_form(desk: Any, page: Any) -> None:
    _operate(desk, page, "apply_card_withdrawal", desk.visit())
    page.get_by_label("Another amount").check()
    page.locator("form[data-altegio-amounts]").evaluate("form => form.noValidate = true")
    page.locator("form[data-altegio-amounts]").evaluate("form => HTMLFormElement.prototype.submit.call(form)")
    expect(page.get_by_text("Type how many points.")).to_be_visible()


@_page
def withdrawal_typed(desk: Any, page: Any) -> None:
    there = desk.visit()
    desk.sandbox.stop()
    _operate(desk, page, "apply_card_withdrawal", there)
    expect(page.get_by_label("Card ID")).to_be_visible()


@_page
def cancellation(desk: Any, page: Any) -> None:
    there = desk.visit()
    desk.ledger.withdraw(there.id, desk.card.id, Decimal(70))
    _operate(desk, page, "cancel_card_withdrawal", there)


@_page
def promotion(desk: Any, page: Any) -> None:
    desk.ledger.add_card(
        desk.client,
        balance="30",
        title="Silver",
        programs=[desk.ledger.add_program(title="Spring", percent=5)],
    )
    _operate(desk, page, "apply_discount_program", desk.visit())


@_page
def promotion_taken_back(desk: Any, page: Any) -> None:
    there = desk.visit()
    desk.ledger.apply_program(there.id, desk.card.id, desk.program.id)
    _operate(desk, page, "cancel_discount_program", there)


# Several visits


def _several(desk: Any, page: Any, kind: str) -> None:
    """Five visits: three as usual, one of a client without a card, and one of a client with two."""
    made = []
    for number in range(3):
        client = desk.ledger.add_client(name=f"Client {number}", phone=f"+1315555{number:04}")
        card = desk.ledger.add_card(client, balance="200", title="Silver", programs=[desk.program])
        made.append(desk.visit(f"Client {number}", client=client))
        if kind == "cancel_card_withdrawal":
            desk.ledger.withdraw(made[-1].id, card.id, Decimal(5))
    made.append(desk.visit("No card", client=desk.ledger.add_client(name="x", phone="+13155550999")))
    desk.ledger.add_card(desk.client, balance="30", title="Silver")
    made.append(desk.visit())
    go(desk, page, f"visit/operate/{kind}/?" + "&".join(f"visit={one.id}" for one in made))
    expect(page.locator(".altegio-row")).to_have_count(5)


@_page
def several_withdrawals(desk: Any, page: Any) -> None:
    _several(desk, page, "apply_card_withdrawal")


@_page
def several_promotions(desk: Any, page: Any) -> None:
    _several(desk, page, "apply_discount_program")


@_page
def several_cancellations(desk: Any, page: Any) -> None:
    _several(desk, page, "cancel_card_withdrawal")


@_page
def several_unread(desk: Any, page: Any) -> None:
    made = desk.visits(2)
    desk.sandbox.stop()
    chosen = "&".join(f"visit={one.id}" for one in made)
    go(desk, page, f"visit/operate/apply_discount_program/?{chosen}")


@_page
def batch(desk: Any, page: Any) -> None:
    several_promotions(desk, page)
    page.get_by_role("button", name="Apply a promotion").click()
    expect(page.locator("#altegio-summary")).to_contain_text("4 of 4 finished")


@_page
def batch_under_way(desk: Any, page: Any) -> None:
    keep_waiting(desk)
    several_promotions(desk, page)
    desk.sandbox.stop()
    page.get_by_role("button", name="Apply a promotion").click()
    expect(page.get_by_role("button", name="Stop what still waits")).to_be_visible()


@_page
def batches(desk: Any, page: Any) -> None:
    batch(desk, page)
    page.get_by_role("link", name="What was asked for earlier").click()
    expect(page.locator(".altegio-batches li")).to_have_count(1)


@_page
def no_batches(desk: Any, page: Any) -> None:
    go(desk, page, "visit/batches/")


# The log


@_page
def operations(desk: Any, page: Any) -> None:
    some_history(desk)
    go(desk, page, "loyaltyoperation/")


@_page
def operation(desk: Any, page: Any) -> None:
    done = withdraw(desk, desk.visit())
    go(desk, page, f"loyaltyoperation/{done.pk}/change/")


@_page
def operation_in_doubt(desk: Any, page: Any) -> None:
    go(desk, page, f"loyaltyoperation/{in_doubt(desk).pk}/change/")


@_page
def verdict(desk: Any, page: Any) -> None:
    operation_in_doubt(desk, page)
    page.get_by_role("button", name="It happened").click()
    expect(page.get_by_label("How do you know?")).to_be_visible()


@_page
def verdict_without_a_reason(desk: Any, page: Any) -> None:
    operation_in_doubt(desk, page)
    page.get_by_role("button", name="It did not happen").click()
    page.locator(".submit-row [type=submit]").click()
    expect(page.get_by_text("This field is required.")).to_be_visible()


def some_that_need_a_person(desk: Any) -> None:
    """One given up, one at odds, and one in doubt in a paused location."""
    some_history(desk)
    now, old = timezone.now(), timezone.now() - timedelta(days=2)
    flag = '{"code": "beyond_the_log", "there": "150", "explained": "120"}'
    LoyaltyOperation.objects.filter(status="succeeded").update(discrepancy=flag)
    given_up = withdraw(desk, desk.visit("Late"), "15")
    columns = {"status": "failed", "open_key": None, "next_attempt_at": None, "created_at": old}
    LoyaltyOperation.objects.filter(pk=given_up.pk).update(**columns, finished_at=now)
    Location.objects.update(refused_at=now, refused_reason="The password was changed.")


@_page
def inbox(desk: Any, page: Any) -> None:
    some_that_need_a_person(desk)
    go(desk, page, "loyaltyoperation/inbox/")
    expect(page.locator(".altegio-items > li")).to_have_count(3)


@_page
def empty_inbox(desk: Any, page: Any) -> None:
    go(desk, page, "loyaltyoperation/inbox/")


@_page
def retry_of_many(desk: Any, page: Any) -> None:
    some_that_need_a_person(desk)
    go(desk, page, "loyaltyoperation/")
    page.locator("#action-toggle").check()
    page.locator("select[name=action]").select_option("retry")
    page.locator("button[name=index]").first.click()
    expect(page.get_by_text("can be tried again")).to_be_visible()


# The overview


@_page
def overview(desk: Any, page: Any) -> None:
    some_history(desk)
    Location.objects.create(id=77, title="Paused", refused_at=timezone.now(), refused_reason="Forbidden")
    go(desk, page, "loyaltyoperation/overview/")
    page.locator("summary").first.click()


@_page
def reports(desk: Any, page: Any) -> None:
    some_history(desk)
    go(desk, page, "loyaltyoperation/overview/reports/?by=weekday")
    expect(page.locator(".altegio-figures")).to_be_visible()


@_page
def empty_overview(desk: Any, page: Any) -> None:
    go(desk, page, "loyaltyoperation/overview/?since=nonsense")


@_page
def app(desk: Any, page: Any) -> None:
    go(desk, page, "")


# The locations


@_page
def locations(desk: Any, page: Any) -> None:
    go(desk, page, "location/")


@_page
def location_added(desk: Any, page: Any) -> None:
    go(desk, page, "location/add/")
    page.locator("[name=_save]").click()
    expect(page.locator(".errornote, .alert-danger").first).to_be_visible()


@_page
def location(desk: Any, page: Any) -> None:
    desk.location.access.create(user=page.person)
    go(desk, page, f"location/{desk.location.pk}/change/")
    expect(page.get_by_role("button", name="Test connection")).to_be_visible()


@_page
def access(desk: Any, page: Any) -> None:
    """Before the first access, with what it changes: who will lose sight is named."""
    jane = get_user_model().objects.create_user(
        "jane", first_name="Jane", last_name="Miller", is_staff=True, is_active=True
    )
    jane.user_permissions.add(Permission.objects.get(codename="view_visit"))
    get_user_model().objects.create_user("a-long-login-of-somebody@salon.example.com", is_staff=True)
    Group.objects.create(name="Main Street")
    go(desk, page, f"location/{desk.location.pk}/access/")
    page.get_by_label("Main Street").check()
    page.locator("[name=preview]").click()
    expect(page.locator("#altegio-foreseen")).to_be_visible()


@_page
def no_location(desk: Any, page: Any) -> None:
    LocationsClosed.objects.create()
    page.person.is_superuser = False
    page.person.save()
    page.person.user_permissions.set(
        Permission.objects.filter(content_type__app_label="altegio_loyalty").exclude(codename="all_locations")
    )
    go(desk, page, "loyaltyoperation/")
    expect(page.get_by_text("There is no location that you may see.")).to_be_visible()
