"""The books on disk, so that a sandbox that is started again goes on where it stopped."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any


class StateFileError(ValueError):
    """The state file is there but cannot be read or written."""


def load(path: Path) -> dict[str, Any] | None:
    """What was saved, or None when there is no such file yet. Raises StateFileError."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise StateFileError(f"The state file {path} cannot be read: {error}.") from error
    try:
        state = json.loads(text)
    except ValueError as error:
        raise broken(path) from error
    if not isinstance(state, dict):
        raise broken(path)
    return state


def broken(path: Path) -> StateFileError:
    """The error for a file that was not written by a sandbox."""
    return StateFileError(
        f"The state file {path} holds something else than a sandbox's books. "
        "Name another file, or delete this one to start anew."
    )


def save(path: Path, state: dict[str, Any]) -> None:
    """Replaces the file in one step: a crash leaves the old books or the new, never half. Amounts and times become texts.

    Raises StateFileError.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(state, file, default=str)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink()
            raise
    except OSError as error:
        raise StateFileError(f"The state file {path} cannot be written: {error}.") from error
