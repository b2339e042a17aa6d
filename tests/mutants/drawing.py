"""Which mutants there are, and a sample of them."""

from __future__ import annotations

import ast
import random
import uuid
from collections.abc import Iterator
from pathlib import Path

import cosmic_ray.plugins
from cosmic_ray.ast import ast_nodes, get_ast_from_path
from cosmic_ray.work_item import MutationSpec, WorkItem

from tests.mutants.operators import Provider
from tests.mutants.running import Config

# Cosmic Ray finds operators by the entry points of installed packages, and the tests are none.
cosmic_ray.plugins.OPERATOR_PROVIDERS["ours"] = Provider()

Lines = set[int]


def sample(config: Config, paths: list[str], count: int, seed: int) -> list[WorkItem]:
    """So many mutants, all where `count` is 0, no two of them at one place as long as there are others."""
    modules = [path for path in config.modules() if not paths or any(_is_below(path, each) for each in paths)]
    mutants = [mutant for module in modules for mutant in _mutants_of(module, config)]
    drawn = random.Random(seed)
    drawn.shuffle(mutants)
    places: set[object] = set()
    first: list[MutationSpec] = []
    further: list[MutationSpec] = []
    for mutant in mutants:
        place = (mutant.module_path, mutant.start_pos)
        (further if place in places else first).append(mutant)
        places.add(place)
    chosen = [*first, *further][: count or None]
    return [WorkItem.single(uuid.UUID(int=drawn.getrandbits(128)).hex, mutant) for mutant in chosen]


def _is_below(path: Path, asked: str) -> bool:
    wanted = Path(asked.removeprefix("altegio_loyalty/"))
    return path.relative_to("altegio_loyalty").is_relative_to(wanted)


def _mutants_of(module: Path, config: Config) -> Iterator[MutationSpec]:
    tree, passed_over = get_ast_from_path(module), _lines_passed_over(module)
    for name in cosmic_ray.plugins.operator_names():
        operator_class = cosmic_ray.plugins.get_operator(name)
        if operator_class.arguments() or not config.uses(name):
            continue
        operator = operator_class()
        positions = (position for node in ast_nodes(tree) for position in operator.mutation_positions(node))
        for occurrence, (start, end) in enumerate(positions):
            if start[0] not in passed_over:
                yield MutationSpec(module, name, occurrence, start, end)


def _lines_passed_over(module: Path) -> Lines:
    """Where a change changes nothing: annotations are never evaluated, and nothing depends on what is only logged."""
    lines: Lines = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines.update(range(node.lineno, node.body[0].lineno))
        elif isinstance(node, ast.AnnAssign) and node.value is None:
            lines.add(node.lineno)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).startswith("logger."):
            lines.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lines
