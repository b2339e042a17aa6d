"""`python -m tests.mutants`: changes the app carelessly, one mutant at a time, and names those that no test noticed.

Works on a copy below var/, never on this tree. Which tests hold which module, and which changes are made, stands in
pyproject.toml; mutants that change nothing that anybody could see stand in equivalent.toml, each with its reason.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import TestOutcome

from tests.mutants import drawing, running
from tests.mutants.running import Config
from tests.reachable import REPOSITORY

FOLDER = REPOSITORY / "var" / "mutants"
COPIED = (
    "altegio_loyalty",
    "project",
    "tests",
    "docs",
    "templates",
    "manage.py",
    "pyproject.toml",
    "README.md",
    "CHANGELOG.md",
)


def asked(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make mutants", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "paths", nargs="*", help="files or folders below altegio_loyalty; by default all of the table"
    )
    parser.add_argument("--sample", type=int, default=60, help="how many mutants are drawn; 0 for all (60)")
    parser.add_argument(
        "--seed", type=int, default=None, help="draws the same again; by default a new one, printed"
    )
    parser.add_argument(
        "--survivors", action="store_true", help="try those again that survived the last time"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the last sample")
    return parser.parse_args(arguments)


def copy_tree() -> Path:
    """A fresh copy to work on: a mutant that was left by a kill -9 is gone with the old one."""
    tree = FOLDER / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    junk = shutil.ignore_patterns("__pycache__", "*.pyc", ".hypothesis")
    for name in COPIED:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=junk)
        elif source.exists():
            shutil.copy2(source, tree / name)
    return tree


def prepare(database: WorkDB, options: argparse.Namespace, config: Config) -> None:
    """Leave in the database what is to be tried: what is pending, what survived, or a new sample."""
    if options.survivors:
        running.forget_survivors(FOLDER / "session.sqlite")
        return
    if options.resume and database.num_work_items:
        return
    seed = options.seed if options.seed is not None else random.randrange(10_000)
    items = drawing.sample(config, options.paths, options.sample, seed)
    print(
        f"{len(items)} mutants, --seed {seed} --sample {options.sample} {' '.join(options.paths)}", flush=True
    )
    database.clear()
    database.add_work_items(items)


def report(database: WorkDB, config: Config) -> int:
    """The survivors with their diffs; 1 where there are any that nobody has explained."""
    results = sorted(database.completed_work_items, key=lambda each: _where(each[0]))
    survived = [(item, result) for item, result in results if result.test_outcome is TestOutcome.SURVIVED]
    explained = [each for each in survived if config.why_equivalent(each[1].diff or "")]
    for item, result in survived:
        if not config.why_equivalent(result.diff or ""):
            path, line = _where(item)
            print(f"\n{path}:{line}: {item.mutations[0].operator_name}\n{_shortened(result.diff or '')}")
    left = len(survived) - len(explained)
    killed = len(results) - len(survived)
    print(f"\n{killed} of {len(results)} mutants killed, {len(explained)} equivalent, {left} survived.")
    return 1 if left else 0


def _where(item: object) -> tuple[str, int]:
    mutation = item.mutations[0]  # type: ignore[attr-defined]
    return str(mutation.module_path), mutation.start_pos[0]


def _shortened(diff: str) -> str:
    return "\n".join(f"    {line}" for line in _changed(diff.splitlines()))


def _changed(lines: Iterable[str]) -> list[str]:
    return [line for line in lines if not line.startswith("---") and not line.startswith("+++")]


def main(arguments: list[str]) -> int:
    options = asked(arguments)
    tree = copy_tree()
    os.chdir(tree)
    config = Config.read(tree / "pyproject.toml", tree / "tests" / "mutants" / "equivalent.toml")
    with use_db(str(FOLDER / "session.sqlite")) as database:
        prepare(database, options, config)
        try:
            running.run(database, config)
        except KeyboardInterrupt:
            print('\nStopped; make mutants ARGS="--resume" goes on.')
        return report(database, config)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
