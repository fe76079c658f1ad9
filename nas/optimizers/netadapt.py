"""Classic NetAdapt (Yang et al., ECCV 2018): one channel group at a time."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from nas.optimizers.base import Problem, Result, scan
from nas.optimizers.descent import Descent
from nas.optimizers.reachable import Allowed, end_network
from nas.optimizers.registry import register
from nas.optimizers.schedule import Schedule
from search_spaces import UserError
from search_spaces.batch import Matrix, Vector

RULES = ("accuracy", "ratio", "random")


@register
class NetAdapt(Descent):
    """One proposal for every channel group: that group alone shrinks to meet the target.

    A group's new width is the largest admissible one, in multiples of ``multiple``. The slot of
    a proposal is the position of its choice in the space, so it names the group. Where no single
    group reaches the target, the proposals shrink further groups after their own (`Walks`), to
    widths that are no multiples only where the multiples cannot keep the budget. Works on spaces
    without bypass connections; the evaluator that belongs to it is `FineTuning`.

    Args:
        problem: space, metrics, budgets and seed (of the rule ``random``; nothing else is drawn).
        initial_reduction: the first step, as a fraction of the largest network's resource.
        decay: how the steps shrink. The official 0.025 and 0.96 end at 37.5 % at best.
        iterations: refuse a budget that needs more iterations than this.
        rule: ``accuracy``, the paper's: the best score wins; ``ratio``, the official code's: the
            smallest (ΔAcc + 1e-6)/(ΔRes + 1e-5), in the units of score and descended metric;
            ``random``, a baseline: one of the proposals is drawn, and only that is evaluated.
        multiple: widths that are tried.
    """

    name = "netadapt"

    def __init__(
        self,
        problem: Problem,
        *,
        initial_reduction: float = 0.025,
        decay: float = 0.96,
        iterations: int | None = None,
        rule: str = "accuracy",
        multiple: int = 8,
    ) -> None:
        bypassed = [unit.name for unit in problem.space.units if unit.bypass]
        if bypassed:
            raise UserError(
                f"netadapt needs a space without bypass connections, {problem.space.name} has "
                f"them ({bypassed[0]} and others): set bypass: false in the space's settings"
            )
        if rule not in RULES:
            raise UserError(f"rule = {rule!r}: known are {', '.join(RULES)}")
        schedule = Schedule.initial(
            problem, share=initial_reduction, decay=decay, iterations=iterations
        )
        super().__init__(problem, schedule)
        self.initial_reduction = initial_reduction
        self.rule = rule
        self.multiple = multiple

    def settings(self) -> dict[str, Any]:
        return {
            **super().settings(),
            "initial_reduction": self.initial_reduction,
            "rule": self.rule,
            "multiple": self.multiple,
        }

    def _shrink(
        self, row: Matrix, resources: Vector, targets: Vector
    ) -> list[tuple[int, Matrix, Vector]]:
        space = self.problem.space
        kinds = [choice.kind for choice in space.choices.values()]
        found: list[tuple[int, Matrix, Vector]] = []
        groups = [
            (column, widths)
            for column, values in self.smaller(row)
            if (widths := [v for v in reversed(values) if self._on_grid(kinds[column], v)])
        ]
        if groups:
            rows = np.concatenate([scan(row, column, widths) for column, widths in groups])
            costs = self.problem.costs(rows)
            over = costs > targets
            start = 0
            for column, widths in groups:
                stop = start + len(widths)
                # latency is not monotonic in width: take the first that fits, do not bisect
                fits = np.flatnonzero(~over[start:stop].any(axis=1))
                if len(fits):
                    i = start + int(fits[0])
                    found.append((column, rows[i], costs[i]))
                start = stop
        return self._drawn(found)

    def _walk(self, row: Matrix, targets: Vector) -> list[tuple[int, Matrix, Vector]]:
        return self._drawn(super()._walk(row, targets))

    def _starts(self, columns: Sequence[int]) -> dict[int, int | None]:
        kinds = [choice.kind for choice in self.problem.space.choices.values()]
        groups = [column for column in columns if kinds[column] != "kernel"]
        return {column: column for column in groups or columns}

    def _allowed(self) -> Allowed:
        grid = [
            (*(v for v in c.values[:-1] if self._on_grid(c.kind, v)), c.largest)
            for c in self.problem.space.choices.values()
        ]
        return super()._allowed() if end_network(self.problem, grid) is None else grid

    def _on_grid(self, kind: str, value: int) -> bool:
        return kind != "kernel" and value > 0 and value % self.multiple == 0

    def _drawn(self, found: list[tuple[int, Matrix, Vector]]) -> list[tuple[int, Matrix, Vector]]:
        """One of the proposals where the rule is ``random``, else all."""
        if self.rule != "random" or not found:
            return found
        return [random.Random(f"netadapt/{self.problem.seed}/{self.iteration}").choice(found)]

    def _select(self, results: Sequence[Result]) -> Result | None:
        if self.rule != "ratio" or self.iteration == 0:
            return super()._select(results)
        last, metric = self.family[-1], self.problem.metrics[0].name
        sign = 1.0 if self.problem.higher_is_better else -1.0

        def ratio(result: Result) -> float:
            lost = sign * (last.score - (result.score or 0.0))
            saved = last.metrics[metric] - result.candidate.metrics[metric]
            return (lost + 1e-6) / (saved + 1e-5)

        return min(results, key=lambda r: (ratio(r), r.loss, r.candidate.slot), default=None)
