"""Which budgets a space can keep, and a network that keeps them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nas.metrics.budgets import show
from nas.optimizers.base import Problem, scan
from search_spaces import UserError
from search_spaces.batch import Matrix

Allowed = Sequence[Sequence[int]]
"""The values that each choice may take, ascending; a sequence per choice of the space."""


def end_network(problem: Problem, allowed: Allowed | None = None) -> Matrix | None:
    """A network that keeps every budget, where every descent can end; None where none was found.

    It is the smallest network where that keeps them. Costs need not rise with every choice (a
    bypass is not free, a narrow layer may be slow), so otherwise the sum of the relative excesses
    is lowered choice by choice, from the smallest and from the largest network.

    Args:
        problem: space, metrics and budgets.
        allowed: default every value of every choice.

    Returns:
        A value per choice; shape (choices,).
    """
    row = _cheapest(problem, _values(problem, allowed))
    return row if bool((problem.costs(row[None])[0] <= problem.limits()).all()) else None


def check_budgets(problem: Problem) -> list[float]:
    """The largest network's resources, one per metric.

    Raises:
        UserError: no network was found that keeps every budget (`end_network`), or the largest
            network keeps the descended metric's.
    """
    space = problem.space
    smallest = problem.rows([space.smallest()])[0]
    cheapest = _cheapest(problem, _values(problem, None))
    largest, least = problem.costs(np.stack([problem.rows([space.largest()])[0], cheapest]))
    limits = problem.limits()
    over = np.flatnonzero(least > limits)
    if len(over):
        j = int(over[0])
        metric = problem.metrics[j]
        plain = problem.values(cheapest) == problem.values(smallest)
        raise UserError(
            f"budget {metric.name} = {show(metric, float(limits[j]))} cannot be reached: the "
            f"{'smallest' if plain else 'cheapest'} network {'' if plain else 'found '}of space "
            f"{space.name} costs {show(metric, float(least[j]))}"
        )
    if limits[0] >= largest[0]:
        metric = problem.metrics[0]
        raise UserError(
            f"budget {metric.name} = {show(metric, float(limits[0]))} leaves nothing to search: "
            f"the largest network of space {space.name} costs {show(metric, float(largest[0]))}"
        )
    return [float(cost) for cost in largest]


def _values(problem: Problem, allowed: Allowed | None) -> Allowed:
    if allowed is not None:
        return allowed
    return [choice.values for choice in problem.space.choices.values()]


def _cheapest(problem: Problem, values: Allowed) -> Matrix:
    """The first network within the budgets that is met; else the one with the least excess."""
    limits = problem.limits()

    def excess(rows: Matrix) -> list[float]:
        costs = problem.costs(rows)
        over = np.where(costs > limits, np.maximum(costs / limits - 1, 1e-15), 0.0)
        return [float(total) for total in over.sum(axis=1)]

    found: list[tuple[float, Matrix]] = []
    for end in (0, -1):
        row = np.array([v[end] for v in values], dtype=np.int64)
        (least,) = excess(row[None])
        improved = True
        while least > 0 and improved:
            improved = False
            for column, own in enumerate(values):
                rows = scan(row, column, own)
                sums = excess(rows)
                best = int(np.argmin(sums))
                if sums[best] < least:
                    row, least, improved = rows[best], sums[best], True
        if least == 0:
            return row
        found.append((least, row))
    return min(found, key=lambda pair: pair[0])[1]
