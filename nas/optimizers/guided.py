"""A descent that evaluates what it has learned to expect most of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nas.metrics.base import PerNetwork
from nas.optimizers.base import Candidate, Member, Optimizer, Problem, Result
from nas.optimizers.mcd import default_samples
from nas.optimizers.moves import Moves
from nas.optimizers.reachable import end_network
from nas.optimizers.registry import register
from nas.optimizers.schedule import Schedule
from nas.optimizers.surrogate import Encoding, Surrogate
from search_spaces import UserError
from search_spaces.batch import Matrix, Vector

LEARNING = 8
"""Networks that have to be scored before the model is asked."""

PROPOSALS = 512
DESCRIBED = 128
"""Proposals of an iteration where pricing one is cheap, and where it is not."""

NEAR = 0.08
"""Parents cost at most so much more than the target, as a fraction of it."""


@register
class Guided(Optimizer):
    """Multi-layer coordinate descent whose proposals are ranked before they are evaluated.

    As in the papers the search starts from the largest network, every iteration has a target a
    little below the last one, all candidates of an iteration cost almost the same, and every
    winner is kept (NetAdaptV2, section 3.3). What is ours: very many proposals are drawn, for
    pricing them costs nothing; a model of the score that is fitted to all networks evaluated so
    far ranks them (`Surrogate`), by its mean plus ``exploration`` standard deviations; proposals
    start from the best ``parents`` of everything evaluated near the target and may grow choices
    too (`Moves`); and a part of the iterations is spent at the budget itself.

    A budget that the space can keep (`end_network`) is always reached: where a move finds no
    network close enough to the target it takes the closest below it, at last the end network.

    Args:
        problem: space, metrics, budgets and seed.
        samples: networks evaluated in an iteration. Default: as many as MCD's.
        iterations: Default 30.
        decay: how the steps of the schedule shrink.
        descent: the share of the iterations in which the target falls to the budget; the others
            stay there.
        proposals: networks that are drawn in an iteration. Default `PROPOSALS`, or `DESCRIBED`
            where a metric is no sum over operations: each of some fifteen networks that a
            proposal meets on its way then has to be described and priced alone.
        parents: networks that they are drawn from.
        exploration: 0 evaluates what the model expects most of, more what it knows least of.
        random: the share of an iteration's networks that are taken from the proposals at random.
        tolerance: how far below the target a network is close enough, as a fraction of it.
    """

    name = "guided"

    def __init__(
        self,
        problem: Problem,
        *,
        samples: int | None = None,
        iterations: int = 30,
        decay: float = 0.96,
        descent: float = 0.5,
        proposals: int | None = None,
        parents: int = 16,
        exploration: float = 1.0,
        random: float = 0.125,
        tolerance: float = 0.02,
    ) -> None:
        super().__init__(problem)
        choices = len(problem.space.choices)
        self.samples = default_samples(choices) if samples is None else samples
        if proposals is None:
            alone = any(isinstance(metric, PerNetwork) for metric in problem.metrics)
            proposals = DESCRIBED if alone else PROPOSALS
        if min(self.samples, proposals, parents) < 1:
            raise UserError("samples, proposals and parents must be at least 1")
        if not 0 < tolerance < 1:
            raise UserError(f"tolerance = {tolerance}: must lie between 0 and 1")
        if not 0 < descent <= 1 or not 0 <= random <= 1 or exploration < 0:
            raise UserError(
                "descent must lie in (0, 1], random in [0, 1], exploration be at least 0"
            )
        falling = max(1, round(descent * iterations))
        self.schedule = Schedule.over(problem, iterations=falling, decay=decay)
        self.iterations = iterations
        self.descent = descent
        self.proposals = proposals
        self.parents = parents
        self.exploration = exploration
        self.random = random
        self.tolerance = tolerance
        self._moves = Moves(problem, tolerance)
        self._encoding = Encoding(problem.space)
        self._seen: set[bytes] = set()
        self._rows = np.empty((0, choices), dtype=np.int64)
        self._costs = np.empty((0, len(problem.metrics)))
        self._scores = np.empty(0)
        """Of what was evaluated with a usable score, the higher the better."""
        self._planned: tuple[int, list[Candidate]] | None = None

    def settings(self) -> dict[str, Any]:
        """Everything that decides what is proposed."""
        return {
            "samples": self.samples,
            "iterations": self.iterations,
            "decay": self.schedule.decay,
            "descent": self.descent,
            "proposals": self.proposals,
            "parents": self.parents,
            "exploration": self.exploration,
            "random": self.random,
            "tolerance": self.tolerance,
        }

    def expected(self, members: Sequence[Member]) -> list[float | None]:
        """The surrogate's mean, fitted to everything evaluated; None while it is too little."""
        if len(self._scores) < LEARNING:
            return [None] * len(members)
        rows = self.problem.rows([member.architecture for member in members])
        surrogate = Surrogate(self._encoding(self._rows), self._scores)
        means, _ = surrogate.predict(self._encoding(rows))
        sign = 1.0 if self.problem.higher_is_better else -1.0
        return [sign * float(mean) for mean in means]

    def _complete(self) -> bool:
        if not self.family:
            return False
        return self.iteration > self.iterations or not self._plan()

    def _propose(self) -> Sequence[Candidate]:
        return self._plan()

    def _learn(self, results: Sequence[Result]) -> None:
        sign = 1.0 if self.problem.higher_is_better else -1.0
        rows = self.problem.rows([r.candidate.architecture for r in results])
        self._seen.update(row.tobytes() for row in rows)
        usable = np.array([not r.failed for r in results])
        scores = np.array([sign * (r.score or 0.0) for r in results])
        self._rows = np.concatenate([self._rows, rows[usable]])
        self._costs = np.concatenate([self._costs, self.problem.costs(rows[usable])])
        self._scores = np.concatenate([self._scores, scores[usable]])

    def _plan(self) -> list[Candidate]:
        """The candidates of the current iteration; none where nothing new is left to evaluate."""
        if self._planned is None or self._planned[0] != self.iteration:
            self._planned = (self.iteration, self._candidates())
        return self._planned[1]

    def _candidates(self) -> list[Candidate]:
        source = np.random.default_rng([self.problem.seed, self.iteration])
        targets = self._targets()
        means = self._scores
        surrogate = None
        if len(self._scores) >= LEARNING:
            surrogate = Surrogate(self._encoding(self._rows), self._scores)
            means, _ = surrogate.predict(self._encoding(self._rows))
        parents = self._parents(targets, means)
        rows, costs = self._moves.draw(parents, targets, self.proposals, source)
        rows, costs = self._unseen(rows, costs)
        limits = self.problem.limits()
        if not len(rows) and (targets > limits).any():
            rows, costs = self._unseen(*self._moves.draw(parents, limits, self.proposals, source))
        if not len(rows) and not self._within_budget():
            rows = self._last_resort(means)
            costs = self.problem.costs(rows)
        return [
            self._candidate(slot, rows[i], costs[i])
            for slot, i in enumerate(self._chosen(rows, surrogate, source))
        ]

    def _last_resort(self, means: Vector) -> Matrix:
        """One network within the budgets where no member of the family is: the best that was
        evaluated and did not win, once more, or else the end network.
        """
        within = np.flatnonzero((self._costs <= self.problem.limits()).all(axis=1))
        if len(within):
            return self._rows[[within[int(np.argmax(means[within]))]]]
        end = end_network(self.problem)
        assert end is not None
        return self._unseen(self.problem.rows([self.problem.values(end)]), np.empty((1, 0)))[0]

    def _targets(self) -> Vector:
        """The schedule's, counted from the last winner while it is above the budgets."""
        last = self.family[-1]
        resources = [last.metrics[m.name] for m in self.problem.metrics]
        return np.array(self.schedule.targets(self.iteration, resources))

    def _parents(self, targets: Vector, means: Vector) -> Matrix:
        """The best evaluated networks near the targets; the nearest where there are few."""
        excess = np.maximum(self._costs / targets - 1, 0).max(axis=1)
        near = np.flatnonzero(excess <= NEAR)
        if len(near) < self.parents:
            near = np.argsort(excess, kind="stable")[: self.parents]
        order = near[np.argsort(-means[near], kind="stable")]
        return self._rows[order[: self.parents]]

    def _unseen(self, rows: Matrix, costs: Vector) -> tuple[Matrix, Vector]:
        new = [i for i, row in enumerate(rows) if row.tobytes() not in self._seen]
        return rows[new], costs[new]

    def _chosen(
        self, rows: Matrix, surrogate: Surrogate | None, source: np.random.Generator
    ) -> list[int]:
        """Positions of the proposals that are evaluated."""
        if surrogate is None or len(rows) <= self.samples:
            return [int(i) for i in source.permutation(len(rows))[: self.samples]]
        mean, deviation = surrogate.predict(self._encoding(rows))
        order = np.argsort(-(mean + self.exploration * deviation), kind="stable")
        ranked = self.samples - round(self.random * self.samples)
        drawn = source.permutation(order[ranked:])[: self.samples - ranked]
        return [*order[:ranked].tolist(), *drawn.tolist()]
