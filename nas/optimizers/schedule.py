"""How fast a descent gives up resources: the targets of every iteration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from nas.metrics.budgets import show
from nas.optimizers.base import Problem
from nas.optimizers.reachable import check_budgets
from search_spaces import UserError


@dataclass(frozen=True)
class Schedule:
    """Targets R_{i,j} = max(Bud_j, Res_j(Net_{i−1}) − ΔR_{0,j} · d^{i−1}).

    The schedule of Yang et al., "NetAdapt", ECCV 2018, algorithm 1, for several metrics at once.

    ``steps`` are the ΔR_{0,j} (0 for a metric that starts within its budget), ``decay`` is d,
    ``iterations`` is n. Counted from the actual resource of the last winner, so a step that
    overshot is not caught up.
    """

    iterations: int
    decay: float
    steps: tuple[float, ...]
    budgets: tuple[float, ...]

    def targets(self, iteration: int, resources: Sequence[float]) -> tuple[float, ...]:
        """The targets of iteration 1 … n, given the last winner's resources.

        The last iteration's target is the budget itself, which the sum of the steps reaches up
        to rounding.
        """
        if iteration >= self.iterations:
            return self.budgets
        share = self.decay ** (iteration - 1)
        return tuple(
            max(budget, resource - step * share)
            for budget, resource, step in zip(self.budgets, resources, self.steps, strict=True)
        )

    def spread(self, iteration: int, resources: Sequence[float]) -> Schedule:
        """The same iterations, the steps from ``iteration`` on anew from the last winner's
        resources to the budgets; nothing is left to spread after the last one.
        """
        left = self.iterations - iteration + 1
        if left < 1:
            return self
        total = self.decay ** (iteration - 1) * _sum(self.decay, left)
        steps = tuple(
            max(0.0, resource - budget) / total
            for resource, budget in zip(resources, self.budgets, strict=True)
        )
        return replace(self, steps=steps)

    @classmethod
    def over(cls, problem: Problem, *, iterations: int, decay: float) -> Schedule:
        """NetAdaptV2's: n iterations, ΔR_{0,j} = (Res_j(Net_0) − Bud_j)(1 − d)/(1 − d^n).

        Raises:
            UserError: a budget that no network was found to keep, or over what the largest
                costs for the descended metric; n < 1 or d outside (0, 1].
        """
        if iterations < 1:
            raise UserError(f"iterations = {iterations}: at least one is needed")
        largest = _checked(problem, decay)
        total = _sum(decay, iterations)
        budgets = problem.limits().tolist()
        steps = tuple(max(0.0, r - b) / total for r, b in zip(largest, budgets, strict=True))
        return cls(iterations, decay, steps, tuple(budgets))

    @classmethod
    def initial(
        cls, problem: Problem, *, share: float, decay: float, iterations: int | None = None
    ) -> Schedule:
        """Classic NetAdapt's: ΔR_{0,j} is ``share`` of the full resource, n follows.

        Args:
            problem: space, metrics and budgets.
            share: the first reduction, as a fraction of the largest network's resource.
            decay: d.
            iterations: refuse a budget that needs more than this many.

        Raises:
            UserError: as `over`; or the steps together do not reach a budget (with the official
                0.025 and 0.96 they end at 37.5 % of the full resource).
        """
        if not 0 < share < 1:
            raise UserError(f"initial_reduction = {share}: must lie between 0 and 1")
        largest = _checked(problem, decay)
        budgets = problem.limits().tolist()
        needed = 1
        for metric, resource, budget in zip(problem.metrics, largest, budgets, strict=True):
            if resource <= budget:
                continue
            left = (resource - budget) / (share * resource)  # Σ d^(i−1) that is needed
            reach = math.inf if decay == 1 else 1 / (1 - decay)
            if left >= reach:
                raise UserError(
                    f"{metric.name}: steps of {share:.3g} with decay {decay:.4g} end at "
                    f"{show(metric, resource * (1 - share * reach))} at best, the budget is "
                    f"{show(metric, budget)}; raise initial_reduction or decay"
                )
            count = left if decay == 1 else math.log(1 - left * (1 - decay)) / math.log(decay)
            needed = max(needed, math.ceil(count - 1e-9))
        if iterations is not None and needed > iterations:
            raise UserError(
                f"the budget needs {needed} iterations with initial_reduction {share:.3g} and "
                f"decay {decay:.4g}; iterations allows {iterations}"
            )
        steps = tuple(share * r if r > b else 0.0 for r, b in zip(largest, budgets, strict=True))
        return cls(needed, decay, steps, tuple(budgets))


def _sum(decay: float, count: int) -> float:
    """1 + d + … + d^(count − 1)."""
    return count if decay == 1 else (1 - decay**count) / (1 - decay)


def _checked(problem: Problem, decay: float) -> list[float]:
    """The largest network's resources, after refusing what cannot be reached."""
    if not 0 < decay <= 1:
        raise UserError(f"decay = {decay}: must lie in (0, 1]")
    return check_budgets(problem)
