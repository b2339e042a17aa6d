# ruff: noqa: T201
"""`make bench`: all figures, or those named; `--quick` with small sizes, `--write` into docs/performance.md.

In DATABASE_URL a PostgreSQL's database that may be filled, by default `bench` on this machine; in REDIS_URL Celery's Redis.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from measured.turns import Figure

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
sys.path[:0] = [str(HERE.parent), str(REPOSITORY)]
os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE.parent), str(REPOSITORY)])
os.environ.setdefault("DATABASE_URL", "postgres://postgres@127.0.0.1:5432/bench")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "measured.site")
os.environ["CELERY_BROKER_URL"] = os.environ.setdefault("REDIS_URL", "redis://127.0.0.1:6379/9")
os.environ["CELERY_QUEUE"] = "measured_desk"


def figures(is_quick: bool, size: float) -> dict[str, Callable[[], Figure]]:
    """`size` is a share of the usual number of rounds and of what waits; the long log is a million, or small."""
    from measured import draining, pages, waiting, withdrawal

    def share(usual: int, quick: int) -> int:
        return quick if is_quick else max(round(usual * size), 1)

    long = 2000 if is_quick else 1_000_000
    return {
        "withdrawal": lambda: withdrawal.figure(share(500, 20)),
        "draining": lambda: draining.figure(share(1000, 40), share(5, 1)),
        "pages": lambda: pages.figure(long, share(7, 1), logs(is_quick)),
        "waiting": lambda: waiting.figure(share(10, 2), 100 if is_quick else 3000),
    }


def logs(is_quick: bool) -> dict[str, tuple[str, str]]:
    """The databases of a short and of a long log: files below var/, and two beside the one in DATABASE_URL."""
    long = "quick" if is_quick else "long"
    from measured import machine

    (REPOSITORY / "var").mkdir(exist_ok=True)
    short_file, long_file = (f"sqlite:///{REPOSITORY}/var/bench_{name}.sqlite3" for name in ("short", long))
    found = {"SQLite": (short_file, long_file)}
    if machine.is_postgresql():
        short_url, long_url = (machine.beside(f"bench_{name}") for name in ("short", long))
        found["PostgreSQL"] = (short_url, long_url)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="of the figures only these")
    parser.add_argument("--quick", action="store_true", help="small sizes: whether it runs, not how fast")
    parser.add_argument("--size", type=float, default=1.0, help="a share of the usual rounds, such as 0.2")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/performance.md")
    options = parser.parse_args()
    import django

    django.setup()
    from django.core.management import call_command

    from measured import report

    call_command("migrate", verbosity=0)
    for name, measure in figures(options.quick, options.size).items():
        if name in (options.names or [name]):
            print((figure := measure()).as_markdown(), flush=True)
            if options.write:
                report.write(REPOSITORY / "docs" / "performance.md", [figure])


if __name__ == "__main__":
    main()
