"""The page and the control API."""

from __future__ import annotations

import html.parser
import re
import socket
from decimal import Decimal
from typing import Any

import pytest
import requests

from altegio_loyalty.sandbox import FAULTS, SandboxRemote
from altegio_loyalty.sandbox.connection import Connection
from tests.sandbox.scene import TIMEOUT, Scene


def page(scene: Scene, **headers: str) -> requests.Response:
    return requests.get(scene.sandbox.address + "/", headers=headers, timeout=TIMEOUT)


def press(
    scene: Scene, button: str, /, headers: dict[str, str] | None = None, **fields: object
) -> requests.Response:
    url = f"{scene.sandbox.address}/_sandbox/{button}"
    return requests.post(url, data=fields, headers=headers, timeout=TIMEOUT, allow_redirects=False)


@pytest.fixture
def remote(scene: Scene) -> SandboxRemote:
    return SandboxRemote(scene.sandbox.address)


def test_page_shows_the_books_the_requests_and_every_fault(scene: Scene) -> None:
    scene.withdraw(100)
    text = page(scene).text
    assert "Main Street" in text
    assert "2920.00" in text
    assert "900.00" in text
    assert scene.withdrawal_path in text
    for name in FAULTS:
        assert f"<code>{name}</code>" in text


def test_page_is_well_formed(scene: Scene) -> None:
    class Checker(html.parser.HTMLParser):
        open_tags: list[str] = []

        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag not in ("meta", "input", "br"):
                self.open_tags.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert self.open_tags.pop() == tag

    scene.withdraw(10)
    scene.apply_program()
    scene.sandbox.fail("cut_after")
    checker = Checker()
    checker.feed(page(scene).text)
    assert checker.open_tags == []


def test_page_escapes_what_comes_from_outside(scene: Scene) -> None:
    evil = "<script>alert(1)</script>\"'"
    ledger = scene.sandbox.ledger
    location = ledger.add_location(title=evil)
    client = ledger.add_client(name=evil)
    card = ledger.add_card(client, title=evil, balance=9, programs=[ledger.add_program(title=evil)])
    visit = ledger.add_visit(location, client, lines=[(evil, 10)])
    ledger.withdraw(visit, card, 1, by=evil)
    scene.sandbox.fail("cut_after", path=evil)
    scene.caller.get("/<script>alert(1)</script>?x=<script>alert(1)</script>")
    scene.caller.post("/auth", evil)
    assert "<script>alert(1)" not in page(scene).text


def test_page_allows_nothing_from_elsewhere(scene: Scene) -> None:
    policy = page(scene).headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "https://" not in page(scene).text


def test_page_lets_its_own_style_and_script_through__by_a_nonce_of_this_answer_alone(scene: Scene) -> None:
    first, second = page(scene), page(scene)
    nonces = [
        re.findall("'nonce-(.+?)'", answer.headers["Content-Security-Policy"]) for answer in (first, second)
    ]
    assert nonces[0] == re.findall('<(?:style|script) nonce="(.+?)">', first.text)
    assert len({*nonces[0], *nonces[1]}) == 2


def test_page_survives_texts_that_are_no_unicode(scene: Scene) -> None:
    scene.sandbox.ledger.add_client(name="\ud800\u0000")
    scene.sandbox.ledger.add_card(scene.sandbox.ledger.add_client(name="\ud800"), balance=1)
    assert page(scene).status_code == 200


def test_form_switches_a_fault_on_and_off(scene: Scene) -> None:
    answer = press(scene, "faults", name="status_503", path="apply", times="2", retry_after="9")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/#faults")
    assert scene.withdraw().headers["Retry-After"] == "9"
    assert "1 times left" in page(scene).text
    press(scene, "heal", name="status_503")
    assert scene.withdraw().status_code == 200


def test_form_with_a_mistake_says_so(scene: Scene) -> None:
    answer = press(scene, "faults", name="<b>")
    assert answer.status_code == 400
    assert "There is no fault &#x27;&lt;b&gt;&#x27;" in answer.text


def test_form_takes_altegio_down_and_brings_it_back(scene: Scene) -> None:
    press(scene, "down", down="yes")
    with pytest.raises(requests.ConnectionError):
        scene.withdraw()
    assert "Bring Altegio back" in page(scene).text
    press(scene, "down", down="")
    assert scene.withdraw().status_code == 200


def test_form_clicks_in_altegios_own_screen(scene: Scene) -> None:
    ids: dict[str, Any] = {
        "visit_id": scene.visit.id,
        "card_id": scene.card.id,
        "program_id": scene.program.id,
    }
    press(scene, "screen", action="withdraw", amount="12.50", **ids)
    press(scene, "screen", action="apply_program", **ids)
    assert scene.withdrawn == 12.5
    assert {effect.by for effect in scene.sandbox.effects} == {"altegio screen"}
    press(scene, "screen", action="cancel_withdrawal", **ids)
    press(scene, "screen", action="cancel_program", **ids)
    assert scene.visit.rows == []


def test_form_takes_rights_away(scene: Scene) -> None:
    press(scene, "rights", location_id=scene.location.id, loyalty_access="")
    assert scene.withdraw().status_code == 403
    press(scene, "rights", location_id=scene.location.id, loyalty_access="yes", is_visible="")
    assert scene.caller.get(f"/company/{scene.location.id}").status_code == 403


def test_form_rotates_the_tokens(scene: Scene) -> None:
    press(scene, "tokens")
    assert scene.withdraw().status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
    ],
)
def test_post_from_another_site_is_refused(scene: Scene, headers: dict[str, str]) -> None:
    assert press(scene, "down", headers, down="yes").status_code == 403
    assert not scene.sandbox.is_down


