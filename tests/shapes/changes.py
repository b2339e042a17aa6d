"""Small changes of a valid answer, each of one field: what a server may plausibly answer instead.

A change is plain data, so that a failure reads as a list of them; they are applied one after the other.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

from hypothesis import strategies as st

from altegio_loyalty.sandbox.wire import HTML, Answer, encode

#: Stands for a field, or a row, that is not there.
MISSING = object()
#: Fields that the contract does not name and that are read all the same.
UNNAMED = ["deleted", "goods_transactions", "cost_to_pay", "last_change_date", "errors", "message"]
#: Every place of that name, and not only the first, the second, ….
EVERYWHERE = -1


def number_written(text: str) -> str:
    """Stands for the number, to be written as it stands: no number of Python's says how."""
    return f"<number {text}>"


def written(body: Any) -> bytes:
    """The body as it is sent."""
    return re.sub(rb'"<number ([^>]*)>"', rb"\1", encode(body))


def _as_text(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | Decimal) else value


def _as_number(value: Any) -> Any:
    is_digits = isinstance(value, str) and value.isdigit()
    return int(value) if is_digits or isinstance(value, bool) else value


def _keyed(value: Any) -> Any:
    """A list as the vendor's older answers give it: an object by id."""
    if not isinstance(value, list):
        return value
    ids = [row.get("id") if isinstance(row, dict) else None for row in value]
    return {f"{number or 0}-{index}": row for index, (number, row) in enumerate(zip(ids, value, strict=True))}


