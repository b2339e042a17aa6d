"""The broker in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from queue import Empty
from threading import Thread
from typing import Any

import kombu
import pytest

from project.demo import broker


def connect(folder: Path) -> kombu.Connection:
    return kombu.Connection("folder://localhost", transport_options={"folder": str(folder)})


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Any]:
    with connect(tmp_path / "broker") as connection:
        yield connection.SimpleQueue("work")


def messages(folder: Path) -> list[Path]:
    return sorted((folder / "broker").iterdir())


def test_messages__come_out_once_and_in_order(queue: Any, tmp_path: Path) -> None:
    """First in, first out, and nothing stays behind."""
    for number in range(5):
        queue.put(number)
    taken = [queue.get(timeout=60) for _ in range(5)]
    for message in taken:
        message.ack()
    assert [message.payload for message in taken] == list(range(5))
    assert messages(tmp_path) == []


def test_a_message__is_seen_by_other_connections_and_only_by_its_queue(queue: Any, tmp_path: Path) -> None:
    """Another process finds what was put, under the name that it was put under."""
    queue.put("for work")
    with connect(tmp_path / "broker") as other:
        with pytest.raises(Empty):
            other.SimpleQueue("network").get_nowait()
        assert other.SimpleQueue("work").get(timeout=60).payload == "for work"


def test_a_half_written_message__is_not_handed_out(queue: Any, tmp_path: Path) -> None:
    """What is still being written is nobody's yet."""
    (tmp_path / "broker").mkdir(exist_ok=True)
    (tmp_path / "broker" / "00000000000000000001-half.work.draft").write_text('{"bo')
    with pytest.raises(Empty):
        queue.get_nowait()


def test_takers__never_share_a_message(queue: Any, tmp_path: Path) -> None:
    """Two workers on one folder do each piece of work once."""
    for number in range(100):
        queue.put(number)
    taken: list[int] = []

    def take() -> None:
        with connect(tmp_path / "broker") as connection:
            source = connection.SimpleQueue("work")
            while True:
                try:
                    message = source.get_nowait()
                except Empty:
                    return
                message.ack()
                taken.append(message.payload)

    takers = [Thread(target=take) for _ in range(2)]
    for taker in takers:
        taker.start()
    for taker in takers:
        taker.join()
    assert sorted(taken) == list(range(100))


def test_a_queue_that_nobody_reads__does_not_grow_for_ever(
    queue: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest messages give way: the database knows what is due without them."""
    monkeypatch.setattr(broker, "MOST_MESSAGES", 3)
    for number in range(10):
        queue.put(number)
    assert len(messages(tmp_path)) == 3
    assert queue.get(timeout=60).payload == 7


def test_the_folder__is_closed_to_others(queue: Any, tmp_path: Path) -> None:
    """Whoever can write a message can ring the bell."""
    queue.put("here")
    assert (tmp_path / "broker").stat().st_mode & 0o077 == 0


def test_purge__empties_one_queue(queue: Any, tmp_path: Path) -> None:
    """And counts what it dropped."""
    queue.put(1)
    queue.put(2)
    assert queue.qsize() == 2
    assert queue.clear() == 2
    assert messages(tmp_path) == []
