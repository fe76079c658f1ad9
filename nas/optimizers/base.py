"""The contract of an optimizer: it is asked for candidates and told their scores, iteration by
iteration. It does no I/O and evaluates nothing.

Everything an optimizer proposes is a pure function of its `Problem`, its settings and the results
it was told. So any process that is told the same results proposes the same candidates, a search
is resumed by telling a fresh optimizer what was recorded, and the number of workers changes
nothing.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from nas.metrics.base import Metric
from nas.metrics.budgets import show
from search_spaces import Architecture, SearchSpace, UserError
from search_spaces.batch import Matrix, Vector


@dataclass(frozen=True)
class Problem:
    """What is searched: the best score of a space's networks within budgets.

    ``metrics[0]`` is the metric that is descended, the others are further constraints;
    ``budgets`` are absolute, by the metrics' names. ``higher_is_better`` speaks of the score.
    """

    space: SearchSpace
    metrics: tuple[Metric, ...]
    budgets: Mapping[str, float]
    seed: int = 0
    higher_is_better: bool = True

    def __post_init__(self) -> None:
        missing = [m.name for m in self.metrics if m.name not in self.budgets]
        if missing or len(self.budgets) != len(self.metrics):
            raise UserError(f"one budget for every metric is needed; check {missing or 'names'}")

    def limits(self) -> Vector:
        """The budgets in the order of the metrics; shape (metrics,)."""
        return np.array([self.budgets[m.name] for m in self.metrics])

    def rows(self, architectures: Sequence[Mapping[str, int]]) -> Matrix:
        """Architectures as rows, a column per choice; shape (architectures, choices)."""
        names = list(self.space.choices)
        values = [[a[name] for name in names] for a in architectures]
        return np.array(values, dtype=np.int64).reshape(len(architectures), len(names))

    def values(self, row: Matrix) -> dict[str, int]:
        """A row as canonical values of the choices."""
        names = list(self.space.choices)
        return self.space.canonical(dict(zip(names, row.tolist(), strict=True)))

    @cached_property
    def _requires(self) -> list[int | None]:
        """By column, that of the choice without which a choice is dead."""
        names = list(self.space.choices)
        choices = self.space.choices.values()
        return [None if c.requires is None else names.index(c.requires) for c in choices]

    def live(self, row: Matrix, column: int) -> bool:
        """False for a choice whose unit has no filters in this row of values."""
        requires = self._requires[column]
        return requires is None or bool(row[requires] > 0)

    def costs(self, rows: Matrix) -> Vector:
        """Every metric of every row; shape (rows, metrics)."""
        if not len(rows):
            return np.empty((0, len(self.metrics)))
        return np.stack([metric.batch(rows) for metric in self.metrics], axis=1)

    def named(self, costs: Vector) -> dict[str, float]:
        """One row of `costs` by the metrics' names."""
        return {m.name: float(cost) for m, cost in zip(self.metrics, costs, strict=True)}

    def show(self, costs: Vector) -> str:
        """One row of `costs` for people."""
        texts = [
            f"{m.name} {show(m, float(cost))}" for m, cost in zip(self.metrics, costs, strict=True)
        ]
        return ", ".join(texts)


@dataclass(frozen=True)
class Candidate:
    """A network to be evaluated; (iteration, slot) is its identity in a search.

    Iteration 0 has one slot, the largest network.
    """

    iteration: int
    slot: int
    architecture: Architecture
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """What the evaluation of a candidate found; ``score`` None says that it failed.

    A score or loss that is not finite counts as a failure too.
    """

    candidate: Candidate
    score: float | None
    loss: float = 0.0

    @property
    def failed(self) -> bool:
        """True where there is no usable score."""
        return self.score is None or not (math.isfinite(self.score) and math.isfinite(self.loss))


@dataclass(frozen=True)
class Member:
    """The winner of an iteration: an entry of the family along the trade-off."""

    iteration: int
    slot: int
    architecture: Architecture
    metrics: Mapping[str, float]
    score: float
    loss: float


def scan(row: Matrix, column: int, values: Sequence[int]) -> Matrix:
    """The row with each of the values in one column; shape (values, choices)."""
    rows = np.repeat(row[None], len(values), axis=0)
    rows[:, column] = values
    return rows


