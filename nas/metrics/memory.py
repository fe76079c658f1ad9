"""Peak memory: what a network's maps need at once on a device."""

from __future__ import annotations

from lut.cost import Precision
from lut.tflite.memory import peak_memory
from nas.metrics.base import PerNetwork
from search_spaces import Network, SearchSpace


class PeakMemory(PerNetwork):
    """Bytes of the memory that all maps of a network share, see `lut.tflite.memory`.

    Args:
        space: of the architectures.
        precision: of the maps.
    """

    name = "peak_memory"
    unit = "B"

    def __init__(self, space: SearchSpace, precision: Precision = "float32") -> None:
        super().__init__(space)
        self.precision = precision
        self.identity = f"peak_memory-1-{precision}"

    def of(self, network: Network) -> float:
        """The network's peak, input and outputs included, weights not."""
        return float(peak_memory(network, self.precision))
