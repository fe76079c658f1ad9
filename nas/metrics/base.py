"""The seam between a search and what it has to keep within a budget."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

import numpy as np

from search_spaces import Network, SearchSpace
from search_spaces.batch import Matrix, Vector


class Metric(Protocol):
    """A cost of a network: smaller is better, and it must be positive and finite.

    ``name`` is how the user calls it and the key in results (``latency``, ``latency@pixel4-cpu``,
    ``macs``, ``params`` or a name of the recipe); ``identity`` changes when its values may:
    the identity of the table, or of the user's function. Results are compared and searches are
    resumed only where it is equal.
    """

    name: str
    unit: str
    identity: str

    def of(self, network: Network) -> float:
        """The cost of one network in ``unit``."""
        ...

    def batch(self, rows: Matrix) -> Vector:
        """The costs of many architectures of one space; shape (rows,).

        ``rows`` hold one architecture each: a value per choice, in the order of
        ``space.choices``; values of dead choices do not matter.
        """
        ...


class PerNetwork(ABC):
    """A metric that is no sum over operations: every distinct architecture is described.

    Args:
        space: of the architectures in batches.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._known: dict[bytes, float] = {}

    @abstractmethod
    def of(self, network: Network) -> float:
        """As `Metric.of`."""

    def batch(self, rows: Matrix) -> Vector:
        """The cost of every row; shape (rows,)."""
        names = list(self._space.choices)
        out = np.empty(len(rows))
        for i, row in enumerate(rows):
            key = row.tobytes()
            if key not in self._known:
                values = dict(zip(names, row.tolist(), strict=True))
                self._known[key] = self.of(self._space.describe(values))
            out[i] = self._known[key]
        return out
