"""Metrics that are sums over a network's operations: latency, MACs, parameters."""

from __future__ import annotations

from collections.abc import Callable

from lut.cost import CostModel, DeviceInfo
from search_spaces import Additive, Network, Operation, SearchSpace
from search_spaces.batch import Matrix, Vector


class AdditiveMetric:
    """The sum of ``price(operation)``; a batch is priced node by node (`Additive`)."""

    def __init__(
        self,
        space: SearchSpace,
        name: str,
        unit: str,
        price: Callable[[Operation], float],
        identity: str,
        device: DeviceInfo | None = None,
    ) -> None:
        self.name = name
        self.unit = unit
        self.price = price
        self.identity = identity
        self.device = device
        self._additive = Additive(space, price)

    def of(self, network: Network) -> float:
        """The sum over the network's operations; raises what the price raises."""
        return float(sum(self.price(operation) for operation in network.operations))

    def batch(self, rows: Matrix) -> Vector:
        """The costs of the rows; shape (rows,)."""
        return self._additive(rows)


def macs(space: SearchSpace) -> AdditiveMetric:
    """Multiply-accumulates for one image."""
    return AdditiveMetric(space, "macs", "MACs", lambda operation: operation.macs, "macs")


def params(space: SearchSpace) -> AdditiveMetric:
    """Trainable parameters."""
    return AdditiveMetric(space, "params", "params", lambda operation: operation.params, "params")


def priced(space: SearchSpace, name: str, model: CostModel) -> AdditiveMetric:
    """What a table or a fitted model of a device prices; latency first.

    Raises (when used):
        UncoveredError: the table lacks an operation of the network.
    """
    return AdditiveMetric(space, name, model.unit, model.cost, model.identity, model.device)
