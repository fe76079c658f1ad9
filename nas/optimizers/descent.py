"""What multi-layer coordinate descent and classic NetAdapt share: the descent itself."""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from nas.optimizers.base import Candidate, Optimizer, Problem
from nas.optimizers.reachable import Allowed, end_network
from nas.optimizers.schedule import Schedule
from nas.optimizers.walks import Walks
from search_spaces.batch import Matrix, Vector


class Descent(Optimizer):
    """Start from the largest network; in every iteration move to the best of some smaller ones
    that meet the schedule's targets, until the budgets are met.

    A variant says which smaller networks are tried (`_shrink`) and may change who wins. Where its
    rule finds none, as in a coarse space, the iteration's networks are those of `Walks`, which
    always end under the targets, and what is left of the schedule is spread anew from the winner.
    So every budget that `check_budgets` accepts is reached.
    """

    def __init__(self, problem: Problem, schedule: Schedule) -> None:
        super().__init__(problem)
        self.schedule = schedule
        self.iterations = schedule.iterations
        self._adapted = -1
        """The last iteration in which the variant's rule found nothing."""

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
        if self._adapted == self.iteration - 1:
            self.schedule = self.schedule.spread(self.iteration, resources.tolist())
        targets = np.array(self.schedule.targets(self.iteration, resources.tolist()))
        row = self.problem.rows([last.architecture])[0]
        found = self._shrink(row, resources, targets)
        if not found:
            self._adapted = self.iteration
            found = self._walk(row, targets)
        return [self._candidate(slot, values, costs) for slot, values, costs in found]

    @abstractmethod
    def _shrink(
        self, row: Matrix, resources: Vector, targets: Vector
    ) -> list[tuple[int, Matrix, Vector]]:
        """Smaller networks as (slot, row, costs), every cost within its target; empty if none.

        Args:
            row: the last winner, a value per choice.
            resources: its costs, one per metric.
            targets: R_{i,j}, one per metric.
        """

    @abstractmethod
    def _starts(self, columns: Sequence[int]) -> dict[int, int | None]:
        """The slots of an iteration of walks, each with the column that its walk starts with, or
        None where any may be the first.

        Args:
            columns: of the live choices that can still shrink.
        """

    def _allowed(self) -> Allowed:
        """The values that a walk may give each choice; some network of them keeps the budgets."""
        return [choice.values for choice in self.problem.space.choices.values()]

    def _walk(self, row: Matrix, targets: Vector) -> list[tuple[int, Matrix, Vector]]:
        """As `_shrink`, but whatever the space is like: different networks, at least one."""
        allowed = self._allowed()
        end = end_network(self.problem, allowed)
        assert end is not None
        columns = [c for c, _ in self.smaller(row) if allowed[c][0] < row[c]]
        seed, iteration = self.problem.seed, self.iteration
        orders, sources = [], []
        starts = self._starts(columns) or {0: None}
        for slot, first in starts.items():
            source = random.Random(f"{self.name} walk {seed} {iteration} {slot}")
            order = source.sample(columns, len(columns))
            if first is not None:
                order = [first, *(column for column in order if column != first)]
            orders.append(order)
            sources.append(source)
        walks = Walks(self.problem, allowed, end).down(row, targets, orders, sources)
        found: dict[bytes, tuple[int, Matrix, Vector]] = {}
        for slot, (values, costs) in zip(starts, walks, strict=True):
            key = self.problem.rows([self.problem.values(values)]).tobytes()
            found.setdefault(key, (slot, values, costs))
        return list(found.values())

    def smaller(self, row: Matrix) -> Iterator[tuple[int, list[int]]]:
        """The live choices that can still shrink: column and smaller values, ascending."""
        for column, choice in enumerate(self.problem.space.choices.values()):
            values = [v for v in choice.values if v < row[column]]
            if values and self.problem.live(row, column):
                yield column, values
