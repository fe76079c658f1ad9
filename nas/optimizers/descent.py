"""What multi-layer coordinate descent and classic NetAdapt share: the descent itself."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from nas.metrics.budgets import show
from nas.optimizers.base import Candidate, Optimizer, Problem
from nas.optimizers.schedule import Schedule
from search_spaces.batch import Matrix, Vector


class Descent(Optimizer):
    """Start from the largest network; in every iteration move to the best of some smaller ones
    that meet the schedule's targets, until the budgets are met.

    A variant says which smaller networks are tried (`_shrink`) and may change who wins.
    """

    def __init__(self, problem: Problem, schedule: Schedule) -> None:
        super().__init__(problem)
        self.schedule = schedule
        self.iterations = schedule.iterations
        self.columns = {name: i for i, name in enumerate(problem.space.choices)}

    def settings(self) -> dict[str, Any]:
        """The schedule; variants add their own."""
        return {"iterations": self.schedule.iterations, "decay": self.schedule.decay}

    def _complete(self) -> bool:
        if not self.family:
            return False
        last = self.family[-1].metrics
        return self.iteration > self.iterations or all(
            last[name] <= budget for name, budget in self.problem.budgets.items()
        )

    def _propose(self) -> Sequence[Candidate]:
        last = self.family[-1]
        resources = np.array([last.metrics[m.name] for m in self.problem.metrics])
        targets = np.array(self.schedule.targets(self.iteration, resources.tolist()))
        row = self.problem.rows([last.architecture])[0]
        found = self._shrink(row, resources, targets)
        return [self._candidate(slot, values, costs) for slot, values, costs in found]

    @abstractmethod
    def _shrink(
        self, row: Matrix, resources: Vector, targets: Vector
    ) -> list[tuple[int, Matrix, Vector]]:
        """Smaller networks as (slot, row, costs), every cost within its target.

        Args:
            row: the last winner, a value per choice.
            resources: its costs, one per metric.
            targets: R_{i,j}, one per metric.

        Raises:
            Blocked: there is none; names the metric that blocks.
        """

    def smaller(self, row: Matrix) -> Iterator[tuple[int, list[int]]]:
        """The live choices that can still shrink: column and smaller values, ascending."""
        space = self.problem.space
        for name, column in self.columns.items():
            requires = space.choices[name].requires
            if requires is not None and row[self.columns[requires]] == 0:
                continue
            values = [v for v in space.choices[name].values if v < row[column]]
            if values:
                yield column, values

    def blocking(self, targets: Vector, excess: Vector) -> str:
        """A sentence about the metric that most networks tried do not keep.

        Args:
            targets: R_{i,j}.
            excess: how many networks lie over each metric's target; shape (metrics,).
        """
        j = int(np.argmax(excess))
        metric = self.problem.metrics[j]
        return f"{metric.name} blocks at its target of {show(metric, float(targets[j]))}"


def scan(row: Matrix, column: int, values: Sequence[int]) -> Matrix:
    """The row with each of the values in one column; shape (values, choices)."""
    rows = np.repeat(row[None], len(values), axis=0)
    rows[:, column] = values
    return rows
