"""Networks just under a target that differ a little from networks that are known to be good."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nas.optimizers.base import Problem, scan
from search_spaces.batch import Matrix, Vector

CHANGED = 4
"""At most so many choices of a parent are drawn anew before its cost is brought to the target."""


@dataclass(frozen=True)
class Moves:
    """Draws networks whose costs lie just under a target.

    A move gives one to `CHANGED` random choices of a parent any of their values, so that some
    grow while others shrink, and then goes through the choices in random order: each is scanned
    over all its values, as multi-layer coordinate descent does with its last choice, until one of
    them brings the network to within ``tolerance`` under the target. Where none does, the closest
    network under the target that was met is the move's.

    Args:
        problem: space and metrics.
        tolerance: how far below the target is close enough, as a fraction of it.
    """

    problem: Problem
    tolerance: float

    def draw(
        self, parents: Matrix, targets: Vector, count: int, source: np.random.Generator
    ) -> tuple[Matrix, Vector]:
        """Different networks within the targets, and their costs.

        Args:
            parents: shape (parents, choices).
            targets: one per metric; the distance is that of the metric nearest to its target.
            count: moves; fewer networks may come of them.
            source: of randomness.

        Returns:
            Rows, shape (networks, choices), in the order of the moves, and costs, shape
            (networks, metrics).
        """
        choices = list(self.problem.space.choices.values())
        columns = np.array([i for i, c in enumerate(choices) if len(c.values) > 1])
        rows = parents[source.integers(len(parents), size=count)].copy()
        orders = source.permuted(np.tile(columns, (count, 1)), axis=1)
        for row, changes in zip(rows, source.integers(1, CHANGED + 1, size=count), strict=True):
            for column in source.permutation(columns)[:changes]:
                row[column] = source.choice(choices[column].values)
        best: list[tuple[float, Matrix | None]] = [(math.inf, None)] * count
        waiting = list(range(count))
        for step in range(len(columns)):
            if not waiting:
                break
            at = [int(column) for column in orders[waiting, step]]
            scans = [
                scan(rows[i], column, choices[column].values)
                for i, column in zip(waiting, at, strict=True)
            ]
            gaps, excess = self._distances(np.concatenate(scans), targets)
            start, left = 0, []
            for i, scanned in zip(waiting, scans, strict=True):
                gap, over = gaps[start : start + len(scanned)], excess[start : start + len(scanned)]
                start += len(scanned)
                nearest = int(np.argmin(gap))
                if gap[nearest] < best[i][0]:
                    best[i] = (float(gap[nearest]), scanned[nearest])
                if best[i][0] > self.tolerance:
                    rows[i] = scanned[_next(gap, over, source)]
                    left.append(i)
            waiting = left
        found = [row for _, row in best if row is not None]
        return self._canonical(found)

    def _distances(self, rows: Matrix, targets: Vector) -> tuple[Vector, Vector]:
        """How far under the targets (infinite where over one), and how far over."""
        shares = self.problem.costs(rows) / targets - 1
        over = np.maximum(shares, 0).max(axis=1)
        under = (-shares).min(axis=1)
        return np.where(over > 0, math.inf, under), over

    def _canonical(self, rows: list[Matrix]) -> tuple[Matrix, Vector]:
        known: dict[bytes, Matrix] = {}
        for row in rows:
            plain = self.problem.rows([self.problem.values(row)])[0]
            known.setdefault(plain.tobytes(), plain)
        width = len(self.problem.space.choices)
        unique = np.array(list(known.values()), dtype=np.int64).reshape(-1, width)
        return unique, self.problem.costs(unique)


def _next(gap: Vector, over: Vector, source: np.random.Generator) -> int:
    """Where a walk goes on: towards the target, and from either side of it where both are there."""
    inside = np.isfinite(gap)
    if inside.all():
        return int(np.argmin(gap))
    if not inside.any() or source.random() < 0.5:
        return int(np.argmin(np.where(over > 0, over, math.inf)))
    return int(np.argmin(gap))
