"""Costs of a family between the widths that were measured."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from itertools import product

from lut.signature import Widths

Weighted = list[tuple[Widths, float]]
"""Measured points and their shares of an interpolated cost."""


class Axis:
    """The measured widths along one axis, in classes of equal remainder.

    Kernels work on tiles of channels: 40 filters can cost more than 64. Over widths with the
    same remainder modulo ``period`` (a multiple of the tile) a cost is smooth, so only those
    are interpolated between. A width whose class was not measured stands for the next wider
    one. ``period`` 1 puts all widths into one class.
    """

    def __init__(self, widths: Iterable[int], period: int) -> None:
        self.period = period
        classes: dict[int, list[int]] = {}
        for width in sorted(set(widths)):
            classes.setdefault(width % period, []).append(width)
        self.classes = classes

    def bracket(self, width: int) -> tuple[tuple[int, float], ...] | None:
        """The one or two measured widths around this one with their shares, or None."""
        for wider in range(width, width + self.period):
            known = self.classes.get(wider % self.period)
            if known is None:
                continue
            i = bisect_left(known, wider)
            if i == len(known):
                continue
            if known[i] == wider:
                return ((wider, 1.0),)
            if i > 0:
                low, high = known[i - 1], known[i]
                share = (wider - low) / (high - low)
                return ((low, 1.0 - share), (high, share))
        return None


def corners(axes: Sequence[Axis], widths: Widths) -> Weighted | None:
    """The points that a cost at these widths is interpolated from, with their shares."""
    brackets = []
    for axis, width in zip(axes, widths, strict=True):
        bracket = axis.bracket(width)
        if bracket is None:
            return None
        brackets.append(bracket)
    return [
        (tuple(width for width, _ in corner), math.prod(share for _, share in corner))
        for corner in product(*brackets)
    ]


class Interpolator:
    """Multilinear interpolation over the points of one family.

    A point that was measured is returned as it is. Nothing is extrapolated. The points need
    not be a full grid: a cell is used where all its corners are.

    Args:
        points: cost by widths.
        periods: see `Axis`, one for every axis.
    """

    def __init__(self, points: Mapping[Widths, float], periods: Widths) -> None:
        self.points = points
        self._axes = [Axis((w[i] for w in points), period) for i, period in enumerate(periods)]

    def __call__(self, widths: Widths) -> float | None:
        """The cost at these widths, None where no measured points surround them."""
        exact = self.points.get(widths)
        if exact is not None:
            return exact
        cell = self.cell(widths)
        if cell is None:
            return None
        return sum(weight * self.points[corner] for corner, weight in cell)

    def cell(self, widths: Widths) -> Weighted | None:
        """The points that a cost at these widths is interpolated from, with their shares."""
        if len(widths) != len(self._axes):
            return None
        found = corners(self._axes, widths)
        if found is None or any(point not in self.points for point, _ in found):
            return None
        return found
