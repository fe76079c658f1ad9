"""The seam between a search and what it has to keep within a budget."""

from __future__ import annotations

from typing import Protocol

from search_spaces import Network
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
