"""Additive metrics of many architectures at once, node by node, in numpy.

A node's operations depend on nothing but its input widths and its own choices, so each distinct
combination is lowered and priced once and then looked up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from operator import itemgetter

import numpy as np
import numpy.typing as npt

from search_spaces.architecture import Architecture
from search_spaces.choices import Values
from search_spaces.nodes import Node, Tensor, prefix
from search_spaces.operation import Operation
from search_spaces.space import INPUT, SearchSpace

Matrix = npt.NDArray[np.int64]
Vector = npt.NDArray[np.float64]

MISSING = 0
"""The width that stands for a tensor whose unit is removed."""

LARGEST_TABLE = 1 << 20
"""Combinations of one node up to which a table of all of them is kept (8 bytes each)."""


class Additive:
    """A metric that is the sum of ``price(operation)`` over a network's operations.

    Args:
        space: the space whose architectures are priced.
        price: cost of one operation; what it raises for an unpriced operation passes through.
    """

    def __init__(self, space: SearchSpace, price: Callable[[Operation], float]) -> None:
        self.space = space
        self.price = price
        needed = set(space.outputs)
        nodes: list[Node] = []
        for node in reversed(space.nodes):
            if node.name in needed:
                nodes.append(node)
                needed.update(node.inputs)
        self._nodes = [_NodePrices(node, space, price) for node in reversed(nodes)]
        # value → position among the choice's values, −1 for what is not one of them
        self._positions = {}
        for name, choice in space.choices.items():
            table = np.full(choice.largest + 1, -1, dtype=np.int64)
            table[list(choice.values)] = np.arange(len(choice.values))
            self._positions[name] = table

    def matrix(self, architectures: Iterable[Architecture | Values]) -> Matrix:
        """The architectures' values as rows, one column per choice in the space's order."""
        names = list(self.space.choices)
        values = (a.choices if isinstance(a, Architecture) else a for a in architectures)
        if len(names) < 2:
            rows = [tuple(a[name] for name in names) for a in values]
        else:
            rows = list(map(itemgetter(*names), values))
        return np.array(rows, dtype=np.int64).reshape(len(rows), len(names))

    def __call__(self, rows: Matrix) -> Vector:
        """The metric of every row of `matrix`; shape (rows,). Dead choices are ignored.

        Raises:
            ValueError: a row has a value that its choice does not take.
        """
        choices = self.space.choices
        columns = dict(zip(choices, rows.T, strict=True))
        positions = {name: self._position(name, column) for name, column in columns.items()}
        for name, choice in choices.items():
            if choice.requires is not None:
                dead = columns[choice.requires] == 0
                positions[name] = np.where(dead, len(choice.values) - 1, positions[name])
        present = {name: (column != 0).astype(np.int64) for name, column in columns.items()}
        widths = {INPUT: np.full(len(rows), self.space.input_channels, dtype=np.int64)}
        total = np.zeros(len(rows))
        for prices in self._nodes:
            key = [widths[name] for name in prices.node.inputs]
            key += [positions[name] for name in prices.choices]
            key += [present[name] for name in prices.removal]
            slots = prices.slots(key)
            widths[prices.node.name] = prices.widths[slots]
            total += prices.costs[slots]
        return total

    def _position(self, name: str, column: Matrix) -> Matrix:
        table = self._positions[name]
        found = table[np.clip(column, 0, len(table) - 1)]
        wrong = (found < 0) | (column < 0) | (column >= len(table))
        if wrong.any():
            raise ValueError(f"{name} = {column[wrong][0]} is not a value of this choice")
        return found


class _NodePrices:
    """What one node costs and how wide its output is, by its input widths and its choices.

    A key has the width of every input, the position of every choice's value, and where the node
    only asks whether its unit is there, that as 0 or 1. ``widths`` and ``costs`` hold a slot for
    every key seen so far.
    """

    def __init__(self, node: Node, space: SearchSpace, price: Callable[[Operation], float]) -> None:
        self.node = node
        self.space = space
        self.price = price
        read = node.choices()[1:] if node.requires is not None else node.choices()
        self.choices = tuple(dict.fromkeys(read))
        only_removes = node.requires is not None and node.requires not in self.choices
        self.removal = (node.requires,) if only_removes and node.requires is not None else ()
        self.widths = np.empty(0, dtype=np.int64)
        self.costs = np.empty(0, dtype=np.float64)
        shapes = space.largest_shapes
        self._sizes = [
            *(shapes[name][0] + 1 for name in node.inputs),
            *(len(space.choices[name].values) for name in self.choices),
            *(2 for _ in self.removal),
        ]
        combinations = math.prod(self._sizes)
        # code of a key → slot
        self._table = (
            np.full(combinations, -1, dtype=np.int64) if combinations <= LARGEST_TABLE else None
        )
        self._known: dict[tuple[int, ...], int] = {}

    def slots(self, key: list[Matrix]) -> Matrix:
        """The slot of every row's key, new keys priced."""
        if self._table is None:
            return self._slots_without_table(key)
        code = key[0]
        for column, size in zip(key[1:], self._sizes[1:], strict=True):
            code = code * size + column
        slots = self._table[code]
        new = np.flatnonzero(slots < 0)
        if len(new):
            codes, rows = np.unique(code[new], return_index=True)
            distinct = np.stack([column[new[rows]] for column in key], axis=1)
            self._table[codes] = self._add([tuple(row) for row in distinct.tolist()])
            slots = self._table[code]
        return slots

    def _slots_without_table(self, key: list[Matrix]) -> Matrix:
        """`slots` of a node of very many combinations, say a concatenation of many tensors."""
        rows, inverse = np.unique(np.stack(key, axis=1), axis=0, return_inverse=True)
        distinct = [tuple(row) for row in rows.tolist()]
        new = [row for row in distinct if row not in self._known]
        self._known.update(zip(new, self._add(new).tolist(), strict=True))
        found = np.array([self._known[row] for row in distinct], dtype=np.int64)
        return found[inverse.reshape(-1)]

    def _add(self, keys: list[tuple[int, ...]]) -> Matrix:
        """Lower and price new keys; their slots. Nothing changes where a price is refused."""
        made = [self._lower(key) for key in keys]
        first = len(self.widths)
        self.widths = np.append(self.widths, np.array([w for w, _ in made], dtype=np.int64))
        self.costs = np.append(self.costs, [float(cost) for _, cost in made])
        return np.arange(first, len(self.widths))

    def _lower(self, key: tuple[int, ...]) -> tuple[int, float]:
        node, space = self.node, self.space
        shapes = space.largest_shapes
        inputs = [
            None if width == MISSING else Tensor(name, (width, *shapes[name][1:]), prefix(width))
            for name, width in zip(node.inputs, key, strict=False)
        ]
        rest = key[len(inputs) :]
        values = {
            name: space.choices[name].values[position]
            for name, position in zip(self.choices, rest, strict=False)
        }
        if self.removal:
            (name,) = self.removal
            values[name] = space.choices[name].largest if rest[-1] else 0
        operations, out = node.lower(inputs, values, space.lowering)
        cost = sum(self.price(operation) for operation in operations)
        return (MISSING if out is None else out.channels), cost
