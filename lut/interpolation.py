"""Costs of a family between the widths that were measured."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import product

from lut.signature import Widths


class Interpolator:
    """Multilinear interpolation over the points of one family.

    Kernels work on tiles of channels, so a cost is a staircase in the width: ``tiles`` holds
    a tile per axis, and between measured points a width stands for the next multiple of it.
    A point that was measured is returned as it is. Nothing is extrapolated.

    Args:
        points: cost by widths. Need not be a full grid; a cell is used where its corners are.
        tiles: channels per tile for every axis; 1 is no staircase.
    """

    def __init__(self, points: Mapping[Widths, float], tiles: Sequence[int]) -> None:
        self.points = points
        self.tiles = tuple(tiles)
        self._grid: dict[Widths, float] = {}
        # where several measured widths share a tile, the full tile stands for it
        for widths in sorted(points):
            self._grid[self._rounded(widths)] = points[widths]
        self._axes = [sorted({w[axis] for w in self._grid}) for axis in range(len(self.tiles))]

    def _rounded(self, widths: Widths) -> Widths:
        return tuple(-(-w // t) * t for w, t in zip(widths, self.tiles, strict=True))

    def __call__(self, widths: Widths) -> float | None:
        """The cost at these widths, None where no measured points surround them."""
        exact = self.points.get(widths)
        if exact is not None:
            return exact
        place = self._rounded(widths)
        return self._cell(place)

    def _cell(self, place: Widths) -> float | None:
        brackets: list[tuple[tuple[int, float], ...]] = []
        for value, axis in zip(place, self._axes, strict=True):
            i = bisect_left(axis, value)
            if i == len(axis):
                return None
            if axis[i] == value:
                brackets.append(((value, 1.0),))
            elif i == 0:
                return None
            else:
                low, high = axis[i - 1], axis[i]
                share = (value - low) / (high - low)
                brackets.append(((low, 1.0 - share), (high, share)))
        total = 0.0
        for corner in product(*brackets):
            found = self._grid.get(tuple(value for value, _ in corner))
            if found is None:
                return None
            weight = 1.0
            for _, share in corner:
                weight *= share
            total += weight * found
        return total