def _if_number(value: Any, change: Callable[[Any], Any]) -> Any:
    return change(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else value


def _if_list(value: Any, change: Callable[[list[Any]], Any]) -> Any:
    return change(value) if isinstance(value, list) else value


#: What cannot hide that something is there from whoever reads with care: it is still to be read, or seen to be odd.
HONEST: dict[str, Callable[[Any], Any]] = {
    "missing": lambda value: MISSING,
    "null": lambda value: None,
    "an empty text": lambda value: "",
    "an odd text": lambda value: "§ odd",
    "a text": _as_text,
    "a padded text": lambda value: f" {_as_text(value)} " if isinstance(value, int | Decimal) else value,
    "a number": _as_number,
    "with decimals": partial(_if_number, change=lambda number: number_written(f"{float(number):.2f}")),
    "with noise": partial(_if_number, change=lambda number: number_written(f"{float(number):.13f}1")),
    "huge": partial(_if_number, change=lambda number: number_written("1e999999")),
    "a list of it": lambda value: [value],
    "wrapped": lambda value: {"data": value},
    "an object of it": lambda value: {"value": value},
    "keyed": _keyed,
    "reversed": partial(_if_list, change=lambda rows: rows[::-1]),
    "each row twice": partial(_if_list, change=lambda rows: [row for row in rows for _ in range(2)]),
    "all rows twice": partial(_if_list, change=lambda rows: rows * 2),
    "with a row of null": partial(_if_list, change=lambda rows: [*rows, None]),
    "with a row of text": partial(_if_list, change=lambda rows: ["§ odd", *rows]),
    "with an empty row": partial(_if_list, change=lambda rows: [*rows, {}]),
}
#: What says something else than the books do: no reader can see that.
LIES: dict[str, Callable[[Any], Any]] = {
    "true": lambda value: True,
    "false": lambda value: False,
    "zero": lambda value: 0,
    "seven": lambda value: 7,
    "negative": partial(_if_number, change=lambda number: -number),
    "another number": partial(_if_number, change=lambda number: number + 1),
    "an empty list": lambda value: [],
    "an empty object": lambda value: {},
    "the first row alone": partial(_if_list, change=lambda rows: rows[0] if rows else rows),
    "nasty": lambda value: "\x00\ud800<b>\u202e",
    "nothing but digits": lambda value: "9" * 400,
}
HOWS = {**HONEST, **LIES}


def is_honest(change: Change) -> bool:
    """Whether the effect is still shown, or the answer seen to be odd: what no status means is nobody's guess."""
    if change.name == "status_id":
        return change.how in HONEST or change.how in ("zero", "negative")
    return change.how in HONEST and (change.name, change.how) != ("loyalty_transactions[]", "missing")


@dataclass(frozen=True)
class Change:
    """What is done to the field `name`: `""` is the whole answer, `rows[]` is a row of `rows`."""

    name: str
    how: str
    nth: int = EVERYWHERE

    def applied_to(self, body: Any) -> Any:
        """The changed answer; bytes, of which nothing is known, stay as they are."""
        if isinstance(body, bytes):
            return body
        seen = -1

        def walk(value: Any, name: str) -> Any:
            nonlocal seen
            if name == self.name:
                seen += 1
                if self.nth in (EVERYWHERE, seen):
                    return HOWS[self.how](value)
            if isinstance(value, dict):
                walked = {key: walk(each, key) for key, each in value.items()}
                return {key: each for key, each in walked.items() if each is not MISSING}
            if isinstance(value, list):
                return [each for row in value if (each := walk(row, f"{name}[]")) is not MISSING]
            return value

        changed = walk(body, "")
        return b"" if changed is MISSING else changed


@dataclass(frozen=True)
class Spoiling:
    """One answer's changes; then another status or content type, or other bytes in place of all of it."""

    changes: tuple[Change, ...] = ()
    status: int | None = None
    content_type: str | None = None
    instead: bytes | None = None

    def applied_to(self, answer: Answer) -> Answer:
        body = answer.body
        for change in self.changes:
            body = change.applied_to(body)
        return dataclasses.replace(
            answer,
            body=written(body) if self.instead is None else self.instead,
            status=self.status or answer.status,
            content_type=answer.content_type if self.content_type is None else self.content_type,
        )


def every_change(names: list[str]) -> list[Change]:
    return [Change(name, how, nth) for nth in (EVERYWHERE, 0, 1) for name in names for how in HOWS]


#: What of a visit decides about points and promotions, and what can be done to it without hiding them.
DECIDING = [
    "",
    "loyalty_transactions",
    "loyalty_transactions[]",
    "id",
    "status_id",
    "amount",
    "type_id",
    "program_id",
    "card_id",
    "is_discount",
    "is_loyalty_withdraw",
    "type",
]
CHANGES_OF_A_VISIT = [change for change in every_change(DECIDING) if is_honest(change)]


def changes(names: list[str]) -> st.SearchStrategy[tuple[Change, ...]]:
    """A few of them; each of the names, and each of the ways, as likely as any other."""
    return st.lists(st.sampled_from(every_change(["", *names, *UNNAMED])), max_size=3).map(tuple)


def honest_changes(names: list[str]) -> st.SearchStrategy[tuple[Change, ...]]:
    """Of what decides more often than of the rest."""
    rest = [change for change in every_change([*names, *UNNAMED]) if is_honest(change)]
    one = st.one_of(st.sampled_from(CHANGES_OF_A_VISIT), st.sampled_from(rest))
    return st.lists(one, min_size=1, max_size=3).map(tuple).filter(tells_rows_apart)


def tells_rows_apart(some: tuple[Change, ...]) -> bool:
    """A row that is there twice can only be told from two rows by its id, and while both say the same."""
    is_twice = any("twice" in each.how for each in some)
    return not is_twice or not any(each.name == "id" or each.nth != EVERYWHERE for each in some)


#: Statuses that are a refusal unless the body says that it succeeded.
REFUSING = (400, 401, 403, 404, 409, 410, 422, 429)
UNCLEAR = (201, 202, 203, 204, 206, 302, 304, 408, 500, 502, 503, 504)
OTHER_STATUSES = (*UNCLEAR, *REFUSING)
OTHER_TYPES = ("", HTML, "text/plain", "application/vnd.api.v2+json", "text/json; charset=windows-1251")
A_PAGE = b"<html><head><title>Sorry</title></head><body>Please try again</body></html>"
#: Bodies that show nothing, and that say neither that anything was done nor that it was not.
OTHER_BODIES = (
    b"",
    b"null",
    b"[]",
    b"{}",
    b"true",
    b"7",
    b'"ok"',
    A_PAGE,
    b'{"success":true}',
    b'{"success":true,"data":null,"meta":[]}',
    b'{"success":true,"data":[],"meta":[]}',
    b'{"success":null,"data":null}',
    b'{"data":{"id":1}}',
    b'{"message":"Accepted"}',
    b'{"success":true,"data":{"loyalty_transactions":null}}',
)
#: Refusals, in every form that is known of the vendor's, and some more.
REFUSALS = (
    b'{"success":false,"data":null,"meta":{"message":"No"}}',
    b'{"success":false,"meta":{"message":{"amount":["Required",null,{"code":7}]}}}',
    b'{"success":false,"meta":{"message":null,"errors":{"amount":[{"code":7},null,["x"]],"0":null}}}',
    b'{"errors":{"code":400,"message":"No"}}',
    b'{"errors":[{"message":"No"},null,7]}',
    b'{"success":"false","data":null,"meta":[]}',
    b'{"error":"invalid_grant","error_description":null}',
    b'{"meta":{"message":"limit of requests"},"success":0}',
)


def spoilings(names: list[str]) -> st.SearchStrategy[Spoiling]:
    """Whatever can be answered; one thing at a time more often than all at once."""
    some, bodies = changes(names), st.sampled_from((*OTHER_BODIES, *REFUSALS))
    statuses, types = st.sampled_from(OTHER_STATUSES), st.sampled_from(OTHER_TYPES)
    return st.one_of(
        st.builds(Spoiling, some),
        st.builds(Spoiling, some, statuses),
        st.builds(Spoiling, some, content_type=types),
        st.builds(Spoiling, instead=bodies),
        st.builds(Spoiling, some, statuses, types),
        st.builds(Spoiling, status=statuses, instead=bodies),
    )


def honest_spoilings(names: list[str]) -> st.SearchStrategy[Spoiling]:
    """What hides no effect from a careful reader, and denies none."""
    some, unclear = honest_changes(names), st.sampled_from(UNCLEAR)
    with_success = some.filter(lambda changes: all(each.name not in ("", "success") for each in changes))
    return st.one_of(
        st.builds(Spoiling, with_success, st.sampled_from(REFUSING)),
        st.builds(Spoiling, some),
        st.builds(Spoiling, some, unclear),
        st.builds(Spoiling, some, content_type=st.sampled_from(OTHER_TYPES)),
        st.builds(Spoiling, instead=st.sampled_from(OTHER_BODIES)),
        st.builds(Spoiling, status=unclear, instead=st.sampled_from(OTHER_BODIES)),
    )
