"""One metric for several devices: how a network stands against the budget of each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal

import numpy as np

from nas.metrics.base import Metric
from search_spaces import Network
from search_spaces.batch import Matrix, Vector

Reduce = Literal["worst", "mean"]


class Phones:
    """The worst or the mean ratio of a network's latency to each device's own budget.

    At most 1 with ``worst`` says that the network keeps every budget.

    Args:
        latencies: of each device.
        budgets: absolute, in the unit of its latency, by the same names.
        reduce: over the devices.
    """

    name = "phones"
    unit = ""

    def __init__(
        self, latencies: Mapping[str, Metric], budgets: Mapping[str, float], reduce: Reduce
    ) -> None:
        self.budgets = {device: float(budgets[device]) for device in latencies}
        self.reduce: Reduce = reduce
        self._latencies = dict(latencies)
        parts = {d: [m.identity, self.budgets[d]] for d, m in sorted(latencies.items())}
        self.identity = f"phones-1-{reduce}-{json.dumps(parts)}"

    def ratios(self, rows: Matrix) -> dict[str, Vector]:
        """Of every device: latency over budget of the rows, as `Metric.batch`; (rows,) each."""
        return {d: m.batch(rows) / self.budgets[d] for d, m in self._latencies.items()}

    def of(self, network: Network) -> float:
        """The ratio of one network; raises what the devices' prices raise."""
        found = [m.of(network) / self.budgets[d] for d, m in self._latencies.items()]
        return max(found) if self.reduce == "worst" else sum(found) / len(found)

    def batch(self, rows: Matrix) -> Vector:
        """The ratios of the rows; shape (rows,)."""
        found = np.stack(list(self.ratios(rows).values()))
        out: Vector = found.max(axis=0) if self.reduce == "worst" else found.mean(axis=0)
        return out
