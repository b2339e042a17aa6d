"""What an error tracker gets to see of an error: more than any real one prints today."""

from __future__ import annotations

import base64
import contextlib
import json
import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from types import FrameType
from typing import Any

#: Frames of tests are the caller's own: they know the secrets that they hand over.
CALLERS = "tests."
DEEPEST = 12


def spellings(secret: str) -> set[str]:
    """As it is, as JSON writes it, as `repr` writes that, and in base64."""
    written = json.dumps(secret)[1:-1]
    coded = base64.b64encode(secret.encode()).decode().rstrip("=")
    return {secret, written, written.replace("/", "\\/"), repr(written)[1:-1], coded}


class Tracker:
    """Collects every text within reach of what it is shown: containers, attributes, bytes, `repr`, errors and frames."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._seen: dict[int, Any] = {}  # keeps what it saw, so that no id comes twice

    def finds(self, secrets: Iterable[str]) -> list[str]:
        """The secrets that can be read."""
        everything = "\n".join(self.texts)
        return [secret for secret in secrets if secret in everything]

    def show(self, value: Any, depth: int = 0) -> Tracker:
        if id(value) in self._seen or depth > DEEPEST or value is self:
            return self
        self._seen[id(value)] = value
        with contextlib.suppress(Exception):  # half made, or released: a tracker goes on as well
            self._look_into(value, depth)
        return self

    def _look_into(self, value: Any, depth: int) -> None:
        if isinstance(value, str):
            self.texts.append(value)
        elif isinstance(value, (bytes, bytearray, memoryview)):
            self.texts.append(bytes(value).decode("latin-1"))
        elif isinstance(value, Mapping):
            for pair in list(value.items()):
                self.show(pair[0], depth + 1).show(pair[1], depth + 1)
        elif isinstance(value, Collection) and not isinstance(value, type):
            for entry in list(value):
                self.show(entry, depth + 1)
        else:
            self._show_object(value, depth)

    def _show_object(self, value: Any, depth: int) -> None:
        if isinstance(value, BaseException):
            self._show_error(value, depth)
        with contextlib.suppress(Exception):
            self.texts += [repr(value), str(value)]
        if not isinstance(value, (type, type(sys))):
            self.show(getattr(value, "__dict__", {}), depth + 1)

    def _show_error(self, error: BaseException, depth: int) -> None:
        below = [error.args, error.__cause__, error.__context__, getattr(error, "exceptions", ())]
        named = [getattr(error, name, None) for name in ("object", "obj", "request", "response", "doc")]
        for each in (*below, *named):
            self.show(each, depth + 1)
        trace = error.__traceback__
        while trace is not None:
            self.show_frame(trace.tb_frame)
            trace = trace.tb_next

    def show_frame(self, frame: FrameType, skip: tuple[type, ...] = ()) -> None:
        if not is_a_callers(frame):
            for name, value in list(frame.f_locals.items()):
                if not name.startswith("__") and not isinstance(value, skip):
                    self.show(value, 1)

    def show_stack(self, frame: FrameType | None) -> Tracker:
        """Every frame of a call that is going on, up to the test, as trackers print for a line in the log."""
        while frame is not None and not is_a_callers(frame):
            # What is read into was never written: it holds the remains of anything this process ever freed.
            self.show_frame(frame, skip=(memoryview,))
            frame = frame.f_back
        return self


def is_a_callers(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).startswith(CALLERS)


class Striking:
    """A trace function that raises `error` at the n-th step of some modules, as a signal may at any of them."""

    def __init__(self, modules: tuple[str, ...], error: BaseException | None = None, at: int = 0) -> None:
        self._modules, self._error, self._at = modules, error, at
        self.trail: list[str] = []  # the module of each step so far

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        name = frame.f_globals.get("__name__") or ""
        if not name.startswith(self._modules):
            return None
        self.trail.append(name)
        if self._error is not None and len(self.trail) == self._at:
            sys.settrace(None)
            raise self._error
        return self


def ending_of(call: Callable[[], Any], trace: Striking | None = None) -> BaseException | None:
    """What ended the call, if anything did; None as well where the strike broke the interpreter's own books."""
    return next(_ending(call, trace))


def _ending(call: Callable[[], Any], trace: Striking | None) -> Iterator[BaseException | None]:
    """A generator, since each has an error "being handled" of its own.

    CPython forgets to clear that where a trace function raises at the end of an `except`. No signal is handled there.
    """
    ended_by, before = None, sys.gettrace()
    try:
        if trace is not None:
            sys.settrace(trace)
        call()
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is looked at
        ended_by = error
    finally:
        sys.settrace(before)
    yield ended_by if sys.exc_info()[1] is None else None


@contextlib.contextmanager
def struck_in(place: str, error: type[BaseException]) -> Iterator[None]:
    """A signal's handler raises `error` in the main thread, once that waits in the function of this qualified name.

    SIGALRM belongs to the tests' own time limit.
    """

    def handler(number: int, frame: object) -> None:
        raise error

    main, is_over = threading.main_thread().ident or 0, threading.Event()

    def strike() -> None:
        looks_there = 0
        while looks_there < 3:
            if is_over.wait(0.02):
                return
            looks_there = looks_there + 1 if place in _names_in(sys._current_frames()[main]) else 0
        signal.pthread_kill(main, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, handler)
    striking = threading.Thread(target=strike)
    striking.start()
    try:
        yield
    finally:
        is_over.set()
        striking.join()
        signal.signal(signal.SIGUSR1, before)


def _names_in(frame: FrameType | None) -> Iterator[str]:
    while frame is not None:
        yield frame.f_code.co_qualname
        frame = frame.f_back


def steps_to_strike(trail: list[str], ours: str, most_of_theirs: int) -> list[int]:
    """Every step of ours, and so many of other people's, evenly spread."""
    theirs = [number for number, name in enumerate(trail, 1) if not name.startswith(ours)]
    stride = max(1, len(theirs) // most_of_theirs)
    return sorted(
        {number for number, name in enumerate(trail, 1) if name.startswith(ours)} | {*theirs[::stride]}
    )
