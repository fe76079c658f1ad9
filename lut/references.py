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


_Line = tuple[float, float, float]
"""Slope (share of the widest by MACs, logarithms), mean share, mean MACs."""

_FOLLOWS = 0.1
"""Slope above which an operation's width tells of its network's size; 0.5 if all widths scale."""


class References:
    """Uniformly scaled networks of a space, and which of them an operation belongs behind.

    What an operation finds in the caches is what the rest of its network has left there, so it is
    timed after a call of a network of the space. Over random networks of all sizes a line is
    fitted for every family, from a network's MACs to the share of the family's widest that its
    operations have (both as logarithms), and read backwards: over the operations of a network
    the references then are as large as the network itself on average. Where widths hardly follow
    the network's size, because bypass connections keep a map at its full width, all
    operations of the family are timed behind a network of medium size.

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
        slope, mean_width, mean_macs = self._lines.get(family, self._any)
        macs = mean_macs
        if slope > _FOLLOWS:
            macs += (self._relative(family, widths) - mean_width) / slope
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

    def _fitted(self) -> tuple[dict[Family, _Line], _Line]:
        """Every family's line, and one for families that no random network has."""
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
            width, macs = np.array(points).T
            around = macs - macs.mean()
            slope = float((around * width).sum() / max(float((around**2).sum()), 1e-9))
            lines[family] = (slope, float(width.mean()), float(macs.mean()))
        return lines, (0.0, 0.0, float(np.mean(sizes)))


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
