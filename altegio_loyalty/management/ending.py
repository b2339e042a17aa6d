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
