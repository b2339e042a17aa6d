"""The changes that careless maintainers make and that Cosmic Ray's own operators do not: what is left out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import parso

Position = tuple[tuple[int, int], tuple[int, int]]


class _LeftOut:
    """Takes one of a node's items out of the code."""

    @classmethod
    def arguments(cls) -> tuple[()]:
        return ()

    def items(self, node: Any) -> list[Any]:
        raise NotImplementedError

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        for item in self.items(node):
            yield item[0].start_pos, item[-1].end_pos

    def mutate(self, node: Any, index: int) -> Any:
        gone = {id(child) for child in self.items(node)[index]}
        node.children = [child for child in node.children if id(child) not in gone]
        return node


def _with_its_comma(children: list[Any], first: int, last: int) -> list[Any]:
    """The children from `first` to `last` and a comma: the one behind, so that those before keep theirs."""
    if last + 1 < len(children) and children[last + 1].type == "operator" and children[last + 1].value == ",":
        last += 1
    return children[first : last + 1]


def _is_operator(node: Any, value: str) -> bool:
    return bool(node.type == "operator" and node.value == value)


class LeaveOutArgument(_LeftOut):
    """A keyword argument, of a filter or an update above all."""

    def items(self, node: Any) -> list[Any]:
        if node.type not in ("arglist", "trailer"):
            return []
        return [
            _with_its_comma(node.children, at, at)
            for at, child in enumerate(node.children)
            if child.type == "argument" and len(child.children) == 3 and _is_operator(child.children[1], "=")
        ]


class LeaveOutEntry(_LeftOut):
    """An entry of a dict: a column that is not written."""

    def items(self, node: Any) -> list[Any]:
        if node.type != "dictorsetmaker":
            return []
        children = node.children
        return [
            _with_its_comma(children, at - 1, at + 1)
            for at, child in enumerate(children)
            if _is_operator(child, ":") and at + 1 < len(children)
        ]


class LeaveOutStatement:
    """A call, or an assignment to what outlives it, inside a function: without a name of its own it would only not run."""

    @classmethod
    def arguments(cls) -> tuple[()]:
        return ()

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        if self._is_one(node):
            yield node.start_pos, node.end_pos

    @staticmethod
    def _is_one(node: Any) -> bool:
        if node.type not in ("expr_stmt", "atom_expr", "power") or node.parent.type != "simple_stmt":
            return False
        if (
            node.type == "expr_stmt"
            and node.children[0].type == "name"
            and _is_operator(node.children[1], "=")
        ):
            return False
        around = node.search_ancestor("funcdef", "classdef")
        return bool(around is not None and around.type == "funcdef")

    def mutate(self, node: Any, index: int) -> Any:
        return parso.python.tree.Name("pass", node.start_pos, node.get_first_leaf().prefix)


class Provider:
    """As Cosmic Ray asks for operators."""

    _all = {each.__name__: each for each in (LeaveOutArgument, LeaveOutEntry, LeaveOutStatement)}

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __getitem__(self, name: str) -> type[Any]:
        return self._all[name]
