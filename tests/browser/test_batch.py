"""Several visits at once, in a real browser: one choice, progress, results, left and found again, stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from altegio_loyalty.models import LoyaltyOperation, RequestBudget
from tests.browser.test_desk import open_list

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def choose_all(page: Page, action: str) -> None:
    open_list(page)
    for box in page.locator("input.action-select").all():
        box.check()
    page.locator("select[name=action]").select_option(label=action)
    page.get_by_role("button", name="Go").or_(page.get_by_role("button", name="Run")).first.click()


def test_the_same_promotion_for_ten_visits_is_one_choice(
    desk: Any, log_in: Any, picture: Callable[..., None]
) -> None:
    """Ten rows, one promotion, one click, a progress bar, ten results; and all of it found again."""
    visits = desk.visits(10)
    page = log_in()
    choose_all(page, "Apply a promotion")
    expect(page.locator(".altegio-row")).to_have_count(10)
    expect(page.get_by_label("Promotion", exact=True)).to_have_value(str(desk.program.id))
    expect(page.locator("#altegio-count")).to_have_text("Visits to be done: 10.")
    picture("several", everywhere=True)
    page.get_by_role("button", name="Apply a promotion").click()
    expect(page.locator("#altegio-summary")).to_contain_text("10 of 10 finished: 10 done.")
    assert page.locator("progress").evaluate("bar => [bar.value, bar.max]") == [10, 10]
    expect(page.get_by_text("Done: the promotion is applied, 32 off the bill.")).to_have_count(10)
    picture("batch", everywhere=True)
    assert [desk.ledger.discounted(visit.id, desk.program.id) for visit in visits] == [32] * 10
    address = page.url
    page.get_by_role("link", name="Several at once").click()
    picture("batches")
    page.get_by_role("link", name="Apply a promotion: Birthday").click()
    assert page.url == address


def test_a_batch_shows_its_progress_and_can_be_stopped(
    desk: Any, log_in: Any, picture: Callable[..., None]
) -> None:
    """Altegio goes away in the middle: what was done is shown, the rest waits, and one click stops what waits."""
    visits = desk.visits(4)
    page = log_in()
    choose_all(page, "Withdraw points")
    page.get_by_label("Half of it").check()
    desk.sandbox.fail("rate_limited", path=f"details/{desk.salon.id}/{visits[2].record_id}", retry_after=60)
    desk.sandbox.fail("rate_limited", path=f"details/{desk.salon.id}/{visits[3].record_id}", retry_after=60)
    page.get_by_role("button", name="Withdraw points").click()
    expect(page.locator("#altegio-summary")).to_contain_text("2 done")
    picture("batch-running", everywhere=True)
    page.get_by_role("button", name="Stop what still waits").click()
    expect(page.locator("#altegio-summary")).to_contain_text("4 of 4 finished")
    assert (
        sorted(LoyaltyOperation.objects.values_list("status", flat=True))
        == ["abandoned"] * 2 + ["succeeded"] * 2
    )


def test_rows_that_do_not_fit_are_left_out_and_say_why(desk: Any, log_in: Any) -> None:
    desk.visits(2)
    stranger = desk.ledger.add_client(name="No card", phone="+13155550999")
    desk.visit("No card", client=stranger)
    page = log_in()
    choose_all(page, "Apply a promotion")
    expect(page.locator(".altegio-row", has_text="No card")).to_contain_text(
        "Left out: no card with a promotion."
    )
    expect(page.locator("#altegio-count")).to_have_text("Visits to be done: 2.")
    page.get_by_role("button", name="Apply a promotion").click()
    expect(page.locator("#altegio-summary")).to_contain_text("2 of 2 finished: 2 done.")


def test_taking_back_is_for_every_promotion_until_one_is_chosen(desk: Any, log_in: Any) -> None:
    """Nothing has to be chosen, as it has where a promotion is applied."""
    made, programs = [], [desk.program, desk.ledger.add_program(title="Spring", percent=5)]
    for number, program in enumerate(programs):
        client = desk.ledger.add_client(name=f"Client {number}", phone=f"+1315555{number:04}")
        card = desk.ledger.add_card(client, balance="200", title="Silver", programs=[program])
        made.append(desk.visit(f"Client {number}", client=client))
        desk.ledger.apply_program(made[-1].id, card.id, program.id)
    page = log_in()
    chosen = "&".join(f"visit={visit.id}" for visit in made)
    page.goto(f"{desk.site_url}/admin/altegio_loyalty/visit/operate/cancel_discount_program/?{chosen}")
    expect(page.get_by_label("Promotion", exact=True)).to_have_value("")
    expect(page.locator("#altegio-count")).to_have_text("Visits to be done: 2.")
    page.get_by_label("Promotion", exact=True).select_option(str(programs[1].id))
    expect(page.locator("#altegio-count")).to_have_text("Visits to be done: 1.")


def test_many_rows_are_read_while_the_person_looks(desk: Any, log_in: Any) -> None:
    """More rows than are read before the page comes up: the others follow by themselves."""
    desk.visits(23)
    page = log_in()
    choose_all(page, "Apply a promotion")
    expect(page.locator("#altegio-count")).to_have_text("Visits to be done: 23.")
    expect(page.locator("#altegio-reading")).to_be_hidden()


def test_a_batch_needs_no_script(desk: Any, log_in: Any, browser: Any) -> None:
    visits = desk.visits(3)
    cookies = log_in().context.cookies()
    context = browser.new_context(java_script_enabled=False)
    context.add_cookies(cookies)
    page = context.new_page()
    chosen = "&".join(f"visit={visit.id}" for visit in visits)
    page.goto(f"{desk.site_url}/admin/altegio_loyalty/visit/operate/apply_discount_program/?{chosen}")
    page.get_by_role("button", name="Apply a promotion").click()
    page.get_by_role("button", name="Continue").click()
    expect(page.locator("#altegio-summary")).to_contain_text("3 of 3 finished: 3 done.")
    context.close()
    assert [desk.ledger.discounted(visit.id, desk.program.id) for visit in visits] == [32] * 3


def test_no_page_of_a_batch_scrolls_sideways_at_360_px(desk: Any, log_in: Any) -> None:
    desk.visits(3)
    page = log_in()
    choose_all(page, "Withdraw points")
    page.get_by_label("All that card and bill allow").check()
    expect(page.locator("#altegio-count")).to_have_text(
        "Visits to be done: 3. Points to take: 600. Left to pay: 960 before, 360 after."
    )
    page.set_viewport_size({"width": 360, "height": 780})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.get_by_role("button", name="Withdraw points").click()
    expect(page.locator("#altegio-summary")).to_contain_text("3 of 3")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_visit_that_can_be_read_in_a_moment_is_read_by_itself(desk: Any, log_in: Any) -> None:
    """The row says why it waits, and nobody has to press anything."""
    visits = desk.visits(2)
    page = log_in()
    where = f"details/{desk.salon.id}/{visits[0].record_id}"
    desk.sandbox.fail("rate_limited", path=where, retry_after=2, times=1)
    choose_all(page, "Withdraw points")
    expect(page.locator("#altegio-count")).to_have_text("Visits to be done: 2.")
    expect(page.locator("#altegio-reading")).to_be_hidden()
    assert page.locator("[data-unread]").count() == 0


def form_of_waiting(desk: Any, page: Page, visits: list[Any]) -> Any:
    """The form, whose first row shows what was known and is read anew in a minute; the second is not read yet."""
    page.clock.install()
    page.goto(desk.page_of(visits[0]))
    expect(page.locator("#altegio-live")).to_contain_text("200 points")
    desk.age()
    desk.sandbox.fail(
        "rate_limited", path=f"details/{desk.salon.id}/{visits[0].record_id}", retry_after=60, times=1
    )
    chosen = "&".join(f"visit={visit.id}" for visit in visits)
    page.goto(f"{desk.site_url}/admin/altegio_loyalty/visit/operate/apply_card_withdrawal/?{chosen}")
    return page.locator(".altegio-row").first


def a_minute_goes_by(page: Page) -> None:
    RequestBudget.objects.update(blocked_until=None)
    page.clock.run_for(61_000)


def test_a_row_that_is_read_anew_keeps_its_card_and_its_tick(desk: Any, log_in: Any) -> None:
    """Unticked while the row waits, it stays so; and the card that was chosen is the one that is shown then."""
    visits = desk.visits(2)
    second = desk.ledger.add_card(
        desk.ledger.books.clients[visits[0].client_id], balance="50", title="Second"
    )
    page = log_in()
    row = form_of_waiting(desk, page, visits)
    row.get_by_role("combobox").select_option(index=1)
    row.get_by_role("checkbox").uncheck()
    assert row.get_attribute("data-wait")
    page.evaluate("document.activeElement.blur()")
    a_minute_goes_by(page)
    expect(page.locator(".altegio-row[data-wait]")).to_have_count(0)
    expect(row.get_by_role("checkbox")).not_to_be_checked()
    assert row.get_by_role("combobox").input_value().startswith(f"{second.id}|")


def test_rows_that_come_back_unread_stay_as_they_were(desk: Any, log_in: Any) -> None:
    desk.visits(23)
    page = log_in()
    choose_all(page, "Withdraw points")
    last = page.locator(".altegio-row").last
    expect(page.locator("#altegio-reading")).to_be_hidden()
    last.get_by_role("checkbox").uncheck()
    page.get_by_label("The same amount for all").check()
    page.locator("#altegio-same-amount").fill("1,200")
    page.get_by_role("button", name="Withdraw points").click()
    expect(page.get_by_role("alert")).to_contain_text("two ways")
    expect(page.locator("#altegio-reading")).to_be_hidden()
    expect(last.get_by_role("checkbox")).not_to_be_checked()


@pytest.mark.parametrize(
    ("typed", "totals"),
    [
        ("1 200", " Points to take: 400. Left to pay: 640 before, 240 after."),
        ("0.29", " Points to take: 0.58. Left to pay: 640 before, 639.42 after."),
        ("1,200", ""),
        ("1e2", ""),
        ("-5", ""),
        ("0x10", ""),
    ],
)
def test_totals_are_what_the_server_will_do(desk: Any, log_in: Any, typed: str, totals: str) -> None:
    visits = desk.visits(2)
    page = log_in()
    chosen = "&".join(f"visit={visit.id}" for visit in visits)
    page.goto(f"{desk.site_url}/admin/altegio_loyalty/visit/operate/apply_card_withdrawal/?{chosen}")
    page.locator("#altegio-same-amount").fill(typed)
    page.get_by_label("The same amount for all").check()
    expect(page.locator("#altegio-count")).to_have_text(f"Visits to be done: 2.{totals}")


def test_a_row_that_cannot_be_read_does_not_keep_the_others(desk: Any, log_in: Any) -> None:
    """Not even one with known offers, which has no line of its own for that."""
    visits = desk.visits(2)
    page = log_in()
    failed: list[str] = []

    def fail_first(route: Route) -> None:
        failed.append(route.request.url)
        if len(failed) == 1:
            route.fulfill(status=504)
        else:
            route.continue_()

    page.route("**/row/**", fail_first)
    form_of_waiting(desk, page, visits)
    a_minute_goes_by(page)
    expect(page.locator("#altegio-count")).to_have_text("Visits to be done: 2.")
    expect(page.locator("#altegio-reading")).to_be_hidden()
    assert len(failed) == 2
