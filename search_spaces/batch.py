"""Additive metrics of many architectures at once, node by node, in numpy.

A node's operations depend on nothing but its input widths and its own choices, so each distinct
combination is lowered and priced once and then looked up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from search_spaces.architecture import Architecture
from search_spaces.choices import Values
from search_spaces.nodes import Node, Tensor, prefix
from search_spaces.operation import Operation
from search_spaces.space import INPUT, SearchSpace

Matrix = npt.NDArray[np.int64]
Vector = npt.NDArray[np.float64]

MISSING = -1
"""The width that stands for a tensor whose unit is removed."""


class Additive:
    """A metric that is the sum of ``price(operation)`` over a network's operations.

    Args:
        space: the space whose architectures are priced.
        price: cost of one operation; what it raises for an unpriced operation passes through.
    """

    def __init__(self, space: SearchSpace, price: Callable[[Operation], float]) -> None:
        self.space = space
        self.price = price
        self._columns = {name: i for i, name in enumerate(space.choices)}
        self._largest = np.array([c.largest for c in space.choices.values()], dtype=np.int64)
        requires = [c.requires for c in space.choices.values()]
        self._requires = [(i, self._columns[r]) for i, r in enumerate(requires) if r is not None]
        needed = set(space.outputs)
        self._nodes: list[Node] = []
        for node in reversed(space.nodes):
            if node.name in needed:
                self._nodes.insert(0, node)
                needed.update(node.inputs)
        # node → combination of widths and choices → (output width, cost)
        self._memo: dict[str, dict[tuple[int, ...], tuple[int, float]]] = {
            node.name: {} for node in self._nodes
        }
        self._shapes = {name: shape[1:] for name, shape in space.largest_shapes.items()}

    def matrix(self, architectures: Iterable[Architecture | Values]) -> Matrix:
        """The architectures' values as rows, one column per choice in the space's order."""
        names = list(self._columns)
        return np.array([[a[name] for name in names] for a in architectures], dtype=np.int64)

    def __call__(self, rows: Matrix) -> Vector:
        """The metric of every row of `matrix`; shape (rows,). Dead choices are ignored."""
        rows = rows.copy()
        for column, required in self._requires:
            dead = rows[:, required] == 0
            rows[dead, column] = self._largest[column]
        widths = {INPUT: np.full(len(rows), self.space.input_channels, dtype=np.int64)}
        total = np.zeros(len(rows))
        for node in self._nodes:
            columns = [widths[name] for name in node.inputs]
            columns += [rows[:, self._columns[name]] for name in node.choices()]
            widths[node.name], cost = self._node(node, columns)
            total += cost
        return total

    def _node(self, node: Node, columns: list[Matrix]) -> tuple[Matrix, Vector]:
        code = columns[0] + 1
        for column in columns[1:]:
            code = code * (int(column.max()) + 2) + column + 1
        _, first, inverse = np.unique(code, return_index=True, return_inverse=True)
        distinct = np.stack([column[first] for column in columns], axis=1).tolist()
        memo = self._memo[node.name]
        found = [
            memo[key] if (key := tuple(row)) in memo else self._lower(node, key) for row in distinct
        ]
        out = np.array([width for width, _ in found], dtype=np.int64)
        cost = np.array([cost for _, cost in found], dtype=np.float64)
        return out[inverse], cost[inverse]

    def _lower(self, node: Node, key: tuple[int, ...]) -> tuple[int, float]:
        inputs = [
            None if width == MISSING else Tensor(name, (width, *self._shapes[name]), prefix(width))
            for name, width in zip(node.inputs, key, strict=False)
        ]
        values = dict(zip(node.choices(), key[len(node.inputs) :], strict=True))
        operations, out = node.lower(inputs, values, self.space.lowering)
        cost = sum(self.price(operation) for operation in operations)
        result = (MISSING if out is None else out.channels, cost)
        self._memo[node.name][key] = result
        return result
