"""Texts that show themselves to nobody, and calls that leave no frame behind in which one could stand.

Error trackers and Django's page of an error print the variables of every frame of a traceback, and of the errors that it
came from. A worker's time limit, Ctrl-C or a lack of memory can end a call on any line, also while a secret stands open.
"""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from altegio_loyalty.exceptions import AltegioLoyaltyError
from altegio_loyalty.redaction import MASK

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class Hidden:
    """A secret text, shown as a mask. `reveal()` it only inside an expression below a call that `hides_frames`."""

    __slots__ = ("_plain",)

    def __init__(self, plain: str | None = None) -> None:
        self._plain = plain

    @staticmethod
    def of(text: str | Hidden) -> Hidden:
        return text if isinstance(text, Hidden) else Hidden(text)

    def reveal(self) -> str:
        return self._plain or ""

    reveal.alters_data = True  # type: ignore[attr-defined]  # by which Django's templates call nothing

    def __bool__(self) -> bool:
        return bool(self._plain)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (str, Hidden)) and self.reveal() == Hidden.of(other).reveal()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {MASK if self else 'empty'}>"

    def __str__(self) -> str:
        return MASK if self else ""

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("A hidden text is not pickled.")

    def __copy__(self) -> Hidden:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Hidden:
        return self


def hides_frames(call: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Whatever ends `call`, what is raised carries no frame of it and none of the errors that it came from.

    Where a signal can strike, put a second one around it: an error that comes while the first is being cut carries that
    one with it. The arguments stay visible, so secrets among them must be `Hidden`.
    """

    @functools.wraps(call)
    def bounded(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            return call(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - raised again, below
            ended_by = _cut(error)
        try:
            raise ended_by  # out here, since inside the error would be given a context again
        finally:
            del ended_by  # a frame and an error that hold each other outlive the call

    return bounded


def _cut(error: BaseException) -> BaseException:
    if not isinstance(error, (AltegioLoyaltyError, MemoryError)) and not hasattr(error, "__notes__"):
        walked = list(traceback.walk_tb(error.__traceback__))[-30:]
        places = " > ".join(f"{frame.f_code.co_qualname}:{line}" for frame, line in walked)
        error.add_note(f"Its frames may hold secrets and are left out. It came by way of {places}.")
    error.__cause__ = error.__context__ = None
    error.__suppress_context__ = False
    return error.with_traceback(None)
