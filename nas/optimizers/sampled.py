"""The baselines: networks drawn by a sampler of Optuna, all just under the budgets.

They are given what the descents are given: the same evaluator and the same number of evaluations.
A sampler's own draw may cost anything, so each is fitted to the budgets first
(`fit_to_budgets`): networks of equal cost are compared, and no evaluation is lost on one that is
not admissible. The score is reported to the sampler for its own draw.
"""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import optuna
from optuna.distributions import IntDistribution
from optuna.samplers import BaseSampler

from nas.optimizers.base import Candidate, Optimizer, Problem, Result
from nas.optimizers.fit import fit_to_budgets
from nas.optimizers.mcd import default_samples
from nas.optimizers.reachable import check_budgets
from search_spaces import UserError


class Sampled(Optimizer):
    """Iterations of networks that one of Optuna's samplers draws.

    Args:
        problem: space, metrics, budgets and seed.
        samples: networks in an iteration (a generation). Default: as many as MCD's.
        iterations: of as many networks each. Default: as many as MCD's.
        tolerance: networks further below the budget than this fraction are made larger.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        samples: int | None = None,
        iterations: int = 30,
        tolerance: float = 0.02,
    ) -> None:
        super().__init__(problem)
        check_budgets(problem)
        self.samples = default_samples(len(problem.space.choices)) if samples is None else samples
        if self.samples < 1 or iterations < 1:
            raise UserError("samples and iterations must be at least 1")
        self.iterations = iterations
        self.tolerance = tolerance
        self._trials: list[optuna.Trial] = []
        direction: Literal["maximize", "minimize"] = (
            "maximize" if problem.higher_is_better else "minimize"
        )
        # Optuna announces every study; this one is private
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study(direction=direction, sampler=self.sampler())
        optuna.logging.set_verbosity(verbosity)

    @abstractmethod
    def sampler(self) -> BaseSampler:
        """The sampler of the baseline, seeded with the problem's seed."""

    def settings(self) -> dict[str, Any]:
        """The size of the search."""
        return {
            "samples": self.samples,
            "iterations": self.iterations,
            "tolerance": self.tolerance,
        }

    def _complete(self) -> bool:
        return self.iteration > self.iterations

    def _propose(self) -> Sequence[Candidate]:
        # by position among the values, so that a sampler sees an order and equal steps
        distributions = {
            name: IntDistribution(0, len(choice.values) - 1)
            for name, choice in self.problem.space.choices.items()
        }
        self._trials = [self._study.ask(distributions) for _ in range(self.samples)]  # type: ignore[arg-type]
        drawn = [
            {
                name: choice.values[trial.params[name]]
                for name, choice in self.problem.space.choices.items()
            }
            for trial in self._trials
        ]
        # seeded by the draw itself: the same draw is always the same network
        sources = [random.Random(f"{self.problem.seed} {sorted(d.items())}") for d in drawn]
        rows = fit_to_budgets(self.problem, self.problem.rows(drawn), sources, self.tolerance)
        architectures = [self.problem.space.architecture(self.problem.values(row)) for row in rows]
        costs = self.problem.costs(self.problem.rows(architectures))
        assert np.all(costs <= self.problem.limits())
        return [
            Candidate(self.iteration, slot, architecture, self.problem.named(cost))
            for slot, (architecture, cost) in enumerate(zip(architectures, costs, strict=True))
        ]

    def _learn(self, results: Sequence[Result]) -> None:
        if self.iteration == 0:
            return
        for trial, result in zip(self._trials, results, strict=True):
            if result.failed:
                self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                self._study.tell(trial, result.score)
