from __future__ import annotations

from tests.delivery.conftest import salon

__all__ = ["salon"]
