"""One request and its answer on their way: until when it may be sent, how long is left, and the secrets."""

import math
import threading
import time
from dataclasses import dataclass

from altegio_loyalty.client.hidden import Hidden
from altegio_loyalty.client.types import Credentials


class TooLate(OSError):
    """The moment up to which the request might be sent has passed."""


@dataclass
class Exchange:
    """One request and its answer on their way. Moments are of `time.monotonic()` and of `time.time()`."""

    ends_at: float
    send_before: float
    send_before_clock: float
    bytes_left: int
    credentials: Credentials
    #: What is sent in place of the body, which then only has its length; None where the body holds no secret.
    body: Hidden | None = None
    is_sent: bool = False
    #: Whether it came to a connection of ours, which knows `is_sent`.
    is_watched: bool = False

    def check_may_send(self) -> None:
        """Refuse the next piece of the request where the sender's lease has run out, by either clock.

        Two clocks, since the monotonic one may stand still while a machine sleeps and the other may be set. Each piece,
        since a request whose body never follows its head is not carried out.
        """
        if time.monotonic() >= self.send_before or time.time() >= self.send_before_clock:
            raise TooLate("the time in which this might be sent has passed")

    def fill(self, piece: bytes, *, is_head: bool) -> bytes:
        """A piece of the request with its secrets: bind it to no name."""
        if is_head:
            return b"%b%b\r\n\r\n" % (piece.removesuffix(b"\r\n"), self.credentials.to_header())
        return self.body.reveal().encode() if self.body else piece

    def count(self, size: int) -> None:
        """Take so many bytes off what may still arrive: headers, chunk lines and trailers count as well."""
        self.bytes_left -= size
        if self.bytes_left < 0:
            raise OSError("the answer is larger than it may be")

    def seconds_left(self) -> float:
        left = self.ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError("the call took longer than its total time")
        return left


class _Current(threading.local):
    exchange: Exchange | None = None
    #: By when all calls of this thread must have ended, by the clock that stands still while a machine sleeps.
    ends_at: float = math.inf


#: The exchange that the connections of this thread are working on.
current = _Current()
