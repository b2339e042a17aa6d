import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def endings_noted() -> Iterator[threading.Event]:
    """Ctrl-C and a termination end nothing meanwhile; they set the event."""
    asked = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: asked.set()) for number in numbers}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def termination_as_interrupt() -> Iterator[None]:
    """A termination is what Ctrl-C is meanwhile, where signals can be heard; afterwards it is what it was."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
