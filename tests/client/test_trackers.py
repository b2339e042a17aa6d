"""The tracker that looks for secrets finds them: without that, its tests would prove nothing."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.client.trackers import Tracker, ending_of, spellings


class _Holder:
    def __init__(self, held: object) -> None:
        self.held = held


HIDING_PLACES: dict[str, Callable[[str], Any]] = {
    "text": lambda secret: f"x{secret}x",
    "bytes": lambda secret: secret.encode(),
    "bytearray": lambda secret: bytearray(secret.encode()),
    "memoryview": lambda secret: memoryview(secret.encode()),
    "tuple": lambda secret: (1, [{2: (secret,)}]),
    "set": lambda secret: {secret},
    "key": lambda secret: {secret: 1},
    "object": lambda secret: _Holder([_Holder({"a": _Holder(secret)})]),
    "json": lambda secret: json.dumps({"a": secret}).replace("/", "\\/"),
    "base64": lambda secret: base64.b64encode(secret.encode()),
    "cause": lambda secret: caused_by(ValueError(secret)),
    "group": lambda secret: ExceptionGroup("several", [OSError(1), ValueError(secret)]),
    "unicode error": lambda secret: UnicodeEncodeError("ascii", secret, 0, 1, "no"),
}


def caused_by(error: BaseException) -> BaseException:
    above = RuntimeError("above")
    above.__cause__ = error
    return above


@pytest.mark.parametrize("place", HIDING_PLACES)
@pytest.mark.parametrize("secret", ["plain-5f1c", 'par/7c1a"9e'])
def test_the_tracker_finds_a_secret(place: str, secret: str) -> None:
    code = compile("def fail(kept):\n raise RuntimeError", "elsewhere", "exec")
    elsewhere: dict[str, Any] = {"__name__": "elsewhere"}
    exec(code, elsewhere)
    for error in (
        ending_of(lambda: elsewhere["fail"](HIDING_PLACES[place](secret))),
        RuntimeError(HIDING_PLACES[place](secret)),
    ):
        assert Tracker().show(error).finds(spellings(secret))
