"""The switches of a sandbox that runs in another process."""

import json
import urllib.error
import urllib.request
from typing import Any


class SandboxRemote:
    """Drives a running sandbox through its control API. `address` is the page's, `http://127.0.0.1:8001`."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        # A proxy from the environment has no business between two processes of one machine.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def state(self) -> dict[str, Any]:
        """The books, the faults, the last requests and effects."""
        return dict(self._call("state"))

    def fail(self, name: str, **options: Any) -> dict[str, Any]:
        """As `Sandbox.fail`. Raises ValueError for what the sandbox does not understand."""
        return dict(self._call("faults", {"name": name, **options}))

    def heal(self, name: str | None = None) -> None:
        self._call("heal", {"name": name})

    def go_down(self) -> None:
        self._call("down", {"down": True})

    def come_back(self) -> None:
        self._call("down", {"down": False})

    def rotate_tokens(self) -> tuple[str, str]:
        tokens = self._call("tokens", {})
        return tokens["partner_token"], tokens["user_token"]

    def click(self, action: str, **fields: Any) -> str:
        """Somebody clicks in Altegio's own screen; returns the amount that it came to.

        The actions are verbs of the ledger: withdraw (`visit_id`, `card_id`, `amount`), cancel_withdrawal, apply_program,
        cancel_program (with `program_id`), undo_row (`visit_id`, `row_id`), swap_line (`visit_id`, `item_id`, `title`,
        `cost`), change_price, change_client (`client_id`), accrue, pay, set_balance (`card_id`, `balance`).
        """
        return str(self._call("screen", {"action": action, **fields})["amount"])

    def advance(self, seconds: float = 0) -> bool:
        """As `Sandbox.advance`; whether more late effects are to come."""
        return bool(self._call("time", {"seconds": seconds})["has_late_effects"])

    def _call(self, what: str, fields: dict[str, Any] | None = None) -> Any:
        body = None if fields is None else json.dumps(fields).encode()
        request = urllib.request.Request(f"{self.address}/_sandbox/{what}", body)
        request.add_header("Content-Type", "application/json")
        try:
            with self._opener.open(request, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise ValueError(json.load(error)["meta"]["message"]) from None
