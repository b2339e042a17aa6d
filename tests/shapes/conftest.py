from __future__ import annotations

from tests.admin.conftest import sign_in
from tests.delivery.conftest import salon

__all__ = ["salon", "sign_in"]
