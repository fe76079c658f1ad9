"""Bringing any network under the budgets, so that baselines compare networks of equal cost."""

from __future__ import annotations

import random

import numpy as np

from nas.optimizers.base import Problem, scan
from nas.optimizers.reachable import end_network
from search_spaces.batch import Matrix


def fit_to_budgets(
    problem: Problem, rows: Matrix, sources: list[random.Random], tolerance: float
) -> Matrix:
    """Change as little of each network as brings it just under the budgets.

    A network over a budget is shrunk: choices in random order take random smaller values. One that
    lies more than ``tolerance`` below the descended metric's budget is then grown: choices in
    random order take the largest value that keeps every budget. Where shrinking fails the network
    becomes the one that is known to keep them (`end_network`).

    Args:
        problem: its budgets are those that `check_budgets` accepts.
        rows: shape (networks, choices); not changed.
        sources: one per row; a row's result depends on no other row.
        tolerance: as a fraction of the budget.
    """
    rows = rows.copy()
    limits = problem.limits()
    choices = list(problem.space.choices.values())
    for _ in range(len(choices)):
        over = np.flatnonzero((problem.costs(rows) > limits).any(axis=1))
        if not len(over):
            break
        orders = {i: sources[i].sample(range(len(choices)), len(choices)) for i in over.tolist()}
        for step in range(len(choices)):
            for i in over.tolist():
                column = orders[i][step]
                smaller = [v for v in choices[column].values if v < rows[i, column]]
                if smaller:
                    rows[i, column] = smaller[sources[i].randrange(len(smaller))]
            costs = problem.costs(rows[over])
            over = over[(costs > limits).any(axis=1)]
            if not len(over):
                break
    over = np.flatnonzero((problem.costs(rows) > limits).any(axis=1))
    if len(over):
        end = end_network(problem)
        assert end is not None
        rows[over] = end
    return _grow(problem, rows, sources, tolerance)


def _grow(problem: Problem, rows: Matrix, sources: list[random.Random], tolerance: float) -> Matrix:
    limits = problem.limits()
    choices = list(problem.space.choices.values())
    orders = [source.sample(range(len(choices)), len(choices)) for source in sources]
    small = np.flatnonzero(problem.costs(rows)[:, 0] < limits[0] * (1 - tolerance))
    for step in range(len(choices)):
        trials = []
        for i in small.tolist():
            column = orders[i][step]
            larger = [v for v in choices[column].values if v > rows[i, column]]
            if larger:
                trials.append((i, scan(rows[i], column, larger)))
        if not trials:
            continue
        costs = problem.costs(np.concatenate([candidates for _, candidates in trials]))
        start = 0
        for i, candidates in trials:
            own = costs[start : start + len(candidates)]
            start += len(candidates)
            fits = np.flatnonzero((own <= limits).all(axis=1))
            if len(fits):
                rows[i] = candidates[fits[-1]]
        small = np.flatnonzero(problem.costs(rows)[:, 0] < limits[0] * (1 - tolerance))
    return rows
