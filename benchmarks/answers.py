# ruff: noqa: INP001, T201
"""What reading an answer costs in memory and time, for the shapes that cost the most for their size.

    python benchmarks/answers.py [--only TEXT]

Each of the shapes in `tests/client/costly.py`, as large as an answer may be, is read by the app's client from a server on
this machine, in a process of its own. Prints the highest memory above what the process had before and above the answer
itself, and the processor's time beside that of `json.loads` for the same bytes, worst first. Ends with 1 where one costs
more than `MOST_MEGABYTES`. Needs Linux, which knows the highest memory of a process.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from altegio_loyalty import exceptions  # noqa: E402
from altegio_loyalty.client import Limits  # noqa: E402
from tests.client import costly  # noqa: E402
from tests.client.rawserver import TOKENS, RawServer, answering, transport_to  # noqa: E402

MOST_MEGABYTES = 40
MEGABYTE = 1024 * 1024
#: A whole small answer, so that what the first call alone costs is there before.
SMALL = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def memory(word: str) -> int:
    """Bytes that this process has (VmRSS) or had at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(word))


def seconds_of(call: Callable[[], Any]) -> tuple[float, str]:
    """The processor's time, and what came of it."""
    began = time.process_time()
    try:
        call()
        ended = "read"
    except (exceptions.ApiError, ValueError, RecursionError) as error:
        ended = type(error).__name__
    return time.process_time() - began, ended


def read(name: str, url: str) -> None:
    """In a process of its own: read the answer of the server at `url`."""
    from altegio_loyalty.client import AltegioClient

    with transport_to(url, Limits()) as transport:
        client = AltegioClient(transport, TOKENS)
        with contextlib.suppress(exceptions.ApiError):
            costly.read(name, client)
        before = memory("VmRSS")
        seconds, ended = seconds_of(lambda: costly.read(name, client))
        print(json.dumps({"bytes": memory("VmHWM") - before, "seconds": seconds, "ended": ended}))


def measure(name: str) -> dict[str, Any]:
    answer = costly.ANSWERS[name]()
    command = [sys.executable, __file__, "--read", name, "--url"]
    with RawServer(answering(SMALL, answer)) as server:
        done = subprocess.run([*command, server.url], check=True, capture_output=True, text=True)
    body = answer.partition(b"\r\n\r\n")[2]
    measured: dict[str, Any] = json.loads(done.stdout)
    return {
        "name": name,
        "megabytes": max(measured["bytes"] - len(body), 0) / MEGABYTE,
        "json": seconds_of(lambda: json.loads(body))[0],
        **measured,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="of the shapes only those whose name holds this text")
    parser.add_argument("--read", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        read(options.read, options.url)
        return
    rows = [measure(name) for name in costly.ANSWERS if options.only in name]
    print(f"{'shape':<38} {'MB above':>8} {'ms':>7} {'json ms':>7}  ended")
    for row in sorted(rows, key=lambda row: -row["megabytes"]):
        times = f"{row['seconds'] * 1000:>7.0f} {row['json'] * 1000:>7.0f}"
        print(f"{row['name']:<38} {row['megabytes']:>8.1f} {times}  {row['ended']}")
    too_costly = [row["name"] for row in rows if row["megabytes"] > MOST_MEGABYTES]
    print(
        f"{len(rows)} shapes of {costly.SIZE / MEGABYTE:.0f} MB, {len(too_costly)} above {MOST_MEGABYTES} MB"
    )
    if too_costly:
        sys.exit(1)


if __name__ == "__main__":
    main()
