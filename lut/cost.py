"""The seam between a network description and whatever knows what its operations cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from search_spaces import Operation, UserError

Provenance = Literal["measured", "fitted", "imported"]
Precision = Literal["float32", "int8"]


class UncoveredError(UserError):
    """An operation that a table or a model has no cost for; never a silent zero."""


@dataclass(frozen=True)
class DeviceInfo:
    """What a cost belongs to: two costs are comparable where all of this is equal.

    ``name`` is how the user calls it (``host``, ``pixel4-cpu``); ``trust`` is the relative
    error to be printed beside every figure, as a fraction (None where unknown).
    """

    name: str
    description: str
    cores: str
    threads: int
    runtime: str
    runtime_version: str
    precision: Precision
    provenance: Provenance
    trust: float | None = None


class CostModel(Protocol):
    """Prices single operations; a network's cost is the sum over its operations.

    The look-up table of Yang et al., "NetAdapt", ECCV 2018, "Fast Resource Consumption Estimation".

    Two real sides: a measured or imported table, and a fitted device model.
    """

    @property
    def resource(self) -> str:
        """``latency`` first; ``energy`` or ``memory`` fit the same schema."""
        ...

    @property
    def unit(self) -> str:
        """``ms`` for latency."""
        ...

    @property
    def device(self) -> DeviceInfo:
        """What the costs belong to."""
        ...

    @property
    def identity(self) -> str:
        """A hash of the content, stored in results."""
        ...

    def cost(self, operation: Operation) -> float:
        """The cost of one operation in ``unit``.

        Raises:
            UncoveredError: nothing is known about such an operation.
        """
        ...