class Optimizer(ABC):
    """Ask for an iteration's candidates, tell all their results, until `done`.

    ``iterations`` is the largest number of iterations after iteration 0. `stopped` says why a
    search ended before its budget, if it did.
    """

    name: str
    iterations: int

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.family: list[Member] = []
        self.stopped: str | None = None
        self._asked: tuple[Candidate, ...] | None = None

    @property
    def iteration(self) -> int:
        """The iteration whose candidates `ask` returns."""
        return len(self.family)

    @property
    def done(self) -> bool:
        """True when there is nothing more to ask for."""
        if self.stopped is not None:
            return True
        return self._complete()

    def ask(self) -> Sequence[Candidate]:
        """The candidates of the current iteration, the same until they are told.

        Empty when the search is done; `stopped` then says why where it ended early.
        """
        if self.done:
            return ()
        if self._asked is None:
            self._asked = tuple(self._start() if self.iteration == 0 else self._propose())
        return self._asked

    def tell(self, results: Sequence[Result]) -> Member | None:
        """Close the current iteration with a result for every candidate; its winner.

        The order of the results does not matter. Where every candidate failed there is no
        winner and the search stops.
        """
        asked = self.ask()
        by_slot = {r.candidate.slot: r for r in results if r.candidate.iteration == self.iteration}
        if sorted(by_slot) != sorted(c.slot for c in asked):
            raise ValueError(f"iteration {self.iteration}: results of other slots were told")
        ordered = [by_slot[slot] for slot in sorted(by_slot)]
        self._learn(ordered)
        usable = [result for result in ordered if not result.failed]
        winner = self._select(usable)
        if winner is None:
            self.stopped = f"iteration {self.iteration}: all {len(ordered)} candidates failed"
            return None
        assert winner.score is not None
        member = Member(
            iteration=winner.candidate.iteration,
            slot=winner.candidate.slot,
            architecture=winner.candidate.architecture,
            metrics=winner.candidate.metrics,
            score=winner.score,
            loss=winner.loss,
        )
        self._asked = None
        self.family.append(member)
        return member

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Everything but the problem that decides what is proposed, as plain JSON types."""

    def best(self) -> Member | None:
        """The member that the search recommends: within every budget, best score; None if none."""
        return next(iter(self._within_budget()), None)

    def expected(self, members: Sequence[Member]) -> list[float | None]:
        """What a model of all that was told expects of these networks, in the score's unit.

        A winner's own score is too high on average, because it was chosen for being high. None
        where the optimizer has no model.
        """
        return [None] * len(members)

    @abstractmethod
    def _propose(self) -> Sequence[Candidate]:
        """The candidates of an iteration after the first."""

    @abstractmethod
    def _complete(self) -> bool:
        """True when the search has ended as planned."""

    def _start(self) -> Sequence[Candidate]:
        largest = self.problem.space.largest()
        costs = self.problem.costs(self.problem.rows([largest]))[0]
        return (Candidate(0, 0, largest, self.problem.named(costs)),)

    def _candidate(self, slot: int, row: Matrix, costs: Vector) -> Candidate:
        """The network of a row of values, with its costs, as a candidate of this iteration."""
        architecture = self.problem.space.architecture(self.problem.values(row))
        return Candidate(self.iteration, slot, architecture, self.problem.named(costs))

    def _learn(self, results: Sequence[Result]) -> None:
        """Take note of all results of an iteration, by slot."""
        return

    def _select(self, results: Sequence[Result]) -> Result | None:
        """The winner among results by slot: best score, then lower loss, then lower slot."""
        sign = -1.0 if self.problem.higher_is_better else 1.0
        return min(
            results,
            key=lambda r: (sign * (r.score or 0.0), r.loss, r.candidate.slot),
            default=None,
        )

    def _within_budget(self) -> list[Member]:
        """The members that keep every budget, best score first."""
        sign = -1.0 if self.problem.higher_is_better else 1.0
        fitting = [
            m
            for m in self.family
            if all(m.metrics[k] <= v for k, v in self.problem.budgets.items())
        ]
        return sorted(fitting, key=lambda m: (sign * m.score, m.loss, m.iteration))
