from __future__ import annotations

import socket
import time
from typing import Any

import pytest


@pytest.fixture
def full_port() -> Any:
    """A port whose queue of connections is full, so that connecting to it hangs."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    filling = []
    for _ in range(4):
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(listener.getsockname())
        filling.append(sock)
    time.sleep(0.05)
    yield listener.getsockname()[1]
    for sock in [*filling, listener]:
        sock.close()
