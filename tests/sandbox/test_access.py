"""Tokens and rights."""

from __future__ import annotations

import pytest

from tests.sandbox.scene import Scene

UNAUTHORIZED = {"success": False, "data": None, "meta": {"message": "Authentication needed."}}


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer {partner}",
        "User {user}",
        "Bearer {partner}, User wrong",
        "Bearer wrong, User {user}",
        "Bearer {partner},{user}",
        "Bearer {user}, User {partner}",
    ],
)
def test_both_tokens_are_needed(scene: Scene, header: str) -> None:
    tokens = {"partner": scene.sandbox.partner_token, "user": scene.sandbox.user_token}
    scene.caller.session.headers["Authorization"] = header.format(**tokens)
    answer = scene.withdraw()
    assert answer.status_code == 401
    assert answer.json() == UNAUTHORIZED
    assert scene.sandbox.effects == []


def test_rotated_tokens_stop_working_at_once_and_the_new_ones_work(scene: Scene) -> None:
    scene.sandbox.rotate_tokens()
    assert scene.withdraw().status_code == 401
    scene.caller.use_tokens()
    assert scene.withdraw().status_code == 200


def test_login_gives_the_user_token__201(scene: Scene) -> None:
    scene.caller.session.headers["Authorization"] = f"Bearer {scene.sandbox.partner_token}"
    access = scene.sandbox.access
    answer = scene.caller.post("/auth", {"login": access.login, "password": access.password})
    assert answer.status_code == 201
    assert answer.json()["data"]["user_token"] == scene.sandbox.user_token


def test_wrong_password_is_401(scene: Scene) -> None:
    body = {"login": scene.sandbox.access.login, "password": "wrong"}
    assert scene.caller.post("/auth", body).status_code == 401


def test_login_without_a_password_is_422(scene: Scene) -> None:
    assert scene.caller.post("/auth", {"login": "x"}).status_code == 422


def test_login_needs_the_partner_token(scene: Scene) -> None:
    scene.caller.session.headers["Authorization"] = ""
    access = scene.sandbox.access
    answer = scene.caller.post("/auth", {"login": access.login, "password": access.password})
    assert answer.status_code == 401


def test_without_the_loyalty_right_changes_are_403_and_reads_work(scene: Scene) -> None:
    scene.location.loyalty_access = False
    changes = (scene.withdraw, scene.cancel_withdrawal, scene.apply_program, scene.cancel_program)
    assert [change().status_code for change in changes] == [403] * 4
    assert scene.caller.get(scene.details_path).status_code == 200
    assert scene.sandbox.effects == []


def test_permissions_say_which_right_is_missing(scene: Scene) -> None:
    path = f"/user/permissions/{scene.location.id}"
    assert scene.caller.get(path).json()["data"]["loyalty"]["loyalty_access"] is True
    scene.location.loyalty_access = False
    assert scene.caller.get(path).json()["data"]["loyalty"]["loyalty_access"] is False


def test_location_that_the_user_cannot_see_is_403(scene: Scene) -> None:
    scene.location.is_visible = False
    paths = (f"/company/{scene.location.id}", f"/records/{scene.location.id}", scene.details_path)
    assert [scene.caller.get(path).status_code for path in paths] == [403] * 3
    assert scene.withdraw().status_code == 403


def test_visit_of_a_location_that_the_user_cannot_see_is_404(scene: Scene) -> None:
    scene.location.is_visible = False
    assert scene.caller.get(f"/visits/{scene.visit.id}").status_code == 404
