"""A broker in a folder, for a demo without a server: one file for each message.

Kombu's own file transport can hand out a message that is still being written, moves each one through the system's
temporary folder, and lets two starting processes overwrite each other's bindings. Here a message appears whole, by a
rename; whoever removes its file has it; and each process knows its bindings by itself, since Celery declares a queue
before it publishes to it.
"""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.transport import base, virtual
from kombu.utils.json import dumps, loads

#: A queue that nobody reads keeps the newest messages only: the database knows what is due without them.
MOST_MESSAGES = 1000


class Channel(virtual.Channel):
    """Messages of all queues as files of one folder, oldest first."""

    do_restore = False

    @property
    def folder(self) -> Path:
        client: Any = self.connection.client
        folder = Path(client.transport_options["folder"])
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def _messages(self, queue: str) -> list[Path]:
        return sorted(self.folder.glob(f"*.{queue}.message"))

    def _put(self, queue: str, message: dict[str, Any], **kwargs: Any) -> None:
        name = f"{time.time_ns():020}-{uuid.uuid4().hex}.{queue}"
        draft = self.folder / f"{name}.draft"
        draft.write_text(dumps(message))
        draft.rename(draft.with_suffix(".message"))
        for oldest in self._messages(queue)[:-MOST_MESSAGES]:
            oldest.unlink(missing_ok=True)

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:
        for path in self._messages(queue):
            try:
                text = path.read_text()
                path.unlink()
            except FileNotFoundError:
                continue  # another worker has it
            message: dict[str, Any] = loads(text)
            return message
        raise Empty

    def _size(self, queue: str) -> int:
        return len(self._messages(queue))

    def _purge(self, queue: str) -> int:
        messages = self._messages(queue)
        for path in messages:
            path.unlink(missing_ok=True)
        return len(messages)


class Transport(virtual.Transport):
    """`folder://`, with the transport option `folder`."""

    Channel = Channel
    #: One for the whole process, so that a queue declared on one connection is known on all.
    global_state = virtual.BrokerState()
    implements = base.Transport.implements.extend(
        asynchronous=False, exchange_type=frozenset(["direct"]), heartbeats=False
    )
    driver_type = "folder"
    driver_name = "folder"

    def __init__(self, client: Any, **kwargs: Any) -> None:
        super().__init__(client, **kwargs)
        self.state = self.global_state

    def driver_version(self) -> str:
        return "1"
