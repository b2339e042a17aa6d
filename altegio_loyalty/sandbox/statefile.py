"""The books and the tokens on disk, so that a sandbox that is started again goes on where it stopped."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from altegio_loyalty.sandbox.access import Access
from altegio_loyalty.sandbox.books import (
    FIRST_IDS,
    Books,
    Card,
    Client,
    Effect,
    Line,
    Location,
    Payment,
    Program,
    Row,
    Visit,
)

_TABLES: dict[str, type[Any]] = {
    "locations": Location,
    "clients": Client,
    "cards": Card,
    "programs": Program,
    "visits": Visit,
}

_READERS: dict[str, Callable[[Any], Any]] = {
    "Decimal": Decimal,
    "datetime": datetime.fromisoformat,
    "list[Line]": lambda rows: [_read(Line, row) for row in rows],
    "list[Row]": lambda rows: [_read(Row, row) for row in rows],
    "list[Payment]": lambda rows: [_read(Payment, row) for row in rows],
}


class StateFileError(ValueError):
    """The state file is there but cannot be read or written."""


def load(path: Path, access: Access) -> Books | None:
    """The books that were saved, or None when there is no such file yet; `access` gets the tokens of then.

    Raises StateFileError.
    """
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        books = _read_books(state["books"])
        partner_token, user_token = state["tokens"]
        access.tokens, access.pairs = (partner_token, user_token), state["token_pairs"]
        return books
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateFileError(f"The state file {path} cannot be read: {error}.") from error
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise StateFileError(
            f"The state file {path} holds something else than a sandbox's books. "
            "Name another file, or delete this one to start anew."
        ) from error


def save(path: Path, access: Access, books: Books) -> None:
    """Replaces the file in one step: a crash leaves the old books or the new, never half. Amounts and times become texts.

    Raises StateFileError.
    """
    plain = dataclasses.asdict(books)
    plain |= {name: list(plain[name].values()) for name in _TABLES}
    state = {"tokens": access.tokens, "token_pairs": access.pairs, "books": plain}
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


def _read_books(plain: dict[str, Any]) -> Books:
    tables = {name: {row["id"]: _read(kind, row) for row in plain[name]} for name, kind in _TABLES.items()}
    effects = [_read(Effect, row) for row in plain["effects"]]
    return Books(**tables, effects=effects, next_ids={**FIRST_IDS, **plain["next_ids"]})


def _read(kind: type[Any], plain: dict[str, Any]) -> Any:
    types = {item.name: str(item.type) for item in dataclasses.fields(kind)}
    return kind(**{name: _READERS.get(types[name], lambda same: same)(plain[name]) for name in plain})
