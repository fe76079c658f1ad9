"""Multi-layer coordinate descent (Yang et al., NetAdaptV2, CVPR 2021)."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nas.optimizers.base import Problem, scan
from nas.optimizers.descent import Descent
from nas.optimizers.registry import register
from nas.optimizers.schedule import Schedule
from search_spaces import UserError
from search_spaces.batch import Matrix, Vector

DRAWS = 20_000
"""After so many draws of an iteration without any network the rule gives up."""

Draw = tuple[Matrix, int, list[int]]
"""A network with L − 1 choices made smaller, and the column and values that are scanned."""


@dataclass(frozen=True)
class _Saving:
    """What one choice alone saves: ``amounts`` (values, metrics) of its smaller values."""

    column: int
    values: list[int]
    amounts: Vector


@register
class MCD(Descent):
    """Each of J samples shrinks L random choices at once so that all cost almost the same.

    L − 1 live choices are given random smaller values, then every smaller value of the last is
    scanned, and the admissible network closest to the target is kept. A random value that by
    itself would take the network more than ``tolerance`` below the target is not drawn, since
    that sample could only be redrawn.

    With several metrics "closest" speaks of the metrics that this iteration has to reduce: a
    sample lies as far below the target as the nearest of them does. So a second, tighter budget
    cannot make every sample look too small.

    Args:
        problem: space, metrics, budgets and seed.
        samples: J, networks evaluated in an iteration. Default: twice the number of choices,
            between 16 and 64.
        layers: L, choices that a sample changes. Default: an eighth of the number of choices, at
            least 2.
        iterations: n. Default 30.
        decay: d, how the steps of the schedule shrink. Default 0.96.
        tolerance: samples further below the target than this fraction are redrawn.
        redraws: after so many redraws of a slot L grows by one. Where nothing close enough is found
            at all, as in a coarse space, the step is made by `Walks`.
    """

    name = "mcd"

    def __init__(
        self,
        problem: Problem,
        *,
        samples: int | None = None,
        layers: int | None = None,
        iterations: int = 30,
        decay: float = 0.96,
        tolerance: float = 0.02,
        redraws: int = 100,
    ) -> None:
        super().__init__(problem, Schedule.over(problem, iterations=iterations, decay=decay))
        choices = len(problem.space.choices)
        self.samples = default_samples(choices) if samples is None else samples
        self.layers = max(2, round(choices / 8)) if layers is None else layers
        if self.samples < 1 or self.layers < 1 or redraws < 1:
            raise UserError("samples, layers and redraws must be at least 1")
        if not 0 < tolerance < 1:
            raise UserError(f"tolerance = {tolerance}: must lie between 0 and 1")
        self.tolerance = tolerance
        self.redraws = redraws

    def settings(self) -> dict[str, Any]:
        return {
            **super().settings(),
            "samples": self.samples,
            "layers": self.layers,
            "tolerance": self.tolerance,
            "redraws": self.redraws,
        }

    def _shrink(
        self, row: Matrix, resources: Vector, targets: Vector
    ) -> list[tuple[int, Matrix, Vector]]:
        savings = self._savings(row, resources)
        active = np.flatnonzero(resources > targets)
        seed, iteration = self.problem.seed, self.iteration
        # text seeds hash the same on every machine and Python
        sources = [random.Random(f"mcd {seed} {iteration} {s}") for s in range(self.samples)]
        found: dict[int, tuple[Matrix, Vector]] = {}
        taken: set[bytes] = set()
        longest, redraw, progress, drawn = len(savings), 0, 0, 0
        while longest and redraw < self.redraws * (max(0, longest - self.layers) + 1):
            # where some slots found networks and the others find none, few are left
            if found and redraw >= min(progress + self.redraws, 3 * self.redraws):
                break
            layers = min(self.layers + redraw // self.redraws, longest)
            slots = [s for s in range(self.samples) if s not in found]
            if not found and drawn >= DRAWS:
                break
            # all open slots draw, and are scanned, together; few open slots draw ahead
            ahead = min(self.samples // len(slots), self.redraws - redraw % self.redraws)
            drawing = [slot for slot in slots for _ in range(ahead)]
            draws = [
                self._draw(row, resources, targets, active, savings, layers, sources[slot])
                for slot in drawing
            ]
            drawn += len(drawing)
            for slot, kept in zip(drawing, self._scan(draws, targets, active), strict=True):
                if kept is None or slot in found:
                    continue
                values, costs, gap = kept
                if gap > self.tolerance:
                    continue
                key = self.problem.rows([self.problem.values(values)]).tobytes()
                if key not in taken:
                    taken.add(key)
                    found[slot] = (values, costs)
                    progress = redraw
            if len(found) == self.samples:
                break
            redraw += ahead
        return [(slot, *found[slot]) for slot in sorted(found)]

    def _savings(self, row: Matrix, resources: Vector) -> list[_Saving]:
        live = list(self.smaller(row))
        if not live:
            return []
        costs = self.problem.costs(np.concatenate([scan(row, c, values) for c, values in live]))
        out, start = [], 0
        for column, values in live:
            stop = start + len(values)
            out.append(_Saving(column, values, resources - costs[start:stop]))
            start = stop
        return out

    def _draw(
        self,
        row: Matrix,
        resources: Vector,
        targets: Vector,
        active: npt.NDArray[np.intp],
        savings: list[_Saving],
        layers: int,
        source: random.Random,
    ) -> Draw:
        *others, last = source.sample(savings, layers)
        row = row.copy()
        # what may still be saved before every metric is too far below its target; savings add
        # up only nearly, so this guides the draw, and the scan decides
        room = (resources - targets * (1 - self.tolerance))[active]
        for saving in others:
            if not self.problem.live(row, saving.column):
                continue
            fits = np.flatnonzero((saving.amounts[:, active] <= room).any(axis=1))
            if len(fits):
                i = int(fits[source.randrange(len(fits))])
                row[saving.column] = saving.values[i]
                room = room - saving.amounts[i, active]
        if not self.problem.live(row, last.column):
            return row, last.column, []
        return row, last.column, last.values

    def _starts(self, columns: Sequence[int]) -> dict[int, int | None]:
        return dict.fromkeys(range(self.samples))

    def _scan(
        self,
        draws: list[Draw],
        targets: Vector,
        active: npt.NDArray[np.intp],
    ) -> list[tuple[Matrix, Vector, float] | None]:
        """For every draw the admissible network closest to the target, and how far below it is."""
        rows = np.concatenate([scan(row, column, values) for row, column, values in draws])
        costs = self.problem.costs(rows)
        over = costs > targets
        gaps = ((targets - costs) / targets)[:, active].min(axis=1)
        gaps[over.any(axis=1)] = math.inf
        out: list[tuple[Matrix, Vector, float] | None] = []
        start = 0
        for _, _, values in draws:
            stop = start + len(values)
            if values:
                # the larger of two values that cost the same
                i = stop - 1 - int(np.argmin(gaps[start:stop][::-1]))
                gap = float(gaps[i])
                out.append((rows[i], costs[i], gap) if math.isfinite(gap) else None)
            else:
                out.append(None)
            start = stop
        return out


def default_samples(choices: int) -> int:
    """J where the user sets none: twice the number of choices, between 16 and 64."""
    return min(64, max(16, 2 * choices))