def test_post_from_the_page_itself_is_accepted(scene: Scene) -> None:
    headers = {"Origin": scene.sandbox.address, "Sec-Fetch-Site": "same-origin"}
    assert press(scene, "heal", headers, name="").status_code == 303


def test_page_under_another_name_is_refused(scene: Scene) -> None:
    answer = page(scene, Host="rebound.example")
    assert answer.status_code == 403
    assert scene.sandbox.user_token not in answer.text


def status_for(scene: Scene, address: str, path: str) -> int:
    """What a caller at the address is answered, whatever it says of itself."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        Connection(ours, (address, 40_000), scene.sandbox)
        return int(theirs.recv(65_536).split()[1])


@pytest.mark.parametrize("address", ["192.0.2.7", "10.0.0.1", "2001:db8::1", "::ffff:192.0.2.7", "::"])
def test_console_answers_no_other_machine__whatever_host_it_names(scene: Scene, address: str) -> None:
    assert status_for(scene, address, "/_sandbox/state") == status_for(scene, address, "/") == 403


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_console_answers_this_machine(scene: Scene, address: str) -> None:
    assert status_for(scene, address, "/_sandbox/state") == status_for(scene, address, "/") == 200


def test_api_answers_other_machines(scene: Scene) -> None:
    assert status_for(scene, "192.0.2.7", f"/api/v1/company/{scene.location.id}") == 401  # without tokens


def test_get_changes_nothing(scene: Scene) -> None:
    answer = requests.get(scene.sandbox.address + "/_sandbox/down", timeout=TIMEOUT)
    assert answer.status_code == 404
    assert not scene.sandbox.is_down


def test_faults_and_rate_limit_do_not_touch_the_page(scene: Scene) -> None:
    scene.sandbox.fail("status_500")
    assert page(scene).status_code == 200
    assert scene.sandbox.requests == []


def test_remote_switches_faults(scene: Scene, remote: SandboxRemote) -> None:
    state = remote.fail("hang", path="details", seconds=0.01, times=3)
    assert state["parameters"] == {"seconds": 0.01}
    assert remote.state()["faults"][0]["times_left"] == 3
    remote.heal()
    assert remote.state()["faults"] == []


def test_remote_reports_mistakes(remote: SandboxRemote) -> None:
    with pytest.raises(ValueError, match="cut_before"):
        remote.fail("explode")


def test_remote_sees_effects_and_requests(scene: Scene, remote: SandboxRemote) -> None:
    scene.withdraw(100)
    state = remote.state()
    assert state["effects"][0]["amount"] == "100.00"
    assert state["requests"][0]["operation"] == "apply_card_withdrawal"
    assert state["user_token"] == scene.sandbox.user_token
    assert state["locations"][0]["visits"][0]["left_to_pay"] == "2920.00"


def test_remote_clicks_rotates_and_takes_down(scene: Scene, remote: SandboxRemote) -> None:
    ids = {"visit_id": scene.visit.id, "card_id": scene.card.id}
    assert remote.click("withdraw", amount="5", **ids) == "5.00"
    assert remote.click("cancel_withdrawal", **ids) == "5.00"
    assert remote.rotate_tokens() == (scene.sandbox.partner_token, scene.sandbox.user_token)
    remote.go_down()
    assert scene.sandbox.is_down
    remote.come_back()
    assert not scene.sandbox.is_down


def test_remote_clicks_what_else_the_screen_has(scene: Scene, remote: SandboxRemote) -> None:
    shampoo, haircut = (line.item_id for line in scene.visit.lines)
    where = {"visit_id": scene.visit.id}
    remote.click("withdraw", **where, card_id=scene.card.id, amount=302)
    assert remote.click("undo_row", **where, row_id=scene.visit.rows[0].id) == "2.00"
    remote.click("change_price", **where, item_id=shampoo, cost="25.50")
    assert remote.click("swap_line", **where, item_id=haircut, title="Beard trim", cost=19) == "300.00"
    assert [(line.title, line.cost) for line in scene.visit.lines] == [
        ("Shampoo", Decimal("25.50")),
        ("Beard trim", 19),
    ]
    assert remote.click("pay", **where, amount=4) == "0"
    remote.click("set_balance", card_id=scene.card.id, balance=7)
    assert scene.sandbox.ledger.left_to_pay(scene.visit) == Decimal("40.50")
    assert scene.balance == 7
    other = scene.sandbox.ledger.add_client(name="John")
    remote.click("change_client", **where, client_id=other.id)
    assert remote.state()["locations"][0]["visits"][0]["client"] == "John"


def test_remote_lets_time_go_by_for_late_effects(scene: Scene, remote: SandboxRemote) -> None:
    remote.fail("late_effect", seconds=7200, times=1)
    with pytest.raises(requests.ConnectionError):
        scene.withdraw()
    assert remote.advance(3600)
    assert scene.withdrawn == 0
    assert not remote.advance(3600)
    assert scene.withdrawn == 100


def test_form_undoes_a_row(scene: Scene) -> None:
    scene.withdraw(100)
    assert "Undo" in page(scene).text
    press(scene, "screen", action="undo_row", visit_id=scene.visit.id, row_id=scene.visit.rows[0].id)
    assert len(scene.visit.rows) == 1


@pytest.mark.parametrize(
    "fields", [{}, {"visit_id": 1}, {"visit_id": "x", "card_id": 1}, {"visit_id": 1, "card_id": 1}]
)
def test_remote_click_on_nothing_is_a_mistake(remote: SandboxRemote, fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        remote._call("screen", {"action": "withdraw", "amount": 1, **fields})
