"""A step that always finds something: however coarse the space is, walks end under the targets."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from nas.optimizers.base import Problem, scan
from nas.optimizers.reachable import Allowed
from search_spaces.batch import Matrix, Vector


@dataclass(frozen=True)
class Walks:
    """Walks from a network over its targets to networks under all of them.

    A walk goes through choices in a given order. Every smaller value of a choice is scanned: where
    one brings the network under all targets, the closest to them is the walk's end; otherwise the
    choice takes a random one of them. A walk that is through and still over a target goes choice
    by choice to ``end``, which is under any target that is no lower than the budgets.

    Args:
        problem: space, metrics and budgets.
        allowed: the values that each choice may take.
        end: keeps every budget; a value per choice.
    """

    problem: Problem
    allowed: Allowed
    end: Matrix

    def down(
        self,
        row: Matrix,
        targets: Vector,
        orders: Sequence[Sequence[int]],
        sources: Sequence[random.Random],
    ) -> list[tuple[Matrix, Vector]]:
        """A network under the targets and its costs for every walk; some may be equal.

        Args:
            row: where the walks start; over at least one target.
            targets: one per metric, none under its budget.
            orders: columns of the choices, for each walk.
            sources: one per walk; a walk's result depends on no other walk.
        """
        active = self.problem.costs(row[None])[0] > targets
        rows = np.repeat(row[None], len(orders), axis=0)
        found: dict[int, tuple[Matrix, Vector]] = {}
        for step in range(len(row)):
            at = [(i, order[step]) for i, order in enumerate(orders) if step < len(order)]
            scans = self._scans(rows, [(i, column) for i, column in at if i not in found])
            for i, scanned, costs in self._priced(scans):
                gaps = ((targets - costs) / targets)[:, active].min(axis=1)
                gaps[(costs > targets).any(axis=1)] = np.inf
                # the larger of two values that cost the same
                nearest = len(gaps) - 1 - int(np.argmin(gaps[::-1]))
                if np.isfinite(gaps[nearest]):
                    found[i] = (scanned[nearest], costs[nearest])
                else:
                    rows[i] = scanned[sources[i].randrange(len(scanned))]
        for step in range(len(row)):
            ends = []
            for i, order in enumerate(orders):
                if i not in found:
                    rest = [c for c in range(len(row)) if c not in order]
                    column = [*order, *rest][step]
                    rows[i, column] = self.end[column]
                    ends.append((i, rows[i][None].copy()))
            for i, single, costs in self._priced(ends):
                if (costs[0] <= targets).all():
                    found[i] = (single[0], costs[0])
        return [found[i] for i in range(len(orders))]

    def _scans(self, rows: Matrix, at: Sequence[tuple[int, int]]) -> Iterator[tuple[int, Matrix]]:
        for i, column in at:
            if self.problem.live(rows[i], column):
                smaller = [v for v in self.allowed[column] if v < rows[i, column]]
                if smaller:
                    yield i, scan(rows[i], column, smaller)

    def _priced(
        self, scans: Iterator[tuple[int, Matrix]] | Sequence[tuple[int, Matrix]]
    ) -> Iterator[tuple[int, Matrix, Vector]]:
        """Scans with their costs, all priced at once."""
        known = list(scans)
        if not known:
            return
        costs = self.problem.costs(np.concatenate([rows for _, rows in known]))
        start = 0
        for i, rows in known:
            yield i, rows, costs[start : start + len(rows)]
            start += len(rows)
