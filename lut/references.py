"""Whole networks between whose calls operations are timed."""

from __future__ import annotations

import math
from collections.abc import Mapping

from lut.coverage import Reachable
from lut.signature import Family, Widths
from lut.tflite import write_network
from search_spaces import SearchSpace

SHARES = (1.0, 0.5, 0.25, 0.125, 0.0625)
"""Of the largest network's widths: the uniformly scaled networks that operations are behind."""


class References:
    """Uniformly scaled networks of a space, and which of them an operation belongs behind.

    What an operation finds in the caches is what the rest of its network has left there, so it is
    timed after a call of a network of the space. Wide operations mostly belong to wide networks:
    each is timed behind the network whose share of the widths is nearest to its own.

    Args:
        space: whose networks.
        operations: what is to be timed; the widest member of a family has the share 1.
    """

    def __init__(self, space: SearchSpace, operations: Reachable) -> None:
        self.space = space
        self._widest: Mapping[Family, Widths] = {
            family: tuple(max(axis) for axis in zip(*members, strict=True))
            for family, members in operations.items()
        }

    def share(self, family: Family, widths: Widths) -> float:
        """The one of `SHARES` nearest to the operation's, by ratio (the axes' geometric mean)."""
        ratios = [max(w, 1) / most for w, most in zip(widths, self._widest[family], strict=True)]
        own = sum(map(math.log, ratios)) / len(ratios)
        return min(SHARES, key=lambda share: abs(math.log(share) - own))

    def network(self, share: float) -> bytes:
        """The file of the uniformly scaled network, random weights."""
        return write_network(self.space.describe(self.space.scaled(share)), None)
