"""Altegio's answers about a visit as a test wants them, while the sandbox keeps its books."""

from __future__ import annotations

from typing import Any

import pytest

from altegio_loyalty.sandbox import answers


class Rewritten:
    """Each loyalty row bears the `cells`, and `more` stand beside them; `visit` replaces whole parts of the answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cells: dict[str, Any] = {}
        self.more: list[Any] = []
        self.visit: dict[str, Any] = {}
        real = answers.visit_details

        def rewritten(*arguments: Any, **options: Any) -> dict[str, Any]:
            details = real(*arguments, **options)
            rows = [{**row, **self.cells} for row in details["loyalty_transactions"]]
            return {**details, "loyalty_transactions": [*rows, *self.more], **self.visit}

        monkeypatch.setattr(answers, "visit_details", rewritten)
