"""`python -m tests.chaos`: attack the promise with real processes, and say whether it held.

Ends with 0 where it held, with 1 and everything that is known of each violation where it did not.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys

from tests import reachable
from tests.chaos.lan import SECONDS_APART
from tests.chaos.script import SCRIPTS
from tests.chaos.site import BROKERS, DATABASES


def read_arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--database", choices=DATABASES, default="sqlite")
    parser.add_argument("--broker", choices=BROKERS, default="folder")
    parser.add_argument("--pool", choices=("prefork", "threads"), default="prefork")
    parser.add_argument("--operations", type=int, default=1000)
    parser.add_argument("--faults", type=float, default=0.4, help="the share of calls that are faulty")
    parser.add_argument("--kills", type=int, default=60, help="how many kills and suspensions at the most")
    parser.add_argument("--requesters", type=int, default=4, help="how many processes ask for operations")
    parser.add_argument(
        "--seconds", type=float, default=900, help="how long is asked for operations at the most"
    )
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument(
        "--script",
        choices=SCRIPTS,
        default="",
        help="nothing is drawn: a sound site must hold, one that takes an absence for a proof at once must not",
    )
    parser.add_argument(
        "--books",
        action="store_true",
        help="all that the assumptions exclude happens too; the books are compared, and may overlook nothing",
    )
    parser.add_argument(
        "--hosts",
        type=int,
        default=0,
        help="so many machines, each with an address and a clock of its own, of which one at a time loses its power or its "
        "network; Linux, as root, with ip, nsenter and gcc",
    )
    given = parser.parse_args(arguments)
    if given.hosts and (given.hosts < 2 or given.database == "sqlite" or given.broker == "folder"):
        parser.error("--hosts are two or more, with a database and a broker that they share over the network")
    if given.hosts and (reachable.AS_ROOT or reachable.NAMESPACES.why_not()):
        parser.error(
            f"--hosts needs root, to make networks that vanish at the end: {reachable.NAMESPACES.way_to_enable}"
        )
    return given


def main(arguments: list[str]) -> int:
    given = vars(read_arguments(arguments))
    given["seed"] = random.SystemRandom().randrange(10**6) if given["seed"] is None else given["seed"]
    print(f"Seed {given['seed']}", flush=True)
    # The processes' settings need a folder before it is known; the attack names the real one.
    os.environ.setdefault("CHAOS_FOLDER", os.devnull)
    os.environ.setdefault("CELERY_QUEUE", "altegio_chaos")
    os.environ["CHAOS_SCRIPT"] = given["script"]
    if given["hosts"]:
        given["requesters"] = given["hosts"]
        os.environ["CHAOS_APART"] = str(SECONDS_APART * (given["hosts"] - 1))
    from tests.chaos.attack import Orders, attack

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return 0 if attack(Orders(**given)) else 1
    except KeyboardInterrupt:
        print("\nInterrupted; every process of the attack has ended.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
