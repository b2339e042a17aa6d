"""The books and the tokens on disk, so that a sandbox that is started again goes on where it stopped."""

import dataclasses
import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from altegio_loyalty.sandbox.books import FIRST_IDS, Books
from altegio_loyalty.sandbox.callers import Access

TABLES = ("locations", "clients", "cards", "programs", "visits")


class StateFileError(ValueError):
    """The state file is there but cannot be read or written."""


def load(path: Path, access: Access) -> Books | None:
    """The books that were saved, or None when there is no such file yet; `access` gets the tokens of then.

    Raises StateFileError.
    """
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        kept = {item.name: state["books"][item.name] for item in dataclasses.fields(Books)}
        books: Books = _read(Books, kept)
        books.next_ids = {**FIRST_IDS, **books.next_ids}
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

    Nobody else may read the tokens in it. Raises StateFileError.
    """
    plain = dataclasses.asdict(books)
    plain |= {name: list(plain[name].values()) for name in TABLES}
    state = {"tokens": access.tokens, "token_pairs": access.pairs, "books": plain}
    draft = path.with_name(f".{path.name}.new")
    try:
        draft.unlink(missing_ok=True)
        draft.touch(mode=0o600)
        with draft.open("w", encoding="utf-8") as file:
            json.dump(state, file, default=str)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise StateFileError(f"The state file {path} cannot be written: {error}.") from error


def _read(kind: Any, plain: Any) -> Any:
    """A value of that type, out of JSON; a table of records is a list there."""
    if kind is datetime:
        return datetime.fromisoformat(plain)
    if kind is Decimal:
        return Decimal(plain)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        types = get_type_hints(kind)
        return kind(**{name: _read(types[name], plain[name]) for name in types if name in plain})
    inside = get_args(kind)[-1:]
    if inside and dataclasses.is_dataclass(inside[0]):
        rows = [_read(inside[0], row) for row in plain]
        return {row.id: row for row in rows} if get_origin(kind) is dict else rows
    return plain
