"""NSGA-II (Deb et al., 2002), as NSGANetV2 and others search with it."""

from __future__ import annotations

from optuna.samplers import BaseSampler, NSGAIISampler

from nas.optimizers.registry import register
from nas.optimizers.sampled import Sampled


@register
class NSGA2(Sampled):
    """A generation is an iteration; one objective, since all networks cost the budget.

    Arguments: `Sampled`.
    """

    name = "nsga2"

    def sampler(self) -> BaseSampler:
        """Optuna's NSGA-II with one generation an iteration."""
        return NSGAIISampler(population_size=max(2, self.samples), seed=self.problem.seed)
