"""A secret key of this folder's own, for a demo that nobody configured."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from django.core.management.utils import get_random_secret_key


def read_or_make(path: Path) -> str:
    """The key kept at `path`, made there first where there is none; only its owner may read it."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, draft = tempfile.mkstemp(dir=path.parent)  # 0600
        with os.fdopen(descriptor, "w") as stream:
            stream.write(get_random_secret_key())
        # Several processes start at once: the first link wins, and no one ever sees half a key.
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
        Path(draft).unlink()
    return path.read_text().strip()
