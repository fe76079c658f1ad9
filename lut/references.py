"""Whole networks between whose calls operations are timed."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from lut.coverage import Reachable
from lut.signature import Family, Widths, signature
from lut.tflite import write_network
from search_spaces import Architecture, Network, SearchSpace

SHARES = (1.0, 0.5, 0.25, 0.125, 0.0625)
"""Of the largest network's widths: the uniformly scaled networks that operations are behind."""

NETWORKS = 400
"""Random networks from which follows how large the network of an operation is."""


class References:
    """Uniformly scaled networks of a space, and which of them an operation belongs behind.

    What an operation finds in the caches is what the rest of its network has left there, so it is
    timed after a call of a network of the space: the one whose MACs are nearest to those of the
    networks that have such an operation. Wide operations mostly belong to large networks, but a
    map that bypass connections keep at its full width belongs to small ones too. So a line is
    fitted, for every family, from an operation's share of the family's widest to its network's
    MACs (both as logarithms), over random networks of all sizes.

    Args:
        space: whose networks.
        operations: what is to be timed; gives the widest of every family.
    """

    def __init__(self, space: SearchSpace, operations: Reachable) -> None:
        self.space = space
        self._widest: Mapping[Family, Widths] = {
            family: tuple(max(axis) for axis in zip(*members, strict=True))
            for family, members in operations.items()
        }
        self._macs = {share: math.log(self._scaled(share).macs) for share in SHARES}
        self._lines, self._any = self._fitted()

    def share(self, family: Family, widths: Widths) -> float:
        """The one of `SHARES` whose network an operation belongs behind."""
        slope, at_widest = self._lines.get(family, self._any)
        macs = at_widest + slope * self._relative(family, widths)
        return min(SHARES, key=lambda share: abs(self._macs[share] - macs))

    def network(self, share: float) -> bytes:
        """The file of the uniformly scaled network, random weights."""
        return write_network(self._scaled(share), None)

    def _scaled(self, share: float) -> Network:
        return self.space.describe(self.space.scaled(share))

    def _relative(self, family: Family, widths: Widths) -> float:
        """Logarithm of the share of the family's widest member (the axes' geometric mean)."""
        pairs = zip(widths, self._widest[family], strict=True)
        return sum(math.log(max(width, 1) / most) for width, most in pairs) / len(widths)

    def _fitted(self) -> tuple[dict[Family, tuple[float, float]], tuple[float, float]]:
        """Slope and value at the widest of every family's line, and of one for unseen ones."""
        source = random.Random(0)
        seen: dict[Family, list[tuple[float, float]]] = defaultdict(list)
        sizes = []
        for _ in range(NETWORKS):
            network = self.space.describe(of_any_size(self.space, source))
            sizes.append(math.log(network.macs))
            for operation in network.operations:
                family, widths = signature(operation)
                if family in self._widest:
                    seen[family].append((self._relative(family, widths), sizes[-1]))
        lines = {}
        for family, points in seen.items():
            own, macs = np.array(points).T
            spread = float(((own - own.mean()) ** 2).sum())
            slope = float(((own - own.mean()) * macs).sum()) / spread if spread > 1e-9 else 0.0
            slope = max(slope, 0.0)
            lines[family] = (slope, float(macs.mean() - slope * own.mean()))
        return lines, (0.0, float(np.mean(sizes)))


def of_any_size(space: SearchSpace, source: random.Random) -> Architecture:
    """A random architecture whose widths come from a range of its own.

    Every choice drawn from all of its values alone would make networks of medium size only.
    """
    low, high = sorted((source.random(), source.random()))
    values = {}
    for name, choice in space.choices.items():
        if choice.kind == "kernel":
            values[name] = source.choice(choice.values)
            continue
        first = int(low * len(choice.values))
        last = max(first + 1, math.ceil(high * len(choice.values)))
        values[name] = source.choice(choice.values[first:last])
    return space.architecture(values)
